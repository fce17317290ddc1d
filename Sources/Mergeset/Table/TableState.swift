// TableState.swift - the published list of a table and who is busy with what. One lock, held for list operations only.
//
// Threads: any.

import StorageRuntime

/// The mutable state of a table.
final class TableState: @unchecked Sendable {
    private let lock = Lock()
    private let changed = Condition()

    private var published: PartList
    private var merging: Set<ObjectIdentifier> = []
    private var mergesRunning = 0
    private var mergesArePaused = false
    private var sealsStarted = 0
    private var sealsRunning: [Int: SealInProgress] = [:]
    private var sealedBytesNow = 0
    private var sealingBytes = 0
    private var lastFlushError: StorageError?
    private var flushFailures: UInt64 = 0
    private var fatal: StorageError?
    private var largestPartCount: Int

    /// A run between its shard and the list.
    private struct SealInProgress {
        var number: UInt64
        var bytes: Int
    }

    init(_ list: PartList) {
        published = list
        largestPartCount = list.parts.count
    }

    var list: PartList { lock.withLock { published } }
    var partsMax: Int { lock.withLock { largestPartCount } }
    var activeMerges: Int { lock.withLock { mergesRunning } }
    /// How many parts there will be when the merges that are running have ended: each leaves one.
    var partsExpected: Int { lock.withLock { published.parts.count - merging.count + mergesRunning } }
    /// Bytes of the sealed runs.
    var sealedBytes: Int { lock.withLock { sealedBytesNow } }
    /// Bytes of the sealed runs and of those that are being sealed.
    var pendingBytes: Int { lock.withLock { sealedBytesNow + sealingBytes } }
    var flushError: StorageError? { lock.withLock { lastFlushError } }
    var fatalError: StorageError? { lock.withLock { fatal } }
    var hasFailed: Bool { lock.withLock { fatal != nil } }

    private var sweptAt: UInt64 = 0

    /// Whether two minutes have passed since this last said yes.
    func isSweepDue(_ now: UInt64) -> Bool {
        lock.withLock {
            guard now &- sweptAt >= 120_000_000_000 else { return false }
            sweptAt = now
            return true
        }
    }

    // MARK: sealing

    /// Announces that a run of about `bytes` is on its way from a shard to the list. The shard's lock is held.
    func beginSeal(_ number: UInt64, bytes: Int) -> Int {
        lock.withLock {
            sealsStarted += 1
            sealsRunning[sealsStarted] = SealInProgress(number: number, bytes: bytes)
            sealingBytes += bytes
            return sealsStarted
        }
    }

    /// Publishes the announced run, if there is one. Returns the bytes of all sealed runs.
    func endSeal(_ ticket: Int, _ run: MemoryRun?) -> Int {
        let bytes = lock.withLock {
            sealingBytes -= sealsRunning.removeValue(forKey: ticket)?.bytes ?? 0
            if let run {
                published = PartList(runs: published.runs + [run], parts: published.parts)
                sealedBytesNow += run.memoryBytes
            }
            return sealedBytesNow
        }
        changed.broadcast()
        return bytes
    }

    /// Waits until all runs announced before this call are in the list.
    func waitForSeals() {
        lock.lock()
        defer { lock.unlock() }
        let newest = sealsStarted
        while sealsRunning.contains(where: { $0.key <= newest }) { changed.wait(lock) }
    }

    /// The smallest number of a run that has left its shard and is not durable; nil when there is none.
    var oldestRun: UInt64? {
        lock.withLock {
            var oldest = published.runs.map(\.number).min()
            for seal in sealsRunning.values { oldest = min(oldest ?? .max, seal.number) }
            return oldest
        }
    }

    // MARK: flushing

    /// Replaces runs by the part that holds their items.
    func publishFlush(_ runs: [MemoryRun], _ part: FilePart?) {
        lock.withLock {
            let gone = Set(runs.map { ObjectIdentifier($0) })
            published = PartList(
                runs: published.runs.filter { !gone.contains(ObjectIdentifier($0)) },
                parts: published.parts + (part.map { [$0] } ?? []))
            for run in runs { sealedBytesNow -= run.memoryBytes }
            largestPartCount = max(largestPartCount, published.parts.count)
            lastFlushError = nil
        }
        changed.broadcast()
    }

    func flushFailed(_ error: StorageError) {
        lock.withLock {
            lastFlushError = error
            flushFailures += 1
        }
        changed.broadcast()
    }

    /// Nothing may be written any more: what is on disk can be found out only by opening the table again.
    func stop(_ error: StorageError) {
        lock.withLock { if fatal == nil { fatal = error } }
        changed.broadcast()
    }

    /// Waits until the runs that have left their shards take less than `limit` bytes. `wake` asks for a flush.
    ///
    /// - Throws: The error of a flush that failed after the call: what failed before may have been mended since.
    func waitForRoom(_ limit: Int, wake: () -> Void) throws(StorageError) {
        lock.lock()
        defer { lock.unlock() }
        let failuresBefore = flushFailures
        lock.unlock()
        wake()
        lock.lock()
        while sealedBytesNow + sealingBytes >= limit {
            if let error = fatal { throw error }
            if flushFailures > failuresBefore, let error = lastFlushError { throw error }
            changed.wait(lock, nanoseconds: 1_000_000_000)
        }
    }

    // MARK: merging

    /// Chooses parts to merge and marks them. `choose` gets the sizes and which parts are being merged.
    func beginMerge(_ choose: ([UInt64], [Bool]) -> [Int]) -> [FilePart] {
        lock.withLock {
            guard !mergesArePaused, fatal == nil else { return [] }
            let parts = published.parts
            let chosen = choose(
                parts.map(\.sizeBytes), parts.map { merging.contains(ObjectIdentifier($0)) }
            ).map { parts[$0] }
            guard !chosen.isEmpty else { return [] }
            for part in chosen { merging.insert(ObjectIdentifier(part)) }
            mergesRunning += 1
            return chosen
        }
    }

    /// Waits for the merges in progress, keeps others from starting, and marks all parts.
    func beginMergeOfAll() -> [FilePart] {
        lock.lock()
        defer { lock.unlock() }
        while mergesArePaused { changed.wait(lock) }
        mergesArePaused = true
        while mergesRunning > 0 { changed.wait(lock) }
        mergesRunning += 1
        for part in published.parts { merging.insert(ObjectIdentifier(part)) }
        return published.parts
    }

    /// Ends a merge. With `part`, it takes the place of the sources; otherwise they stay.
    func endMerge(_ sources: [FilePart], _ part: FilePart?, wasOfAll: Bool = false) {
        lock.withLock {
            let gone = Set(sources.map { ObjectIdentifier($0) })
            if let part {
                published = PartList(
                    runs: published.runs,
                    parts: published.parts.filter { !gone.contains(ObjectIdentifier($0)) } + [part])
            }
            merging.subtract(gone)
            mergesRunning -= 1
            if wasOfAll { mergesArePaused = false }
        }
        changed.broadcast()
    }

    /// Waits until no merge is running.
    func waitForMerges() {
        lock.lock()
        defer { lock.unlock() }
        while mergesRunning > 0 { changed.wait(lock) }
    }

    /// Lets go of all parts and runs.
    func drop() {
        let old = lock.withLock {
            let old = published
            published = PartList(runs: [], parts: [])
            sealedBytesNow = 0
            return old
        }
        withExtendedLifetime(old) {}
    }
}
