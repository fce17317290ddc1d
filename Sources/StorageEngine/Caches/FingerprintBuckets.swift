// FingerprintBuckets.swift - the memory of a TSID cache: one shard's buckets, and everything that is unsafe about them.
//
// A bucket is 256 bytes, four cache lines:
//
//   word 0       version 20 bits | overflow | busy | tag 5 ... tag 0 (7 bits each, from bit 0 on)
//   bytes 8-13   stamp of each entry: generation (6 bits, 1...63) | level (2 bits); 0 = the entry is empty
//   words 2-31   six entries of five words: fingerprint high, low; metricGroupID; jobID and instanceID; metricID
//
// A fingerprint has two buckets, primary and secondary, by multiply-shift of its halves. It is put into the first one
// that has room; if none has, entries of the primary move on to their secondary buckets, up to two in a row. The
// overflow mark of a bucket says that some fingerprint with this primary bucket was put elsewhere: only then the
// secondary one is looked at. So most misses touch one cache line and most hits two, at a load of up to about 0.95.
//
// Growth happens in place: the address range for the largest size is reserved at the start and made usable piece by
// piece. With n' > n buckets floor(h * n' / 2^64) >= floor(h * n / 2^64), so the buckets are taken out and put back from
// the last to the first; whoever is put into a bucket that is still to come is simply taken out with it again.
//
// Threads. Loads by any thread at any time; `put`, `replace` by one thread at a
// time, while others load; `grow`, `removeAll` alone. All words are loaded and stored as atomics, so a reader may meet a
// half-written entry and notices by the version of word 0 (a seqlock): busy before, or another version after. The version
// has 20 bits: a reader would have to sleep through exactly 2^20 changes of one bucket in the middle of copying 40 bytes
// to be misled. An entry is never emptied while others may load, and moves go from the primary to the secondary bucket
// only, target first: who looks at the buckets in this order misses nothing that stays in.
//
// Contract of the pointers: `base` addresses `bucketCountMax` buckets, of which `bucketCount` are usable memory; a bucket
// index is in 0..<bucketCount. Bucket pointers are good while nobody grows or empties the shard.

import CIntrinsics
import Glibc
import StorageBytes

/// A bucket: the address of word 0.
typealias BucketPointer = UnsafeMutablePointer<UInt64>

/// What an entry says beside its fingerprint.
struct CacheEntry {
    var fingerprint: Fingerprint
    var value: CachedTSID
    var stamp: UInt8
}

/// Operations on one bucket.
enum Bucket {
    static let bytes = 256, lines = 4
    static let words = 32
    static let slots = 6

    static let busyBit: UInt64 = 1 << 42
    static let overflowBit: UInt64 = 1 << 43
    static let versionStep: UInt64 = 1 << 44
    /// The six tags.
    static let tagBits: UInt64 = (1 << 42) - 1
    private static let tagOnes: UInt64 = 0x8_1020_4081
    private static let tagTops: UInt64 = tagOnes << 6

    /// The tag of a fingerprint: 1...127.
    @inline(__always) static func tag(_ fingerprint: Fingerprint) -> UInt64 {
        let tag = fingerprint.high & 127
        return tag == 0 ? 1 : tag
    }

    /// The slots whose tag may be `tag`, as the top bits of their seven: all that are, and sometimes the one behind.
    @inline(__always) static func candidates(_ head: UInt64, _ tag: UInt64) -> UInt64 {
        let different = (head & tagBits) ^ (tag &* tagOnes)
        return (different &- tagOnes) & ~different & tagTops
    }

    /// The slot of the lowest candidate.
    @inline(__always) static func slot(_ candidates: UInt64) -> Int {
        (candidates.trailingZeroBitCount &* 37) >> 8  // / 7, exact for 6, 13, ... 41
    }

    @inline(__always) static func head(_ bucket: BucketPointer) -> UInt64 { ci_load64(bucket) }

    @inline(__always) static func entry(_ bucket: BucketPointer, _ slot: Int) -> BucketPointer {
        bucket + (2 &+ 5 &* slot)
    }

    @inline(__always) static func stampAddress(_ bucket: BucketPointer, _ slot: Int) -> UnsafeMutablePointer<UInt8> {
        UnsafeMutableRawPointer(bucket + 1).assumingMemoryBound(to: UInt8.self) + slot
    }

    @inline(__always) static func stamp(_ bucket: BucketPointer, _ slot: Int) -> UInt8 {
        ci_load8(stampAddress(bucket, slot))
    }

    @inline(__always) static func fingerprint(_ bucket: BucketPointer, _ slot: Int) -> Fingerprint {
        let words = entry(bucket, slot)
        return Fingerprint(high: ci_load64(words), low: ci_load64(words + 1))
    }

