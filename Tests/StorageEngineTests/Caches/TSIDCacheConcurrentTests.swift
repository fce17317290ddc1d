// TSIDCacheConcurrentTests.swift - threads that look up, put, reset, grow and save at the same time. A hit is always a
// value that was put for this fingerprint, whole.

import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization
import Testing

@testable import StorageEngine

@Suite struct TSIDCacheConcurrentTests {
    private func run(_ bodies: [@Sendable () -> Void]) {
        let threads = bodies.map { Thread.start("cache-test", $0) }
        for thread in threads { thread.join() }
    }

    /// Looks up random series in batches; returns hits that were wrong.
    private static func lookUp(_ cache: TSIDCache, series: Int, batches: Int, seed: UInt64) -> Int {
        var random = SplitMix64(seed: seed)
        var wrong = 0
        var values = [CachedTSID](repeating: TestSeries.value(0), count: TSIDCache.batchMax)
        for _ in 0..<batches {
            let numbers = (0..<1 + random.below(TSIDCache.batchMax)).map { _ in UInt64(random.below(series)) }
            let hits = cache.find(numbers.map { TestSeries.fingerprint($0) }, count: numbers.count, into: &values)
            for (index, number) in numbers.enumerated() where hits >> UInt64(index) & 1 == 1 {
                if !TestSeries.isValue(values[index], of: number) { wrong += 1 }
            }
            cache.count(requests: numbers.count, misses: numbers.count - hits.nonzeroBitCount)
        }
        return wrong
    }

    /// A cache of a few buckets, where everything is replaced all the time, and one that grows.
    @Test(arguments: [512, 4096, 1 << 19, 16 << 20]) func hitsAreWhole(bytesMax: Int) {
        let cache = TestSeries.cache(bytesMax: bytesMax)
        let series = bytesMax < 1 << 19 ? 300 : 20_000
        let wrong = Atomic<Int>(0)
        let writers = (0..<2).map { writer -> @Sendable () -> Void in
            {
                var random = SplitMix64(seed: UInt64(writer))
                for version in 0..<20_000 {
                    let number = UInt64(random.below(series))
                    cache.insert(TestSeries.fingerprint(number), TestSeries.value(number, version: UInt64(version)))
                    if version % 64 == 0 { cache.tick(nowNanoseconds: UInt64(version) << 36) }
                }
            }
        }
        let readers = (0..<2).map { reader -> @Sendable () -> Void in
            {
                let found = Self.lookUp(cache, series: series, batches: 700, seed: UInt64(100 + reader))
                wrong.wrappingAdd(found, ordering: .relaxed)
            }
        }
        let resetter: @Sendable () -> Void = {
            for _ in 0..<5 {
                _ = Self.lookUp(cache, series: series, batches: 20, seed: 7)
                cache.reset()
                _ = cache.metrics
            }
        }
        run(writers + readers + [resetter])
        #expect(wrong.load(ordering: .relaxed) == 0)
        let metrics = cache.metrics
        #expect(metrics.bytes <= UInt64(bytesMax) && metrics.resets == 5)
        #expect(Self.lookUp(cache, series: series, batches: 100, seed: 5) == 0)
    }

    /// Without a limit a lookup finds everything that was put before it, also while others put, move and grow.
    @Test func nothingIsMissedWhileOthersPut() {
        let cache = TestSeries.cache(bytesMax: 64 << 20)
        let put = Atomic<UInt64>(0)
        let missed = Atomic<Int>(0)
        let isDone = Atomic<Bool>(false)
        let writer: @Sendable () -> Void = {
            for number in UInt64(0)..<30_000 {
                cache.insert(TestSeries.fingerprint(number), TestSeries.value(number))
                put.store(number + 1, ordering: .releasing)
            }
            isDone.store(true, ordering: .releasing)
        }
        let readers = (0..<2).map { reader -> @Sendable () -> Void in
            {
                var random = SplitMix64(seed: UInt64(reader))
                var values = [CachedTSID](repeating: TestSeries.value(0), count: TSIDCache.batchMax)
                while !isDone.load(ordering: .acquiring) {
                    let count = Int(put.load(ordering: .acquiring))
                    if count == 0 { continue }
                    let numbers = (0..<TSIDCache.batchMax).map { _ in UInt64(random.below(count)) }
                    let hits = cache.find(numbers.map { TestSeries.fingerprint($0) }, count: 64, into: &values)
                    missed.wrappingAdd(64 - hits.nonzeroBitCount, ordering: .relaxed)
                }
            }
        }
        run([writer] + readers)
        #expect(missed.load(ordering: .relaxed) == 0)
        #expect(cache.metrics.entries == 30_000)
    }

    /// Saving beside writers gives a file that loads; every entry in it is whole.
    @Test func savingBesideWriters() throws {
        let cache = TestSeries.cache(bytesMax: 16 << 20)
        let files = SimulatedFileSystem()
        try files.makeDirectory("/caches", parents: true)
        let wrong = Atomic<Int>(0)
        let writer: @Sendable () -> Void = {
            for number in UInt64(0)..<20_000 {
                cache.insert(
                    TestSeries.fingerprint(number % 15_000), TestSeries.value(number % 15_000, version: number))
            }
        }
        let saver: @Sendable () -> Void = {
            for _ in 0..<5 {
                do {
                    try cache.save(to: "/caches/tsid", validity: [1], files: files)
                } catch { wrong.wrappingAdd(1, ordering: .relaxed) }
                let (loaded, outcome) = TSIDCache.load(
                    from: "/caches/tsid", validity: [1], bytesMax: 16 << 20, files: files
                ) { TestSeries.key(2) }
                if case .loaded = outcome {} else { wrong.wrappingAdd(1, ordering: .relaxed) }
                wrong.wrappingAdd(
                    Self.lookUp(loaded, series: 15_000, batches: 100, seed: 1), ordering: .relaxed)
            }
        }
        run([writer, saver])
        #expect(wrong.load(ordering: .relaxed) == 0)
    }
}
