// PartSelectionTests.swift - the choice of parts against golden vectors and against the text of the specification.

import StorageRuntime
import TestSupport
import Testing

@testable import Mergeset

@Suite struct PartSelectionTests {
    private static func chosenSizes(
        _ sizes: [UInt64], _ maxOutputBytes: UInt64, final: Bool, merging: Set<Int> = []
    ) -> [UInt64] {
        let chosen = PartSelection.select(
            sizes: sizes, isMerging: sizes.indices.map { merging.contains($0) }, maxOutputBytes: maxOutputBytes,
            final: final)
        #expect(Set(chosen).count == chosen.count)
        #expect(merging.isDisjoint(with: chosen))
        return chosen.map { sizes[$0] }
    }

    @Test func goldenVectors() throws {
        let vectors = try Golden.json("mergeset/merge_selection.json")["vectors"].array
        #expect(vectors.count == 381)
        for vector in vectors {
            let chosen = Self.chosenSizes(
                try vector["sizes"].array.map { try $0.uint64 }, try vector["max_out_bytes"].uint64,
                final: try vector["final"].bool, merging: Set(try vector["in_merge_indexes"].array.map { try $0.int }))
            #expect(chosen == (try vector["chosen_sizes"].array.map { try $0.uint64 }), "\(vector.path)")
        }
    }

    @Test func goldenSimulation() throws {
        let runs = try Golden.json("mergeset/merge_selection_sim.json")["runs"].array
        #expect(!runs.isEmpty)
        for run in runs {
            var sizes: [UInt64] = []
            var (partsMax, merges, rewrittenBytes, addedBytes) = (0, 0, UInt64(0), UInt64(0))
            for size in try run["flush_sizes"].array.map({ try $0.uint64 }) {
                sizes.append(size)
                addedBytes += size
                while true {
                    let chosen = PartSelection.select(
                        sizes: sizes, isMerging: sizes.map { _ in false }, maxOutputBytes: MergePolicy.outputBytesMax,
                        final: false)
                    if chosen.isEmpty { break }
                    let sum = chosen.reduce(0) { $0 + sizes[$1] }
                    for index in chosen.sorted(by: >) { sizes.remove(at: index) }
                    sizes.append(sum)
                    merges += 1
                    rewrittenBytes += sum
                }
                partsMax = max(partsMax, sizes.count)  // the file counts between flushes, when merging has ended
            }
            #expect(sizes.sorted() == (try run["final_sizes_sorted"].array.map { try $0.uint64 }))
            #expect(partsMax == (try run["max_parts"].int))
            #expect(merges == (try run["merges"].int))
            #expect(rewrittenBytes == (try run["bytes_rewritten_by_merges"].uint64))
            #expect(addedBytes == (try run["bytes_added"].uint64))
        }
    }

    /// The specification's select(P), step by step, without any thought about speed.
    private static func specified(_ sizes: [UInt64], _ maxOut: UInt64, _ p: Int) -> [UInt64] {
        let limit = UInt64(Double(maxOut) / 1.7)
        let a = sizes.filter { $0 <= limit }.sorted()
        let n = a.count
        if n < 2 { return [] }
        let bigK = min(p, n)
        var best: (m: Double, window: [UInt64])?
        for k in stride(from: max(2, (bigK + 1) / 2), through: bigK, by: 1) {
            for j in 0...(n - k) {
                let window = Array(a[j..<(j + k)])
                if UInt64(k) * window[0] < window[k - 1] { continue }
                let sum = window.reduce(0, +)
                if sum > maxOut { break }
                let m = Double(sum) / Double(window[k - 1])
                if best == nil || m >= best!.m { best = (m, window) }
            }
        }
        guard let best, best.m >= max(Double(p) / 2, 1.7) else { return [] }
        return best.window
    }

