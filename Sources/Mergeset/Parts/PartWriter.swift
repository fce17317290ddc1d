// PartWriter.swift - writes a part: sorted items in, five durable files out (docs/format/mergeset-table.md, 4, 5, 8).
//
//   append(item)  ->  block encoder  ->  items.bin, lens.bin
//                     block header   ->  index block  ->  index.bin
//                                        metaindex row ->  metaindex.bin
//   finish()      ->  metadata.json, all files synced; the caller makes the directory visible
//
// A block takes items as long as the packing rule lets it. Blocks of a source that nothing overlaps can be passed on as
// they are stored. Blocks of per-day tag rows are not compressed where the same rows have been without the day (BlockTwins):
// for that, blocks of both kinds of rows are ended at the same rows. A merge of twinned parts (DayTwins) appends the per-day
// rows in the end, all at once:
//
//   items.bin, lens.bin   ... | blocks of kind 1 | ... blocks of kinds 2 to 5 | the same bytes once more |
//
// Threads: one owner.

import StorageBytes
import StorageFiles
import StorageRuntime

/// Items and bytes by first byte of the item: 0 to 6, everything else in 7.
struct KindTally {
    var items: UInt64 = 0
    var bytes: UInt64 = 0
    /// Bytes that stand for tenant and day in tag rows whose blocks are to be paired; otherwise 0.
    var headBytes = 0
    /// Bytes that the row of the other kind has more.
    var margin = 0
}

/// A part being written into a directory that nobody reads yet.
struct PartWriter: ~Copyable {
    let directory: String
    private let files: any FileSystem
    private let level: Int
    private let itemsFile: FileWriter
    private let lensFile: FileWriter
    private let indexFile: FileWriter
    private let metaindexFile: FileWriter

    private var block: BlockEncoder
    private var itemsData: RawBuffer
    private var lensData: RawBuffer
    private var indexBlock: RawBuffer
    private var indexBlockHeaders = 0
    private var indexBlockFirst: RawBuffer
    private var metaindex: RawBuffer
    private var stored: RawBuffer

    private var firstItem: [UInt8] = []
    private var copiedLast: [UInt8]?
    private(set) var itemsCount: UInt64 = 0
    private(set) var blocksCount: UInt64 = 0
    private(set) var blocksEncoded: UInt64 = 0
    private(set) var blocksCopied: UInt64 = 0
    /// Items of blocks passed on and of per-day rows that were copied: written, but not one by one.
    private(set) var itemsCopied: UInt64 = 0
    private(set) var dataBytes: UInt64 = 0
    private(set) var blocksPaired: UInt64 = 0
    private let kinds: UnsafeMutablePointer<KindTally>
    private var twins: BlockTwins?
    private let copiesDayRows: Bool
    private var globalBlocks = GlobalBlocks()

    /// A block of rows of one tenant, or one day, is ended for those of the next when it has at least this many bytes.
    private static let headBlockBytesMin = 16 << 10

