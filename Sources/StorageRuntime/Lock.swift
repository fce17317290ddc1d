// Lock.swift - mutual exclusion that the thread sanitizer understands.
//
// A pthread mutex on the heap. Synchronization.Mutex is as fast, but its futex operations live in an uninstrumented
// library, so the thread sanitizer reports false races on whatever it guards. Locks here are taken once a batch, a
// block or a part, never once an item, so 25 ns do not matter.

import Glibc

/// A lock without an owner's identity: not recursive, not fair. Any thread may use it.
public final class Lock: @unchecked Sendable {
    @usableFromInline let mutex: UnsafeMutablePointer<pthread_mutex_t>

    /// An unlocked lock.
    public init() {
        mutex = .allocate(capacity: 1)
        let status = pthread_mutex_init(mutex, nil)
        precondition(status == 0, "pthread_mutex_init: \(status)")
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Waits for the lock and takes it. Prefer ``withLock(_:)``.
    @inlinable public func lock() { pthread_mutex_lock(mutex) }

    /// Gives the lock back. Only the thread that took it may call this.
    @inlinable public func unlock() { pthread_mutex_unlock(mutex) }

    /// Takes the lock if it is free; tells whether it did.
    @inlinable public func tryLock() -> Bool { pthread_mutex_trylock(mutex) == 0 }

    /// Runs `body` while holding the lock.
    @inlinable public func withLock<Result: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        lock()
        defer { unlock() }
        return try body()
    }
}

/// A condition that threads wait for under a ``Lock``. Wake-ups may be spurious: wait in a loop over the condition.
public final class Condition: @unchecked Sendable {
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    /// A condition nobody waits for.
    public init() {
        condition = .allocate(capacity: 1)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        let status = pthread_cond_init(condition, &attributes)
        precondition(status == 0, "pthread_cond_init: \(status)")
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        condition.deallocate()
    }

    /// Gives `lock` back, waits for a wake-up, takes `lock` again. The caller holds `lock`.
    public func wait(_ lock: Lock) { pthread_cond_wait(condition, lock.mutex) }

    /// As ``wait(_:)``, for at most `nanoseconds` of real time. Returns false when the time ran out.
    @discardableResult
    public func wait(_ lock: Lock, nanoseconds: UInt64) -> Bool {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let total = UInt64(time.tv_nsec) + min(nanoseconds, .max >> 1)
        time.tv_sec += Int(min(total / 1_000_000_000, 1 << 31))
        time.tv_nsec = Int(total % 1_000_000_000)
        return pthread_cond_timedwait(condition, lock.mutex, &time) == 0
    }

    /// Wakes one waiting thread, if there is one.
    public func signal() { pthread_cond_signal(condition) }

    /// Wakes all waiting threads.
    public func broadcast() { pthread_cond_broadcast(condition) }
}

/// A value that can be reached only while its lock is held.
public final class Protected<Value>: @unchecked Sendable {
    @usableFromInline let lock = Lock()
    @usableFromInline var value: Value

    /// Guards `value`.
    public init(_ value: Value) { self.value = value }

    /// Runs `body` on the value while holding the lock.
    @inlinable public func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}
