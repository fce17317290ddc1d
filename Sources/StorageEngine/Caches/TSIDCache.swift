// TSIDCache.swift - from the fingerprint of a name to the series: what every incoming row asks first.
//
// Raw names are long (hundreds of bytes) and mostly known. The cache keeps 128 bits of a name under a secret key
// (Fingerprint.swift has the probability of being wrong) and 24 bytes of TSID; the tenant is in the raw name itself.
// Beside that, an entry takes its share of a bucket's header and of empty slots: 45 to 60 bytes in all.
//
//   fingerprint --4 bits--> shard --multiply-shift--> primary bucket, secondary bucket      FingerprintBuckets.swift
//   who stays when the bytes do not suffice                                                 CacheAging.swift
//   to a file and back                                                                      TSIDCache+File.swift
//
// Lookups come in batches: the headers of all buckets are asked for first, then the entries whose tags match, then
// fingerprints are compared and values copied. So up to 64 cache misses are under way at the same time.
//
// Threads: any may call anything. A batch holds the cache's lock shared (once for up to 64 lookups) and takes no lock per
// row; entries are read through the version of their bucket. Putting holds it shared and the lock of the shard. Growth of
// a shard (tens of milliseconds at millions of entries) and reset hold it exclusively, behind a turnstile that keeps
// lookups from starving them.
//
// The class serves any map from names to series of which entries may be lost. With `bytesMax` so large that it is never
// reached, and without ``count(requests:misses:)`` and ``tick(nowNanoseconds:)``, nothing is ever lost.

import CIntrinsics
import StorageBytes
import StorageRuntime
import Synchronization

/// What the cache knows of a series: its TSID without the tenant.
@frozen public struct CachedTSID: Hashable, Sendable {
    /// Hash of the metric group.
    public var metricGroupID: UInt64
    /// Hashes of the values of the first and the second tag.
    public var jobID: UInt32, instanceID: UInt32
    /// The id of the series on its node.
    public var metricID: UInt64

    /// A value of the given fields.
    @inlinable public init(metricGroupID: UInt64, jobID: UInt32, instanceID: UInt32, metricID: UInt64) {
        self.metricGroupID = metricGroupID
        self.jobID = jobID
        self.instanceID = instanceID
        self.metricID = metricID
    }
}

/// A map from fingerprints to series that takes a limited number of bytes.
public final class TSIDCache: @unchecked Sendable {
    /// Most lookups of one ``find(_:count:into:)``.
    public static let batchMax = 64

    /// The key of the fingerprints.
    public let key: FingerprintKey
    /// Most bytes that the buckets may take.
    public let bytesMax: Int

    let shards: [Shard]
    /// Where the buckets of each shard are, in one place for lookups. Changed alone.
    private let ranges: UnsafeMutablePointer<BucketRange>
    private let shardMask: UInt64
    private let structure = SharedLock()
    private let turnstile = Lock()
    private let isChanging = Atomic<Bool>(false)
    private let aging = CacheAging()
    private let slots = Atomic<Int>(0)
    private let requests = Atomic<UInt64>(0)
    private let misses = Atomic<UInt64>(0)
    private let evictions = Atomic<UInt64>(0)
    private let refusals = Atomic<UInt64>(0)
    private let resets = Atomic<UInt64>(0)

    /// One shard with the lock of those who put.
    final class Shard {
        let lock = Lock()
        let buckets: FingerprintBuckets
        init(_ buckets: FingerprintBuckets) { self.buckets = buckets }
    }

    /// An empty cache.
    ///
    /// - Parameters:
    ///   - key: The key under which the fingerprints are made.
    ///   - bytesMax: Bytes that the buckets may take at any moment; below 256, nothing is kept. Address space of that size
    ///     is reserved, memory is taken as entries come.
    public init(key: FingerprintKey, bytesMax: Int) {
        self.key = key
        self.bytesMax = max(0, bytesMax)
        let bucketsMax = self.bytesMax / Bucket.bytes
        // A shard of few buckets would be full long before the others.
        let shardCount = bucketsMax >= 16 * 128 ? 16 : 1
        shardMask = UInt64(shardCount - 1)
        shards = (0..<shardCount).map { _ in Shard(FingerprintBuckets(bucketCountMax: bucketsMax / shardCount)) }
        ranges = .allocate(capacity: shardCount)
        publishRanges()
    }

    deinit { ranges.deallocate() }

    /// Tells lookups where the buckets are. Alone.
    private func publishRanges() {
        var count = 0
        for index in shards.indices {
            ranges[index] = shards[index].buckets.range
            count += shards[index].buckets.bucketCount
        }
        slots.store(count * Bucket.slots, ordering: .relaxed)
    }

