// NamePropertyTests.swift - names by exhaustion, against a plain model, and bytes that are no names at all.

import SeriesIndex
import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@Suite struct NamePropertyTests {
    /// Bytes around which all escaping turns.
    static let alphabet: [UInt8] = [0, 1, 2, 3, UInt8(ascii: "a")]

    /// All byte strings over the alphabet with up to `length` bytes, the empty one first.
    static func strings(_ length: Int) -> [[UInt8]] {
        var all: [[UInt8]] = [[]]
        var last = all
        for _ in 0..<length {
            last = last.flatMap { head in alphabet.map { head + [$0] } }
            all += last
        }
        return all
    }

    /// Canonicalises `name` and checks all forms against the model.
    private func check(_ name: MetricName, _ workspace: inout CanonicalName, _ note: String = "") {
        let model = name.sorted
        let canonical = model.canonical
        do {
            try withExactCopy(name.raw) { (raw: UnsafeRawBufferPointer) throws(DecodeError) in
                try workspace.canonicalize(raw: raw)
                #expect([UInt8](workspace.bytes) == canonical, "\(name) \(note)")
                #expect([UInt8](workspace.group) == name.group, "\(name) \(note)")
            }
            #expect(try withExactCopy(name.raw) { try MetricName(raw: $0) } == name, "\(note)")
            #expect(try withExactCopy(canonical) { try MetricName(canonical: $0) } == model, "\(note)")
            try withExactCopy(canonical) { try workspace.load(canonical: $0) }
            #expect([UInt8](workspace.bytes) == canonical, "\(name) \(note)")
        } catch {
            Issue.record("\(name) \(note): \(error)")
        }
    }

    @Test func allSmallNames() {
        var workspace = CanonicalName()
        let long = NamePropertyTests.strings(3)
        let short = NamePropertyTests.strings(2)
        for part in long {
            check(MetricName(tenant: Tenant(bits: 0), group: part, tags: []), &workspace)
            check(MetricName(tenant: Tenant(bits: 1), group: [], tags: [.init(key: [9], value: part)]), &workspace)
            guard !part.isEmpty else { continue }
            check(MetricName(tenant: Tenant(bits: ~0), group: [], tags: [.init(key: part, value: [])]), &workspace)
        }
        for a in short where !a.isEmpty {
            for b in short where !b.isEmpty {
                let tags = [MetricName.Tag(key: a, value: b), .init(key: b, value: a)]
                check(MetricName(tenant: Tenant(bits: 7), group: a, tags: tags), &workspace)
            }
        }
    }

    @Test func escapesAtEveryPlaceAndLength() {
        // Every length around the eight-byte steps, with a special byte at every place: in the key, the value (the last
        // bytes of the raw name) and the group.
        var workspace = CanonicalName()
        for length in 1...26 {
            for place in -1..<length {
                for special in [UInt8(0), 1, 2, 3, 0x7F, 0x80, 0xFF] {
                    var part = (0..<length).map { UInt8(ascii: "b") &+ UInt8($0) }
                    if place >= 0 { part[place] = special }
                    let tags = [MetricName.Tag(key: part, value: part)]
                    check(MetricName(tenant: Tenant(bits: 3), group: part, tags: tags), &workspace)
                }
            }
        }
    }

    @Test func allSpecialKeysAndTheirNeighbours() {
        var workspace = CanonicalName()
        var keys = [String]()
        for key in MetricName.specialKeys.keys.sorted() {
            let rest = String(key.dropFirst())
            keys += [key, key.lowercased(), String(key.prefix(1)).uppercased() + rest, key + "x", key + "\0", rest]
            keys += [key.uppercased(), String(key.dropLast()), "\u{1}" + rest, String(key.dropLast()) + "_"]
        }
        for key in keys where !key.isEmpty && key != "__name__" {
            for neighbour in ["a", "zz", "\0\0\u{20}", "\0\u{1}\0", "\0\0", "job", "Job", "SENSOR"] {
                check(MetricName("m", [(neighbour, "1"), (key, "2")]), &workspace)
                check(MetricName("m", [(key, "2"), (neighbour, "1"), (key, "3")]), &workspace)
            }
        }
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func orderIsThatOfAPlainStableSort(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var workspace = CanonicalName()
        let pool =
            ["job", "Job", "instance", "Instance", "app", "app_kubernetes_io_name", "app_kubernetes_io_part", "zone"]
            + [
                "sensor_type", "SensorType", "sensorType", "\0\0\u{20}", "\0", "\0\0", "\0\0\0", "a\0", "a",
                "namespace",
            ]
            + ["abcdefgh", "abcdefgh\0", "abcdefghi", "abcdefg", "abcdefgha", "environment", "environmenu"]
        for round in 0..<1500 {
            // Mostly names of a usual size, sometimes above the bound of the insertion sort.
            let count = random.below(round % 10 == 0 ? 200 : 20)
            let tags = (0..<count).map { _ in (pool[random.below(pool.count)], String(random.below(100))) }
            check(MetricName("m", tags), &workspace, "seed \(seed), round \(round)")
        }
    }

    @Test(arguments: [11, 12, 13] as [UInt64]) func randomNames(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var workspace = CanonicalName()
        func part(_ lengthMax: Int, _ random: inout SplitMix64) -> [UInt8] {
            let small = random.below(3) == 0
            return (0..<random.below(lengthMax)).map { _ in
                small ? NamePropertyTests.alphabet[random.below(5)] : UInt8(truncatingIfNeeded: random.next())
            }
        }
        for round in 0..<1500 {
            let tags = (0..<random.below(40)).map { _ in
                MetricName.Tag(key: [UInt8(random.below(4))] + part(24, &random), value: part(60, &random))
            }
            let name = MetricName(tenant: Tenant(bits: random.next()), group: part(50, &random), tags: tags)
            check(name, &workspace, "seed \(seed), round \(round)")
        }
    }

    @Test func aHugeNameIsReadInLinearTimeAndItsMemoryGivenBack() throws {
        // 60 000 tags in falling order: insertion sort would need 1.8 G moves.
        let count = 60_000
        let tags = (0..<count).map { index -> MetricName.Tag in
            let number = UInt32(count - index)
            return MetricName.Tag(key: [7] + withUnsafeBytes(of: number.bigEndian) { Array($0) }, value: [65])
        }
        var workspace = CanonicalName()
        let name = MetricName(tenant: Tenant(bits: 5), group: [65], tags: tags)
        let raw = name.raw
        try raw.withUnsafeBytes { try workspace.canonicalize(raw: $0) }
        var expected = name
        expected.tags.reverse()
        #expect([UInt8](workspace.bytes) == expected.canonical)
        check(MetricName("m", [("b", "1"), ("a", "2")]), &workspace)
    }

    @Test func literalNameLabelsExtendTheGroup() throws {
        var workspace = CanonicalName()
        var random = SplitMix64(seed: 21)
        for round in 0..<500 {
            var raw = RawBuffer()
            raw.appendBigEndian(UInt64(round))
            for _ in 0..<random.below(8) {
                let key = ["", "__name__", "__name__", "__name_", "a"][random.below(5)]
                let value = [UInt8](repeating: UInt8(65 + random.below(20)), count: random.below(30))
                raw.appendBigEndian(UInt16(key.utf8.count))
                raw.append(Array(key.utf8))
                raw.appendBigEndian(UInt16(value.count))
                raw.append(value)
            }
            let model = try MetricName(raw: raw.bytes)
            try withExactCopy(raw.array()) { raw in
                try workspace.canonicalize(raw: raw)
                #expect([UInt8](workspace.group) == model.group, "round \(round)")
            }
            #expect([UInt8](workspace.bytes) == model.sorted.canonical, "round \(round)")
        }
    }

    @Test func textOfValuesThatDoNotPrint() {
        let value: [UInt8] = [
            0x07, 0x08, 0x0B, 0x0C, 0x1F, 0x7F, 0xC2, 0xA0, 0xE2, 0x80, 0xA8, 0xC2, 0x41, 0xED, 0xA0, 0x80,
        ]
        let name = MetricName(
            tenant: Tenant(accountID: 1, projectID: 2), group: Array("g".utf8), tags: [.init(key: [107], value: value)])
        #expect(
            name.description == #"AccountID=1, ProjectID=2, g{k="\a\b\v\f\x1f\x7f\u00a0\u2028\xc2A\xed\xa0\x80"}"#)
        let high = MetricName("", [("k", "\u{E0001}\u{1F600}")])
        #expect(high.description == "AccountID=0, ProjectID=0, {k=\"\\U000e0001\u{1F600}\"}")
    }

    @Test(arguments: [31, 32] as [UInt64]) func randomBytesNeverTrap(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var workspace = CanonicalName()
        for _ in 0..<10_000 {
            // Small numbers are likely, so that lengths and terminators fit now and then.
            let bytes = (0..<random.below(60)).map { _ in
                random.below(3) == 0 ? UInt8(truncatingIfNeeded: random.next()) : UInt8(random.below(4))
            }
            withExactCopy(bytes) { bytes in
                let model = try? MetricName(raw: bytes)
                let isName: Bool
                do throws(DecodeError) {
                    try workspace.canonicalize(raw: bytes)
                    isName = true
                } catch { isName = false }
                #expect(isName == (model != nil), "seed \(seed)")
                if let model, isName { #expect([UInt8](workspace.bytes) == model.sorted.canonical, "seed \(seed)") }
            }
            withExactCopy(bytes) { bytes in
                let model = try? MetricName(canonical: bytes)
                let isName: Bool
                do throws(DecodeError) {
                    try workspace.load(canonical: bytes)
                    isName = true
                } catch { isName = false }
                #expect(isName == (model != nil), "seed \(seed)")
                if let model, isName { #expect([UInt8](workspace.bytes) == model.canonical, "seed \(seed)") }
            }
            _ = withExactCopy(bytes) { try? TSID($0) }
        }
    }

    @Test func aBrokenNameLeavesNothingBehind() throws {
        var workspace = CanonicalName()
        #expect([UInt8](workspace.bytes) == MetricName("", []).canonical)
        let name = MetricName("group", [("b", "1"), ("a", "2")])
        func checkEmpty(_ workspace: borrowing CanonicalName) {
            #expect(workspace.count == 0)
            #expect(workspace.bytes.isEmpty)
            #expect(workspace.group.isEmpty)
            #expect(workspace.escapedGroup.isEmpty)
            #expect(workspace.tagCount == 0)
        }
        // Cuts between labels leave a shorter name; all others are errors.
        let raw = name.raw
        for count in 0..<raw.count where ![8, 17, 23].contains(count) {
            check(name, &workspace)
            #expect(throws: DecodeError.truncated, "\(count)") {
                try withExactCopy(Array(raw[..<count])) { try workspace.canonicalize(raw: $0) }
            }
            checkEmpty(workspace)
        }
        let canonical = name.canonical
        for count in 0..<canonical.count where ![14, 18].contains(count) {
            check(name, &workspace)
            #expect(throws: DecodeError.self, "\(count)") {
                try withExactCopy(Array(canonical[..<count])) { try workspace.load(canonical: $0) }
            }
            checkEmpty(workspace)
        }
    }

    @Test func canonicalPartsAboveSixteenBitsAreRefused() {
        var workspace = CanonicalName()
        for (part, fits) in [(65_535, true), (65_536, false)] {
            let long = [UInt8](repeating: 65, count: part) + [1]
            for bytes in [
                [UInt8](repeating: 0, count: 8) + [1, 66, 1] + long, [0, 0, 0, 0, 0, 0, 0, 0, 1] + long + [1],
            ] {
                let error: DecodeError? = withExactCopy(bytes) { bytes in
                    do throws(DecodeError) {
                        try workspace.load(canonical: bytes)
                        return nil
                    } catch { return error }
                }
                #expect(error == (fits ? nil : .outOfRange))
            }
        }
    }

    @Test func writerLimitsAreClamped() {
        var writer = RawMetricNameWriter(labelsMax: -1, valueBytesMax: 1 << 20)
        #expect(writer.labelsMax == 0)
        #expect(writer.valueBytesMax == 65_535)
        var raw = RawBuffer()
        let key = Array("k".utf8)
        for _ in 0..<2 {
            writer.begin(Tenant(bits: 0), in: &raw)
            key.withUnsafeBytes { writer.add(key: $0, value: $0, to: &raw) }
            key.withUnsafeBytes { writer.add(key: $0, value: $0, to: &raw) }
        }
        #expect(raw.count == 16)
        #expect(writer.counters.droppedLabels == 2)
    }
}
