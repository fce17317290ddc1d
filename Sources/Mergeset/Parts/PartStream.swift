// PartStream.swift - reads a part from beginning to end, as a merge does (docs/format/mergeset-table.md, 6, "stream").
//
//   nextBlock()    header of the next block; its stored bytes are at hand, not decoded
//   decode()       the items of that block
//
// The offsets in the headers are ignored: blocks, lengths and index blocks are contiguous. The files are read in large
// pieces, and what was read may leave the page cache: the part goes when the merge has ended. What a search does not notice is checked here: counts of blocks and items, first and last item of the part, and
// the order between neighbouring blocks, without which a merge would write an unsorted part.
//
// Threads: one owner.

import StorageBytes
import StorageFiles
import StorageRuntime

/// A part being read from beginning to end.
struct PartStream: ~Copyable {
    let part: FilePart
    private var indexReader: SequentialReader
    private var itemsReader: SequentialReader
    private var lensReader: SequentialReader

    private var row = 0
    private var headersLeft = 0
    private var headers = RawBuffer(capacity: Limits.indexBlockBytesMin)
    private var headersPosition = 0
    private var blocksRead = 0
    private var itemsRead: UInt64 = 0

    /// Header, strings and stored bytes of the block reached by ``nextBlock()``.
    private(set) var header = BlockHeader(
        marshalType: .plain, itemsCount: 0, itemsOffset: 0, lensOffset: 0, itemsSize: 0, lensSize: 0)
    private var commonPrefixOffset = 0
    private var commonPrefixCount = 0
    private var firstItemOffset = 0
    private var firstItemCount = 0
    private(set) var itemsData = UnsafeRawBufferPointer(start: nil, count: 0)
    private(set) var lensData = UnsafeRawBufferPointer(start: nil, count: 0)

    /// The decoded items of the block, after ``decode()``.
    private(set) var items = DecodedItems()
    private var scratch = BlockScratch()

    init(_ part: FilePart) {
        self.part = part
        indexReader = SequentialReader(part.index, isForgetting: true)
        itemsReader = SequentialReader(part.items, isForgetting: true)
        lensReader = SequentialReader(part.lens, isForgetting: true)
    }

    /// The first item of the block; valid until the next block.
    var firstItem: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: headers.base + firstItemOffset, count: firstItemCount)
    }

    /// The common prefix of the block; valid until the next block.
    var commonPrefix: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: headers.base + commonPrefixOffset, count: commonPrefixCount)
    }

    /// Moves to the next block; false at the end of the part, whose counts and last item have been checked then.
    ///
    /// - Parameter last: The last item of the block before, which the next one must not precede; nil when it is not
    ///   known (a block that was copied as it was).
    mutating func nextBlock(after last: UnsafeRawBufferPointer?) throws(StorageError) -> Bool {
        if headersLeft == 0 {
            guard row < part.metaindex.count else {
                try checkEnd(last)
                return false
            }
            try loadHeaders()
        }
        let blockOffset = itemsReader.offset
        var cursor = ByteCursor(UnsafeRawBufferPointer(rebasing: headers.bytes[headersPosition...]))
        let base = UnsafeRawPointer(headers.base)
        do throws(DecodeError) {
            let (header, commonPrefix, firstItem) = try BlockHeader.decode(&cursor)
            self.header = header
            commonPrefixOffset = commonPrefix.baseAddress.map { $0 - base } ?? 0
            commonPrefixCount = commonPrefix.count
            firstItemOffset = firstItem.baseAddress.map { $0 - base } ?? 0
            firstItemCount = firstItem.count
            headersPosition = headers.count - cursor.remaining
            headersLeft -= 1
            if headersLeft == 0 { try cursor.finish() }
        } catch {
            throw StorageError(
                .corrupted, "block header \(blocksRead) does not decode: \(error)", path: part.index.path,
                offset: indexReader.offset)
        }
        itemsRead += UInt64(header.itemsCount)
        guard itemsRead <= part.metadata.itemsCount else {
            throw StorageError(
                .corrupted, "the part has more items than the \(part.metadata.itemsCount) announced",
                path: part.index.path)
        }
        if blocksRead == 0 {
            guard part.metadata.firstItem.elementsEqual(firstItem) else {
                throw StorageError(
                    .corrupted, "the first item is not the one in metadata.json", path: part.path)
            }
        } else if let last, Bytes.compare(last, firstItem) > 0 {
            throw StorageError(
                .corrupted, "block \(blocksRead) starts before the end of the block before it", path: part.items.path,
                offset: blockOffset)
        }
        blocksRead += 1
        itemsData = try itemsReader.next(Int(header.itemsSize))
        lensData = try lensReader.next(Int(header.lensSize))
        return true
    }

    private mutating func loadHeaders() throws(StorageError) {
        let place = part.metaindex[row]
        let offset = indexReader.offset
        let stored = try indexReader.next(place.size)
        headers.removeAll()
        headersPosition = 0
        do throws(DecodeError) {
            try Zstd.decompress(stored, into: &headers, limitBytes: Limits.indexBlockDecodedBytesMax)
        } catch {
            throw StorageError(
                .corrupted, "index block \(row) does not decode: \(error)", path: part.index.path, offset: offset)
        }
        headersLeft = place.headersCount
        row += 1
    }

    private func checkEnd(_ last: UnsafeRawBufferPointer?) throws(StorageError) {
        guard itemsRead == part.metadata.itemsCount else {
            throw StorageError(
                .corrupted, "the part has \(itemsRead) items, \(part.metadata.itemsCount) are announced",
                path: part.path)
        }
        if let last, !part.metadata.lastItem.elementsEqual(last) {
            throw StorageError(.corrupted, "the last item is not the one in metadata.json", path: part.path)
        }
    }

    /// Decodes the items of the block into ``items``.
    mutating func decode() throws(StorageError) {
        do throws(DecodeError) {
            try items.decode(
                header, commonPrefix: commonPrefix, firstItem: firstItem, itemsData: itemsData, lensData: lensData,
                scratch: &scratch)
        } catch {
            throw FilePart.undecodable(blocksRead - 1, header, error, part.items.path)
        }
        // Blocks above 64 KiB are legal for readers; items above it are not (10).
        guard items.dataBytes > Limits.blockBytesMax else { return }
        for index in 0..<items.count where items[index].count > Limits.itemBytesMax {
            throw StorageError(
                .corrupted, "block \(blocksRead - 1) holds an item of \(items[index].count) bytes",
                path: part.items.path, offset: itemsReader.offset - Int(header.itemsSize))
        }
    }

    /// An item that no item of the block exceeds: the first item of the next block, or the last item of the part. nil
    /// when the next header is not at hand.
    func upperBound() -> (UnsafeRawBufferPointer?, last: [UInt8]?) {
        if headersLeft > 0 {
            var cursor = ByteCursor(UnsafeRawBufferPointer(rebasing: headers.bytes[headersPosition...]))
            guard let next = try? BlockHeader.decode(&cursor) else { return (nil, nil) }
            return (next.firstItem, nil)
        }
        if row < part.metaindex.count { return (part.metaindex.firstItem(row), nil) }
        return (nil, part.metadata.lastItem)
    }
}
