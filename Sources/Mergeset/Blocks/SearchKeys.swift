// SearchKeys.swift - finding a place in sorted strings with few cache misses.
//
//   prefix   what all the strings share
//   keys     8 bytes of each string behind the prefix, big-endian, zero-padded        n x UInt64
//   samples  every 16th key, in one piece                                             n / 16 x UInt64
//
// A search reads the samples (a few cache lines, asked for all at once), then two lines of keys, then nearly always one
// string. Strings with equal keys are told apart by their bytes.
//
// Threads: immutable after it was made.

import CIntrinsics
import StorageBytes

/// Search keys of sorted strings that somebody else keeps.
struct SearchKeys: ~Copyable, @unchecked Sendable {
    private let keys: UnsafeMutablePointer<UInt64>
    private let samples: UnsafeMutablePointer<UInt64>
    private let sampleCount: Int
    let count: Int
    private let prefixCount: Int

    private static let step = 16

    /// Keys of `count` strings in ascending order, at least one; `string(i)` gives the i-th.
    init(count: Int, string: (Int) -> UnsafeRawBufferPointer) {
        precondition(count > 0, "search keys of no strings")
        self.count = count
        let prefix = Bytes.commonPrefix(string(0), string(count - 1))
        prefixCount = prefix
        sampleCount = (count + SearchKeys.step - 1) / SearchKeys.step
        // One allocation: the keys behind the samples.
        samples = .allocate(capacity: sampleCount + count)
        keys = samples + sampleCount
        for index in 0..<count {
            let bytes = string(index)
            let key =
                bytes.count > prefix
                ? Bytes.leadingKey(bytes.baseAddress.unsafelyUnwrapped + prefix, bytes.count - prefix) : 0
            keys[index] = key
            if index % SearchKeys.step == 0 { samples[index / SearchKeys.step] = key }
        }
    }

    deinit { samples.deallocate() }

    var memoryBytes: Int { (sampleCount + count) * 8 }

    /// Asks for the cache lines that a search reads first.
    @inline(__always)
    func prefetch() {
        var offset = 0
        while offset < Swift.min(sampleCount, 128) {
            ci_prefetch(samples + offset)
            offset &+= 8
        }
    }

    /// Position of the first string that is not smaller than `target`, in `0...count`.
    @inline(__always)
    func lowerBound(_ target: UnsafeRawBufferPointer, string: (Int) -> UnsafeRawBufferPointer) -> Int {
        if prefixCount > 0 {
            let prefix = UnsafeRawBufferPointer(rebasing: string(0)[0..<prefixCount])
            let shared = Bytes.commonPrefix(target, prefix)
            if shared < prefixCount {
                return target.count == shared || target[shared] < prefix[shared] ? 0 : count
            }
        }
        let rest = target.count &- prefixCount
        let key =
            rest > 0 ? Bytes.leadingKey(target.baseAddress.unsafelyUnwrapped + prefixCount, rest) : 0
        let group = SearchKeys.lowerBound(samples, sampleCount, key)
        // The keys between sample group - 1 and sample group, and that sample itself.
        let start = group == 0 ? 0 : (group &- 1) &* SearchKeys.step
        let end = Swift.min(group &* SearchKeys.step &+ 1, count)
        let found = start &+ SearchKeys.lowerBound(keys + start, Swift.max(end &- start, 0), key)
        if found == count || keys[found] != key { return found }
        return lowerBoundOfEqualKeys(found, key, target, string: string)
    }

    /// Among strings with equal keys, from `first` on.
    private func lowerBoundOfEqualKeys(
        _ first: Int, _ key: UInt64, _ target: UnsafeRawBufferPointer, string: (Int) -> UnsafeRawBufferPointer
    ) -> Int {
        if Bytes.compare(string(first), target) >= 0 { return first }
        // Gallop to a string that is not smaller, or has another key; then halve.
        var low = first
        var step = 1
        var high = first &+ 1
        while high < count, keys[high] == key, Bytes.compare(string(high), target) < 0 {
            low = high
            step &*= 2
            high = Swift.min(low &+ step, count)
        }
        low &+= 1
        while low < high {
            let middle = (low &+ high) >> 1
            if keys[middle] == key, Bytes.compare(string(middle), target) < 0 { low = middle &+ 1 } else { high = middle }
        }
        return low
    }

    /// Position of the first number that is not smaller than `key`; branch-free halving.
    @inline(__always)
    private static func lowerBound(_ numbers: UnsafePointer<UInt64>, _ count: Int, _ key: UInt64) -> Int {
        var base = 0
        var left = count
        while left > 1 {
            let half = left >> 1
            base = numbers[base &+ half &- 1] < key ? base &+ half : base
            left &-= half
        }
        return left == 1 && numbers[base] < key ? base &+ 1 : base
    }
}
