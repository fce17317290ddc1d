// CacheSupport.swift - series without names, and passes over them as the write path makes them.

import StorageBytes
import StorageRuntime

@testable import StorageEngine

/// Series by number: fingerprints that look random, values that can be told from each other.
enum TestSeries {
    static func fingerprint(_ number: UInt64) -> Fingerprint {
        Fingerprint(high: SplitMix64.mix(2 * number + 1), low: SplitMix64.mix(2 * number + 2))
    }

    /// The value of a series; every field depends on the number and on the version.
    static func value(_ number: UInt64, version: UInt64 = 0) -> CachedTSID {
        let hash = SplitMix64.mix(number ^ version << 48)
        return CachedTSID(
            metricGroupID: hash, jobID: UInt32(truncatingIfNeeded: hash >> 7),
            instanceID: UInt32(truncatingIfNeeded: hash >> 23), metricID: number ^ version << 48)
    }

    /// Whether a value belongs to a series, in any version; all fields agree with each other.
    static func isValue(_ value: CachedTSID, of number: UInt64) -> Bool {
        value.metricID & ((1 << 48) - 1) == number
            && value == self.value(number, version: value.metricID >> 48)
    }

    static func key(_ seed: UInt64 = 1) -> FingerprintKey {
        var stream = SplitMix64(seed: seed)
        return FingerprintKey { stream.next() }
    }

    static func cache(bytesMax: Int) -> TSIDCache { TSIDCache(key: key(), bytesMax: bytesMax) }
}

/// Looks series up as AddRows does: in batches, counting once a block, inserting what was not found.
struct CacheDriver {
    let cache: TSIDCache
    private(set) var requests = 0
    private(set) var hits = 0
    private(set) var wrongValues = 0
    private var block: [UInt64] = []

    init(_ cache: TSIDCache) { self.cache = cache }

    /// Looks up one series, later.
    mutating func look(_ number: UInt64) {
        block.append(number)
        if block.count == 512 { flush() }
    }

    /// Looks up what was put off.
    mutating func flush() {
        var blockHits = 0
        for start in stride(from: 0, to: block.count, by: TSIDCache.batchMax) {
            let batch = block[start..<min(start + TSIDCache.batchMax, block.count)]
            let fingerprints = batch.map { TestSeries.fingerprint($0) }
            var values = [CachedTSID](repeating: TestSeries.value(0), count: batch.count)
            let found = cache.find(fingerprints, count: batch.count, into: &values)
            for (index, number) in batch.enumerated() {
                if found >> UInt64(index) & 1 == 1 {
                    blockHits += 1
                    if values[index] != TestSeries.value(number) { wrongValues += 1 }
                } else {
                    cache.insert(fingerprints[index], TestSeries.value(number))
                }
            }
        }
        cache.count(requests: block.count, misses: block.count - blockHits)
        requests += block.count
        hits += blockHits
        block.removeAll(keepingCapacity: true)
    }

    /// The hit ratio of one pass over series `numbers`.
    mutating func scan(_ numbers: Range<UInt64>) -> Double {
        let (requestsBefore, hitsBefore) = (requests, hits)
        for number in numbers { look(number) }
        flush()
        return Double(hits - hitsBefore) / Double(requests - requestsBefore)
    }
}
