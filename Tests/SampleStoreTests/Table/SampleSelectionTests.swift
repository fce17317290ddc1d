// SampleSelectionTests.swift - which parts are merged, where the result goes, and when few parts are merged too.

import StorageRuntime
import TestSupport
import Testing

@testable import SampleStore

@Suite struct SamplePartSelectionTests {
    private static func candidates(_ sizes: [UInt64]) -> [SamplePartSelection.Candidate] {
        sizes.enumerated().map { .init(size: $0.element, minTimestamp: Int64($0.offset), index: $0.offset) }
    }

    @Test func goldenVectors() throws {
        let vectors = try Golden.json("samples/merge-select.json")["vectors"].array
        #expect(vectors.count >= 20)
        for vector in vectors {
            let mode = try vector["mode"].string
            let choice = SamplePartSelection.select(
                Self.candidates(try vector["sizes"].array.map { try $0.uint64 }),
                outputBytesMax: try vector["max_out_bytes"].uint64, final: mode == "final",
                partsMax: try vector["max_parts"].int)
            let name = try vector["description"].string
            #expect(choice.indexes == (try vector["selected_indexes"].array.map { try $0.int }), "\(name)")
            #expect(choice.needsSpace == (try vector["need_free_space"].bool), "\(name)")
        }
    }

    @Test func goldenLevels() throws {
        for level in try Golden.json("samples/merge-select.json")["levels"].array {
            let found = SampleLimits.indexLevel(rows: try level[0].uint64, blocks: try level[1].uint64)
            #expect(found == (try level[2].int))
        }
    }

    /// Whatever is chosen is a window of the sorted sizes that obeys the rules; what is not chosen would not be better.
    @Test(arguments: TestSeeds.thisRun) func choicesObeyTheRules(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for _ in 0..<500 {
            let sizes = (0..<random.below(24)).map { _ in 1 + random.next() >> UInt64(44 + random.below(18)) }
            let limit = UInt64(1 + random.below(1 << 22))
            let final = random.below(2) == 0
            let choice = SamplePartSelection.select(Self.candidates(sizes), outputBytesMax: limit, final: final)
            let chosen = choice.indexes.map { sizes[$0] }
            #expect(chosen == chosen.sorted() && Set(choice.indexes).count == chosen.count)
            #expect(chosen.count <= 15 && chosen.count != 1)
            let sum = chosen.reduce(0, +)
            #expect(sum <= limit)
            if let biggest = chosen.last {
                let gain = Double(sum) / Double(biggest)
                #expect(gain >= (final ? 1.7 : 7.5))
                #expect(chosen[0] * UInt64(chosen.count) >= biggest)
            } else if !final, sizes.count >= 15, sizes.allSatisfy({ $0 == sizes[0] }) {
                #expect(sizes[0] * 8 > limit)
            }
        }
    }

    @Test func smallPartsGoWhereTheyFit() {
        let sizes = [UInt64](repeating: 100, count: 15)
        func choose(s: UInt64, small: UInt64, big: UInt64) -> SamplePartSelection.SmallChoice {
            SamplePartSelection.selectSmall(
                Self.candidates(sizes), smallPartBytesMax: s, smallBytesMax: small, bigBytesMax: big, final: false)
        }
        #expect(choose(s: 2000, small: 5000, big: 5000).side == .small)
        #expect(choose(s: 2000, small: 5000, big: 5000).indexes.count == 15)
        #expect(choose(s: 1499, small: 5000, big: 5000).side == .big)
        #expect(choose(s: 1500, small: 5000, big: 5000).side == .small)
        // The small directory has less room: fewer parts, and that is noted for it alone.
        let tight = choose(s: 2000, small: 1000, big: 5000)
        #expect(tight.side == .small && tight.indexes.count == 10)
        #expect(tight.smallNeedsSpace == true && !tight.bigNeedsSpace)
        // The big one has less room.
        let full = choose(s: 2000, small: 5000, big: 900)
        #expect(full.indexes.count == 9 && full.bigNeedsSpace && full.smallNeedsSpace == nil)
        #expect(choose(s: 2000, small: 5000, big: 100).indexes.isEmpty)
    }

    @Test func quietSidesBecomeFinal() {
        let second: UInt64 = 1_000_000_000
        var time = SampleQuietTime()
        func idle(_ now: UInt64, delay: UInt64) -> Bool { time.idle(now, delay: delay) }
        #expect(!idle(5 * second, delay: 0))
        #expect(!time.isFinal)
        #expect(idle(5 * second, delay: 10 * second), "never counts as long ago")
        #expect(time.isFinal)
        #expect(!idle(500 * second, delay: 10 * second), "is final already")
        time.merged(600 * second)
        #expect(!time.isFinal)
        #expect(!idle(611 * second, delay: 10 * second))
        #expect(idle(611 * second + 1, delay: 10 * second))
        #expect(time.isFinal)
    }
}