    @Test(arguments: TestSeeds.thisRun) func randomListsAsSpecified(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var chosenCount = 0
        for round in 0..<1500 {
            let count = random.below(round % 10 == 0 ? 200 : 40)
            let shape = random.below(4)
            let sizes = (0..<count).map { _ -> UInt64 in
                switch shape {
                case 0: UInt64(1 + random.below(20))
                case 1: UInt64(10_000 + random.below(1000))
                case 2: UInt64(1) << UInt64(random.below(30)) + UInt64(random.below(3))
                default: UInt64(1 + random.below(1 << (1 + random.below(30))))
                }
            }
            let total = sizes.reduce(1, +)
            let maxOut = random.below(3) == 0 ? MergePolicy.outputBytesMax : 1 + UInt64(random.below(Int(total)))
            let merging = Set(sizes.indices.filter { _ in shape == 1 && random.below(5) == 0 })
            let free = sizes.indices.filter { !merging.contains($0) }.map { sizes[$0] }

            let regular = Self.chosenSizes(sizes, maxOut, final: false, merging: merging)
            #expect(regular == Self.specified(free, maxOut, 15), "round \(round)")
            let final = Self.chosenSizes(sizes, maxOut, final: true, merging: merging)
            let expected = (2...15).reversed().lazy.map { Self.specified(free, maxOut, $0) }.first { !$0.isEmpty } ?? []
            #expect(final == expected, "round \(round)")
            if !regular.isEmpty { chosenCount += 1 }
        }
        #expect(chosenCount > 50)  // the test does not only look at empty choices
    }

    // MARK: small parts first

    private static func chosenToKeepFew(
        _ sizes: [UInt64], _ maxOutputBytes: UInt64 = 1 << 50, merging: Set<Int> = []
    ) -> [UInt64] {
        PartSelection.selectToKeepFew(
            sizes: sizes, isMerging: sizes.indices.map { merging.contains($0) }, maxOutputBytes: maxOutputBytes
        ).map { sizes[$0] }
    }

    @Test func smallPartsAreMergedBeforeBigOnes() {
        let big = [UInt64](repeating: 400, count: 14)
        // The reference's choice are the big ones: they gain most.
        #expect(Self.chosenSizes(big + [26, 26, 26, 26], 1 << 50, final: false) == big)
        #expect(Self.chosenToKeepFew(big + [26, 26, 26, 26]) == [26, 26, 26, 26])
        // Three equal ones gain enough; two do not, nor do three of which one is smaller, but those are cheap.
        #expect(Self.chosenToKeepFew(big + [26, 26, 26]) == [26, 26, 26])
        #expect(Self.chosenToKeepFew(big + [26, 26, 25]) == [25, 26, 26])
        #expect(Self.chosenToKeepFew(big + [26, 26]) == [26, 26])
        // No gap, no difference; and a merge that gains less is better than none.
        let close = (0..<16).map { UInt64(100 + 20 * $0) }
        #expect(Self.chosenToKeepFew(close) == Self.chosenSizes(close, 1 << 50, final: false))
        var growing: [UInt64] = [1000]
        while growing.count < 16 { growing.append(growing[growing.count - 1] * 3 / 2) }
        #expect(!Self.chosenToKeepFew(growing).isEmpty)
        // What does not fit onto the disk is left alone.
        #expect(Self.chosenToKeepFew(big + [26, 26, 26, 26], 100) == [26, 26, 26])
        #expect(Self.chosenToKeepFew(big + [26, 26, 26, 26], 40) == [])
        #expect(Self.chosenToKeepFew([]) == [])
    }

    @Test func tinyPartsAreNoReasonToMergeBigOnes() {
        let full = [UInt64](repeating: 4000, count: 15)
        // 60,000 bytes of big parts: 1200 are cheap, and 32 times the smallest.
        #expect(Self.chosenToKeepFew(full + [26]) == full)  // one alone makes no merge
        #expect(Self.chosenToKeepFew(full + [26, 30]) == [26, 30])
        #expect(Self.chosenToKeepFew(full + [26, 800]) == [26, 800])
        #expect(Self.chosenToKeepFew(full + [26, 832]) == full)  // more than 32 times
        #expect(Self.chosenToKeepFew(full + [500, 701]) == full)  // more than a fiftieth
        #expect(Self.chosenToKeepFew(full + [26, 30, 900]) == [26, 30])
        // What a bulk load leaves, then the per-day entries of seconds.
        let load = [UInt64](repeating: 25_000, count: 12) + [2890, 899, 44]
        #expect(Self.chosenToKeepFew(load + [88]) == [44, 88, 899])
    }

