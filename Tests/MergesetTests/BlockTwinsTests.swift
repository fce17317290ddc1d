// Blocks of per-day tag rows that are stored with the bytes of the blocks without the day: whatever rows come, the items of a
// part are those that went in, and the pairing happens where the rows are the same.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import Mergeset

@Suite struct BlockTwinsTests {
    private func bigEndian(_ value: UInt64) -> [UInt8] { TagRowFixtures.bigEndian(value) }

    private func tags(_ count: Int, _ random: inout SplitMix64) -> [[UInt8]] { TagRowFixtures.tags(count, &random) }

    private func rows(_ tags: [[UInt8]], tenant: UInt64, days: [UInt64]) -> [[UInt8]] {
        TagRowFixtures.rows(tags, tenant: tenant, days: days)
    }

    private func key(_ seed: UInt64) -> FingerprintKey {
        var random = SplitMix64(seed: seed)
        return FingerprintKey(drawing: { random.next() })
    }

    /// Writes sorted items with pairing; returns the part and how many blocks were paired and written.
    private func write(
        _ sorted: [[UInt8]], seed: UInt64, on files: any FileSystem
    ) throws -> (part: FilePart, paired: UInt64, blocks: UInt64) {
        try files.makeDirectory("/table", parents: true)
        var writer = try PartWriter(
            directory: "/table/building", level: Zstd.lightLevel, files: files, twinKey: key(seed))
        var previous: [UInt8] = []
        for item in sorted {
            var padded = RawBuffer(capacity: item.count)
            item.withUnsafeBytes { padded.append($0) }
            try writer.append(
                UnsafeRawPointer(padded.base), item.count, sharing: PartFixtures.shared(previous, item))
            previous = item
        }
        let part = try PartFixtures.finish(&writer, table: "/table", suffix: 1, on: files)
        return (part, writer.blocksPaired, writer.blocksCount)
    }

    /// Both ways to read the part give these items, and its blocks keep the limits.
    private func check(_ part: FilePart, _ items: [[UInt8]]) throws {
        #expect(try PartFixtures.streamed(part) == items)
        #expect(try PartFixtures.randomlyRead(part) == items)
        var hit = false
        for row in 0..<part.metaindex.count {
            let headers = try part.indexBlock(row, hit: &hit)
            for number in 0..<headers.count {
                let block = try part.dataBlock(row, headers, number, mayEvict: true, hit: &hit)
                #expect(block.items.count == 1 || block.items.dataBytes <= Limits.blockBytesMax)
            }
        }
    }

    @Test(arguments: TestSeeds.thisRun) func equalRowsOfOneDayArePaired(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let tags = tags(9000, &random)
        // Other kinds before, between and behind: their last blocks are ended for the rows.
        var items = rows(tags, tenant: 7, days: [19_000])
        for kind in [0, 2, 3, 5, 7] as [UInt8] {
            items += (0..<random.below(3000)).map { [kind] + bigEndian(UInt64($0)) + bigEndian(random.next()) }
        }
        items += (0..<1200).map { [0] + bigEndian(UInt64($0)) + [UInt8](repeating: 9, count: 60) }
        items.sort(by: isSmaller)
        let files = SimulatedFileSystem()
        let (part, paired, _) = try write(items, seed: seed, on: files)
        try check(part, items)
        let rowBytes = tags.reduce(0) { $0 + $1.count + 17 }
        // All but the last, which ends with other items there and with the rows here.
        #expect(paired >= UInt64(rowBytes / Limits.blockBytesMax) - 1)
    }

    @Test(arguments: TestSeeds.thisRun) func daysAndTenantsStartBlocks(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var items: [[UInt8]] = (0..<1200).map { [0] + bigEndian(UInt64($0)) + [UInt8](repeating: 9, count: 60) }
        for tenant in 0..<3 as Range<UInt64> {
            items += rows(tags(4000, &random), tenant: tenant, days: [19_000, 19_001])
        }
        items.sort(by: isSmaller)
        let files = SimulatedFileSystem()
        let (part, paired, _) = try write(items, seed: seed, on: files)
        try check(part, items)
        // The first day of the first tenant in any case; more where a tenant leaves enough in its last block.
        #expect(paired >= 2)
    }

    @Test(arguments: TestSeeds.thisRun) func rowsThatDifferAreNot(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let global = tags(3000, &random)
        var items: [[UInt8]] = global.map { [1] + bigEndian(7) + $0 }
        // One id differs in each row.
        for tag in global {
            var row = [6] + bigEndian(7) + bigEndian(19_000) + tag
            row[row.count - 1] ^= 1
            items.append(row)
        }
        let files = SimulatedFileSystem()
        let sorted = items.sorted(by: isSmaller)
        let (part, paired, blocks) = try write(sorted, seed: seed, on: files)
        #expect(paired == 0 && blocks >= 4)
        try check(part, sorted)
    }

