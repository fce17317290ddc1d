// SampleTable+Flush.swift - from rows to a durable part (docs/format/sample-store.md, 8.2, 8.3, 9, 12.1).
//
//   number    1. full arenas leave the shards; their rows get the numbers of their series and move to the batch of their month
//                and precision bits, 16 bytes each: by the thread that has filled an arena, or by the flush
//   convert   2. each batch becomes a part in memory, which searches see from then on
//   write     3. all parts in memory of a partition are merged into small/YYYY_MM/tmp/<suffix>; all files are synced
//             4. the directory is renamed to its final name, its parent is synced: the point of commit
//             5. the file part takes the place of the parts in memory in the list; only then flush() returns
//
// A flush removes nothing from disk, so the rename alone commits it: no transaction is needed.

import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization

extension SampleTable {
    /// Converts all rows added before into parts in memory: searches see them. Writes no files, except the directories of new
    /// partitions.
    ///
    /// - Throws: `.noSpace`, `.io` of making directories; nothing is lost. `.closed`.
    public func makeSearchable() throws(StorageError) {
        try checkIsOpen()
        try convertEverything()
        assistMerges()
    }

    /// Makes everything added before durable and searchable.
    ///
    /// - Throws: `.noSpace`, `.io`: nothing is lost, the rows stay in memory and are tried again. `.closed`.
    public func flush() throws(StorageError) {
        try checkIsOpen()
        try flushEverything()
        assistMerges()
        environment.scheduler.checkpoint()
    }

    func flushEverything() throws(StorageError) {
        flushLock.lock()
        defer { flushLock.unlock() }
        _ = try flushLocked()
    }

    /// One step of the flusher. It flushes when the rows take too much memory, or when the oldest one has waited for the
    /// interval.
    func flusherStep() -> NextStep {
        let interval = options.flushIntervalNanoseconds
        let now = environment.clock.monotonicNanoseconds
        let isDue = memory.oldestNanoseconds.map { now - min($0, now) >= interval } ?? false
        // Rows that came while the last batch was converted are still as large as they were.
        if !isDue, memory.bytes >= flushBytes { numberFullArenas() }
        if isDue || memory.bytes >= flushBytes {
            flushLock.lock()
            // The error is kept by the account of memory: whoever adds next gets it.
            let hasFlushed = (try? flushLocked()) ?? false
            flushLock.unlock()
            if hasFlushed { assistMerges() }
        }
        guard memory.flushError == nil, let oldest = memory.oldestNanoseconds else {
            return .after(nanoseconds: interval)
        }
        let age = environment.clock.monotonicNanoseconds - min(oldest, now)
        return .after(nanoseconds: max(interval - min(age, interval), 1_000_000))
    }

    /// Converts and writes everything. The caller holds ``flushLock``. Returns false when there was nothing.
    private func flushLocked() throws(StorageError) -> Bool {
        try memory.checkCanWrite()
        let since = memory.flushBegins()
        do throws(StorageError) {
            try convertEverything()
            let hasFlushed = try writeMemoryParts()
            memory.flushEnded(nil, since: since)
            if hasFlushed { wakeMergers() }
            return hasFlushed
        } catch {
            counters.failures.add()
            memory.flushEnded(error, since: since)
            throw error
        }
    }

    // MARK: conversion

    /// Numbers the rows of full arenas, unless somebody else is converting: whoever comes next will do it.
    func numberFullArenas() {
        guard convertLock.tryLock() else { return }
        defer { convertLock.unlock() }
        numberArenas()
    }

    /// Moves the rows of full arenas to their batches. The caller holds ``convertLock``.
    private func numberArenas() {
        let taken = full.withLock { list in
            let taken = list
            list = []
            return taken
        }
        guard !taken.isEmpty else { return }
        let groups = RowGroups(taken, pool: arenas)
        var rows = 0
        for group in groups.groups {
            let batch = batches.batch(group.month, group.precisionBits)
            for piece in group.pieces { converter.number(piece, into: batch) }
            rows += group.count
        }
        for arena in taken + groups.spare { arenas.put(arena) }
        memory.numbered(bytes: rows * (MemoryLayout<SampleRow>.stride - NumberedRows.rowBytes))
    }

