// FilePart.swift - an open part: metadata and metaindex in memory, everything else read on demand
// (docs/format/mergeset-table.md, 4 to 6).
//
//   <items>_<blocks>_<suffix>/  metadata.json  metaindex.bin  index.bin  items.bin  lens.bin
//
// Opening reads the first two and checks that the others exist. Searches read index blocks and data blocks by place, each
// checked before it is believed, and keep them in the part's caches. Merges read the files from beginning to end
// (PartStream). The directory of a part that was merged away is removed at once; its open files stay readable until the
// last cursor lets go of the part.
//
// Threads: any.

import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization

/// The files of a part.
enum PartFile: String, CaseIterable {
    case metaindex = "metaindex.bin"
    case index = "index.bin"
    case items = "items.bin"
    case lens = "lens.bin"
}

/// Budgets of the caches that all parts of a table share.
final class PartCaches: Sendable {
    let dataBlocks: CacheBudget
    let indexBlocks: CacheBudget

    init(dataBlockBytes: Int, indexBlockBytes: Int) {
        dataBlocks = CacheBudget(bytesMax: dataBlockBytes)
        indexBlocks = CacheBudget(bytesMax: indexBlockBytes)
    }
}

/// An immutable sorted part in a directory.
final class FilePart: @unchecked Sendable {
    let path: String
    let name: String
    let metadata: PartMetadata
    /// Sum of the sizes of the four `.bin` files.
    let sizeBytes: UInt64
    let metaindex: Metaindex
    let index: any ReadableFile
    let items: any ReadableFile
    let lens: any ReadableFile
    /// First and last item, for comparisons.
    let firstItem: UnsafeRawBufferPointer, lastItem: UnsafeRawBufferPointer
    let caches: PartCaches
    private let dataBlocks: BlockCache<DataBlock>
    private let indexBlocks: BlockCache<IndexBlock>

    /// Bytes that a metaindex may take: far above what a part of the largest size has.
    private static let metaindexBytesMax = 1 << 30

    /// Opens a part.
    ///
    /// - Throws: `.corrupted` with file and reason when the name, metadata.json or metaindex.bin breaks the format;
    ///   `.notFound` when a file is missing; `.io`.
    init(path: String, files: any FileSystem, caches: PartCaches) throws(StorageError) {
        self.path = path
        name = Paths.lastComponent(path)
        metadata = try PartMetadata.read(directory: path, on: files)
        let metaindexPath = Paths.join(path, PartFile.metaindex.rawValue)
        let stored = try files.readAll(metaindexPath, limitBytes: FilePart.metaindexBytesMax)
        let decoded: Metaindex
        do throws(DecodeError) {
            var payload = RawBuffer()
            try Zstd.decompress(stored.bytes, into: &payload, limitBytes: FilePart.metaindexBytesMax)
            decoded = try Metaindex(payload)
        } catch {
            throw StorageError(.corrupted, "the metaindex does not decode: \(error)", path: metaindexPath, offset: 0)
        }
        guard UInt64(decoded.headersCount) == metadata.blocksCount else {
            throw StorageError(
                .corrupted,
                "the metaindex announces \(decoded.headersCount) blocks, metadata.json \(metadata.blocksCount)",
                path: metaindexPath)
        }
        metaindex = decoded
        index = try files.open(Paths.join(path, PartFile.index.rawValue))
        items = try files.open(Paths.join(path, PartFile.items.rawValue))
        lens = try files.open(Paths.join(path, PartFile.lens.rawValue))
        for row in 0..<decoded.count where decoded[row].size == 0 {
            throw StorageError(.corrupted, "index block \(row) is announced without bytes", path: metaindexPath)
        }
        guard decoded.storedBytes <= index.sizeBytes else {
            throw StorageError(
                .corrupted,
                "the metaindex announces \(decoded.storedBytes) bytes of index blocks, the file has \(index.sizeBytes)",
                path: index.path)
        }
        sizeBytes = UInt64(stored.count + index.sizeBytes + items.sizeBytes + lens.sizeBytes)
        firstItem = FilePart.copy(metadata.firstItem)
        lastItem = FilePart.copy(metadata.lastItem)
        self.caches = caches
        dataBlocks = BlockCache(count: decoded.headersCount, budget: caches.dataBlocks)
        indexBlocks = BlockCache(count: decoded.count, budget: caches.indexBlocks)
    }

    deinit {
        firstItem.deallocate()
        lastItem.deallocate()
    }

