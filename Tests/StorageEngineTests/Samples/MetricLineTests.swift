// MetricLineTests.swift - the names under which production knows the counters.

import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct MetricLineTests {
    /// Names of docs/format/sample-store.md, 21, and series-index.md, 14. Those of searches by tag filters are not among them.
    private static let names = """
        vm_rows_added_to_storage_total vm_rows_ignored_total vm_rows vm_pending_rows vm_blocks vm_parts
        vm_data_size_bytes vm_active_merges vm_merges_total vm_rows_merged_total vm_rows_deleted_total
        vm_deduplicated_samples_total vm_assisted_merges_total vm_merge_need_free_disk_space vm_references
        vm_timestamps_blocks_merged_total vm_timestamps_bytes_saved_total vm_cache_entries vm_cache_size_bytes
        vm_cache_size_max_bytes vm_cache_requests_total vm_cache_misses_total vm_concurrent_addrows_limit_reached_total
        vm_concurrent_addrows_limit_timeout_total vm_concurrent_addrows_dropped_rows_total
        vm_concurrent_addrows_capacity vm_concurrent_addrows_current vm_concurrent_search_tsids_limit_reached_total
        vm_concurrent_search_tsids_limit_timeout_total vm_concurrent_search_tsids_capacity
        vm_concurrent_search_tsids_current vm_search_delays_total vm_active_force_merges vm_free_disk_space_bytes
        vm_free_disk_space_limit_bytes vm_storage_is_read_only vm_zstd_block_compress_calls_total
        vm_zstd_block_decompress_calls_total vm_zstd_block_original_bytes_total vm_zstd_block_compressed_bytes_total
        vm_fs_readers vm_filestream_writers vm_fs_read_calls_total vm_fs_read_bytes_total
        vm_slow_row_inserts_total vm_slow_per_day_index_inserts_total
        vm_new_timeseries_created_total vm_missing_metric_names_for_metric_id_total vm_deleted_metrics_total
        vm_hourly_series_limit_rows_dropped_total vm_daily_series_limit_rows_dropped_total
        vm_composite_index_min_timestamp vm_index_blocks_with_metric_ids_processed_total
        vm_index_blocks_with_metric_ids_incorrect_order_total
        """.split(whereSeparator: \.isWhitespace).map(String.init)

    @Test func namesAreThoseOfProduction() throws {
        let fixture = try EngineFixture(keepsSamples: true)
        try fixture.engine.add(StorageLifeTests.rows(0..<20, fixture.nowMs))
        let waiting = fixture.engine.metricLines
        try fixture.engine.flush()
        try fixture.engine.add(StorageLifeTests.rows(0..<20, fixture.nowMs - 60 * Span.day))
        let lines = fixture.engine.metricLines
        #expect(Set(lines.map(\.name)).isSuperset(of: Self.names))
        let series = lines.map(\.series)
        #expect(Set(series).count == series.count)
        #expect(series == series.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
        func value(_ series: String, _ lines: [MetricLine]) -> UInt64? { lines.first { $0.series == series }?.value }
        #expect(value("vm_rows_added_to_storage_total", lines) == 40)
        #expect(value("vm_rows_ignored_total{reason=\"small_timestamp\"}", lines) == 20)
        #expect(value("vm_rows{type=\"storage/small\"}", waiting) == 20)
        #expect(value("vm_pending_rows{type=\"storage\"}", waiting) == 20)
        #expect(value("vm_rows{type=\"storage/small\"}", lines) == 20)
        #expect(value("vm_pending_rows{type=\"storage\"}", lines) == 0)
        #expect(value("vm_parts{type=\"storage/small\"}", lines) == 1)
        #expect(value("vm_storage_is_read_only{path=\"/data/storage\"}", lines) == 0)
        #expect(value("vm_free_disk_space_limit_bytes{path=\"/data/storage\"}", lines) == 10_000_000)
        #expect(value("vm_cache_entries{type=\"storage/tsid\"}", lines) == 20)
        try fixture.close()
    }

    @Test func labelsAreEscaped() {
        let line = MetricLine("vm_x", [("path", "/a\"b\\c\nd"), ("type", "t")], 7)
        #expect(line.text == "vm_x{path=\"/a\\\"b\\\\c\\nd\",type=\"t\"} 7")
        #expect(MetricLine("vm_y", [], 0).text == "vm_y 0")
    }
}