    @inline(__always) static func value(_ bucket: BucketPointer, _ slot: Int) -> CachedTSID {
        let words = entry(bucket, slot)
        let ids = ci_load64(words + 3)
        return CachedTSID(
            metricGroupID: ci_load64(words + 2), jobID: UInt32(truncatingIfNeeded: ids >> 32),
            instanceID: UInt32(truncatingIfNeeded: ids), metricID: ci_load64(words + 4))
    }

    /// Looks for a fingerprint while others may write; returns its slot, or -1, with a consistent copy of its value.
    @inline(__always)
    static func find(
        _ bucket: BucketPointer, _ fingerprint: Fingerprint, into value: UnsafeMutablePointer<CachedTSID>
    ) -> Int {
        while true {
            let head = ci_load64_acquire(bucket)
            if head & busyBit != 0 { continue }
            var left = candidates(head, tag(fingerprint))
            var found = -1
            while left != 0 {
                let slot = slot(left)
                if self.fingerprint(bucket, slot) == fingerprint, stamp(bucket, slot) != 0 {
                    value.pointee = self.value(bucket, slot)
                    found = slot
                    break
                }
                left &= left &- 1
            }
            ci_fence_acquire()
            if ci_load64(bucket) == head { return found }
        }
    }

    /// A slot that a newcomer may have: the first empty one, or else one whose entry is old in `generation` (0: none is);
    /// -1 if there is none. For the writer.
    static func freeSlot(_ bucket: BucketPointer, _ generation: Int) -> Int {
        var old = -1
        for slot in 0..<slots {
            let stamp = stamp(bucket, slot)
            if stamp == 0 { return slot }
            if generation != 0 && CacheStamp.age(stamp, in: generation) >= 2 { old = slot }
        }
        return old
    }

    /// The slot of a fingerprint, -1 if it is not there. For the writer.
    static func slot(_ bucket: BucketPointer, of fingerprint: Fingerprint) -> Int {
        for slot in 0..<slots where stamp(bucket, slot) != 0 && self.fingerprint(bucket, slot) == fingerprint {
            return slot
        }
        return -1
    }

    /// Writes a slot. For the writer; readers meet the old or the new entry.
    static func write(_ bucket: BucketPointer, _ slot: Int, _ entry: CacheEntry) {
        let head = ci_load64(bucket)
        ci_store64(bucket, head | busyBit)
        ci_fence_release()
        let words = self.entry(bucket, slot)
        ci_store64(words, entry.fingerprint.high)
        ci_store64(words + 1, entry.fingerprint.low)
        ci_store64(words + 2, entry.value.metricGroupID)
        ci_store64(words + 3, UInt64(entry.value.jobID) << 32 | UInt64(entry.value.instanceID))
        ci_store64(words + 4, entry.value.metricID)
        ci_store8(stampAddress(bucket, slot), entry.stamp)
        let shift = UInt64(7 &* slot)
        let tagged = head & ~(127 << shift) | tag(entry.fingerprint) << shift
        ci_store64_release(bucket, tagged &+ versionStep)
    }

    /// Copies a slot. For the writer.
    static func load(_ bucket: BucketPointer, _ slot: Int) -> CacheEntry {
        CacheEntry(
            fingerprint: fingerprint(bucket, slot), value: value(bucket, slot), stamp: stamp(bucket, slot))
    }

    /// Sets the overflow mark. For the writer.
    static func markOverflow(_ bucket: BucketPointer) {
        let head = ci_load64(bucket)
        if head & overflowBit == 0 { ci_store64_release(bucket, (head | overflowBit) &+ versionStep) }
    }

    /// Asks for the two lines in which an entry may lie.
    @inline(__always) static func prefetchEntry(_ bucket: BucketPointer, _ slot: Int) {
        let words = entry(bucket, slot)
        ci_prefetch(words)
        ci_prefetch(words + 4)
    }
}

/// Where the buckets of a shard are: what a lookup needs to know.
struct BucketRange {
    var base: BucketPointer
    var count: UInt64

    /// The bucket that a fingerprint prefers. The range is not empty.
    @inline(__always) func primary(_ fingerprint: Fingerprint) -> BucketPointer {
        base + Int(truncatingIfNeeded: fingerprint.high.multipliedFullWidth(by: count).high) &* Bucket.words
    }

    /// Its other bucket; may be the same one. The range is not empty.
    @inline(__always) func secondary(_ fingerprint: Fingerprint) -> BucketPointer {
        base + Int(truncatingIfNeeded: fingerprint.low.multipliedFullWidth(by: count).high) &* Bucket.words
    }
}

/// The buckets of one shard.
final class FingerprintBuckets {
    /// The buckets in use.
    private(set) var range: BucketRange
    /// Entries that are not empty.
    var entryCount = 0
    /// Counts up with every contest for a slot: the source of the draws.
    var draws: UInt64 = 0
    private(set) var bucketCountMax: Int
    private let base: BucketPointer
    private let mapping: UnsafeMutableRawPointer?
    private let mappingBytes: Int
    private let bucketCountMin: Int
    private var usableBytes = 0

