// PartSelection.swift - which parts to merge (docs/format/mergeset-table.md, 11).
//
// The parts in the order of size, and a window of them that is worth it: StorageFiles/PartWindow.swift.
//
//   select           the reference's choice: the window that gains most, whatever it costs
//   selectToKeepFew  ours, for a table with too many parts: the small parts alone, where that is worth it
//
// A merge of 3 parts of a flush leaves as few parts as one of 3 parts made by merges, and costs a tenth. Where the cheap
// merges go first, parts of flushes are merged by 15, then by 14, 13, ..., and the parts made of them only when those have become
// few: of 16 parts allowed, 16 + 15 + ... + 1 flushes are merged once, instead of half as many.
//
// Tiny parts are no reason to merge big ones: after a bulk load that leaves 15 parts of flushes, a steady load adds a part of
// some kilobytes every few seconds. While that is cheap, the smallest parts are merged with each other; how cheap is bounded on
// both sides, by what the merge of the big ones would cost, and by how often a tiny part is written again.
//
// Pure functions of their arguments. Cost: n log n for sorting, then at most eight windows for each part and limit.

import StorageFiles

/// The choice of parts to merge.
enum PartSelection {
    /// The parts to merge now, as indexes into `sizes` in ascending order of size (equal sizes in ascending order of
    /// index); empty when merging is not worth it.
    ///
    /// - Parameters:
    ///   - sizes: Bytes of all the parts, each at least 1.
    ///   - isMerging: Which of them must be left alone, as many as `sizes`.
    ///   - maxOutputBytes: The sum of the chosen sizes is not above this.
    ///   - final: Also merge few parts, down to ``MergePolicy/finalPartsMin``, if that is balanced.
    ///   - gainMin: The output of a merge is at least this many times its biggest source.
    static func select(
        sizes: [UInt64], isMerging: [Bool], maxOutputBytes: UInt64, final: Bool,
        gainMin: Double = MergePolicy.multiplierMin
    ) -> [Int] {
        precondition(sizes.count == isMerging.count, "\(sizes.count) sizes, but \(isMerging.count) marks")
        // A part this big leaves no room for partners that would make the merge worth it.
        let sizeMax = UInt64(Double(maxOutputBytes) / MergePolicy.multiplierMin)
        var candidates: [Candidate] = []
        for index in sizes.indices where !isMerging[index] && sizes[index] <= sizeMax {
            candidates.append(Candidate(size: sizes[index], index: index))
        }
        candidates.sort { ($0.size, $0.index) < ($1.size, $1.index) }
        let ascending = candidates.map(\.size)
        let partsMin = final ? MergePolicy.finalPartsMin : MergePolicy.partsMax
        for partsMax in stride(from: MergePolicy.partsMax, through: partsMin, by: -1) {
            let window = PartWindow.best(
                ascending, partsMax: partsMax, outputBytesMax: maxOutputBytes, gainMin: gainMin)
            if let range = window.range { return candidates[range].map(\.index) }
        }
        return []
    }

    /// The parts to merge now in a table that has more parts than it should; indexes as for ``select``.
    ///
    /// First choice are the parts in front of the first gap in the order of size, when there is one and they gain enough.
    /// Nothing more while others than these are few enough: then it is the running merges that are waited for. Otherwise
    /// the smallest parts, where that is cheap (``cheapest(_:_:belowBytes:)``), else what ``select`` chooses, and when that
    /// is nothing, a merge that gains less: parts must not grow without end.
    static func selectToKeepFew(sizes: [UInt64], isMerging: [Bool], maxOutputBytes: UInt64) -> [Int] {
        let free = sizes.indices.filter { !isMerging[$0] }.map { sizes[$0] }.sorted()
        let gap = free.indices.dropFirst().first {
            UInt128(free[$0]) >= UInt128(free[$0 - 1]) * UInt128(MergePolicy.sizeGap)
        }
        if let gap {
            let big = free[gap]
            let isLeftAlone = sizes.indices.map { isMerging[$0] || sizes[$0] >= big }
            let small = select(
                sizes: sizes, isMerging: isLeftAlone, maxOutputBytes: maxOutputBytes, final: true,
                gainMin: MergePolicy.smallPartsGainMin)
            if !small.isEmpty { return small }
        }
        guard free.count > MergePolicy.partsKept else { return [] }
        let choice = select(sizes: sizes, isMerging: isMerging, maxOutputBytes: maxOutputBytes, final: false)
        if choice.isEmpty {
            return select(sizes: sizes, isMerging: isMerging, maxOutputBytes: maxOutputBytes, final: true)
        }
        let cheap = cheapest(sizes, isMerging, belowBytes: choice.reduce(0) { $0 + sizes[$1] } / MergePolicy.cheapShare)
        return cheap.isEmpty ? choice : cheap
    }

    /// The smallest free parts: as many as have no more than `limitBytes` together, and no more than
    /// ``MergePolicy/cheapRatioMax`` times the smallest. Empty when these are fewer than two.
    private static func cheapest(_ sizes: [UInt64], _ isMerging: [Bool], belowBytes limitBytes: UInt64) -> [Int] {
        let ascending = sizes.indices.filter { !isMerging[$0] }.sorted { (sizes[$0], $0) < (sizes[$1], $1) }
        var chosen: [Int] = []
        var bytes: UInt128 = 0
        for index in ascending.prefix(MergePolicy.partsMax) {
            bytes += UInt128(sizes[index])
            let ratioBytes = UInt128(sizes[ascending[0]]) * UInt128(MergePolicy.cheapRatioMax)
            if bytes > UInt128(limitBytes) || bytes > ratioBytes { break }
            chosen.append(index)
        }
        return chosen.count < 2 ? [] : chosen
    }

    private struct Candidate {
        let size: UInt64
        let index: Int
    }
}