    // MARK: Lookups

    /// Looks for up to ``batchMax`` fingerprints. Allocates nothing.
    ///
    /// - Parameters:
    ///   - fingerprints: What to look for; made under ``key``.
    ///   - count: `0...batchMax`.
    ///   - values: Room for `count` values; those without a hit are left in an undefined state.
    /// - Returns: Bit i is set when `values[i]` is the value of fingerprint i.
    public func find(
        _ fingerprints: UnsafePointer<Fingerprint>, count: Int, into values: UnsafeMutablePointer<CachedTSID>
    ) -> UInt64 {
        precondition(count >= 0 && count <= TSIDCache.batchMax, "a batch of \(count) lookups")
        if isChanging.load(ordering: .relaxed) { turnstile.withLock {} }
        let generation = aging.generation
        return structure.withShared {
            withUnsafeTemporaryAllocation(of: BucketPointer.self, capacity: 2 * TSIDCache.batchMax) { buckets in
                let primary = buckets.baseAddress.unsafelyUnwrapped
                return find(
                    fingerprints, count, values, primary, primary + TSIDCache.batchMax, generation)
            }
        }
    }

    @inline(__always)
    private func find(
        _ fingerprints: UnsafePointer<Fingerprint>, _ count: Int, _ values: UnsafeMutablePointer<CachedTSID>,
        _ primary: UnsafeMutablePointer<BucketPointer>, _ secondary: UnsafeMutablePointer<BucketPointer>,
        _ generation: Int
    ) -> UInt64 {
        let ranges = self.ranges
        if ranges[0].count == 0 { return 0 }  // the others may be larger, but never empty
        let mask = shardMask
        for index in 0..<count {
            let fingerprint = fingerprints[index]
            primary[index] = ranges[Int(truncatingIfNeeded: fingerprint.low & mask)].primary(fingerprint)
            ci_prefetch(primary[index])
        }
        for index in 0..<count {
            let fingerprint = fingerprints[index]
            let head = Bucket.head(primary[index])
            let candidates = Bucket.candidates(head, Bucket.tag(fingerprint))
            if candidates != 0 {
                Bucket.prefetchEntry(primary[index], Bucket.slot(candidates))
            } else if head & Bucket.overflowBit != 0 {
                ci_prefetch(ranges[Int(truncatingIfNeeded: fingerprint.low & mask)].secondary(fingerprint))
            }
        }
        var hits: UInt64 = 0
        var rest: UInt64 = 0
        for index in 0..<count {
            let fingerprint = fingerprints[index]
            let bucket = primary[index]
            let slot = Bucket.find(bucket, fingerprint, into: values + index)
            if slot >= 0 {
                TSIDCache.refresh(bucket, slot, generation)
                hits |= 1 << UInt64(truncatingIfNeeded: index)
            } else if Bucket.head(bucket) & Bucket.overflowBit != 0 {
                secondary[index] = ranges[Int(truncatingIfNeeded: fingerprint.low & mask)].secondary(fingerprint)
                ci_prefetch(secondary[index])
                rest |= 1 << UInt64(truncatingIfNeeded: index)
            }
        }
        var left = rest
        while left != 0 {
            let index = left.trailingZeroBitCount
            left &= left &- 1
            let candidates = Bucket.candidates(Bucket.head(secondary[index]), Bucket.tag(fingerprints[index]))
            if candidates != 0 { Bucket.prefetchEntry(secondary[index], Bucket.slot(candidates)) }
        }
        while rest != 0 {
            let index = rest.trailingZeroBitCount
            rest &= rest &- 1
            let bucket = secondary[index]
            let slot = Bucket.find(bucket, fingerprints[index], into: values + index)
            guard slot >= 0 else { continue }
            TSIDCache.refresh(bucket, slot, generation)
            hits |= 1 << UInt64(truncatingIfNeeded: index)
        }
        return hits
    }

    /// The value of one fingerprint; nil if it is not there.
    public func find(_ fingerprint: Fingerprint) -> CachedTSID? {
        var value = CachedTSID(metricGroupID: 0, jobID: 0, instanceID: 0, metricID: 0)
        let hits = withUnsafePointer(to: fingerprint) { find($0, count: 1, into: &value) }
        return hits == 0 ? nil : value
    }

    /// Notes that an entry was found. The slot may hold another entry by now, which then counts as found: no harm.
    @inline(__always)
    private static func refresh(_ bucket: BucketPointer, _ slot: Int, _ generation: Int) {
        let address = Bucket.stampAddress(bucket, slot)
        let before = ci_load8(address)
        let after = CacheStamp.found(before, in: generation)
        if after != before { ci_store8(address, after) }
    }

