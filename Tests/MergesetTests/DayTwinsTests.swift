// DayTwinsTests.swift - merges of parts whose per-day tag rows are their global tag rows once more: what comes out holds what went in, and the
// parts that only look like that are merged row by row.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import Mergeset

@Suite struct DayTwinsTests {
    private static let table = "/table"

    private func bigEndian(_ value: UInt64) -> [UInt8] { TagRowFixtures.bigEndian(value) }

    private static func disk() throws -> SimulatedFileSystem {
        let files = SimulatedFileSystem(recording: .nothing)
        try files.makeDirectory(table, parents: true)
        return files
    }

    /// Writes items as flushes do: with blocks of tag rows that start and end alike.
    private func part(
        _ items: [[UInt8]], suffix: UInt64 = 1, level: Int = Zstd.lightLevel, on files: any FileSystem
    ) throws -> FilePart {
        var writer = try PartWriter(
            directory: Self.table + "/building", level: level, files: files, alignsTagRows: true)
        var previous: [UInt8] = []
        for item in items.sorted(by: isSmaller) {
            var padded = RawBuffer(capacity: item.count)
            item.withUnsafeBytes { padded.append($0) }
            try writer.append(UnsafeRawPointer(padded.base), item.count, sharing: PartFixtures.shared(previous, item))
            previous = item
        }
        return try PartFixtures.finish(&writer, table: Self.table, suffix: suffix, on: files)
    }

    /// More than a block of names, and some ids: what an index has besides its tag rows.
    private func others(_ random: inout SplitMix64, _ count: Int = 1200) -> [[UInt8]] {
        var items: [[UInt8]] = (0..<count).map { _ in [0] + bigEndian(random.next()) + [UInt8](repeating: 9, count: 60)
        }
        for kind in [2, 3, 5] as [UInt8] {
            items += (0..<count).map { [kind] + bigEndian(7) + bigEndian(UInt64(kind == 5 ? 19_000 : 5) + UInt64($0)) }
        }
        return items
    }

    /// Merges parts as tables do; with `day`, the per-day rows are copied.
    private func merge(
        _ parts: [FilePart], _ twins: [DayTwins]?, keepsStoredBlocks: Bool, suffix: UInt64, on files: any FileSystem
    ) throws -> (part: FilePart, encoded: UInt64, paired: UInt64, copied: UInt64) {
        var merger = try Merger(runs: [], parts: parts, leavingOut: twins)
        var hook = TagRowMerger(path: Self.table)
        var writer = try PartWriter(
            directory: Self.table + "/building", level: 1, files: files, alignsTagRows: true,
            copiesDayRows: twins != nil)
        _ = try MergeLoop.run(
            &merger, through: &hook, into: &writer, keepsStoredBlocks: keepsStoredBlocks, isCancelled: { false })
        if let day = twins?.first?.day { try writer.appendDayRows(day) }
        let part = try PartFixtures.finish(&writer, table: Self.table, suffix: suffix, on: files)
        return (part, writer.blocksEncoded, writer.blocksPaired, writer.blocksCopied)
    }

    // MARK: what is twinned

