// SearchKeys.swift - finding a place in sorted strings with few cache misses and few comparisons of bytes.
//
// Strings of an index share long prefixes, so their leading bytes tell little. What tells a string from the one before it
// is how many bytes they share, and what comes behind those. Both fit into a word of 8 bytes:
//
//   word      16 bits: 65535 - shared bytes | 48 bits: the 6 bytes behind them, big-endian, zero-padded
//
//   words     one a string, relative to the string before it
//   samples   one of every 16th string, relative to the one 16 before it      with the places of these strings in one
//   tops      one of every 256th string, likewise                             allocation, which stays in the cache
//
// A search walks along the tops, then the samples between two tops, then the words between two samples. At every moment it
// knows how many bytes the target shares with the string passed last, which is smaller than the target, and so the word
// that the target itself would have behind that string:
//
//   the next string shares more with it    it is smaller than the target, too, for the same reason       smaller word
//   it shares less                         it is greater: it has left the common bytes upwards           greater word
//   it shares equally much                 the 6 bytes decide; only if they are equal, too, the string is looked at
//
// So one comparison of words is a step. What lies between two samples is asked for at once, the strings included, so that
// the cache misses overlap. At the end it is known how much the target shares with the string before its place: a search of
// the block that begins with that string starts from there.
//
// A word cannot say that 65535 bytes or more are shared. A target that shares so many with a string is looked for by
// comparing strings.
//
// Contract: the owner keeps strings and offsets where they are, and 8 bytes behind the last string are readable.
// Threads: immutable after it was made.

import CIntrinsics
import StorageBytes

/// Search keys of sorted strings that lie one behind the other in memory that somebody else keeps.
struct SearchKeys: ~Copyable, @unchecked Sendable {
    /// A place among the strings.
    struct Place {
        /// The first string that is not smaller than the target, in `0...count`.
        var index: Int
        /// Bytes that the target shares with the string before; -1 when there is none.
        var sharedWithPrevious: Int
        /// Bytes that the target shares with the string at the place; -1 when that did not come out.
        var sharedWithNext = -1
    }

    let count: Int
    let memoryBytes: Int
    private let topCount: Int
    private let sampleCount: Int
    private let base: UnsafeRawPointer
    private let offsets: UnsafePointer<UInt32>
    private let tops: UnsafeMutablePointer<UInt64>
    private let samples: UnsafeMutablePointer<UInt64>
    /// Start and end of the string of each sample.
    private let extents: UnsafeMutablePointer<UInt32>
    private let words: UnsafeMutablePointer<UInt64>

    private static let sharedMax = 0xFFFF
    private static let groupShift = 4
    private static let group = 16
    /// A group whose strings take more bytes than this is not asked for as a whole.
    private static let prefetchBytesMax = 2048
    /// Whether the strings are likely to be away from the cache.
    private let isLarge: Bool

    /// Keys of `count` strings in ascending order, at least one.
    ///
    /// - Parameters:
    ///   - base: What the offsets count from.
    ///   - offsets: `count + 1` of them: where each string starts and the one before it ends.
    ///   - shared: Bytes that each string shares with the one before it, exactly; nil finds them out.
    /// - Complexity: O(count); O(bytes) without `shared`.
    init(
        count: Int, base: UnsafeRawPointer, offsets: UnsafePointer<UInt32>, shared: UnsafePointer<UInt32>? = nil
    ) {
        precondition(count > 0, "search keys of no strings")
        self.count = count
        isLarge = shared != nil
        self.base = base
        self.offsets = offsets
        let sampleCount = (count + SearchKeys.group - 1) >> SearchKeys.groupShift
        let topCount = (sampleCount + SearchKeys.group - 1) >> SearchKeys.groupShift
        let upper = SearchKeys.allocate(topCount + 2 * sampleCount)
        let words = SearchKeys.allocate(count)
        let samples = upper + topCount
        let extents = UnsafeMutableRawPointer(samples + sampleCount).bindMemory(
            to: UInt32.self, capacity: 2 * sampleCount)
        var sharedWithSample = 0
        var sharedWithTop = 0
        var previous = UnsafeRawBufferPointer(start: base, count: 0)
        for index in 0..<count {
            let start = Int(offsets[index])
            let string = UnsafeRawBufferPointer(start: base + start, count: Int(offsets[index &+ 1]) &- start)
            var common = 0
            if index > 0 {
                if let shared { common = Int(shared[index]) } else { common = Bytes.commonPrefix(previous, string) }
            }
            previous = string
            words[index] = SearchKeys.word(string, common)
            sharedWithSample = min(sharedWithSample, common)
            guard index % SearchKeys.group == 0 else { continue }
            let sample = index >> SearchKeys.groupShift
            extents[2 &* sample] = offsets[index]
            extents[2 &* sample &+ 1] = offsets[index &+ 1]
            samples[sample] = SearchKeys.word(string, sharedWithSample)
            sharedWithTop = min(sharedWithTop, sharedWithSample)
            sharedWithSample = .max
            guard sample % SearchKeys.group == 0 else { continue }
            upper[sample >> SearchKeys.groupShift] = SearchKeys.word(string, sharedWithTop)
            sharedWithTop = .max
        }
        self.sampleCount = sampleCount
        self.topCount = topCount
        tops = upper
        self.samples = samples
        self.extents = extents
        self.words = words
        memoryBytes = (topCount + 2 * sampleCount + count) * 8
    }

