// SearchKeysTests.swift - places in sorted strings, against a linear search.

import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import Mergeset

@Suite struct SearchKeysTests {
    private func check(_ sorted: [[UInt8]], targets: [[UInt8]], _ context: String) {
        var bytes = RawBuffer()
        var offsets: [UInt32] = [0]
        var shared: [UInt32] = []
        for (index, string) in sorted.enumerated() {
            string.withUnsafeBytes { bytes.append($0) }
            offsets.append(UInt32(bytes.count))
            shared.append(index == 0 ? 0 : UInt32(PartFixtures.shared(sorted[index - 1], string)))
        }
        let plain = SearchKeys(count: sorted.count, base: bytes.base, offsets: offsets)
        let informed = SearchKeys(count: sorted.count, base: bytes.base, offsets: offsets, shared: shared)
        for target in targets {
            let expected = sorted.firstIndex { !isSmaller($0, target) } ?? sorted.count
            let sharedWithFirst = PartFixtures.shared(sorted[0], target)
            // Readable bytes behind the target are nobody's promise: none here.
            let places = target.withUnsafeBytes {
                [plain.find($0, sharedWithFirst: -1), informed.find($0, sharedWithFirst: -1)]
                    + (isSmaller(sorted[0], target) ? [informed.find($0, sharedWithFirst: sharedWithFirst)] : [])
            }
            for place in places {
                guard place.index == expected else {
                    Issue.record(
                        "\(context): \(target) is at \(expected), not at \(place.index), of \(sorted.prefix(20))")
                    return
                }
                let before = expected == 0 ? -1 : PartFixtures.shared(sorted[expected - 1], target)
                #expect(place.sharedWithPrevious == before, "\(context): \(target.prefix(40))")
                guard place.sharedWithNext >= 0 else { continue }
                let next = PartFixtures.shared(sorted[expected], target)
                #expect(place.sharedWithNext == next, "\(context): \(target.prefix(40))")
            }
        }
        withExtendedLifetime(offsets) {}
    }

    /// All lists of up to three short strings, the bytes of a key before, across and behind them.
    @Test(arguments: [0, 4, 5, 6, 7, 8, 9]) func smallLists(padding: Int) {
        let short: [[UInt8]] = [[], [0], [0, 0], [0, 1], [1], [1, 0], [0xFF]]
        let strings = short.map { [UInt8](repeating: 0, count: padding) + $0 } + [[]]
        let sorted = strings.sorted(by: isSmaller)
        let targets =
            sorted + [[UInt8](repeating: 0, count: padding / 2), [0xFF, 0xFF], [UInt8](repeating: 0, count: 30)]
        for a in sorted.indices {
            for b in a..<sorted.count {
                for c in b..<sorted.count {
                    check([sorted[a], sorted[b], sorted[c]], targets: targets, "padding \(padding)")
                }
            }
        }
    }

    private func targets(_ strings: [[UInt8]], _ count: Int, _ random: inout SplitMix64) -> [[UInt8]] {
        (0..<count).map { _ in
            var target = strings[random.below(strings.count)]
            switch random.below(5) {
            case 0: target.append(UInt8(random.below(3)))
            case 1: target = Array(target.prefix(random.below(target.count + 1)))
            case 2: if !target.isEmpty { target[random.below(target.count)] &+= 1 }
            case 3: if !target.isEmpty { target[random.below(target.count)] &-= 1 }
            default: break
            }
            return target
        }
    }

    @Test(arguments: TestSeeds.thisRun) func randomLists(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for round in 0..<400 {
            let strings = MergerTests.items(1 + random.below([4, 30, 200][random.below(3)]), &random)
            check(
                strings.sorted(by: isSmaller), targets: strings + targets(strings, 20, &random),
                "seed \(seed), round \(round)")
        }
    }

    /// More strings than the samples of one top, with repetitions across groups.
    @Test(arguments: TestSeeds.thisRun) func longLists(seed: UInt64) {
        var random = SplitMix64(seed: Seeds.derive(seed, "long"))
        for round in 0..<6 {
            var strings = MergerTests.items(255 + random.below(1000), &random)
            for _ in 0..<random.below(60) { strings.append(strings[0]) }
            check(
                strings.sorted(by: isSmaller), targets: targets(strings, 200, &random), "seed \(seed), round \(round)")
        }
    }

    /// Strings that share more bytes than a key can say, and around that number.
    @Test(arguments: TestSeeds.thisRun) func stringsThatShareVeryMuch(seed: UInt64) {
        var random = SplitMix64(seed: Seeds.derive(seed, "deep"))
        let strings = (0..<12).map { _ in
            [UInt8](repeating: 7, count: 65525 + random.below(20)) + [UInt8(random.below(3))]
                + [UInt8](repeating: 9, count: random.below(12))
        }
        check(strings.sorted(by: isSmaller), targets: targets(strings, 10, &random), "seed \(seed)")
    }
}