    /// Counts lookups: once a block of rows. Misses are what ``find(_:count:into:)`` did not find.
    public func count(requests: Int, misses: Int) {
        if requests <= 0 { return }
        self.requests.wrappingAdd(UInt64(requests), ordering: .relaxed)
        self.misses.wrappingAdd(UInt64(misses), ordering: .relaxed)
        aging.count(requests: UInt64(requests), misses: UInt64(misses), slots: slots.load(ordering: .relaxed))
    }

    /// Tells the time, in nanoseconds of a clock that never goes back: every few minutes is enough.
    public func tick(nowNanoseconds: UInt64) { aging.tick(nowNanoseconds: nowNanoseconds) }

    // MARK: Changes

    /// Puts a value, replacing the one that the fingerprint has. May grow the cache.
    ///
    /// - Returns: False when the entry was not taken in, because all bytes are taken by others that are worth more.
    @discardableResult
    public func insert(_ fingerprint: Fingerprint, _ value: CachedTSID) -> Bool {
        while true {
            if isChanging.load(ordering: .relaxed) { turnstile.withLock {} }
            let outcome = structure.withShared { put(fingerprint, value) }
            switch outcome {
            case .done: return true
            case .refused:
                refusals.wrappingAdd(1, ordering: .relaxed)
                return false
            case .full(let bucketCount): grow(shard(of: fingerprint), from: bucketCount)
            }
        }
    }

    /// Puts up to ``batchMax`` values; all cache lines are asked for first.
    public func insert(
        _ fingerprints: UnsafePointer<Fingerprint>, _ values: UnsafePointer<CachedTSID>, count: Int
    ) {
        precondition(count >= 0 && count <= TSIDCache.batchMax, "a batch of \(count) insertions")
        var start = 0
        while start < count {
            if isChanging.load(ordering: .relaxed) { turnstile.withLock {} }
            let (end, bucketCount) = structure.withShared { insertSome(fingerprints, values, start, count) }
            if end < count { grow(shard(of: fingerprints[end]), from: bucketCount) }
            start = end
        }
    }

    /// Puts values until one finds no room in a shard that may grow; returns its index, and how large the shard is.
    private func insertSome(
        _ fingerprints: UnsafePointer<Fingerprint>, _ values: UnsafePointer<CachedTSID>, _ start: Int, _ count: Int
    ) -> (end: Int, bucketCount: Int) {
        if ranges[0].count > 0 {
            for index in start..<count {
                let bucket = ranges[Int(truncatingIfNeeded: fingerprints[index].low & shardMask)].primary(
                    fingerprints[index])
                for line in 0..<Bucket.lines { ci_prefetch(UnsafeRawPointer(bucket) + 64 * line) }
            }
        }
        for index in start..<count {
            switch put(fingerprints[index], values[index]) {
            case .done: break
            case .refused: refusals.wrappingAdd(1, ordering: .relaxed)
            case .full(let bucketCount): return (index, bucketCount)
            }
        }
        return (count, 0)
    }

    private enum Outcome {
        case done, refused
        /// No room in a shard that may grow; it has so many buckets.
        case full(bucketCount: Int)
    }

    private func shard(of fingerprint: Fingerprint) -> Shard {
        shards[Int(truncatingIfNeeded: fingerprint.low & shardMask)]
    }

    private func put(_ fingerprint: Fingerprint, _ value: CachedTSID) -> Outcome {
        let shard = shard(of: fingerprint)
        shard.lock.lock()
        defer { shard.lock.unlock() }
        let buckets = shard.buckets
        guard buckets.bucketCount > 0 else { return .refused }
        let generation = aging.generation
        let entry = CacheEntry(
            fingerprint: fingerprint, value: value, stamp: CacheStamp.make(generation, level: 0))
        if let (bucket, slot) = buckets.place(of: fingerprint) {
            let stamp = CacheStamp.found(Bucket.stamp(bucket, slot), in: generation)
            Bucket.write(bucket, slot, CacheEntry(fingerprint: fingerprint, value: value, stamp: stamp))
            return .done
        }
        switch buckets.put(entry, generation: generation) {
        case .added: return .done
        case .replacedOld:
            evictions.wrappingAdd(1, ordering: .relaxed)
            return .done
        case .noRoom: break
        }
        if !buckets.isLargest { return .full(bucketCount: buckets.bucketCount) }
        let first = buckets.range.primary(fingerprint)
        let second = buckets.range.secondary(fingerprint)
        aging.noteContest()
        buckets.draws &+= 1
        // One time in sixteen the rank does not count.
        let draw = SplitMix64.mix(fingerprint.high ^ buckets.draws &* 0x9E37_79B9_7F4A_7C15) & 15
        guard let (bucket, slot) = TSIDCache.worstSlot(first, second, generation),
            draw == 0 || TSIDCache.rank(fingerprint) < TSIDCache.rank(Bucket.fingerprint(bucket, slot))
        else { return .refused }
        buckets.replace(bucket, slot, entry)
        evictions.wrappingAdd(1, ordering: .relaxed)
        return .done
    }

