// HeaderStream.swift - the block headers of a part from beginning to end (docs/format/mergeset-table.md, 4.1 to 4.3).
//
// The offsets in the headers are not used: index blocks, blocks and their lengths are contiguous, so where a block lies
// follows from the sizes of those before it.
//
// Threads: one owner.

import StorageBytes
import StorageFiles
import StorageRuntime

/// The headers of a part, one after the other.
struct HeaderStream: ~Copyable {
    let part: FilePart
    private var reader: SequentialReader
    private var row = 0
    private var headersLeft = 0
    private var headers = RawBuffer(capacity: Limits.indexBlockBytesMin)
    private var position = 0

    /// The header reached by ``next()``.
    private(set) var header = BlockHeader(
        marshalType: .plain, itemsCount: 0, itemsOffset: 0, lensOffset: 0, itemsSize: 0, lensSize: 0)
    private var commonPrefixOffset = 0
    private var commonPrefixCount = 0
    private var firstItemOffset = 0
    private var firstItemCount = 0
    /// Blocks whose headers have been read.
    private(set) var blocksRead = 0
    /// Where the block of this header begins in `items.bin` and `lens.bin`.
    private(set) var itemsStart = 0, lensStart = 0

    /// A stream before the first header. `isForgetting` as for ``SequentialReader``.
    init(_ part: FilePart, isForgetting: Bool = false) {
        self.part = part
        reader = SequentialReader(part.index, isForgetting: isForgetting)
    }

    /// The first item of the block; valid until the next header.
    var firstItem: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: headers.base + firstItemOffset, count: firstItemCount)
    }

    /// The common prefix of the block; valid until the next header.
    var commonPrefix: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: headers.base + commonPrefixOffset, count: commonPrefixCount)
    }

    /// Moves to the next header; false at the end of the part.
    ///
    /// - Throws: `.corrupted` when an index block or a header does not decode; `.io`.
    mutating func next() throws(StorageError) -> Bool {
        if headersLeft == 0 {
            guard row < part.metaindex.count else { return false }
            try loadIndexBlock()
        }
        if blocksRead > 0 {
            itemsStart += Int(header.itemsSize)
            lensStart += Int(header.lensSize)
        }
        var cursor = ByteCursor(UnsafeRawBufferPointer(rebasing: headers.bytes[position...]))
        let base = UnsafeRawPointer(headers.base)
        do throws(DecodeError) {
            let (header, commonPrefix, firstItem) = try BlockHeader.decode(&cursor)
            self.header = header
            commonPrefixOffset = commonPrefix.baseAddress.map { $0 - base } ?? 0
            commonPrefixCount = commonPrefix.count
            firstItemOffset = firstItem.baseAddress.map { $0 - base } ?? 0
            firstItemCount = firstItem.count
            position = headers.count - cursor.remaining
            headersLeft -= 1
            if headersLeft == 0 { try cursor.finish() }
        } catch {
            throw StorageError(
                .corrupted, "block header \(blocksRead) does not decode: \(error)", path: part.index.path,
                offset: reader.offset)
        }
        blocksRead += 1
        return true
    }

    private mutating func loadIndexBlock() throws(StorageError) {
        let place = part.metaindex[row]
        let offset = reader.offset
        let stored = try reader.next(place.size)
        headers.removeAll()
        position = 0
        do throws(DecodeError) {
            try Zstd.decompress(stored, into: &headers, limitBytes: Limits.indexBlockDecodedBytesMax)
        } catch {
            throw StorageError(
                .corrupted, "index block \(row) does not decode: \(error)", path: part.index.path, offset: offset)
        }
        headersLeft = place.headersCount
        row += 1
    }

    /// The first item of the next block, or the last item of the part behind its last block. nil when the next header
    /// is not at hand or does not decode.
    func followingItem() -> (UnsafeRawBufferPointer?, last: [UInt8]?) {
        if headersLeft > 0 {
            var cursor = ByteCursor(UnsafeRawBufferPointer(rebasing: headers.bytes[position...]))
            guard let next = try? BlockHeader.decode(&cursor) else { return (nil, nil) }
            return (next.firstItem, nil)
        }
        if row < part.metaindex.count { return (part.metaindex.firstItem(row), nil) }
        return (nil, part.metadata.lastItem)
    }
}
