// TimeText.swift - time spans and moments as people write them.

/// Time spans (`30s`) and moments (`2022-01-01T00:10:00Z`), both in milliseconds.
public enum TimeText {
    private static let units: [(name: String, milliseconds: Int64)] = [
        ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
    ]

    /// The shortest text of a span.
    public static func span(_ milliseconds: Int64) -> String {
        for unit in units.reversed() where milliseconds % unit.milliseconds == 0 && milliseconds != 0 {
            return "\(milliseconds / unit.milliseconds)\(unit.name)"
        }
        return "0s"
    }

    /// Milliseconds of a text such as `1.5h`; nil when it is not one.
    public static func parseSpan(_ text: String) -> Int64? {
        let digits = text.prefix { $0.isNumber || $0 == "." }
        let name = text[digits.endIndex...]
        guard let number = Double(digits), let unit = units.first(where: { $0.name == name }) else { return nil }
        let milliseconds = number * Double(unit.milliseconds)
        guard milliseconds <= 1e15, milliseconds == milliseconds.rounded() else { return nil }
        return Int64(milliseconds)
    }

    /// A time of the day: `18:00`, with seconds only when there are some.
    static func timeOfDay(_ milliseconds: Int64) -> String {
        let text = "\(pad(milliseconds / 3_600_000, 2)):\(pad(milliseconds / 60_000 % 60, 2))"
        return milliseconds % 60_000 == 0 ? text : text + ":\(pad(milliseconds / 1000 % 60, 2))"
    }

    /// Milliseconds since midnight of a text such as `18:00`; nil when it is not one.
    static func parseTimeOfDay(_ text: String) -> Int64? {
        let fields = text.split(separator: ":", omittingEmptySubsequences: false)
        guard fields.count == 2, fields.allSatisfy({ $0.count == 2 }), let hour = Int64(fields[0]),
            let minute = Int64(fields[1]), (0...23).contains(hour), (0...59).contains(minute)
        else { return nil }
        return hour * 3_600_000 + minute * 60_000
    }

    /// A moment in UTC, with milliseconds only when there are some.
    public static func moment(_ unixMs: Int64) -> String {
        let dayMs: Int64 = 86_400_000
        let days = unixMs >= 0 ? unixMs / dayMs : (unixMs - dayMs + 1) / dayMs
        let rest = unixMs - days * dayMs
        // Days from 1970 to a date of the Gregorian calendar, counted in eras of 400 years that begin in March.
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        var text = "\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))T"
        text += "\(pad(rest / 3_600_000, 2)):\(pad(rest / 60_000 % 60, 2)):\(pad(rest / 1000 % 60, 2))"
        if rest % 1000 != 0 { text += ".\(pad(rest % 1000, 3))" }
        return text + "Z"
    }

    /// Milliseconds of `YYYY-MM-DDTHH:MM:SSZ` (1970 to 2100) or of a bare number; nil when it is neither.
    public static func parseMoment(_ text: String) -> Int64? {
        let latest: Int64 = 4_102_444_800_000
        if let number = Int64(text) { return (0...latest).contains(number) ? number : nil }
        let bytes = Array(text.utf8)
        guard bytes.count == 20 else { return nil }
        for (index, byte) in "0000-00-00T00:00:00Z".utf8.enumerated() where byte != UInt8(ascii: "0") {
            guard bytes[index] == byte else { return nil }
        }
        func field(_ start: Int, _ count: Int) -> Int64? {
            var value: Int64 = 0
            for byte in bytes[start..<start + count] {
                guard (0x30...0x39).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - 0x30)
            }
            return value
        }
        guard let year = field(0, 4), let month = field(5, 2), let day = field(8, 2), let hour = field(11, 2),
            let minute = field(14, 2), let second = field(17, 2),
            (1970...2099).contains(year), (1...12).contains(month), day >= 1, hour < 24, minute < 60, second < 60
        else { return nil }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths: [Int64] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard day <= lengths[Int(month) - 1] else { return nil }
        var days: Int64 = 0
        for other in 1970..<year {
            days += other % 4 == 0 && (other % 100 != 0 || other % 400 == 0) ? 366 : 365
        }
        days += lengths[..<(Int(month) - 1)].reduce(0, +) + day - 1
        return ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000
    }

    private static func pad(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
