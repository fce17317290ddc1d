// TSIDCacheTests.swift - the cache against a dictionary, its counters and its bounds.

import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct TSIDCacheTests {
    /// Without a limit nothing is lost, whatever the order of lookups and changes.
    @Test(arguments: TestSeeds.thisRun) func unlimitedCacheIsADictionary(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let cache = TestSeries.cache(bytesMax: 64 << 20)
        var model: [UInt64: CachedTSID] = [:]
        var version: UInt64 = 0
        for step in 0..<3000 {
            let range = 1 + step * 8
            for _ in 0..<random.below(12) {
                let number = UInt64(random.below(range))
                version += 1
                #expect(cache.insert(TestSeries.fingerprint(number), TestSeries.value(number, version: version)))
                model[number] = TestSeries.value(number, version: version)
            }
            let numbers = (0..<random.below(TSIDCache.batchMax + 1)).map { _ in UInt64(random.below(range)) }
            let fingerprints = numbers.map { TestSeries.fingerprint($0) }
            var values = [CachedTSID](repeating: TestSeries.value(0), count: numbers.count + 1)
            let hits = cache.find(fingerprints, count: numbers.count, into: &values)
            for (index, number) in numbers.enumerated() {
                let found = hits >> UInt64(index) & 1 == 1 ? values[index] : nil
                if found != model[number] { Issue.record("series \(number): \(String(describing: found))") }
            }
            if numbers.count < 64 { #expect(hits >> UInt64(numbers.count) == 0) }
            if step == 2000 {
                cache.reset()
                model.removeAll()
            }
        }
        let metrics = cache.metrics
        #expect(metrics.entries == UInt64(model.count) && metrics.evictions == 0 && metrics.refusals == 0)
        #expect(metrics.resets == 1)
        for (number, value) in model { #expect(cache.find(TestSeries.fingerprint(number)) == value) }
    }

    /// A hit is right and the bytes stay within bounds at any limit, even none.
    @Test(arguments: [0, 255, 256, 1024, 4096, 10_000, 1 << 18, 1 << 20]) func boundsHold(bytesMax: Int) {
        let cache = TestSeries.cache(bytesMax: bytesMax)
        var driver = CacheDriver(cache)
        var random = SplitMix64(seed: 3)
        for _ in 0..<20 {
            let first = UInt64(random.below(50_000))
            _ = driver.scan(first..<first + UInt64(random.below(3000)))
            let metrics = cache.metrics
            #expect(metrics.bytes <= UInt64(bytesMax) && metrics.bytesMax == UInt64(bytesMax))
            #expect(metrics.entries * 40 <= metrics.bytes)
        }
        #expect(driver.wrongValues == 0)
        let metrics = cache.metrics
        #expect(metrics.requests == UInt64(driver.requests))
        #expect(metrics.misses == UInt64(driver.requests - driver.hits))
        // What was put is there, was thrown out, or was refused.
        #expect(metrics.misses == metrics.entries + metrics.evictions + metrics.refusals)
        if bytesMax < Bucket.bytes { #expect(metrics.entries == 0 && driver.hits == 0) }
        if bytesMax == 1 << 18 { #expect(metrics.entries > 5000, "a full cache is full") }
    }

    @Test func bytesOfAnEntry() {
        let cache = TestSeries.cache(bytesMax: 64 << 20)
        var inserted: UInt64 = 0
        var worst = 0.0
        while inserted < 200_000 {
            cache.insert(TestSeries.fingerprint(inserted), TestSeries.value(inserted))
            inserted += 1
            if inserted >= 20_000 && inserted % 1000 == 0 {
                let metrics = cache.metrics
                worst = max(worst, Double(metrics.bytes) / Double(metrics.entries))
            }
        }
        #expect(worst < 64, "bytes an entry: \(worst)")
        #expect(cache.metrics.entries == inserted)
    }

    @Test func countersAndRatio() {
        let cache = TestSeries.cache(bytesMax: 1 << 16)
        #expect(cache.metrics.hitRatio == nil)
        cache.count(requests: 0, misses: 0)
        #expect(cache.metrics.hitRatio == nil)
        cache.count(requests: 10, misses: 4)
        cache.count(requests: 10, misses: 1)
        #expect(cache.metrics.requests == 20 && cache.metrics.misses == 5)
        #expect(cache.metrics.hitRatio == 0.75)
        cache.reset()
        #expect(cache.metrics.requests == 20 && cache.metrics.resets == 1, "counters go on")
    }

    @Test func ages() {
        for generation in 1...CacheStamp.generations {
            for back in 0..<CacheStamp.generations {
                var then = generation - back
                if then < 1 { then += CacheStamp.generations }
                for level in 0...3 {
                    let stamp = CacheStamp.make(then, level: level)
                    #expect(stamp != 0)
                    #expect(CacheStamp.age(stamp, in: generation) == back)
                    #expect(CacheStamp.isProtected(stamp, in: generation) == (back <= 1 && level >= 2))
                    let found = CacheStamp.found(stamp, in: generation)
                    #expect(CacheStamp.age(found, in: generation) == 0)
                    let expected = back == 0 ? min(level + 1, 3) : back == 1 && level == 3 ? 2 : 1
                    #expect(Int(found & 3) == expected)
                }
            }
        }
    }
}
