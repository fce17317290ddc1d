// PostingLists.swift - many growing lists of metric ids in one allocation.
//
//   PostingList  | count UInt32 | capacity UInt32 | value UInt64 |      16 bytes
//
// capacity 0: `value` is the only id (most lists of a fresh index have one). Otherwise `value` is the position of the
// list in the pool of ids, where it has room for `capacity` ids; a full list moves to a place twice as large. The room
// left behind is lost until the pool is cleared: less than the lists themselves take.
//
// Threads: one owner.

import StorageBytes

/// A list of metric ids in a ``PostingPool``.
struct PostingList {
    var count: UInt32 = 0
    var capacity: UInt32 = 0
    var value: UInt64 = 0
}

/// The memory of posting lists.
struct PostingPool: ~Copyable {
    private var ids: UnsafeMutablePointer<UInt64>
    private var used = 0
    private var capacity: Int

    init() {
        capacity = 1024
        ids = .allocate(capacity: capacity)
    }

    deinit { ids.deallocate() }

    mutating func removeAll() { used = 0 }

    var memoryBytes: Int { capacity * 8 }

    /// Appends an id to a list of this pool.
    @inline(__always)
    mutating func append(_ id: UInt64, to list: inout PostingList) {
        if list.capacity == 0 {
            if list.count == 0 {
                list.value = id
                list.count = 1
                return
            }
            move(&list, to: 4)
        } else if list.count == list.capacity {
            move(&list, to: list.capacity &* 2)
        }
        ids[Int(list.value) &+ Int(list.count)] = id
        list.count &+= 1
    }

    @inline(never)
    private mutating func move(_ list: inout PostingList, to wanted: UInt32) {
        if used + Int(wanted) > capacity {
            let wider = max(capacity * 2, used + Int(wanted))
            let target = UnsafeMutablePointer<UInt64>.allocate(capacity: wider)
            target.update(from: ids, count: used)
            ids.deallocate()
            ids = target
            capacity = wider
        }
        if list.capacity == 0 {
            ids[used] = list.value
        } else {
            (ids + used).update(from: ids + Int(list.value), count: Int(list.count))
        }
        list.value = UInt64(used)
        list.capacity = wanted
        used += Int(wanted)
    }

    /// Puts the ids of a list in ascending order, drops repeated ones, and calls `body` with them.
    @inline(__always)
    mutating func withSortedIDs(_ list: inout PostingList, _ body: (UnsafePointer<UInt64>, Int) -> Void) {
        if list.capacity == 0 {
            guard list.count > 0 else { return }
            withUnsafePointer(to: &list.value) { body($0, 1) }
            return
        }
        let start = ids + Int(list.value)
        let count = Int(list.count)
        var isAscending = true
        var index = 1
        while index < count {
            if start[index] <= start[index &- 1] {
                isAscending = false
                break
            }
            index &+= 1
        }
        if !isAscending { list.count = UInt32(sortAndUnite(start, count)) }
        body(start, Int(list.count))
    }
}

/// Sorts ids and drops repeated ones, in place; returns how many are left.
func sortAndUnite(_ ids: UnsafeMutablePointer<UInt64>, _ count: Int) -> Int {
    guard count > 1 else { return count }
    var buffer = UnsafeMutableBufferPointer(start: ids, count: count)
    buffer.sort()
    var kept = 1
    for index in 1..<count where ids[index] != ids[kept - 1] {
        ids[kept] = ids[index]
        kept += 1
    }
    return kept
}
