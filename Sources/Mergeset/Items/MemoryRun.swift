// MemoryRun.swift - a sealed run: sorted items in memory, searchable, not yet durable. Nothing is compressed.
//
//   arena   the bytes, in the order in which they were added
//   refs    (offset, length) of each item, or its two pieces (ItemRef+Joined.swift), in item order
//
// A flush puts items in two pieces together one by one. A search cannot: it gets a copy of the run with whole items, which is
// made when somebody first asks for it.
//
// Threads: immutable and shared. It dies with its last reader after its items became durable in a file part; the arena
// then goes back to the pool it came from.

import StorageBytes
import StorageRuntime

/// Sorted items in memory. O(items) to make.
final class MemoryRun: @unchecked Sendable {
    private var arena: RawBuffer
    private let pool: ArenaPool?
    private let refs: RefList
    /// Items and bytes in normalised form (docs/format/bench-harness.md, 2.1).
    let normalisedItems: UInt64, normalisedBytes: UInt64
    /// Bytes of the items.
    let itemBytes: UInt64
    /// When its first item was added, on the monotonic clock, and its place in the order in which runs were opened.
    let openedAt: UInt64, number: UInt64
    private let isWhole: Bool
    private let copy = Protected<MemoryRun?>(nil)

    /// A run of sorted references into `arena`, which goes to `pool` in the end.
    init(
        arena: consuming RawBuffer, refs: consuming RefList, normalisedItems: UInt64, normalisedBytes: UInt64,
        openedAt: UInt64 = 0, number: UInt64 = 0, pool: ArenaPool?
    ) {
        precondition(refs.count > 0, "a run without items")
        self.arena = arena
        self.pool = pool
        self.openedAt = openedAt
        self.number = number
        var bytes: UInt64 = 0
        var joined = 0
        for index in 0..<refs.count {
            bytes &+= UInt64(refs[index].itemBytes)
            if refs[index].isJoined { joined &+= 1 }
        }
        itemBytes = bytes
        isWhole = joined == 0
        self.refs = refs
        self.normalisedItems = normalisedItems
        self.normalisedBytes = normalisedBytes
    }

    deinit {
        guard let pool else { return }
        var taken = RawBuffer()
        swap(&taken, &arena)
        pool.put(taken)
    }

    var count: Int { refs.count }

    var base: UnsafeRawPointer { UnsafeRawPointer(arena.base) }

    var sortedRefs: UnsafePointer<ItemRef> { UnsafePointer(refs.base) }

    /// This run with whole items: itself, or a copy that lives as long as it does. O(bytes) for whoever asks first.
    var whole: MemoryRun {
        if isWhole { return self }
        return copy.withLock { copy in
            if let copy { return copy }
            var target = RawBuffer(capacity: Int(itemBytes))
            var list = RefList(capacity: count)
            for index in 0..<count {
                let ref = refs[index]
                target.reserve(ref.itemBytes)
                if ref.isJoined {
                    ref.join(base, at: target.end)
                } else {
                    target.end.copyMemory(from: base + Int(ref.offset), byteCount: ref.itemBytes)
                }
                list.append(
                    ItemRef(
                        key: 0, offset: UInt32(truncatingIfNeeded: target.count),
                        length: UInt32(truncatingIfNeeded: ref.itemBytes)))
                target.commit(ref.itemBytes)
            }
            let made = MemoryRun(
                arena: target, refs: list, normalisedItems: normalisedItems, normalisedBytes: normalisedBytes,
                openedAt: openedAt, number: number, pool: nil)
            copy = made
            return made
        }
    }

    /// Item `index` in item order, of a run of whole items.
    func item(_ index: Int) -> UnsafeRawBufferPointer {
        let ref = refs[index]
        assert(!ref.isJoined)
        return UnsafeRawBufferPointer(start: base + Int(ref.offset), count: Int(ref.length))
    }

    /// Bytes of memory in use. The rest of the arena has not been touched, or waits in it for the next run anyhow.
    var memoryBytes: Int { arena.count + refs.count * MemoryLayout<ItemRef>.stride }

    /// Position of the first item that is not smaller than `key`, in a run of whole items. O(log items) comparisons.
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