    private func convertEverything() throws(StorageError) {
        convertLock.lock()
        defer { convertLock.unlock() }
        for shard in shards {
            shard.lock.withLock {
                if let arena = shard.arena {
                    full.withLock { $0.append(arena) }
                    shard.arena = nil
                }
            }
        }
        numberArenas()
        // All partitions first: then nothing can fail any more, and no row is converted twice.
        var partitions: [SamplePartition?] = []
        for entry in batches.entries { partitions.append(try partition(for: entry)) }
        for (entry, partition) in zip(batches.entries, partitions) { convert(entry, into: partition) }
        if batches.entries.isEmpty { return }
        batches.removeAll()
        converter.trim()
        counters.converterBytes.store(converter.memoryBytes, ordering: .relaxed)
    }

    /// The partition of rows, which is made if need be; nil when the rows are to be skipped: there is none, and they are out
    /// of the limits (16).
    private func partition(for entry: RowBatches.Entry) throws(StorageError) -> SamplePartition? {
        let (listed, isGone) = partitions.withLock { partitions in
            (partitions.listed(entry.month), partitions.dropped.contains { $0.month == entry.month })
        }
        if let listed { return listed }
        let now = environment.clock.unixMilliseconds
        let (oldest, latest) = (max(0, retentionStart()), now + SamplePolicy.futureMsMax)
        guard !isGone, entry.month.overlaps(oldest, latest),
            entry.rows.hasTimestamp(in: oldest...latest)
        else {
            return nil
        }
        var damaged: [DamagedPart] = []
        let partition = try opener.open(entry.month, &damaged)
        partitions.withLock { $0.insert(partition) }
        return partition
    }

    private func convert(_ entry: RowBatches.Entry, into partition: SamplePartition?) {
        let rows = entry.rows.count
        let bytes = rows * NumberedRows.rowBytes
        let before = converter.rowsDeduplicated
        guard let partition,
            let part = converter.convert(
                entry.rows, precisionBits: entry.precisionBits, dedupIntervalMs: options.dedupIntervalMs)
        else {
            counters.rowsSkipped.add(UInt64(rows))
            memory.converted(rows: rows, bytes: bytes, partBytes: 0)
            return
        }
        counters.conversions.add()
        counters.rowsDeduplicated.add(converter.rowsDeduplicated - before)
        let isPublished = partition.state.publishMemory(part)
        memory.converted(rows: rows, bytes: bytes, partBytes: isPublished ? Int(part.sizeBytes) : 0)
        if !isPublished { counters.rowsSkipped.add(UInt64(rows)) }
    }

    // MARK: writing

    /// Writes the parts in memory of all partitions. A partition that fails does not keep the others from being written.
    private func writeMemoryParts() throws(StorageError) -> Bool {
        var hasFlushed = false
        var failure: StorageError?
        let listed = partitions.withLock { $0.listed }
        guard listed.contains(where: { !$0.state.list.memory.isEmpty }) else { return false }
        try options.willMakeDurable?()
        for partition in listed {
            let parts = partition.state.list.memory
            guard !parts.isEmpty, partition.state.beginFlush() else { continue }
            do throws(StorageError) {
                let part = try write(parts, partition)
                partition.state.endFlush(parts, part)
                memory.released(bytes: parts.reduce(0) { $0 + Int($1.sizeBytes) })
                hasFlushed = true
            } catch {
                partition.state.endFlush(nil, nil)
                failure = failure ?? error
                if memory.fatalError != nil { break }
            }
        }
        if let failure { throw failure }
        return hasFlushed
    }

    /// Merges parts in memory into a small part; nil when no row was left.
    private func write(
        _ parts: [MemorySamplePart], _ partition: SamplePartition
    ) throws(StorageError) -> FileSamplePart? {
        let suffix = suffixes.next()
        let directory = PartTransaction.temporaryPath(root: partition.smallPath, suffix: suffix)
        let written = try writePart(
            parts, to: directory, side: .small, indexLevel: SamplePartLevels.indexOfFlush,
            dataLevelMax: options.dataLevelMax ?? SamplePartLevels.dataOfFlush, stop: nil)
        counters.flushes.add()
        counters.flushedRows.add(written.totals.rows)
        counters.flushedBytes.add(written.bytes ?? 0)
        guard written.bytes != nil else {
            try files.removeAll(directory)
            return nil
        }
        let target = Paths.join(
            partition.smallPath, SamplePartName(written.totals, number: suffix).text)
        try partition.snapshotLock.withShared { () throws(StorageError) in
            do throws(StorageError) {
                try files.rename(directory, to: target)
            } catch {
                try? files.removeAll(directory)
                throw error
            }
            try commitRename(target, partition.smallPath)
        }
        return try openNew(target, .small)
    }