    private static func copy(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
        let target = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count + RawBuffer.slack, alignment: 16)
        target.copyBytes(from: bytes)
        return UnsafeRawBufferPointer(rebasing: target[0..<bytes.count])
    }

    /// Throws out cached blocks that were not used since the last sweep.
    func sweepCaches() {
        dataBlocks.sweep()
        indexBlocks.sweep()
    }

    // MARK: random access

    /// Index block `row`, in `0..<metaindex.count`, if it is in the cache. The caller owns the reference.
    @inline(__always)
    func cachedIndexBlock(_ row: Int) -> Unmanaged<IndexBlock>? { indexBlocks.getRetained(row) }

    /// Data block `number` of index block `row`, if it is in the cache. The caller owns the reference.
    @inline(__always)
    func cachedDataBlock(_ row: Int, _ number: Int) -> Unmanaged<DataBlock>? {
        dataBlocks.getRetained(metaindex.headersBefore(row) &+ number)
    }

    /// Index block `row`, in `0..<metaindex.count`, from the cache or from the file.
    ///
    /// - Parameter hit: Set when it came from the cache.
    func indexBlock(_ row: Int, hit: inout Bool) throws(StorageError) -> IndexBlock {
        let cached = cachedIndexBlock(row)
        hit = cached != nil
        if let cached { return cached.takeRetainedValue() }
        return try readIndexBlock(row)
    }

    /// Data block `number` of index block `row`, from the cache or from the files.
    ///
    /// - Parameters:
    ///   - mayEvict: Whether the block may push others out of the cache.
    ///   - hit: Set when it came from the cache.
    func dataBlock(
        _ row: Int, _ headers: IndexBlock, _ number: Int, mayEvict: Bool, hit: inout Bool
    ) throws(StorageError) -> DataBlock {
        let cached = cachedDataBlock(row, number)
        hit = cached != nil
        if let cached { return cached.takeRetainedValue() }
        return try readDataBlock(row, headers, number, mayEvict: mayEvict)
    }

    /// Index block `row` from the file; it is then in the cache, if there is room.
    @inline(never)
    func readIndexBlock(_ row: Int) throws(StorageError) -> IndexBlock {
        let place = metaindex[row]
        let stored = try FilePart.read(index, place.offset, place.size)
        let block: IndexBlock
        do throws(DecodeError) {
            var payload = RawBuffer()
            try Zstd.decompress(stored.bytes, into: &payload, limitBytes: Limits.indexBlockDecodedBytesMax)
            block = try IndexBlock(payload, count: place.headersCount, announced: metaindex.firstItem(row))
        } catch {
            throw StorageError(
                .corrupted, "index block \(row) does not decode: \(error)", path: index.path,
                offset: Int(clamping: place.offset))
        }
        indexBlocks.put(row, block, mayEvict: true)
        return block
    }

    /// Data block `number` of index block `row` from the files; it is then in the cache, if there is room.
    @inline(never)
    func readDataBlock(
        _ row: Int, _ headers: IndexBlock, _ number: Int, mayEvict: Bool
    ) throws(StorageError) -> DataBlock {
        let slot = metaindex.headersBefore(row) &+ number
        let header = headers.header(number)
        let itemsData = try FilePart.read(items, header.itemsOffset, Int(header.itemsSize))
        let lensData = try FilePart.read(lens, header.lensOffset, Int(header.lensSize))
        var decoded = DecodedItems()
        var scratch = BlockScratch()
        do throws(DecodeError) {
            try decoded.decode(
                header, commonPrefix: headers.commonPrefix(number), firstItem: headers.firstItem(number),
                itemsData: itemsData.bytes, lensData: lensData.bytes, scratch: &scratch)
        } catch {
            throw FilePart.undecodable(slot, header, error, items.path)
        }
        let block = DataBlock(decoded)
        dataBlocks.put(slot, block, mayEvict: mayEvict)
        return block
    }

    static func undecodable(_ number: Int, _ header: BlockHeader, _ reason: DecodeError, _ path: String)
        -> StorageError
    {
        StorageError(
            .corrupted,
            "block \(number) (\(header.itemsCount) items, lens data at \(header.lensOffset)) does not decode: \(reason)",
            path: path, offset: Int(clamping: header.itemsOffset))
    }

    /// Reads a piece of a file whose place came from the part itself.
    private static func read(_ file: any ReadableFile, _ offset: UInt64, _ size: Int) throws(StorageError) -> RawBuffer
    {
        var buffer = RawBuffer(capacity: size)
        guard size > 0 else { return buffer }
        guard offset <= UInt64(file.sizeBytes), size <= file.sizeBytes - Int(offset) else {
            throw StorageError(
                .corrupted, "\(size) bytes are announced here, the file has \(file.sizeBytes)", path: file.path,
                offset: Int(clamping: offset))
        }
        try file.read(at: Int(offset), into: UnsafeMutableRawBufferPointer(start: buffer.end, count: size))
        buffer.commit(size)
        return buffer
    }
}
