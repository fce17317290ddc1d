// SampleFigures.swift - figures that follow from the counters of a sample table.

import SampleStore
import StorageEngine

/// Turns counters into figures.
enum SampleFigures {
    /// Amplification and space, from the counters after the debt was paid.
    static func setTable(_ metrics: SampleTableMetrics, _ figures: inout FigureSet) {
        let added = Double(metrics.rowsAdded)
        // What the table counts as merges into the small side has the flushes in it.
        let small = metrics.small.rowsMerged &- metrics.flushedRows
        let merged = small &+ metrics.big.rowsMerged
        figures.set("sample_rows_added", metrics.rowsAdded)
        figures.set("rows_flushed", metrics.flushedRows)
        figures.set("rows_merged_small", small)
        figures.set("rows_merged_big", metrics.big.rowsMerged)
        figures.set("row_merge_amplification_ratio", Double(merged) / added)
        figures.set("row_write_amplification_ratio", (Double(merged) + Double(metrics.flushedRows)) / added)
        figures.set("rows_deduplicated", metrics.rowsDeduplicated)
        figures.set("rows_skipped", metrics.rowsSkipped)
        figures.set("sample_flushes", metrics.flushes)
        figures.set("sample_merges", metrics.small.merges &+ metrics.big.merges &- metrics.flushes)
        figures.set("sample_assisted_merges", metrics.assistedMerges)
        let mergedBytes = metrics.small.mergedBytes &+ metrics.big.mergedBytes
        figures.set("sample_flushed_bytes", metrics.flushedBytes)
        figures.set("sample_merged_bytes_small", metrics.small.mergedBytes)
        figures.set("sample_merged_bytes_big", metrics.big.mergedBytes)
        figures.set(
            "sample_write_amplification_ratio",
            Double(metrics.flushedBytes &+ mergedBytes) / Double(metrics.flushedBytes))
        figures.set("sample_blocks_encoded", metrics.small.blocksEncoded &+ metrics.big.blocksEncoded)
        figures.set("sample_blocks_copied", metrics.small.blocksCopied &+ metrics.big.blocksCopied)
        figures.set("timestamps_blocks_shared", metrics.timestampsShared)
        figures.set("timestamps_bytes_saved", metrics.timestampsSavedBytes)
        let rows = metrics.small.rows &+ metrics.big.rows
        let bytes = metrics.small.sizeBytes &+ metrics.big.sizeBytes
        let blocks = metrics.small.blocks &+ metrics.big.blocks
        figures.set("sample_bytes", bytes)
        figures.set("bytes_per_sample", Double(bytes) / Double(rows))
        figures.set("sample_rows", rows)
        figures.set("sample_blocks", blocks)
        figures.set("rows_per_sample_block", Double(rows) / Double(blocks))
        figures.set("sample_partitions", metrics.partitions)
        figures.set("sample_parts_small", metrics.small.fileParts)
        figures.set("sample_parts_big", metrics.big.fileParts)
        figures.set("sample_parts_max", max(metrics.small.filePartsMax, metrics.big.filePartsMax))
        figures.set("sample_stalls", metrics.stalls)
        figures.set("sample_stall_seconds", Double(metrics.stallNanoseconds) * 1e-9)
    }

    /// Index block caches: lookups between two moments.
    static func setCaches(
        _ after: SampleTableMetrics, since before: SampleTableMetrics, _ figures: inout FigureSet
    ) {
        let requests =
            after.small.cacheRequests &+ after.big.cacheRequests &- before.small.cacheRequests
            &- before.big.cacheRequests
        let misses =
            after.small.cacheMisses &+ after.big.cacheMisses &- before.small.cacheMisses &- before.big.cacheMisses
        figures.set("sample_index_cache_hit_ratio", 1 - Double(misses) / Double(requests))
        figures.set("sample_index_cache_requests", requests)
        figures.set("sample_index_cache_misses", misses)
        figures.set("sample_index_cache_bytes", after.small.cacheBytes &+ after.big.cacheBytes)
    }

    /// Known rows and searches, apart and beside each other.
    static func setSearches(_ phases: borrowing RowPhases, _ latencies: [LatencyRecord], _ figures: inout FigureSet) {
        guard let searched = phases.searched, let result = phases.searches, result.searches > 0 else { return }
        let searches = Double(result.searches)
        figures.set("searches", result.searches)
        figures.set("searches_due", result.due)
        figures.set("search_blocks", Double(result.blocks) / searches)
        figures.set("search_rows", Double(result.rows) / searches)
        figures.set("cpu_us_per_searched_row", (searched.cpuSeconds - result.cpuSeconds) * 1e6 / Double(searched.rows))
        if let paced = phases.paced {
            figures.set("cpu_us_per_paced_row", paced.cpuSeconds * 1e6 / Double(paced.rows))
        }
        guard let latency = latencies.first(where: { $0.phase == "searches" && $0.from == .intended }) else { return }
        figures.set("search_cpu_us", result.cpuSeconds * 1e6 / searches)
        setLatency("search_latency", latency, &figures)
        if let alone = phases.searchesAlone { figures.set("searches_alone", alone.searches) }
        if let alone = latencies.first(where: { $0.phase == "searches alone" && $0.from == .intended }) {
            setLatency("search_alone_latency", alone, &figures)
        }
        if let rate = phases.searchedRowsPerSecond {
            figures.set("searched_offered_rows_per_second", rate)
        } else if let known = phases.known {
            let rate = Double(searched.rows) / searched.ingestSeconds
            figures.set("searched_rows_per_second", rate)
            figures.set("search_ingest_loss_ratio", 1 - rate / (Double(known.rows) / known.ingestSeconds))
        }
    }

    private static func setLatency(_ name: String, _ latency: LatencyRecord, _ figures: inout FigureSet) {
        // A hundredth of fewer samples is the longest one by another name.
        for (percentile, text) in [(50.0, "p50"), (99, "p99")] where percentile < 99 || latency.count >= 100 {
            if let us = latency.us(atPercentile: percentile) { figures.set("\(name)_ms_\(text)", us / 1000) }
        }
        figures.set(name + "_ms_max", latency.maxUs / 1000)
    }
}
