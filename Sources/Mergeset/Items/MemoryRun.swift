// MemoryRun.swift - a sealed run: sorted items in memory, searchable, not yet durable. Nothing is compressed.
//
//   arena   the bytes, in the order in which they were added
//   refs    (offset, length) of each item, in item order
//
// Threads: immutable and shared. It dies with its last reader after its items became durable in a file part; the arena
// then goes back to the pool it came from.

import StorageBytes
import StorageRuntime

/// The memory of a run's items. One owner while the run is open, immutable afterwards.
final class Arena: @unchecked Sendable {
    var buffer: RawBuffer
    private let pool: ArenaPool?

    init(capacity: Int, pool: ArenaPool? = nil) {
        buffer = RawBuffer(capacity: capacity)
        self.pool = pool
    }

    fileprivate init(_ buffer: consuming RawBuffer, _ pool: ArenaPool) {
        self.buffer = buffer
        self.pool = pool
    }

    deinit {
        guard let pool else { return }
        // The pool wraps the memory in a new arena: an object cannot be brought back to life in its deinit.
        var taken = RawBuffer()
        swap(&taken, &buffer)
        taken.removeAll()
        pool.put(taken)
    }
}

/// Arenas whose run has died, kept for the next runs: their pages are mapped already. Any thread.
final class ArenaPool: Sendable {
    private let lock = Lock()
    private let capacity: Int
    private let countMax: Int
    private struct Shelf: ~Copyable {
        var buffer: RawBuffer
    }
    private final class Box: @unchecked Sendable {
        var shelf: Shelf?
        init(_ shelf: consuming Shelf) { self.shelf = consume shelf }
    }
    private let boxes = Protected<[Box]>([])

    init(arenaBytes: Int, countMax: Int) {
        capacity = arenaBytes
        self.countMax = countMax
    }

    /// An empty arena of the pool's size.
    func take() -> Arena {
        let box = boxes.withLock { $0.popLast() }
        if let box, let shelf = box.shelf.take() { return Arena(shelf.buffer, self) }
        return Arena(capacity: capacity, pool: self)
    }

    fileprivate func put(_ buffer: consuming RawBuffer) {
        guard buffer.capacity >= capacity, buffer.capacity <= capacity * 2 else { return }
        let box = Box(Shelf(buffer: buffer))
        boxes.withLock { if $0.count < countMax { $0.append(box) } }
    }

    /// Bytes of the arenas that wait for their next run.
    var idleBytes: Int { boxes.withLock { $0.count } * capacity }
}

/// Sorted items in memory.
final class MemoryRun: @unchecked Sendable {
    let arena: Arena
    private let refs: RefList
    /// Items and bytes in normalised form (docs/format/bench-harness.md, 2.1).
    let normalisedItems: UInt64, normalisedBytes: UInt64
    /// Bytes of the items.
    let itemBytes: UInt64

    init(arena: Arena, refs: consuming RefList, normalisedItems: UInt64, normalisedBytes: UInt64) {
        precondition(refs.count > 0, "a run without items")
        self.arena = arena
        var bytes: UInt64 = 0
        for index in 0..<refs.count { bytes &+= UInt64(refs[index].length) }
        itemBytes = bytes
        self.refs = refs
        self.normalisedItems = normalisedItems
        self.normalisedBytes = normalisedBytes
    }

    var count: Int { refs.count }

    var base: UnsafeRawPointer { UnsafeRawPointer(arena.buffer.base) }

    var sortedRefs: UnsafePointer<ItemRef> { UnsafePointer(refs.base) }

    /// Item `index` in item order.
    func item(_ index: Int) -> UnsafeRawBufferPointer {
        let ref = refs[index]
        return UnsafeRawBufferPointer(start: base + Int(ref.offset), count: Int(ref.length))
    }

    /// Bytes of memory.
    var memoryBytes: Int { arena.buffer.capacity + refs.capacity * MemoryLayout<ItemRef>.stride }

    /// Position of the first item that is not smaller than `key`. O(log items) comparisons.
    func lowerBound(_ key: UnsafeRawBufferPointer) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) >> 1
            if Bytes.compare(item(middle), key) < 0 { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