    @Test func partsOfNewSeriesAreTwinned() throws {
        var random = SplitMix64(seed: 1)
        let files = try Self.disk()
        let tags = TagRowFixtures.tags(9000, &random)
        let items = others(&random) + TagRowFixtures.rows(tags, tenant: 7, days: [19_000])
        let part = try part(items, on: files)
        let twins = try #require(try DayTwins.find(in: part))
        #expect(twins.day == 19_000 && twins.rowsCount == UInt64(tags.count))
        #expect(twins.globals.count == twins.days.count && twins.globals.count > 3)
        #expect(twins.days.upperBound == Int(part.metadata.blocksCount))
        // The stretches hold the rows of their kind, all of them and nothing else.
        var stream = PartStream(part)
        var rows: [UInt8: Int] = [:]
        for number in 0..<Int(part.metadata.blocksCount) {
            #expect(try stream.nextBlock(after: nil))
            try stream.decode()
            let expected: UInt8? = twins.globals.contains(number) ? 1 : twins.days.contains(number) ? 6 : nil
            for index in 0..<stream.items.count {
                let kind = try #require(stream.items[index].first)
                rows[kind, default: 0] += 1
                if let expected { #expect(kind == expected) } else { #expect(kind != 1 && kind != 6) }
            }
        }
        #expect(rows[1] == tags.count && rows[6] == tags.count)
        // Without the rows, the stream has everything else.
        var rest = PartStream(part, leavingOut: twins)
        var left = 0
        while try rest.nextBlock(after: nil) { left += Int(rest.header.itemsCount) }
        #expect(left == items.count - tags.count)
    }

    /// What differs a little from a twinned part is none.
    @Test(arguments: 0..<11) func otherPartsAreNot(difference: Int) throws {
        var random = SplitMix64(seed: 2)
        let files = try Self.disk()
        let tags = TagRowFixtures.tags(3000, &random)
        var items = others(&random) + TagRowFixtures.rows(tags, tenant: 7, days: [19_000])
        let perDay = items.indices.filter { items[$0].first == 6 }
        let global = items.indices.filter { items[$0].first == 1 }
        switch difference {
        case 0:  // an id
            items[perDay[1700]][items[perDay[1700]].count - 1] ^= 1
        case 1:  // the last id
            items[perDay[perDay.count - 1]][items[perDay[perDay.count - 1]].count - 1] ^= 1
        case 2: items.remove(at: perDay[40])
        case 3: items.remove(at: global[0])
        case 4: items.remove(at: perDay[perDay.count - 1])
        case 5: items += TagRowFixtures.rows(tags, tenant: 7, days: [19_001]).filter { $0.first == 6 }
        case 6: for index in perDay[1000...] { items[index][16] += 1 }  // other days
        case 7: for index in perDay { items[index][8] += 1 }  // another tenant
        case 8: items.append([7])
        case 9: items.removeAll { $0.first == 0 }  // rows begin the part: the blocks need not start alike
        default: items.removeAll { $0.first == 6 }
        }
        let part = try part(items, on: files)
        let twins = try DayTwins.find(in: part)
        if difference == 9 {
            #expect(twins?.rowsCount == UInt64(tags.count))
        } else {
            #expect(twins == nil)
        }
    }

    /// In tiny parts the rows share a block with what is before them.
    @Test func rowsThatShareABlockAreNot() throws {
        let files = try Self.disk()
        let rows = TagRowFixtures.rows([Array("k".utf8) + [1, 0x76, 1] + bigEndian(5)], tenant: 7, days: [19_000])
        let part = try part([[0, 1], [2, 2], [5, 3]] + rows, on: files)
        #expect(try DayTwins.find(in: part) == nil)
        // And so they do in front of the rows of a day, where only headers are looked at.
        var random = SplitMix64(seed: 3)
        let long = try self.part(
            others(&random) + rows + [[6] + bigEndian(7) + [0]], suffix: 2, on: files)
        #expect(try DayTwins.find(in: long) == nil)
    }

    @Test func allPartsOfAMergeHaveOneDay() throws {
        var random = SplitMix64(seed: 4)
        let files = try Self.disk()
        var parts: [FilePart] = []
        for (number, day) in [19_000, 19_000, 19_001].enumerated() {
            let rows = TagRowFixtures.rows(TagRowFixtures.tags(500, &random), tenant: 7, days: [UInt64(day)])
            parts.append(try part(others(&random) + rows, suffix: UInt64(number), on: files))
        }
        #expect(try DayTwins.ofAll([parts[0], parts[1]])?.count == 2)
        #expect(try DayTwins.ofAll(parts) == nil)
        #expect(try DayTwins.ofAll([]) == nil)
        let plain = try part(others(&random), suffix: 9, on: files)
        #expect(try DayTwins.ofAll([parts[0], plain]) == nil)
    }

    // MARK: merges

    /// Parts of one day and some tenants whose tags and ids overlap: merged with the per-day rows left out and with
    /// them, the same comes out, and what comes out can be merged that way again.
    @Test(arguments: TestSeeds.thisRun) func mergesCopyTheRowsOfTheDay(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for round in 0..<3 {
            let files = try Self.disk()
            let context = "seed \(seed), round \(round)"
            let shape = (tenants: 1 + random.below(3), tags: [300, 1500][random.below(2)])
            // Few ids: rows of one tag come in several parts. Ids in stretches: blocks are passed on.
            let known = TagRowFixtures.tags(shape.tags, &random, ids: 50)
            var parts: [FilePart] = []
            var all: [[UInt8]] = []
            for number in 0..<(2 + random.below(4)) {
                var items = others(&random, 1100)
                for tenant in 0..<UInt64(shape.tenants) {
                    var tags = TagRowFixtures.tags(shape.tags, &random)
                    tags += known.filter { _ in random.below(3) == 0 }
                    if random.below(2) == 0 {
                        // A stretch of its own, in front of or behind everything else.
                        let own = (0..<700).map {
                            Array("\(random.below(2) == 0 ? "a" : "z")\(number)\(10_000 + $0)".utf8) + [1]
                                + Array("v\(random.next())".utf8) + [1] + bigEndian(UInt64(number))
                        }
                        tags += own
                    }
                    items += TagRowFixtures.rows(Array(Set(tags)), tenant: tenant, days: [19_000])
                }
                all += items
                parts.append(try part(items, suffix: UInt64(number), on: files))
            }
            guard let twins = try DayTwins.ofAll(parts) else {
                // Small tenants share blocks.
                #expect(shape.tenants > 1, "\(context)")
                continue
            }
            for keepsStoredBlocks in [false, true] {
                let plain = try merge(parts, nil, keepsStoredBlocks: keepsStoredBlocks, suffix: 100, on: files)
                let copied = try merge(parts, twins, keepsStoredBlocks: keepsStoredBlocks, suffix: 101, on: files)
                let items = try PartFixtures.streamed(copied.part)
                #expect(items == (try PartFixtures.randomlyRead(copied.part)), "\(context)")
                #expect(zip(items, items.dropFirst()).allSatisfy { !isSmaller($1, $0) }, "\(context)")
                #expect(TagRowFixtures.normalised(items) == TagRowFixtures.normalised(all), "\(context)")
                #expect(copied.part.metadata.itemsCount == UInt64(items.count), "\(context)")
                #expect(copied.part.metadata.lastItem == items.last, "\(context)")
                #expect(copied.paired > 0 && copied.encoded < plain.encoded, "\(context)")
                if !keepsStoredBlocks { #expect(items == (try PartFixtures.streamed(plain.part)), "\(context)") }
                let again = try #require(try DayTwins.find(in: copied.part), "\(context)")
                #expect(again.rowsCount == UInt64(items.count { $0.first == 1 }), "\(context)")
                try files.removeAll(plain.part.path)
                try files.removeAll(copied.part.path)
            }
        }
    }

    /// A table of twinned parts, and what was added to it.
    private func twinnedTable(
        parts: Int, tags: Int, _ random: inout SplitMix64, on files: SimulatedFileSystem
    ) throws -> (Table, [[UInt8]]) {
        var options = TableOptions()
        options.shardCount = 1
        options.tagRowMerging = .streaming
        options.mergesInBackground = false
        let table = try Table.open("/table", options: options, files: files, environment: .deterministic())
        var added: [[UInt8]] = []
        for _ in 0..<parts {
            let batch =
                others(&random, 1100)
                + TagRowFixtures.rows(TagRowFixtures.tags(tags, &random), tenant: 7, days: [19_000])
            try table.add(batch, isAllOrNothing: true)
            added += batch
            try table.flush()
        }
        return (table, added)
    }

    /// A table merges its own parts this way, in the background and when it is asked to.
    @Test func tablesMergeTwinnedParts() throws {
        var random = SplitMix64(seed: 5)
        let files = SimulatedFileSystem(recording: .nothing)
        let (table, added) = try twinnedTable(parts: 18, tags: 400, &random, on: files)
        let before = table.metrics
        try table.settle()
        let after = table.metrics
        #expect(after.mergesFinished == 1 && after.blocksPaired > before.blocksPaired)
        // Rows of the day went through no merge.
        #expect(after.kinds[1].mergedItems > 0 && after.kinds[6].mergedItems == 0)
        #expect(TagRowFixtures.normalised(try table.scan()) == TagRowFixtures.normalised(added))
        try table.mergeAll()
        #expect(table.metrics.kinds[6].mergedItems == 0)
        #expect(TagRowFixtures.normalised(try table.scan()) == TagRowFixtures.normalised(added))
        try table.close()
    }

    // MARK: failures

    /// An error at any operation of a merge leaves the sources as they are, and the merge succeeds when it is tried again.
    @Test(arguments: [FileOperation.Kind.open, .read, .write, .create, .syncFile]) func aFailedMergeChangesNothing(
        kind: FileOperation.Kind
    ) throws {
        var random = SplitMix64(seed: 6)
        for skipped in 0..<12 {
            let files = SimulatedFileSystem(recording: .nothing)
            let (table, added) = try twinnedTable(parts: 2, tags: 300, &random, on: files)
            files.faults = FaultPlan(rules: [FaultRule.on(kind, skip: skipped, times: 1)])
            let failed = (try? table.mergeAll()) == nil
            files.faults = FaultPlan()
            if failed { #expect(table.parts.count == 2) }
            try table.mergeAll()
            #expect(table.parts.count == 1 && table.metrics.kinds[6].mergedItems == 0)
            #expect(TagRowFixtures.normalised(try table.scan()) == TagRowFixtures.normalised(added))
            try table.close()
        }
    }

    /// Index and metaindex of a part whose files are whole, but one bit of a block header is another.
    private static func withLyingHeader(
        _ contents: [String: [UInt8]], _ part: FilePart, _ random: inout SplitMix64
    ) throws -> (index: [UInt8], metaindex: [UInt8]) {
        let place = part.metaindex[0]
        var headers = RawBuffer()
        let stored = try #require(contents["index.bin"])
        _ = try stored[..<place.size].withUnsafeBytes { try Zstd.decompress($0, into: &headers, limitBytes: 1 << 20) }
        var plain = headers.array()
        plain[random.below(plain.count)] ^= UInt8(1 << random.below(8))
        var index = RawBuffer()
        _ = plain.withUnsafeBytes { Zstd.compress($0, level: 1, into: &index) }
        #expect(part.metaindex.count == 1)
        var row = RawBuffer()
        Metaindex.encode(
            firstItem: part.metaindex.firstItem(0), headersCount: place.headersCount, offset: 0, size: index.count,
            into: &row)
        var metaindex = RawBuffer()
        Zstd.compress(row.bytes, level: 1, into: &metaindex)
        return (index.array(), metaindex.array())
    }

    /// Damaged twinned parts: whatever a merge makes of them, it does not trap.
    @Test(arguments: TestSeeds.thisRun) func damagedPartsAreRefusedOrMerged(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let files = try Self.disk()
        let rows = TagRowFixtures.rows(TagRowFixtures.tags(2000, &random), tenant: 7, days: [19_000])
        let whole = try part(others(&random) + rows, on: files)
        let contents = try PartFixtures.contents(of: whole.path, on: files)
        for round in 0..<80 {
            var damaged = contents
            if round % 2 == 0 {
                let lying = try Self.withLyingHeader(contents, whole, &random)
                damaged["index.bin"] = lying.index
                damaged["metaindex.bin"] = lying.metaindex
            }
            let name = ["items.bin", "lens.bin", "index.bin", "metaindex.bin", "metadata.json"][random.below(5)]
            if round % 2 == 1, var bytes = damaged[name], !bytes.isEmpty {
                if random.below(4) == 0 {
                    bytes.removeLast(1 + random.below(bytes.count))
                } else {
                    bytes[random.below(bytes.count)] ^= UInt8(1 << random.below(8))
                }
                damaged[name] = bytes
            }
            let disk = try Self.disk()
            let path = Self.table + "/" + whole.name
            try PartFixtures.write(damaged, into: path, on: disk)
            do {
                let part = try FilePart(path: path, files: disk, caches: PartFixtures.caches())
                let twins = try DayTwins.ofAll([part, part])
                for keepsStoredBlocks in [false, true] {
                    let merged = try merge(
                        [part, part], twins, keepsStoredBlocks: keepsStoredBlocks, suffix: 100, on: disk)
                    try disk.removeAll(merged.part.path)
                }
            } catch let error as StorageError {
                #expect([.corrupted, .notFound].contains(error.kind), "\(error)")
            }
        }
    }
}
