// Table+Flush.swift - from runs in memory to a durable part (docs/format/mergeset-table.md, 8 and 9).
//
//   1. the sealed runs are taken from the list (they stay visible in it)
//   2. they are merged, through the hook, into tmp/<suffix>; all files are synced
//   3. the directory is renamed to its final name and the table directory synced: the point of commit
//   4. the part takes the place of the runs in the list; only then flush() returns
//
// A flush removes nothing, so the rename alone commits it: no transaction file is needed.

import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization

extension Table {
    /// Makes everything added before durable.
    ///
    /// - Throws: `.noSpace`, `.io`: nothing is lost, the items stay in memory and are tried again. `.closed`.
    public func flush() throws(StorageError) {
        try checkIsOpen()
        try flushEverything()
        options.onNewItems?()
        assistMerges()
        environment.scheduler.checkpoint()
    }

    /// As ``flush()``, but no merges are done or waited for, and no other background work gets its turn: for whoever must
    /// not go on before the items are durable, in the middle of work of its own.
    public func makeDurable() throws(StorageError) {
        try checkIsOpen()
        try flushEverything()
        options.onNewItems?()
    }

    func flushEverything() throws(StorageError) {
        flushLock.lock()
        defer { flushLock.unlock() }
        _ = try flushRuns(sealingOpenRuns: true)
    }

    /// Writes all sealed runs; tells the observer. The caller holds ``flushLock``. Returns false when there was nothing.
    private func flushRuns(sealingOpenRuns: Bool) throws(StorageError) -> Bool {
        flushNumber += 1
        options.flushObserver?.willFlush(flushNumber)
        // What was added before is in runs that were opened before.
        unfinishedFlushes.append((flushNumber, nextRun.load(ordering: .acquiring)))
        if sealingOpenRuns { sealAll() }
        let hasFlushed = try writeRuns()
        // Arenas of the runs just written are back in the pool. Under a steady load there are new runs already.
        builders.trim(waitingMax: oldestPending() == nil && state.pendingBytes == 0 ? 1 : .max)
        let oldest = oldestRun() ?? .max
        guard let last = unfinishedFlushes.lastIndex(where: { $0.firstRunBehind <= oldest }) else { return hasFlushed }
        options.flushObserver?.didFlush(through: unfinishedFlushes[last].number)
        unfinishedFlushes.removeFirst(last + 1)
        return hasFlushed
    }

    /// The number of the oldest run that is not durable. A run leaves its shard for the list, so the shards come first.
    private func oldestRun() -> UInt64? {
        var oldest: UInt64?
        for shard in shards {
            shard.lock.withLock {
                guard let box = shard.builder, !box.pointer.pointee.isEmpty else { return }
                oldest = min(oldest ?? .max, box.pointer.pointee.number)
            }
        }
        return [oldest, state.oldestRun].compactMap(\.self).min()
    }

    /// One step of the flusher. Runs are flushed when they take too much memory, or when the oldest item that is not
    /// durable has waited for the interval: then the open runs are flushed with them.
    func flusherStep() -> NextStep {
        let interval = options.flushIntervalNanoseconds
        let now = environment.clock.monotonicNanoseconds
        let waitsSince = oldestPending()
        let isDue = waitsSince.map { now - min($0, now) >= interval } ?? false
        if waitsSince == nil, state.pendingBytes == 0 { builders.trim(waitingMax: 0) }
        if isDue || state.sealedBytes >= options.memoryBytesMax {
            flushLock.lock()
            // The error is kept in the state: whoever adds or flushes next gets it.
            let hasFlushed = (try? flushRuns(sealingOpenRuns: isDue)) ?? false
            flushLock.unlock()
            if hasFlushed {
                options.onNewItems?()
                assistMerges()
            }
        }
        sweepCaches(now)
        guard state.flushError == nil, let oldest = oldestPending() else { return .after(nanoseconds: interval) }
        let age = environment.clock.monotonicNanoseconds - min(oldest, now)
        return .after(nanoseconds: max(interval - min(age, interval), 1_000_000))
    }

    /// When the oldest item that is not durable was added; nil when there is none.
    private func oldestPending() -> UInt64? {
        var oldest = state.list.runs.map(\.openedAt).min()
        for shard in shards {
            shard.lock.withLock {
                guard let box = shard.builder, !box.pointer.pointee.isEmpty else { return }
                oldest = min(oldest ?? .max, box.pointer.pointee.openedAt)
            }
        }
        return oldest
    }