    /// Creates the directory and its files.
    ///
    /// - Parameters:
    ///   - twinKey: The secret under which blocks of tag rows are compared; nil compares none.
    ///   - alignsTagRows: Whether blocks of rows with and without a day start alike, so that they can be compared. The
    ///     same bytes come out whether they are compared or not.
    ///   - copiesDayRows: Whether ``appendDayRows(_:)`` will be called in the end, and no rows with a day appended.
    init(
        directory: String, level: Int, files: any FileSystem, twinKey: FingerprintKey? = nil,
        alignsTagRows: Bool = false, copiesDayRows: Bool = false
    ) throws(StorageError) {
        try files.makeDirectory(directory, parents: false)
        let metaindexOut = try files.create(Paths.join(directory, PartFile.metaindex.rawValue))
        let indexOut = try files.create(Paths.join(directory, PartFile.index.rawValue))
        let itemsOut = try files.create(Paths.join(directory, PartFile.items.rawValue))
        let lensOut = try files.create(Paths.join(directory, PartFile.lens.rawValue))
        self.directory = directory
        self.files = files
        self.level = level
        self.copiesDayRows = copiesDayRows
        metaindexFile = FileWriter(metaindexOut, bufferBytes: 4096)
        indexFile = FileWriter(indexOut, bufferBytes: 64 << 10)
        itemsFile = FileWriter(itemsOut, bufferBytes: 512 << 10)
        lensFile = FileWriter(lensOut)
        block = BlockEncoder()
        itemsData = RawBuffer(capacity: Limits.itemsDataBytesMax)
        lensData = RawBuffer(capacity: 1 << 16)
        indexBlock = RawBuffer(capacity: 2 * Limits.indexBlockBytesMin)
        indexBlockFirst = RawBuffer(capacity: 256)
        metaindex = RawBuffer(capacity: 4096)
        stored = RawBuffer(capacity: Limits.indexBlockStoredBytesMax)
        kinds = .allocate(capacity: 8)
        kinds.initialize(repeating: KindTally(), count: 8)
        twins = copiesDayRows ? nil : twinKey.map { BlockTwins(key: $0) }
        if twinKey != nil || alignsTagRows || copiesDayRows {
            // Items of another kind: only these share nothing with the row before.
            for kind in 2..<8 { kinds[kind].headBytes = 1 }
            let heads = (TagRow.tagOffset(kind: TagRow.globalKind), TagRow.tagOffset(kind: TagRow.perDayKind))
            kinds[Int(TagRow.globalKind)].headBytes = heads.0
            kinds[Int(TagRow.globalKind)].margin = heads.1 - heads.0
            kinds[Int(TagRow.perDayKind)].headBytes = heads.1
        }
    }

    deinit { kinds.deallocate() }

    /// Items and bytes written, by first byte of the item.
    func kind(_ index: Int) -> KindTally { kinds[index] }

    /// Bytes in the block that is being filled; those of its items, and for rows of global tags of the days they lack.
    var openBlockBytes: Int { block.isEncoded ? 0 : block.usedBytes }

    /// Appends an item that is not smaller than the one before.
    ///
    /// - Parameter shared: Bytes shared with the item before, exactly. Ignored where it starts a block.
    @inline(__always)
    mutating func append(_ item: UnsafeRawPointer, _ length: Int, sharing shared: Int) throws(StorageError) {
        let kind = kinds + (length == 0 ? 0 : Swift.min(Int(item.load(as: UInt8.self)), 7))
        if !block.fits(length &+ kind.pointee.margin)
            || (shared < kind.pointee.headBytes && endsBlock(for: kind - kinds, shared))
        {
            try closeBlock()
            noteLastRow(before: UInt8(truncatingIfNeeded: kind - kinds))
            block.removeAll()
        }
        block.append(item, length, sharing: shared)
        block.narrow(by: kind.pointee.margin)
        kind.pointee.items &+= 1
        kind.pointee.bytes &+= UInt64(truncatingIfNeeded: length)
    }

    /// Whether an item of a kind whose head is another than that of the item before, with which it shares `shared` bytes,
    /// starts a block: a tag row of another kind, tenant or day, or what follows the global tag rows. So blocks of rows with
    /// and without a day start and end alike. The first rows of a kind start a block but in tiny parts.
    @inline(never)
    private func endsBlock(for kind: Int, _ shared: Int) -> Bool {
        guard block.count > 0 else { return false }
        if shared > 0 { return copiesDayRows || openBlockBytes >= PartWriter.headBlockBytesMin }
        let isTagRow = kind == Int(TagRow.globalKind) || kind == Int(TagRow.perDayKind)
        guard isTagRow || block.firstItem.first == TagRow.globalKind else { return false }
        return copiesDayRows || blocksCount > 0
    }

    /// Keeps the last row of the block just ended when it is the last of the global tag rows.
    private mutating func noteLastRow(before kind: UInt8) {
        guard copiesDayRows, kind != TagRow.globalKind, block.firstItem.first == TagRow.globalKind else { return }
        globalBlocks.lastRow = block.lastItem()
    }

