// PairedRule.swift - when paired timings have said enough (docs/format/bench-harness.md, 5, T3).
//
//   pairs 10, 20    upper bound < +5 %                 pass, stop measuring
//                   otherwise                          go on
//   pairs 40        lower bound > +2 %                 candidate for a failure: measured once more from scratch
//                   upper bound < +5 %                 pass
//                   otherwise, half-width > 5 %        inconclusive: too noisy to tell
//                   otherwise                          pass
//
// Bounds are one-sided, 99.5 % each. Positive is worse. A failure is only what fails twice, so a false one needs two
// independent accidents. The price: a regression below 5 % may pass early; that is what the exact tiers are for.
//
// Which side of a pair runs first follows the Thue-Morse sequence: 0 1 1 0 1 0 0 1 ... In its first 2^k terms both orders
// are equally frequent, and linear, quadratic ... (k-1)th powers of drift cancel.

import Glibc

/// The order in which two sides of a pair run.
public enum ThueMorse {
    /// Whether the second side runs first in pair `index` (from 0): the parity of the ones in its binary form.
    public static func isSwapped(_ index: Int) -> Bool { index.nonzeroBitCount % 2 == 1 }
}

/// What the pairs measured so far say.
public enum PairedVerdict: String, Sendable, Codable {
    /// Not enough yet.
    case undecided
    /// Not worse, as far as this tier can tell.
    case pass
    /// Worse; to be confirmed by measuring again.
    case candidate
    /// The noise is too great.
    case inconclusive
}

/// The rule of tier T3.
public struct PairedRule: Sendable, Equatable {
    /// Pairs at which is looked at the figures, ascending.
    public var looks = [10, 20, 40]
    /// Confidence of each bound.
    public var confidence = 0.995
    /// A change whose upper bound is below this passes at any look.
    public var passBelow = 0.05
    /// At the last look, a change whose lower bound is above this is a candidate.
    public var failAbove = 0.02
    /// At the last look, a wider interval than this to both sides is inconclusive.
    public var halfWidthMax = 0.05

    /// The numbers of the specification.
    public init() {}

    /// Most pairs.
    public var pairsMax: Int { looks.last ?? 0 }

    /// The verdict about one figure.
    ///
    /// - Parameter logarithms: log(second / first) of each pair, turned so that positive is worse.
    public func judge(_ logarithms: [Double]) -> PairedVerdict {
        guard looks.contains(logarithms.count) else { return .undecided }
        let ratio = PairedRatio(logarithms: logarithms, confidence: confidence)
        let isLast = logarithms.count == pairsMax
        if isLast {
            if ratio.lower > failAbove { return .candidate }
            if ratio.upper < passBelow { return .pass }
            return ratio.logarithm.halfWidth > log1p(halfWidthMax) ? .inconclusive : .pass
        }
        return ratio.upper < passBelow ? .pass : .undecided
    }

    /// The verdict of a whole series of pairs, looked at as the measuring would have done, and the pairs it took.
    ///
    /// - Parameter logarithms: At least ``pairsMax`` of them.
    public func decide(_ logarithms: some RandomAccessCollection<Double>) -> (verdict: PairedVerdict, pairs: Int) {
        precondition(logarithms.count >= pairsMax, "\(logarithms.count) pairs, \(pairsMax) are needed")
        for look in looks {
            let verdict = judge(Array(logarithms.prefix(look)))
            if verdict != .undecided { return (verdict, look) }
        }
        return (.inconclusive, pairsMax)
    }
}
