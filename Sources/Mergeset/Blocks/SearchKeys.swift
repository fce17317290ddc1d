// SearchKeys.swift - finding a place in sorted strings with few cache misses and few comparisons of bytes.
//
// Strings of an index share long prefixes, so their leading bytes tell little. What tells a string from the one before it
// is how many bytes they share, and the 8 bytes behind those:
//
//   shared   bytes shared with the string before                              n x UInt32
//   keys     the 8 bytes behind them, big-endian, zero-padded                 n x UInt64
//   and the same for every `step`-th string, relative to the one `step` before it: the samples
//
// A search walks along the samples, then along the strings of one group, and knows at every moment how many bytes the
// target shares with the string just passed, which is smaller than the target:
//
//   the next string shares more with it    it is smaller than the target, too, for the same reason
//   it shares less                         it is greater: it has left the common bytes upwards
//   it shares equally much                 the 8 bytes decide; only if they are equal, too, the string is looked at
//
// The arrays are read from front to back, which the processor foresees; of the strings themselves rarely one is touched.
//
// Threads: immutable after it was made.

import CIntrinsics
import StorageBytes

/// Search keys of sorted strings that somebody else keeps.
struct SearchKeys: ~Copyable, @unchecked Sendable {
    let count: Int
    private let step: Int
    private let sampleCount: Int
    private let memory: UnsafeMutableRawPointer
    private let keys: UnsafeMutablePointer<UInt64>
    private let sampleKeys: UnsafeMutablePointer<UInt64>
    private let shared: UnsafeMutablePointer<UInt32>
    private let sampleShared: UnsafeMutablePointer<UInt32>

    /// Keys of `count` strings in ascending order, at least one; `string(i)` gives the i-th.
    init(count: Int, string: (Int) -> UnsafeRawBufferPointer) {
        precondition(count > 0, "search keys of no strings")
        self.count = count
        // About the square root: as many samples as strings in a group.
        var step = 4
        while step * step < count { step *= 2 }
        self.step = step
        sampleCount = (count + step - 1) / step
        memory = .allocate(byteCount: (count + sampleCount) * 12, alignment: 64)
        sampleKeys = memory.bindMemory(to: UInt64.self, capacity: sampleCount + count)
        keys = sampleKeys + sampleCount
        sampleShared = UnsafeMutableRawPointer(keys + count)
            .bindMemory(to: UInt32.self, capacity: sampleCount + count)
        shared = sampleShared + sampleCount
        var previous = UnsafeRawBufferPointer(start: nil, count: 0)
        var sharedWithSample = 0
        for index in 0..<count {
            let bytes = string(index)
            let prefix = index == 0 ? 0 : Bytes.commonPrefix(previous, bytes)
            keys[index] = SearchKeys.key(bytes, prefix)
            shared[index] = UInt32(truncatingIfNeeded: prefix)
            sharedWithSample = min(sharedWithSample, prefix)
            if index % step == 0 {
                sampleKeys[index / step] = SearchKeys.key(bytes, sharedWithSample)
                sampleShared[index / step] = UInt32(truncatingIfNeeded: sharedWithSample)
                sharedWithSample = .max
            }
            previous = bytes
        }
    }

    deinit { memory.deallocate() }

    var memoryBytes: Int { (sampleCount + count) * 12 }

    /// Asks for the cache lines that a search reads first.
    @inline(__always)
    func prefetch() {
        var offset = 0
        while offset < Swift.min(sampleCount, 64) {
            ci_prefetch(sampleKeys + offset)
            ci_prefetch(sampleShared + offset)
            offset &+= 8
        }
    }

    @inline(__always)
    private static func key(_ bytes: UnsafeRawBufferPointer, _ depth: Int) -> UInt64 {
        guard bytes.count > depth else { return 0 }
        return Bytes.leadingKey(bytes.baseAddress.unsafelyUnwrapped + depth, bytes.count &- depth)
    }

    /// Position of the first string that is not smaller than `target`, in `0...count`.
    @inline(__always)
    func lowerBound(_ target: UnsafeRawBufferPointer, string: (Int) -> UnsafeRawBufferPointer) -> Int {
        var walk = Walk(target)
        var group = 0
        while group < sampleCount,
            walk.passes(Int(sampleShared[group]), sampleKeys[group], { string(group &* step) })
        {
            group &+= 1
        }
        // The strings between the last sample that is smaller and the next sample.
        guard group > 0 else { return 0 }
        let end = Swift.min(group &* step, count)
        var index = (group &- 1) &* step &+ 1
        while index < end, walk.passes(Int(shared[index]), keys[index], { string(index) }) { index &+= 1 }
        return index
    }

    /// A target on its way along ascending strings that are smaller.
    private struct Walk {
        private let target: UnsafeRawBufferPointer
        /// Bytes that the target shares with the string passed last, and its next 8 bytes.
        private var depth = 0
        private var key: UInt64

        @inline(__always)
        init(_ target: UnsafeRawBufferPointer) {
            self.target = target
            key = SearchKeys.key(target, 0)
        }

        /// Passes the next string if it is smaller than the target. `otherDepth` and `otherKey` are relative to the
        /// string passed last.
        @inline(__always)
        mutating func passes(_ otherDepth: Int, _ otherKey: UInt64, _ string: () -> UnsafeRawBufferPointer) -> Bool {
            if otherDepth != depth { return otherDepth > depth }
            if otherKey > key { return false }
            if otherKey < key {
                // The string may end inside the key; it shares no more than its length.
                let same = (otherKey ^ key).leadingZeroBitCount >> 3
                if same > 0 {
                    depth = Swift.min(depth &+ same, string().count)
                    key = SearchKeys.key(target, depth)
                }
                return true
            }
            return passesByBytes(string())
        }

        @inline(never)
        private mutating func passesByBytes(_ other: UnsafeRawBufferPointer) -> Bool {
            let same = Bytes.commonPrefix(target, other)
            if same == target.count { return false }  // equal, or the target is a prefix
            if same < other.count, other[same] > target[same] { return false }
            depth = same
            key = SearchKeys.key(target, depth)
            return true
        }
    }
}
