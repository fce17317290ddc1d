// MetricLine.swift - the counters of a storage under the names that dashboards and alerts of production know
// (docs/format/series-index.md, 14; sample-store.md, 21; vmstorage-process.md, 6.2 to 6.4).
//
//   vm_rows_ignored_total{reason="small_timestamp"} 17
//
// Values are whole numbers. Those of the process as a whole (zstd, files) are of all storages that it has open.

import Mergeset
import SampleStore
import StorageBytes
import StorageFiles
import StorageRuntime

/// A metric of a storage.
public struct MetricLine: Sendable, Equatable {
    /// `vm_...`
    public let name: String
    /// Labels in the order in which they are printed.
    public let labels: [(key: String, value: String)]
    /// The value of the moment.
    public let value: UInt64

    init(_ name: String, _ labels: [(key: String, value: String)], _ value: UInt64) {
        self.name = name
        self.labels = labels
        self.value = value
    }

    public static func == (a: MetricLine, b: MetricLine) -> Bool { a.text == b.text }

    /// Name and labels as they are printed: `name{key="value"}`; backslashes, quotes and line ends in values are escaped.
    public var series: String {
        guard !labels.isEmpty else { return name }
        let texts = labels.map { $0.key + "=" + MetricLabel.quoted($0.value) }
        return "\(name){\(texts.joined(separator: ","))}"
    }

    /// The whole line, without a line end.
    public var text: String { "\(series) \(value)" }
}

extension MetricLine {
    /// All metrics of a storage, by the bytes of ``series``.
    ///
    /// - Parameters:
    ///   - path: The directory of the storage, as operators know it.
    ///   - files: What the file system has counted.
    public static func all(_ metrics: StorageMetrics, path: String, files: FileCounters) -> [MetricLine] {
        var list = MetricList()
        list.addRows(metrics)
        list.addSearches(metrics)
        list.addIndex(metrics)
        list.addCaches(metrics)
        if let samples = metrics.samples { list.addSamples(samples) }
        list.addSpace(metrics, path: path)
        list.addProcess(files)
        return list.lines.map { ($0.series, $0) }
            .sorted { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }.map(\.1)
    }
}

/// Collects lines.
private struct MetricList {
    var lines: [MetricLine] = []

    mutating func add(_ name: String, _ value: UInt64, _ labels: KeyValuePairs<String, String> = [:]) {
        lines.append(MetricLine("vm_" + name, labels.map { ($0.key, $0.value) }, value))
    }

    mutating func addRows(_ metrics: StorageMetrics) {
        add("rows_added_to_storage_total", metrics.rowsAdded)
        add("rows_ignored_total", metrics.rowsTooOld, ["reason": "small_timestamp"])
        add("rows_ignored_total", metrics.rowsTooNew, ["reason": "big_timestamp"])
        add("slow_row_inserts_total", metrics.slowRowInserts)
        add("slow_per_day_index_inserts_total", metrics.slowPerDayInserts)
        add("new_timeseries_created_total", metrics.newSeriesCreated)
        add("hourly_series_limit_rows_dropped_total", metrics.rowsOverHourlyLimit)
        add("daily_series_limit_rows_dropped_total", metrics.rowsOverDailyLimit)
        add("concurrent_addrows_limit_reached_total", metrics.addRowsLimitReached)
        add("concurrent_addrows_limit_timeout_total", metrics.addRowsTimeouts)
        add("concurrent_addrows_dropped_rows_total", metrics.addRowsDroppedRows)
        add("concurrent_addrows_capacity", metrics.addRowsCapacity)
        add("concurrent_addrows_current", metrics.addRowsCurrent)
    }

    mutating func addSearches(_ metrics: StorageMetrics) {
        add("concurrent_search_tsids_limit_reached_total", metrics.searchesLimitReached)
        add("concurrent_search_tsids_limit_timeout_total", metrics.searchesTimeouts)
        add("concurrent_search_tsids_capacity", metrics.searchesCapacity)
        add("concurrent_search_tsids_current", metrics.searchesCurrent)
        add("search_delays_total", metrics.searchDelays)
        add("missing_metric_names_for_metric_id_total", metrics.seriesWithoutName)
    }

    mutating func addIndex(_ metrics: StorageMetrics) {
        let index = metrics.index
        add("deleted_metrics_total", metrics.deletedSeries, ["type": "indexdb"])
        add("composite_index_min_timestamp", metrics.compositeIndexMinTimestamp)
        add("index_blocks_with_metric_ids_processed_total", index.hookBlocks)
        add("index_blocks_with_metric_ids_incorrect_order_total", index.hookBlocksUnordered)
        add("rows", index.items, ["type": "indexdb"])
        add("blocks", index.blocks, ["type": "indexdb"])
        add("parts", index.parts, ["type": "indexdb"])
        add("data_size_bytes", index.sizeBytes, ["type": "indexdb"])
        add("pending_rows", index.pendingItems, ["type": "indexdb"])
        add("active_merges", index.activeMerges, ["type": "indexdb"])
        add("merges_total", index.mergesStarted + index.flushes, ["type": "indexdb"])
        add("rows_merged_total", index.itemsMerged, ["type": "indexdb"])
        add("assisted_merges_total", index.assistedMerges, ["type": "indexdb"])
    }