    /// Rows of random tenants, days, lengths and counts, most of them in both kinds, some of them broken in the middle.
    @Test(arguments: TestSeeds.thisRun) func randomRowsComeBack(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<6 {
            var items: [[UInt8]] = []
            for tenant in 0..<UInt64(1 + random.below(3)) {
                let tags = tags([1, 40, 700, 5000][random.below(4)], &random)
                items += rows(tags, tenant: tenant, days: Array((19_000..<19_003).prefix(random.below(3))))
            }
            for _ in 0..<random.below(20) where !items.isEmpty { items.remove(at: random.below(items.count)) }
            if random.below(3) == 0 {
                let long = [UInt8](repeating: UInt8(ascii: "x"), count: 65_536 - 26 - random.below(20))
                items.append([1] + bigEndian(1) + long + [1, 1] + bigEndian(5))
            }
            items += (0..<random.below(2000)).map { _ in [UInt8(random.below(8))] + bigEndian(random.next()) }
            items.append([])
            items.sort(by: isSmaller)
            let files = SimulatedFileSystem()
            let (part, _, _) = try write(items, seed: seed, on: files)
            try check(part, items)
        }
    }

    /// Rows of one tag that come in several parts are united alike in both kinds.
    @Test func flushesAndMergesPair() throws {
        var random = SplitMix64(seed: 11)
        let files = SimulatedFileSystem()
        var options = TableOptions()
        options.shardCount = 1
        options.tagRowMerging = .streaming
        options.mergesInBackground = false
        let table = try Table.open("/table", options: options, files: files, environment: .deterministic())
        var added: [[UInt8]] = []
        for round in 0..<3 as Range<UInt64> {
            // Ids of one tag come in several parts.
            let tags = (0..<6000).map { number -> [UInt8] in
                Array("k".utf8) + [1] + Array("v\(number / (1 + number % 3))".utf8) + [1]
                    + bigEndian(10_000 * round + UInt64(number))
            }
            let batch =
                rows(tags, tenant: 7, days: [19_000])
                + (0..<900).map { _ in [0] + bigEndian(random.next()) + [UInt8](repeating: 1, count: 90) }
            try table.add(batch, isAllOrNothing: true)
            added += batch
            try table.flush()
        }
        let flushed = table.metrics.blocksPaired
        #expect(flushed > 0)
        try table.mergeAll()
        #expect(table.metrics.blocksPaired > flushed)
        // Pairs of tag and id of both kinds agree, and with what was added.
        let items = try table.scan()
        #expect(zip(items, items.dropFirst()).allSatisfy { !isSmaller($1, $0) })
        let global = items.filter { $0.first == 1 }.map { Array($0.dropFirst(9)) }
        let perDay = items.filter { $0.first == 6 }.map { Array($0.dropFirst(17)) }
        #expect(global == perDay && !global.isEmpty)
        func pairs(_ rows: [[UInt8]]) -> Set<[UInt8]> {
            var pairs: Set<[UInt8]> = []
            for row in rows where row.first == 1 {
                let end = (row.dropFirst(9).indices.filter { row[$0] == 1 })[1] + 1
                for start in stride(from: end, to: row.count, by: 8) {
                    pairs.insert(Array(row[..<end]) + row[start..<(start + 8)])
                }
            }
            return pairs
        }
        #expect(pairs(items) == pairs(added))
        try table.close()
    }

    /// A flush that cannot read what it has stored loses nothing and succeeds when it is tried again.
    @Test(arguments: [FileOperation.Kind.open, .read]) func aFailedReadFailsTheFlushOnly(kind: FileOperation.Kind)
        throws
    {
        var random = SplitMix64(seed: 12)
        let files = SimulatedFileSystem()
        var options = TableOptions()
        options.shardCount = 1
        options.tagRowMerging = .streaming
        options.mergesInBackground = false
        let table = try Table.open("/table", options: options, files: files, environment: .deterministic())
        var items = rows(tags(9000, &random), tenant: 7, days: [19_000])
        items += (0..<1200).map { [0] + bigEndian(UInt64($0)) + [UInt8](repeating: 9, count: 60) }
        try table.add(items, isAllOrNothing: true)
        files.faults = FaultPlan(rules: [
            FaultRule.on(kind, pathContaining: "items.bin", times: 1)
        ])
        #expect(throws: StorageError.self) { try table.flush() }
        #expect(table.parts.isEmpty)
        files.faults = FaultPlan()
        try table.flush()
        #expect(table.metrics.blocksPaired > 0)
        let scanned = try table.scan()
        let perDay: [[UInt8]] = scanned.filter { $0.first == 6 }.map { Array($0.dropFirst(17)) }
        let global: [[UInt8]] = scanned.filter { $0.first == 1 }.map { Array($0.dropFirst(9)) }
        #expect(perDay == global && !global.isEmpty)
        #expect(scanned.count { $0.first == 0 } == 1200)
        try table.close()
    }
}
