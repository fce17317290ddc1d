// FlagText.swift - values of flags as text (docs/format/vmstorage-process.md, 1.2). All functions give nil, or a reason, for
// text that is no value; none traps on any text.

/// A reason why a text is no value.
struct FlagTextError: Error, Equatable {
    let reason: String
    init(_ reason: String) { self.reason = reason }
}

enum FlagText {
    static func bool(_ text: String) -> Bool? {
        switch text {
        case "1", "t", "T", "true", "TRUE", "True": true
        case "0", "f", "F", "false", "FALSE", "False": false
        default: nil
        }
    }

    /// Decimal, 0x, 0o or a leading 0, 0b; `_` between digits and behind the prefix; a sign.
    static func int(_ text: String) -> Int? {
        var rest = Substring(text)
        let isNegative = rest.hasPrefix("-")
        if isNegative || rest.hasPrefix("+") { rest.removeFirst() }
        var radix = 10
        var hasPrefix = false
        for (prefix, base) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)]
        where rest.hasPrefix(prefix) {
            radix = base
            rest.removeFirst(2)
            hasPrefix = true
        }
        if !hasPrefix, rest.count > 1, rest.hasPrefix("0") {
            radix = 8
            rest.removeFirst()
            hasPrefix = true
        }
        if rest.hasSuffix("_") || rest.contains("__") || (!hasPrefix && rest.hasPrefix("_")) { return nil }
        let digits = rest.filter { $0 != "_" }
        // Int(_:radix:) would take a second sign.
        guard let first = digits.first, first != "-", first != "+" else { return nil }
        return Int((isNegative ? "-" : "") + digits, radix: radix)
    }

    static func float(_ text: String) -> Double? {
        let digits = text.filter { $0 != "_" }
        guard let first = digits.first, !first.isWhitespace else { return nil }
        return Double(digits)
    }

    /// Nanoseconds out of `<decimal><unit>` pieces, such as 1h15m or -1.5s.
    static func duration(_ text: String) -> Int64? {
        var rest = Substring(text)
        let isNegative = rest.hasPrefix("-")
        if isNegative || rest.hasPrefix("+") { rest.removeFirst() }
        if rest == "0" { return 0 }
        if rest.isEmpty { return nil }
        let units: [(String, Double)] = [
            ("ns", 1), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9),
        ]
        var total = 0.0
        while !rest.isEmpty {
            guard let number = takeNumber(&rest), let unit = units.first(where: { rest.hasPrefix($0.0) }) else {
                return nil
            }
            // "m" must not hide "ms".
            let longest = units.filter { rest.hasPrefix($0.0) }.max { $0.0.count < $1.0.count } ?? unit
            rest.removeFirst(longest.0.count)
            total += number * longest.1
        }
        guard total < 9.2e18 else { return nil }
        return Int64(total.rounded()) * (isNegative ? -1 : 1)
    }

    /// The canonical form of a duration: 2m0s, 1.5s, 100ms, 0s.
    static func durationText(_ nanoseconds: Int64) -> String {
        if nanoseconds == 0 { return "0s" }
        let sign = nanoseconds < 0 ? "-" : ""
        let value = nanoseconds.magnitude
        if value < 1_000_000_000 {
            let (unit, size): (String, UInt64) =
                value < 1000 ? ("ns", 1) : value < 1_000_000 ? ("µs", 1000) : ("ms", 1_000_000)
            return sign + decimal(value, size) + unit
        }
        let hours = value / 3_600_000_000_000
        let minutes = value / 60_000_000_000 % 60
        var text = sign
        if hours > 0 { text += "\(hours)h" }
        if hours > 0 || minutes > 0 { text += "\(minutes)m" }
        return text + decimal(value % 60_000_000_000, 1_000_000_000) + "s"
    }

    private static func decimal(_ value: UInt64, _ unit: UInt64) -> String {
        let whole = value / unit
        var rest = value % unit
        if rest == 0 { return String(whole) }
        var text = "\(whole)."
        var place = unit / 10
        while rest > 0 {
            text += String(rest / place)
            rest %= place
            place /= 10
        }
        return text
    }

    /// Bytes: a number with an optional suffix KB, MB, GB, KiB, MiB or GiB in any case.
    static func bytes(_ text: String) -> Int64? {
        let lower = text.lowercased()
        let suffixes: [(String, Double)] = [
            ("kib", 1024), ("mib", 1_048_576), ("gib", 1_073_741_824), ("kb", 1e3), ("mb", 1e6), ("gb", 1e9),
        ]
        var number = lower
        var factor = 1.0
        if let suffix = suffixes.first(where: { lower.hasSuffix($0.0) }) {
            number.removeLast(suffix.0.count)
            factor = suffix.1
        }
        guard let value = float(number), value.isFinite, abs(value * factor) < 9.2e18 else { return nil }
        return Int64(value * factor)
    }

    static let monthMs: Double = 31 * 86_400_000
    static let monthsMax = 1200.0

    /// Milliseconds of a retention; the maximum for 0 and for anything above it.
    static func retentionMs(_ text: String) throws(FlagTextError) -> Int64 {
        let most = Int64(monthsMax * monthMs)
        if let months = float(text), text.first != "+" {
            guard months >= 0, months <= monthsMax else {
                throw FlagTextError("duration months must be in the range [0...1200]; got \(text)")
            }
            let ms = Int64(months * monthMs)
            return ms == 0 ? most : ms
        }
        let lower = text.lowercased()
        if lower.hasSuffix("m") {
            throw FlagTextError(
                "duration in months must be set without `m` suffix due to ambiguity with duration in minutes")
        }
        guard let ms = metricDurationMs(lower) else {
            throw FlagTextError("cannot parse duration \"\(text)\"")
        }
        guard ms >= 0 else { throw FlagTextError("retention period cannot be negative; got \(text)") }
        guard ms < 9.2e18 else { throw FlagTextError("retention period is too large; got \(text)") }
        return ms == 0 ? most : min(Int64(ms), most)
    }

    private static func metricDurationMs(_ text: String) -> Double? {
        var rest = Substring(text)
        if rest.isEmpty { return nil }
        let units: [(String, Double)] = [
            ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 7 * 86_400_000),
            ("y", 365 * 86_400_000), ("i", 0),
        ]
        var total = 0.0
        var isNegative = false
        while !rest.isEmpty {
            if rest.hasPrefix("-") {
                isNegative = true
                rest.removeFirst()
            }
            guard let number = takeNumber(&rest), let unit = units.first(where: { rest.hasPrefix($0.0) }) else {
                return nil
            }
            rest.removeFirst(unit.0.count)
            total += (isNegative ? -number : number) * unit.1
        }
        return total
    }

    /// Takes digits with at most one point from the front.
    private static func takeNumber(_ rest: inout Substring) -> Double? {
        let number = rest.prefix { $0.isASCII && $0.isNumber || $0 == "." }
        guard number.contains(where: { $0 != "." }),
            let value = Double(number.hasPrefix(".") ? "0" + number : number + (number.hasSuffix(".") ? "0" : ""))
        else { return nil }
        rest.removeFirst(number.count)
        return value
    }
}
