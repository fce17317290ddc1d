// GlobalBlocks.swift - what a part writer remembers of its blocks of global tag rows, to write the per-day rows from them
// (DayTwins).
//
//   headers    the block headers, as in an index block, one behind the other
//   places     where the blocks lie in items.bin and lens.bin: one stretch in each
//   lastRow    the last row of the last block
//
// Threads: one owner.

import StorageBytes
import StorageFiles
import StorageRuntime

/// The blocks of kind 1 of a part that is being written.
struct GlobalBlocks: ~Copyable {
    /// A stretch of the two files of a part.
    struct Place {
        var items: Range<Int>, lens: Range<Int>
    }

    var headers = RawBuffer()
    private(set) var place = Place(items: 0..<0, lens: 0..<0)
    /// Set when an item of another kind comes behind the rows, and when the last of them are passed on.
    var lastRow: [UInt8]?

    /// Adds a block that has just been written: it lies behind those added before.
    mutating func add(
        _ header: BlockHeader, _ commonPrefix: UnsafeRawBufferPointer, _ first: UnsafeRawBufferPointer
    ) {
        let (items, lens) = (Int(header.itemsOffset), Int(header.lensOffset))
        if headers.count == 0 { place = Place(items: items..<items, lens: lens..<lens) }
        place.items = place.items.lowerBound..<(items + Int(header.itemsSize))
        place.lens = place.lens.lowerBound..<(lens + Int(header.lensSize))
        header.encode(commonPrefix: commonPrefix, firstItem: first, into: &headers)
    }

    /// Appends a stretch of a file that is being written to its end. Throws `.closed` when it is cancelled.
    static func copy(
        _ range: Range<Int>, of file: FileWriter, _ files: any FileSystem, isCancelled: () -> Bool
    ) throws(StorageError) {
        // As much as the writer hands on without copying.
        let step = 512 << 10
        try file.flush()
        let source = try files.open(file.path)
        var buffer = RawBuffer(capacity: min(step, range.count))
        var position = range.lowerBound
        while position < range.upperBound {
            if isCancelled() { throw MergeLoop.abandoned }
            let count = min(step, range.upperBound - position)
            buffer.removeAll()
            try source.read(at: position, into: UnsafeMutableRawBufferPointer(start: buffer.base, count: count))
            buffer.commit(count)
            try file.append(buffer.bytes)
            position += count
        }
    }
}