    /// Makes the final name durable. When that fails the part must not stay: its rows are still in memory and would be written
    /// again.
    private func commitRename(_ target: String, _ directory: String) throws(StorageError) {
        do throws(StorageError) {
            try files.sync(directory)
        } catch {
            do throws(StorageError) {
                try files.removeAll(target)
            } catch let second {
                memory.stop(
                    second.adding("a part whose sync failed could not be taken back; open the table again"))
            }
            throw error
        }
    }

    /// Opens a part just made. It is durable already, so a failure here cannot be mended by trying again.
    func openNew(_ target: String, _ side: SampleSide) throws(StorageError) -> FileSamplePart {
        let cache = opener.cache(side)
        // A read that failed once often succeeds when it is tried again; stopping the table is the last resort.
        if let part = try? FileSamplePart(path: target, files: files, cache: cache) { return part }
        do throws(StorageError) {
            return try FileSamplePart(path: target, files: files, cache: cache)
        } catch {
            memory.stop(error.adding("a new part does not open; open the table again"))
            throw error
        }
    }

    /// What was written into a new part directory; no bytes when no row was left.
    struct WrittenPart {
        var totals: SampleTotals
        var bytes: UInt64?
    }

    /// Merges parts into a new part directory, without making it visible. On errors the directory is removed, as far as that
    /// is possible. When no row is left it exists.
    func writePart(
        _ parts: [SamplePart], to directory: String, side: SampleSide, indexLevel: Int?,
        dataLevelMax: Int,
        stop: SampleMergeStop?
    ) throws(StorageError) -> WrittenPart {
        var merge = SampleMergeOptions()
        merge.deadlineMs = retentionStart()
        merge.dedupIntervalMs = options.dedupIntervalMs
        merge.isDeleted = options.deletedSeries?()
        merge.stop = stop
        let counted = counters.side(side)
        counted.merges.add()
        do throws(StorageError) {
            let sources = parts.map { $0.source() }
            var writer = try SamplePartWriter(
                directory: directory, level: indexLevel ?? SampleMerger.indexLevel(sources),
                dedupIntervalMs: options.dedupIntervalMs, dataLevelMax: dataLevelMax, files: files)
            var merger = SampleMerger(sources, merge)
            try merger.run(into: &writer)
            let bytes = try writer.finish()
            counted.add(merger.counters)
            counters.rowsDeduplicated.add(merger.counters.rowsDeduplicated)
            counters.timestampsShared.add(writer.timestampsShared)
            counters.timestampsSavedBytes.add(writer.timestampsSavedBytes)
            return WrittenPart(totals: writer.totals, bytes: bytes)
        } catch {
            try? files.removeAll(directory)
            throw error
        }
    }

    /// After a flush or conversion: while a partition has far too many small parts, this thread merges, and searches wait.
    func assistMerges() {
        for partition in partitions.withLock({ $0.listed }) {
            while true {
                let list = partition.state.list
                guard list.memory.count + list.small.count > SamplePolicy.assistedPartsMin,
                    !isStopping.load(ordering: .relaxed)
                else { break }
                let hasMerged = searchGate.whileClosed { mergeOnce(partition, .small, final: false) }
                guard hasMerged else { break }
                counters.assistedMerges.add()
            }
        }
    }
}

/// Levels of compression that are free to choose.
enum SamplePartLevels {
    /// Index blocks of parts that flushes write. Level -5 takes as long and leaves twice the bytes.
    static let indexOfFlush = -1
    static let dataOfFlush = 1

    /// Timestamps and values of a merged part.
    static func data(_ side: SampleSide, isForced: Bool) -> Int {
        if isForced { return SampleLimits.dataLevelMax }
        return side == .small ? 1 : 3
    }
}
