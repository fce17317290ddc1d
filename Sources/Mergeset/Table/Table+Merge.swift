// Table+Merge.swift - fewer and larger parts (docs/format/mergeset-table.md, 10 to 12).

import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization

/// What a merge worker remembers from step to step. One worker's step runs at a time.
final class MergeWorker: @unchecked Sendable {
    private let clock: any StorageClock
    var lastMerge: UInt64?
    var isFinal = false

    init(_ clock: any StorageClock) { self.clock = clock }
}

extension Table {
    /// One step of a merge worker: merge something, or wait. A worker that has found nothing for 30 s looks for final
    /// merges, until it merges something.
    func mergerStep(_ worker: MergeWorker) -> NextStep {
        if isStopping.load(ordering: .relaxed) { return .whenWoken }
        let failuresBefore = counters.failures.value
        if mergeOnce(final: worker.isFinal) {
            worker.lastMerge = environment.clock.monotonicNanoseconds
            worker.isFinal = false
            return .again
        }
        // A failed merge (a full disk) is tried again, but not at once.
        if counters.failures.value > failuresBefore { return .after(nanoseconds: 1_000_000_000) }
        let now = environment.clock.monotonicNanoseconds
        let last = worker.lastMerge ?? now
        worker.lastMerge = last
        if !worker.isFinal, now - last > MergePolicy.idleNanosecondsMax {
            worker.lastMerge = now
            worker.isFinal = true
            return .again
        }
        return .after(nanoseconds: 1_000_000_000)
    }

    /// Chooses parts and merges them. Returns false when there was nothing to merge, or when it did not succeed.
    func mergeOnce(final: Bool) -> Bool {
        guard final || state.partsExpected > MergePolicy.partsKept else { return false }
        guard let space = try? freeSpace.bytes(path) else { return false }
        let limit = min(space / UInt64(workerCount), MergePolicy.outputBytesMax)
        let sources = state.beginMerge { sizes, isMerging in
            final
                ? PartSelection.select(sizes: sizes, isMerging: isMerging, maxOutputBytes: limit, final: true)
                : PartSelection.selectToKeepFew(sizes: sizes, isMerging: isMerging, maxOutputBytes: limit)
        }
        guard !sources.isEmpty else { return false }
        do throws(StorageError) {
            let part = try merge(sources, isForced: false)
            state.endMerge(sources, part)
            return true
        } catch {
            state.endMerge(sources, nil)
            return false
        }
    }

    /// Merges parts into a new one that replaces them on disk. The caller exchanges them in the list.
    private func merge(_ sources: [FilePart], isForced: Bool) throws(StorageError) -> FilePart {
        counters.mergesStarted.add()
        let start = environment.clock.monotonicNanoseconds
        do throws(StorageError) {
            let items = sources.reduce(0) { $0 + $1.metadata.itemsCount }
            let isCancelled = { !isForced && self.isStopping.load(ordering: .relaxed) }
            let twins =
                options.tagRowMerging == .streaming ? try DayTwins.ofAll(sources, isCancelled: isCancelled) : nil
            var merger = try Merger(runs: [], parts: sources, leavingOut: twins)
            let suffix = suffixes.next()
            let directory = PartTransaction.temporaryPath(root: path, suffix: suffix)
            let level = options.compressionLevel ?? CompressionLevel.ofMerge(items: items, isForced: isForced)
            let result = try write(
                &merger, to: directory, level: level, keepsStoredBlocks: !isForced, day: twins?.first?.day,
                isFlush: false,
                isCancelled: isCancelled)
            counters.itemsMerged.add(items)
            guard let result else {
                // No hook of ours drops the last item of anything; a table cannot lose all its items in a merge.
                throw StorageError(.corrupted, "a merge of \(items) items left none", path: directory)
            }
            let name = result.metadata.partName(suffix: suffix)
            let transaction = PartTransaction(
                root: path, sources: sources.map { Paths.join(path, $0.name) }, suffix: suffix, target: name)
            try snapshotLock.withShared { () throws(StorageError) in try commit(transaction, suffix) }
            let part = try openNew(Paths.join(path, name))
            counters.mergesFinished.add()
            tell(result, name, from: sources, since: start)
            return part
        } catch {
            counters.mergesAbandoned.add()
            if error.kind != .closed { counters.failures.add() }
            throw error
        }
    }

    private func commit(_ transaction: PartTransaction, _ suffix: UInt64) throws(StorageError) {
        do {
            try transaction.commit(roots: [path], suffix: suffix, on: files)
        } catch {
            if error.mayBeCommitted { state.stop(error.error) }
            throw error.error
        }
    }

    /// Merges all file parts into one, after a flush. Blocks are encoded anew, whatever they were; those of per-day rows may be
    /// copies of the new ones of global rows (DayTwins).
    ///
    /// - Throws: `.noSpace`, `.io`, `.corrupted`; the sources stay then.
    public func mergeAll() throws(StorageError) {
        try checkIsOpen()
        try flushEverything()
        options.onNewItems?()
        let sources = state.beginMergeOfAll()
        guard !sources.isEmpty else {
            state.endMerge([], nil, wasOfAll: true)
            return
        }
        do throws(StorageError) {
            let part = try merge(sources, isForced: true)
            state.endMerge(sources, part, wasOfAll: true)
        } catch {
            state.endMerge(sources, nil, wasOfAll: true)
            throw error
        }
    }

    /// Waits until the merge policy finds nothing more to merge: regular merges only.
    ///
    /// - Throws: The reason why the table has stopped.
    public func settle() throws(StorageError) {
        try checkIsOpen()
        environment.scheduler.checkpoint()
        while true {
            while mergeOnce(final: false) {}
            state.waitForMerges()
            if let error = state.fatalError { throw error }
            if !mergeOnce(final: false), state.activeMerges == 0 { return }
        }
    }
}