    /// While other workers merge, the big parts are not merged only because there are many of them at the moment.
    @Test func runningMergesAreWaitedFor() {
        let full = [UInt64](repeating: 4000, count: 15)
        #expect(Self.chosenToKeepFew(full + [26, 26, 26], merging: [15, 16, 17]) == [])
        #expect(Self.chosenToKeepFew(full + [26, 26, 26, 30, 30, 30], merging: [15, 16, 17]) == [30, 30, 30])
        #expect(Self.chosenToKeepFew(full + [4000, 26, 26, 26], merging: [16, 17, 18]) == full)
    }

    /// Adds parts of these sizes and merges as tables do; bytes merged for each byte added, and the most parts between.
    private static func simulate(_ sizes: [UInt64], select: ([UInt64]) -> [Int]) -> (
        ratio: Double, parts: Int, most: Int
    ) {
        var parts: [UInt64] = []
        var (merged, most) = (UInt64(0), 0)
        for size in sizes {
            parts.append(size)
            while parts.count > MergePolicy.partsKept {
                let chosen = select(parts)
                if chosen.isEmpty { break }
                let sum = chosen.reduce(0) { $0 + parts[$1] }
                for index in chosen.sorted(by: >) { parts.remove(at: index) }
                parts.append(sum)
                merged += sum
            }
            most = max(most, parts.count)
        }
        return (Double(merged) / Double(sizes.reduce(0, +)), parts.count, most)
    }

    private static func toKeepFew(_ sizes: [UInt64]) -> [Int] {
        PartSelection.selectToKeepFew(
            sizes: sizes, isMerging: sizes.map { _ in false }, maxOutputBytes: MergePolicy.outputBytesMax)
    }

    /// Flushes of about one size: most of 116 are merged once, and not twice.
    @Test(arguments: TestSeeds.thisRun) func flushesOfOneSizeAreMergedOnce(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let sizes = (0..<116).map { _ in UInt64(18_000_000 + random.below(8_000_000)) }
        let ours = Self.simulate(sizes, select: Self.toKeepFew)
        #expect(ours.ratio <= 1.05 && ours.most <= MergePolicy.partsKept, "seed \(seed): \(ours)")
    }

    /// Whatever sizes come: few more parts than are kept, and items are merged about as often as their logarithm says.
    @Test(arguments: TestSeeds.thisRun) func partsStayFewAndMergesCheap(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for round in 0..<4 {
            let shape = round % 4
            let sizes = (0..<700).map { number -> UInt64 in
                switch shape {
                case 0: UInt64(20_000_000 + random.below(9_000_000))
                case 1: UInt64(1) << UInt64(10 + random.below(16))
                case 2: number % 50 == 0 ? 26_000_000 : UInt64(20_000 + random.below(20_000))
                default: UInt64(1 + random.below(1 << 26))
                }
            }
            let ours = Self.simulate(sizes, select: Self.toKeepFew)
            #expect(ours.most <= MergePolicy.partsKept, "seed \(seed), round \(round): \(ours)")
            #expect(ours.ratio <= 4.5, "seed \(seed), round \(round): \(ours)")
        }
    }

    @Test func equalSizesAreTakenInTheOrderOfTheList() {
        let chosen = PartSelection.select(
            sizes: [5, 5, 5], isMerging: [false, true, false], maxOutputBytes: 1000, final: true)
        #expect(chosen == [0, 2])
    }

    @Test func extremeSizesDoNotOverflow() {
        let huge = UInt64.max / 2
        #expect(Self.chosenSizes([UInt64](repeating: huge, count: 20), .max, final: true) == [huge, huge])
        #expect(Self.chosenSizes([.max, .max], .max, final: true) == [])
        #expect(Self.chosenSizes([1, .max, huge, 1], .max, final: true) == [1, 1])
        #expect(Self.chosenSizes([1, 1], 0, final: true) == [])
        #expect(Self.chosenSizes([0, 0, 0], 100, final: true) == [])  // no real part is empty; nothing traps
    }

    @Test func thousandsOfParts() {
        let sizes = (0..<5000).map { UInt64(1_000_000 + $0) }
        #expect(Self.chosenSizes(sizes, MergePolicy.outputBytesMax, final: true) == Array(sizes.suffix(15)))
    }
}