@Suite struct SampleMonthTests {
    @Test func goldenRows() throws {
        for row in try Golden.json("samples/partition-name.json")["rows"].array {
            let month = SampleMonth(timestampMs: try row[0].int64)
            #expect(month.name == (try row[1].string))
            #expect(month.startMs == (try row[2].int64))
            #expect(month.endMs == (try row[3].int64))
            #expect(SampleMonth(name: month.name) == month)
        }
    }

    @Test func goldenNames() throws {
        for name in try Golden.json("samples/partition-name.json")["names"].array {
            let text = try name["name"].string
            let month = SampleMonth(name: text)
            #expect((month != nil) == (try name["valid"].bool), "\(text)")
            guard let month else { continue }
            #expect(month.startMs == (try name["min"].int64))
            #expect(month.endMs == (try name["max"].int64))
        }
    }

    /// Timestamps that belong to no partition have a month, too, that contains them.
    @Test func everyTimestampHasAMonth() {
        for timestamp in [Int64.min, -1 << 60, -62_167_219_200_001, 253_402_300_800_000, 1 << 60, .max] {
            let month = SampleMonth(timestampMs: timestamp)
            #expect(month.contains(timestamp) && SampleMonth(name: month.name) == nil)
            #expect(!month.overlaps(0, 1 << 42))
        }
        #expect(SampleMonth(timestampMs: -62_167_219_200_000).name == "0000_01")
        #expect(SampleMonth(timestampMs: 253_402_300_799_999).name == "9999_12")
    }

    /// Every month borders on the next one.
    @Test func monthsFollowEachOther() {
        var month = SampleMonth(timestampMs: -62_135_596_800_000)  // year 1
        for _ in 0..<(12 * 3000) {
            let next = SampleMonth(timestampMs: month.endMs + 1)
            #expect(next.startMs == month.endMs + 1 && month < next)
            #expect(month.contains(month.startMs) && month.contains(month.endMs) && !month.contains(next.startMs))
            month = next
        }
    }
}

@Suite struct RowGroupsTests {
    private static func arena(_ rows: [SampleRow], bits: Int = 64) -> RowArena {
        let arena = RowArena(capacity: max(rows.count, 1))
        rows.withUnsafeBufferPointer { arena.append($0.baseAddress!, $0.count, precisionBits: bits) }
        return arena
    }

    @Test func anArenaOfOneMonthIsNotMoved() {
        let arena = Self.arena((0..<100).map { Fixture.row($0, TableFixture.start + Int64($0), 1) })
        let groups = RowGroups([arena, Self.arena([])], pool: RowArenaPool(arenaRows: 100, countMax: 2))
        #expect(groups.groups.count == 1 && groups.spare.isEmpty)
        #expect(groups.groups[0].pieces[0].baseAddress == UnsafePointer(arena.rows))
        #expect(groups.groups[0].month.name == "2021_11" && groups.groups[0].count == 100)
    }

    /// All rows of a month are in its group, in the order of arrival.
    @Test(arguments: TestSeeds.thisRun) func groupsAgainstFiltering(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for _ in 0..<50 {
            var batches: [(rows: [SampleRow], bits: Int)] = []
            for _ in 0..<(1 + random.below(6)) {
                let months = 1 + random.below(5)
                let rows = (0..<random.below(60)).map { index in
                    Fixture.row(
                        index, TableFixture.start + Int64(random.below(months)) * 31 * TableFixture.dayMs,
                        Double(random.below(1000)))
                }
                batches.append((rows, random.below(3) == 0 ? 10 : 64))
            }
            let arenas = batches.filter { !$0.rows.isEmpty }.map { Self.arena($0.rows, bits: $0.bits) }
            let groups = RowGroups(arenas, pool: RowArenaPool(arenaRows: 60, countMax: 1))
            var total = 0
            for group in groups.groups {
                let found = group.pieces.flatMap { Array($0) }.map { Fixture.plain($0) }
                let expected = batches.filter { $0.bits == group.precisionBits }.flatMap(\.rows)
                    .filter { group.month.contains($0.timestampMs) }.map { Fixture.plain($0) }
                #expect(found == expected)
                total += found.count
            }
            #expect(total == batches.reduce(0) { $0 + $1.rows.count })
            let keys = groups.groups.map { ($0.month.startMs, $0.precisionBits) }
            #expect(zip(keys, keys.dropFirst()).allSatisfy { $0 < $1 })
        }
    }
}
