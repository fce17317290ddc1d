// PartWindow.swift - which of some parts in the order of size are best merged
// (docs/format/mergeset-table.md, 11; docs/format/sample-store.md, 11.2).
//
// Merging costs the bytes of all the sources. What it gains is that the biggest of them is not alone any more: for
// sources of equal size the gain is greatest. So among all runs of neighbours in the order of size the one with the
// greatest sum / biggest wins, provided that the run is balanced, not too big, and gains enough.
//
//   sizes   1 2 2 3 | 40 41 42 42 44 45 46 47 | 900
//                     a window of 8, gain 7.4
//
// A pure function. Cost: at most half of `partsMax` windows for each part.

/// The choice of a window.
public struct PartWindow: Equatable, Sendable {
    /// The parts to merge, as places in the list; nil when no window gains enough.
    public var range: Range<Int>?
    /// A balanced or unbalanced window was too big for the limit.
    public var isShortOfSpace = false

    /// The window with the greatest gain, of at most `partsMax` and at least half as many parts.
    ///
    /// - Parameters:
    ///   - sizes: Bytes, ascending, each at least 1.
    ///   - partsMax: Most parts of a window, 2 or more.
    ///   - outputBytesMax: The sum of the chosen sizes is not above this.
    ///   - gainMin: A window gains at least this, and at least half of `partsMax`.
    public static func best(
        _ sizes: [UInt64], partsMax: Int, outputBytesMax: UInt64, gainMin: Double
    ) -> PartWindow {
        var best = PartWindow()
        let longest = min(partsMax, sizes.count)
        let shortest = max(2, (longest + 1) / 2)
        guard sizes.count >= 2, shortest <= longest else { return best }
        var bestGain = max(Double(partsMax) / 2, gainMin)
        for length in shortest...longest {
            var sum: UInt128 = 0  // of the window that slides
            for end in 0..<(length - 1) { sum += UInt128(sizes[end]) }
            for start in 0...(sizes.count - length) {
                let biggest = sizes[start + length - 1]
                sum += UInt128(biggest)
                defer { sum -= UInt128(sizes[start]) }
                let isTooBig = sum > UInt128(outputBytesMax)
                if isTooBig { best.isShortOfSpace = true }
                if UInt128(sizes[start]) * UInt128(length) < UInt128(biggest) { continue }  // unbalanced
                if isTooBig { break }  // later ones are bigger still
                let gain = Double(UInt64(sum)) / Double(biggest)
                if gain >= bestGain {
                    bestGain = gain
                    best.range = start..<(start + length)
                }
            }
        }
        return best
    }
}
