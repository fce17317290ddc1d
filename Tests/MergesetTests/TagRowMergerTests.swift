// Uniting tag rows on their way through flushes and merges: whatever rows come, in order or not, the pairs of prefix and id
// stay the same, and the rows written are in order and not too long.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import Mergeset

@Suite struct TagRowMergerTests {
    private func normalised(_ items: [[UInt8]]) -> [[UInt8]] { TagRowFixtures.normalised(items) }

    private func bigEndian(_ value: UInt64) -> [UInt8] { TagRowFixtures.bigEndian(value) }

    @Test(arguments: TestSeeds.thisRun, [TagRowMerging.streaming, .blockwise])
    func randomRowsKeepTheirPairs(seed: UInt64, merging: TagRowMerging) throws {
        var random = SplitMix64(seed: seed)
        let files = SimulatedFileSystem()
        var options = TableOptions()
        options.shardCount = 1
        options.tagRowMerging = merging
        options.mergesInBackground = false
        let table = try Table.open(
            "/table", options: options, files: files, environment: .deterministic(seed: seed))
        let longTag = [UInt8](repeating: UInt8(ascii: "z"), count: 64_000)
        var added: [[UInt8]] = []
        for _ in 0..<8 {
            var batch: [[UInt8]] = []
            for _ in 0..<(20 + random.below(120)) {
                if random.below(6) == 0 {
                    batch.append([UInt8([0, 2, 3, 5, 7][random.below(5)])] + bigEndian(random.next()))
                    continue
                }
                var row: [UInt8] = random.below(2) == 0 ? [1] : [6]
                row += bigEndian(UInt64(random.below(2)))
                if row[0] == 6 { row += bigEndian(UInt64(19_000 + random.below(2))) }
                row += Array("key\(random.below(2))".utf8) + [1]
                row += (random.below(40) == 0 ? longTag : Array("value\(random.below(3))".utf8)) + [1]
                let count = row.count > 60_000 ? 1 + random.below(20) : 1 + random.below(random.below(3) == 0 ? 200 : 4)
                var ids = (0..<count).map { _ in UInt64(random.below(400)) }
                if random.below(3) != 0 { ids = Array(Set(ids)).sorted() }
                for id in ids { row += bigEndian(id) }
                batch.append(row)
            }
            try table.add(batch, isAllOrNothing: true)
            added += batch
            try table.flush()
        }
        let expected = normalised(added)
        for step in ["flushed", "merged", "merged again"] {
            let items = try table.scan()
            #expect(zip(items, items.dropFirst()).allSatisfy { !isSmaller($1, $0) }, "\(step)")
            #expect(items.allSatisfy { $0.count <= Limits.itemBytesMax }, "\(step)")
            #expect(normalised(items) == expected, "\(step)")
            if step == "merged", merging == .streaming {
                // Whole rows come through alone; united ones have at most 126 ids.
                #expect(items.count <= added.count, "\(step)")
            }
            try table.mergeAll()
        }
        try table.close()
    }

    @Test func rowsOfOneTagBecomeFew() throws {
        let files = SimulatedFileSystem()
        var options = TableOptions()
        options.tagRowMerging = .streaming
        let table = try Table.open("/table", options: options, files: files, environment: .deterministic())
        let prefix: [UInt8] = [1] + bigEndian(0) + Array("a".utf8) + [1] + Array("b".utf8) + [1]
        for part in 0..<4 {
            try table.add((0..<250).map { prefix + bigEndian(UInt64($0 * 4 + part)) })
            try table.flush()
        }
        try table.mergeAll()
        let items = try table.scan()
        #expect(items.count == (1000 + Limits.rowIDsMax - 1) / Limits.rowIDsMax)
        #expect(items.reduce(0) { $0 + ($1.count - prefix.count) / 8 } == 1000)
        try table.close()
    }

    /// Held ids that reach beyond the start of a stored block of the same tag: written before it, in rows of 126, the
    /// last of them would start behind the block's first.
    @Test(arguments: [1, 2, 3, 5]) func aStoredBlockDoesNotOvertakeIDsThatAreHeld(interleaved: Int) throws {
        let prefix: [UInt8] = [1] + bigEndian(0) + Array("a".utf8) + [1] + Array("b".utf8) + [1]
        func row(_ ids: [UInt64]) -> [UInt8] { prefix + ids.flatMap { bigEndian($0) } }
        var sources: [[[UInt8]]] = (0..<interleaved).map { part in
            [row((0..<126).map { UInt64(1 + 2 * part + 2 * interleaved * $0) })]
        }
        sources.append((0..<60).map { block in row((0..<126).map { UInt64(260 + 2 * (126 * block + $0)) }) })
        try checkMerge(of: sources)
    }

    /// Rows behind a stored block that start with the id of its last row: united, they must not get before it.
    @Test func rowsWithTheFirstIDOfAStoredBlockStayBehindIt() throws {
        let prefix: [UInt8] = [1] + bigEndian(0) + Array("a".utf8) + [1] + Array("b".utf8) + [1]
        func row(_ ids: [UInt64]) -> [UInt8] { prefix + ids.flatMap { bigEndian($0) } }
        // Ids that do not compress: short blocks are not passed on.
        var random = SplitMix64(seed: 1)
        let block = (0..<60).map { (number: UInt64) -> [UInt8] in
            let tail = (0..<100).map { _ in 1000 + random.next() % 1_000_000 }
            return row([number * 10, number * 10 + 5] + Set(tail).sorted())
        }
        try checkMerge(of: [block, [row([590, 596])], [row([590, 597])], [row([591])]])
    }

    /// Merges parts of these items, each a part of its own, with stored blocks passed on; the result must be in order.
    private func checkMerge(of sources: [[[UInt8]]]) throws {
        let files = SimulatedFileSystem()
        try files.makeDirectory("/table", parents: true)
        var parts: [FilePart] = []
        for (index, items) in sources.enumerated() {
            parts.append(try PartFixtures.part(items, in: "/table", suffix: UInt64(index), on: files))
        }
        var merger = try Merger(runs: [], parts: parts)
        var hook = TagRowMerger(path: "/table")
        var writer = try PartWriter(directory: "/table/building", level: 1, files: files)
        _ = try MergeLoop.run(
            &merger, through: &hook, into: &writer, keepsStoredBlocks: true, isCancelled: { false })
        let part = try PartFixtures.finish(&writer, table: "/table", suffix: 100, on: files)
        let items = try PartFixtures.streamed(part)
        #expect(zip(items, items.dropFirst()).allSatisfy { isSmaller($0, $1) })
        #expect(normalised(items) == normalised(sources.flatMap { $0 }))
    }
}
