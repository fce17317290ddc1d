// SearchKeysTests.swift - places in sorted strings, against a linear search.

import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import Mergeset

@Suite struct SearchKeysTests {
    private func check(_ sorted: [[UInt8]], targets: [[UInt8]], _ context: String) {
        var bytes = RawBuffer()
        var offsets = [0]
        for string in sorted {
            string.withUnsafeBytes { bytes.append($0) }
            offsets.append(bytes.count)
        }
        let keys = SearchKeys(count: sorted.count, base: bytes.base) { offsets[$0] }
        for target in targets {
            // Readable bytes behind the target are nobody's promise: none here.
            let found = target.withUnsafeBytes { keys.lowerBound($0) }
            let expected = sorted.firstIndex { !isSmaller($0, target) } ?? sorted.count
            guard found == expected else {
                Issue.record("\(context): \(target) is at \(expected), not at \(found), of \(sorted.prefix(20))")
                return
            }
        }
    }

    /// All lists of up to three short strings, the eight bytes of a key before, across and behind them.
    @Test(arguments: [0, 6, 7, 8, 9]) func smallLists(padding: Int) {
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

    @Test(arguments: TestSeeds.thisRun) func randomLists(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for round in 0..<400 {
            let strings = MergerTests.items(1 + random.below([4, 30, 200][random.below(3)]), &random)
            var targets = strings
            for _ in 0..<20 {
                var target = strings[random.below(strings.count)]
                switch random.below(4) {
                case 0: target.append(UInt8(random.below(3)))
                case 1: target = Array(target.prefix(random.below(target.count + 1)))
                case 2: if !target.isEmpty { target[random.below(target.count)] &+= 1 }
                default: if !target.isEmpty { target[random.below(target.count)] &-= 1 }
                }
                targets.append(target)
            }
            check(strings.sorted(by: isSmaller), targets: targets, "seed \(seed), round \(round)")
        }
    }
}
