// SampleRow.swift - a sample on its way into the store.

import StorageBytes

/// A row as the sample store takes it.
@frozen public struct SampleRow: Sendable {
    /// The series.
    public var tsid: TSID
    /// Unix milliseconds.
    public var timestampMs: Int64
    /// The value. NaN only as the stale marker, whose bits are kept.
    public var value: Double

    /// A row.
    @inlinable public init(tsid: TSID, timestampMs: Int64, value: Double) {
        self.tsid = tsid
        self.timestampMs = timestampMs
        self.value = value
    }
}
