// Counters.swift - the counters of the engine at the end of ingest and debt under the names that production has for them
// (docs/format/series-index.md, 14; docs/format/mergeset-table.md, 19), so that stock dashboards and alerts apply.

import Mergeset
import StorageEngine

/// One sample as it stands in run.json.
public struct CounterRecord: Sendable, Equatable, Codable {
    /// Name; of counters with its `_total`.
    public var name: String
    /// `counter` or `gauge`.
    public var type: String
    /// Labels.
    public var labels: [String: String]
    /// Value.
    public var value: Double
}

/// Makes the samples.
enum Counters {
    /// What a name means, for HELP lines.
    static let help: [String: String] = [
        "vm_rows_added_to_storage_total": "Rows of AddRows calls that succeeded.",
        "vm_rows_ignored_total": "Rows that were not accepted, by reason.",
        "vm_slow_row_inserts_total": "Rows whose series had to be looked up or created in the index.",
        "vm_slow_per_day_index_inserts_total": "Per-day entries asked for.",
        "vm_new_timeseries_created_total": "Global registrations of series.",
        "vm_deleted_metrics_total": "Series deleted.",
        "vm_hourly_series_limit_rows_dropped_total": "Rows above the limit of series an hour.",
        "vm_daily_series_limit_rows_dropped_total": "Rows above the limit of series a day.",
        "vm_concurrent_addrows_limit_reached_total": "AddRows calls that had to wait for their turn.",
        "vm_concurrent_addrows_limit_timeout_total": "AddRows calls that waited too long.",
        "vm_concurrent_addrows_dropped_rows_total": "Rows of these calls.",
        "vm_concurrent_addrows_capacity": "AddRows calls that may run at once.",
        "vm_concurrent_addrows_current": "AddRows calls running.",
        "vm_cache_requests_total": "Lookups, by cache.",
        "vm_cache_misses_total": "Lookups that found nothing, by cache.",
        "vm_cache_entries": "Entries held, by cache.",
        "vm_cache_size_bytes": "Bytes of these entries, by cache.",
        "vm_cache_size_max_bytes": "Most bytes, by cache.",
        "vm_active_merges": "Merges and flushes running.",
        "vm_merges_total": "Flushes and merges started.",
        "vm_rows_merged_total": "Source items of flushes and merges.",
        "vm_assisted_merges_total": "Merges done by a flushing thread.",
        "vm_pending_rows": "Items in memory.",
        "vm_parts": "File parts.",
        "vm_blocks": "Blocks of file parts.",
        "vm_rows": "Items of file parts.",
        "vm_data_size_bytes": "Bytes of file parts.",
        "process_cpu_seconds_total": "User and system CPU of ingest and debt, the generator's included.",
        "process_resident_memory_bytes": "Peak resident bytes of ingest and debt.",
    ]

    /// The samples, those of one name together.
    static func records(_ metrics: StorageMetrics?, _ table: TableMetrics, figures: FigureSet) -> [CounterRecord] {
        var records: [CounterRecord] = []
        func add(_ name: String, _ value: UInt64, _ labels: [String: String] = [:]) {
            records.append(
                CounterRecord(
                    name: name, type: name.hasSuffix("_total") ? "counter" : "gauge", labels: labels,
                    value: Double(value)))
        }
        if let metrics { addEngine(metrics, add) }
        addCaches(metrics, table, add)
        let index = ["type": "indexdb"]
        add("vm_active_merges", table.activeMerges, index)
        add("vm_merges_total", table.flushes + table.mergesStarted, index)
        add("vm_rows_merged_total", table.itemsMerged, index)
        add("vm_assisted_merges_total", table.assistedMerges, index)
        add("vm_pending_rows", table.pendingItems, index)
        add("vm_parts", table.parts, index)
        add("vm_blocks", table.blocks, index)
        add("vm_rows", table.items, index)
        add("vm_data_size_bytes", table.sizeBytes, index)
        if let user = figures["cpu_user_seconds"], let system = figures["cpu_system_seconds"] {
            records.append(
                CounterRecord(name: "process_cpu_seconds_total", type: "counter", labels: [:], value: user + system))
        }
        if let peak = figures["peak_rss_bytes"] {
            records.append(
                CounterRecord(name: "process_resident_memory_bytes", type: "gauge", labels: [:], value: peak))
        }
        return records
    }

