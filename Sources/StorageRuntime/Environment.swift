// Environment.swift - everything a run may depend on besides its input, in one value.
//
// Live: system clock, threads, ids from the clock. Deterministic: virtual clock, ids from a fixed start, background
// work at fixed points on the caller's thread. No room below the harness reads a clock, starts a thread or draws a
// random number except through this value, so two deterministic runs with one seed give the same files and counters.

import Synchronization

/// Unique 64-bit numbers, each greater than the one before. Safe to call from any thread.
public final class UniqueIDs: Sendable {
    private let last: Atomic<UInt64>

    /// Ids `start + 1`, `start + 2`, ...
    public init(start: UInt64) { last = Atomic(start) }

    /// The next id.
    public func next() -> UInt64 { last.wrappingAdd(1, ordering: .relaxed).newValue }

    /// The first of `count` ids that belong to the caller.
    public func reserve(_ count: Int) -> UInt64 {
        last.wrappingAdd(UInt64(count), ordering: .relaxed).oldValue + 1
    }

    /// Makes sure that all further ids are greater than `id`.
    public func raise(above id: UInt64) {
        // Atomic<UInt64>.max of Swift 6.3 compares the bits as signed numbers.
        var known = last.load(ordering: .relaxed)
        while known < id {
            let (exchanged, original) = last.compareExchange(expected: known, desired: id, ordering: .relaxed)
            if exchanged { return }
            known = original
        }
    }
}

/// Clock, ids, seed and scheduler of one storage.
public struct Environment: Sendable {
    /// How background work and time behave.
    public enum Mode: String, Sendable {
        /// Real clocks and threads.
        case live
        /// Virtual clock, counts instead of timers, background work at fixed points.
        case deterministic
    }

    /// How background work and time behave.
    public let mode: Mode
    /// Where the time comes from.
    public let clock: any StorageClock
    /// Where metric ids come from. Tables have a counter of their own for part names, started from ``clock``.
    public let ids: UniqueIDs
    /// Root of all random streams.
    public let seed: UInt64
    /// Who runs the background work.
    public let scheduler: any Scheduler

    /// System clock and threads.
    public static func live(seed: UInt64 = 42) -> Environment {
        let clock = SystemClock()
        return Environment(
            mode: .live, clock: clock, ids: UniqueIDs(start: clock.unixNanoseconds), seed: seed,
            scheduler: LiveScheduler(clock: clock))
    }

    /// Virtual clock, fixed ids, background work at the callers' checkpoints.
    public static func deterministic(
        seed: UInt64 = 42, startUnixMilliseconds: Int64 = 1_640_995_200_000
    ) -> Environment {
        let clock = VirtualClock(unixMilliseconds: startUnixMilliseconds)
        return Environment(
            mode: .deterministic, clock: clock, ids: UniqueIDs(start: clock.unixNanoseconds), seed: seed,
            scheduler: DeterministicScheduler(clock: clock))
    }

    /// A clock that its driver moves, ids from its first moment on; scheduler and monotonic time as the mode says.
    public static func driven(_ mode: Mode, clock: DrivenClock, seed: UInt64 = 42) -> Environment {
        Environment(
            mode: mode, clock: clock, ids: UniqueIDs(start: clock.unixNanoseconds), seed: seed,
            scheduler: mode == .live ? LiveScheduler(clock: clock) : DeterministicScheduler(clock: clock))
    }

    /// A stream of numbers that nobody can guess in live mode, and that follows from the seed in deterministic mode: for
    /// the keys of tables that outsiders can fill.
    public func secrets(_ name: String) -> () -> UInt64 {
        switch mode {
        case .live:
            var generator = SystemRandomNumberGenerator()
            return { generator.next() }
        case .deterministic:
            var stream = SplitMix64(seed: Seeds.derive(seed, name))
            return { stream.next() }
        }
    }

    /// An environment of given parts.
    public init(mode: Mode, clock: any StorageClock, ids: UniqueIDs, seed: UInt64, scheduler: any Scheduler) {
        self.mode = mode
        self.clock = clock
        self.ids = ids
        self.seed = seed
        self.scheduler = scheduler
    }
}
