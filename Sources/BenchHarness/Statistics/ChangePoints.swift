// ChangePoints.swift - where a history of a figure changed its level (tier T4).
//
// Pettitt's test: with the ranks r of the whole series, U(t) = 2 (r(1) + ... + r(t)) - t (n + 1) is small when both sides
// of t come from one distribution. The t with the greatest |U| is the change, and
//
//   p = 2 exp(-6 U^2 / (n^3 + n^2))
//
// bounds the probability of finding it in a series without one. Only ranks enter, so one run on a busy machine does not
// make a change. A series with a change is cut there and both sides are looked at again. The bound is cautious for short
// series: a clean step is found from 14 points on.
//
// Reference: A. N. Pettitt: A non-parametric approach to the change-point problem. Applied Statistics 28 (1979).

import Glibc

/// A change of the level of a series.
public struct ChangePoint: Sendable, Equatable {
    /// Index of the first value of the new level.
    public var index: Int
    /// Medians of the levels before and after, up to the neighbouring changes.
    public var before: Double, after: Double
    /// Bound for the probability of such a change by accident.
    public var probability: Double

    /// Relative change of the level; 0 when the level before is 0.
    public var change: Double { before == 0 ? 0 : after / before - 1 }
}

/// Finds changes.
public enum ChangePoints {
    /// The changes of level of `values`, in order.
    ///
    /// - Parameters:
    ///   - probabilityMax: Changes that may be accidents with a greater probability are not reported.
    ///   - shortest: Values that a level has at least.
    /// - Complexity: O(changes * n log n).
    public static func find(
        _ values: [Double], probabilityMax: Double = 0.01, shortest: Int = 4
    ) -> [ChangePoint] {
        var cuts: [(index: Int, probability: Double)] = []
        var open = [values.startIndex..<values.endIndex]
        while let range = open.popLast() {
            guard range.count >= 2 * shortest, let best = strongest(Array(values[range]), shortest) else { continue }
            guard best.probability <= probabilityMax else { continue }
            let cut = range.lowerBound + best.index
            cuts.append((cut, best.probability))
            open.append(range.lowerBound..<cut)
            open.append(cut..<range.upperBound)
        }
        cuts.sort { $0.index < $1.index }
        let borders = [0] + cuts.map(\.index) + [values.count]
        return cuts.enumerated().map { place, cut in
            ChangePoint(
                index: cut.index, before: Statistics(values[borders[place]..<cut.index]).median,
                after: Statistics(values[cut.index..<borders[place + 2]]).median, probability: cut.probability)
        }
    }

    /// The most likely change of a series: the index of the first value behind it, Pettitt's statistic and its
    /// probability; nil when a level would be too short.
    static func strongest(
        _ values: [Double], _ shortest: Int = 1
    ) -> (index: Int, statistic: Double, probability: Double)? {
        let n = Double(values.count)
        let ranks = Ranks.of(values)
        var sum = 0.0
        var best: (index: Int, statistic: Double)?
        for t in 1..<max(1, values.count) {
            sum += ranks[t - 1]
            guard t >= shortest, values.count - t >= shortest else { continue }
            let statistic = abs(2 * sum - Double(t) * (n + 1))
            if statistic > best?.statistic ?? -1 { best = (t, statistic) }
        }
        guard let best else { return nil }
        let probability = min(1, 2 * exp(-6 * best.statistic * best.statistic / (n * n * n + n * n)))
        return (best.index, best.statistic, probability)
    }
}
