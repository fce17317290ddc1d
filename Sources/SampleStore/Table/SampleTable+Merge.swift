// SampleTable+Merge.swift - fewer and larger parts (docs/format/sample-store.md, 10.7, 11, 12).
//
// The new part is complete in tmp/ of its side; a transaction in the same side replaces the sources by it, on disk; then the
// list follows. When no row is left, the transaction has no new part.

import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization

extension SampleTable {
    /// One step of a worker: merge something in some partition, or wait. Later months are looked at first.
    func mergerStep(_ side: SampleSide) -> NextStep {
        if isStopping.load(ordering: .relaxed) { return .whenWoken }
        let failuresBefore = counters.failures.value
        for partition in partitions.withLock({ $0.listed }).reversed() {
            let isFinal = partition.state.withQuietTime(side) { $0.isFinal }
            if mergeOnce(partition, side, final: isFinal) {
                let now = environment.clock.monotonicNanoseconds
                partition.state.withQuietTime(side) { $0.merged(now) }
                return .again
            }
            // A failed merge (a full disk) is tried again, but not at once.
            if counters.failures.value > failuresBefore { break }
            let now = environment.clock.monotonicNanoseconds
            let becomesFinal = partition.state.withQuietTime(side) {
                $0.idle(now, delay: options.finalMergeDelayNanoseconds)
            }
            if becomesFinal { return .again }
        }
        return .after(nanoseconds: 1_000_000_000)
    }

    /// Chooses parts of one side of a partition and merges them. Returns false when there was nothing to merge, or when it did
    /// not succeed.
    func mergeOnce(_ partition: SamplePartition, _ side: SampleSide, final: Bool) -> Bool {
        guard memory.fatalError == nil else { return false }
        let isCrowded = partition.state.list.side(side).count > SamplePolicy.partsKept
        guard final || isCrowded else { return false }
        guard let bigBytesMax = try? bytesMax(.big), let smallBytesMax = try? bytesMax(.small) else { return false }
        func begin(final: Bool) -> SamplePartitionState.Merge? {
            switch side {
            case .small:
                partition.state.beginSmallMerge { candidates in
                    SamplePartSelection.selectSmall(
                        candidates, smallPartBytesMax: smallPartBytesMax, smallBytesMax: smallBytesMax,
                        bigBytesMax: bigBytesMax, final: final)
                }
            case .big:
                partition.state.beginBigMerge { candidates in
                    SamplePartSelection.select(candidates, outputBytesMax: bigBytesMax, final: final)
                }
            }
        }
        // Parts of very different sizes may leave no balanced choice of many: then a few, so that their number stays small.
        let merge = begin(final: final) ?? (isCrowded && !final ? begin(final: true) : nil)
        guard let merge else { return false }
        defer { partition.state.endMerge(merge) }
        return (try? self.merge(merge.sources, in: partition, to: merge.side, isForced: false)) != nil
    }

    /// Largest output of a worker's merge into a side: the free space is shared by the workers.
    private func bytesMax(_ side: SampleSide) throws(StorageError) -> UInt64 {
        let free = try freeSpace.bytes(side == .small ? opener.smallDirectory : opener.bigDirectory)
        return min(free / UInt64(workerCount), SamplePolicy.outputBytesMax)
    }

    /// Merges marked parts into a new one that replaces them on disk and in the list.
    private func merge(
        _ sources: [FileSamplePart], in partition: SamplePartition, to side: SampleSide, isForced: Bool
    ) throws(StorageError) {
        do throws(StorageError) {
            let suffix = suffixes.next()
            let root = partition.path(side)
            let written = try writePart(
                sources, to: PartTransaction.temporaryPath(root: root, suffix: suffix), side: side,
                indexLevel: nil,
                dataLevelMax: options.dataLevelMax ?? SamplePartLevels.data(side, isForced: isForced),
                stop: partition.mergeStop)
            counters.side(side).mergedBytes.add(written.bytes ?? 0)
            let name = written.bytes == nil ? nil : SamplePartName(written.totals, number: suffix).text
            try partition.snapshotLock.withShared { () throws(StorageError) in
                try replace(sources, by: name, suffix, in: partition, side)
            }
            let part = try name.map { name throws(StorageError) in
                try openNew(Paths.join(root, name), side)
            }
            partition.state.exchange(sources, by: part, side)
        } catch {
            if error.kind != .closed { failed(error, sources, partition) }
            throw error
        }
    }

