// SampleMemory.swift - how many bytes wait to be written, since when, and whether writing works.
//
// Rows count from the moment they are added, 48 bytes each, and 16 once they are numbered; from their conversion on the part in
// memory counts instead, until it is in a file. One lock, held for a few additions; taken once a batch.
//
// Threads: any.

import StorageRuntime

/// The account of rows and parts in memory.
final class SampleMemory: @unchecked Sendable {
    private let lock = Lock()
    private let changed = Condition()
    private let clock: any StorageClock

    private var waitingBytes = 0
    private var waitingRowsCount = 0
    /// When the oldest row that is not in a file was added; nil when there is none.
    private var oldest: UInt64?
    private var lastError: StorageError?
    private var failures: UInt64 = 0
    private var fatal: StorageError?

    init(_ clock: any StorageClock) { self.clock = clock }

    /// Bytes of rows and parts in memory.
    var bytes: Int { lock.withLock { waitingBytes } }
    /// Rows that are not converted.
    var rows: Int { lock.withLock { waitingRowsCount } }
    /// Why the last flush failed; nil when it did not.
    var flushError: StorageError? { lock.withLock { lastError } }
    /// Why nothing may be written any more.
    var fatalError: StorageError? { lock.withLock { fatal } }
    var oldestNanoseconds: UInt64? { lock.withLock { oldest } }

    /// Counts rows that are about to wait. Returns the bytes of everything.
    func add(rows: Int, bytes: Int) -> Int {
        lock.withLock {
            if oldest == nil { oldest = clock.monotonicNanoseconds }
            waitingRowsCount += rows
            waitingBytes += bytes
            return waitingBytes
        }
    }

    /// Rows take so many bytes less.
    func numbered(bytes: Int) { released(bytes: bytes) }

    /// Rows have become a part in memory (of `partBytes`), or nothing.
    func converted(rows: Int, bytes: Int, partBytes: Int) {
        lock.withLock {
            waitingRowsCount -= rows
            waitingBytes += partBytes - bytes
        }
        changed.broadcast()
    }

    /// Parts in memory are in a file, or gone.
    func released(bytes: Int) {
        lock.withLock { waitingBytes -= bytes }
        changed.broadcast()
    }

    /// A flush begins: what is added from now on belongs to the next one. Returns what ``flushEnded(_:since:)`` wants.
    func flushBegins() -> UInt64? {
        lock.withLock {
            let since = oldest
            oldest = nil
            return since
        }
    }

    /// The end of a flush, and its error.
    func flushEnded(_ error: StorageError?, since: UInt64?) {
        lock.withLock {
            lastError = error
            guard error != nil else { return }
            failures += 1
            if let since { oldest = min(since, oldest ?? since) }
        }
        changed.broadcast()
    }

    /// Nothing may be written any more: what is on disk can be found out only by opening the table again.
    func stop(_ error: StorageError) {
        lock.withLock { if fatal == nil { fatal = error } }
        changed.broadcast()
    }

    /// Waits until less than `limit` bytes wait. `wake` asks for a flush.
    ///
    /// - Throws: The error of a flush that failed after the call: what failed before may have been mended since.
    func waitForRoom(_ limit: Int, wake: () -> Void) throws(StorageError) {
        let before = lock.withLock { failures }
        wake()
        lock.lock()
        defer { lock.unlock() }
        while waitingBytes >= limit {
            if let fatal { throw fatal }
            if failures > before, let lastError { throw lastError }
            changed.wait(lock, nanoseconds: 1_000_000_000)
        }
    }

    /// Throws when nothing may be written any more.
    func checkCanWrite() throws(StorageError) {
        if let error = fatalError { throw error }
    }
}
