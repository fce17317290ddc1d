// BlockwiseTagRows.swift - the reference's way to unite tag rows, exactly (docs/format/mergeset-table.md, 13.3).
//
// Items are collected by the packing rule; a full block is rewritten, first for rows of namespace 1, then for those of
// namespace 6, and written as one block, however small it has become. The first and the last item of a block are never
// touched. When duplicate ids would put rows out of order, the block stays as it was.
//
// It exists to check what we make against what the reference makes, byte for byte, and to measure the difference to
// TagRowMerger.
//
// Threads: one owner.

import StorageBytes
import StorageRuntime

/// Sorted items in one buffer.
struct ItemBlock: ~Copyable {
    private(set) var data = RawBuffer(capacity: Limits.blockBytesMax)
    private var ends: [Int] = []

    var count: Int { ends.count }

    subscript(index: Int) -> UnsafeRawBufferPointer {
        let start = index == 0 ? 0 : ends[index - 1]
        return UnsafeRawBufferPointer(start: data.base + start, count: ends[index] - start)
    }

    mutating func append(_ item: UnsafeRawBufferPointer) {
        data.append(item)
        ends.append(data.count)
    }

    mutating func removeAll() {
        data.removeAll()
        ends.removeAll(keepingCapacity: true)
    }

    /// Whether the items are in ascending order.
    var isSorted: Bool {
        for index in 1..<max(count, 1) where Bytes.compare(self[index - 1], self[index]) > 0 { return false }
        return true
    }
}

/// The reference's rewriting of one block.
struct BlockwiseTagRowRule: ~Copyable {
    /// Passes that got behind the look at the first and last item, and those undone because of the order (13.3, 5-6).
    private(set) var processedBlocks: UInt64 = 0
    private(set) var unorderedBlocks: UInt64 = 0

    private var output = ItemBlock()
    private var prefix = RawBuffer()
    private var ids: [UInt64] = []
    private var row = RawBuffer()

    init() {}

    /// Rewrites a sorted block in place.
    ///
    /// - Throws: the reason why a row inside the block does not decode.
    mutating func rewrite(_ block: inout ItemBlock) throws(DecodeError) {
        try pass(TagRow.globalKind, &block)
        try pass(TagRow.perDayKind, &block)
    }

    private mutating func pass(_ kind: UInt8, _ block: inout ItemBlock) throws(DecodeError) {
        let count = block.count
        guard count > 2 else { return }
        if let first = block[0].first, first > kind { return }
        if let last = block[count - 1].first, last < kind { return }
        output.removeAll()
        ids.removeAll(keepingCapacity: true)
        for index in 0..<count {
            let item = block[index]
            if index == 0 || index == count - 1 || item.first != kind {
                writePending()
                output.append(item)
                continue
            }
            let parsed = try TagRow(item, kind: kind)
            if parsed.idCount >= Limits.rowIDsFull {
                writePending()
                output.append(item)
                continue
            }
            if Bytes.compare(parsed.prefix, prefix.bytes) != 0 {
                writePending()
                prefix.removeAll()
                prefix.append(parsed.prefix)
            }
            for number in 0..<parsed.idCount { ids.append(parsed.id(number)) }
            if ids.count >= Limits.rowIDsFull { writePending() }
        }
        writePending()
        processedBlocks += 1
        if output.isSorted { swap(&output, &block) } else { unorderedBlocks += 1 }
    }

    private mutating func writePending() {
        guard !ids.isEmpty else { return }
        let count = ids.withUnsafeMutableBufferPointer { sortAndUnite($0.baseAddress.unsafelyUnwrapped, $0.count) }
        row.removeAll()
        row.append(prefix.bytes)
        for index in 0..<count { row.appendBigEndian(ids[index]) }
        output.append(row.bytes)
        ids.removeAll(keepingCapacity: true)
    }
}

/// The reference's hook as a stage of a merge.
struct BlockwiseTagRows: ~Copyable, MergeHook {
    static var allowsStoredBlocks: Bool { false }

    private(set) var rule = BlockwiseTagRowRule()
    private var block = ItemBlock()
    private let path: String

    init(path: String) { self.path = path }

    mutating func take(
        _ item: UnsafeRawPointer, _ length: Int, sharing shared: Int, into writer: inout PartWriter
    ) throws(StorageError) {
        if block.count > 0, block.data.count + length > Limits.blockBytesMax { try drain(into: &writer) }
        block.append(UnsafeRawBufferPointer(start: item, count: length))
    }

    mutating func drain(into writer: inout PartWriter) throws(StorageError) {
        guard block.count > 0 else { return }
        do throws(DecodeError) {
            try rule.rewrite(&block)
        } catch {
            throw StorageError(.corrupted, "a tag row does not decode while merging: \(error)", path: path)
        }
        for index in 0..<block.count {
            let item = block[index]
            let shared = index == 0 ? 0 : Bytes.commonPrefix(block[index - 1], item)
            try writer.append(item.baseAddress ?? UnsafeRawPointer(block.data.base), item.count, sharing: shared)
        }
        try writer.closeBlock()
        block.removeAll()
    }
}
