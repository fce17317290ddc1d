// Resampling.swift - how often a rule errs, from timings of one program run again and again.
//
// The recorded timings are cut into windows of neighbours, as a gate would have met them: the pairs of a window are
// neighbours, and the Thue-Morse sequence says which of the two plays the first side. Both sides are the same program, so
// every failure is a false one. Multiplying the second side by 1.05 gives the rate at which a regression of 5 % is found.
//
// Beside it, on the same timings, the two habits that the rule replaces: one block of each side judged by the U test, and
// "the median must not grow by 5 %".

import Glibc

/// Rates of the verdicts of a rule over windows of recorded timings.
public struct VerdictRates: Sendable, Equatable, Codable {
    /// Windows judged.
    public var windows = 0
    /// Of them: passed, failed in both measurements, inconclusive in one of them.
    public var passed = 0, failed = 0, inconclusive = 0
    /// Windows whose first measurement was a candidate.
    public var candidates = 0
    /// Mean number of pairs measured.
    public var pairsMean = 0.0
}

/// Resampling of recorded timings.
public enum Resampling {
    /// Runs the rule over all windows that start `step` timings apart. A window has 2 * ``PairedRule/pairsMax`` timings, and
    /// as many behind it to measure a candidate again.
    ///
    /// - Parameters:
    ///   - timings: One program, in the order of the runs, all above zero.
    ///   - slowdown: Factor for the second side; 1 leaves both alike.
    public static func rates(
        _ timings: [Double], _ rule: PairedRule = PairedRule(), slowdown: Double = 1, step: Int = 1
    ) -> VerdictRates {
        precondition(step > 0, "step \(step)")
        let length = 2 * rule.pairsMax
        var rates = VerdictRates()
        var pairs = 0
        for start in stride(from: 0, through: timings.count - 2 * length, by: step) {
            let first = rule.decide(logarithms(timings[start..<(start + length)], slowdown))
            rates.windows += 1
            pairs += first.pairs
            switch first.verdict {
            case .pass: rates.passed += 1
            case .inconclusive, .undecided: rates.inconclusive += 1
            case .candidate:
                rates.candidates += 1
                let second = rule.decide(logarithms(timings[(start + length)..<(start + 2 * length)], slowdown))
                pairs += second.pairs
                switch second.verdict {
                case .candidate: rates.failed += 1
                case .pass: rates.passed += 1
                case .inconclusive, .undecided: rates.inconclusive += 1
                }
            }
        }
        rates.pairsMean = rates.windows == 0 ? 0 : Double(pairs) / Double(rates.windows)
        return rates
    }

    /// The logarithms of the ratios of neighbouring timings, sides taken in Thue-Morse order.
    static func logarithms(_ timings: ArraySlice<Double>, _ slowdown: Double) -> [Double] {
        let start = timings.startIndex
        return (0..<(timings.count / 2)).map { pair in
            let early = timings[start + 2 * pair]
            let late = timings[start + 2 * pair + 1]
            let ratio = ThueMorse.isSwapped(pair) ? early / late : late / early
            return log(ratio * slowdown)
        }
    }

    /// Share of windows of `2 * size` neighbours in which "first half, then second half, U test, p < 0.05" finds the second
    /// half greater.
    public static func blockwiseUTestRate(_ timings: [Double], size: Int) -> Double {
        share(timings, size) { first, second in
            let values = Array(first) + Array(second)
            let ranks = Ranks.of(values)
            let sum = ranks[size...].reduce(0, +)
            let mean = Double(size) * Double(2 * size + 1) / 2
            let deviation = (Double(size * size) * Double(2 * size + 1) / 12).squareRoot()
            return 1 - Normal.cumulative((sum - mean - 0.5) / deviation) < 0.05
        }
    }

    /// Share of such windows in which the median of the second half is more than 5 % above that of the first.
    public static func medianRate(_ timings: [Double], size: Int, above: Double = 0.05) -> Double {
        share(timings, size) { Statistics($1).median > Statistics($0).median * (1 + above) }
    }

    private static func share(
        _ timings: [Double], _ size: Int, _ isAlarm: (ArraySlice<Double>, ArraySlice<Double>) -> Bool
    ) -> Double {
        var windows = 0
        var alarms = 0
        for start in stride(from: 0, through: timings.count - 2 * size, by: 1) {
            windows += 1
            let middle = start + size
            if isAlarm(timings[start..<middle], timings[middle..<(middle + size)]) { alarms += 1 }
        }
        return windows == 0 ? 0 : Double(alarms) / Double(windows)
    }
}

/// Ranks of values.
enum Ranks {
    /// The rank of each value, from 1; equal values share the mean of their ranks.
    static func of(_ values: [Double]) -> [Double] {
        let order = values.indices.sorted { (values[$0], $0) < (values[$1], $1) }
        var ranks = [Double](repeating: 0, count: values.count)
        var start = 0
        while start < order.count {
            var end = start + 1
            while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
            let rank = Double(start + 1 + end) / 2
            for place in start..<end { ranks[order[place]] = rank }
            start = end
        }
        return ranks
    }
}
