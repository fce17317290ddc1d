// RefList.swift - a growing array of item references with one owner.

import StorageBytes

/// References to items of one arena, in the order in which they were appended.
struct RefList: ~Copyable, @unchecked Sendable {
    private(set) var base: UnsafeMutablePointer<ItemRef>
    private(set) var count = 0
    private(set) var capacity: Int

    init(capacity: Int = 256) {
        self.capacity = capacity
        base = .allocate(capacity: capacity)
    }

    deinit { base.deallocate() }

    @inline(__always)
    subscript(index: Int) -> ItemRef {
        get { base[index] }
        nonmutating set { base[index] = newValue }
    }

    var buffer: UnsafeMutableBufferPointer<ItemRef> { UnsafeMutableBufferPointer(start: base, count: count) }

    mutating func removeAll() { count = 0 }

    mutating func truncate(to newCount: Int) {
        assert(newCount <= count)
        count = newCount
    }

    @inline(__always)
    mutating func append(_ ref: ItemRef) {
        if count == capacity { grow(to: capacity * 2) }
        base[count] = ref
        count &+= 1
    }

    mutating func append(_ source: UnsafePointer<ItemRef>, _ extra: Int) {
        if count + extra > capacity { grow(to: max(capacity * 2, count + extra)) }
        (base + count).update(from: source, count: extra)
        count += extra
    }

    @inline(never)
    private mutating func grow(to wider: Int) {
        let target = UnsafeMutablePointer<ItemRef>.allocate(capacity: wider)
        target.update(from: base, count: count)
        base.deallocate()
        base = target
        capacity = wider
    }
}
