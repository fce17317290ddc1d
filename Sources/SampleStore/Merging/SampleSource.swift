// SampleSource.swift - all blocks of a part from beginning to end, as a merge reads them
// (docs/format/sample-store.md, 6.3).
//
//   advance()   header of the next block; its data is at hand: encoded (file) or as columns (memory)
//
// A file is read in large pieces and checked as it goes by: places without gaps, counts and bounds against the name. The
// data of a block is not decoded here. Timestamps that a block shares with the one before are the piece read last, which
// stays valid because nothing is read in between.
//
// Threads: one owner.

import CIntrinsics
import StorageBytes
import StorageFiles
import StorageRuntime

/// The blocks of a part in order.
public class SampleSource {
    /// The block at hand. Behind a pointer, since a merge of small blocks spends much of its time on moving sources, and
    /// each access to a field of a class is checked at run time.
    struct Current {
        var header: SampleBlockHeader
        /// Data as stored, valid until the next call; empty of a block with columns.
        var timestampsData = UnsafeRawBufferPointer(start: nil, count: 0)
        var valuesData = UnsafeRawBufferPointer(start: nil, count: 0)
        /// Rows, of a part in memory.
        var columns: (timestamps: UnsafePointer<Int64>, values: UnsafePointer<Int64>)?
        /// Blocks read.
        var position = 0
    }

    /// What the part holds.
    public final let totals: SampleTotals
    final let current: UnsafeMutablePointer<Current>

    /// The block reached by ``advance()``.
    public final var header: SampleBlockHeader { current.pointee.header }

    init(totals: SampleTotals) {
        self.totals = totals
        let nothing = TSID(
            tenant: Tenant(bits: 0), metricGroupID: 0, jobID: 0, instanceID: 0, metricID: 0)
        current = .allocate(capacity: 1)
        current.initialize(to: Current(header: SampleBlockHeader(tsid: nothing)))
    }

    deinit { current.deallocate() }

    /// Moves to the next block; false at the end.
    ///
    /// - Throws: `.corrupted`, `.io`.
    public func advance() throws(StorageError) -> Bool { fatalError("of a subclass") }

    /// The error for a block whose data does not decode.
    func undecodable(_ header: SampleBlockHeader, _ reason: DecodeError) -> StorageError {
        StorageError(.corrupted, "a block of \(header.rowsCount) rows does not decode: \(reason)")
    }

    /// An error about the order of blocks.
    func unsorted() -> StorageError {
        StorageError(.corrupted, "blocks are not in the order of their series")
    }
}

/// The blocks of a part in memory.
final class MemorySampleSource: SampleSource {
    private let part: MemorySamplePart

    init(_ part: MemorySamplePart) {
        self.part = part
        super.init(totals: part.totals)
    }

    override func advance() throws(StorageError) -> Bool {
        let position = current.pointee.position
        guard position < part.blocks.count else { return false }
        // A flush reads three arrays of each of many parts in turn: more streams than the processor follows by itself.
        let ahead = part.blocks.baseAddress.unsafelyUnwrapped + position
        ci_prefetch(ahead + 6)
        ci_prefetch(part.timestamps + Int(ahead.pointee.start) + 48)
        ci_prefetch(part.values + Int(ahead.pointee.start) + 48)
        current.pointee.header = part.header(position)
        let start = Int(part.blocks[position].start)
        current.pointee.columns = (
            UnsafePointer(part.timestamps + start), UnsafePointer(part.values + start)
        )
        current.pointee.position = position &+ 1
        return true
    }
}

/// The blocks of a file part.
final class FileSampleSource: SampleSource {
    /// Behind a pointer, as the block at hand is.
    private struct State: ~Copyable {
        var timestampsReader: SequentialReader
        var valuesReader: SequentialReader
        var indexReader: SequentialReader
        var row = 0
        var headers = RawBuffer(
            capacity: SampleLimits.indexBlockBytesMin + SampleBlockHeader.storedBytes)
        var headersOffset = 0
        var headersPosition = 0
        var headersLeft = 0
        var seen = SampleTotals()
        /// Where the timestamps data at hand begins; nil when it cannot be shared.
        var sharedOffset: UInt64?

        init(_ part: FileSamplePart) {
            timestampsReader = SequentialReader(part.timestamps)
            valuesReader = SequentialReader(part.values)
            indexReader = SequentialReader(part.index)
        }
    }

    private let part: FileSamplePart
    private let state: UnsafeMutablePointer<State>

    init(_ part: FileSamplePart) {
        self.part = part
        state = .allocate(capacity: 1)
        state.initialize(to: State(part))
        super.init(totals: part.totals)
    }

