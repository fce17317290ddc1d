// SampleTableMetrics.swift - what a table of samples counts (docs/format/sample-store.md, 21).
//
// Counters only grow; gauges show the moment. Unlike the reference's, the cache counters include live parts.

import StorageRuntime

/// Counters and gauges of the small or of the big parts of all partitions.
public struct SampleSideMetrics: Sendable, Equatable {
    /// Rows, blocks and bytes of the listed parts, and their number. Those of the small side include parts in memory, and
    /// ``rows`` also the rows in shards (`vm_rows`, `vm_blocks`, `vm_data_size_bytes`, `vm_parts`).
    public var rows: UInt64 = 0, blocks: UInt64 = 0, sizeBytes: UInt64 = 0, parts: UInt64 = 0
    /// File parts alone.
    public var fileParts: UInt64 = 0
    /// Most file parts that one partition had on this side at once.
    public var filePartsMax: UInt64 = 0
    /// Merges running now that write to this side (`vm_active_merges`).
    public var activeMerges: UInt64 = 0
    /// Merges started that write to this side, flushes included (`vm_merges_total`).
    public var merges: UInt64 = 0
    /// Rows written by these merges, before deduplication (`vm_rows_merged_total`).
    public var rowsMerged: UInt64 = 0
    /// Rows of dropped blocks, rows cut at the deadline and rows of stale parts (`vm_rows_deleted_total`).
    public var rowsDeleted: UInt64 = 0
    /// Blocks that merges copied as they were stored, and blocks they encoded.
    public var blocksCopied: UInt64 = 0, blocksEncoded: UInt64 = 0
    /// Bytes of files written by merges of file parts (the four `.bin` files).
    public var mergedBytes: UInt64 = 0
    /// Partitions whose last choice of parts was short of disk space (`vm_merge_need_free_disk_space`).
    public var needsFreeSpace: UInt64 = 0
    /// Parts, and references to them that searches hold (`vm_references`, `name="parts"`).
    public var references: UInt64 = 0
    /// Index block cache: lookups, those that found nothing, entries, bytes and the most bytes allowed.
    public var cacheRequests: UInt64 = 0, cacheMisses: UInt64 = 0
    public var cacheEntries: UInt64 = 0, cacheBytes: UInt64 = 0, cacheBytesMax: UInt64 = 0

    /// All zero.
    public init() {}
}

/// Counters and gauges of one table.
public struct SampleTableMetrics: Sendable, Equatable {
    /// Small and big parts.
    public var small = SampleSideMetrics(), big = SampleSideMetrics()
    /// Rows given to the table.
    public var rowsAdded: UInt64 = 0
    /// Rows that were not stored because they have no partition and are outside of the limits of time.
    public var rowsSkipped: UInt64 = 0
    /// Rows in shards, not searchable yet (`vm_pending_rows`).
    public var pendingRows: UInt64 = 0
    /// Parts in memory, and their rows.
    public var memoryParts: UInt64 = 0, memoryRows: UInt64 = 0
    /// Bytes of rows in shards and of parts in memory.
    public var memoryBytes: UInt64 = 0
    /// Bytes of tables and buffers that are kept for conversions to come.
    public var keptBytes: UInt64 = 0
    /// Conversions of rows to parts in memory.
    public var conversions: UInt64 = 0
    /// Flushes that made a file part, the rows they wrote, and the bytes of the files.
    public var flushes: UInt64 = 0, flushedRows: UInt64 = 0, flushedBytes: UInt64 = 0
    /// Rows dropped by deduplication, in conversions and merges (`vm_deduplicated_samples_total`).
    public var rowsDeduplicated: UInt64 = 0
    /// Blocks that share the timestamps of the block before, and the bytes not written because of it
    /// (`vm_timestamps_blocks_merged_total`, `vm_timestamps_bytes_saved_total`).
    public var timestampsShared: UInt64 = 0, timestampsSavedBytes: UInt64 = 0
    /// Merges done by a flushing thread because there were too many parts (`vm_assisted_merges_total`).
    public var assistedMerges: UInt64 = 0
    /// Forced merges running now (`vm_active_force_merges`).
    public var activeForcedMerges: UInt64 = 0
    /// Flushes, merges and tasks that failed; they are tried again.
    public var failures: UInt64 = 0
    /// Times an add call had to wait for a flush, and nanoseconds spent waiting.
    public var stalls: UInt64 = 0, stallNanoseconds: UInt64 = 0
    /// Partitions, and references to them that searches hold (`vm_references`, `name="partitions"`).
    public var partitions: UInt64 = 0, partitionReferences: UInt64 = 0
    /// Partitions dropped because they are past retention.
    public var partitionsDropped: UInt64 = 0
    /// Parts set aside when the table was opened because they are damaged, and parts found damaged by a merge, which stay
    /// but are merged no more.
    public var partsSetAside: UInt64 = 0, partsExcluded: UInt64 = 0

    /// All zero.
    public init() {}

    /// Rows written by merges of file parts and by flushes for each row added: what merging costs.
    public var rowsMerged: UInt64 { small.rowsMerged + big.rowsMerged }
}

/// A part that was damaged when the table was opened, and where it is now.
public struct DamagedPart: Sendable, Equatable {
    /// The directory it was in.
    public var path: String
    /// The directory it was moved to.
    public var target: String
    /// What is wrong with it.
    public var reason: StorageError
}
