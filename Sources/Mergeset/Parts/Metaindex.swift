// Metaindex.swift - the index blocks of a part (docs/format/mergeset-table.md, 4.3).
//
//   metaindex.bin = one ZSTD blob of rows, each: bytes(first item) | u32 block headers | u64 offset | u32 size
//
// Threads: immutable and shared.

import StorageBytes

/// The metaindex rows of a part, in memory as long as the part is open.
final class Metaindex: @unchecked Sendable {
    /// Where an index block lies.
    struct Row {
        var firstItemOffset: Int
        var firstItemCount: Int
        /// Block headers in the index block, and in all index blocks before it.
        var headersCount: Int, headersBefore: Int
        /// The index block in `index.bin`.
        var offset: UInt64, size: Int
    }

    private let payload: RawBuffer
    private let rows: [Row]
    /// The first items once more, one behind the other.
    private let firstItems: RawBuffer
    private let firstItemStarts: UnsafeMutablePointer<UInt32>
    private let keys: SearchKeys
    /// Block headers of all rows.
    let headersCount: Int
    /// Bytes of all index blocks in `index.bin`.
    let storedBytes: Int

    /// Parses a decompressed metaindex.
    init(_ payload: consuming RawBuffer) throws(DecodeError) {
        let (parsed, total, stored) = try Metaindex.parse(payload.bytes)
        rows = parsed
        headersCount = total
        storedBytes = stored
        var strings = RawBuffer(capacity: payload.count)
        let starts = UnsafeMutablePointer<UInt32>.allocate(capacity: parsed.count + 1)
        for (index, row) in parsed.enumerated() {
            starts[index] = UInt32(truncatingIfNeeded: strings.count)
            strings.append(
                UnsafeRawBufferPointer(start: payload.base + row.firstItemOffset, count: row.firstItemCount))
        }
        starts[parsed.count] = UInt32(truncatingIfNeeded: strings.count)
        keys = SearchKeys(count: parsed.count, base: strings.base, offsets: starts)
        firstItemStarts = starts
        firstItems = strings
        self.payload = payload
    }

    deinit { firstItemStarts.deallocate() }

    private static func parse(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) -> ([Row], headers: Int, stored: Int)
    {
        guard let base = bytes.baseAddress, bytes.count > 0 else { throw .truncated }
        var cursor = ByteCursor(bytes)
        var rows: [Row] = []
        var total = 0
        var stored = 0
        var previous = UnsafeRawBufferPointer(start: base, count: 0)
        while cursor.remaining > 0 {
            let firstItem = try cursor.readPrefixed()
            let headers = Int(try cursor.readBigEndian(UInt32.self))
            let offset = try cursor.readBigEndian(UInt64.self)
            let size = Int(try cursor.readBigEndian(UInt32.self))
            // The memory that a part takes while it is open grows with the headers: no more than fit into a block.
            guard headers > 0, headers <= Limits.indexBlockHeadersMax, size <= Limits.indexBlockStoredBytesMax,
                firstItem.count <= Limits.itemBytesMax
            else { throw .outOfRange }
            guard Bytes.compare(previous, firstItem) <= 0 else { throw .unsorted }
            previous = firstItem
            rows.append(
                Row(
                    firstItemOffset: firstItem.baseAddress.map { $0 - base } ?? 0, firstItemCount: firstItem.count,
                    headersCount: headers, headersBefore: total, offset: offset, size: size))
            total += headers
            stored += size
        }
        return (rows, total, stored)
    }

    /// Appends the encoding of a row.
    static func encode(
        firstItem: UnsafeRawBufferPointer, headersCount: Int, offset: UInt64, size: Int, into target: inout RawBuffer
    ) {
        target.appendPrefixed(firstItem)
        target.appendBigEndian(UInt32(headersCount))
        target.appendBigEndian(offset)
        target.appendBigEndian(UInt32(size))
    }

    var count: Int { rows.count }

    subscript(index: Int) -> Row { rows[index] }

    /// Block headers in all index blocks before that of row `index`.
    @inline(__always)
    func headersBefore(_ index: Int) -> Int { rows[index].headersBefore }

    /// First item of row `index`.
    func firstItem(_ index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: payload.base + rows[index].firstItemOffset, count: rows[index].firstItemCount)
    }

    /// Position of the first row whose first item is not smaller than `target`, in `0...count`.
    func lowerBound(_ target: UnsafeRawBufferPointer) -> Int { keys.lowerBound(target) }

    /// The same, and what the target shares with the first item before it.
    func place(_ target: UnsafeRawBufferPointer) -> SearchKeys.Place { keys.find(target, sharedWithFirst: -1) }
}