    /// Replaces parts on disk by the one in tmp/, which gets `name`, or by nothing. The caller holds the snapshot lock as a
    /// reader.
    func replace(
        _ sources: [FileSamplePart], by name: String?, _ suffix: UInt64, in partition: SamplePartition,
        _ side: SampleSide
    ) throws(StorageError) {
        let transaction = PartTransaction(
            root: partition.path(side), sources: sources.map(\.path), suffix: suffix, target: name)
        do {
            try transaction.commit(roots: partition.roots(side), suffix: suffix, on: files)
        } catch {
            if error.mayBeCommitted { memory.stop(error.error) }
            throw error.error
        }
    }

    /// Counts and reports a failed merge. The part that is to blame is left out of merges from now on.
    private func failed(
        _ error: StorageError, _ sources: [FileSamplePart], _ partition: SamplePartition
    ) {
        counters.failures.add()
        if error.kind == .corrupted, let path = error.path,
            let part = sources.first(where: { Paths.isStrictlyInside(path, $0.path) })
        {
            if partition.state.exclude(part) {
                counters.partsExcluded.add()
                options.log?("part \(part.path) is damaged and will not be merged any more: \(error)")
            }
        } else {
            options.log?("merging \(sources.count) parts of \(partition.month.name) failed: \(error)")
        }
    }

    // MARK: forced merges

    /// Merges all parts of the partitions whose names (`YYYY_MM`) start with `partitionPrefix`, after a flush: 15 at a time,
    /// small ones first. A single part is rewritten too, which applies deletions, retention and deduplication. Blocks that are
    /// encoded are compressed as well as the reference does. A partition without room for its parts on disk is skipped.
    ///
    /// - Throws: The first error; the other partitions are merged all the same. `.noSpace`, `.io`, `.corrupted`, `.closed`.
    public func mergeAll(partitionPrefix: String = "") throws(StorageError) {
        try forcedMerges.withShared { () throws(StorageError) in try mergeListed(partitionPrefix) }
    }

    private func mergeListed(_ partitionPrefix: String) throws(StorageError) {
        try checkIsOpen()
        try flushEverything()
        var failure: StorageError?
        for partition in partitions.withLock({ $0.listed })
        where partition.month.name.utf8.starts(with: partitionPrefix.utf8) {
            do throws(StorageError) {
                try mergeAll(of: partition)
            } catch {
                failure = failure ?? error
                if error.kind == .closed { break }
            }
        }
        if let failure { throw failure }
    }

    /// Merges all parts of a partition, waiting for merges in progress.
    func mergeAll(of partition: SamplePartition) throws(StorageError) {
        try memory.checkCanWrite()
        counters.activeForcedMerges.wrappingAdd(1, ordering: .relaxed)
        defer { counters.activeForcedMerges.wrappingSubtract(1, ordering: .relaxed) }
        guard let parts = partition.state.beginMergeOfAll() else { return }
        defer { partition.state.endMergeOfAll() }
        let total = parts.reduce(0) { $0 + $1.sizeBytes }
        guard try total <= freeSpace.bytes(opener.bigDirectory) else {
            options.log?(
                "no room for a forced merge of \(partition.month.name): its parts have \(total) bytes")
            return
        }
        var failure: StorageError?
        for start in stride(from: 0, to: parts.count, by: SamplePolicy.partsMax) {
            let group = Array(parts[start..<min(start + SamplePolicy.partsMax, parts.count)])
            let size = group.reduce(0) { $0 + $1.sizeBytes }
            let side = size > smallPartBytesMax ? SampleSide.big : .small
            partition.state.countForcedMerge(side, 1)
            defer { partition.state.countForcedMerge(side, -1) }
            do throws(StorageError) {
                try merge(group, in: partition, to: side, isForced: true)
            } catch {
                // Stopped, but not because the table is being closed: the partition is being dropped.
                if error.kind == .closed, !isStopping.load(ordering: .relaxed) { break }
                failure = failure ?? error
                if memory.fatalError != nil || error.kind == .closed { break }
            }
        }
        if let failure { throw failure }
    }

    /// Flushes, then merges until the merge policy finds nothing more: regular merges only.
    ///
    /// - Throws: As ``flush()``; the reason why the table has stopped.
    public func settle() throws(StorageError) {
        try flush()
        for partition in partitions.withLock({ $0.listed }) {
            while true {
                while mergeOnce(partition, .small, final: false) || mergeOnce(partition, .big, final: false) {}
                partition.state.waitForMerges()
                try memory.checkCanWrite()
                let isBusy = SampleSide.allCases.contains { partition.state.activeMerges($0) > 0 }
                if !mergeOnce(partition, .small, final: false), !mergeOnce(partition, .big, final: false),
                    !isBusy
                {
                    break
                }
            }
        }
    }
}
