// Clock.swift - time comes from outside.
//
// Nothing in the storage reads the system's clock by itself: it asks the clock of its Environment. The system clock is
// used live; the virtual clock stands still until somebody advances it, which makes a run repeatable.

import Glibc
import Synchronization

/// Where the time comes from. Safe to call from any thread.
public protocol StorageClock: Sendable {
    /// Milliseconds since 1970 UTC.
    var unixMilliseconds: Int64 { get }
    /// Nanoseconds since 1970 UTC. The start of the unique ids.
    var unixNanoseconds: UInt64 { get }
    /// Nanoseconds since some moment in the past; never goes back.
    var monotonicNanoseconds: UInt64 { get }
}

/// The clocks of the operating system.
public struct SystemClock: StorageClock {
    /// The system's clocks.
    public init() {}

    public var unixNanoseconds: UInt64 { Self.read(CLOCK_REALTIME) }
    public var unixMilliseconds: Int64 { Int64(unixNanoseconds / 1_000_000) }
    public var monotonicNanoseconds: UInt64 { Self.read(CLOCK_MONOTONIC) }

    private static func read(_ id: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(id, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// A clock that moves only when it is told to.
public final class VirtualClock: StorageClock {
    private let nanoseconds: Atomic<UInt64>
    private let startNanoseconds: UInt64

    /// A clock that stands at the given moment.
    public init(unixMilliseconds: Int64) {
        startNanoseconds = UInt64(unixMilliseconds) * 1_000_000
        nanoseconds = Atomic(startNanoseconds)
    }

    public var unixNanoseconds: UInt64 { nanoseconds.load(ordering: .relaxed) }
    public var unixMilliseconds: Int64 { Int64(unixNanoseconds / 1_000_000) }
    public var monotonicNanoseconds: UInt64 { unixNanoseconds - startNanoseconds }

    /// Moves the clock forward.
    public func advance(milliseconds: Int64) {
        precondition(milliseconds >= 0, "time does not go back")
        nanoseconds.wrappingAdd(UInt64(milliseconds) * 1_000_000, ordering: .relaxed)
    }
}

/// A clock whose time of day follows the input: a driver moves it from row to row, so that hours and days pass inside a
/// short run. The monotonic side is the system's in live mode, so that flush intervals and waits stay real; otherwise it
/// moves only when it is told to.
public final class DrivenClock: StorageClock {
    private let unix: Atomic<UInt64>
    private let monotonic = Atomic<UInt64>(0)
    private let hasRealMonotonic: Bool

    /// A clock that stands at the given moment.
    public init(unixMilliseconds: Int64, hasRealMonotonic: Bool) {
        unix = Atomic(UInt64(unixMilliseconds) * 1_000_000)
        self.hasRealMonotonic = hasRealMonotonic
    }

    public var unixNanoseconds: UInt64 { unix.load(ordering: .relaxed) }
    public var unixMilliseconds: Int64 { Int64(unixNanoseconds / 1_000_000) }
    public var monotonicNanoseconds: UInt64 {
        hasRealMonotonic ? SystemClock().monotonicNanoseconds : monotonic.load(ordering: .relaxed)
    }

    /// Moves the time of day forward to a moment; does nothing when it is past that already.
    public func raise(toUnixMilliseconds moment: Int64) {
        unix.max(UInt64(moment) * 1_000_000, ordering: .relaxed)
    }

    /// Moves the monotonic side forward. Without effect when it is the system's.
    public func advanceMonotonic(milliseconds: Int64) {
        precondition(milliseconds >= 0, "time does not go back")
        monotonic.wrappingAdd(UInt64(milliseconds) * 1_000_000, ordering: .relaxed)
    }
}

/// The moment at which a search has to give up.
public struct Deadline: Sendable {
    /// On the monotonic clock; `UInt64.max` is never.
    public let monotonicNanoseconds: UInt64

    /// No deadline.
    public static let never = Deadline(monotonicNanoseconds: .max)

    /// A deadline at the given moment of the monotonic clock.
    public init(monotonicNanoseconds: UInt64) { self.monotonicNanoseconds = monotonicNanoseconds }

    /// Tells whether the moment has come.
    public func hasPassed(_ clock: any StorageClock) -> Bool {
        monotonicNanoseconds != .max && clock.monotonicNanoseconds >= monotonicNanoseconds
    }
}
