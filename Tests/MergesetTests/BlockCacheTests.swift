// BlockCacheTests.swift - the caches of a part: the right block, within the budget, from many threads.

import Dispatch
import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization
import TestSupport
import Testing

@testable import Mergeset

@Suite(.serialized) struct BlockCacheTests {
    private final class Piece: CachedBlock {
        var firstAddress: UInt { 0 }
        let number: Int
        let memoryBytes: Int
        static let alive = Atomic<Int>(0)
        init(_ number: Int, _ memoryBytes: Int = 100) {
            self.number = number
            self.memoryBytes = memoryBytes
            Piece.alive.wrappingAdd(1, ordering: .relaxed)
        }
        deinit { Piece.alive.wrappingSubtract(1, ordering: .relaxed) }
    }

    private func part(
        _ items: [[UInt8]], _ caches: PartCaches, endsBlock: (Int) -> Bool = { _ in false }
    ) throws -> FilePart {
        let files = SimulatedFileSystem(recording: .nothing)
        try files.makeDirectory("/t", parents: true)
        return try PartFixtures.part(items, in: "/t", suffix: 1, on: files, caches: caches, endsBlock: endsBlock)
    }

    /// Blocks of one item have no bytes in items.bin and share their offset there (spec, 15): never mixed up here.
    @Test func blocksWithoutItemsData() throws {
        let items = (0..<5).map { [UInt8]([UInt8($0)]) + SplitMixBytes.first(40000, seed: UInt64($0)) }
        let part = try part(items, PartFixtures.caches())
        #expect(part.metadata.blocksCount == 5)
        for _ in 0..<3 { #expect(try PartFixtures.randomlyRead(part) == items) }
        #expect(part.caches.dataBlocks.metrics.entries == 5)
        for step in 0..<40 {
            var cursor = SourceCursor(part)
            var tally = CacheTally()
            let wanted = step * 7 % 5
            try items[wanted].withUnsafeBytes { try cursor.seek($0, &tally) }
            #expect([UInt8](cursor.item) == items[wanted])
        }
    }

    @Test func budgetIsKept() throws {
        let budget = CacheBudget(bytesMax: 1000)
        let before = Piece.alive.load(ordering: .relaxed)
        do {
            let cache = BlockCache<Piece>(count: 50, budget: budget)
            for round in 0..<200 {
                let number = round * 13 % 50
                if let piece = cache.get(number) {
                    #expect(piece.number == number)
                } else {
                    cache.put(number, Piece(number, 90 + round % 30), mayEvict: round % 3 != 0)
                }
                #expect(budget.metrics.bytes <= 1000)
            }
            #expect(budget.metrics.entries > 0)
            #expect(budget.metrics.evictions > 0)
            // Too big for the budget: whatever happens, the budget is kept.
            cache.put(7, Piece(7, 5000), mayEvict: true)
            #expect(budget.metrics.bytes <= 1000)
            // Swept twice: the first takes away the marks of use, the second the blocks.
            cache.sweep()
            cache.sweep()
            #expect(budget.metrics.entries == 0)
            #expect(budget.metrics.bytes == 0)
            cache.put(3, Piece(3), mayEvict: false)
            #expect(cache.get(3)?.number == 3)
        }
        #expect(budget.metrics.bytes == 0)
        #expect(Piece.alive.load(ordering: .relaxed) == before)
    }

    /// An evicted block lives on in the hands of whoever got it.
    @Test func evictedBlocksStayAlive() {
        let budget = CacheBudget(bytesMax: 100)
        let cache = BlockCache<Piece>(count: 4, budget: budget)
        cache.put(0, Piece(0), mayEvict: true)
        let held = cache.get(0)
        cache.put(1, Piece(1), mayEvict: true)
        #expect(cache.get(0) == nil)
        #expect(held?.number == 0)
    }

    @Test func manyThreads() {
        let budget = CacheBudget(bytesMax: 2000)
        let cache = BlockCache<Piece>(count: 64, budget: budget)
        let wrong = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            var random = SplitMix64(seed: UInt64(thread) + 1)
            for step in 0..<20000 {
                let number = random.below(64)
                if let piece = cache.get(number) {
                    if piece.number != number { wrong.wrappingAdd(1, ordering: .relaxed) }
                } else {
                    cache.put(number, Piece(number, 50 + random.below(100)), mayEvict: step % 4 != 0)
                }
                if step % 5000 == 0 { cache.sweep() }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(budget.metrics.bytes <= 2000)
        cache.sweep()
        cache.sweep()
        #expect(budget.metrics.entries == 0)
        #expect(budget.metrics.bytes == 0)
    }

    @Test func manyThreadsReadOnePart() throws {
        let items = (0..<2000).map { Array("item/\(100_000 + $0)/".utf8) + SplitMixBytes.first(20, seed: UInt64($0)) }
        let part = try part(items, PartCaches(dataBlockBytes: 20_000, indexBlockBytes: 1)) { $0 % 50 == 0 }
        let wrong = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            var random = SplitMix64(seed: UInt64(thread) + 77)
            var cursor = SourceCursor(part)
            var tally = CacheTally()
            for _ in 0..<400 {
                let wanted = random.below(items.count)
                do {
                    try items[wanted].withUnsafeBytes { try cursor.seek($0, &tally) }
                    if [UInt8](cursor.item) != items[wanted] { wrong.wrappingAdd(1, ordering: .relaxed) }
                } catch {
                    wrong.wrappingAdd(1, ordering: .relaxed)
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(part.caches.dataBlocks.metrics.bytes <= 20_000)
    }
}
