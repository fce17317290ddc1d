// StorageSearch.swift - blocks of series with the names of the series (docs/format/sample-store.md, 14.3).
//
//   search(from:to:deadline:find:)      a place among 2 x CPUs  ->  find: TSIDs of the series  ->  SampleTable.search
//     next()                        the next block whose series has a name
//       metricName                  kept while blocks of one series follow each other
//       header, read()              what goes over the wire: nothing is decoded and no bytes are copied
//
// The place is held while the series are looked for and the search is set up, and given back before the first block.
// Deadline and pause are those of the SampleSearch: before the first block, and once in some thousands.
//
// Threads: one owner.

import SampleStore
import StorageBytes
import StorageRuntime
import Synchronization

/// A search over a storage. Keeps what it reads alive, also when the storage is closed meanwhile; names cannot be looked
/// up any more then.
public final class StorageSearch {
    private let engine: StorageEngine
    private let blocks: SampleSearch
    private var name = RawBuffer(capacity: 512)
    private var series: TSID?
    private var isNamed = false

    init(_ engine: StorageEngine, _ blocks: SampleSearch) {
        self.engine = engine
        self.blocks = blocks
    }

    /// Moves to the next block, in the order (TSID, first timestamp): blocks of a series are adjacent. Blocks are whole:
    /// they may have rows outside of the range. Blocks of series that the index does not know are skipped and counted.
    ///
    /// - Throws: `.deadlineExceeded`, `.corrupted`, `.io`, `.closed`. The search is over then.
    public func next() throws(StorageError) -> Bool {
        while try blocks.next() {
            let tsid = blocks.header.tsid
            if series != tsid {
                series = tsid
                isNamed = try engine.readMetricName(of: tsid.metricID, tenant: tsid.tenant, into: &name)
                if !isNamed { engine.seriesWithoutName.wrappingAdd(1, ordering: .relaxed) }
            }
            if isNamed { return true }
            engine.blocksWithoutName.wrappingAdd(1, ordering: .relaxed)
        }
        return false
    }

    /// The canonical name of the series of the block reached by ``next()``; valid until the next call.
    public var metricName: UnsafeRawBufferPointer { name.bytes }

    /// The header of the block reached by ``next()``. Of rows that are not in files yet, sizes and types are those of no data
    /// until the block is read.
    public var header: SampleBlockHeader { blocks.header }

    /// The bytes of the block reached by ``next()``, as they are stored; valid until the next call.
    ///
    /// - Throws: `.corrupted`, `.io`.
    public func read() throws(StorageError) -> StoredSampleBlock { try blocks.read() }
}

extension StorageEngine {
    /// Searches the blocks of series with rows between two timestamps, both included.
    ///
    /// - Parameters:
    ///   - find: Gives the series, in ascending order and of one tenant. Called once, while the search holds its place.
    ///   - deadline: Also of the wait for the place.
    /// - Throws: `.overloaded` when there was no place before the deadline; `.closed`; what `find` throws.
    public func search(
        minTimestampMs: Int64, maxTimestampMs: Int64, deadline: Deadline = .never,
        find: () throws(StorageError) -> [TSID]
    ) throws(StorageError) -> StorageSearch {
        let samples = try sampleTable()
        guard searchAdmission.enter(deadline: deadline) else {
            throw StorageError(
                .overloaded,
                "cannot search for series: more than \(searchAdmission.capacity) searches are running, and none has ended "
                    + "before the deadline; add more CPUs or reduce load")
        }
        defer { searchAdmission.leave() }
        let tsids = try find()
        return StorageSearch(
            self,
            samples.search(tsids, minTimestamp: minTimestampMs, maxTimestamp: maxTimestampMs, deadline: deadline))
    }

    /// Searches the blocks of given series, in ascending order.
    public func search(
        _ tsids: [TSID], minTimestampMs: Int64, maxTimestampMs: Int64, deadline: Deadline = .never
    ) throws(StorageError) -> StorageSearch {
        try search(minTimestampMs: minTimestampMs, maxTimestampMs: maxTimestampMs, deadline: deadline) { tsids }
    }
}