    deinit {
        UnsafeMutableRawPointer(tops).deallocate()
        UnsafeMutableRawPointer(words).deallocate()
    }

    private static func allocate(_ words: Int) -> UnsafeMutablePointer<UInt64> {
        UnsafeMutableRawPointer.allocate(byteCount: words * 8, alignment: 64).bindMemory(
            to: UInt64.self, capacity: words)
    }

    /// What a search reads first: ``prefetch(_:)`` may be called with it before anything else is touched.
    var firstAddress: UInt { UInt(bitPattern: tops) }

    /// Asks for the cache lines that a search reads first. Any address will do: nothing is read.
    @inline(__always)
    static func prefetch(_ address: UInt) {
        guard let start = UnsafeRawPointer(bitPattern: address) else { return }
        for line in 0..<8 { ci_prefetch(start + line &* 64) }
    }

    /// The word of a string that shares `shared` bytes with the one before it.
    @inline(__always)
    private static func word(_ string: UnsafeRawBufferPointer, _ shared: Int) -> UInt64 {
        let left = string.count &- shared
        var key: UInt64 = 0
        if left > 0 {
            // Eight readable bytes are always there; those behind the string are masked away.
            key = BigEndian.load64(string.baseAddress.unsafelyUnwrapped + shared)
            if left < 8 { key &= ~(UInt64.max &>> UInt64(truncatingIfNeeded: left &* 8)) }
        }
        return word(key, shared)
    }

    @inline(__always)
    private static func word(_ key: UInt64, _ shared: Int) -> UInt64 {
        UInt64(truncatingIfNeeded: sharedMax &- min(shared, sharedMax)) &<< 48 | key &>> 16
    }

    @inline(__always)
    private func string(_ index: Int) -> UnsafeRawBufferPointer {
        let start = Int(offsets[index])
        return UnsafeRawBufferPointer(start: base + start, count: Int(offsets[index &+ 1]) &- start)
    }

    /// Position of the first string that is not smaller than `target`, in `0...count`.
    func lowerBound(_ target: UnsafeRawBufferPointer) -> Int { find(target, sharedWithFirst: -1).index }

    /// The place of `target`.
    ///
    /// - Parameter sharedWithFirst: Bytes that the target shares with the first string, exactly, which is smaller; -1 when
    ///   that is not known.
    @inline(never)
    func find(_ target: UnsafeRawBufferPointer, sharedWithFirst: Int) -> Place {
        var walk = Walk(target, depth: max(sharedWithFirst, 0))
        let top = walk.pass(
            tops, from: sharedWithFirst < 0 ? 0 : 1, to: topCount, base, extents, stride: 2 &* SearchKeys.group)
        if top == 0 { return walk.isDeep ? findByBytes(target) : Place(index: 0, sharedWithPrevious: -1) }
        // The strings between the last top that is smaller and the next top.
        let sample = walk.pass(
            samples, from: (top &- 1) &<< SearchKeys.groupShift &+ 1,
            to: min(top &<< SearchKeys.groupShift, sampleCount), base, extents, stride: 2)
        if isLarge { prefetchGroup(sample &- 1) }
        let start = (sample &- 1) &<< SearchKeys.groupShift
        let index = walk.pass(
            words, from: start &+ 1, to: min(start &+ SearchKeys.group, count), base, offsets, stride: 1)
        if walk.isDeep { return findByBytes(target) }
        return Place(index: index, sharedWithPrevious: walk.depth, sharedWithNext: walk.stoppedDepth)
    }

    /// Asks for the words, the offsets and, if they are short, the strings of a group: all at once.
    @inline(__always)
    private func prefetchGroup(_ sample: Int) {
        let start = sample &<< SearchKeys.groupShift
        ci_prefetch(words + start)
        ci_prefetch(words + (start &+ 8))
        ci_prefetch(offsets + start)
        ci_prefetch(offsets + (start &+ 16))
        guard sample &+ 1 < sampleCount else { return }
        var line = base + Int(extents[2 &* sample])
        let end = base + Int(extents[2 &* sample &+ 2])
        if end - line > SearchKeys.prefetchBytesMax { return }
        while line < end {
            ci_prefetch(line)
            line += 64
        }
    }

