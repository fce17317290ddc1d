// MetricIDCacheTests.swift - whatever the cache returns is what was put last, and it stays within its bytes.

import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct MetricIDCacheTests {
    /// The value of an id: `count` bytes that follow from both.
    private static func value(_ id: UInt64, _ count: Int) -> [UInt8] {
        SplitMixBytes.first(count, seed: id &* 31 &+ UInt64(count))
    }

    private static func put(_ cache: MetricIDCache, _ id: UInt64, _ value: [UInt8]) {
        value.withUnsafeBytes { cache.put(id, $0) }
    }

    private static func get(_ cache: MetricIDCache, _ id: UInt64) -> [UInt8]? {
        var buffer = RawBuffer()
        buffer.append([1, 2])
        let found = cache.get(id, into: &buffer)
        let bytes = buffer.array()
        #expect(bytes.starts(with: [1, 2]) && (found || bytes.count == 2))
        return found ? Array(bytes.dropFirst(2)) : nil
    }

    @Test func valuesComeBack() {
        let cache = MetricIDCache(bytesMax: 64 << 20)
        let lengths = [0, 1, 3, 4, 5, 31, 32, 500, 65_501, 65_502, 65_519, 65_520]
        for (id, length) in lengths.enumerated() { Self.put(cache, UInt64(id), Self.value(UInt64(id), length)) }
        for (id, length) in lengths.enumerated() {
            #expect(Self.get(cache, UInt64(id)) == Self.value(UInt64(id), length), "\(length) bytes")
        }
        #expect(Self.get(cache, .max) == nil)
        let metrics = cache.metrics
        #expect(metrics.entries == UInt64(lengths.count) && metrics.requests == metrics.entries + 1)
        #expect(metrics.misses == 1 && metrics.evictions == 0 && metrics.refusals == 0)
        #expect(metrics.bytesMax == 64 << 20)
    }

    @Test func tooLongValuesAreRefusedAndForgetTheOldOne() {
        let cache = MetricIDCache(bytesMax: 64 << 20)
        Self.put(cache, 7, [1])
        Self.put(cache, 7, [UInt8](repeating: 1, count: MetricIDCache.valueBytesMax + 1))
        #expect(Self.get(cache, 7) == nil)
        #expect(cache.metrics.refusals == 1 && cache.metrics.entries == 0)
    }

    @Test func aCacheWithoutRoomRefuses() {
        for bytesMax in [0, 1, 100, 1000, 1023, 1024, 1100] {
            let cache = MetricIDCache(bytesMax: bytesMax)
            for id: UInt64 in 0..<50 { Self.put(cache, id, [1, 2, 3]) }
            #expect(cache.metrics.bytes <= UInt64(bytesMax))
            #expect(cache.metrics.entries + cache.metrics.refusals + cache.metrics.evictions == 50)
        }
    }

    /// 32 bytes of value take 48 and their share of the index.
    @Test func memoryGrowsWithUse() {
        let cache = MetricIDCache(bytesMax: 1 << 30)
        #expect(cache.metrics.bytes < 1 << 20)
        for id: UInt64 in 0..<100_000 { Self.put(cache, id << 20, Self.value(id, 32)) }
        let metrics = cache.metrics
        #expect(metrics.entries == 100_000 && metrics.evictions == 0)
        #expect(metrics.bytes < 8_000_000)
        cache.reset()
        #expect(cache.metrics.entries == 0 && cache.metrics.bytes < 1 << 20 && cache.metrics.resets == 1)
        #expect(Self.get(cache, 1 << 20) == nil)
        Self.put(cache, 1, [5])
        #expect(Self.get(cache, 1) == [5])
    }

    @Test func entriesThatAreReadStay() {
        let cache = MetricIDCache(bytesMax: 1 << 20)
        for id: UInt64 in 0..<100 { Self.put(cache, id, Self.value(id, 32)) }
        var missing = 0
        for id: UInt64 in 1000..<200_000 {
            Self.put(cache, id, Self.value(id, 32))
            if id % 4 == 0, Self.get(cache, id / 4 % 100) == nil { missing += 1 }
        }
        #expect(missing == 0)
        #expect(Self.get(cache, 1000) == nil)
        #expect(cache.metrics.evictions > 100_000)
        // Most of the memory holds entries.
        #expect(cache.metrics.entries > 12_000 && cache.metrics.bytes <= 1 << 20)
    }

    /// The memory goes to what is put now, not to what was put first.
    @Test func longAndShortValuesTakeTurns() {
        let cache = MetricIDCache(bytesMax: 1 << 20)
        for id: UInt64 in 0..<100 { Self.put(cache, id, Self.value(id, 30_000)) }
        #expect(cache.metrics.entries > 25)
        for id: UInt64 in 1000..<51_000 { Self.put(cache, id, Self.value(id, 32)) }
        #expect(cache.metrics.entries > 12_000)
        for id: UInt64 in 0..<100 { Self.put(cache, id, Self.value(id, 30_000)) }
        #expect(cache.metrics.entries > 20 && cache.metrics.entries < 1000)
        #expect(cache.metrics.refusals == 0 && cache.metrics.bytes <= 1 << 20)
        #expect(Self.get(cache, 99) == Self.value(99, 30_000))
    }

    @Test(arguments: TestSeeds.thisRun, [3000, 20_000, 100_000, 400_000, 5 << 20])
    func randomUseFollowsTheModel(seed: UInt64, bytesMax: Int) {
        var random = SplitMix64(seed: seed)
        let cache = MetricIDCache(bytesMax: bytesMax)
        var model: [UInt64: [UInt8]] = [:]
        var lookups: UInt64 = 0
        var misses: UInt64 = 0
        let ids = bytesMax / 40
        for step in 0..<8000 {
            let id = UInt64(random.below(ids)) &* 0x1_0000_0001
            switch random.below(10) {
            case 0..<5:
                let length =
                    switch random.below(20) {
                    case 0: random.below(65_600)
                    case 1...4: random.below(600)
                    default: 32
                    }
                let value = Self.value(UInt64(step), length)
                Self.put(cache, id, value)
                model[id] = value
            default:
                let found = Self.get(cache, id)
                lookups += 1
                if let found {
                    if found != model[id] {
                        Issue.record("step \(step): id \(id) has \(found.count) bytes, not those put last")
                        return
                    }
                } else {
                    misses += 1
                }
            }
            if step == 5000 {
                cache.reset()
                model = [:]
            }
            if step % 16 == 0 {
                let metrics = cache.metrics
                if metrics.bytes > UInt64(bytesMax) || metrics.entries > UInt64(model.count) {
                    Issue.record("step \(step): \(metrics)")
                    return
                }
            }
        }
        let metrics = cache.metrics
        #expect(metrics.requests == lookups && metrics.misses == misses && metrics.resets == 1)
        // What is said to be there is there.
        let present = model.filter { Self.get(cache, $0.key) == $0.value }.count
        #expect(UInt64(present) == metrics.entries)
    }

    @Test func concurrentUseReturnsWholeValues() {
        let cache = MetricIDCache(bytesMax: 2 << 20)
        let wrong = Protected(0)
        let lookups = Protected<UInt64>(0)
        let threads = (0..<4).map { number in
            Thread.start("cache \(number)") {
                var random = SplitMix64(seed: UInt64(number))
                var buffer = RawBuffer()
                for step in 0..<5000 {
                    let id = UInt64(random.below(3000))
                    let length = random.below(50) == 0 ? random.below(20_000) : 16 + random.below(3) * 8
                    if step % 2 == 0 {
                        // The value tells its length in every byte.
                        let value = [UInt8](repeating: UInt8(truncatingIfNeeded: length ^ Int(id)), count: length)
                        Self.put(cache, id, value)
                    } else {
                        buffer.removeAll()
                        lookups.withLock { $0 += 1 }
                        guard cache.get(id, into: &buffer) else { continue }
                        let byte = UInt8(truncatingIfNeeded: buffer.count ^ Int(id))
                        if buffer.bytes.contains(where: { $0 != byte }) { wrong.withLock { $0 += 1 } }
                    }
                    if step == 2500, number == 0 { cache.reset() }
                    if step % 500 == 0, cache.metrics.bytes > 2 << 20 { wrong.withLock { $0 += 1 } }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(wrong.withLock { $0 } == 0)
        #expect(cache.metrics.requests == lookups.withLock { $0 })
    }
}
