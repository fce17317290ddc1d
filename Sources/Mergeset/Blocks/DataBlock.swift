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
        keys = SearchKeys(
            count: items.count, base: items.data.base, offsets: items.offsets, shared: items.shared)
        memoryBytes = items.memoryBytes + keys.memoryBytes + 128
        self.items = items
    }

    /// What a search in the block reads first.
    var firstAddress: UInt { keys.firstAddress }

    /// Position of the first item that is not smaller than `target`, in `0...count`.
    func lowerBound(_ target: UnsafeRawBufferPointer) -> Int { keys.lowerBound(target) }

    /// The place of a target that is greater than the first item and shares exactly `sharedWithFirst` bytes with it; -1 when
    /// that is not known.
    func place(_ target: UnsafeRawBufferPointer, sharedWithFirst: Int) -> SearchKeys.Place {
        keys.find(target, sharedWithFirst: sharedWithFirst)
    }
}
