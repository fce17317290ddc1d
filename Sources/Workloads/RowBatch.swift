// RowBatch.swift - up to 1000 rows in columns, filled again and again.
//
//   names        | raw name | raw name | ...                 one RawBuffer; empty when the stream leaves names out
//   offsets      UInt32 x rows, lengths UInt32 x rows         where each name is
//   timestamps   Int64 x rows    Unix milliseconds
//   values       Double x rows
//   series       UInt32 x rows   number of the series in its stream, in order of first appearance from 0
//   isNew        UInt8 x rows    1 on rows of series that are new in this round
//
// Contract: the batch owns its memory; its pointers are valid until the next fill and its end. Rows `0..<count` are
// defined. Threads: one owner at a time; rows of several threads need several batches.

import StorageBytes

/// Rows as the generator hands them to the engine.
public struct RowBatch: ~Copyable, @unchecked Sendable {
    /// Rows of a full batch when nothing else is asked for.
    public static let rowsDefault = 1000

    /// The names, one behind the other.
    public internal(set) var names: RawBuffer
    /// First byte of each row's name in ``names``.
    public let offsets: UnsafeMutablePointer<UInt32>
    /// Bytes of each row's name.
    public let lengths: UnsafeMutablePointer<UInt32>
    /// Unix milliseconds of each row.
    public let timestampsMs: UnsafeMutablePointer<Int64>
    /// Value of each row.
    public let values: UnsafeMutablePointer<Double>
    /// Number of each row's series.
    public let series: UnsafeMutablePointer<UInt32>
    /// 1 on rows of series that begin in this round.
    public let isNew: UnsafeMutablePointer<UInt8>
    /// Most rows.
    public let capacity: Int
    /// Rows.
    public internal(set) var count = 0
    /// The round that all rows are of.
    public internal(set) var round = 0

    /// An empty batch of at most `capacity` rows.
    public init(capacity: Int = RowBatch.rowsDefault) {
        precondition(capacity > 0, "a batch of \(capacity) rows")
        self.capacity = capacity
        names = RawBuffer()
        offsets = .allocate(capacity: capacity)
        lengths = .allocate(capacity: capacity)
        timestampsMs = .allocate(capacity: capacity)
        values = .allocate(capacity: capacity)
        series = .allocate(capacity: capacity)
        isNew = .allocate(capacity: capacity)
    }

    deinit {
        offsets.deallocate()
        lengths.deallocate()
        timestampsMs.deallocate()
        values.deallocate()
        series.deallocate()
        isNew.deallocate()
    }

    /// Raw name of a row. Valid until the batch is filled again.
    public func name(_ row: Int) -> UnsafeRawBufferPointer {
        precondition(row >= 0 && row < count, "row \(row) of \(count)")
        return UnsafeRawBufferPointer(start: names.base + Int(offsets[row]), count: Int(lengths[row]))
    }

    mutating func clear() {
        names.removeAll()
        count = 0
    }
}
