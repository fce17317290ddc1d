// ItemSort.swift - sorts references to byte strings that lie in one arena.
//
//   ItemRef   | key: 8 bytes of the string from the current depth on, big-endian, zero-padded | offset | length |
//
// Comparing two keys compares eight bytes at once without touching the strings. Three algorithms share the work:
//
//   > 192 refs       MSD radix: one counting pass over the first byte in which the keys of the range differ
//   13 ... 192       multikey quicksort: three-way partition on the whole key
//   <= 12            insertion sort on the key, then on the bytes behind it
//
// Where all the keys of a range are equal, strings that end inside the key come first, shorter before longer (a padded
// zero and a real one look alike; the length decides). The others share these eight bytes and, in an index, usually
// many more: the longest common prefix of the range is taken in one pass and the keys are reloaded behind it.
//
// Equal strings end up next to each other in any order. Worst case O(total bytes); no allocation but the scratch space.
// Contract: offsets and lengths are inside the arena, and RawBuffer.slack bytes behind its end are readable.

import CIntrinsics

/// A string in an arena together with eight of its bytes.
@frozen public struct ItemRef: Sendable {
    /// Bytes of the string from some depth on, as a big-endian number, zero-padded. Which depth depends on the owner.
    public var key: UInt64
    /// First byte of the string, from the start of the arena.
    public var offset: UInt32
    /// Bytes of the string.
    public var length: UInt32

    /// A reference.
    @inlinable public init(key: UInt64, offset: UInt32, length: UInt32) {
        self.key = key
        self.offset = offset
        self.length = length
    }
}

/// Sorting of references.
public enum ItemSort {
    static let insertionMax = 12
    static let radixMin = 193
    /// Strings that share more than this are compared as wholes: the recursion ends here, so hostile input cannot use
    /// up the stack.
    static let depthMax = 4096

    /// Sorts `refs` by the strings they stand for, in ascending bytewise order. The keys need not be set before and are
    /// those of various depths afterwards.
    ///
    /// - Parameters:
    ///   - base: Start of the arena the offsets count from.
    ///   - scratch: At least as many refs as `refs` has; its contents are lost.
    public static func sort(
        _ refs: UnsafeMutableBufferPointer<ItemRef>, base: UnsafeRawPointer,
        scratch: UnsafeMutableBufferPointer<ItemRef>
    ) {
        precondition(scratch.count >= refs.count, "scratch for \(scratch.count) of \(refs.count) refs")
        guard refs.count > 1, let start = refs.baseAddress, let other = scratch.baseAddress else { return }
        let sorter = Sorter(base: base, scratch: other)
        sorter.sortBehindCommonPrefix(start, refs.count, 0)
    }
}

/// The recursion, with what stays the same in it.
struct Sorter {
    let base: UnsafeRawPointer
    let scratch: UnsafeMutablePointer<ItemRef>

    /// The key of a string at `depth`; zero when it ends there or before.
    @inline(__always)
    func key(_ ref: ItemRef, _ depth: Int) -> UInt64 {
        let left = Int(ref.length) &- depth
        let address = base + (Int(ref.offset) &+ depth)
        if left >= 8 { return BigEndian.load64(address) }
        if left <= 0 { return 0 }
        // Eight readable bytes are always there (slack); those behind the string are masked away.
        return BigEndian.load64(address) & ~(UInt64.max &>> UInt64(truncatingIfNeeded: left &* 8))
    }

    /// Sorts strings that share their first `depth` bytes and whose keys are not loaded yet.
    func sortBehindCommonPrefix(_ refs: UnsafeMutablePointer<ItemRef>, _ count: Int, _ depth: Int) {
        // The prefix of all is the shortest prefix shared with the first.
        let first = refs[0]
        let firstBytes = base + (Int(first.offset) &+ depth)
        var shared = Int(first.length) &- depth
        var index = 1
        while index < count, shared > 0 {
            let ref = refs[index]
            let limit = Swift.min(shared, Int(ref.length) &- depth)
            shared = Bytes.commonPrefix(firstBytes, base + (Int(ref.offset) &+ depth), limit)
            index &+= 1
        }
        let next = depth &+ shared
        for index in 0..<count { refs[index].key = key(refs[index], next) }
        sort(refs, count, next)
    }

    /// Sorts strings that share their first `depth` bytes and whose keys are those at `depth`.
    func sort(_ refs: UnsafeMutablePointer<ItemRef>, _ count: Int, _ depth: Int) {
        if depth > ItemSort.depthMax {
            var buffer = UnsafeMutableBufferPointer(start: refs, count: count)
            buffer.sort { isLess($0, $1, depth) }
        } else if count >= ItemSort.radixMin {
            radix(refs, count, depth)
        } else {
            quick(refs, count, depth)
        }
    }

    // MARK: radix

