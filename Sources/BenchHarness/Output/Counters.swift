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

    /// Those of a run of rows: what the engine's metrics page would show, those of one name together.
    static func records(_ lines: [MetricLine], figures: FigureSet) -> [CounterRecord] {
        var places: [String: Int] = [:]
        var families: [[CounterRecord]] = []
        for line in lines {
            var labels: [String: String] = [:]
            // The directory of a run says nothing to anybody else.
            for label in line.labels where label.key != "path" { labels[label.key] = label.value }
            let place = places[line.name] ?? families.count
            if place == families.count {
                places[line.name] = place
                families.append([])
            }
            families[place].append(record(line.name, labels, Double(line.value)))
        }
        return families.flatMap(\.self) + process(figures)
    }

    /// Those of a run of items.
    static func records(_ table: TableMetrics, figures: FigureSet) -> [CounterRecord] {
        let caches = [
            ("indexdb/dataBlocks", table.dataBlockCache), ("indexdb/indexBlocks", table.indexBlockCache),
        ]
        var records: [CounterRecord] = []
        func addCaches(_ name: String, _ value: (BlockCacheMetrics) -> UInt64) {
            for (type, cache) in caches { records.append(record(name, ["type": type], Double(value(cache)))) }
        }
        addCaches("vm_cache_requests_total") { $0.requests }
        addCaches("vm_cache_misses_total") { $0.misses }
        addCaches("vm_cache_entries") { $0.entries }
        addCaches("vm_cache_size_bytes") { $0.bytes }
        addCaches("vm_cache_size_max_bytes") { $0.bytesMax }
        for (name, value) in [
            ("vm_active_merges", table.activeMerges), ("vm_merges_total", table.flushes + table.mergesStarted),
            ("vm_rows_merged_total", table.itemsMerged), ("vm_assisted_merges_total", table.assistedMerges),
            ("vm_pending_rows", table.pendingItems), ("vm_parts", table.parts), ("vm_blocks", table.blocks),
            ("vm_rows", table.items), ("vm_data_size_bytes", table.sizeBytes),
        ] {
            records.append(record(name, ["type": "indexdb"], Double(value)))
        }
        return records + process(figures)
    }

    private static func process(_ figures: FigureSet) -> [CounterRecord] {
        var records: [CounterRecord] = []
        if let user = figures["cpu_user_seconds"], let system = figures["cpu_system_seconds"] {
            records.append(record("process_cpu_seconds_total", [:], user + system))
        }
        if let peak = figures["peak_rss_bytes"] {
            records.append(record("process_resident_memory_bytes", [:], peak))
        }
        return records
    }

    private static func record(_ name: String, _ labels: [String: String], _ value: Double) -> CounterRecord {
        CounterRecord(
            name: name, type: name.hasSuffix("_total") ? "counter" : "gauge", labels: labels, value: value)
    }
}
