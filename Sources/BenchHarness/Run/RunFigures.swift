// RunFigures.swift - figures that follow from the counters of a table.

import Mergeset

/// Turns counters into figures.
enum RunFigures {
    /// Amplification and space, from the counters after the debt was paid.
    static func setTable(_ metrics: TableMetrics, _ figures: inout FigureSet) {
        let added = Double(metrics.itemsAdded)
        let written = Double(metrics.flushedFileBytes) + Double(metrics.mergedFileBytes)
        figures.set("items_added", metrics.itemsAdded)
        figures.set("bytes_added", metrics.bytesAdded)
        figures.set("normalised_items_added", metrics.normalisedItemsAdded)
        figures.set("normalised_bytes_added", metrics.normalisedBytesAdded)
        figures.set("item_merge_amplification_ratio", Double(metrics.mergedItems) / added)
        figures.set(
            "item_write_amplification_ratio", (Double(metrics.flushedItems) + Double(metrics.mergedItems)) / added)
        figures.set("write_amplification_ratio", written / Double(metrics.normalisedBytesAdded))
        figures.set("write_amplification_over_flush_ratio", written / Double(metrics.flushedFileBytes))
        figures.set("flushes", metrics.flushes)
        figures.set("flushed_items", metrics.flushedItems)
        figures.set("flushed_file_bytes", metrics.flushedFileBytes)
        figures.set("merges", metrics.mergesFinished)
        figures.set("merged_items", metrics.mergedItems)
        figures.set("merged_file_bytes", metrics.mergedFileBytes)
        figures.set("assisted_merges", metrics.assistedMerges)
        figures.set("blocks_encoded", metrics.blocksEncoded)
        figures.set("blocks_copied", metrics.blocksCopied)
        figures.set("blocks_paired", metrics.blocksPaired)
        figures.set("index_bytes", metrics.sizeBytes)
        figures.set("items_in_table", metrics.items)
        figures.set("parts", metrics.parts)
        figures.set("parts_max", metrics.partsMax)
        figures.set("blocks", metrics.blocks)
        figures.set("items_per_block", Double(metrics.items) / Double(metrics.blocks))
    }

    /// Amplification by namespace, for tables of an index.
    static func setNamespaces(_ metrics: TableMetrics, _ figures: inout FigureSet) {
        for (kind, namespace) in zip(metrics.kinds, FigureCatalogue.namespaces)
        where kind.flushedItems > 0 || kind.mergedItems > 0 {
            figures.set("flushed_items_" + namespace, kind.flushedItems)
            figures.set("flushed_item_bytes_" + namespace, kind.flushedBytes)
            figures.set("merged_items_" + namespace, kind.mergedItems)
            figures.set("merged_item_bytes_" + namespace, kind.mergedBytes)
            figures.set(
                "merge_amplification_\(namespace)_ratio", Double(kind.mergedItems) / Double(kind.flushedItems))
        }
    }

    /// The figures of a cache for what happened between two moments; contents are those of the later one.
    static func setCache(
        _ name: String, _ after: BlockCacheMetrics, _ before: BlockCacheMetrics, _ figures: inout FigureSet
    ) {
        let prefix = name + "_block_cache_"
        let requests = after.requests &- before.requests
        let misses = after.misses &- before.misses
        figures.set(prefix + "requests", requests)
        figures.set(prefix + "misses", misses)
        figures.set(prefix + "hit_ratio", 1 - Double(misses) / Double(requests))
        figures.set(prefix + "entries", after.entries)
        figures.set(prefix + "bytes", after.bytes)
        figures.set(prefix + "limit_bytes", after.bytesMax)
        figures.set(prefix + "evictions", after.evictions &- before.evictions)
    }
}
