// BlockCounters.swift - what happened to the rows of a block; added to the counters of the storage once a block.

import SeriesIndex

/// Counts of one block, or of all blocks so far.
struct BlockCounters: Sendable {
    var rowsAdded: UInt64 = 0
    var rowsTooOld: UInt64 = 0, rowsTooNew: UInt64 = 0, rowsNaN: UInt64 = 0
    var rowsInvalidName: UInt64 = 0, rowsTooLongName: UInt64 = 0, rowsFailed: UInt64 = 0
    var slowRowInserts: UInt64 = 0
    var slowRowCauses = SlowInsertCauses()
    var slowPerDayInserts: UInt64 = 0, nextDayPrefills: UInt64 = 0, perDayEntriesWritten: UInt64 = 0
    var seriesCreated: UInt64 = 0, seriesCarriedOver: UInt64 = 0
    var rowsOverHourlyLimit: UInt64 = 0, rowsOverDailyLimit: UInt64 = 0
    var nameSearches: UInt64 = 0, nameSearchesInVain: UInt64 = 0
    var hourRequests: UInt64 = 0, hourMisses: UInt64 = 0

    mutating func add(_ other: BlockCounters) {
        rowsAdded &+= other.rowsAdded
        rowsTooOld &+= other.rowsTooOld
        rowsTooNew &+= other.rowsTooNew
        rowsNaN &+= other.rowsNaN
        rowsInvalidName &+= other.rowsInvalidName
        rowsTooLongName &+= other.rowsTooLongName
        rowsFailed &+= other.rowsFailed
        slowRowInserts &+= other.slowRowInserts
        slowRowCauses.newSeries &+= other.slowRowCauses.newSeries
        slowRowCauses.cacheMiss &+= other.slowRowCauses.cacheMiss
        slowRowCauses.rotation &+= other.slowRowCauses.rotation
        slowPerDayInserts &+= other.slowPerDayInserts
        nextDayPrefills &+= other.nextDayPrefills
        perDayEntriesWritten &+= other.perDayEntriesWritten
        seriesCreated &+= other.seriesCreated
        seriesCarriedOver &+= other.seriesCarriedOver
        rowsOverHourlyLimit &+= other.rowsOverHourlyLimit
        rowsOverDailyLimit &+= other.rowsOverDailyLimit
        nameSearches &+= other.nameSearches
        nameSearchesInVain &+= other.nameSearchesInVain
        hourRequests &+= other.hourRequests
        hourMisses &+= other.hourMisses
    }

    func fill(_ metrics: inout StorageMetrics) {
        metrics.rowsAdded = rowsAdded
        metrics.rowsTooOld = rowsTooOld
        metrics.rowsTooNew = rowsTooNew
        metrics.rowsNaN = rowsNaN
        metrics.rowsInvalidName = rowsInvalidName
        metrics.rowsTooLongName = rowsTooLongName
        metrics.rowsFailed = rowsFailed
        metrics.slowRowInserts = slowRowInserts
        metrics.slowRowCauses = slowRowCauses
        metrics.slowPerDayInserts = slowPerDayInserts
        metrics.nextDayPrefills = nextDayPrefills
        metrics.perDayEntriesWritten = perDayEntriesWritten
        metrics.newSeriesCreated = seriesCreated + seriesCarriedOver
        metrics.seriesCarriedOver = seriesCarriedOver
        metrics.rowsOverHourlyLimit = rowsOverHourlyLimit
        metrics.rowsOverDailyLimit = rowsOverDailyLimit
        metrics.nameSearches = nameSearches
        metrics.nameSearchesInVain = nameSearchesInVain
        metrics.hourMetricIDs.requests = hourRequests
        metrics.hourMetricIDs.misses = hourMisses
    }
}
