// SamplePartSelection.swift - which parts of a partition to merge, and where the result goes
// (docs/format/sample-store.md, 11.1, 11.2).
//
//   big workers     big parts                          -> big      limit: free space of big / workers
//   small workers   small parts, bytes above S         -> big      the same limit
//                   otherwise                          -> small    limit: free space of small / workers
//
// Pure functions.

import StorageFiles

/// Where a part lives.
enum SampleSide: Int, Sendable, CaseIterable {
    case small = 0
    case big = 1

    var name: String { self == .small ? "small" : "big" }
}

/// The choice of parts to merge.
enum SamplePartSelection {
    /// A part that is not being merged.
    struct Candidate {
        /// Bytes, 1 or more.
        var size: UInt64
        var minTimestamp: Int64
        /// Which part it is, in the caller's list.
        var index: Int
    }

    /// What was chosen.
    struct Choice: Equatable {
        /// Parts in ascending order of size, equal sizes from the latest to the earliest; empty when merging is not worth it.
        var indexes: [Int] = []
        /// More disk space might have led to another choice.
        var needsSpace = false
    }

    /// Chooses among the parts of one side. In `final` mode few parts are merged too, if that is balanced.
    static func select(
        _ candidates: [Candidate], outputBytesMax: UInt64, final: Bool, partsMax: Int = SamplePolicy.partsMax
    ) -> Choice {
        var choice = Choice()
        guard candidates.count >= 2 else { return choice }
        // A part this big leaves no room for partners that would make the merge worth it.
        let sizeMax = UInt64(Double(outputBytesMax) / SamplePolicy.ratioMin)
        var sorted = candidates.filter { $0.size <= sizeMax }
        choice.needsSpace = candidates.count - sorted.count > 1
        sorted.sort { ($0.size, $1.minTimestamp, $0.index) < ($1.size, $0.minTimestamp, $1.index) }
        let sizes = sorted.map(\.size)
        let partsMin = final ? SamplePolicy.finalPartsMin : partsMax
        for partsMax in stride(from: partsMax, through: partsMin, by: -1) {
            let window = PartWindow.best(
                sizes, partsMax: partsMax, outputBytesMax: outputBytesMax, gainMin: SamplePolicy.ratioMin)
            if window.isShortOfSpace { choice.needsSpace = true }
            if let range = window.range {
                choice.indexes = sorted[range].map(\.index)
                return choice
            }
        }
        return choice
    }

    /// What the small parts of a partition give.
    struct SmallChoice: Equatable {
        var indexes: [Int] = []
        var side = SampleSide.small
        /// Whether big parts need space, and whether small parts do; nil when that was not asked.
        var bigNeedsSpace = false
        var smallNeedsSpace: Bool?
    }

    /// Chooses among small parts, as small workers do.
    ///
    /// - Parameters:
    ///   - smallPartBytesMax: S: more bytes than this make a big part.
    ///   - smallBytesMax: Largest output in the small directory.
    ///   - bigBytesMax: Largest output in the big directory.
    static func selectSmall(
        _ candidates: [Candidate], smallPartBytesMax: UInt64, smallBytesMax: UInt64, bigBytesMax: UInt64, final: Bool
    ) -> SmallChoice {
        let choice = select(candidates, outputBytesMax: bigBytesMax, final: final)
        var result = SmallChoice(indexes: choice.indexes, bigNeedsSpace: choice.needsSpace)
        let chosen = Set(choice.indexes)
        let total = candidates.reduce(0) { chosen.contains($1.index) ? $0 + $1.size : $0 }
        if total > smallPartBytesMax {
            result.side = .big
        } else if total > smallBytesMax {
            let second = select(candidates, outputBytesMax: smallBytesMax, final: final)
            result.indexes = second.indexes
            result.smallNeedsSpace = second.needsSpace
        }
        return result
    }
}
