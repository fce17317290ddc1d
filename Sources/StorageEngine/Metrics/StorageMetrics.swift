// StorageMetrics.swift - what a storage counts (docs/format/series-index.md, 14, and sample-store.md, 21). MetricLine.swift
// has the names under which production knows it.
//
// Counters only grow, over rotations of the index, too; gauges show the moment.

import Mergeset
import SampleStore

/// Requests and contents of a cache.
public struct CacheMetrics: Sendable, Equatable {
    /// Lookups, and those that found nothing: `vm_cache_requests_total`, `vm_cache_misses_total`.
    public var requests: UInt64 = 0, misses: UInt64 = 0
    /// Entries thrown out to make room, and entries that were not taken in for want of room.
    public var evictions: UInt64 = 0, refusals: UInt64 = 0
    /// Times the cache was emptied.
    public var resets: UInt64 = 0
    /// Times that entries became a generation older; 0 for caches without generations.
    public var rotations: UInt64 = 0
    /// Entries and their bytes now, and the most bytes allowed.
    public var entries: UInt64 = 0, bytes: UInt64 = 0, bytesMax: UInt64 = 0

    /// All zero.
    public init() {}

    /// 1 - misses / requests; nil without requests.
    public var hitRatio: Double? { requests == 0 ? nil : 1 - Double(misses) / Double(requests) }
}

/// Why rows took the slow path: the causes of `vm_slow_row_inserts_total`.
public struct SlowInsertCauses: Sendable, Equatable {
    /// The series was new.
    public var newSeries: UInt64 = 0
    /// The series was in the current index table; its name was not in the TSID cache (never put in since the start,
    /// thrown out, or another order of labels).
    public var cacheMiss: UInt64 = 0
    /// The series was found in the previous index table and registered in the current one.
    public var rotation: UInt64 = 0

    /// All zero.
    public init() {}
}

/// Counters and gauges of a storage.
public struct StorageMetrics: Sendable, Equatable {
    /// `vm_rows_added_to_storage_total`: rows of blocks that succeeded, skipped rows included.
    public var rowsAdded: UInt64 = 0
    /// `vm_rows_ignored_total` by reason; the last two are silent in the reference.
    public var rowsTooOld: UInt64 = 0, rowsTooNew: UInt64 = 0, rowsNaN: UInt64 = 0
    /// Rows dropped for a raw name that does not decode, and for a name that is too long.
    public var rowsInvalidName: UInt64 = 0, rowsTooLongName: UInt64 = 0
    /// Rows dropped because their series could be neither found nor created.
    public var rowsFailed: UInt64 = 0
    /// `vm_slow_row_inserts_total`, and why.
    public var slowRowInserts: UInt64 = 0
    /// The causes of ``slowRowInserts``; rows that failed are in none.
    public var slowRowCauses = SlowInsertCauses()
    /// `vm_slow_per_day_index_inserts_total`.
    public var slowPerDayInserts: UInt64 = 0
    /// Of ``slowPerDayInserts``: entries for the next day, asked for ahead of time.
    public var nextDayPrefills: UInt64 = 0
    /// Per-day entries that were written.
    public var perDayEntriesWritten: UInt64 = 0
    /// `vm_new_timeseries_created_total`: global registrations, those taken over from the previous table included.
    public var newSeriesCreated: UInt64 = 0
    /// Of ``newSeriesCreated``: registrations taken over from the previous table.
    public var seriesCarriedOver: UInt64 = 0
    /// `vm_deleted_metrics_total{type="indexdb"}`.
    public var deletedSeries: UInt64 = 0
    /// `vm_hourly_series_limit_rows_dropped_total`, `vm_daily_series_limit_rows_dropped_total`.
    public var rowsOverHourlyLimit: UInt64 = 0, rowsOverDailyLimit: UInt64 = 0
    /// `vm_concurrent_addrows_*`.
    public var addRowsLimitReached: UInt64 = 0, addRowsTimeouts: UInt64 = 0, addRowsDroppedRows: UInt64 = 0
    /// `vm_concurrent_addrows_capacity`, `vm_concurrent_addrows_current`.
    public var addRowsCapacity: UInt64 = 0, addRowsCurrent: UInt64 = 0
    /// `vm_concurrent_search_tsids_*`.
    public var searchesLimitReached: UInt64 = 0, searchesTimeouts: UInt64 = 0
    /// `vm_concurrent_search_tsids_capacity`, `vm_concurrent_search_tsids_current`.
    public var searchesCapacity: UInt64 = 0, searchesCurrent: UInt64 = 0
    /// `vm_search_delays_total`: times a search waited for ingestion.
    public var searchDelays: UInt64 = 0
    /// Series met by searches without a name in the index (`vm_missing_metric_names_for_metric_id_total`), and their blocks,
    /// which were skipped.
    public var seriesWithoutName: UInt64 = 0, blocksWithoutName: UInt64 = 0
    /// Free bytes of the disk at the last look, the bytes below which rows are refused, and whether they are
    /// (`vm_free_disk_space_bytes`, `vm_free_disk_space_limit_bytes`, `vm_storage_is_read_only`).
    public var freeDiskSpaceBytes: UInt64 = 0, freeDiskSpaceLimitBytes: UInt64 = 0, isReadOnly = false
    /// Since when rows of the index with composite keys can be relied on, Unix seconds (`vm_composite_index_min_timestamp`).
    public var compositeIndexMinTimestamp: UInt64 = 0
    /// Index tables started by rotation since the storage was opened.
    public var indexRotations: UInt64 = 0
    /// Lookups of names that had to search a table, and of these the ones that found nothing: the filter of names was
    /// wrong, or not there yet.
    public var nameSearches: UInt64 = 0, nameSearchesInVain: UInt64 = 0

    /// `storage/tsid`: raw name to TSID.
    public var tsidCache = CacheMetrics()
    /// `storage/metricIDs`: id to TSID.
    public var metricIDCache = CacheMetrics()
    /// `storage/metricName`: id to name.
    public var metricNameCache = CacheMetrics()
    /// `storage/date_metricID`: requests are rows that reached it.
    public var dateMetricIDCache = CacheMetrics()
    /// `storage/hour_metric_ids`: requests are rows of the current hour, misses those whose series was not in its set.
    public var hourMetricIDs = CacheMetrics()
    /// `storage/next_day_metric_ids`.
    public var nextDayMetricIDs = CacheMetrics()
    /// Bytes of the filters that tell that a name is new.
    public var nameFilterBytes: UInt64 = 0

    /// The index tables, current and previous together.
    public var index = TableMetrics()
    /// The sample table; nil when a sink takes the rows.
    public var samples: SampleTableMetrics?

    /// Bytes that all caches hold now, those of blocks included.
    public var cacheBytes: UInt64 {
        let ids = tsidCache.bytes + metricIDCache.bytes + metricNameCache.bytes + dateMetricIDCache.bytes
        let sets = hourMetricIDs.bytes + nextDayMetricIDs.bytes + nameFilterBytes
        let blocks = index.dataBlockCache.bytes + index.indexBlockCache.bytes
        return ids + sets + blocks + (samples.map { $0.small.cacheBytes + $0.big.cacheBytes } ?? 0)
    }
    /// Bytes of memory kept for items and rows to come, tables of series included.
    public var keptBytes: UInt64 { index.keptBytes + (samples?.keptBytes ?? 0) }

    /// All zero.
    public init() {}
}
