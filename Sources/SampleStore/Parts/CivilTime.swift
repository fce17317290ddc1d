// CivilTime.swift - calendar dates of timestamps, UTC, without a library for dates.
//
// Days are counted from 0000-03-01, so that the leap day is the last day of a year and a month's first day follows from
// its number by one multiplication: 153 days every five months. Proleptic Gregorian calendar, any year.

/// A date and a time of day in UTC.
public struct CivilTime: Equatable, Sendable {
    /// Year, month (1...12) and day (1...31).
    public var year: Int, month: Int, day: Int
    /// Time of day.
    public var hour: Int, minute: Int, second: Int, millisecond: Int

    private static let dayMs: Int64 = 86_400_000
    /// Days of 400 years.
    private static let eraDays = 146_097
    /// Days from 0000-03-01 to 1970-01-01.
    private static let epochDays = 719_468

    /// The date and time of a timestamp in Unix milliseconds.
    public init(timestampMs: Int64) {
        var days = Int(timestampMs / CivilTime.dayMs)
        var rest = Int(timestampMs % CivilTime.dayMs)
        if rest < 0 {
            rest += Int(CivilTime.dayMs)
            days -= 1
        }
        days += CivilTime.epochDays
        let era = (days >= 0 ? days : days - CivilTime.eraDays + 1) / CivilTime.eraDays
        let dayOfEra = days - era * CivilTime.eraDays
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shifted + 2) / 5 + 1
        month = shifted < 10 ? shifted + 3 : shifted - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        hour = rest / 3_600_000
        minute = rest / 60_000 % 60
        second = rest / 1000 % 60
        millisecond = rest % 1000
    }

    /// Unix milliseconds of the first moment of a day; `month` and `day` are those of a calendar.
    static func startMs(year: Int, month: Int, day: Int) -> Int64 {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return Int64(era * eraDays + dayOfEra - epochDays) * dayMs
    }

    /// Days of a month, 1...12.
    static func days(year: Int, month: Int) -> Int {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        return month == 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
    }

    // MARK: YYYYMMDDhhmmss.mmm

    /// Unix milliseconds of a text as part names have it; nil for anything else, and for dates that do not exist. The
    /// point may be a comma (docs/format/sample-store.md, 5.1).
    static func parse(_ text: Substring.UTF8View) -> Int64? {
        let bytes = Array(text)
        guard bytes.count == 18, bytes[14] == UInt8(ascii: ".") || bytes[14] == UInt8(ascii: ",") else { return nil }
        func number(_ range: Range<Int>) -> Int? {
            var value = 0
            for index in range {
                guard bytes[index] >= UInt8(ascii: "0"), bytes[index] <= UInt8(ascii: "9") else { return nil }
                value = value * 10 + Int(bytes[index] - UInt8(ascii: "0"))
            }
            return value
        }
        guard let year = number(0..<4), let month = number(4..<6), let day = number(6..<8), let hour = number(8..<10),
            let minute = number(10..<12), let second = number(12..<14), let millisecond = number(15..<18),
            month >= 1, month <= 12, day >= 1, day <= days(year: year, month: month), hour < 24, minute < 60,
            second < 60
        else { return nil }
        let time = ((hour * 60 + minute) * 60 + second) * 1000 + millisecond
        return startMs(year: year, month: month, day: day) + Int64(time)
    }

    /// The text that part names have: `YYYYMMDDhhmmss.mmm`.
    public var text: String {
        var bytes: [UInt8] = []
        CivilTime.append(year, digits: 4, to: &bytes)
        for field in [month, day, hour, minute, second] { CivilTime.append(field, digits: 2, to: &bytes) }
        bytes.append(UInt8(ascii: "."))
        CivilTime.append(millisecond, digits: 3, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func append(_ value: Int, digits: Int, to bytes: inout [UInt8]) {
        let text = String(value)
        for _ in 0..<max(digits - text.utf8.count, 0) { bytes.append(UInt8(ascii: "0")) }
        bytes += Array(text.utf8)
    }
}
