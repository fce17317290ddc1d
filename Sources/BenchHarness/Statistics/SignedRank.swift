// SignedRank.swift - the distribution of Wilcoxon's signed-rank statistic.
//
// Of n differences that are symmetric around zero each rank 1...n counts or does not, with equal probability. T, the sum
// of those that count, has therefore the generating function
//
//   (1 + x)(1 + x^2) ... (1 + x^n) / 2^n
//
// which is multiplied out here, rank by rank: n^3 / 6 additions, a few thousand for the 40 pairs of the gate. Above
// `exactMax` ranks the normal approximation with continuity correction takes over; it is right to three digits there.

/// Wilcoxon's signed-rank statistic.
public enum SignedRank {
    /// Most ranks for which the distribution is computed exactly.
    public static let exactMax = 100

    /// P(T = t) for t in `0...n(n+1)/2`.
    ///
    /// - Parameter n: Ranks, `0...exactMax`.
    public static func probabilities(_ n: Int) -> [Double] {
        precondition((0...exactMax).contains(n), "\(n) ranks: the exact distribution goes up to \(exactMax)")
        var masses = [Double](repeating: 0, count: n * (n + 1) / 2 + 1)
        masses[0] = 1
        var top = 0
        for rank in stride(from: 1, through: n, by: 1) {
            top += rank
            for t in stride(from: top, through: 0, by: -1) {
                masses[t] = (masses[t] + (t >= rank ? masses[t - rank] : 0)) / 2
            }
        }
        return masses
    }

    /// P(T <= t) for n ranks: exact up to ``exactMax``, normal above.
    public static func cumulative(_ n: Int, _ t: Int) -> Double {
        if t < 0 { return 0 }
        if t >= n * (n + 1) / 2 { return 1 }
        if n <= exactMax { return min(1, probabilities(n)[...t].reduce(0, +)) }
        return Normal.cumulative((Double(t) + 0.5 - mean(n)) / deviation(n))
    }

    /// The greatest t with P(T <= t) <= `alpha`; nil when even P(T = 0) is above it, that is when there are too few ranks.
    ///
    /// - Parameter alpha: Probability of one tail, above 0 and below one half.
    public static func critical(_ n: Int, alpha: Double) -> Int? {
        precondition(alpha > 0 && alpha < 0.5, "alpha \(alpha): one tail is above 0 and below 0.5")
        guard n > 0 else { return nil }
        if n > exactMax {
            return Int((mean(n) + Normal.quantile(alpha) * deviation(n) - 0.5).rounded(.down))
        }
        var sum = 0.0
        for (t, mass) in probabilities(n).enumerated() {
            sum += mass
            // The masses are binary fractions, exact up to 52 ranks; above, an error of 1e-16 decides nothing.
            if sum > alpha { return t == 0 ? nil : t - 1 }
        }
        return nil
    }

    private static func mean(_ n: Int) -> Double { Double(n) * Double(n + 1) / 4 }
    private static func deviation(_ n: Int) -> Double {
        (Double(n) * Double(n + 1) * Double(2 * n + 1) / 24).squareRoot()
    }
}
