// SharedLock.swift - many readers or one writer, and a gate that holds others back.

import Glibc

/// A lock that many may hold shared, or one exclusively. Not recursive. Any thread.
public final class SharedLock: @unchecked Sendable {
    private let lock: UnsafeMutablePointer<pthread_rwlock_t>

    /// A free lock.
    public init() {
        lock = .allocate(capacity: 1)
        // Whoever wants the lock alone goes first: batches that follow each other closely would keep it for ever.
        var attributes = pthread_rwlockattr_t()
        pthread_rwlockattr_init(&attributes)
        pthread_rwlockattr_setkind_np(&attributes, Int32(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP))
        defer { pthread_rwlockattr_destroy(&attributes) }
        let status = pthread_rwlock_init(lock, &attributes)
        precondition(status == 0, "pthread_rwlock_init: \(status)")
    }

    deinit {
        pthread_rwlock_destroy(lock)
        lock.deallocate()
    }

    /// Runs `body` beside other shared holders.
    public func withShared<Result: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        pthread_rwlock_rdlock(lock)
        defer { pthread_rwlock_unlock(lock) }
        return try body()
    }

    /// Runs `body` alone.
    public func withExclusive<Result: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        pthread_rwlock_wrlock(lock)
        defer { pthread_rwlock_unlock(lock) }
        return try body()
    }
}

/// Holds back low-priority work while somebody urgent is busy: searches wait at their pause points while a flushing
/// thread has to help with merging. Any thread.
public final class PauseGate: @unchecked Sendable {
    private let lock = Lock()
    private let opened = Condition()
    private var holders = 0
    private var waits: UInt64 = 0

    /// An open gate.
    public init() {}

    /// Runs `body` with the gate closed.
    public func whileClosed<Result: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        lock.withLock { holders += 1 }
        defer {
            lock.withLock { holders -= 1 }
            opened.broadcast()
        }
        return try body()
    }

    /// Waits until the gate is open. The condition is looked at under the lock, so no wake-up is missed.
    public func pass() {
        lock.lock()
        defer { lock.unlock() }
        if holders == 0 { return }
        waits += 1
        while holders > 0 { opened.wait(lock) }
    }

    /// Calls of ``pass()`` that had to wait (`vm_search_delays_total`).
    public var waitCount: UInt64 { lock.withLock { waits } }
}
