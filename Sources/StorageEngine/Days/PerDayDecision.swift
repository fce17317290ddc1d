// PerDayDecision.swift - which rows of a block need an entry for their day (docs/format/series-index.md, 6.8).
//
//   row of the current hour, series in its set        nothing, except that a share of the series, growing with the time
//                                                     of day, is registered for the next day ahead of time
//   row of the current hour, series in the set of     the series is remembered for the current hour's set
//   the previous one, both of one day
//   anything else                                     a claim at the registry of days
//
// Threads: one owner at a time; the sets are immutable.

import SeriesIndex
import StorageBytes

/// The decisions about one block of rows.
struct PerDayDecision {
    /// Entries that are wanted for the days of rows; the row of a claim is the number of an accepted row.
    var claims: [DayClaim] = []
    /// Entries that are wanted for the next day, ahead of time.
    var prefills: [DayClaim] = []
    /// Series to be added to the set of the current hour.
    private(set) var hourIDs: [UInt64] = []
    /// Series to be added to the set of the next day.
    private(set) var nextDayIDs: [UInt64] = []
    /// Rows of the current hour, and those of them whose series was not in its set.
    private(set) var hourRequests: UInt64 = 0, hourMisses: UInt64 = 0

    mutating func removeAll() {
        claims.removeAll(keepingCapacity: true)
        prefills.removeAll(keepingCapacity: true)
        hourIDs.removeAll(keepingCapacity: true)
        nextDayIDs.removeAll(keepingCapacity: true)
        hourRequests = 0
        hourMisses = 0
    }

    /// Decides about accepted rows.
    mutating func decide(_ rows: UnsafeBufferPointer<SampleRow>, _ sets: ActiveSets, nowSeconds: UInt64) {
        removeAll()
        let share = DateMath.dayShare(nowSeconds: nowSeconds)
        let hourStart = Int64(bitPattern: sets.currentHour &* DateMath.hourMs)
        let hourLength = DateMath.hourMs
        let hourDate = DateMath.date(hour: sets.currentHour)
        let previousIsSameDay = DateMath.date(hour: sets.previousHour) == hourDate
        var requests: UInt64 = 0
        var misses: UInt64 = 0
        sets.current.withReader { reader in
            var lastID: UInt64 = 0
            var lastDate = UInt64.max
            for index in 0..<rows.count {
                let id = rows[index].tsid.metricID
                let timestamp = rows[index].timestampMs
                if UInt64(bitPattern: timestamp &- hourStart) < hourLength {
                    if id == lastID, lastDate == hourDate { continue }
                    lastID = id
                    lastDate = hourDate
                    requests &+= 1
                    if reader.contains(id) {
                        if share > id & 0xFFFF, !sets.nextDay.contains(id) {
                            prefills.append(DayClaim(date: hourDate &+ 1, tsid: rows[index].tsid, row: index))
                            nextDayIDs.append(id)
                        }
                        continue
                    }
                    misses &+= 1
                    hourIDs.append(id)
                    if previousIsSameDay, sets.previous.contains(id) { continue }
                    claims.append(DayClaim(date: hourDate, tsid: rows[index].tsid, row: index))
                } else {
                    let date = DateMath.date(timestampMs: timestamp)
                    if id == lastID, lastDate == date { continue }
                    lastID = id
                    lastDate = date
                    claims.append(DayClaim(date: date, tsid: rows[index].tsid, row: index))
                }
            }
        }
        hourRequests = requests
        hourMisses = misses
    }
}
