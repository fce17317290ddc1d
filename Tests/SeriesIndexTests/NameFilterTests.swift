// NameFilterTests.swift - the filter that tells new names from old ones: never wrong about an old one, seldom about a new.

import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import SeriesIndex

@Suite struct NameFilterTests {
    /// Names as random bits: what fingerprints look like.
    private struct Names {
        var random: SplitMix64

        init(seed: UInt64) { random = SplitMix64(seed: seed) }

        mutating func next() -> Fingerprint { Fingerprint(high: random.next(), low: random.next()) }
    }

    private static func count(_ filter: NameFilter, _ names: Int, seed: UInt64) -> Int {
        var source = Names(seed: seed)
        var found = 0
        for _ in 0..<names where filter.mayContain(source.next()) { found += 1 }
        return found
    }

    @Test func emptyFilterContainsNothing() {
        let filter = NameFilter()
        #expect(Self.count(filter, 2000, seed: 3) == 0)
        #expect(filter.count == 0)
        #expect(filter.memoryBytes == 65_536 * 3)
    }

    /// Over five levels: everything that was inserted is found, and at each capacity less than 0.2 % of the others is.
    /// (136 of 505 k new names were searched for in vain while a table of as many grew.)
    @Test func growthLosesNothing() {
        let filter = NameFilter()
        var source = Names(seed: 11)
        var inserted = 0
        for capacity in [65_536, 131_072, 262_144, 524_288, 1_048_576] {
            while inserted < capacity {
                let name = source.next()
                filter.prefetch(name)
                filter.insert(name)
                inserted += 1
                if inserted % 64 == 0, !filter.mayContain(name) { Issue.record("name \(inserted) is not found") }
            }
            #expect(filter.memoryBytes == capacity * 3)
            let wrong = Self.count(filter, 20_000, seed: 12)
            #expect(wrong < 40, "\(wrong) of 20000 at \(capacity) names")
        }
        #expect(filter.count == inserted)
        #expect(Self.count(filter, inserted, seed: 11) == inserted)
        // The next name starts the next level.
        filter.insert(source.next())
        #expect(filter.memoryBytes == 1_048_576 * 6)
        #expect(Self.count(filter, inserted + 1, seed: 11) == inserted + 1)
    }

    /// Real fingerprints of names that differ in a counter.
    @Test func countedNames() {
        let filter = NameFilter()
        var random = SplitMix64(seed: 4)
        let key = FingerprintKey { random.next() }
        func fingerprint(_ number: Int) -> Fingerprint {
            Array("metric_name{instance=\"host-\(number)\"}".utf8).withUnsafeBytes { key.fingerprint($0) }
        }
        for number in 0..<20_000 { filter.insert(fingerprint(2 * number)) }
        var missing = 0
        var wrong = 0
        for number in 0..<20_000 {
            if !filter.mayContain(fingerprint(2 * number)) { missing += 1 }
            if filter.mayContain(fingerprint(2 * number + 1)) { wrong += 1 }
        }
        #expect(missing == 0)
        #expect(wrong < 20, "a level that is a third full is hardly ever wrong")
    }
}

@Suite struct NameFilterConcurrentTests {
    /// Threads insert side by side over the edge of two levels, and each finds what it has inserted at once.
    @Test func insertsFromSeveralThreads() {
        let filter = NameFilter()
        let perThread = 50_000
        let missing = Protected<Int>(0)
        @Sendable func name(_ thread: Int, _ number: Int) -> Fingerprint {
            Fingerprint(
                high: SplitMix64.mix(UInt64(thread << 32 | number)), low: SplitMix64.mix(~UInt64(thread << 32 | number))
            )
        }
        let threads = (0..<3).map { thread in
            Thread.start("filter-\(thread)") {
                var lost = 0
                for number in 0..<perThread {
                    filter.insert(name(thread, number))
                    if number % 16 == 0, !filter.mayContain(name(thread, number / 2)) { lost += 1 }
                }
                missing.withLock { $0 += lost }
            }
        }
        for thread in threads { thread.join() }
        #expect(missing.withLock { $0 } == 0)
        #expect(filter.count == 3 * perThread)
        var lost = 0
        for thread in 0..<3 {
            for number in 0..<perThread where !filter.mayContain(name(thread, number)) { lost += 1 }
        }
        #expect(lost == 0)
        #expect(filter.memoryBytes == 262_144 * 3)
    }
}
