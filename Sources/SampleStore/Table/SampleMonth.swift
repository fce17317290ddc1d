// SampleMonth.swift - the month that a partition covers (docs/format/sample-store.md, 7). UTC.

/// A calendar month.
struct SampleMonth: Hashable, Comparable, Sendable {
    /// First and last millisecond.
    let startMs: Int64, endMs: Int64
    /// `YYYY_MM`.
    let name: String

    private init(year: Int, month: Int) {
        startMs = CivilTime.startMs(year: year, month: month, day: 1)
        endMs =
            month == 12
            ? CivilTime.startMs(year: year + 1, month: 1, day: 1) - 1
            : CivilTime.startMs(year: year, month: month + 1, day: 1) - 1
        let digits = String(year)
        name =
            String(repeating: "0", count: max(4 - digits.utf8.count, 0)) + digits
            + (month < 10 ? "_0" : "_")
            + "\(month)"
    }

    /// What lies before the year 0 and after the year 9999: no partition, but a month to those who group rows.
    private static let before = SampleMonth(.min, SampleMonth(year: 0, month: 1).startMs - 1, "0000_00")
    private static let after = SampleMonth(SampleMonth(year: 9999, month: 12).endMs + 1, .max, "9999_13")

    private init(_ startMs: Int64, _ endMs: Int64, _ name: String) {
        self.startMs = startMs
        self.endMs = endMs
        self.name = name
    }

    /// The month of a timestamp, Unix milliseconds.
    init(timestampMs: Int64) {
        for outside in [SampleMonth.before, SampleMonth.after] where outside.contains(timestampMs) {
            self = outside
            return
        }
        let time = CivilTime(timestampMs: timestampMs)
        self.init(year: time.year, month: time.month)
    }

    /// The month with this name; nil when it is none: four digits, `_`, two digits 01...12.
    init?(name: String) {
        let bytes = Array(name.utf8)
        guard bytes.count == 7, bytes[4] == UInt8(ascii: "_") else { return nil }
        var digits: [Int] = []
        for index in [0, 1, 2, 3, 5, 6] {
            guard bytes[index] >= UInt8(ascii: "0"), bytes[index] <= UInt8(ascii: "9") else { return nil }
            digits.append(Int(bytes[index] - UInt8(ascii: "0")))
        }
        let month = digits[4] * 10 + digits[5]
        guard month >= 1, month <= 12 else { return nil }
        self.init(year: digits[0] * 1000 + digits[1] * 100 + digits[2] * 10 + digits[3], month: month)
    }

    /// Tells whether a timestamp lies in the month.
    @inline(__always) func contains(_ timestampMs: Int64) -> Bool {
        timestampMs >= startMs && timestampMs <= endMs
    }

    /// Tells whether the month has a moment between two timestamps, both included.
    func overlaps(_ minTimestamp: Int64, _ maxTimestamp: Int64) -> Bool {
        endMs >= minTimestamp && startMs <= maxTimestamp
    }

    static func < (a: SampleMonth, b: SampleMonth) -> Bool { a.startMs < b.startMs }
}