    deinit {
        state.deinitialize(count: 1)
        state.deallocate()
    }

    override func advance() throws(StorageError) -> Bool {
        if state.pointee.headersPosition == state.pointee.headers.count {
            guard state.pointee.headersLeft == 0 else {
                throw corrupted(
                    "index block \(state.pointee.row - 1) has another number of headers than the metaindex announces"
                )
            }
            guard state.pointee.row < part.metaindex.rows.count else { return false }
            try loadHeaders()
        }
        do throws(DecodeError) {
            current.pointee.header = try SampleBlockHeader(
                UnsafeRawBufferPointer(
                    rebasing: state.pointee.headers.bytes[state.pointee.headersPosition...]))
        } catch {
            throw corrupted("block header \(state.pointee.seen.blocks) does not decode: \(error)")
        }
        state.pointee.headersPosition &+= SampleBlockHeader.storedBytes
        state.pointee.headersLeft &-= 1
        let header = current.pointee.header
        try check(header)
        try readTimestamps(header)
        guard header.valuesOffset == UInt64(state.pointee.valuesReader.offset) else {
            throw corrupted(
                "block \(state.pointee.seen.blocks - 1): its values are announced at \(header.valuesOffset)",
                state.pointee.valuesReader)
        }
        current.pointee.valuesData = try state.pointee.valuesReader.next(Int(header.valuesSize))
        return true
    }

    private func loadHeaders() throws(StorageError) {
        let row = state.pointee.row
        let place = part.metaindex.rows[row]
        state.pointee.headersOffset = state.pointee.indexReader.offset
        guard place.offset == UInt64(state.pointee.headersOffset) else {
            throw corrupted(
                "index block \(row) is announced at \(place.offset)", state.pointee.indexReader)
        }
        guard place.minTimestamp >= totals.minTimestamp, place.maxTimestamp <= totals.maxTimestamp
        else {
            throw corrupted("the time range of index block \(row) exceeds that of the part's name")
        }
        let stored = try state.pointee.indexReader.next(Int(place.size))
        state.pointee.headers.removeAll()
        state.pointee.headersPosition = 0
        do throws(DecodeError) {
            try Zstd.decompress(
                stored, into: &state.pointee.headers, limitBytes: SampleLimits.indexBlockDecodedBytesMax)
            if state.pointee.headers.count == 0 { throw .truncated }
        } catch {
            throw corrupted("index block \(row) does not decode: \(error)")
        }
        state.pointee.headersLeft = Int(place.headersCount)
        state.pointee.row += 1
    }

    private func check(_ header: SampleBlockHeader) throws(StorageError) {
        state.pointee.seen.add(header)
        guard state.pointee.seen.blocks <= totals.blocks, state.pointee.seen.rows <= totals.rows else {
            throw corrupted("the part has more rows or blocks than its name says")
        }
        guard header.minTimestamp >= totals.minTimestamp, header.maxTimestamp <= totals.maxTimestamp
        else {
            throw corrupted(
                "the time range of block \(state.pointee.seen.blocks - 1) exceeds that of the part's name")
        }
    }

    private func readTimestamps(_ header: SampleBlockHeader) throws(StorageError) {
        if let sharedOffset = state.pointee.sharedOffset, header.timestampsOffset == sharedOffset {
            guard Int(header.timestampsSize) == current.pointee.timestampsData.count else {
                throw corrupted("block \(state.pointee.seen.blocks - 1) shares timestamps of another size")
            }
            return
        }
        let offset = UInt64(state.pointee.timestampsReader.offset)
        guard header.timestampsOffset == offset else {
            throw corrupted(
                "block \(state.pointee.seen.blocks - 1): its timestamps are announced at \(header.timestampsOffset)",
                state.pointee.timestampsReader)
        }
        current.pointee.timestampsData = try state.pointee.timestampsReader.next(
            Int(header.timestampsSize))
        state.pointee.sharedOffset = header.timestampsSize > 0 ? offset : nil
    }

    /// About the index block at hand.
    private func corrupted(_ message: String) -> StorageError {
        StorageError(.corrupted, message, path: part.index.path, offset: state.pointee.headersOffset)
    }

    /// About the place that a file has been read to.
    private func corrupted(_ message: String, _ reader: borrowing SequentialReader) -> StorageError {
        StorageError(.corrupted, message, path: reader.path, offset: reader.offset)
    }

    override func undecodable(_ header: SampleBlockHeader, _ reason: DecodeError) -> StorageError {
        part.undecodable(header, reason)
    }

    override func unsorted() -> StorageError {
        super.unsorted().at(path: part.index.path, offset: state.pointee.headersOffset)
    }
}
