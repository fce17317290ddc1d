// HodgesLehmann.swift - how much two sides of paired measurements differ, and how sure that is.
//
// Of the differences d(1)...d(n) all n(n+1)/2 Walsh averages (d(i) + d(j)) / 2, i <= j, are put in order. Their median is
// the Hodges-Lehmann estimate of the centre: nearly as sharp as the mean where noise is normal, and unmoved by a few
// outliers, which timings on a shared machine always have. The confidence bounds are Walsh averages, too: counting from
// either end, the one whose place follows from the signed-rank statistic, so they need no assumption but that the noise
// of a pair is as likely to favour one side as the other. Alternating the order of the sides sees to that.
//
//   Walsh averages  | . . . L . . . . . estimate . . . . . U . . . |
//                     c+1 from below                c+1 from above        P(T <= c) <= 1 - confidence
//
// Reference: Hollander, Wolfe: Nonparametric Statistical Methods, 3.2 and 3.3.

import Glibc

/// Estimate and one-sided confidence bounds of the centre of paired differences.
public struct HodgesLehmann: Sendable, Equatable {
    /// Number of differences.
    public let count: Int
    /// The median of the Walsh averages.
    public let estimate: Double
    /// One-sided bounds: the centre is at least `lower` with the confidence asked for, and at most `upper` with the same.
    /// Infinite when there are too few differences for that confidence.
    public let lower: Double, upper: Double

    /// Half of what lies between the bounds.
    public var halfWidth: Double { (upper - lower) / 2 }

    /// - Parameters:
    ///   - differences: At least one, all finite.
    ///   - confidence: Of each bound by itself, above 0.5 and below 1.
    /// - Complexity: O(n^2 log n).
    public init(_ differences: [Double], confidence: Double = 0.995) {
        precondition(!differences.isEmpty, "an estimate needs at least one difference")
        precondition(differences.allSatisfy(\.isFinite), "a difference is not finite")
        count = differences.count
        let averages = Statistics(HodgesLehmann.walshAverages(differences))
        estimate = averages.median
        if let critical = SignedRank.critical(count, alpha: 1 - confidence) {
            lower = averages.sorted[critical]
            upper = averages.sorted[averages.count - 1 - critical]
        } else {
            lower = -.infinity
            upper = .infinity
        }
    }

    /// The averages of all pairs of values, each value with itself among them, in no order.
    static func walshAverages(_ values: [Double]) -> [Double] {
        var averages: [Double] = []
        averages.reserveCapacity(values.count * (values.count + 1) / 2)
        for (index, value) in values.enumerated() {
            for other in values[index...] { averages.append((value + other) / 2) }
        }
        return averages
    }
}

/// The ratio of a figure between two sides, from pairs of measurements.
public struct PairedRatio: Sendable, Equatable {
    /// Of the logarithms of the ratios; a positive value means that the second side has more.
    public let logarithm: HodgesLehmann

    /// - Parameter pairs: (first side, second side), all above zero.
    public init(_ pairs: [(Double, Double)], confidence: Double = 0.995) {
        logarithm = HodgesLehmann(pairs.map { log($0.1 / $0.0) }, confidence: confidence)
    }

    /// From logarithms of ratios.
    public init(logarithms: [Double], confidence: Double = 0.995) {
        logarithm = HodgesLehmann(logarithms, confidence: confidence)
    }

    /// Relative change of the second side against the first: 0.03 is 3 % more.
    public var change: Double { expm1(logarithm.estimate) }
    /// The bounds of ``change``.
    public var lower: Double { expm1(logarithm.lower) }
    public var upper: Double { expm1(logarithm.upper) }
}
