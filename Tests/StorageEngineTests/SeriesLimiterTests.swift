// SeriesLimiterTests.swift - the limiter against a filter of plain arrays.

import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

/// The words of docs/format/series-index.md, 6.11.
private struct PlainLimiter {
    let max: Int
    var bits: [Bool]
    var count = 0

    init(max: Int) {
        self.max = max
        bits = [Bool](repeating: false, count: (16 * max + 63) / 64 * 64)
    }

    mutating func add(_ id: UInt64) -> Bool {
        let probes = (0..<UInt64(4)).map { i in
            let bytes = (0..<8).map { UInt8(truncatingIfNeeded: (id &+ i) >> (8 * UInt64($0))) }
            return Int(bytes.withUnsafeBytes { Hash.xxh64($0) } % UInt64(bits.count))
        }
        let isKnown = probes.allSatisfy { bits[$0] }
        if count >= max { return isKnown }
        for probe in probes { bits[probe] = true }
        if !isKnown { count += 1 }
        return true
    }
}

@Suite struct SeriesLimiterTests {
    private static let hour: UInt64 = 3_600_000_000_000

    private func limiter(_ limit: Int) -> (SeriesLimiter, VirtualClock) {
        let clock = VirtualClock(unixMilliseconds: 1_640_995_200_000)
        clock.advance(milliseconds: 12_345)
        return (SeriesLimiter(limit: limit, periodNanoseconds: Self.hour, clock: clock), clock)
    }

    @Test func seriesBeyondTheLimitAreRefused() {
        let (limiter, _) = limiter(100)
        let first = (0..<100).map { limiter.add(1000 + $0) }
        #expect(first == [Bool](repeating: true, count: 100))
        #expect(limiter.count <= 100 && limiter.count > 95)
        let passed = (0..<10_000).filter { limiter.add(5000 + UInt64($0)) }.count
        #expect(passed < 200)
        #expect(limiter.count == 100)
        let again = (0..<100).map { limiter.add(1000 + $0) }
        #expect(again == first)
        #expect(limiter.memoryBytes == 200)
    }

    /// The probes of neighbours overlap: between ids that are four apart, all look known.
    @Test func neighboursLookKnown() {
        let (limiter, _) = limiter(100)
        let first = (0..<100).map { limiter.add(4 * $0) }
        #expect(first == [Bool](repeating: true, count: 100))
        let between = (0..<396).filter { limiter.add(UInt64($0)) }.count
        #expect(between == 396 && limiter.count == 100)
    }

    @Test func aPeriodStartsEmpty() {
        let (limiter, clock) = limiter(1)
        #expect(limiter.add(1) && !limiter.add(2) && limiter.add(1))
        clock.advance(milliseconds: 3_599_999)
        #expect(!limiter.add(2))
        clock.advance(milliseconds: 1)
        #expect(limiter.count == 0)
        #expect(limiter.add(2) && !limiter.add(1))
        // Periods follow each other from the start, whenever somebody asks.
        clock.advance(milliseconds: 3_600_000 * 5 + 1_800_000)
        #expect(limiter.add(3) && !limiter.add(2))
        clock.advance(milliseconds: 1_799_999)
        #expect(!limiter.add(2))
        clock.advance(milliseconds: 1)
        #expect(limiter.add(2) && !limiter.add(3))
    }

    @Test func aMomentInThePastCountsAsNow() {
        let (limiter, clock) = limiter(1)
        let before = clock.monotonicNanoseconds
        clock.advance(milliseconds: 3_600_000)
        #expect(limiter.add(1))
        #expect(limiter.add(1, nowNanoseconds: before) && !limiter.add(2, nowNanoseconds: before))
        #expect(limiter.count == 1)
    }

    @Test func aPeriodMayLastForEver() {
        let clock = VirtualClock(unixMilliseconds: 0)
        let limiter = SeriesLimiter(limit: 1, periodNanoseconds: .max, clock: clock)
        clock.advance(milliseconds: 1_000_000_000_000)
        #expect(limiter.add(1) && !limiter.add(2))
        #expect(!limiter.add(2, nowNanoseconds: .max))
        #expect(limiter.add(2, nowNanoseconds: .max) == false)
    }

    @Test(arguments: TestSeeds.thisRun)
    func randomAdditionsFollowTheWords(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for limit in [1, 2, 3, 4, 5, 63, 64, 1000] {
            let (limiter, clock) = limiter(limit)
            var model = PlainLimiter(max: limit)
            for step in 0..<4000 {
                let id = random.below(2) == 0 ? random.next() : .max - 20 &+ UInt64(random.below(2 * limit + 50))
                let passes = limiter.add(id)
                if passes != model.add(id) {
                    Issue.record("limit \(limit), step \(step), id \(id): \(passes)")
                    return
                }
                if step == 2500 {
                    #expect(limiter.count == model.count)
                    clock.advance(milliseconds: 3_600_000)
                    model = PlainLimiter(max: limit)
                }
            }
            #expect(limiter.count == model.count)
        }
    }

    @Test func concurrentAdditionsAreCountedOnce() {
        let (limiter, clock) = limiter(2000)
        @Sendable func id(_ number: Int) -> UInt64 { UInt64(number) << 32 }
        for _ in 0..<3 {
            let passed = Protected<[Int]>([])
            let threads = (0..<4).map { number in
                Thread.start("rows \(number)") {
                    // All threads bring the same series, in another order.
                    let count = (0..<3000).filter { limiter.add(id(($0 + number * 750) % 3000)) }.count
                    passed.withLock { $0.append(count) }
                }
            }
            for thread in threads { thread.join() }
            #expect(limiter.count == 2000)
            #expect(passed.withLock { $0 }.allSatisfy { $0 >= 500 })
            let known = (0..<3000).filter { limiter.add(id($0)) }.count
            #expect(known >= 2000 && known < 2100)
            clock.advance(milliseconds: 3_600_000)
        }
    }

    /// The filter is emptied while others read it: no more series than the limit are counted in any period.
    @Test func concurrentPeriodsStayWithinTheLimit() {
        let (limiter, clock) = limiter(50)
        let threads = (0..<3).map { number in
            Thread.start("rows \(number)") {
                for id in 0..<20_000 { _ = limiter.add(UInt64(id % 200 + number)) }
            }
        }
        for _ in 0..<200 {
            clock.advance(milliseconds: 3_600_000)
            #expect(limiter.count <= 50)
        }
        for thread in threads { thread.join() }
        clock.advance(milliseconds: 3_600_000)
        #expect(limiter.count == 0)
    }
}