    private static func addEngine(_ metrics: StorageMetrics, _ add: (String, UInt64, [String: String]) -> Void) {
        add("vm_rows_added_to_storage_total", metrics.rowsAdded, [:])
        for (reason, value) in [
            ("small_timestamp", metrics.rowsTooOld), ("big_timestamp", metrics.rowsTooNew),
            ("nan_value", metrics.rowsNaN), ("invalid_raw_metric_name", metrics.rowsInvalidName),
            ("too_long_metric_name", metrics.rowsTooLongName), ("failed", metrics.rowsFailed),
        ] {
            add("vm_rows_ignored_total", value, ["reason": reason])
        }
        add("vm_slow_row_inserts_total", metrics.slowRowInserts, [:])
        add("vm_slow_per_day_index_inserts_total", metrics.slowPerDayInserts, [:])
        add("vm_new_timeseries_created_total", metrics.newSeriesCreated, [:])
        add("vm_deleted_metrics_total", metrics.deletedSeries, ["type": "indexdb"])
        add("vm_hourly_series_limit_rows_dropped_total", metrics.rowsOverHourlyLimit, [:])
        add("vm_daily_series_limit_rows_dropped_total", metrics.rowsOverDailyLimit, [:])
        add("vm_concurrent_addrows_limit_reached_total", metrics.addRowsLimitReached, [:])
        add("vm_concurrent_addrows_limit_timeout_total", metrics.addRowsTimeouts, [:])
        add("vm_concurrent_addrows_dropped_rows_total", metrics.addRowsDroppedRows, [:])
        add("vm_concurrent_addrows_capacity", metrics.addRowsCapacity, [:])
        add("vm_concurrent_addrows_current", metrics.addRowsCurrent, [:])
    }

    private static func addCaches(
        _ metrics: StorageMetrics?, _ table: TableMetrics, _ add: (String, UInt64, [String: String]) -> Void
    ) {
        struct Cache {
            var type: String
            var requests, misses, entries, bytes, bytesMax: UInt64
        }
        func engine(_ type: String, _ cache: CacheMetrics) -> Cache {
            Cache(
                type: type, requests: cache.requests, misses: cache.misses, entries: cache.entries, bytes: cache.bytes,
                bytesMax: cache.bytesMax)
        }
        func blocks(_ type: String, _ cache: BlockCacheMetrics) -> Cache {
            Cache(
                type: type, requests: cache.requests, misses: cache.misses, entries: cache.entries, bytes: cache.bytes,
                bytesMax: cache.bytesMax)
        }
        var caches: [Cache] = []
        if let metrics {
            caches = [
                engine("storage/tsid", metrics.tsidCache), engine("storage/metricIDs", metrics.metricIDCache),
                engine("storage/metricName", metrics.metricNameCache),
                engine("storage/date_metricID", metrics.dateMetricIDCache),
                engine("storage/hour_metric_ids", metrics.hourMetricIDs),
                engine("storage/next_day_metric_ids", metrics.nextDayMetricIDs),
            ]
        }
        caches += [
            blocks("indexdb/dataBlocks", table.dataBlockCache), blocks("indexdb/indexBlocks", table.indexBlockCache),
        ]
        for cache in caches { add("vm_cache_requests_total", cache.requests, ["type": cache.type]) }
        for cache in caches { add("vm_cache_misses_total", cache.misses, ["type": cache.type]) }
        for cache in caches { add("vm_cache_entries", cache.entries, ["type": cache.type]) }
        for cache in caches { add("vm_cache_size_bytes", cache.bytes, ["type": cache.type]) }
        for cache in caches where cache.bytesMax > 0 {
            add("vm_cache_size_max_bytes", cache.bytesMax, ["type": cache.type])
        }
    }
}
