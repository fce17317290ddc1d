// TableMetrics.swift - what a table counts (docs/format/mergeset-table.md, 19).
//
// Counters only grow; gauges show the moment. Unlike the reference's, the cache counters include live parts.

/// Requests and contents of a block cache.
public struct BlockCacheMetrics: Sendable, Equatable {
    /// Lookups, and those that found nothing.
    public var requests: UInt64 = 0, misses: UInt64 = 0
    /// Entries that were thrown out to make room, or because they had not been used for long.
    public var evictions: UInt64 = 0
    /// Entries and their bytes now, and the most bytes allowed.
    public var entries: UInt64 = 0, bytes: UInt64 = 0, bytesMax: UInt64 = 0

    /// All zero.
    public init() {}
}

/// Items, rows and bytes of one namespace: items are told apart by their first byte.
public struct KindCounts: Sendable, Equatable {
    /// Items written into file parts by flushes, and their bytes before encoding.
    public var flushedItems: UInt64 = 0, flushedBytes: UInt64 = 0
    /// Items written one by one by merges of file parts, and their bytes before encoding.
    public var mergedItems: UInt64 = 0, mergedBytes: UInt64 = 0

    /// All zero.
    public init() {}
}

/// Counters and gauges of one table.
public struct TableMetrics: Sendable, Equatable {
    /// Items as they were put into runs: a gathered tag row counts when its run is sealed.
    public var itemsAdded: UInt64 = 0
    /// Bytes of ``itemsAdded``.
    public var bytesAdded: UInt64 = 0
    /// Items in normalised form: every tag row with one id.
    public var normalisedItemsAdded: UInt64 = 0
    /// Bytes of ``normalisedItemsAdded``.
    public var normalisedBytesAdded: UInt64 = 0
    /// Runs sealed in memory.
    public var runsSealed: UInt64 = 0
    /// Flushes that made a file part (`vm_...` has no counterpart), and their source items.
    public var flushes: UInt64 = 0, flushSourceItems: UInt64 = 0
    /// Merges of file parts that were started, finished, and abandoned or failed.
    public var mergesStarted: UInt64 = 0, mergesFinished: UInt64 = 0, mergesAbandoned: UInt64 = 0
    /// Source items of flushes and merges: `vm_rows_merged_total`.
    public var itemsMerged: UInt64 = 0
    /// Items written by flushes and, one by one, by merges; those of blocks that merges passed on or copied are not in them.
    public var flushedItems: UInt64 = 0, mergedItems: UInt64 = 0
    /// Bytes of files written by flushes and by merges (the four `.bin` files).
    public var flushedFileBytes: UInt64 = 0, mergedFileBytes: UInt64 = 0
    /// Blocks written by encoding, and blocks copied from a source as they were.
    public var blocksEncoded: UInt64 = 0, blocksCopied: UInt64 = 0
    /// Items of blocks that merges passed on as they were stored, and of per-day rows copied from the global ones.
    public var itemsCopied: UInt64 = 0
    /// Of the encoded blocks, those of per-day tag rows that were stored already without their day.
    public var blocksPaired: UInt64 = 0
    /// Merges done by a flushing thread because there were too many parts.
    public var assistedMerges: UInt64 = 0
    /// Flushes or merges that failed and will be tried again.
    public var failures: UInt64 = 0
    /// Items refused because they were too long.
    public var itemsRefused: UInt64 = 0
    /// Times an add call had to wait for a flush, and nanoseconds spent waiting.
    public var stalls: UInt64 = 0, stallNanoseconds: UInt64 = 0
    /// Tag-row blocks that went through the blockwise hook, and those given back unchanged because of their order.
    public var hookBlocks: UInt64 = 0, hookBlocksUnordered: UInt64 = 0
    /// By first byte of the item, 0 to 6; everything else is in the last element.
    public var kinds = [KindCounts](repeating: KindCounts(), count: 8)

    /// Merges and flushes running now.
    public var activeMerges: UInt64 = 0
    /// Items in open and sealed runs in memory, and the bytes of these runs.
    public var pendingItems: UInt64 = 0, pendingBytes: UInt64 = 0
    /// Bytes at most of memory kept for runs to come.
    public var keptBytes: UInt64 = 0
    /// File parts, their blocks, items and bytes (the four `.bin` files).
    public var parts: UInt64 = 0, blocks: UInt64 = 0, items: UInt64 = 0, sizeBytes: UInt64 = 0
    /// Most file parts seen at once.
    public var partsMax: UInt64 = 0
    /// Decoded data blocks kept for searches.
    public var dataBlockCache = BlockCacheMetrics()
    /// Decoded index blocks kept for searches.
    public var indexBlockCache = BlockCacheMetrics()

    /// All zero.
    public init() {}
}

extension BlockCacheMetrics {
    /// Adds the counters of another cache.
    mutating func addCounters(_ other: BlockCacheMetrics) {
        requests += other.requests
        misses += other.misses
        evictions += other.evictions
    }
}

extension TableMetrics {
    /// Adds the counters of another table, but not its contents: of a table that is gone.
    public mutating func addCounters(_ other: TableMetrics) {
        itemsAdded += other.itemsAdded
        bytesAdded += other.bytesAdded
        normalisedItemsAdded += other.normalisedItemsAdded
        normalisedBytesAdded += other.normalisedBytesAdded
        runsSealed += other.runsSealed
        flushes += other.flushes
        flushSourceItems += other.flushSourceItems
        mergesStarted += other.mergesStarted
        mergesFinished += other.mergesFinished
        mergesAbandoned += other.mergesAbandoned
        itemsMerged += other.itemsMerged
        flushedItems += other.flushedItems
        mergedItems += other.mergedItems
        flushedFileBytes += other.flushedFileBytes
        mergedFileBytes += other.mergedFileBytes
        blocksEncoded += other.blocksEncoded
        blocksCopied += other.blocksCopied
        itemsCopied += other.itemsCopied
        blocksPaired += other.blocksPaired
        assistedMerges += other.assistedMerges
        failures += other.failures
        itemsRefused += other.itemsRefused
        stalls += other.stalls
        stallNanoseconds += other.stallNanoseconds
        hookBlocks += other.hookBlocks
        hookBlocksUnordered += other.hookBlocksUnordered
        for kind in kinds.indices {
            kinds[kind].flushedItems += other.kinds[kind].flushedItems
            kinds[kind].flushedBytes += other.kinds[kind].flushedBytes
            kinds[kind].mergedItems += other.kinds[kind].mergedItems
            kinds[kind].mergedBytes += other.kinds[kind].mergedBytes
        }
        dataBlockCache.addCounters(other.dataBlockCache)
        indexBlockCache.addCounters(other.indexBlockCache)
    }

    /// Adds counters and contents of another table.
    public mutating func add(_ other: TableMetrics) {
        addCounters(other)
        activeMerges += other.activeMerges
        pendingItems += other.pendingItems
        pendingBytes += other.pendingBytes
        keptBytes += other.keptBytes
        parts += other.parts
        blocks += other.blocks
        items += other.items
        sizeBytes += other.sizeBytes
        partsMax = max(partsMax, other.partsMax)
        dataBlockCache.entries += other.dataBlockCache.entries
        dataBlockCache.bytes += other.dataBlockCache.bytes
        dataBlockCache.bytesMax += other.dataBlockCache.bytesMax
        indexBlockCache.entries += other.indexBlockCache.entries
        indexBlockCache.bytes += other.indexBlockCache.bytes
        indexBlockCache.bytesMax += other.indexBlockCache.bytesMax
    }
}
