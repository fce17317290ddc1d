// MetricIDCache.swift - what belongs to a metric id, in bounded memory: its TSID (32 bytes), its canonical name.
//
// Sixteen shards (fewer in a small cache), each with a lock, a share of the bytes and a life of its own
// (CacheShard.swift). The hash of an id chooses the shard with its upper bits and the place in the shard with its lower
// ones.
//
// Nothing can be removed: the ids of deleted series may be in the cache, callers filter (docs/format/series-index.md, 7.1).
//
// Threads: any. A lookup holds the lock of one shard while it copies the value.

import StorageBytes
import StorageRuntime
import Synchronization

/// Bytes by metric id. Any thread.
final class MetricIDCache: Sendable {
    /// Longest value that can be kept; longer ones are refused. In a cache of less than some 70 KiB they are shorter.
    static var valueBytesMax: Int { CacheShard.valueBytesMax }

    /// Most bytes of all entries with their indexes.
    let bytesMax: Int
    private let shards: [Shard]
    private let shardShift: UInt64
    private let resets = Atomic<UInt64>(0)

    private final class Shard: @unchecked Sendable {
        let lock = Lock()
        var entries: CacheShard

        init(bytesMax: Int) { entries = CacheShard(bytesMax: bytesMax) }
    }

    /// An empty cache that will take at most `bytesMax` bytes, `0...`; it starts with a few KiB.
    init(bytesMax: Int) {
        precondition(bytesMax >= 0, "a cache of \(bytesMax) bytes")
        self.bytesMax = bytesMax
        var bits: UInt64 = 4
        while bits > 0, bytesMax >> Int(bits) < 1 << 20 { bits -= 1 }
        shardShift = 64 - bits
        let share = min(bytesMax >> Int(bits), CacheShard.bytesMaxMax)
        shards = (0..<1 << Int(bits)).map { _ in Shard(bytesMax: share) }
    }

    static func hash(_ id: UInt64) -> UInt64 { SplitMix64.mix(id) }

    private func shard(_ hash: UInt64) -> Shard { shards[Int(truncatingIfNeeded: hash >> shardShift)] }

    /// Appends the value of an id to `buffer`. Returns false, and appends nothing, when it is not there.
    func get(_ id: UInt64, into buffer: inout RawBuffer) -> Bool {
        let hash = MetricIDCache.hash(id)
        let shard = shard(hash)
        shard.lock.lock()
        defer { shard.lock.unlock() }
        return shard.entries.get(id, hash: hash, into: &buffer)
    }

    /// Keeps a value for an id, in place of the one it has. It may be thrown out at any time, or not taken in at all.
    func put(_ id: UInt64, _ value: UnsafeRawBufferPointer) {
        let hash = MetricIDCache.hash(id)
        let shard = shard(hash)
        shard.lock.lock()
        defer { shard.lock.unlock() }
        shard.entries.put(id, hash: hash, value)
    }

    /// Throws everything out and gives the memory back. What other threads put meanwhile may stay.
    func reset() {
        resets.wrappingAdd(1, ordering: .relaxed)
        for shard in shards { shard.lock.withLock { shard.entries.removeAll() } }
    }

    /// Counters and gauges; each shard's are of one moment.
    var metrics: CacheMetrics {
        var sum = CacheMetrics()
        for shard in shards {
            let one = shard.lock.withLock { shard.entries.snapshot }
            sum.requests += one.requests
            sum.misses += one.misses
            sum.evictions += one.evictions
            sum.refusals += one.refusals
            sum.entries += one.entries
            sum.bytes += one.bytes
        }
        sum.resets = resets.load(ordering: .relaxed)
        sum.bytesMax = UInt64(bytesMax)
        return sum
    }
}
