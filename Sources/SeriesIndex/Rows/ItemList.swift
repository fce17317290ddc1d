// ItemList.swift - a batch of items in the order they were made: bytes in one buffer, places beside it.
//
//   bytes    | item 0 | item 1 | ... | item n-1 | free
//   places   | offset, length | x n
//
// Contract: pointers to items die with the next item, with `removeAll` and with the list.
// Threads: one owner at a time.

import StorageBytes

/// A growing list of byte strings in one buffer.
public struct ItemList: ~Copyable, @unchecked Sendable {
    private struct Place {
        var offset: Int
        var length: Int
    }

    private var buffer = RawBuffer(capacity: 4096)
    private var places: UnsafeMutablePointer<Place>
    private var room = 64

    /// Number of items.
    public private(set) var count = 0
    /// Bytes of all items.
    public var byteCount: Int { buffer.count }

    /// A list without items.
    public init() { places = .allocate(capacity: room) }

    deinit { places.deallocate() }

    /// The item at `index` in the order of creation, `0..<count`. Valid until the list changes.
    public subscript(index: Int) -> UnsafeRawBufferPointer {
        precondition(index >= 0 && index < count, "item \(index) of \(count)")
        return UnsafeRawBufferPointer(start: buffer.base + places[index].offset, count: places[index].length)
    }

    /// Forgets the items and keeps the memory.
    public mutating func removeAll() {
        buffer.removeAll()
        count = 0
    }

    /// Room for an item of up to `lengthMax` bytes; ``commit(_:)`` makes it an item.
    public mutating func reserve(_ lengthMax: Int) -> UnsafeMutableRawPointer {
        buffer.reserve(lengthMax)
        return buffer.end
    }

    /// Declares that an item of `length` bytes was written to the address that ``reserve(_:)`` gave last.
    public mutating func commit(_ length: Int) {
        if count == room { growPlaces() }
        (places + count).initialize(to: Place(offset: buffer.count, length: length))
        buffer.commit(length)
        count += 1
    }

    /// Appends a copy of an item.
    public mutating func append(_ item: UnsafeRawBufferPointer) {
        let target = reserve(item.count)
        if let start = item.baseAddress { target.copyMemory(from: start, byteCount: item.count) }
        commit(item.count)
    }

    private mutating func growPlaces() {
        let target = UnsafeMutablePointer<Place>.allocate(capacity: 2 * room)
        target.moveInitialize(from: places, count: count)
        places.deallocate()
        places = target
        room *= 2
    }
}
