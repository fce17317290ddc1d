// PartSelection.swift - which parts to merge (docs/format/mergeset-table.md, 11).
//
// Merging costs the bytes of all the sources. What it gains is that the biggest of them is not alone any more: for
// sources of equal size the gain is greatest. So among all runs of neighbours in the order of size the one with the
// greatest sum / biggest wins, provided that the run is balanced, not too big, and gains enough.
//
//   sizes   1 2 2 3 | 40 41 42 42 44 45 46 47 | 900
//                     a window of 8, gain 7.4
//
// Pure functions of their arguments. Cost: n log n for sorting, then at most eight windows for each part and limit.

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
        let partsMin = final ? MergePolicy.finalPartsMin : MergePolicy.partsMax
        for partsMax in stride(from: MergePolicy.partsMax, through: partsMin, by: -1) {
            if let window = bestWindow(candidates, partsMax, maxOutputBytes) {
                return candidates[window].map(\.index)
            }
        }
        return []
    }

    private struct Candidate {
        let size: UInt64
        let index: Int
    }

    /// The window with the greatest gain, of at most `partsMax` and at least half as many parts; nil when none gains
    /// enough.
    private static func bestWindow(
        _ parts: [Candidate], _ partsMax: Int, _ maxOutputBytes: UInt64
    ) -> Range<Int>? {
        let longest = min(partsMax, parts.count)
        let shortest = max(2, (longest + 1) / 2)
        guard parts.count >= 2, shortest <= longest else { return nil }
        var best: Range<Int>?
        var bestGain = max(Double(partsMax) / 2, MergePolicy.multiplierMin)
        for length in shortest...longest {
            var sum: UInt128 = 0  // of the window that slides
            for end in 0..<(length - 1) { sum += UInt128(parts[end].size) }
            for start in 0...(parts.count - length) {
                let biggest = parts[start + length - 1].size
                sum += UInt128(biggest)
                defer { sum -= UInt128(parts[start].size) }
                if UInt128(parts[start].size) * UInt128(length) < UInt128(biggest) { continue }  // unbalanced
                if sum > UInt128(maxOutputBytes) { break }  // later ones are bigger still
                let gain = Double(UInt64(sum)) / Double(biggest)
                if gain >= bestGain {
                    bestGain = gain
                    best = start..<(start + length)
                }
            }
        }
        return best
    }
}
