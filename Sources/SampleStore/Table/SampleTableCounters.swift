// SampleTableCounters.swift - the counters of a table of samples, one atomic each. They are touched once a batch, flush,
// merge or search.

import StorageRuntime
import Synchronization

/// The counters of small or big parts.
final class SampleSideCounters: Sendable {
    let merges = Counter()
    let rowsMerged = Counter()
    let rowsDeleted = Counter()
    let blocksCopied = Counter()
    let blocksEncoded = Counter()
    let mergedBytes = Counter()
    /// Parts that searches hold.
    let searchReferences = Atomic<Int>(0)

    /// Adds what a merge has done.
    func add(_ merge: SampleMergeCounters) {
        rowsMerged.add(merge.rowsMerged)
        rowsDeleted.add(merge.rowsDeleted)
        blocksCopied.add(merge.blocksCopied)
        blocksEncoded.add(merge.blocksEncoded)
    }

    func fill(_ metrics: inout SampleSideMetrics) {
        metrics.merges = merges.value
        metrics.rowsMerged = rowsMerged.value
        metrics.rowsDeleted = rowsDeleted.value
        metrics.blocksCopied = blocksCopied.value
        metrics.blocksEncoded = blocksEncoded.value
        metrics.mergedBytes = mergedBytes.value
        metrics.references = UInt64(max(searchReferences.load(ordering: .relaxed), 0))
    }
}

/// The counters of a table.
final class SampleTableCounters: Sendable {
    let small = SampleSideCounters(), big = SampleSideCounters()
    let rowsAdded = Counter()
    let rowsSkipped = Counter()
    let conversions = Counter()
    let flushes = Counter()
    let flushedRows = Counter()
    let flushedBytes = Counter()
    let rowsDeduplicated = Counter()
    let timestampsShared = Counter()
    let timestampsSavedBytes = Counter()
    let assistedMerges = Counter()
    let activeForcedMerges = Atomic<Int>(0)
    let failures = Counter()
    let stalls = Counter()
    let stallNanoseconds = Counter()
    let partitionsDropped = Counter()
    let partsExcluded = Counter()
    /// Bytes that the converter keeps.
    let converterBytes = Atomic<Int>(0)

    func side(_ side: SampleSide) -> SampleSideCounters { side == .small ? small : big }
}

extension SampleTable {
    /// Counters and gauges.
    public var metrics: SampleTableMetrics {
        var metrics = SampleTableMetrics()
        counters.small.fill(&metrics.small)
        counters.big.fill(&metrics.big)
        metrics.rowsAdded = counters.rowsAdded.value
        metrics.rowsSkipped = counters.rowsSkipped.value
        metrics.conversions = counters.conversions.value
        metrics.flushes = counters.flushes.value
        metrics.flushedRows = counters.flushedRows.value
        metrics.flushedBytes = counters.flushedBytes.value
        metrics.rowsDeduplicated = counters.rowsDeduplicated.value
        metrics.timestampsShared = counters.timestampsShared.value
        metrics.timestampsSavedBytes = counters.timestampsSavedBytes.value
        metrics.assistedMerges = counters.assistedMerges.value
        metrics.activeForcedMerges = UInt64(
            max(counters.activeForcedMerges.load(ordering: .relaxed), 0))
        metrics.failures = counters.failures.value
        metrics.stalls = counters.stalls.value
        metrics.stallNanoseconds = counters.stallNanoseconds.value
        metrics.partitionsDropped = counters.partitionsDropped.value
        metrics.partsSetAside = UInt64(damagedParts.count)
        metrics.pendingRows = UInt64(memory.rows)
        metrics.memoryBytes = UInt64(memory.bytes)
        metrics.keptBytes = UInt64(arenas.bytes + counters.converterBytes.load(ordering: .relaxed))
        metrics.partsExcluded = counters.partsExcluded.value
        let partitions = partitions.withLock { $0.listed }
        metrics.partitions = UInt64(partitions.count)
        for partition in partitions { add(partition.state, &metrics) }
        metrics.partitionReferences += metrics.partitions
        metrics.small.rows += metrics.pendingRows
        metrics.small.references += metrics.small.parts
        metrics.big.references += metrics.big.parts
        fillCache(opener.smallCache, &metrics.small)
        fillCache(opener.bigCache, &metrics.big)
        return metrics
    }

    private func add(_ state: SamplePartitionState, _ metrics: inout SampleTableMetrics) {
        let list = state.list
        for part in list.memory {
            metrics.memoryParts += 1
            metrics.memoryRows += part.totals.rows
            SampleTable.count(part, &metrics.small)
        }
        for side in SampleSide.allCases {
            var sums = side == .small ? metrics.small : metrics.big
            for part in list.side(side) { SampleTable.count(part, &sums) }
            sums.fileParts += UInt64(list.side(side).count)
            sums.filePartsMax = max(sums.filePartsMax, UInt64(state.filePartsMax(side)))
            sums.activeMerges += UInt64(state.activeMerges(side))
            sums.needsFreeSpace += state.isShortOfSpace(side) ? 1 : 0
            if side == .small { metrics.small = sums } else { metrics.big = sums }
        }
        metrics.partitionReferences += UInt64(max(state.searchCount, 0))
    }

    private static func count(_ part: SamplePart, _ metrics: inout SampleSideMetrics) {
        metrics.rows += part.totals.rows
        metrics.blocks += part.totals.blocks
        metrics.sizeBytes += part.sizeBytes
        metrics.parts += 1
    }

    private func fillCache(_ budget: IndexCacheBudget, _ metrics: inout SampleSideMetrics) {
        let counters = budget.counters
        metrics.cacheRequests = counters.requests
        metrics.cacheMisses = counters.misses
        metrics.cacheEntries = UInt64(max(counters.entries, 0))
        metrics.cacheBytes = UInt64(max(counters.bytes, 0))
        metrics.cacheBytesMax = UInt64(budget.bytesMax)
    }
}
