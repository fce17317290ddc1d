// Stubs.swift - stand-ins until the caches are merged.
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime

struct CachedTSID: Sendable {
    var metricGroupID: UInt64
    var jobID: UInt32
    var instanceID: UInt32
    var metricID: UInt64
}

final class TSIDCache: @unchecked Sendable {
    let key: FingerprintKey
    let lock = Lock()
    var map: [Fingerprint: CachedTSID] = [:]
    var m = CacheMetrics()
    init(key: FingerprintKey, bytesMax: Int) { self.key = key }
    func find(_ f: UnsafePointer<Fingerprint>, count: Int, into: UnsafeMutablePointer<CachedTSID>) -> UInt64 {
        lock.withLock {
            var r: UInt64 = 0
            for i in 0..<count { if let v = map[f[i]] { into[i] = v; r |= 1 << UInt64(i) } }
            return r
        }
    }
    func insert(_ f: Fingerprint, _ v: CachedTSID) { lock.withLock { map[f] = v } }
    func reset() {
        lock.withLock {
            map = [:]; m.resets += 1
        }
    }
    func tick(nowNanoseconds: UInt64) {}
    func count(requests: UInt64, misses: UInt64) {
        lock.withLock {
            m.requests += requests; m.misses += misses
        }
    }
    var metrics: CacheMetrics {
        lock.withLock {
            var x = m; x.entries = UInt64(map.count); x.bytes = x.entries * 40; return x
        }
    }
}

extension SavedCaches {
    static func readTSIDs(
        _ directory: String, _ digest: UInt64, _ bytesMax: Int, _ files: any FileSystem,
        _ log: @Sendable (String) -> Void
    ) -> TSIDCache? { nil }

    static func saveTSIDs(
        _ directory: String, _ digest: UInt64, _ tsids: TSIDCache, _ files: any FileSystem
    ) throws(StorageError) {}
}
