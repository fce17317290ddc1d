// TSIDCacheAdmissionTests.swift - what a cache keeps that is too small: exact counts of deterministic runs.
//
// The bounds have some room to what was measured (in comments), so that only a change of behaviour breaks them.

import Foundation
import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct TSIDCacheAdmissionTests {
    private static let bytesMax = 1 << 20
    /// Slots at `bytesMax`.
    private static let slots = UInt64(bytesMax / Bucket.bytes * Bucket.slots)

    private func driver() -> CacheDriver { CacheDriver(TestSeries.cache(bytesMax: Self.bytesMax)) }

    /// Cyclic scans over `slots / ratio` series, then over as many new ones.
    private func scans(_ ratio: Double, before: Int = 8, after: Int = 4) -> (before: [Double], after: [Double]) {
        var driver = driver()
        let count = UInt64(Double(Self.slots) / ratio)
        let first = (0..<before).map { _ in driver.scan(0..<count) }
        let second = (0..<after).map { _ in driver.scan(1 << 40..<1 << 40 + count) }
        #expect(driver.wrongValues == 0)
        print("capacity ratio \(ratio):", (first + second).map { "\(Int($0 * 1000))" }.joined(separator: " "))
        return (first, second)
    }

    /// Half of the series fit: close to half of the lookups hit, from the second cycle on, and again in the second cycle
    /// after all series were replaced.
    @Test func cyclesOverTwiceTheCapacity() {
        let (before, after) = scans(0.5, before: 12)
        for ratio in before[1...] { #expect(ratio > 0.43) }
        #expect(before.last! > 0.45)
        #expect(after[1] > 0.9 * before.last!)
    }

    @Test func cyclesOverFourTimesTheCapacity() {
        let (before, after) = scans(0.25)
        for ratio in before[1...] { #expect(ratio > 0.19) }
        #expect(after[1] > 0.9 * before.last!)
    }

    /// Exactly as many series as slots: nearly all have a place.
    @Test func cyclesOverTheCapacity() {
        let (before, after) = scans(1)
        for ratio in before[1...] { #expect(ratio > 0.96) }
        #expect(after[1] > 0.85 * before.last!)
        #expect(after[2] > 0.97 * before.last!)
    }

    /// Series that fit at a load of 0.93 all hit, again and again, and again after they were replaced.
    @Test(arguments: [1.08, 2.0]) func cyclesThatFit(ratio: Double) {
        let (before, after) = scans(ratio)
        for ratio in before[1...] { #expect(ratio > 0.999) }
        // New ones that came before the change was noticed were refused, where the cache was full.
        #expect(after[1] > 0.8 && after[2] > 0.999)
    }

    /// A part of the series is replaced: what is not asked for any more gives way after some cycles.
    @Test func halfOfTheSeriesReplaced() {
        var driver = driver()
        let count = 2 * Self.slots
        for _ in 0..<6 { _ = driver.scan(0..<count) }
        var ratios: [Double] = []
        for _ in 0..<7 { ratios.append(driver.scan(count / 2..<count / 2 + count)) }
        print("half replaced:", ratios.map { "\(Int($0 * 1000))" }.joined(separator: " "))
        #expect(ratios[0] > 0.2)
        #expect(ratios.last! > 0.43)
    }

    /// New series that come once, three times the capacity in all, mixed one to one or four to one into cycles over series
    /// that fit.
    @Test(arguments: [(1, 4), (4, 1)]) func burstsDoNotFlushTheHotSet(strangers: Int, cycles: Int) {
        var driver = driver()
        let count = Self.slots * 8 / 10
        for _ in 0..<5 { _ = driver.scan(0..<count) }
        var stranger: UInt64 = 1 << 40
        for _ in 0..<cycles {
            for number in 0..<count {
                driver.look(number)
                for _ in 0..<strangers {
                    driver.look(stranger)
                    stranger += 1
                }
            }
        }
        driver.flush()
        let ratio = driver.scan(0..<count)
        print("after a burst of \(strangers) to 1: \(ratio)")
        #expect(ratio > 0.98)
    }

    /// Zipf: as good as random replacement at least, in comparison with the best fixed choice of series.
    @Test(arguments: [(1.0, 2, 0.88), (1.0, 10, 0.70), (0.8, 2, 0.75)])
    func zipf(exponent: Double, times: Int, atLeast: Double) {
        var driver = driver()
        let slots = Int(Self.slots)
        let count = slots * times
        var weights: [Double] = []
        var sum = 0.0
        for rank in 1...count {
            sum += pow(Double(rank), -exponent)
            weights.append(sum)
        }
        var random = SplitMix64(seed: 9)
        var ratio = 0.0
        for round in 0..<3 {
            let (requests, hits) = (driver.requests, driver.hits)
            for _ in 0..<6 * slots {
                let point = random.unit() * sum
                var low = 0
                var high = count - 1
                while low < high {
                    let middle = (low + high) / 2
                    if weights[middle] < point { low = middle + 1 } else { high = middle }
                }
                driver.look(UInt64(low))
            }
            driver.flush()
            ratio = Double(driver.hits - hits) / Double(driver.requests - requests)
            if round == 2 {
                print("zipf \(exponent), \(times) times: \(ratio), best \(weights[Int(Self.slots) - 1] / sum)")
            }
        }
        #expect(ratio > atLeast)
    }

    /// What was not found for an hour gives way before the cache grows; what was found within half an hour stays.
    @Test func timeMakesRoom() {
        let cache = TestSeries.cache(bytesMax: 64 << 20)
        var driver = CacheDriver(cache)
        let minute: UInt64 = 60_000_000_000
        cache.tick(nowNanoseconds: 0)
        _ = driver.scan(0..<20_000)
        let bytes = cache.metrics.bytes
        for step in UInt64(1)...7 {
            cache.tick(nowNanoseconds: 10 * step * minute)
            #expect(driver.scan(0..<5000) == 1)
        }
        // 15,000 entries are old now. New ones take their slots.
        for number in UInt64(0)..<12_000 {
            driver.look(100_000 + number)
            driver.look(number % 5000)
        }
        driver.flush()
        #expect(cache.metrics.bytes <= bytes + bytes / 3)
        #expect(cache.metrics.evictions > 4500)
        #expect(driver.scan(0..<5000) == 1, "none of those that were found gave way")
        #expect(driver.scan(100_000..<112_000) == 1)

        // A clock that jumps makes everything old at once.
        cache.tick(nowNanoseconds: 1000 * minute)
        let evictions = cache.metrics.evictions
        _ = driver.scan(200_000..<210_000)
        #expect(cache.metrics.evictions > evictions + 4500)
    }

    /// The same calls give the same counters.
    @Test func runsRepeat() {
        func run() -> CacheMetrics {
            var driver = driver()
            for _ in 0..<3 { _ = driver.scan(0..<2 * Self.slots) }
            return driver.cache.metrics
        }
        #expect(run() == run())
    }
}
