// TagSlots.swift - the tags of one name being put into canonical order (docs/format/series-index.md, 2.5).
//
//   base   | slot 0 | slot 1 | ... | slot n-1 | free        | room of them; when sorting merges, the room behind
//                                                             the slots is its scratch
//
// Stable sort by sort key, then a tag whose key equals that of the tag before it replaces it. Up to 32 tags insertion
// sort, which costs little where tags arrive nearly in order; above that a merge sort over runs of 16, so that a hostile
// name of a million tags takes time in proportion, not its square.
//
// Threads: one owner at a time, with the workspace it is part of.

import StorageBytes

/// A growing run of tag slots.
struct TagSlots: ~Copyable {
    private(set) var base: UnsafeMutablePointer<TagSlot>
    private(set) var room = 64

    private static let insertionMax = 32
    private static let run = 16

    init() { base = .allocate(capacity: room) }

    deinit { base.deallocate() }

    /// Doubles the room; the first `used` slots are kept.
    @inline(never) mutating func grow(used: Int) { grow(to: 2 * room, used: used) }

    private mutating func grow(to newRoom: Int, used: Int) {
        let target = UnsafeMutablePointer<TagSlot>.allocate(capacity: newRoom)
        target.update(from: base, count: used)
        base.deallocate()
        base = target
        room = newRoom
    }

    /// Sorts the first `count` slots and removes duplicates; returns how many are left.
    mutating func sort(_ count: Int, source: UnsafeRawPointer) -> Int {
        if count <= TagSlots.insertionMax {
            TagSlots.insertionSort(base, count, source)
        } else {
            if room < 2 * count { grow(to: 2 * count, used: count) }
            mergeSort(count, source)
        }
        return removeDuplicates(count, source)
    }

    /// Tells whether the sort key of `a` is greater than that of `b`.
    @inline(__always) private static func isAfter(_ a: TagSlot, _ b: TagSlot, _ source: UnsafeRawPointer) -> Bool {
        a.sortHead != b.sortHead ? a.sortHead > b.sortHead : compareTied(a, b, source) > 0
    }

    /// Compares sort keys with equal leading numbers. Where one of them has no more than eight bytes, it is the other
    /// one's prefix but for zeros, and the length decides; so a sort position, three bytes long, never has to be read.
    @inline(never) private static func compareTied(_ a: TagSlot, _ b: TagSlot, _ source: UnsafeRawPointer) -> Int {
        let aCount = a.sortLength
        let bCount = b.sortLength
        if aCount <= 8 || bCount <= 8 { return aCount &- bCount }
        return Bytes.compare(
            source + (Int(a.keyOffset) &+ 8), aCount &- 8, source + (Int(b.keyOffset) &+ 8), bCount &- 8)
    }

    private static func insertionSort(
        _ slots: UnsafeMutablePointer<TagSlot>, _ count: Int, _ source: UnsafeRawPointer
    ) {
        var index = 1
        while index < count {
            let slot = slots[index]
            var place = index
            while place > 0, isAfter(slots[place &- 1], slot, source) {
                slots[place] = slots[place &- 1]
                place &-= 1
            }
            slots[place] = slot
            index &+= 1
        }
    }

    private mutating func mergeSort(_ count: Int, _ source: UnsafeRawPointer) {
        var start = 0
        while start < count {
            TagSlots.insertionSort(base + start, Swift.min(TagSlots.run, count - start), source)
            start += TagSlots.run
        }
        var from = base
        var to = base + count
        var width = TagSlots.run
        while width < count {
            start = 0
            while start < count {
                let middle = Swift.min(start + width, count)
                let end = Swift.min(start + 2 * width, count)
                TagSlots.merge(from, start, middle, end, to, source)
                start = end
            }
            swap(&from, &to)
            width *= 2
        }
        if from != base { base.update(from: from, count: count) }
    }

    /// Merges two neighbouring sorted ranges; of equal ones the left comes first.
    private static func merge(
        _ from: UnsafeMutablePointer<TagSlot>, _ start: Int, _ middle: Int, _ end: Int,
        _ to: UnsafeMutablePointer<TagSlot>, _ source: UnsafeRawPointer
    ) {
        var left = start
        var right = middle
        for place in start..<end {
            if right == end || left < middle && !isAfter(from[left], from[right], source) {
                to[place] = from[left]
                left += 1
            } else {
                to[place] = from[right]
                right += 1
            }
        }
    }

    /// Of neighbours with the same key the last one stays. Keys of one sort position may differ: only equal keys count.
    private func removeDuplicates(_ count: Int, _ source: UnsafeRawPointer) -> Int {
        var kept = 0
        var index = 1
        while index < count {
            if !TagSlots.haveSameKey(base[kept], base[index], source) { kept &+= 1 }
            if kept != index { base[kept] = base[index] }
            index &+= 1
        }
        return Swift.min(kept &+ 1, count)
    }

    @inline(__always) private static func haveSameKey(
        _ a: TagSlot, _ b: TagSlot, _ source: UnsafeRawPointer
    ) -> Bool {
        guard a.sortHead == b.sortHead, a.keyLength == b.keyLength else { return false }
        let length = Int(a.keyLength)
        return Bytes.compare(source + Int(a.keyOffset), length, source + Int(b.keyOffset), length) == 0
    }
}
