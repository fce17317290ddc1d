// DateMath.swift - days and hours of timestamps. All of them are counted from 1970-01-01 UTC.
//
// A timestamp is taken as an unsigned number of milliseconds, as the format does (docs/format/series-index.md, 0), so
// negative timestamps land far in the future instead of before the epoch; admission refuses them long before.

/// Days, hours and the share of the day that has passed.
public enum DateMath {
    /// Milliseconds of a day.
    public static let dayMs: UInt64 = 86_400_000
    /// Milliseconds of an hour.
    public static let hourMs: UInt64 = 3_600_000

    /// The day of a timestamp: `floor(timestampMs / 86 400 000)`.
    @inlinable public static func date(timestampMs: Int64) -> UInt64 { UInt64(bitPattern: timestampMs) / dayMs }

    /// The hour of a timestamp: `floor(timestampMs / 3 600 000)`.
    @inlinable public static func hour(timestampMs: Int64) -> UInt64 { UInt64(bitPattern: timestampMs) / hourMs }

    /// The day that an hour belongs to.
    @inlinable public static func date(hour: UInt64) -> UInt64 { hour / 24 }

    /// The first millisecond of a day. `date` is one that ``date(timestampMs:)`` can give.
    @inlinable public static func startMs(date: UInt64) -> Int64 { Int64(bitPattern: date &* dayMs) }

    /// The part of the day that has passed, in 1/65536: series whose low 16 id bits are below it are registered for
    /// the next day ahead of time (docs/format/series-index.md, 6.8).
    @inlinable public static func dayShare(nowSeconds: UInt64) -> UInt64 { ((nowSeconds % 86_400) << 16) / 86_400 }
}
