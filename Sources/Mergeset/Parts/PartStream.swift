// PartStream.swift - reads a part from beginning to end, as a merge does (docs/format/mergeset-table.md, 6, "stream").
//
//   nextBlock()    header of the next block; its stored bytes are at hand, not decoded
//   decode()       the items of that block
//
// The files are read in large pieces, and what was read may leave the page cache: the part goes when the merge has ended.
// What a search does not notice is checked here: counts of blocks and items, first and last item of the part, and the
// order between neighbouring blocks, without which a merge would write an unsorted part. A stream may leave out the per-day
// tag rows that end a part (DayTwins).
//
// Threads: one owner.

import StorageBytes
import StorageFiles
import StorageRuntime

/// A part being read from beginning to end.
struct PartStream: ~Copyable {
    let part: FilePart
    private var headers: HeaderStream
    private var itemsReader: SequentialReader
    private var lensReader: SequentialReader
    /// Blocks and items that are left out, at the end of the part.
    private let twins: DayTwins?
    private var itemsRead: UInt64 = 0

    /// Stored bytes of the block reached by ``nextBlock()``.
    private(set) var itemsData = UnsafeRawBufferPointer(start: nil, count: 0)
    private(set) var lensData = UnsafeRawBufferPointer(start: nil, count: 0)

    /// The decoded items of the block, after ``decode()``.
    private(set) var items = DecodedItems()
    private var scratch = BlockScratch()

    /// A stream before the first block.
    ///
    /// - Parameter twins: Where the per-day tag rows lie that are to be left out; nil leaves nothing out.
    init(_ part: FilePart, leavingOut twins: DayTwins? = nil) {
        self.part = part
        self.twins = twins
        headers = HeaderStream(part, isForgetting: true)
        itemsReader = SequentialReader(part.items, isForgetting: true)
        lensReader = SequentialReader(part.lens, isForgetting: true)
    }

    /// Header, first item and common prefix of the block; the strings are valid until the next block.
    var header: BlockHeader { headers.header }
    var firstItem: UnsafeRawBufferPointer { headers.firstItem }
    var commonPrefix: UnsafeRawBufferPointer { headers.commonPrefix }

    /// Moves to the next block; false at the end of the part, whose counts and last item have been checked then.
    ///
    /// - Parameter last: The last item of the block before, which the next one must not precede; nil when it is not
    ///   known (a block that was copied as it was).
    mutating func nextBlock(after last: UnsafeRawBufferPointer?) throws(StorageError) -> Bool {
        if let twins, headers.blocksRead == twins.days.lowerBound {
            try checkCount(leftOut: twins.rowsCount)
            return false
        }
        guard try headers.next() else {
            try checkEnd(last)
            return false
        }
        itemsRead += UInt64(header.itemsCount)
        guard itemsRead <= part.metadata.itemsCount else {
            throw StorageError(
                .corrupted, "the part has more items than the \(part.metadata.itemsCount) announced",
                path: part.index.path)
        }
        if headers.blocksRead == 1 {
            guard part.metadata.firstItem.elementsEqual(firstItem) else {
                throw StorageError(
                    .corrupted, "the first item is not the one in metadata.json", path: part.path)
            }
        } else if let last, Bytes.compare(last, firstItem) > 0 {
            throw StorageError(
                .corrupted, "block \(headers.blocksRead - 1) starts before the end of the block before it",
                path: part.items.path, offset: headers.itemsStart)
        }
        itemsData = try itemsReader.next(Int(header.itemsSize))
        lensData = try lensReader.next(Int(header.lensSize))
        return true
    }

    private func checkCount(leftOut: UInt64) throws(StorageError) {
        guard itemsRead + leftOut == part.metadata.itemsCount else {
            throw StorageError(
                .corrupted, "the part has \(itemsRead + leftOut) items, \(part.metadata.itemsCount) are announced",
                path: part.path)
        }
    }

    private func checkEnd(_ last: UnsafeRawBufferPointer?) throws(StorageError) {
        try checkCount(leftOut: 0)
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
            throw FilePart.undecodable(headers.blocksRead - 1, header, error, part.items.path)
        }
        // Blocks above 64 KiB are legal for readers; items above it are not (10).
        guard items.dataBytes > Limits.blockBytesMax else { return }
        for index in 0..<items.count where items[index].count > Limits.itemBytesMax {
            throw StorageError(
                .corrupted, "block \(headers.blocksRead - 1) holds an item of \(items[index].count) bytes",
                path: part.items.path, offset: itemsReader.offset - Int(header.itemsSize))
        }
    }

    /// An item that no item of the block exceeds: the first item of the next block, or the last item of the block where that
    /// is known: at the end of the part, and at the end of the global tag rows whose per-day rows are left out. nil when
    /// the next header is not at hand.
    func upperBound() -> (UnsafeRawBufferPointer?, last: [UInt8]?) {
        if let twins, headers.blocksRead == twins.globals.upperBound {
            return (nil, DayTwins.global(part.metadata.lastItem))
        }
        return headers.followingItem()
    }
}
