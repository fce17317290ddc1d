// IndexBlock.swift - the block headers of one index block, parsed (docs/format/mergeset-table.md, 4.2).
//
// Threads: immutable and shared.

import StorageBytes

/// Parsed block headers, in order.
final class IndexBlock: @unchecked Sendable {
    private let payload: RawBuffer
    private let entries: UnsafeMutablePointer<Entry>
    /// Headers in the block.
    let count: Int
    /// The first items once more, one behind the other.
    private let firstItems: RawBuffer
    private let firstItemStarts: UnsafeMutablePointer<UInt32>
    private let keys: SearchKeys
    let memoryBytes: Int
    /// Whether the block begins with the item that the metaindex says.
    private let startsAsAnnounced: Bool

    private struct Entry {
        var header: BlockHeader
        var commonPrefixOffset: Int
        var commonPrefixCount: Int
        var firstItemOffset: Int
        var firstItemCount: Int
    }

    /// Parses a decompressed index block, which must hold exactly `count` headers in ascending order of first items.
    ///
    /// - Parameter announced: The first item as the metaindex has it.
    init(_ payload: consuming RawBuffer, count: Int, announced: UnsafeRawBufferPointer? = nil) throws(DecodeError) {
        // A header has at least 31 bytes: a huge count is refused before anything is reserved.
        guard count > 0, count <= payload.count / (BlockHeader.fixedBytes + 2) else {
            throw count > 0 ? .truncated : .outOfRange
        }
        let parsed = UnsafeMutablePointer<Entry>.allocate(capacity: count)
        do throws(DecodeError) {
            try IndexBlock.parse(payload.bytes, count, into: parsed)
        } catch {
            parsed.deallocate()
            throw error
        }
        var strings = RawBuffer(capacity: payload.count)
        let starts = UnsafeMutablePointer<UInt32>.allocate(capacity: count + 1)
        for index in 0..<count {
            starts[index] = UInt32(truncatingIfNeeded: strings.count)
            strings.append(
                UnsafeRawBufferPointer(
                    start: payload.base + parsed[index].firstItemOffset, count: parsed[index].firstItemCount))
        }
        starts[count] = UInt32(truncatingIfNeeded: strings.count)
        keys = SearchKeys(count: count, base: strings.base, offsets: starts)
        firstItemStarts = starts
        startsAsAnnounced =
            announced.map {
                Bytes.compare($0, UnsafeRawBufferPointer(start: strings.base, count: Int(starts[1]))) == 0
            } ?? false
        firstItems = strings
        entries = parsed
        self.count = count
        memoryBytes =
            payload.capacity + firstItems.capacity + count * (MemoryLayout<Entry>.stride + 4) + keys.memoryBytes
            + 128
        self.payload = payload
    }

    deinit {
        entries.deallocate()
        firstItemStarts.deallocate()
    }

    private static func parse(
        _ bytes: UnsafeRawBufferPointer, _ count: Int, into entries: UnsafeMutablePointer<Entry>
    ) throws(DecodeError) {
        guard let base = bytes.baseAddress else { throw .truncated }
        var cursor = ByteCursor(bytes)
        var previous = UnsafeRawBufferPointer(start: base, count: 0)
        for index in 0..<count {
            let (header, commonPrefix, firstItem) = try BlockHeader.decode(&cursor)
            guard Bytes.compare(previous, firstItem) <= 0 else { throw .unsorted }
            previous = firstItem
            entries[index] = Entry(
                header: header, commonPrefixOffset: offset(of: commonPrefix, base),
                commonPrefixCount: commonPrefix.count, firstItemOffset: offset(of: firstItem, base),
                firstItemCount: firstItem.count)
        }
        try cursor.finish()
    }

    private static func offset(of bytes: UnsafeRawBufferPointer, _ base: UnsafeRawPointer) -> Int {
        bytes.baseAddress.map { $0 - base } ?? 0
    }

    /// What a search in the block reads first.
    var firstAddress: UInt { keys.firstAddress }

    /// Header `index`, in `0..<count`.
    func header(_ index: Int) -> BlockHeader { entries[index].header }

    /// The first item of block `index`.
    func firstItem(_ index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: payload.base + entries[index].firstItemOffset, count: entries[index].firstItemCount)
    }

    /// The common prefix of block `index`.
    func commonPrefix(_ index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: payload.base + entries[index].commonPrefixOffset, count: entries[index].commonPrefixCount)
    }

    /// Position of the first block whose first item is not smaller than `target`, in `0...count`.
    func lowerBound(_ target: UnsafeRawBufferPointer) -> Int { keys.lowerBound(target) }

    /// The same, and what the target shares with the first item before it.
    ///
    /// - Parameter sharedWithFirst: Bytes that the target shares with the first item that the metaindex announces, exactly,
    ///   which is smaller; -1 when that is not known.
    func place(_ target: UnsafeRawBufferPointer, sharedWithFirst: Int) -> SearchKeys.Place {
        keys.find(target, sharedWithFirst: startsAsAnnounced ? sharedWithFirst : -1)
    }
}