    mutating func addCaches(_ metrics: StorageMetrics) {
        addCache("storage/tsid", metrics.tsidCache)
        addCache("storage/metricIDs", metrics.metricIDCache)
        addCache("storage/metricName", metrics.metricNameCache)
        addContents("storage/date_metricID", metrics.dateMetricIDCache)
        addContents("storage/hour_metric_ids", metrics.hourMetricIDs)
        addContents("storage/next_day_metric_ids", metrics.nextDayMetricIDs)
        addCache("indexdb/dataBlocks", CacheMetrics(metrics.index.dataBlockCache))
        addCache("indexdb/indexBlocks", CacheMetrics(metrics.index.indexBlockCache))
    }

    private mutating func addContents(_ type: String, _ cache: CacheMetrics) {
        add("cache_entries", cache.entries, ["type": type])
        add("cache_size_bytes", cache.bytes, ["type": type])
    }

    private mutating func addCache(_ type: String, _ cache: CacheMetrics) {
        addContents(type, cache)
        add("cache_size_max_bytes", cache.bytesMax, ["type": type])
        add("cache_requests_total", cache.requests, ["type": type])
        add("cache_misses_total", cache.misses, ["type": type])
    }

    mutating func addSamples(_ metrics: SampleTableMetrics) {
        addSide("storage/small", metrics.small)
        addSide("storage/big", metrics.big)
        addCache("storage/smallIndexBlocks", CacheMetrics(metrics.small))
        addCache("storage/bigIndexBlocks", CacheMetrics(metrics.big))
        add("pending_rows", metrics.pendingRows, ["type": "storage"])
        add("assisted_merges_total", metrics.assistedMerges, ["type": "storage/small"])
        add("deduplicated_samples_total", metrics.rowsDeduplicated, ["type": "merge"])
        add("timestamps_blocks_merged_total", metrics.timestampsShared)
        add("timestamps_bytes_saved_total", metrics.timestampsSavedBytes)
        add("active_force_merges", metrics.activeForcedMerges)
        add("references", metrics.partitionReferences, ["type": "storage", "name": "partitions"])
    }

    private mutating func addSide(_ type: String, _ side: SampleSideMetrics) {
        add("rows", side.rows, ["type": type])
        add("blocks", side.blocks, ["type": type])
        add("parts", side.parts, ["type": type])
        add("data_size_bytes", side.sizeBytes, ["type": type])
        add("active_merges", side.activeMerges, ["type": type])
        add("merges_total", side.merges, ["type": type])
        add("rows_merged_total", side.rowsMerged, ["type": type])
        add("rows_deleted_total", side.rowsDeleted, ["type": type])
        add("merge_need_free_disk_space", side.needsFreeSpace, ["type": type])
        add("references", side.references, ["type": type, "name": "parts"])
    }

    mutating func addSpace(_ metrics: StorageMetrics, path: String) {
        add("free_disk_space_bytes", metrics.freeDiskSpaceBytes, ["path": path])
        add("free_disk_space_limit_bytes", metrics.freeDiskSpaceLimitBytes, ["path": path])
        add("storage_is_read_only", metrics.isReadOnly ? 1 : 0, ["path": path])
    }

    mutating func addProcess(_ files: FileCounters) {
        let zstd = Zstd.counters
        add("zstd_block_compress_calls_total", zstd.compressCalls)
        add("zstd_block_decompress_calls_total", zstd.decompressCalls)
        add("zstd_block_original_bytes_total", zstd.originalBytes)
        add("zstd_block_compressed_bytes_total", zstd.compressedBytes)
        // The counters are read one after the other, while files are opened and closed.
        add("fs_readers", files.filesOpened - min(files.filesOpened, files.readersClosed))
        add("filestream_writers", files.filesCreated - min(files.filesCreated, files.writersClosed))
        add("fs_read_calls_total", files.readCalls)
        add("fs_read_bytes_total", files.readBytes)
        add("filestream_real_write_calls_total", files.writeCalls)
        add("filestream_real_written_bytes_total", files.writtenBytes)
    }
}

extension CacheMetrics {
    fileprivate init(_ cache: BlockCacheMetrics) {
        self.init()
        requests = cache.requests
        misses = cache.misses
        evictions = cache.evictions
        entries = cache.entries
        bytes = cache.bytes
        bytesMax = cache.bytesMax
    }

    /// The index block cache of one side of a sample table.
    fileprivate init(_ side: SampleSideMetrics) {
        self.init()
        requests = side.cacheRequests
        misses = side.cacheMisses
        entries = side.cacheEntries
        bytes = side.cacheBytes
        bytesMax = side.cacheBytesMax
    }
}