    /// Ends the block that is being filled, if it has items.
    mutating func closeBlock() throws(StorageError) {
        guard block.count > 0, !block.isEncoded else { return }
        if blocksCount == 0 { firstItem = [UInt8](block.firstItem) }
        itemsData.removeAll()
        lensData.removeAll()
        let encoded = try encodeBlock()
        let header = BlockHeader(
            marshalType: encoded.marshalType, itemsCount: UInt32(encoded.itemsCount),
            itemsOffset: UInt64(itemsFile.offset), lensOffset: UInt64(lensFile.offset),
            itemsSize: UInt32(encoded.itemsSize), lensSize: UInt32(encoded.lensSize))
        try itemsFile.append(itemsData.bytes)
        try lensFile.append(lensData.bytes)
        try addHeader(
            header, UnsafeRawBufferPointer(rebasing: block.firstItem[0..<encoded.commonPrefixCount]), block.firstItem)
        itemsCount += UInt64(encoded.itemsCount)
        dataBytes += UInt64(block.dataBytes)
        blocksEncoded += 1
    }

    /// Encodes the block, or finds what it is encoded to in the part.
    private mutating func encodeBlock() throws(StorageError) -> EncodedBlock {
        let kind = block.firstItem.first
        if kind == TagRow.perDayKind, block.count > 1, let twin = twins?.find(&block) {
            try twins?.read(twin, itemsFile, lensFile, files, items: &itemsData, lens: &lensData)
            blocksPaired += 1
            return block.encoded(itemsSize: itemsData.count, lensSize: lensData.count)
        }
        let encoded = block.encode(level: level, items: &itemsData, lens: &lensData)
        if kind == TagRow.globalKind, encoded.marshalType == .zstd {
            twins?.add(
                &block,
                BlockTwins.Place(
                    itemsOffset: itemsFile.offset, lensOffset: lensFile.offset, itemsSize: encoded.itemsSize,
                    lensSize: encoded.lensSize))
        }
        return encoded
    }

    /// Passes on a block as a source stored it. The block being filled is ended before.
    ///
    /// - Parameter last: The last item of the block, where it is known (it is when the block ends its part).
    mutating func appendStored(
        _ source: BlockHeader, commonPrefix: UnsafeRawBufferPointer, firstItem first: UnsafeRawBufferPointer,
        items: UnsafeRawBufferPointer, lens: UnsafeRawBufferPointer, last: [UInt8]?
    ) throws(StorageError) {
        try closeBlock()
        if block.count > 0 { noteLastRow(before: first.first ?? 0) }
        if let last, first.first == TagRow.globalKind { globalBlocks.lastRow = last }
        if blocksCount == 0 { firstItem = [UInt8](first) }
        var header = source
        header.itemsOffset = UInt64(itemsFile.offset)
        header.lensOffset = UInt64(lensFile.offset)
        try itemsFile.append(items)
        try lensFile.append(lens)
        try addHeader(header, commonPrefix, first)
        itemsCount += UInt64(source.itemsCount)
        itemsCopied += UInt64(source.itemsCount)
        blocksCopied += 1
        copiedLast = last
        block.removeAll()
    }

    private mutating func addHeader(
        _ header: BlockHeader, _ commonPrefix: UnsafeRawBufferPointer, _ first: UnsafeRawBufferPointer
    ) throws(StorageError) {
        // Incompressible first items could take a block beyond what readers accept: close it early then.
        let size = BlockHeader.fixedBytes + 6 + commonPrefix.count + first.count
        if indexBlockHeaders > 0, indexBlock.count + size > Limits.indexBlockStoredBytesMax - 1024 {
            try closeIndexBlock()
        }
        if indexBlockHeaders == 0 {
            indexBlockFirst.removeAll()
            indexBlockFirst.append(first)
        }
        header.encode(commonPrefix: commonPrefix, firstItem: first, into: &indexBlock)
        if copiesDayRows, first.first == TagRow.globalKind { globalBlocks.add(header, commonPrefix, first) }
        indexBlockHeaders += 1
        blocksCount += 1
        if indexBlock.count >= Limits.indexBlockBytesMin { try closeIndexBlock() }
    }

