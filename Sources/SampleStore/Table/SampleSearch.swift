// SampleSearch.swift - blocks of many series out of all parts of a table, in order.

import StorageBytes
import StorageRuntime

/// A search in a table of samples. One owner; keeps parts alive.
public final class SampleSearch {
    init() {}

    /// Moves to the next block, in the order (TSID, MinTimestamp): blocks of a series are adjacent, blocks with equal keys in
    /// any order. False when there are no more.
    ///
    /// - Throws: `.deadlineExceeded`, `.corrupted` with the file of a part, `.io`. The search is over then.
    public func next() throws(StorageError) -> Bool { fatalError("not yet") }

    /// The block reached by ``next()``. Of a part in memory, offsets, sizes and types are those of no data until it is read.
    public var header: SampleBlockHeader { fatalError("not yet") }

    /// The bytes of the block reached by ``next()``; valid until the next call.
    ///
    /// - Throws: `.corrupted`, `.io`.
    public func read() throws(StorageError) -> StoredSampleBlock { fatalError("not yet") }
}
