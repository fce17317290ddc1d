// SampleIndexBlock.swift - index blocks and the metaindex of a part (docs/format/sample-store.md, 5.3, 6.1, 6.2).
//
//   index.bin      frames of zstd, each holding whole block headers (89 bytes) in order of (TSID, MinTimestamp)
//   metaindex.bin  one frame with a row for each of them:
//
//     offset 0   TSID of the first header, 32 bytes     36  smallest MinTimestamp  i64 zigzag     52  offset of the frame  u64
//           32   number of headers, u32                 44  largest MaxTimestamp   i64 zigzag     60  size of the frame    u32
//
// Both are decoded as a whole into arrays of plain values, so that searching them touches no bytes of the format.
//
// Threads: immutable once made.

import StorageBytes

/// The headers of an index block, as random access reads them.
final class SampleIndexBlock: @unchecked Sendable {
    private let headers: UnsafeMutableBufferPointer<SampleBlockHeader>

    /// Parses a decompressed index block.
    ///
    /// - Parameter count: The number of headers that the metaindex announces.
    /// - Throws: what a header throws; `.inconsistent` for another number of headers, `.unsorted` when TSIDs descend.
    init(_ payload: UnsafeRawBufferPointer, count: Int) throws(DecodeError) {
        let size = SampleBlockHeader.storedBytes
        guard payload.count % size == 0 else { throw .truncated }
        guard payload.count / size == count, count > 0 else { throw .inconsistent }
        let decoded = UnsafeMutableBufferPointer<SampleBlockHeader>.allocate(capacity: count)
        do throws(DecodeError) {
            for index in 0..<count {
                let header = try SampleBlockHeader(
                    UnsafeRawBufferPointer(rebasing: payload[(index * size)..<((index + 1) * size)]))
                if index > 0, header.tsid < decoded[index - 1].tsid { throw .unsorted }
                decoded.initializeElement(at: index, to: header)
            }
        } catch {
            decoded.deallocate()
            throw error
        }
        headers = decoded
    }

    deinit { headers.deallocate() }

    var count: Int { headers.count }

    /// Bytes of memory.
    var memoryBytes: Int { headers.count * MemoryLayout<SampleBlockHeader>.stride + 64 }

    subscript(index: Int) -> SampleBlockHeader { headers[index] }

    /// Position of the first header whose TSID is not below `tsid`, in `0...count`.
    func lowerBound(_ tsid: TSID) -> Int {
        var first = 0
        var length = headers.count
        while length > 0 {
            let half = length &>> 1
            if headers[first &+ half].tsid < tsid {
                first &+= half &+ 1
                length &-= half &+ 1
            } else {
                length = half
            }
        }
        return first
    }
}

/// A row of the metaindex: one index block.
struct SampleMetaindexRow: Equatable, Sendable {
    /// The first series in the block.
    var tsid: TSID
    /// Headers in the block, 1 or more.
    var headersCount: UInt32
    /// Bounds of the timestamps of its headers.
    var minTimestamp: Int64, maxTimestamp: Int64
    /// The frame in `index.bin`.
    var offset: UInt64, size: UInt32

    static let storedBytes = 64

    init(
        tsid: TSID, headersCount: UInt32, minTimestamp: Int64, maxTimestamp: Int64, offset: UInt64, size: UInt32
    ) {
        self.tsid = tsid
        self.headersCount = headersCount
        self.minTimestamp = minTimestamp
        self.maxTimestamp = maxTimestamp
        self.offset = offset
        self.size = size
    }

    /// Reads the stored form from the first 64 of `bytes`. Throws `.truncated`; `.outOfRange` for an empty block or the
    /// size of its frame.
    init(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) {
        guard bytes.count >= SampleMetaindexRow.storedBytes, let start = bytes.baseAddress else { throw .truncated }
        tsid = TSID(loading: start)
        headersCount = BigEndian.load32(start + 32)
        minTimestamp = ZigZag.decode(BigEndian.load64(start + 36))
        maxTimestamp = ZigZag.decode(BigEndian.load64(start + 44))
        offset = BigEndian.load64(start + 52)
        size = BigEndian.load32(start + 60)
        guard headersCount > 0, size <= SampleLimits.storedBytesMax else { throw .outOfRange }
    }

    /// Appends the stored form.
    func encode(into target: inout RawBuffer) {
        target.reserve(SampleMetaindexRow.storedBytes)
        let start = target.end
        tsid.store(at: start)
        BigEndian.store32(headersCount, at: start + 32)
        BigEndian.store64(ZigZag.encode(minTimestamp), at: start + 36)
        BigEndian.store64(ZigZag.encode(maxTimestamp), at: start + 44)
        BigEndian.store64(offset, at: start + 52)
        BigEndian.store32(size, at: start + 60)
        target.commit(SampleMetaindexRow.storedBytes)
    }

    /// Tells whether the block may have rows between two timestamps, both included.
    func overlaps(_ minTimestamp: Int64, _ maxTimestamp: Int64) -> Bool {
        self.maxTimestamp >= minTimestamp && self.minTimestamp <= maxTimestamp
    }
}

/// The metaindex of an open part.
struct SampleMetaindex: Sendable {
    let rows: [SampleMetaindexRow]

    /// Parses a decompressed metaindex.
    ///
    /// - Throws: what a row throws; `.truncated` without rows, `.unsorted` when TSIDs descend.
    init(_ payload: UnsafeRawBufferPointer) throws(DecodeError) {
        let size = SampleMetaindexRow.storedBytes
        guard payload.count > 0, payload.count % size == 0 else { throw .truncated }
        var rows: [SampleMetaindexRow] = []
        rows.reserveCapacity(payload.count / size)
        for start in stride(from: 0, to: payload.count, by: size) {
            let row = try SampleMetaindexRow(UnsafeRawBufferPointer(rebasing: payload[start..<(start + size)]))
            if let last = rows.last, row.tsid < last.tsid { throw .unsorted }
            rows.append(row)
        }
        self.rows = rows
    }

    /// The first row whose block can hold blocks of a series: the last row below `tsid`, since the series may start in
    /// the middle of that block, or the first one.
    func firstRow(mayHold tsid: TSID) -> Int {
        var first = 0
        var length = rows.count
        while length > 0 {
            let half = length / 2
            if rows[first + half].tsid < tsid {
                first += half + 1
                length -= half + 1
            } else {
                length = half
            }
        }
        return max(first - 1, 0)
    }
}