    /// Bits of a fingerprint that neither the buckets nor the tag depend on.
    private static func rank(_ fingerprint: Fingerprint) -> UInt32 { UInt32(truncatingIfNeeded: fingerprint.low >> 4) }

    /// The slot of the worst rank among those that are not protected.
    private static func worstSlot(
        _ first: BucketPointer, _ second: BucketPointer, _ generation: Int
    ) -> (BucketPointer, Int)? {
        var worst: (BucketPointer, Int)?
        var worstRank: UInt32 = 0
        for index in 0..<2 * Bucket.slots {
            let (bucket, slot) = index < Bucket.slots ? (first, index) : (second, index - Bucket.slots)
            if CacheStamp.isProtected(Bucket.stamp(bucket, slot), in: generation) { continue }
            let rank = rank(Bucket.fingerprint(bucket, slot))
            if worst == nil || rank > worstRank {
                worst = (bucket, slot)
                worstRank = rank
            }
        }
        return worst
    }

    /// Grows a shard that had `bucketCount` buckets, unless somebody else has done it.
    private func grow(_ shard: Shard, from bucketCount: Int) {
        alone {
            guard shard.buckets.bucketCount == bucketCount else { return }
            let (hasGrown, dropped) = shard.buckets.grow()
            if !hasGrown { shard.buckets.stayAsLarge() }
            evictions.wrappingAdd(UInt64(dropped), ordering: .relaxed)
            publishRanges()
        }
    }

    /// Makes room for so many entries in all, within the limit: what is to be loaded comes in the order of the buckets, and
    /// would make a small cache grow too far.
    func reserve(entries: Int) {
        alone {
            let buckets = entries / shards.count * 10 / (9 * Bucket.slots) + 1
            for shard in shards where shard.buckets.bucketCount < buckets { _ = shard.buckets.grow(to: buckets) }
            publishRanges()
        }
    }

    /// Forgets all entries and gives their memory back. The counters go on.
    public func reset() {
        alone {
            for shard in shards { shard.buckets.removeAll() }
            aging.reset()
            resets.wrappingAdd(1, ordering: .relaxed)
            publishRanges()
        }
    }

    /// Runs `body` while nobody looks up or puts.
    private func alone(_ body: () -> Void) {
        turnstile.withLock {
            isChanging.store(true, ordering: .relaxed)
            structure.withExclusive(body)
            isChanging.store(false, ordering: .relaxed)
        }
    }

    // MARK: Contents

    /// What was counted, and what is there now.
    public var metrics: CacheMetrics {
        var metrics = CacheMetrics()
        metrics.requests = requests.load(ordering: .relaxed)
        metrics.misses = misses.load(ordering: .relaxed)
        metrics.evictions = evictions.load(ordering: .relaxed)
        metrics.refusals = refusals.load(ordering: .relaxed)
        metrics.resets = resetCount
        metrics.rotations = aging.rotations
        metrics.bytesMax = UInt64(bytesMax)
        structure.withShared {
            for shard in shards {
                shard.lock.withLock { metrics.entries += UInt64(shard.buckets.entryCount) }
                metrics.bytes += UInt64(shard.buckets.bytes)
            }
        }
        return metrics
    }

    /// Times the cache was emptied.
    var resetCount: UInt64 { resets.load(ordering: .relaxed) }

    /// Hands out entries that are not old, of shard `shard` from bucket `bucket` on, until all are done or `countMax` were
    /// handed out (by up to a bucket more). Returns the bucket to go on with, nil after the last one. Entries that are
    /// moved between two calls, by growth or by others, may be met twice or not at all.
    func entries(
        ofShard shard: Int, from bucket: Int, countMax: Int, _ body: (Fingerprint, CachedTSID) -> Void
    ) -> Int? {
        let generation = aging.generation
        return structure.withShared {
            let buckets = shards[shard].buckets
            return shards[shard].lock.withLock {
                var count = 0
                for index in bucket..<max(bucket, buckets.bucketCount) {
                    if count >= countMax { return index }
                    for slot in 0..<Bucket.slots {
                        let entry = Bucket.load(buckets.bucket(index), slot)
                        if entry.stamp == 0 || CacheStamp.age(entry.stamp, in: generation) >= 2 { continue }
                        body(entry.fingerprint, entry.value)
                        count += 1
                    }
                }
                return nil
            }
        }
    }
}
