// PartInspection.swift - parts as a tool reads them that must not open their table.
//
//   InspectedPart       one part: block by block, every block decoded and checked
//   InspectedParts      several parts merged: item by item in order, and what one part made of them would take
//
// A table takes the lock of its directory, finishes transactions and deletes leftovers when it is opened. Nothing of that
// happens here: files are opened for reading, and that is all. The parts may belong to a table that is open in another
// process; a part that is merged away meanwhile stays readable.
//
// Memory: the metaindex of each part, one decoded block of each part while they are merged, one block being made.
//
// Threads: values may be shared; each walk has one owner.

import StorageBytes
import StorageFiles
import StorageRuntime

/// A part that is read without its table.
public struct InspectedPart: Sendable {
    let part: FilePart

    /// Opens a part.
    ///
    /// - Parameter path: The directory of the part.
    /// - Throws: `.corrupted` with file and reason, `.notFound` when a file is missing, `.io`.
    public init(path: String, files: any FileSystem) throws(StorageError) {
        part = try FilePart(path: path, files: files, caches: PartCaches(dataBlockBytes: 0, indexBlockBytes: 0))
    }

    /// The directory.
    public var path: String { part.path }
    /// The last component of ``path``.
    public var name: String { part.name }
    /// Items in the part.
    public var itemsCount: UInt64 { part.metadata.itemsCount }
    /// Blocks in the part, and the index blocks that describe them.
    public var blocksCount: UInt64 { part.metadata.blocksCount }
    /// Index blocks.
    public var indexBlocksCount: Int { part.metaindex.count }
    /// Bytes of `items.bin` and `lens.bin`.
    public var itemsFileBytes: Int { part.items.sizeBytes }
    /// Bytes of `lens.bin`.
    public var lensFileBytes: Int { part.lens.sizeBytes }
    /// Bytes of `index.bin` and `metaindex.bin`: what finding blocks costs.
    public var headerFilesBytes: Int { Int(part.sizeBytes) - itemsFileBytes - lensFileBytes }
    /// Bytes of all `.bin` files.
    public var sizeBytes: UInt64 { part.sizeBytes }

    /// Calls `body` with every block in order: its header and its items. Counts, order and bounds are checked on the way.
    ///
    /// - Throws: What `body` throws; `.corrupted` with file and offset, `.io`. Blocks before the damage have been seen.
    /// - Complexity: each file is read once, in large pieces.
    public func forEachBlock(
        _ body: (BlockHeader, borrowing DecodedItems) throws(StorageError) -> Void
    ) throws(StorageError) {
        var stream = PartStream(part)
        var last: UnsafeRawBufferPointer?
        // The last item lies in the memory of the decoded block, which stays as it is until the next one is decoded.
        while try stream.nextBlock(after: last) {
            try stream.decode()
            try body(stream.header, stream.items)
            last = stream.items[stream.items.count - 1]
        }
    }
}

/// What one part made of others holds.
public struct MergedSize: Sendable, Equatable {
    /// Items, blocks, and bytes of all `.bin` files.
    public var items: UInt64 = 0, blocks: UInt64 = 0, bytes: UInt64 = 0

    /// Nothing.
    public init() {}
}

/// Several parts at once.
public enum InspectedParts {
    /// Merges parts as a forced merge does, into a new part directory that nobody opens.
    ///
    /// - Parameters:
    ///   - parts: At least one.
    ///   - unitesTagRows: Whether rows of one tag become rows of up to 126 ids, as the tables of a series index do.
    ///   - directory: The directory to be made. It is left behind, complete but for its final name.
    ///   - files: Where it is made; a file system that drops what is written will do.
    ///   - body: Sees each item before rows are united, in order, and how many bytes it shares with the one before. The
    ///     bytes are valid during the call.
    /// - Throws: What `body` throws, `.corrupted`, `.io`.
    public static func merge(
        _ parts: [InspectedPart], unitesTagRows: Bool, into directory: String, files: any FileSystem,
        _ body: (UnsafeRawBufferPointer, _ shared: Int) throws(StorageError) -> Void
    ) throws(StorageError) -> MergedSize {
        let items = parts.reduce(0) { $0 + $1.itemsCount }
        var merger = try Merger(runs: [], parts: parts.map(\.part))
        var writer = try PartWriter(
            directory: directory, level: CompressionLevel.ofMerge(items: items, isForced: true), files: files,
            alignsTagRows: unitesTagRows)
        if unitesTagRows {
            var hook = TagRowMerger(path: directory)
            try run(&merger, &hook, &writer, body)
        } else {
            var hook = PassThrough()
            try run(&merger, &hook, &writer, body)
        }
        var size = MergedSize()
        guard let result = try writer.finish() else { return size }
        size.items = result.metadata.itemsCount
        size.blocks = result.metadata.blocksCount
        size.bytes = result.fileBytes
        return size
    }

    private static func run<Hook: MergeHook & ~Copyable>(
        _ merger: inout Merger, _ hook: inout Hook, _ writer: inout PartWriter,
        _ body: (UnsafeRawBufferPointer, _ shared: Int) throws(StorageError) -> Void
    ) throws(StorageError) {
        while try merger.next() {
            try body(UnsafeRawBufferPointer(start: merger.item, count: merger.length), merger.shared)
            try hook.take(merger.item, merger.length, sharing: merger.shared, into: &writer)
        }
        try hook.drain(into: &writer)
    }
}
