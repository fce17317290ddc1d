// BlockCache.swift - decoded blocks of one part, found by their number without a hash or a lock.
//
//   slots   one word a block:  pointer to the block | used | locked          0 = not kept
//
// A reader locks the slot by its lowest bit for the few instructions it takes to retain the block. All parts of a table
// share one budget of bytes; whoever brings it over the limit throws out blocks of its own part that were not used since
// the clock hand passed them last. Blocks of parts nobody reads any more go when the table sweeps.
//
// The block number is the key, so blocks without bytes in items.bin cannot be mixed up (the reference keys by offset;
// docs/format/mergeset-table.md, 15). An evicted block lives on as long as a cursor stands in it.
//
// Threads: any.

import StorageRuntime
import Synchronization

/// The bytes that the caches of a table may take, and what they count.
final class CacheBudget: Sendable {
    let bytesMax: Int
    let bytes = Atomic<Int>(0)
    let entries = Atomic<Int>(0)
    let requests = Atomic<UInt64>(0)
    let misses = Atomic<UInt64>(0)
    let evictions = Atomic<UInt64>(0)

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    var metrics: BlockCacheMetrics {
        var metrics = BlockCacheMetrics()
        metrics.requests = requests.load(ordering: .relaxed)
        metrics.misses = misses.load(ordering: .relaxed)
        metrics.evictions = evictions.load(ordering: .relaxed)
        metrics.entries = UInt64(max(entries.load(ordering: .relaxed), 0))
        metrics.bytes = UInt64(max(bytes.load(ordering: .relaxed), 0))
        metrics.bytesMax = UInt64(bytesMax)
        return metrics
    }
}

/// What a cache can keep.
protocol CachedBlock: AnyObject, Sendable {
    var memoryBytes: Int { get }
    /// What a search in the block reads first.
    var firstAddress: UInt { get }
}

extension DataBlock: CachedBlock {}
extension IndexBlock: CachedBlock {}

/// The decoded blocks of one kind of one part.
final class BlockCache<Block: CachedBlock>: @unchecked Sendable {
    private static var lockedBit: UInt { 1 }
    private static var usedBit: UInt { 2 }
    private static var pointerMask: UInt { ~3 }

    private let budget: CacheBudget
    private let slots: UnsafeMutablePointer<Atomic<UInt>>
    /// What a search will read first in each block: asked for before the block itself is touched, so that the two cache
    /// misses overlap. Only ever prefetched, so it may be stale.
    private let hints: UnsafeMutablePointer<Atomic<UInt>>
    private let count: Int
    private let hand = Atomic<Int>(0)

    /// A cache for blocks `0..<count`.
    init(count: Int, budget: CacheBudget) {
        self.count = count
        self.budget = budget
        slots = .allocate(capacity: max(count, 1))
        hints = .allocate(capacity: max(count, 1))
        for index in 0..<count {
            (slots + index).initialize(to: Atomic(0))
            (hints + index).initialize(to: Atomic(0))
        }
    }

    deinit {
        for index in 0..<count { _ = remove(index) }
        slots.deinitialize(count: count)
        slots.deallocate()
        hints.deinitialize(count: count)
        hints.deallocate()
    }

    /// The block with this number, if it is kept.
    func get(_ index: Int) -> Block? { getRetained(index)?.takeRetainedValue() }

    /// As ``get(_:)``; the caller owns the reference and has to release it.
    @inline(__always)
    func getRetained(_ index: Int) -> Unmanaged<Block>? {
        assert(index >= 0 && index < count)
        guard slots[index].load(ordering: .relaxed) & Self.pointerMask != 0 else { return nil }
        SearchKeys.prefetch(hints[index].load(ordering: .relaxed))
        let word = lock(index)
        guard word & Self.pointerMask != 0 else {
            slots[index].store(word, ordering: .releasing)
            return nil
        }
        let block = Self.block(word).retain()
        slots[index].store(word | Self.usedBit, ordering: .releasing)
        return block
    }

    /// Keeps a block, if the budget allows it or can be made to.
    ///
    /// - Parameter mayEvict: false keeps the block only while there is room (a scan must not push out what seeks use).
    func put(_ index: Int, _ block: Block, mayEvict: Bool) {
        let size = block.memoryBytes
        let total = budget.bytes.wrappingAdd(size, ordering: .relaxed).newValue
        if total > budget.bytesMax, !mayEvict || !makeRoom(total - budget.bytesMax) {
            budget.bytes.wrappingSubtract(size, ordering: .relaxed)
            return
        }
        let word = lock(index)
        if word & Self.pointerMask != 0 {
            // Another thread loaded it at the same time; one is enough.
            slots[index].store(word, ordering: .releasing)
            budget.bytes.wrappingSubtract(size, ordering: .relaxed)
            return
        }
        budget.entries.wrappingAdd(1, ordering: .relaxed)
        hints[index].store(block.firstAddress, ordering: .relaxed)
        let pointer = UInt(bitPattern: Unmanaged.passRetained(block).toOpaque())
        slots[index].store(pointer | Self.usedBit, ordering: .releasing)
    }

    /// Throws out what was not used since the last sweep.
    func sweep() {
        for index in 0..<count { evictUnlessUsed(index) }
    }

    /// Throws out blocks of this part until `bytes` are free; gives up after two rounds.
    private func makeRoom(_ bytes: Int) -> Bool {
        guard count > 0 else { return false }
        var freed = 0
        for _ in 0..<(2 * count) {
            let index = hand.wrappingAdd(1, ordering: .relaxed).oldValue % count
            freed += evictUnlessUsed(index)
            if freed >= bytes { return true }
        }
        return false
    }

    @discardableResult
    private func evictUnlessUsed(_ index: Int) -> Int {
        let seen = slots[index].load(ordering: .relaxed)
        if seen & Self.pointerMask == 0 { return 0 }
        if seen & Self.usedBit != 0 {
            let word = lock(index)
            slots[index].store(word & ~Self.usedBit, ordering: .releasing)
            return 0
        }
        let size = remove(index)
        if size > 0 { budget.evictions.wrappingAdd(1, ordering: .relaxed) }
        return size
    }

    private func remove(_ index: Int) -> Int {
        let word = lock(index)
        slots[index].store(0, ordering: .releasing)
        guard word & Self.pointerMask != 0 else { return 0 }
        let block = Self.block(word).takeRetainedValue()
        let size = block.memoryBytes
        budget.bytes.wrappingSubtract(size, ordering: .relaxed)
        budget.entries.wrappingSubtract(1, ordering: .relaxed)
        return size
    }

    /// Waits for the slot's lock and returns its word without the lock bit.
    @inline(__always)
    private func lock(_ index: Int) -> UInt {
        while true {
            let word = slots[index].load(ordering: .relaxed)
            if word & Self.lockedBit == 0,
                slots[index].weakCompareExchange(
                    expected: word, desired: word | Self.lockedBit, successOrdering: .acquiring,
                    failureOrdering: .relaxed
                ).exchanged
            {
                return word
            }
        }
    }

    private static func block(_ word: UInt) -> Unmanaged<Block> {
        Unmanaged.fromOpaque(UnsafeRawPointer(bitPattern: word & pointerMask).unsafelyUnwrapped)
    }
}
