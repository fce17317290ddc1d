// CacheAging.swift - what makes entries of a TSID cache old, and who wins a slot.
//
// Stamps. An entry carries the number of the generation in which it was last found (1...63, going round) and a level:
// how often it was found in this generation, up to 3. Its age is the number of generations since; from 2 on it is old:
// not found for a whole generation. Old entries give way to any newcomer, which is all that happens while the cache can
// grow.
//
// Contest. Where both buckets of a newcomer are full of entries that are not old:
//   - entries of level 2 and 3, age 0 or 1, are protected;
//   - of the others, the one whose rank is worst is the candidate. The rank is a number derived from the fingerprint: the
//     same for ever, and independent of the order in which series come;
//   - the newcomer takes its slot when its own rank is better, and otherwise with probability 1/16.
//
// Why ranks. A scrape cycle passes over all series in turn. Under LRU and its relatives a cache that is a little too
// small then finds nothing at all: whatever is thrown out is what would have been asked for next. With ranks each pair of
// buckets keeps the same few of its series cycle after cycle, so a cache for half of the series finds nearly half of
// them, from the second cycle on. They are a sample that does not depend on the order of the cycle, so the hit ratio is
// the same in each part of it: that is what makes a sudden change visible. Why 1/16 and levels: a series that is asked
// for more often than others gets in after a few misses whatever its rank, and then stays.
//
// Generations advance
//   - by time, every half hour: what was not found for 30 to 60 minutes is old;
//   - when all series seem to be new ones: the hit ratio of a window of lookups (a 32nd of the slots) fell below an eighth
//     of what it was. The generation advances once, which harms nobody, and once more when the next two windows are like
//     that: then everything is old that was not found or put since the first. New series that come once, even many, do not
//     bring this about while they are mixed with others;
//   - after four times as many lookups as there are slots, if there was a contest in that time: what was not found in four
//     to eight times the capacity is old.
//
// Threads: any; one lock, taken once a block of rows. The generation is read without it.

import StorageRuntime
import Synchronization

/// The stamp of an entry: one byte, not zero.
enum CacheStamp {
    static let generations = 63

    /// A stamp of a generation (1...63) and a level (0...3).
    @inline(__always) static func make(_ generation: Int, level: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: generation << 2 | level)
    }

    /// Generations since the one of the stamp.
    @inline(__always) static func age(_ stamp: UInt8, in generation: Int) -> Int {
        let difference = generation &- Int(stamp >> 2)
        return difference < 0 ? difference &+ generations : difference
    }

    /// The stamp after its entry was found: another one up to three times a generation.
    @inline(__always) static func found(_ stamp: UInt8, in generation: Int) -> UInt8 {
        let level = Int(stamp & 3)
        let age = age(stamp, in: generation)
        if age == 0 { return level < 3 ? stamp &+ 1 : stamp }
        return make(generation, level: age == 1 && level == 3 ? 2 : 1)
    }

    /// Whether the entry is not to be thrown out by a contest.
    @inline(__always) static func isProtected(_ stamp: UInt8, in generation: Int) -> Bool {
        stamp & 3 >= 2 && age(stamp, in: generation) <= 1
    }
}

/// Counts lookups and advances the generation.
final class CacheAging: Sendable {
    private struct State {
        var windowRequests: UInt64 = 0
        var windowHits: UInt64 = 0
        /// Windows in a row in which next to nothing was found.
        var emptyWindows = 0
        /// Running hit ratio of the other windows; negative before the first one.
        var ratio = -1.0
        var generationRequests: UInt64 = 0
        var contestsSeen: UInt64 = 0
        var nextTickNanoseconds: UInt64?
    }

    static let tickNanoseconds: UInt64 = 1_800_000_000_000
    /// A window in which so many hits were to be expected is enough to notice that there are none.
    private static let windowHitsExpected = 32.0

    /// So many windows in a row say that the series were replaced.
    private static let emptyWindowsMax = 3

    private let state = Protected(State())
    private let current = Atomic<Int>(1)
    private let contests = Atomic<UInt64>(0)
    private let advances = Atomic<UInt64>(0)

    /// The generation now, 1...63.
    var generation: Int { current.load(ordering: .relaxed) }
    /// Generations begun since the cache was made.
    var rotations: UInt64 { advances.load(ordering: .relaxed) }
    /// Notes that a newcomer met full buckets.
    func noteContest() { contests.wrappingAdd(1, ordering: .relaxed) }

    /// Counts lookups of a cache of `slots` slots.
    func count(requests: UInt64, misses: UInt64, slots: Int) {
        state.withLock { state in
            state.windowRequests += requests
            state.windowHits += requests - min(misses, requests)
            state.generationRequests += requests
            endWindow(&state, slots)
            let contests = contests.load(ordering: .relaxed)
            if state.generationRequests >= 4 * UInt64(slots), contests != state.contestsSeen {
                state.contestsSeen = contests
                advance(&state, by: 1)
            }
        }
    }

    private func endWindow(_ state: inout State, _ slots: Int) {
        guard state.windowRequests >= UInt64(max(slots / 32, 64)) else { return }
        let requests = Double(state.windowRequests)
        // With a ratio this low nothing can be told from a window, and nothing is lost by not noticing.
        let isTelling = state.ratio > 1.0 / 64
        if isTelling && requests * state.ratio < CacheAging.windowHitsExpected { return }
        let ratio = Double(state.windowHits) / requests
        if isTelling && ratio < state.ratio / 8 {
            state.emptyWindows += 1
            if state.emptyWindows == 1 { advance(&state, by: 1) }
            if state.emptyWindows == CacheAging.emptyWindowsMax {
                advance(&state, by: 1)
                state.emptyWindows = 0
                state.ratio = ratio
            }
        } else {
            state.emptyWindows = 0
            state.ratio = state.ratio < 0 ? ratio : state.ratio * 0.75 + ratio * 0.25
        }
        state.windowRequests = 0
        state.windowHits = 0
    }

    /// Tells the time of a clock that never goes back.
    func tick(nowNanoseconds: UInt64) {
        state.withLock { state in
            guard let next = state.nextTickNanoseconds else {
                state.nextTickNanoseconds = nowNanoseconds &+ CacheAging.tickNanoseconds
                return
            }
            guard nowNanoseconds >= next else { return }
            // A clock that was not told for long: everything is old, and the rounds are not counted one by one.
            let missed = (nowNanoseconds - next) / CacheAging.tickNanoseconds
            state.nextTickNanoseconds = nowNanoseconds &+ CacheAging.tickNanoseconds
            advance(&state, by: missed > 0 ? 2 : 1)
        }
    }

    /// Forgets everything but the time of the next tick.
    func reset() {
        state.withLock { state in
            let next = state.nextTickNanoseconds
            state = State()
            state.nextTickNanoseconds = next
            contests.store(0, ordering: .relaxed)
        }
    }

    private func advance(_ state: inout State, by steps: Int) {
        state.generationRequests = 0
        advances.wrappingAdd(UInt64(steps), ordering: .relaxed)
        let next = generation + steps
        current.store(next > CacheStamp.generations ? next - CacheStamp.generations : next, ordering: .relaxed)
    }
}
