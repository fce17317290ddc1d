// MergerTests.swift - merges of runs and parts against sorted arrays.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import Mergeset

@Suite struct MergerTests {
    /// Merges and compares: items in order, and with each the bytes shared with its predecessor.
    private func check(runs: [MemoryRun], parts: [FilePart], against items: [[UInt8]], _ context: String) throws {
        let expected = items.sorted(by: isSmaller)
        var merger = try Merger(runs: runs, parts: parts)
        var position = 0
        var previous: [UInt8] = []
        while try merger.next() {
            let item = [UInt8](UnsafeRawBufferPointer(start: merger.item, count: merger.length))
            guard position < expected.count, item == expected[position] else {
                Issue.record("\(context): item \(position) is \(item.prefix(64))")
                return
            }
            let shared = position == 0 ? 0 : PartFixtures.shared(previous, item)
            guard merger.shared == shared else {
                Issue.record("\(context): item \(position) shares \(shared) bytes, not \(merger.shared)")
                return
            }
            previous = item
            position += 1
        }
        #expect(position == expected.count, "\(context)")
        #expect(try !merger.next(), "\(context): delivers behind the end")
    }

    // MARK: small, all of them

    /// All sorted lists of `1...countMax` items.
    private func lists(_ items: [[UInt8]], countMax: Int) -> [[[UInt8]]] {
        var result: [[[UInt8]]] = []
        func extend(_ list: [[UInt8]], from: Int) {
            if !list.isEmpty { result.append(list) }
            guard list.count < countMax else { return }
            for index in from..<items.count { extend(list + [items[index]], from: index) }
        }
        extend([], from: 0)
        return result
    }

    private static let short: [[UInt8]] = [[], [0], [0, 0], [0, 1], [1], [1, 0], [1, 1]]

    /// The window of comparison has eight bytes: the items differ before, at and behind its edge.
    @Test(arguments: [0, 5, 6, 7, 8, 15]) func allPairsOfSmallRuns(padding: Int) throws {
        let items = [[]] + Self.short.map { [UInt8](repeating: 0, count: padding) + $0 }
        let lists = lists(items.sorted(by: isSmaller), countMax: 2)
        let runs = try lists.map { try PartFixtures.run($0) }
        for a in lists.indices {
            for b in lists.indices {
                try check(
                    runs: [runs[a], runs[b]], parts: [], against: lists[a] + lists[b],
                    "padding \(padding): \(lists[a]), \(lists[b])")
            }
        }
    }

    @Test(arguments: [0, 7]) func allTriplesOfSmallRuns(padding: Int) throws {
        let items = [[], [0], [0, 0], [0, 1], [1]].map { [UInt8](repeating: 0x61, count: padding) + $0 }
        let lists = lists(items, countMax: 2)
        let runs = try lists.map { try PartFixtures.run($0) }
        for a in lists.indices {
            for b in lists.indices {
                for c in lists.indices {
                    try check(
                        runs: [runs[a], runs[b], runs[c]], parts: [], against: lists[a] + lists[b] + lists[c],
                        "padding \(padding): \(lists[a]), \(lists[b]), \(lists[c])")
                }
            }
        }
    }

    // MARK: random

    /// Items that are alike: few letters, many duplicates, prefixes of each other, zero bytes inside and at the end.
    static func items(_ count: Int, _ random: inout SplitMix64) -> [[UInt8]] {
        let style = random.below(5)
        let stem = (0..<random.below(40)).map { _ in UInt8(random.below(3)) }
        return (0..<count).map { index in
            switch style {
            case 0: (0..<random.below(4)).map { _ in UInt8(random.below(2)) }
            case 1: Array(stem.prefix(random.below(stem.count + 1)))
            case 2: stem + (0..<random.below(12)).map { _ in UInt8(random.below(2)) }
            case 3: (0..<random.below(30)).map { _ in UInt8(random.below(256)) }
            default: Array("metric/".utf8) + Array(String(random.below(count * 2), radix: 2).utf8) + stem
            }
        }
    }

    @Test(arguments: TestSeeds.thisRun) func randomRunsAndParts(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for round in 0..<120 {
            let files = SimulatedFileSystem(recording: .nothing)
            try files.makeDirectory("/t", parents: true)
            var runs: [MemoryRun] = []
            var parts: [FilePart] = []
            var all: [[UInt8]] = []
            for source in 0..<1 + random.below(9) {
                let items = Self.items(1 + random.below([2, 20, 300][random.below(3)]), &random)
                all += items
                if random.below(2) == 0 {
                    runs.append(try PartFixtures.run(items))
                } else {
                    let blockItems = 1 + random.below(40)
                    parts.append(
                        try PartFixtures.part(
                            items.sorted(by: isSmaller), in: "/t", suffix: UInt64(source), on: files,
                            endsBlock: { _ in random.below(blockItems) == 0 }))
                }
            }
            try check(
                runs: runs, parts: parts, against: all,
                "seed \(seed), round \(round): \(runs.count) runs, \(parts.count) parts")
        }
    }

    // MARK: whole merges