    private static let hugePageBytes = 2 << 20
    private static let pageBytes = 4096
    private static let usableStepBytes = 1 << 20

    /// An empty shard that may grow to `bucketCountMax` buckets. When the address space does not give that much, the
    /// shard stays without buckets.
    init(bucketCountMax: Int) {
        var countMax = max(0, bucketCountMax)
        let bytes = (countMax * Bucket.bytes + FingerprintBuckets.pageBytes - 1) & ~(FingerprintBuckets.pageBytes - 1)
        mappingBytes = bytes + FingerprintBuckets.hugePageBytes
        let address =
            countMax == 0
            ? nil : mmap(nil, mappingBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        if let address, address != MAP_FAILED {
            let huge = UInt(FingerprintBuckets.hugePageBytes)
            let start = (UInt(bitPattern: address) + huge - 1) / huge * huge
            mapping = address
            base = UnsafeMutableRawPointer(bitPattern: start).unsafelyUnwrapped.assumingMemoryBound(to: UInt64.self)
        } else {
            countMax = 0
            mapping = nil
            base = BucketPointer(bitPattern: 8).unsafelyUnwrapped  // never looked at: there are no buckets
        }
        self.bucketCountMax = countMax
        bucketCountMin = min(countMax, FingerprintBuckets.pageBytes / Bucket.bytes)
        range = BucketRange(base: base, count: 0)
        if makeUsable(bucketCountMin) { range.count = UInt64(bucketCountMin) }
    }

    deinit {
        if let mapping { munmap(mapping, mappingBytes) }
    }

    /// Buckets in use.
    var bucketCount: Int { Int(range.count) }
    /// Bytes of the buckets.
    var bytes: Int { bucketCount * Bucket.bytes }
    /// Whether the shard has its largest size.
    var isLargest: Bool { bucketCount >= bucketCountMax }

    /// Whether an entry without a free slot should rather find a larger shard than have others moved for it: from nine
    /// tenths of the slots on, that takes longer and longer.
    private var shouldGrow: Bool { !isLargest && entryCount &* 10 >= bucketCount &* Bucket.slots &* 9 }

    /// The bucket with a number.
    func bucket(_ index: Int) -> BucketPointer {
        precondition(index >= 0 && index < bucketCount, "bucket \(index) of \(bucketCount)")
        return base + index * Bucket.words
    }

    /// Where a fingerprint is; nil if it is not there. For the writer.
    func place(of fingerprint: Fingerprint) -> (bucket: BucketPointer, slot: Int)? {
        guard bucketCount > 0 else { return nil }
        let first = range.primary(fingerprint)
        var slot = Bucket.slot(first, of: fingerprint)
        if slot >= 0 { return (first, slot) }
        if Bucket.head(first) & Bucket.overflowBit == 0 { return nil }
        let second = range.secondary(fingerprint)
        slot = Bucket.slot(second, of: fingerprint)
        return slot >= 0 ? (second, slot) : nil
    }

    /// What became of an entry that was to be put.
    enum Placing { case added, replacedOld, noRoom }

    /// Puts an entry that is not there yet into a slot that is empty or old, or can be made so by moving others on. For
    /// the writer.
    ///
    /// - Parameter generation: By which entries are old; 0 takes empty slots only.
    func put(_ entry: CacheEntry, generation: Int = 0) -> Placing {
        guard bucketCount > 0 else { return .noRoom }
        let first = range.primary(entry.fingerprint)
        let second = range.secondary(entry.fingerprint)
        var target = free(first, generation)
        if target == nil || !target!.isEmpty, let other = free(second, generation), target == nil || other.isEmpty {
            target = other
        }
        if target == nil, !shouldGrow {
            target = makeRoom(first, depth: 2, generation) ?? makeRoom(second, depth: 2, generation)
        }
        guard let target else { return .noRoom }
        if target.bucket != first { Bucket.markOverflow(first) }
        Bucket.write(target.bucket, target.slot, entry)
        if !target.isEmpty { return .replacedOld }
        entryCount += 1
        return .added
    }

    /// A slot that may be written over. `isEmpty` tells whether one more slot is taken then.
    private struct Target {
        var bucket: BucketPointer
        var slot: Int
        var isEmpty: Bool
    }

    private func free(_ bucket: BucketPointer, _ generation: Int) -> Target? {
        let slot = Bucket.freeSlot(bucket, generation)
        return slot < 0 ? nil : Target(bucket: bucket, slot: slot, isEmpty: Bucket.stamp(bucket, slot) == 0)
    }

    /// Replaces the entry in a slot of one of the two buckets of `entry`. For the writer.
    func replace(_ bucket: BucketPointer, _ slot: Int, _ entry: CacheEntry) {
        let first = range.primary(entry.fingerprint)
        if bucket != first { Bucket.markOverflow(first) }
        Bucket.write(bucket, slot, entry)
    }

    /// A slot whose entry was moved on to its secondary bucket (it is still there, too: write over it at once); nil when no
    /// entry of this bucket can move. Up to 6 + 36 buckets are looked at. Nothing moves into `full`: it had no free slot, but
    /// a reader that had the generation from before a change may make an entry old at any moment.
    private func makeRoom(
        _ bucket: BucketPointer, depth: Int, _ generation: Int, full: BucketPointer? = nil
    ) -> Target? {
        for step in 1...depth {
            for slot in 0..<Bucket.slots {
                let fingerprint = Bucket.fingerprint(bucket, slot)
                guard range.primary(fingerprint) == bucket else { continue }
                let other = range.secondary(fingerprint)
                guard other != bucket, other != full,
                    let target = step == 1
                        ? free(other, generation) : makeRoom(other, depth: step - 1, generation, full: bucket)
                else { continue }
                assert(Bucket.fingerprint(bucket, slot) == fingerprint)
                Bucket.markOverflow(bucket)
                Bucket.write(target.bucket, target.slot, Bucket.load(bucket, slot))
                return Target(bucket: bucket, slot: slot, isEmpty: target.isEmpty)
            }
        }
        return nil
    }

    /// Grows by a third, or to `wanted` buckets, at most to the largest size; false when that is reached or the system has
    /// no memory. Entries that find no room afterwards (next to impossible at the load after growing) are dropped; their
    /// number is returned. Alone.
    func grow(to wanted: Int? = nil) -> (hasGrown: Bool, dropped: Int) {
        let oldCount = bucketCount
        let newCount = min(bucketCountMax, wanted ?? max(oldCount + oldCount / 3, oldCount + 1))
        guard newCount > oldCount, makeUsable(newCount) else { return (false, 0) }
        for index in 0..<oldCount {
            let bucket = bucket(index)
            ci_store64(bucket, ci_load64(bucket) & ~Bucket.overflowBit)
        }
        range.count = UInt64(newCount)
        var taken: [CacheEntry] = []
        taken.reserveCapacity(Bucket.slots)
        var homeless: [CacheEntry] = []
        for index in stride(from: oldCount - 1, through: 0, by: -1) {
            let bucket = bucket(index)
            taken.removeAll(keepingCapacity: true)
            for slot in 0..<Bucket.slots where Bucket.stamp(bucket, slot) != 0 {
                taken.append(Bucket.load(bucket, slot))
                ci_store8(Bucket.stampAddress(bucket, slot), 0)
            }
            ci_store64(bucket, ci_load64(bucket) & ~Bucket.tagBits)
            entryCount -= taken.count
            for entry in taken where put(entry) == .noRoom { homeless.append(entry) }
        }
        var dropped = 0
        for entry in homeless where put(entry) == .noRoom { dropped += 1 }
        return (true, dropped)
    }

    /// Gives up growing. Alone.
    func stayAsLarge() { bucketCountMax = bucketCount }

    /// Empties the shard and gives its memory back. Alone.
    func removeAll() {
        guard bucketCount > 0 else { return }
        // The pages come back as zeros when they are touched.
        madvise(base, usableBytes, MADV_DONTNEED)
        if usableBytes >= FingerprintBuckets.hugePageBytes { madvise(base, usableBytes, MADV_NOHUGEPAGE) }
        usableBytes = 0  // what is usable is made so once more, and gets its advice
        range.count = makeUsable(bucketCountMin) ? UInt64(bucketCountMin) : 0
        entryCount = 0
    }

    /// Makes the memory of the first `count` buckets usable; it is zero where it was never used.
    private func makeUsable(_ count: Int) -> Bool {
        let page = FingerprintBuckets.pageBytes
        if count * Bucket.bytes <= usableBytes { return true }
        // In large steps: each one interrupts all processors. Memory that is usable and not used costs nothing.
        let most = (bucketCountMax * Bucket.bytes + page - 1) & ~(page - 1)
        let step = FingerprintBuckets.usableStepBytes
        let bytes = min(most, (count * Bucket.bytes + step - 1) & ~(step - 1))
        if mprotect(base, bytes, PROT_READ | PROT_WRITE) != 0 { return false }
        // Advice only: where it is refused, the pages stay small. Shards below a huge page are left alone, and so is the
        // last part of larger ones: a huge page may not reach beyond the limit.
        let huge = count * Bucket.bytes & ~(FingerprintBuckets.hugePageBytes - 1)
        if huge > 0 { madvise(base, huge, MADV_HUGEPAGE) }
        usableBytes = bytes
        return true
    }
}
