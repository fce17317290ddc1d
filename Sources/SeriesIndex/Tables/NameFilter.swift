// NameFilter.swift - tells that a name is certainly not in an index table, so that a new series costs no search.
//
//   level 0   64 Ki names    | block 64 B | block 64 B | ...       a blocked Bloom filter: a name has one block a level,
//   level 1   64 Ki                                                and 7 of its 512 bits
//   level 2   128 Ki
//   level n   2^(n-1) x 64 Ki                                      24 bits a name at the level's capacity
//
// Names go into the last level; when it holds its number of names, a level is added, so nothing is ever built again.
// A question looks at one cache line a level: 4 levels for half a million names, 8 for 10 million. At capacity about
// 0.02 % of unknown names pass a level; those that pass are searched for in the table, which costs time, and memory for the
// blocks that are decoded for it (with 16 bits a name: 3000 blocks for 500 k series, 190 MB).
//
// What stands behind a name is its keyed fingerprint: nobody who chooses label values can choose bits.
//
// Threads: any number may ask and insert at once. Bits are set by atomic operations. A name inserted by one thread is seen
// by another as soon as anything orders the two (the lock of a shard of PendingNames does).

import CIntrinsics
import StorageBytes
import StorageRuntime
import Synchronization

/// A growing set of fingerprints with false positives and no false negatives.
final class NameFilter: @unchecked Sendable {
    private typealias Word = Atomic<UInt64>

    private struct Level {
        var words: UnsafeMutablePointer<Word>
        var blocks: UInt64
    }

    static let bitsPerName = 24
    private static let wordsPerBlock = 8
    private static let probes = 7
    private static let firstCapacity = 1 << 16
    private static let levelsMax = 40

    private let levels: UnsafeMutablePointer<Level>
    private let levelCount = Atomic<Int>(0)
    private let inserted = Atomic<Int>(0)
    /// Names that fit before a level has to be added.
    private let capacity = Atomic<Int>(0)
    private let growing = Lock()

    init() {
        levels = .allocate(capacity: NameFilter.levelsMax)
        grow(seen: 0)
    }

    deinit {
        for index in 0..<levelCount.load(ordering: .acquiring) {
            UnsafeMutableRawPointer(levels[index].words).deallocate()
        }
        levels.deallocate()
    }

    /// Names inserted so far, those inserted twice counted twice.
    var count: Int { inserted.load(ordering: .relaxed) }

    /// Bytes of all levels.
    var memoryBytes: Int {
        var bytes = 0
        for index in 0..<levelCount.load(ordering: .acquiring) {
            bytes += Int(levels[index].blocks) * NameFilter.wordsPerBlock * 8
        }
        return bytes
    }

    /// Asks for the cache lines that ``mayContain(_:)`` and ``insert(_:)`` will read.
    func prefetch(_ name: Fingerprint) {
        for index in 0..<levelCount.load(ordering: .acquiring) { ci_prefetch(block(index, name)) }
    }

    /// False when the name was certainly not inserted.
    func mayContain(_ name: Fingerprint) -> Bool {
        for index in 0..<levelCount.load(ordering: .acquiring) where isSet(block(index, name), name.high) {
            return true
        }
        return false
    }

    /// Inserts a name.
    func insert(_ name: Fingerprint) {
        let number = inserted.wrappingAdd(1, ordering: .relaxed).newValue
        if number > capacity.load(ordering: .relaxed) { grow(seen: number) }
        let target = block(levelCount.load(ordering: .acquiring) &- 1, name)
        var bits = name.high
        for _ in 0..<NameFilter.probes {
            let word = target + Int(truncatingIfNeeded: bits & 511) >> 6
            let bit: UInt64 = 1 &<< (bits & 63)
            if word.pointee.load(ordering: .relaxed) & bit == 0 { word.pointee.bitwiseOr(bit, ordering: .relaxed) }
            bits &>>= 9
        }
    }

    @inline(__always) private func block(_ level: Int, _ name: Fingerprint) -> UnsafeMutablePointer<Word> {
        let number = name.low.multipliedFullWidth(by: levels[level].blocks).high
        return levels[level].words + Int(truncatingIfNeeded: number) &* NameFilter.wordsPerBlock
    }

    @inline(__always) private func isSet(_ block: UnsafeMutablePointer<Word>, _ name: UInt64) -> Bool {
        var bits = name
        for _ in 0..<NameFilter.probes {
            let word = block + Int(truncatingIfNeeded: bits & 511) >> 6
            if word.pointee.load(ordering: .relaxed) & (1 &<< (bits & 63)) == 0 { return false }
            bits &>>= 9
        }
        return true
    }

    private func grow(seen number: Int) {
        growing.withLock {
            let held = capacity.load(ordering: .relaxed)
            guard held == 0 || number > held else { return }
            let count = levelCount.load(ordering: .relaxed)
            guard count < NameFilter.levelsMax else { return }  // 2^55 names
            let added = Swift.max(held, NameFilter.firstCapacity)
            let bytes = added / 8 * NameFilter.bitsPerName
            let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
            memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
            // Atomic<UInt64> has the representation of UInt64; zero bytes are an initialised zero.
            levels[count] = Level(
                words: memory.bindMemory(to: Word.self, capacity: bytes / 8),
                blocks: UInt64(bytes / (8 * NameFilter.wordsPerBlock)))
            levelCount.store(count + 1, ordering: .releasing)
            capacity.store(held + added, ordering: .relaxed)
        }
    }
}
