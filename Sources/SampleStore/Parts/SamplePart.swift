// SamplePart.swift - what files and memory have in common: an immutable set of blocks that can be searched and merged.
//
//   SamplePart         totals, size; makes cursors (search) and sources (merge)
//     FileSamplePart     a directory; blocks are encoded
//     MemorySamplePart   plain columns; blocks are encoded when somebody asks for their bytes
//
//   SampleCursor       blocks of the series a search wants, in order, within a range of time
//   SampleSource       all blocks from beginning to end (Merging/SampleSource.swift)
//
// Blocks come in the order (TSID, MinTimestamp). Blocks of one series may overlap in time, in one part, too; and where a
// merge has cut rows past retention, a block may start behind the next one.
//
// Threads: parts are shared; a cursor has one owner.

import StorageBytes
import StorageRuntime

/// An immutable set of blocks.
public class SamplePart: @unchecked Sendable {
    /// Rows, blocks, first and last timestamp: of a file, what its name says.
    public let totals: SampleTotals
    /// Bytes on disk, or in memory.
    public let sizeBytes: UInt64
    /// The deduplication interval that was in force when the part was written, milliseconds; 0 of a part in memory.
    public let dedupIntervalMs: Int64

    init(totals: SampleTotals, sizeBytes: UInt64, dedupIntervalMs: Int64) {
        self.totals = totals
        self.sizeBytes = sizeBytes
        self.dedupIntervalMs = dedupIntervalMs
    }

    /// A cursor over blocks that overlap a range of time, both ends included.
    public func cursor(minTimestamp: Int64, maxTimestamp: Int64) -> SampleCursor {
        fatalError("of a subclass")
    }

    /// A source of all blocks for a merge.
    public func source() -> SampleSource { fatalError("of a subclass") }
}

/// A block as it is stored and as it goes over the wire.
public struct StoredSampleBlock {
    /// The header; of a part in memory the offsets are 0.
    public var header: SampleBlockHeader
    /// Timestamps data. Both stay valid until the cursor's next call.
    public var timestamps: UnsafeRawBufferPointer
    /// Values data.
    public var values: UnsafeRawBufferPointer
}

/// Finds the blocks of series in a part.
///
///     for tsid in tsids {                       // ascending
///         try cursor.seek(tsid)
///         while try cursor.next() { use(cursor.header); try send(cursor.read()) }
///     }
public class SampleCursor {
    /// First and last timestamp wanted.
    public let minTimestamp: Int64, maxTimestamp: Int64
    /// The block reached by ``next()``.
    public internal(set) var header = SampleBlockHeader(
        tsid: TSID(
            tenant: Tenant(bits: 0), metricGroupID: 0, jobID: 0, instanceID: 0, metricID: 0))

    init(minTimestamp: Int64, maxTimestamp: Int64) {
        self.minTimestamp = minTimestamp
        self.maxTimestamp = maxTimestamp
    }

    /// Turns to a series. Cheapest when series come in ascending order.
    ///
    /// - Throws: `.corrupted`, `.io`.
    public func seek(_ tsid: TSID) throws(StorageError) { fatalError("of a subclass") }

    /// Moves to the series' next block within the range of time; false when there are no more.
    ///
    /// - Throws: `.corrupted`, `.io`. The cursor can be used for other series afterwards.
    public func next() throws(StorageError) -> Bool { fatalError("of a subclass") }

    /// The bytes of the block reached by ``next()``. They are not decoded: see ``SampleColumns/decode(_:timestamps:values:_:)``.
    ///
    /// - Throws: `.corrupted` when the header points out of the files, `.io`.
    public func read() throws(StorageError) -> StoredSampleBlock { fatalError("of a subclass") }
}
