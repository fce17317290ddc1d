// Counter.swift - a number that many threads add to.

import Synchronization

/// A counter that only grows. Any thread.
public final class Counter: Sendable {
    private let count = Atomic<UInt64>(0)

    /// Zero.
    public init() {}

    /// Adds `amount`.
    public func add(_ amount: UInt64 = 1) { count.wrappingAdd(amount, ordering: .relaxed) }

    /// What was added so far.
    public var value: UInt64 { count.load(ordering: .relaxed) }
}
