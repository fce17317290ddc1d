// SearchKeys.swift - finding a place in sorted strings with few cache misses and few comparisons of bytes.
//
// Strings of an index share long prefixes, so their leading bytes tell little. What tells a string from the one before it
// is how many bytes they share, and the 8 bytes behind those:
//
//   entry    key: the 8 bytes behind them, big-endian, zero-padded | shared | offset of the string      n x 16 bytes
//   sample   the same of every `step`-th string, relative to the one `step` before it
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

/// Search keys of sorted strings that lie one behind the other in memory that somebody else keeps.
struct SearchKeys: ~Copyable, @unchecked Sendable {
    /// What is known of a string relative to the one before it.
    private struct Entry {
        var key: UInt64
        var shared: UInt32
        var offset: UInt32
    }

    let count: Int
    private let step: Int
    private let sampleCount: Int
    private let base: UnsafeRawPointer
    private let samples: UnsafeMutablePointer<Entry>
    /// `count` entries, and one that ends the last string. In the same allocation as the samples.
    private let entries: UnsafeMutablePointer<Entry>

    /// Keys of `count` strings in ascending order, at least one.
    ///
    /// - Parameters:
    ///   - base: What the offsets count from.
    ///   - offset: Where string i starts, and the one before it ends; asked for 0 to `count`.
    init(count: Int, base: UnsafeRawPointer, offset: (Int) -> Int) {
        precondition(count > 0, "search keys of no strings")
        self.count = count
        self.base = base
        // About the square root: as many samples as strings in a group.
        var step = 4
        while step * step < count { step *= 2 }
        self.step = step
        sampleCount = (count + step - 1) / step
        samples = UnsafeMutableRawPointer.allocate(
            byteCount: (sampleCount + count + 1) * MemoryLayout<Entry>.stride, alignment: 64
        ).bindMemory(to: Entry.self, capacity: sampleCount + count + 1)
        entries = samples + sampleCount
        var previous = UnsafeRawBufferPointer(start: base, count: 0)
        var sharedWithSample = 0
        var start = offset(0)
        for index in 0..<count {
            let end = offset(index + 1)
            let bytes = UnsafeRawBufferPointer(start: base + start, count: end - start)
            let prefix = index == 0 ? 0 : Bytes.commonPrefix(previous, bytes)
            entries[index] = SearchKeys.entry(bytes, prefix, start)
            sharedWithSample = min(sharedWithSample, prefix)
            if index % step == 0 {
                samples[index / step] = SearchKeys.entry(bytes, sharedWithSample, start)
                sharedWithSample = .max
            }
            previous = bytes
            start = end
        }
        entries[count] = Entry(key: 0, shared: 0, offset: UInt32(start))
    }

    deinit { UnsafeMutableRawPointer(samples).deallocate() }

    var memoryBytes: Int { (sampleCount + count + 1) * MemoryLayout<Entry>.stride }

    /// What a search reads first: ``prefetch(_:)`` may be called with it before anything else is touched.
    var firstAddress: UInt { UInt(bitPattern: samples) }

    /// Asks for the cache lines that a search reads first. Any address will do: nothing is read.
    @inline(__always)
    static func prefetch(_ address: UInt) {
        guard let start = UnsafeRawPointer(bitPattern: address) else { return }
        for line in 0..<8 { ci_prefetch(start + line &* 64) }
    }

    @inline(__always)
    private static func entry(_ bytes: UnsafeRawBufferPointer, _ shared: Int, _ offset: Int) -> Entry {
        Entry(
            key: key(bytes, shared), shared: UInt32(truncatingIfNeeded: shared),
            offset: UInt32(truncatingIfNeeded: offset))
    }

    @inline(__always)
    private static func key(_ bytes: UnsafeRawBufferPointer, _ depth: Int) -> UInt64 {
        guard bytes.count > depth else { return 0 }
        return Bytes.leadingKey(bytes.baseAddress.unsafelyUnwrapped + depth, bytes.count &- depth)
    }

    @inline(__always)
    private func string(_ index: Int) -> UnsafeRawBufferPointer {
        let start = Int(entries[index].offset)
        return UnsafeRawBufferPointer(start: base + start, count: Int(entries[index &+ 1].offset) &- start)
    }

    /// Position of the first string that is not smaller than `target`, in `0...count`.
    func lowerBound(_ target: UnsafeRawBufferPointer) -> Int {
        var walk = Walk(target)
        var group = 0
        while group < sampleCount {
            let sample = samples[group]
            guard walk.passes(Int(sample.shared), sample.key, { string(group &* step) }) else { break }
            group &+= 1
        }
        // The strings between the last sample that is smaller and the next sample.
        guard group > 0 else { return 0 }
        let end = Swift.min(group &* step, count)
        var index = (group &- 1) &* step &+ 1
        var ahead = index
        while ahead < end {
            ci_prefetch(entries + ahead)
            ahead &+= 4
        }
        while index < end {
            let entry = entries[index]
            guard walk.passes(Int(entry.shared), entry.key, { string(index) }) else { break }
            index &+= 1
        }
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
                let same = (otherKey ^ key).leadingZeroBitCount >> 3
                if same > 0 {
                    depth &+= same
                    // Where the last equal byte is a zero, the string may have ended before it: padding is no byte.
                    if otherKey &>> UInt64(64 &- 8 &* same) & 0xFF == 0 { depth = Swift.min(depth, string().count) }
                    key = SearchKeys.key(target, depth)
                }
                return true
            }
            return passesByBytes(string(), knownDepth: depth)
        }

        @inline(never)
        private mutating func passesByBytes(_ other: UnsafeRawBufferPointer, knownDepth: Int) -> Bool {
            let limit = Swift.min(target.count, other.count)
            var same = Swift.min(knownDepth, limit)
            if same < limit {
                same &+= Bytes.commonPrefix(
                    target.baseAddress.unsafelyUnwrapped + same, other.baseAddress.unsafelyUnwrapped + same,
                    limit &- same)
            }
            if same == target.count { return false }  // equal, or the target is a prefix
            if same < other.count, other[same] > target[same] { return false }
            depth = same
            key = SearchKeys.key(target, depth)
            return true
        }
    }
}