    /// Appends the rows of a day: all global tag rows once more, with the day. Everything else has been appended.
    ///
    /// - Throws: `.io`, `.notFound`, `.noSpace`; `.corrupted` when there are no global tag rows; `.closed` when it is
    ///   cancelled.
    mutating func appendDayRows(_ day: UInt64, isCancelled: () -> Bool = { false }) throws(StorageError) {
        precondition(copiesDayRows, "the blocks of global rows were not remembered")
        try closeBlock()
        if block.count > 0 { noteLastRow(before: TagRow.perDayKind) }
        guard let last = globalBlocks.lastRow else {
            throw StorageError(.corrupted, "a merge of tag rows left none", path: directory)
        }
        let place = globalBlocks.place
        let itemsShift = UInt64(itemsFile.offset - place.items.lowerBound)
        let lensShift = UInt64(lensFile.offset - place.lens.lowerBound)
        try GlobalBlocks.copy(place.items, of: itemsFile, files, isCancelled: isCancelled)
        try GlobalBlocks.copy(place.lens, of: lensFile, files, isCancelled: isCancelled)
        var headers = RawBuffer()
        swap(&headers, &globalBlocks.headers)
        var cursor = ByteCursor(headers.bytes)
        var row = RawBuffer(capacity: 256)
        while cursor.remaining > 0 {
            guard let (global, commonPrefix, first) = try? BlockHeader.decode(&cursor) else {
                preconditionFailure("a header that was just encoded does not decode")
            }
            row.removeAll()
            DayTwins.append(first, day: day, to: &row)
            var header = global
            header.itemsOffset += itemsShift
            header.lensOffset += lensShift
            let prefix = row.bytes[..<(commonPrefix.count + DayTwins.dayBytes)]
            try addHeader(header, UnsafeRawBufferPointer(rebasing: prefix), row.bytes)
            itemsCount += UInt64(header.itemsCount)
            itemsCopied += UInt64(header.itemsCount)
            blocksPaired += 1
        }
        row.removeAll()
        last.withUnsafeBytes { DayTwins.append($0, day: day, to: &row) }
        copiedLast = row.array()
        block.removeAll()
    }

    private static let thoroughLevel = 19

    private mutating func closeIndexBlock() throws(StorageError) {
        guard indexBlockHeaders > 0 else { return }
        stored.removeAll()
        Zstd.compress(indexBlock.bytes, level: level, into: &stored)
        if stored.count > Limits.indexBlockStoredBytesMax {
            // One header with a long incompressible first item, and the same bytes as common prefix. Fast levels of zstd
            // 1.5 find the second copy, but do not promise it; a block that readers refuse must not be written.
            stored.removeAll()
            Zstd.compress(indexBlock.bytes, level: PartWriter.thoroughLevel, into: &stored)
        }
        Metaindex.encode(
            firstItem: indexBlockFirst.bytes, headersCount: indexBlockHeaders, offset: UInt64(indexFile.offset),
            size: stored.count, into: &metaindex)
        try indexFile.append(stored.bytes)
        indexBlock.removeAll()
        indexBlockHeaders = 0
    }

    /// What a finished part consists of.
    struct Result {
        var metadata: PartMetadata
        /// Bytes of the four `.bin` files.
        var fileBytes: UInt64
    }

    /// Ends the part: all files written and synced, in the order of the specification. nil when there were no items;
    /// the directory is of no use then.
    mutating func finish() throws(StorageError) -> Result? {
        try closeBlock()
        guard itemsCount > 0 else { return nil }
        // The encoder still holds the last block, unless that was passed on as it was stored.
        guard let lastItem = block.count > 0 ? block.lastItem() : copiedLast else {
            preconditionFailure("the last block of a part was passed on without its last item")
        }
        try closeIndexBlock()
        stored.removeAll()
        Zstd.compress(metaindex.bytes, level: level, into: &stored)
        try metaindexFile.append(stored.bytes)
        try metaindexFile.close()
        try indexFile.close()
        try itemsFile.close()
        try lensFile.close()
        try files.sync(directory)
        let metadata = PartMetadata(
            itemsCount: itemsCount, blocksCount: blocksCount, firstItem: firstItem, lastItem: lastItem)
        try metadata.write(into: directory, on: files)
        let bytes = metaindexFile.offset + indexFile.offset + itemsFile.offset + lensFile.offset
        return Result(metadata: metadata, fileBytes: UInt64(bytes))
    }
}
