// IndexBlockCache.swift - decoded index blocks of one part, by their number.
//
//   slots   block | used since the clock hand passed        one for each row of the metaindex
//
// A search asks for one or two index blocks a series, so a lock a part is cheap enough. All parts of a store share one
// budget of bytes; whoever brings it over the limit throws out blocks of its own part that were not used since the hand
// passed them last, and does without caching if that does not help.
//
// Threads: any.

import StorageRuntime
import Synchronization

/// The bytes that the index block caches of a store may take, and what they count.
public final class IndexCacheBudget: Sendable {
    /// The limit.
    public let bytesMax: Int
    let bytes = Atomic<Int>(0)
    let entries = Atomic<Int>(0)
    let requests = Atomic<UInt64>(0)
    let misses = Atomic<UInt64>(0)

    /// A budget of `bytesMax` bytes.
    public init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// Requests and misses since the start, entries and bytes now.
    public var counters: (requests: UInt64, misses: UInt64, entries: Int, bytes: Int) {
        (
            requests.load(ordering: .relaxed), misses.load(ordering: .relaxed), entries.load(ordering: .relaxed),
            bytes.load(ordering: .relaxed)
        )
    }
}

/// The decoded index blocks of one part.
final class IndexBlockCache: @unchecked Sendable {
    private struct Slot {
        var block: SampleIndexBlock?
        var isUsed = false
    }

    private let budget: IndexCacheBudget
    private let lock = Lock()
    private var slots: [Slot]
    private var hand = 0

    init(count: Int, budget: IndexCacheBudget) {
        self.budget = budget
        slots = Array(repeating: Slot(), count: count)
    }

    deinit { for index in slots.indices { remove(index) } }

    /// The block with this number, if it is kept.
    func get(_ index: Int) -> SampleIndexBlock? {
        budget.requests.wrappingAdd(1, ordering: .relaxed)
        lock.lock()
        defer { lock.unlock() }
        guard let block = slots[index].block else {
            budget.misses.wrappingAdd(1, ordering: .relaxed)
            return nil
        }
        slots[index].isUsed = true
        return block
    }

    /// Keeps a block, if the budget allows it or can be made to.
    func put(_ index: Int, _ block: SampleIndexBlock) {
        lock.lock()
        defer { lock.unlock() }
        guard slots[index].block == nil else { return }
        let size = block.memoryBytes
        let total = budget.bytes.wrappingAdd(size, ordering: .relaxed).newValue
        if total > budget.bytesMax, !makeRoom(total - budget.bytesMax) {
            budget.bytes.wrappingSubtract(size, ordering: .relaxed)
            return
        }
        slots[index] = Slot(block: block, isUsed: true)
        budget.entries.wrappingAdd(1, ordering: .relaxed)
    }

    /// Throws out what was not used since the last sweep.
    func sweep() {
        lock.lock()
        defer { lock.unlock() }
        for index in slots.indices { _ = evictUnlessUsed(index) }
    }

    private func makeRoom(_ bytes: Int) -> Bool {
        var freed = 0
        for _ in 0..<(2 * slots.count) {
            hand = hand + 1 < slots.count ? hand + 1 : 0
            freed += evictUnlessUsed(hand)
            if freed >= bytes { return true }
        }
        return false
    }

    private func evictUnlessUsed(_ index: Int) -> Int {
        if slots[index].isUsed {
            slots[index].isUsed = false
            return 0
        }
        return remove(index)
    }

    @discardableResult
    private func remove(_ index: Int) -> Int {
        guard let block = slots[index].block else { return 0 }
        slots[index].block = nil
        budget.bytes.wrappingSubtract(block.memoryBytes, ordering: .relaxed)
        budget.entries.wrappingSubtract(1, ordering: .relaxed)
        return block.memoryBytes
    }
}