    /// A binary search without keys.
    @inline(never)
    private func findByBytes(_ target: UnsafeRawBufferPointer) -> Place {
        var low = 0
        var high = count
        while low < high {
            let middle = (low &+ high) >> 1
            if Bytes.compare(string(middle), target) < 0 { low = middle &+ 1 } else { high = middle }
        }
        return Place(
            index: low, sharedWithPrevious: low == 0 ? -1 : Bytes.commonPrefix(string(low &- 1), target))
    }

    /// A target on its way along ascending strings that are smaller.
    private struct Walk {
        private let target: UnsafeRawBufferPointer
        /// Bytes that the target shares with the string passed last.
        private(set) var depth: Int
        /// More bytes are shared than a word can say: the walk stands still.
        private(set) var isDeep: Bool
        /// Bytes that the target shares with the string that ended the last pass; -1 when none did.
        private(set) var stoppedDepth = -1

        @inline(__always)
        init(_ target: UnsafeRawBufferPointer, depth: Int) {
            self.target = target
            self.depth = depth
            isDeep = depth >= SearchKeys.sharedMax
        }

        /// The word that the target has behind a string with which it shares `depth` bytes.
        @inline(__always)
        private static func word(_ target: UnsafeRawBufferPointer, _ depth: Int) -> UInt64 {
            let left = target.count &- depth
            var key: UInt64 = 0
            if left >= 8 {
                key = BigEndian.load64(target.baseAddress.unsafelyUnwrapped + depth)
            } else if left > 0 {
                // Nothing behind the target may be read; what is before its last bytes is shifted out.
                let start = target.baseAddress.unsafelyUnwrapped
                if target.count >= 8 {
                    key = BigEndian.load64(start + (target.count &- 8)) &<< UInt64(truncatingIfNeeded: 64 &- 8 &* left)
                } else {
                    key = Bytes.leadingKey(start + depth, left)
                }
            }
            return SearchKeys.word(key, depth)
        }

        /// The first of the words `from..<to` whose string is not smaller than the target.
        ///
        /// - Parameter places: Where the string of word i starts and ends, from `base`: elements `i * stride` and the next.
        @inline(never)
        mutating func pass(
            _ words: UnsafePointer<UInt64>, from: Int, to end: Int, _ base: UnsafeRawPointer,
            _ places: UnsafePointer<UInt32>, stride: Int
        ) -> Int {
            stoppedDepth = -1
            if isDeep { return from }
            var index = from
            var depth = self.depth
            defer { self.depth = depth }
            while index < end {
                let own = Walk.word(target, depth)
                // What is below shares more with the string before than the target does, or as much and then has a
                // smaller byte: nothing changes.
                let bound = own & ~0xFF_FFFF_FFFF
                while words[index] < bound {
                    index &+= 1
                    if index == end { return index }
                }
                let word = words[index]
                if word > own {
                    // Equal bytes at the end may be padding of the target.
                    let shared = SearchKeys.sharedMax &- Int(truncatingIfNeeded: word &>> 48)
                    let same = (word ^ own).leadingZeroBitCount >> 3 &- 2
                    stoppedDepth = shared < depth ? shared : min(depth &+ same, target.count)
                    return index
                }
                let place = places + index &* stride
                if word == own {
                    let start = Int(place[0])
                    let string = UnsafeRawBufferPointer(start: base + start, count: Int(place[1]) &- start)
                    let more = Walk.commonPrefix(target, string, depth)
                    // Equal, or the target is a prefix; or the next byte is greater.
                    if more == target.count || (more < string.count && string[more] > target[more]) {
                        stoppedDepth = more
                        return index
                    }
                    depth = more
                } else {
                    let same = (word ^ own).leadingZeroBitCount >> 3 &- 2
                    depth &+= same
                    // Where the last equal byte is a zero, the string may have ended before it: padding is no byte.
                    if word &>> UInt64(truncatingIfNeeded: 48 &- 8 &* same) & 0xFF == 0 {
                        depth = min(depth, Int(place[1] &- place[0]))
                    }
                }
                if depth >= SearchKeys.sharedMax {
                    isDeep = true
                    return index
                }
                index &+= 1
            }
            return index
        }

        /// Bytes that the target shares with a string, of which `depth` are known.
        @inline(__always)
        private static func commonPrefix(
            _ target: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer, _ depth: Int
        ) -> Int {
            let limit = min(target.count, other.count)
            guard depth < limit else { return limit }
            return depth
                &+ Bytes.commonPrefix(
                    target.baseAddress.unsafelyUnwrapped + depth, other.baseAddress.unsafelyUnwrapped + depth,
                    limit &- depth)
        }
    }
}