    /// Writes the sealed runs into one part. The caller holds ``flushLock``. Returns false when there was nothing.
    private func writeRuns() throws(StorageError) -> Bool {
        if let error = state.fatalError { throw error }
        let runs = state.list.runs
        guard !runs.isEmpty else { return false }
        #if INJECT_FAULTS
            InjectedFault.duringFlush()
        #endif
        let start = environment.clock.monotonicNanoseconds
        do throws(StorageError) {
            var merger = try Merger(runs: runs, parts: [])
            let items = runs.reduce(0) { $0 + UInt64($1.count) }
            let suffix = suffixes.next()
            let directory = PartTransaction.temporaryPath(root: path, suffix: suffix)
            let level = options.compressionLevel ?? CompressionLevel.ofFlush
            let result = try write(
                &merger, to: directory, level: level, keepsStoredBlocks: false, day: nil, isFlush: true,
                isCancelled: { false })
            counters.flushes.add()
            counters.flushSourceItems.add(items)
            counters.itemsMerged.add(items)
            guard let result else {
                try files.removeAll(directory)
                state.publishFlush(runs, nil)
                return true
            }
            let target = Paths.join(path, result.metadata.partName(suffix: suffix))
            try snapshotLock.withShared { () throws(StorageError) in
                do throws(StorageError) {
                    try files.rename(directory, to: target)
                } catch {
                    try? files.removeAll(directory)
                    throw error
                }
                try commitRename(target)
            }
            let part = try openNew(target)
            state.publishFlush(runs, part)
            tell(result, part.name, from: [], since: start)
        } catch {
            counters.failures.add()
            state.flushFailed(error)
            throw error
        }
        wakeMergers()
        return true
    }

    /// Makes the final name durable. When that fails the part must not stay: its runs are still in memory and would be
    /// written again.
    private func commitRename(_ target: String) throws(StorageError) {
        do throws(StorageError) {
            try files.sync(path)
        } catch {
            do throws(StorageError) {
                try files.removeAll(target)
            } catch let second {
                state.stop(second.adding("a part whose sync failed could not be taken back; open the table again"))
            }
            throw error
        }
    }

    /// Opens a part just made. It is durable already, so a failure here cannot be mended by trying again.
    func openNew(_ target: String) throws(StorageError) -> FilePart {
        // A read that failed once often succeeds when it is tried again; stopping the table is the last resort.
        if let part = try? FilePart(path: target, files: files, caches: caches) { return part }
        do throws(StorageError) {
            return try FilePart(path: target, files: files, caches: caches)
        } catch {
            state.stop(error.adding("a new part does not open; open the table again"))
            throw error
        }
    }

    /// Merges sources through the table's hook into a new part directory. nil when nothing was left; the directory
    /// exists then. On errors it is removed, as far as that is possible. With a `day`, the merger leaves out the per-day
    /// rows, and they are made of the global ones.
    func write(
        _ merger: inout Merger, to directory: String, level: Int, keepsStoredBlocks: Bool, day: UInt64?, isFlush: Bool,
        isCancelled: () -> Bool
    ) throws(StorageError) -> PartWriter.Result? {
        do throws(StorageError) {
            var writer = try PartWriter(
                directory: directory, level: level, files: files,
                twinKey: options.tagRowMerging == .streaming ? twinKey : nil, copiesDayRows: day != nil)
            switch options.tagRowMerging {
            case .none:
                var hook = PassThrough()
                _ = try MergeLoop.run(
                    &merger, through: &hook, into: &writer, keepsStoredBlocks: keepsStoredBlocks,
                    isCancelled: isCancelled)
            case .streaming:
                var hook = TagRowMerger(path: path)
                _ = try MergeLoop.run(
                    &merger, through: &hook, into: &writer, keepsStoredBlocks: keepsStoredBlocks,
                    isCancelled: isCancelled)
            case .blockwise:
                var hook = BlockwiseTagRows(path: path)
                _ = try MergeLoop.run(
                    &merger, through: &hook, into: &writer, keepsStoredBlocks: keepsStoredBlocks,
                    isCancelled: isCancelled)
                counters.hookBlocks.add(hook.rule.processedBlocks)
                counters.hookBlocksUnordered.add(hook.rule.unorderedBlocks)
            }
            if let day { try writer.appendDayRows(day, isCancelled: isCancelled) }
            let result = try writer.finish()
            counters.add(writer, fileBytes: result?.fileBytes ?? 0, isFlush: isFlush)
            return result
        } catch {
            try? files.removeAll(directory)
            throw error
        }
    }

    /// Once in a while, throws out cached blocks that nobody has used.
    private func sweepCaches(_ now: UInt64) {
        guard state.isSweepDue(now) else { return }
        for part in state.list.parts { part.sweepCaches() }
    }

    /// After a flush: while there are far too many parts, the flushing thread merges, and searches wait.
    private func assistMerges() {
        while state.list.parts.count > MergePolicy.assistedPartsMin, !isStopping.load(ordering: .relaxed) {
            let hasMerged = searchGate.whileClosed { mergeOnce(final: false) }
            guard hasMerged else { return }
            counters.assistedMerges.add()
        }
    }
}

/// Levels of compression for parts of a size (docs/format/mergeset-table.md, 4.4; free to choose).
public enum CompressionLevel {
    /// Parts of flushes are merged soon.
    public static let ofFlush = Zstd.lightLevel

    /// The level of a merged part, by the number of its source items. Parts that will be merged again are compressed
    /// lightly, parts that stay, and those that somebody asked for, are not.
    static func ofMerge(items: UInt64, isForced: Bool) -> Int {
        switch items {
        case ...(1 << 25): isForced ? 1 : Zstd.lightLevel
        case ...(1 << 28): isForced ? 2 : 1
        default: 3
        }
    }
}
