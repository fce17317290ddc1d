// PlotScale.swift - from values to pixels, linear or logarithmic, with ticks at round values.

import Glibc

/// One axis.
struct PlotScale {
    let low: Double, high: Double
    let isLogarithmic: Bool
    /// Pixels of `low` and `high`.
    let start: Double, end: Double

    /// A linear axis from 0, or from `low`, to a round value at or above `high`.
    static func linear(
        low: Double = 0, high: Double, start: Double, end: Double, roundsUp: Bool = true, ticks: Int = 4
    ) -> PlotScale {
        let high = high > low ? high : low + 1
        let step = roundStep((high - low) / Double(ticks))
        let top = roundsUp ? (high / step - 1e-9).rounded(.up) * step : high
        return PlotScale(low: low, high: top, isLogarithmic: false, start: start, end: end)
    }

    /// A logarithmic axis over whole decades around the values, all above 0.
    static func logarithmic(low: Double, high: Double, start: Double, end: Double) -> PlotScale {
        let low = pow(10, log10(max(low, 1e-9)).rounded(.down))
        let high = pow(10, max(log10(low) + 1, log10(max(high, 1e-9)).rounded(.up)))
        return PlotScale(low: low, high: high, isLogarithmic: true, start: start, end: end)
    }

    /// Pixel of a value; values outside are set to the border.
    func pixel(_ value: Double) -> Double {
        let share =
            isLogarithmic
            ? (log10(max(value, low)) - log10(low)) / (log10(high) - log10(low)) : (value - low) / (high - low)
        return start + min(max(share, 0), 1) * (end - start)
    }

    /// Round values on the axis: about `count` of them, or each decade.
    func ticks(_ count: Int) -> [Double] {
        if isLogarithmic {
            let first = Int(log10(low).rounded())
            let last = Int(log10(high).rounded())
            let step = max(1, (last - first + count - 1) / max(1, count))
            return stride(from: first, through: last, by: step).map { pow(10, Double($0)) }
        }
        let step = PlotScale.roundStep((high - low) / Double(max(1, count)))
        var ticks: [Double] = []
        var index = (low / step - 1e-9).rounded(.up)
        while index * step <= high + step * 1e-9 {
            ticks.append(index * step)
            index += 1
        }
        return ticks
    }

    /// 1, 2 or 5 times a power of ten, at or above `step`.
    static func roundStep(_ step: Double) -> Double {
        guard step > 0, step.isFinite else { return 1 }
        let decade = pow(10, log10(step).rounded(.down))
        for factor in [1.0, 2, 5] where decade * factor >= step * (1 - 1e-9) { return decade * factor }
        return decade * 10
    }
}

/// Numbers on axes: short, without trailing zeros.
enum AxisText {
    /// `0`, `0.5`, `250 k`, `1.5 M`.
    static func count(_ value: Double) -> String {
        switch abs(value) {
        case 1e9...: TextFormat.plain(value / 1e9) + " G"
        case 1e6...: TextFormat.plain(value / 1e6) + " M"
        case 10_000...: TextFormat.plain(value / 1e3) + " k"
        default: TextFormat.plain(value)
        }
    }

    /// `0`, `64 kB`, `1.5 GB`, decimal.
    static func bytes(_ value: Double) -> String {
        switch abs(value) {
        case 1e9...: TextFormat.plain(value / 1e9) + " GB"
        case 1e6...: TextFormat.plain(value / 1e6) + " MB"
        case 1e3...: TextFormat.plain(value / 1e3) + " kB"
        case 0: "0"
        default: TextFormat.plain(value) + " B"
        }
    }

    /// `10 us`, `1 ms`, `2 s`.
    static func microseconds(_ value: Double) -> String {
        switch abs(value) {
        case 1e6...: TextFormat.plain(value / 1e6) + " s"
        case 1e3...: TextFormat.plain(value / 1e3) + " ms"
        default: TextFormat.plain(value) + " us"
        }
    }
}