    private func radix(_ refs: UnsafeMutablePointer<ItemRef>, _ count: Int, _ depth: Int) {
        let first = refs[0].key
        var different: UInt64 = 0
        for index in 1..<count { different |= refs[index].key ^ first }
        if different == 0 {
            sortEqualKeys(refs, count, depth)
            return
        }
        // The first byte in which any two keys differ; the bytes above it are the same in all.
        let shift = UInt64(56 &- (different.leadingZeroBitCount & ~7))
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 257) { ends in
            let ends = ends.baseAddress.unsafelyUnwrapped
            ends.initialize(repeating: 0, count: 257)
            for index in 0..<count { ends[Int(truncatingIfNeeded: refs[index].key &>> shift) & 0xFF &+ 1] &+= 1 }
            for value in 1..<257 { ends[value] &+= ends[value &- 1] }
            // ends[v] is the start of bucket v now, and its end after the scatter.
            for index in 0..<count {
                let ref = refs[index]
                let value = Int(truncatingIfNeeded: ref.key &>> shift) & 0xFF
                scratch[Int(ends[value])] = ref
                ends[value] &+= 1
            }
            refs.update(from: scratch, count: count)
            var start = 0
            for value in 0..<256 {
                let end = Int(ends[value])
                let size = end &- start
                if size > 1 {
                    if shift == 0, size >= ItemSort.radixMin {
                        sortEqualKeys(refs + start, size, depth)
                    } else {
                        sort(refs + start, size, depth)
                    }
                }
                start = end
            }
        }
    }

    // MARK: multikey quicksort

    private func quick(_ start: UnsafeMutablePointer<ItemRef>, _ total: Int, _ depth: Int) {
        var refs = start
        var count = total
        while count > ItemSort.insertionMax {
            let pivot = medianKey(refs, count)
            // [0, less) < pivot, [less, index) == pivot, [greater, count) > pivot
            var less = 0
            var greater = count
            var index = 0
            while index < greater {
                let ref = refs[index]
                if ref.key < pivot {
                    refs[index] = refs[less]
                    refs[less] = ref
                    less &+= 1
                    index &+= 1
                } else if ref.key > pivot {
                    greater &-= 1
                    refs[index] = refs[greater]
                    refs[greater] = ref
                } else {
                    index &+= 1
                }
            }
            if greater &- less > 1 { sortEqualKeys(refs + less, greater &- less, depth) }
            // The smaller side by recursion, the larger one in this loop: the stack stays logarithmic.
            let above = count &- greater
            if less < above {
                if less > 1 { quick(refs, less, depth) }
                refs += greater
                count = above
            } else {
                if above > 1 { quick(refs + greater, above, depth) }
                count = less
            }
        }
        if count > 1 { insertion(refs, count, depth) }
    }

    @inline(__always)
    private func medianKey(_ refs: UnsafeMutablePointer<ItemRef>, _ count: Int) -> UInt64 {
        func median(_ a: UInt64, _ b: UInt64, _ c: UInt64) -> UInt64 {
            Swift.max(Swift.min(a, b), Swift.min(Swift.max(a, b), c))
        }
        let middle = count >> 1
        if count < 40 { return median(refs[0].key, refs[middle].key, refs[count &- 1].key) }
        let step = count >> 3
        return median(
            median(refs[0].key, refs[step].key, refs[2 &* step].key),
            median(refs[middle &- step].key, refs[middle].key, refs[middle &+ step].key),
            median(refs[count &- 1 &- 2 &* step].key, refs[count &- 1 &- step].key, refs[count &- 1].key))
    }

    // MARK: equal keys

    /// Sorts strings whose keys at `depth` are all equal.
    private func sortEqualKeys(_ refs: UnsafeMutablePointer<ItemRef>, _ count: Int, _ depth: Int) {
        let next = depth &+ 8
        // Strings that end inside the key first, shorter before longer.
        var ended = 0
        for index in 0..<count where Int(refs[index].length) <= next {
            let ref = refs[index]
            refs[index] = refs[ended]
            refs[ended] = ref
            ended &+= 1
        }
        if ended > 1 { sortByLength(refs, ended, depth) }
        let rest = count &- ended
        if rest > 1 {
            if rest <= ItemSort.insertionMax {
                for index in ended..<count { refs[index].key = key(refs[index], next) }
                insertion(refs + ended, rest, next)
            } else {
                sortBehindCommonPrefix(refs + ended, rest, next)
            }
        }
    }

    /// Counting sort by length; all lengths are in `depth...depth + 8`.
    private func sortByLength(_ refs: UnsafeMutablePointer<ItemRef>, _ count: Int, _ depth: Int) {
        var isSorted = true
        for index in 1..<count where refs[index &- 1].length > refs[index].length {
            isSorted = false
            break
        }
        if isSorted { return }
        var filled = 0
        for length in depth...(depth &+ 8) {
            for index in 0..<count where Int(refs[index].length) == length {
                scratch[filled] = refs[index]
                filled &+= 1
            }
        }
        assert(filled == count)
        refs.update(from: scratch, count: count)
    }

    // MARK: insertion sort

    private func insertion(_ refs: UnsafeMutablePointer<ItemRef>, _ count: Int, _ depth: Int) {
        for index in 1..<count {
            let ref = refs[index]
            var hole = index
            while hole > 0, isLess(ref, refs[hole &- 1], depth) {
                refs[hole] = refs[hole &- 1]
                hole &-= 1
            }
            refs[hole] = ref
        }
    }

    @inline(__always)
    private func isLess(_ a: ItemRef, _ b: ItemRef, _ depth: Int) -> Bool {
        if a.key != b.key { return a.key < b.key }
        return isLessBehindKey(a, b, depth &+ 8)
    }

    private func isLessBehindKey(_ a: ItemRef, _ b: ItemRef, _ next: Int) -> Bool {
        let aLeft = Int(a.length) &- next
        let bLeft = Int(b.length) &- next
        if aLeft <= 0 || bLeft <= 0 { return a.length < b.length }
        return Bytes.compare(base + (Int(a.offset) &+ next), aLeft, base + (Int(b.offset) &+ next), bLeft) < 0
    }
}
