// StoreDigestTests.swift - the digest sees the registrations, not how rows were united.

import Mergeset
import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import BenchHarness

@Suite struct StoreDigestTests {
    private static func row(_ kind: UInt8, _ key: String, _ value: String, _ ids: [UInt64]) -> [UInt8] {
        var row = [kind] + [UInt8](repeating: 0, count: kind == 6 ? 16 : 8)
        row += Array(key.utf8) + [1] + Array(value.utf8) + [1]
        for id in ids { withUnsafeBytes(of: id.bigEndian) { row += $0 } }
        return row
    }

    private static func digest(_ items: [[UInt8]]) -> (value: UInt64, normalised: UInt64, unordered: UInt64) {
        var digest = StoreDigest()
        for item in items { item.withUnsafeBytes { digest.add($0) } }
        let value = digest.finish()
        return (value, digest.normalisedItems, digest.unorderedItems)
    }

    private static func sorted(_ items: [[UInt8]]) -> [[UInt8]] { items.sorted { $0.lexicographicallyPrecedes($1) } }

    @Test func unitedRowsCountAsTheirIds() {
        let single = Self.digest((1...9).map { Self.row(1, "job", "api", [$0]) })
        let united = Self.digest([
            Self.row(1, "job", "api", [1, 2, 3, 9]), Self.row(1, "job", "api", [4, 5, 6, 7, 8]),
        ])
        let doubled = Self.digest([
            Self.row(1, "job", "api", [1, 2, 3]), Self.row(1, "job", "api", [2, 3, 4, 5, 9]),
            Self.row(1, "job", "api", [5, 6, 7, 8]),
        ])
        #expect(single.value == united.value && single.value == doubled.value)
        #expect(single.normalised == 9 && united.normalised == 9 && doubled.normalised == 9)
        #expect(single.unordered == 0 && doubled.unordered == 0)
    }

    @Test func differencesAreSeen() {
        let base = [Self.row(1, "a", "b", [1, 2]), [2, 3, 4], Self.row(6, "a", "b", [1])]
        let value = Self.digest(base).value
        #expect(Self.digest([base[0], base[1]]).value != value)
        #expect(Self.digest([Self.row(1, "a", "b", [1, 3]), base[1], base[2]]).value != value)
        #expect(Self.digest([Self.row(1, "a", "c", [1, 2]), base[1], base[2]]).value != value)
        #expect(Self.digest([base[0], [2, 3, 5], base[2]]).value != value)
        #expect(Self.digest([]).normalised == 0)
    }

    @Test func duplicatesCountOnceAndDisorderIsCounted() {
        #expect(Self.digest([[9], [9], [9, 9]]).normalised == 2)
        #expect(Self.digest([[9], [8], [9]]).unordered == 1)
        // What looks like a tag row but is none is an item like any other.
        #expect(Self.digest([[1, 2, 3], [6]]).normalised == 2)
    }

    @Test func opaqueItemsAreNotTakenApart() {
        var digest = StoreDigest(unitesTagRows: false)
        Self.row(1, "job", "api", [1, 2, 3]).withUnsafeBytes { digest.add($0) }
        _ = digest.finish()
        #expect(digest.normalisedItems == 1)
    }

    @Test(arguments: TestSeeds.thisRun)
    func anyGroupingOfRandomRowsGivesOneDigest(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var single: [[UInt8]] = []
        var united: [[UInt8]] = []
        for tag in 0..<random.below(20) {
            let kind: UInt8 = random.below(2) == 0 ? 1 : 6
            let ids = Set((0..<1 + random.below(300)).map { _ in UInt64(random.below(1000)) }).sorted()
            single += ids.map { Self.row(kind, "key", "\(tag)", [$0]) }
            var rest = ids[...]
            while !rest.isEmpty {
                let count = min(rest.count, 1 + random.below(126))
                united.append(Self.row(kind, "key", "\(tag)", Array(rest.prefix(count))))
                rest = rest.dropFirst(count)
            }
        }
        let plain = (0..<random.below(50)).map { _ in [UInt8(2 + random.below(4)), UInt8(random.below(256))] }
        let a = Self.digest(Self.sorted(single + plain))
        let b = Self.digest(Self.sorted(united + plain))
        #expect(a.value == b.value && a.normalised == b.normalised, "seed \(seed)")
    }
}
