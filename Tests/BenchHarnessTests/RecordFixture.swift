// RecordFixture.swift - a record with fixed numbers, for the texts made from records.

@testable import BenchHarness

extension RunRecord {
    /// A run of one million series with invented figures.
    static func fixture() -> RunRecord {
        var figures = FigureSet(isDeterministic: false)
        let values: [(String, Double)] = [
            ("series_per_second", 190_300), ("items_per_second", 10_276_200), ("input_bytes_per_second", 95.2e6),
            ("interval_rows_per_second_min", 146_000), ("settled_series_per_second", 170_100),
            ("ingest_seconds", 5.25), ("debt_seconds", 0.62), ("close_seconds", 0.012), ("stalls", 0),
            ("stall_seconds", 0), ("cpu_us_per_new_series", 7.456), ("cpu_us_per_item", 0.1381),
            ("ingest_cpu_us_per_new_series", 4.2), ("cpu_system_seconds", 0.31), ("generator_cpu_us_per_series", 0.21),
            ("item_merge_amplification_ratio", 1.62), ("write_amplification_ratio", 0.214),
            ("write_amplification_over_flush_ratio", 1.9), ("flushes", 12), ("flushed_file_bytes", 551e6),
            ("merges", 3), ("merged_file_bytes", 498e6), ("kernel_written_bytes", 1.05e9), ("file_sync_calls", 210),
            ("flushed_items_ns0", 1e6), ("flushed_item_bytes_ns0", 540e6), ("merged_items_ns0", 1.6e6),
            ("merged_item_bytes_ns0", 870e6), ("flushed_items_ns1", 3.1e6), ("flushed_item_bytes_ns1", 410e6),
            ("merged_items_ns1", 2.2e6), ("merged_item_bytes_ns1", 377e6), ("index_bytes", 512e6),
            ("index_bytes_per_series", 512), ("index_bytes_per_item", 9.48), ("parts", 9), ("parts_max", 17),
            ("blocks", 12_345), ("items_per_block", 512.3), ("forced_merge_size_ratio", 1.21), ("seek_us", 1.53),
            ("seek_cpu_us", 1.5), ("seeks", 100_000), ("seeks_found_ratio", 1), ("data_block_cache_hit_ratio", 0.9123),
            ("data_block_cache_requests", 900_000), ("data_block_cache_bytes", 268e6),
            ("index_block_cache_hit_ratio", 0.9999), ("index_block_cache_requests", 900_000),
            ("index_block_cache_bytes", 12e6), ("scan_ns_per_item", 5.1), ("items_in_table", 14e6),
            ("normalised_items_in_table", 54e6), ("peak_memory_bytes", 390e6), ("generator_mapped_bytes", 508e6),
            ("heap_allocated_bytes", 120e6), ("heap_resident_bytes", 260e6), ("heap_metadata_bytes", 9e6),
            ("heap_fragmentation_ratio", 0.031), ("allocations_per_new_series", 0.42),
            ("normalised_items_added", 54e6), ("memcpy_bytes_per_second", 8.4e9), ("random_read_ns", 84),
            ("zstd_level", 1), ("zstd_bytes_per_second", 410e6), ("zstd_ratio", 9.5), ("plain_sort_ns_per_item", 188),
            ("item_sort_ns_per_item", 62),
        ]
        for (name, value) in values { figures.set(name, value) }
        var observed = Observed(kind: "series")
        observed.series = 1_000_000
        observed.itemsPerSeries = 54
        observed.itemBytesPerSeries = 4912
        observed.labelsMean = 13
        observed.labelsMax = 13
        observed.nameBytesMean = 500.4
        observed.nameBytesMax = 512
        observed.tenants = 1
        observed.streamDigest = "00112233445566aa"
        observed.storeDigest = "8899aabbccddeeff"
        observed.readBackSeries = 200
        observed.readBackItems = 10_800
        var provenance = Provenance()
        provenance.cpu = "Test CPU @ 2.50GHz"
        provenance.cores = 2
        provenance.build = "release"
        provenance.toolchain = "Swift 6.3.1"
        provenance.startedAt = "2026-01-31T12:34:56Z"
        provenance.loadAtStart = 0.25
        return RunRecord(
            profile: "k8s-pods", size: "m", mode: "live", seed: 42, threads: 2,
            settings: ["churn.rate": "0.05", "table.data_block_cache_bytes": "268435456"], comparable: true,
            notComparableBecause: [], provenance: provenance, observed: observed, figures: figures.values)
    }

    /// The same with a run of rows.
    static func rowsFixture() -> RunRecord {
        var record = fixture()
        var figures = FigureSet(isDeterministic: false)
        let values: [(String, Double)] = [
            ("rows_per_second", 1.61e6), ("known_rows_per_second", 5.12e6), ("new_series_per_second", 190_300),
            ("later_rows_per_second", 4.2e6), ("cpu_us_per_known_row", 0.2112), ("cpu_us_per_new_day_row", 2.912),
            ("ingest_cpu_us_per_known_row", 0.191), ("slow_row_inserts", 1.274e6), ("slow_row_inserts_ratio", 0.1593),
            ("slow_inserts_new_series", 1.024e6), ("slow_inserts_cache_miss", 250_000), ("slow_inserts_rotation", 0),
            ("per_day_inserts", 1.084e6), ("next_day_prefills", 60_000), ("rows_too_old", 12), ("rows_nan", 0),
            ("tsid_cache_hit_ratio", 0.964), ("tsid_cache_requests", 7e6), ("tsid_cache_bytes", 33.6e6),
            ("hour_metric_ids_hit_ratio", 0.997), ("hour_metric_ids_requests", 6.9e6),
            ("hour_metric_ids_bytes", 9.1e6), ("date_metric_id_cache_requests", 0), ("allocations_per_known_row", 0),
        ]
        for (name, value) in values { figures.set(name, value) }
        record.figures.merge(figures.values) { _, new in new }
        for name in ["series_per_second", "settled_series_per_second"] { record.figures[name] = nil }
        record.observed.kind = "rows"
        record.observed.rows = 8_000_000
        record.observed.activeSeries = 1_000_000
        record.observed.series = 1_024_000
        var round = RoundRecord()
        round.firstRound = 1
        round.rounds = 7
        round.time = "2022-01-01T00:13:30Z"
        round.rows = 7_000_000
        record.rounds = [round]
        record.labels = [("id", 0.38), ("name", 0.2), ("pod", 0.12)].map { label, share in
            var cost = LabelCost(label: label)
            cost.share = share
            return cost
        }
        record.alerts = [
            AlertVerdict("new series / rows", 0.0031, limit: 0.1),
            AlertVerdict("slow inserts / rows", 0.0612, limit: 0.05),
            AlertVerdict("new series in 24 h / active", 1.02, limit: 3),
        ]
        return record
    }
}
