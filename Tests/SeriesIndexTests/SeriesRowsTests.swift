// SeriesRowsTests.swift - the rows of registrations: golden batches, lengths, limits, and the tag row parser on them.

import Mergeset
import SeriesIndex
import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@Suite struct SeriesRowsTests {
    private func array(_ items: borrowing ItemList) -> [[UInt8]] { (0..<items.count).map { [UInt8](items[$0]) } }

    @Test func rowsAreThoseOfTheReference() throws {
        var name = CanonicalName()
        var items = ItemList()
        for vector in try Golden.list("index_items", "series") {
            let canonical = try vector.hex("canonicalHex")
            let metricID = try vector.decimal("metricID")
            #expect(metricID == (try vector.hexNumber("metricIDHex")))
            try withExactCopy(canonical) { try name.load(canonical: $0) }
            let tsid = TSID(of: name, metricID: metricID)
            #expect(stored(tsid) == (try vector.hex("tsidHex")), "\(vector.name)")

            items.removeAll()
            try SeriesRows.appendGlobal(name, tsid, to: &items)
            #expect(array(items) == (try vector.hexList("globalItems")), "\(vector.name)")
            #expect(items.count == SeriesRows.globalCount(name), "\(vector.name)")
            checkTagRows(items)

            items.removeAll()
            let date = UInt64(try vector.number("date"))
            try SeriesRows.appendPerDay(name, date: date, metricID: metricID, to: &items)
            #expect(array(items) == (try vector.hexList("perDayItems")), "\(vector.name)")
            #expect(items.count == SeriesRows.perDayCount(name), "\(vector.name)")
            checkTagRows(items)
        }
        items.removeAll()
        SeriesRows.appendTombstones([1_640_995_200_000_000_002, 1_640_995_200_000_000_001, 5], to: &items)
        #expect(array(items) == (try Vector(fields: Golden.load("index_items")).hexList("deletedItems")))
    }

    /// Parses the tag rows among the items.
    private func checkTagRows(_ items: borrowing ItemList) {
        for index in 0..<items.count where items[index][0] == 1 || items[index][0] == 6 {
            let row = try? TagRow(items[index])
            #expect(row?.idCount == 1)
            #expect(row?.prefixLength == items[index].count - 8)
        }
    }

    /// The rows by the words of docs/format/series-index.md, 4.1, from plain fields.
    private func model(_ name: MetricName, _ tsid: TSID, date: UInt64?) -> [[UInt8]] {
        func big(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
        func escaped(_ bytes: [UInt8]) -> [UInt8] { bytes.flatMap { $0 <= 2 ? [0, $0 + 0x30] : [$0] } }
        func tag(_ key: [UInt8], _ value: [UInt8]) -> [UInt8] { escaped(key) + [1] + escaped(value) + [1] }
        var tags = [tag([], name.group)]
        if name.group.contains(UInt8(ascii: ".")) { tags.append(tag([0xFF], name.group.reversed())) }
        tags += name.tags.map { tag($0.key, $0.value) }
        var length = RawBuffer()
        length.appendVarint(UInt64(name.group.count))
        tags += name.tags.map { tag([0xFE] + length.array() + name.group + $0.key, $0.value) }
        let tenant = big(name.tenant.bits)
        let id = big(tsid.metricID)
        if let date {
            return [[5] + tenant + big(date) + id] + tags.map { [6] + tenant + big(date) + $0 + id }
        }
        let canonical = name.canonical
        return [[0] + canonical + [2] + stored(tsid), [3] + tenant + id + canonical, [2] + tenant + id + stored(tsid)]
            + tags.map { [1] + tenant + $0 + id }
    }

    @Test(arguments: [41, 42] as [UInt64]) func rowsOfRandomNames(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var name = CanonicalName()
        for round in 0..<600 {
            // Group lengths where the varint has bytes 0, 1 and 2, and others.
            let groupCount = [0, 1, 2, 3, 127, 128, 129, 130, 255, 256, 257, 258, 383, 384, 16_384, 40][
                random.below(16)]
            let group = (0..<groupCount).map { _ in
                random.below(9) == 0 ? UInt8(random.below(3)) : UInt8(ascii: ".") + UInt8(random.below(60))
            }
            let tags = (0..<random.below(8)).map { _ in
                MetricName.Tag(
                    key: [UInt8(random.below(200) + 3)],
                    value: (0..<random.below(20)).map { _ in UInt8(truncatingIfNeeded: random.next() >> 60) })
            }
            let fields = MetricName(tenant: Tenant(bits: random.next()), group: group, tags: tags)
            let raw = fields.raw
            try withExactCopy(raw) { raw in
                try name.canonicalize(raw: raw)
                let tsid = TSID(of: name, metricID: random.next())
                var items = ItemList()
                try SeriesRows.appendGlobal(name, tsid, to: &items)
                #expect(array(items) == model(fields.sorted, tsid, date: nil), "seed \(seed), round \(round)")
                #expect(items.byteCount == array(items).reduce(0) { $0 + $1.count })
                items.removeAll()
                try SeriesRows.appendPerDay(name, date: 18_962, metricID: tsid.metricID, to: &items)
                #expect(array(items) == model(fields.sorted, tsid, date: 18_962), "seed \(seed), round \(round)")
            }
        }
    }

    @Test func namesAboveTheLimitAreRefusedWhole() throws {
        var name = CanonicalName()
        var items = ItemList()
        // Tenant, empty group and terminators: a value of 65 490 bytes makes a canonical name of 65 502.
        for (valueCount, fits) in [(65_490, true), (65_491, false)] {
            let tags = [MetricName.Tag(key: [107], value: [UInt8](repeating: 118, count: valueCount))]
            let raw = MetricName(tenant: Tenant(bits: 0), group: [], tags: tags).raw
            try raw.withUnsafeBytes { raw in
                try name.canonicalize(raw: raw)
                #expect((name.count <= SeriesRows.nameBytesMax) == fits)
                items.removeAll()
                let tsid = TSID(of: name, metricID: 1)
                if fits {
                    try SeriesRows.appendGlobal(name, tsid, to: &items)
                    try SeriesRows.appendPerDay(name, date: 1, metricID: 1, to: &items)
                    let lengths = array(items).map(\.count)
                    #expect(lengths.max() == 65_536)
                } else {
                    let error = #expect(throws: StorageError.self) {
                        try SeriesRows.appendGlobal(name, tsid, to: &items)
                    }
                    #expect(error?.kind == .limitExceeded)
                    #expect(throws: StorageError.self) {
                        try SeriesRows.appendPerDay(name, date: 1, metricID: 1, to: &items)
                    }
                    #expect(items.count == 0)
                }
            }
        }
    }

    @Test func compositePrefixAndTagMakeTheCompositeTag() throws {
        var name = CanonicalName()
        for count in [0, 1, 2, 3, 126, 127, 128, 129, 130, 131, 255, 256, 257, 16_384] {
            let group = (0..<count).map { UInt8($0 % 7) }
            let fields = MetricName(tenant: Tenant(bits: 0), group: group, tags: [.init(key: [2, 107], value: [118])])
            let raw = fields.raw
            try raw.withUnsafeBytes { raw in
                try name.canonicalize(raw: raw)
                let bare = UnsafeRawBufferPointer(rebasing: name.escapedGroup[..<(name.escapedGroup.count - 1)])
                var prefix = RawBuffer(capacity: SeriesRow.compositePrefixLengthMax(bare.count))
                prefix.commit(
                    SeriesRow.storeCompositePrefix(groupCount: name.group.count, escapedGroup: bare, at: prefix.end))
                prefix.append(name.tag(0))
                let row = [1] + [UInt8](repeating: 0, count: 8) + prefix.array() + [UInt8](repeating: 9, count: 8)
                #expect(row == model(fields, TSID(of: name, metricID: 0x0909_0909_0909_0909), date: nil).last)
            }
        }
    }
}