    /// Merges into a part and reads that in three ways: as a merge, at random, and by the reader of the tests.
    private func mergeAndRead(
        runs: [MemoryRun], parts: [FilePart], against items: [[UInt8]], keepsStoredBlocks: Bool,
        on files: any FileSystem, _ context: String
    ) throws -> (encoded: UInt64, copied: UInt64) {
        let expected = items.sorted(by: isSmaller)
        var merger = try Merger(runs: runs, parts: parts)
        var writer = try PartWriter(directory: "/t/building", level: 1, files: files)
        var hook = PassThrough()
        let taken = try MergeLoop.run(
            &merger, through: &hook, into: &writer, keepsStoredBlocks: keepsStoredBlocks, isCancelled: { false })
        #expect(taken == UInt64(expected.count), "\(context)")
        let part = try PartFixtures.finish(&writer, table: "/t", suffix: 0xFFFF, on: files)
        #expect(part.metadata.itemsCount == UInt64(expected.count), "\(context)")
        #expect(try PartFixtures.streamed(part) == expected, "\(context)")
        #expect(try PartFixtures.randomlyRead(part) == expected, "\(context)")
        let plain = try PlainPart(name: part.name, files: PartFixtures.contents(of: part.path, on: files))
        #expect(plain.items == expected, "\(context)")
        if !keepsStoredBlocks { #expect(plain.greedyBlocks == plain.blocks.map(\.items.count), "\(context)") }
        try files.removeAll(part.path)
        return (writer.blocksEncoded, writer.blocksCopied)
    }

    @Test(arguments: TestSeeds.thisRun) func mergedParts(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var copied: UInt64 = 0
        for round in 0..<30 {
            let files = SimulatedFileSystem(recording: .nothing)
            try files.makeDirectory("/t", parents: true)
            var parts: [FilePart] = []
            var runs: [MemoryRun] = []
            var all: [[UInt8]] = []
            // Sources that overlap a little: each has a stretch of the order of its own.
            for source in 0..<1 + random.below(4) {
                let stretch = Array(String(1000 + (source + random.below(2)) * 7).utf8)
                let items = (0..<20 + random.below(800)).map { _ -> [UInt8] in
                    let tail = (0..<8 + random.below(60)).map { _ in UInt8(random.below(256)) }
                    return random.below(50) == 0 ? tail : stretch + tail
                }
                all += items
                if random.below(5) == 0 {
                    runs.append(try PartFixtures.run(items))
                } else {
                    let blockItems = 60 + random.below(400)
                    parts.append(
                        try PartFixtures.part(
                            items.sorted(by: isSmaller), in: "/t", suffix: UInt64(source), on: files,
                            endsBlock: { _ in random.below(blockItems) == 0 }))
                }
            }
            let context = "seed \(seed), round \(round)"
            for keepsStoredBlocks in [false, true] {
                let blocks = try mergeAndRead(
                    runs: runs, parts: parts, against: all, keepsStoredBlocks: keepsStoredBlocks, on: files, context)
                if keepsStoredBlocks { copied += blocks.copied } else { #expect(blocks.copied == 0) }
            }
        }
        #expect(copied > 0, "seed \(seed): no block was passed on")
    }

    // MARK: pathological

    private func roundTrip(
        _ sorted: [[UInt8]], level: Int = 1, endsBlock: (Int) -> Bool = { _ in false }
    ) throws -> PlainPart {
        let files = SimulatedFileSystem(recording: .nothing)
        try files.makeDirectory("/t", parents: true)
        let part = try PartFixtures.part(sorted, in: "/t", suffix: 7, on: files, level: level, endsBlock: endsBlock)
        #expect(try PartFixtures.streamed(part) == sorted)
        #expect(try PartFixtures.randomlyRead(part) == sorted)
        let plain = try PlainPart(name: part.name, files: PartFixtures.contents(of: part.path, on: files))
        #expect(plain.items == sorted)
        return plain
    }

    @Test func manyEmptyItems() throws {
        let plain = try roundTrip([[UInt8]](repeating: [], count: 140_000) + [[0], [1]])
        #expect(plain.blocks.count == 2)
    }

    /// Blocks of one incompressible item: the header holds the item twice, which must not exceed an index block.
    @Test(arguments: [-5, -1, 1, 3]) func longIncompressibleItems(level: Int) throws {
        let lengths = [65536, 65536, 65535, 40000, 65536, 30000, 30000, 65536, 1, 65536]
        let items = lengths.enumerated().map { SplitMixBytes.first($1, seed: UInt64($0 + 1)) }
        let plain = try roundTrip(items.sorted(by: isSmaller), level: level)
        #expect(plain.blocks.count >= 7)
    }

    @Test(arguments: [[], [0], [UInt8](repeating: 7, count: 65536)] as [[UInt8]]) func oneItem(item: [UInt8]) throws {
        let plain = try roundTrip([item])
        #expect(plain.blocks.count == 1)
    }

    @Test func equalLongItems() throws {
        let item = SplitMixBytes.first(65536, seed: 3)
        _ = try roundTrip([[UInt8]](repeating: item, count: 5))
        _ = try roundTrip([[UInt8]](repeating: Array(item.prefix(20000)), count: 7))
    }

    @Test func manySmallBlocksFillIndexBlocks() throws {
        let items = (0..<9000).map { Array("item/".utf8) + Array(String(100_000 + $0).utf8) }
        let plain = try roundTrip(items) { $0 % 2 == 0 }
        #expect(plain.blocks.count == 4500)
        #expect(plain.indexBlocks.count >= 3)
    }
}
