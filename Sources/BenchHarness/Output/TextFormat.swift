// TextFormat.swift - numbers as people read them. Pure functions, no locale: the same input gives the same text.

/// Formatting of numbers and columns.
public enum TextFormat {
    /// A number with a fixed count of decimals, rounded half away from zero: `3.14`.
    public static func fixed(_ value: Double, _ decimals: Int) -> String {
        guard value.isFinite else { return value.isNaN ? "-" : value < 0 ? "-inf" : "inf" }
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let scaled = (abs(value) * scale).rounded(.toNearestOrAwayFromZero)
        guard scaled < 9e18 else { return "\(value)" }
        let number = UInt64(scaled)
        let sign = value < 0 && number > 0 ? "-" : ""
        guard decimals > 0 else { return sign + "\(number)" }
        let unit = UInt64(scale)
        let fraction = "\(number % unit)"
        return sign + "\(number / unit)." + String(repeating: "0", count: decimals - fraction.utf8.count) + fraction
    }

    /// Three significant digits, trailing zeros kept: `0.0123`, `1.23`, `12.3`, `123`, `1,234`.
    public static func short(_ value: Double) -> String {
        let size = abs(value)
        if !size.isFinite { return fixed(value, 0) }
        if size == 0 { return "0" }
        if size >= 99.95 { return grouped(value) }
        if size >= 9.995 { return fixed(value, 1) }
        if size >= 0.9995 { return fixed(value, 2) }
        if size >= 0.09995 { return fixed(value, 3) }
        return fixed(value, 4)
    }

    /// A whole number with its thousands apart: `1,234,567`.
    public static func grouped(_ value: Double) -> String {
        let digits = fixed(abs(value), 0)
        guard digits.utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }) else { return digits }
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return (value < 0 && digits != "0" ? "-" : "") + text
    }

    /// A count: `999`, `12,345`, `1.23 M`, `4.56 G`.
    public static func count(_ value: Double) -> String {
        let size = abs(value)
        if size < 99_999.5 { return grouped(value) }
        if size < 999_500 { return fixed(value / 1e3, 0) + " k" }
        return size < 999.5e6 ? short(value / 1e6) + " M" : short(value / 1e9) + " G"
    }

    /// A count with its noun: `1 part`, `2 parts`. Nouns in -s and -sh take -es.
    public static func many(_ value: Double, _ noun: String) -> String {
        if value == 1 { return "1 " + noun }
        return count(value) + " " + noun + (["s", "sh", "ch"].contains(where: noun.hasSuffix) ? "es" : "s")
    }

    /// Bytes in decimal units, as disks are sold: `512 B`, `1.23 kB`, `45.6 MB`, `7.89 GB`.
    public static func bytes(_ value: Double) -> String {
        let size = abs(value)
        if size < 999.5 { return fixed(value, 0) + " B" }
        if size < 999.5e3 { return short(value / 1e3) + " kB" }
        return size < 999.5e6 ? short(value / 1e6) + " MB" : short(value / 1e9) + " GB"
    }

    /// A duration: `0.42 s`, `12.3 s`, `3 min 05 s`.
    public static func seconds(_ value: Double) -> String {
        guard value >= 59.95 else { return fixed(value, value < 9.995 ? 2 : 1) + " s" }
        let whole = Int(value.rounded())
        return "\(whole / 60) min " + left(whole % 60 < 10 ? "0\(whole % 60)" : "\(whole % 60)", 2) + " s"
    }

    /// A ratio as a percentage: `99.87 %`.
    public static func percent(_ ratio: Double) -> String { fixed(ratio * 100, 2) + " %" }

    /// `text` filled up with blanks behind it.
    public static func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    /// `text` with blanks before it.
    public static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    /// A moment as `2026-01-31T12:34:56Z`.
    public static func utc(unixSeconds: Int64) -> String {
        let (date, time) = calendar(unixSeconds: unixSeconds)
        return date.joined(separator: "-") + "T" + time.joined(separator: ":") + "Z"
    }

    /// A moment as part of a file name: `20260131-123456`.
    public static func stamp(unixSeconds: Int64) -> String {
        let (date, time) = calendar(unixSeconds: unixSeconds)
        return date.joined() + "-" + time.joined()
    }

    /// Year, month, day and hour, minute, second in UTC, with leading zeros.
    private static func calendar(unixSeconds: Int64) -> ([String], [String]) {
        let day = unixSeconds >= 0 ? unixSeconds / 86_400 : (unixSeconds - 86_399) / 86_400
        let second = Int(unixSeconds - day * 86_400)
        // Days counted from 1 March of year 0 in eras of 400 years (146 097 days): leap days fall to the end of a year.
        let shifted = Int(day) + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let dayOfMonth = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return (
            [zeros(year, 4), two(month), two(dayOfMonth)],
            [two(second / 3600), two(second / 60 % 60), two(second % 60)]
        )
    }

    private static func zeros(_ value: Int, _ width: Int) -> String {
        let digits = "\(value)"
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
