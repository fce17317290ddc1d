// TableCounters.swift - the counters of a table, one atomic each. They are touched once a batch, flush or merge.

import StorageRuntime

/// The counters of a table.
final class TableCounters: Sendable {
    let itemsAdded = Counter()
    let bytesAdded = Counter()
    let normalisedItemsAdded = Counter()
    let normalisedBytesAdded = Counter()
    let runsSealed = Counter()
    let flushes = Counter()
    let flushSourceItems = Counter()
    let mergesStarted = Counter()
    let mergesFinished = Counter()
    let mergesAbandoned = Counter()
    let itemsMerged = Counter()
    let flushedFileBytes = Counter()
    let mergedFileBytes = Counter()
    let blocksEncoded = Counter()
    let blocksCopied = Counter()
    let itemsCopied = Counter()
    let blocksPaired = Counter()
    let assistedMerges = Counter()
    let failures = Counter()
    let itemsRefused = Counter()
    let stalls = Counter()
    let stallNanoseconds = Counter()
    let hookBlocks = Counter()
    let hookBlocksUnordered = Counter()
    let flushed = Protected<[KindTally]>([KindTally](repeating: KindTally(), count: 8))
    let merged = Protected<[KindTally]>([KindTally](repeating: KindTally(), count: 8))

    /// Adds what a finished part writer has written.
    func add(_ writer: borrowing PartWriter, fileBytes: UInt64, isFlush: Bool) {
        (isFlush ? flushed : merged).withLock { tallies in
            for index in 0..<8 {
                tallies[index].items += writer.kind(index).items
                tallies[index].bytes += writer.kind(index).bytes
            }
        }
        (isFlush ? flushedFileBytes : mergedFileBytes).add(fileBytes)
        blocksEncoded.add(writer.blocksEncoded)
        blocksCopied.add(writer.blocksCopied)
        itemsCopied.add(writer.itemsCopied)
        blocksPaired.add(writer.blocksPaired)
    }

    /// Copies the counters; the gauges are the table's business.
    func fill(_ metrics: inout TableMetrics) {
        metrics.itemsAdded = itemsAdded.value
        metrics.bytesAdded = bytesAdded.value
        metrics.normalisedItemsAdded = normalisedItemsAdded.value
        metrics.normalisedBytesAdded = normalisedBytesAdded.value
        metrics.runsSealed = runsSealed.value
        metrics.flushes = flushes.value
        metrics.flushSourceItems = flushSourceItems.value
        metrics.mergesStarted = mergesStarted.value
        metrics.mergesFinished = mergesFinished.value
        metrics.mergesAbandoned = mergesAbandoned.value
        metrics.itemsMerged = itemsMerged.value
        metrics.flushedFileBytes = flushedFileBytes.value
        metrics.mergedFileBytes = mergedFileBytes.value
        metrics.blocksEncoded = blocksEncoded.value
        metrics.blocksCopied = blocksCopied.value
        metrics.itemsCopied = itemsCopied.value
        metrics.blocksPaired = blocksPaired.value
        metrics.assistedMerges = assistedMerges.value
        metrics.failures = failures.value
        metrics.itemsRefused = itemsRefused.value
        metrics.stalls = stalls.value
        metrics.stallNanoseconds = stallNanoseconds.value
        metrics.hookBlocks = hookBlocks.value
        metrics.hookBlocksUnordered = hookBlocksUnordered.value
        let flushedTallies = flushed.withLock { $0 }
        let mergedTallies = merged.withLock { $0 }
        for index in 0..<8 {
            metrics.kinds[index].flushedItems = flushedTallies[index].items
            metrics.kinds[index].flushedBytes = flushedTallies[index].bytes
            metrics.kinds[index].mergedItems = mergedTallies[index].items
            metrics.kinds[index].mergedBytes = mergedTallies[index].bytes
            metrics.flushedItems += flushedTallies[index].items
            metrics.mergedItems += mergedTallies[index].items
        }
    }
}
