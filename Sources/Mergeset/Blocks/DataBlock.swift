// DataBlock.swift - a decoded data block as searches use it: the items and their search keys.
//
// Threads: immutable and shared; kept by the part's cache and by the cursors that stand in it.

import StorageBytes

/// A decoded data block.
final class DataBlock: @unchecked Sendable {
    let items: DecodedItems
    private let keys: SearchKeys
    let memoryBytes: Int

    /// A block of decoded items, at least one.
    init(_ items: consuming DecodedItems) {
        keys = SearchKeys(count: items.count) { items[$0] }
        memoryBytes = items.memoryBytes + keys.memoryBytes + 128
        self.items = items
    }

    /// Asks for the memory a search reads first.
    @inline(__always)
    func prefetch() { keys.prefetch() }

    /// Position of the first item that is not smaller than `target`, in `0...count`.
    @inline(__always)
    func lowerBound(_ target: UnsafeRawBufferPointer) -> Int { keys.lowerBound(target) { items[$0] } }
}
