// MetricRow.swift - what goes into the engine, and what comes out of it for the samples.
//
//   MetricRow   a raw metric name, a timestamp, a value: as a client sends it; the name stays the caller's memory
//   SampleRow   the same with the name replaced by the TSID: as the sample store keeps it
//
// Threads: plain values. The bytes of a raw name must stay alive and unchanged until the call that was given the row
// has returned.

import SampleStore
import SeriesIndex
import StorageBytes
import StorageRuntime
import Synchronization

/// A row as it arrives (docs/format/series-index.md, 6.1).
@frozen public struct MetricRow {
    /// First byte of the raw metric name.
    public var nameStart: UnsafeRawPointer
    /// Bytes of the raw metric name.
    public var nameCount: Int
    /// Unix milliseconds.
    public var timestampMs: Int64
    /// The value.
    public var value: Double

    /// A row. `name` is not empty, and stays alive as long as the row is used.
    @inlinable public init(name: UnsafeRawBufferPointer, timestampMs: Int64, value: Double) {
        nameStart = name.baseAddress.unsafelyUnwrapped
        nameCount = name.count
        self.timestampMs = timestampMs
        self.value = value
    }

    /// The raw metric name.
    @inlinable public var name: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nameStart, count: nameCount) }
}

/// A row as the sample store takes it.
public typealias SampleRow = SampleStore.SampleRow

/// Takes accepted rows in place of the sample table, for measuring the index part alone. Called by several threads at once,
/// in the middle of adding rows: a sink must not call the storage that it belongs to, which could wait for the call to end.
public protocol SampleSink: AnyObject, Sendable {
    /// Takes rows in the order in which they were accepted. `rows` is valid during the call only.
    ///
    /// - Parameter precisionBits: 1...64, how many bits of a value are to be kept.
    func add(_ rows: UnsafeBufferPointer<SampleRow>, precisionBits: Int) throws(StorageError)
}

/// Counts rows and forgets them.
public final class CountingSampleSink: SampleSink {
    private let count = Atomic<UInt64>(0)

    /// A sink that has seen nothing.
    public init() {}

    /// Rows taken so far.
    public var rows: UInt64 { count.load(ordering: .relaxed) }

    public func add(_ rows: UnsafeBufferPointer<SampleRow>, precisionBits: Int) throws(StorageError) {
        count.wrappingAdd(UInt64(rows.count), ordering: .relaxed)
    }
}
