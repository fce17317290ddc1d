// Normal.swift - the normal distribution, as far as rank statistics need it.

import Glibc

/// The standard normal distribution.
enum Normal {
    /// P(Z <= z).
    static func cumulative(_ z: Double) -> Double { erfc(-z / 2.0.squareRoot()) / 2 }

    /// The z with P(Z <= z) = `p`, by bisection: 60 steps between -40 and 40, exact to the last digits.
    ///
    /// - Parameter p: Above 0 and below 1.
    static func quantile(_ p: Double) -> Double {
        precondition(p > 0 && p < 1, "probability \(p) is not between 0 and 1")
        var low = -40.0
        var high = 40.0
        for _ in 0..<60 {
            let middle = (low + high) / 2
            if cumulative(middle) < p { low = middle } else { high = middle }
        }
        return (low + high) / 2
    }
}
