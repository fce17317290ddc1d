// SampleTable+Tasks.swift - what is due by the clock (docs/format/sample-store.md, 11.3, 16).
//
//   every minute      partitions that end before now - retention are dropped with all their files
//   every 7 minutes   parts that do are removed
//   every hour        partitions before the current month are merged anew if a part was written with a shorter deduplication
//                     interval than the one in force
//   every 2 minutes   index blocks that no search has used leave the caches; when no row has come since the last time, memory for
//                     rows and for the table of series is given back
//
// Removing a part takes away five files, one after another. So that a crash in between does not leave a broken part, the
// removal is a transaction without a new part. A dropped partition leaves the list at once; its files go when no search holds
// it any more.

import StorageFiles
import StorageRuntime
import Synchronization

/// When the tasks ran last, monotonic nanoseconds.
struct SampleDueTimes: Sendable {
    private var last: [UInt64] = [0, 0, 0, 0]

    enum Task: Int {
        case retention, staleParts, finalDedup, cacheSweep

        var interval: UInt64 {
            switch self {
            case .retention: SamplePolicy.retentionNanoseconds
            case .staleParts: SamplePolicy.stalePartsNanoseconds
            case .finalDedup: SamplePolicy.finalDedupNanoseconds
            case .cacheSweep: SamplePolicy.cacheSweepNanoseconds
            }
        }
    }

    mutating func start(_ now: UInt64) { last = last.map { _ in now } }

    /// Tells whether the task is due, and counts from now on if it is.
    mutating func isDue(_ task: Task, _ now: UInt64) -> Bool {
        guard now &- last[task.rawValue] >= task.interval else { return false }
        last[task.rawValue] = now
        return true
    }
}

extension SampleTable {
    /// Does what is due by the clock: drops partitions and parts past retention, deduplicates partitions that are complete,
    /// empties caches that nobody uses. Called in the background unless the options say otherwise.
    public func runDueTasks() {
        guard !isStopping.load(ordering: .relaxed) else { return }
        runQuickTasks()
        runFinalDedup()
    }

    func tasksStep() -> NextStep {
        if isStopping.load(ordering: .relaxed) { return .whenWoken }
        runQuickTasks()
        return .after(nanoseconds: SamplePolicy.retentionNanoseconds)
    }

    func finalDedupStep() -> NextStep {
        if isStopping.load(ordering: .relaxed) { return .whenWoken }
        runFinalDedup()
        return .after(nanoseconds: SamplePolicy.finalDedupNanoseconds)
    }

    private func isDue(_ task: SampleDueTimes.Task) -> Bool {
        let now = environment.clock.monotonicNanoseconds
        return due.withLock { $0.isDue(task, now) }
    }

    private func runQuickTasks() {
        if isDue(.retention) { dropOldPartitions() }
        removeDropped(evenIfHeld: false)
        if isDue(.staleParts) { removeStaleParts() }
        if isDue(.cacheSweep) {
            for part in partitions.withLock({ $0.listed }).flatMap({ $0.state.list.files }) {
                part.sweepCache()
            }
            let added = counters.rowsAdded.value
            if added == rowsAtSweep.exchange(added, ordering: .relaxed) { giveBackMemory() }
        }
    }

    /// Gives back the memory kept for rows to come, and for the series of the last ones, unless rows wait or are being
    /// converted.
    private func giveBackMemory() {
        guard memory.bytes == 0, convertLock.tryLock() else { return }
        defer { convertLock.unlock() }
        // Numbers that were given to rows of a batch must keep their meaning.
        guard batches.entries.isEmpty else { return }
        arenas.empty()
        converter.giveBackMemory()
        counters.converterBytes.store(converter.memoryBytes, ordering: .relaxed)
    }

    // MARK: retention

    /// Takes partitions that end before the retention out of the list.
    func dropOldPartitions() {
        let deadline = retentionStart()
        let old = partitions.withLock { partitions in
            let old = partitions.listed.filter { $0.month.endMs < deadline }
            partitions.listed.removeAll { $0.month.endMs < deadline }
            partitions.dropped += old
            return old
        }
        for partition in old {
            partition.mergeStop.set()
            let list = partition.state.drop()
            memory.released(bytes: list.memory.reduce(0) { $0 + Int($1.sizeBytes) })
            counters.partitionsDropped.add()
            for part in list.memory { counters.small.rowsDeleted.add(part.totals.rows) }
            for part in list.small { counters.small.rowsDeleted.add(part.totals.rows) }
            for part in list.big { counters.big.rowsDeleted.add(part.totals.rows) }
            partition.lastParts.withLock { $0 = list.files }
        }
    }

    /// Deletes the directories of dropped partitions that no search holds.
    func removeDropped(evenIfHeld: Bool) {
        let dropped = partitions.withLock { $0.dropped }.filter {
            evenIfHeld || $0.state.searchCount == 0
        }
        for partition in dropped {
            do throws(StorageError) {
                try remove(partition)
            } catch {
                counters.failures.add()
                options.log?(
                    "partition \(partition.month.name) is past retention and could not be removed: \(error)")
                continue
            }
            partitions.withLock { $0.dropped.removeAll { $0 === partition } }
        }
    }

    private func remove(_ partition: SamplePartition) throws(StorageError) {
        try memory.checkCanWrite()
        try partition.snapshotLock.withExclusive { () throws(StorageError) in
            let parts = partition.lastParts.withLock { $0 }
            if !parts.isEmpty {
                try replace(parts, by: nil, suffixes.next(), in: partition, .small)
                partition.lastParts.withLock { $0 = [] }
            }
            for side in SampleSide.allCases { try files.removeAll(partition.path(side)) }
        }
    }

    /// Removes parts whose rows are all past retention.
    func removeStaleParts() {
        let deadline = retentionStart()
        for partition in partitions.withLock({ $0.listed }) where partition.month.startMs < deadline {
            let stale = partition.state.beginRemoval(before: deadline)
            guard !stale.isEmpty else { continue }
            do throws(StorageError) {
                try memory.checkCanWrite()
                try partition.snapshotLock.withShared { () throws(StorageError) in
                    try replace(stale, by: nil, suffixes.next(), in: partition, .small)
                }
            } catch {
                counters.failures.add()
                options.log?(
                    "parts of \(partition.month.name) past retention could not be removed: \(error)")
                partition.state.release(stale)
                continue
            }
            let small = Set(partition.state.list.small.map { ObjectIdentifier($0) })
            for part in stale {
                let side = small.contains(ObjectIdentifier(part)) ? SampleSide.small : .big
                counters.side(side).rowsDeleted.add(part.totals.rows)
            }
            partition.state.exchange(stale, by: nil, .small)
        }
    }

    // MARK: deduplication

    /// Once an hour, merges partitions anew in which a part was written with a shorter interval than the one in force.
    private func runFinalDedup() {
        let interval = options.dedupIntervalMs
        guard interval > 0, isDue(.finalDedup) else { return }
        let current = SampleMonth(timestampMs: environment.clock.unixMilliseconds)
        for partition in partitions.withLock({ $0.listed }) where partition.month != current {
            guard let shortest = partition.state.list.files.map(\.dedupIntervalMs).min(),
                shortest < interval
            else {
                continue
            }
            do throws(StorageError) {
                try mergeAll(of: partition)
            } catch {
                options.log?(
                    "deduplicating \(partition.month.name) failed and will be tried again: \(error)")
            }
        }
    }
}
