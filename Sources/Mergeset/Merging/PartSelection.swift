// PartSelection.swift - which parts to merge (docs/format/mergeset-table.md, 11).
//
// The parts in the order of size, and a window of them that is worth it: StorageFiles/PartWindow.swift.
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
    static func select(sizes: [UInt64], isMerging: [Bool], maxOutputBytes: UInt64, final: Bool) -> [Int] {
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
                ascending, partsMax: partsMax, outputBytesMax: maxOutputBytes, gainMin: MergePolicy.multiplierMin)
            if let range = window.range { return candidates[range].map(\.index) }
        }
        return []
    }

    private struct Candidate {
        let size: UInt64
        let index: Int
    }
}
