// TSIDCacheFileTests.swift - a cache goes into a file and comes back; whatever is wrong with a file is told and harmless.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct TSIDCacheFileTests {
    private let files = SimulatedFileSystem()
    private let path = "/caches/tsid"
    private let validity = [UInt8]("index 17".utf8)

    init() throws { try files.makeDirectory("/caches", parents: true) }

    private func filled(_ count: UInt64, bytesMax: Int = 1 << 20) -> TSIDCache {
        let cache = TestSeries.cache(bytesMax: bytesMax)
        for number in 0..<count { cache.insert(TestSeries.fingerprint(number), TestSeries.value(number)) }
        return cache
    }

    private func load(
        _ validity: [UInt8]? = nil, bytesMax: Int = 1 << 20
    ) -> (cache: TSIDCache, outcome: TSIDCacheLoad) {
        TSIDCache.load(from: path, validity: validity ?? self.validity, bytesMax: bytesMax, files: files) {
            TestSeries.key(99)
        }
    }

    private func bytes() throws -> [UInt8] { try files.readAll(path, limitBytes: 100 << 20).array() }

    private func replace(_ bytes: [UInt8]) throws { try files.replaceAtomically(bytes, at: path) }

    /// An empty cache with a key of its own, and the reason.
    private func expectEmpty(_ loaded: (cache: TSIDCache, outcome: TSIDCacheLoad), _ comment: Comment) {
        #expect(loaded.cache.metrics.entries == 0, comment)
        #expect(loaded.cache.key.storedBytes == TestSeries.key(99).storedBytes, comment)
        if case .loaded = loaded.outcome { Issue.record(comment) }
    }

    @Test(arguments: [0, 1, 100, 26_214, 60_000]) func roundTrip(count: UInt64) throws {
        let cache = filled(count, bytesMax: 16 << 20)
        try cache.save(to: path, validity: validity, files: files)
        let (loaded, outcome) = load(bytesMax: 16 << 20)
        #expect(outcome == .loaded(entries: Int(count)))
        #expect(loaded.metrics.entries == count)
        #expect(loaded.key.storedBytes == cache.key.storedBytes)
        for number in 0..<count where loaded.find(TestSeries.fingerprint(number)) != TestSeries.value(number) {
            Issue.record("series \(number)")
        }
        #expect(try files.list("/caches").map(\.name) == ["tsid"])
    }

    /// The file replaces another one; a smaller cache takes what fits.
    @Test func smallerCacheTakesWhatFits() throws {
        try replace([1, 2, 3])
        try filled(10_000).save(to: path, validity: validity, files: files)
        let (loaded, outcome) = load(bytesMax: 1 << 16)
        #expect(outcome == .loaded(entries: 10_000))
        let metrics = loaded.metrics
        #expect(metrics.bytes <= 1 << 16 && metrics.entries > 1400)
    }

    @Test func oldEntriesAreNotSaved() throws {
        let cache = filled(1000)
        cache.tick(nowNanoseconds: 0)
        cache.tick(nowNanoseconds: CacheAging.tickNanoseconds)
        for number in UInt64(0)..<100 { _ = cache.find(TestSeries.fingerprint(number)) }
        cache.tick(nowNanoseconds: 2 * CacheAging.tickNanoseconds)
        try cache.save(to: path, validity: validity, files: files)
        #expect(load().outcome == .loaded(entries: 100))
    }

    @Test func reasons() throws {
        expectEmpty(load(), "no file")
        #expect(load().outcome == .absent)
        try filled(10).save(to: path, validity: validity, files: files)
        #expect(load([]).outcome == .otherValidity)
        #expect(load(validity + [0]).outcome == .otherValidity)
        expectEmpty(load([1]), "other validity")
        var bytes = try bytes()
        bytes[11] = 2
        try replace(bytes)
        #expect(load().outcome == .otherVersion)
        try replace([])
        #expect(load().outcome == .truncated)
        try replace([UInt8]("something else entirely".utf8))
        #expect(load().outcome == .corrupted)
        #expect(throws: StorageError.self) {
            try filled(1).save(to: path, validity: [UInt8](repeating: 0, count: 65 << 10), files: files)
        }
        try filled(1).save(to: path, validity: [UInt8](repeating: 0, count: 64 << 10), files: files)
        #expect(load([UInt8](repeating: 0, count: 64 << 10)).outcome == .loaded(entries: 1))
    }

    @Test func everyTruncationIsNoticed() throws {
        try filled(20).save(to: path, validity: validity, files: files)
        let bytes = try bytes()
        for count in 0..<bytes.count {
            try replace(Array(bytes[..<count]))
            let loaded = load()
            expectEmpty(loaded, "\(count) bytes")
            #expect(loaded.outcome == .truncated, "\(count) bytes")
        }
        try replace(bytes + [0])
        #expect(load().outcome == .corrupted)
        try replace(bytes)
        #expect(load().outcome == .loaded(entries: 20))
    }

    @Test func everyFlippedByteIsNoticed() throws {
        try filled(20).save(to: path, validity: validity, files: files)
        let bytes = try bytes()
        for index in bytes.indices {
            for mask in [UInt8(1), 0x80, 0xFF] {
                var changed = bytes
                changed[index] ^= mask
                try replace(changed)
                expectEmpty(load(), "byte \(index) ^ \(mask)")
            }
        }
    }

    /// Chunks in another order, twice or missing have good checksums of their own bytes, but not of the file before them.
    @Test func chunksCannotChangePlaces() throws {
        try filled(60_000, bytesMax: 16 << 20).save(to: path, validity: validity, files: files)
        let bytes = try bytes()
        var starts: [Int] = []
        var place = 8 + 4 + FingerprintKey.storedBytesCount + 4 + validity.count + 8
        while true {
            starts.append(place)
            let count = bytes[place..<place + 4].reduce(0) { $0 << 8 | Int($1) }
            if count == 0 { break }
            place += 4 + 40 * count + 8
        }
        try #require(starts.count == 4)
        let chunks = (0..<3).map { Array(bytes[starts[$0]..<starts[$0 + 1]]) }
        let head = Array(bytes[..<starts[0]])
        let end = Array(bytes[starts[3]...])
        for order in [[1, 0, 2], [0, 2, 1], [0, 1], [0, 1, 2, 2], [0, 0, 1, 2], []] {
            try replace(head + order.flatMap { chunks[$0] } + end)
            let loaded = load(bytesMax: 16 << 20)
            expectEmpty(loaded, "order \(order)")
            #expect(loaded.outcome == .corrupted)
        }
        try replace(head + chunks.flatMap { $0 } + end)
        #expect(load(bytesMax: 16 << 20).outcome == .loaded(entries: 60_000))
    }

    @Test(arguments: TestSeeds.thisRun) func garbageIsRefused(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        try filled(5).save(to: path, validity: validity, files: files)
        let good = try bytes()
        for _ in 0..<300 {
            var garbage = SplitMixBytes.first(random.below(3000), seed: random.next())
            // Half of them begin as a good file does.
            if random.below(2) == 0 { garbage = Array(good.prefix(random.below(good.count))) + garbage }
            try replace(garbage)
            expectEmpty(load(), "garbage")
        }
    }

    /// Whatever call fails while saving, the file that was there stays.
    @Test func failedSavingLeavesTheOldFile() throws {
        try filled(10).save(to: path, validity: validity, files: files)
        let room = try bytes().count
        for capacity in [room + 1, room * 2] {
            let full = SimulatedFileSystem(faults: FaultPlan(capacityBytes: capacity))
            try full.makeDirectory("/caches", parents: true)
            try full.replaceAtomically(try bytes(), at: path)
            #expect(throws: StorageError.self) { try filled(5000).save(to: path, validity: validity, files: full) }
            #expect(try full.list("/caches").map(\.name) == ["tsid"])
            let loaded = TSIDCache.load(from: path, validity: validity, bytesMax: 1 << 20, files: full) {
                TestSeries.key(99)
            }
            #expect(loaded.outcome == .loaded(entries: 10))
        }
    }

    /// The probe of the fuzzer accepts what is good, and mends what has a wrong checksum.
    @Test func probe() throws {
        try filled(20).save(to: path, validity: CacheProbes.validity, files: files)
        var bytes = try bytes()
        #expect(bytes.withUnsafeBytes { CacheProbes.cacheFile($0) } == 20)
        bytes[bytes.count - 60] ^= 1
        #expect(bytes.withUnsafeBytes { CacheProbes.cacheFile($0) } == 20)
        bytes[8] ^= 1
        #expect(bytes.withUnsafeBytes { CacheProbes.cacheFile($0) } == nil)
    }
}
