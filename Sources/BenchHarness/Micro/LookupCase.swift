// LookupCase.swift - micro lookup (B5, B14): from a raw name to its series, for 1 M series in random order.
//
// What the engine does, fingerprints in buckets, stands beside what it could do instead: names in an arena, with a hash
// table that is probed linearly, XXH3 and a comparison of all bytes. Both work on batches of 64 and ask for their cache
// lines ahead of time; both have huge pages. Names have 500 bytes, as a Kubernetes series with 12 labels.
//
//   fingerprint, XXH3     the hash alone, of names that lie in the second-level cache
//   find                  fingerprints are known; all hit, or all miss
//   names                 the names of the rows, one behind the other as they come from the network, to the series
//   insert                an empty cache takes all series: growth included

import CIntrinsics
import Glibc
import StorageBytes
import StorageEngine
import StorageRuntime

/// Names of one length that differ in 16 digits at two thirds of their length.
struct LookupNames {
    let length: Int
    private let template: [UInt8]

    init(length: Int) {
        self.length = length
        let text = Array(
            "\u{0}\u{9}namespace\u{0}\u{7}default\u{0}\u{3}pod\u{0}\u{20}container_memory_usage_bytes-".utf8)
        template = (0..<length).map { text[$0 % text.count] }
    }

    /// Writes the name of a series.
    func write(_ number: UInt64, at target: UnsafeMutableRawPointer) {
        template.withUnsafeBytes { target.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: length) }
        var digits = SplitMix64.mix(number)
        for index in 0..<16 {
            target.storeBytes(of: UInt8(97 + digits & 15), toByteOffset: length * 2 / 3 + index, as: UInt8.self)
            digits >>= 4
        }
    }
}

/// Memory with huge pages where the system gives them.
final class LookupMemory {
    let base: UnsafeMutableRawPointer

    init(bytes: Int) {
        var address: UnsafeMutableRawPointer?
        guard posix_memalign(&address, 2 << 20, max(bytes, 64)) == 0, let address else { fatalError("out of memory") }
        madvise(address, max(bytes, 64), MADV_HUGEPAGE)
        base = address
    }

    deinit { free(base) }
}

/// The alternative: full names in an arena, and slots of 16 bytes that are half full at most.
///
///     slot     hash 64 | place in the arena + 1
///     record   value 24 | length u32 | unused u32 | name, to the next multiple of 8
final class FullNameTable {
    private let slots: LookupMemory
    private let arena: LookupMemory
    private let mask: Int
    private var used = 0
    private let slotBytes: Int
    private(set) var count = 0

    init(names: Int, nameBytes: Int) {
        var slotCount = 64
        while slotCount < 2 * names { slotCount *= 2 }
        mask = slotCount - 1
        slotBytes = 16 * slotCount
        slots = LookupMemory(bytes: slotBytes)
        memset(slots.base, 0, slotBytes)
        arena = LookupMemory(bytes: names * (32 + (nameBytes + 7) & ~7))
    }

    var bytes: Int { slotBytes + used }

    func insert(_ name: UnsafeRawBufferPointer, _ value: CachedTSID) {
        let hash = Hash.memory(name.baseAddress.unsafelyUnwrapped, name.count)
        var index = Int(truncatingIfNeeded: hash) & mask
        while slots.base.load(fromByteOffset: 16 * index + 8, as: UInt64.self) != 0 { index = (index + 1) & mask }
        slots.base.storeBytes(of: hash, toByteOffset: 16 * index, as: UInt64.self)
        slots.base.storeBytes(of: UInt64(used + 1), toByteOffset: 16 * index + 8, as: UInt64.self)
        let record = arena.base + used
        record.storeBytes(of: value, as: CachedTSID.self)
        record.storeBytes(of: UInt32(name.count), toByteOffset: 24, as: UInt32.self)
        (record + 32).copyMemory(from: name.baseAddress.unsafelyUnwrapped, byteCount: name.count)
        used += 32 + (name.count + 7) & ~7
        count += 1
    }

    /// As TSIDCache.find, of names that lie one behind the other.
    func find(
        _ names: UnsafeRawPointer, nameBytes: Int, count: Int, into values: UnsafeMutablePointer<CachedTSID>
    ) -> UInt64 {
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 64) { hashes in
            for index in 0..<count {
                let hash = Hash.memory(names + index &* nameBytes, nameBytes)
                hashes[index] = hash
                ci_prefetch(slots.base + 16 &* (Int(truncatingIfNeeded: hash) & mask))
            }
            for index in 0..<count {
                guard let record = record(hashes[index]) else { continue }
                // The value and the first bytes; the processor goes on by itself when the comparison runs.
                for line in 0..<4 { ci_prefetch(record + 64 &* line) }
            }
            var hits: UInt64 = 0
            for index in 0..<count {
                guard let record = record(hashes[index]),
                    record.load(fromByteOffset: 24, as: UInt32.self) == nameBytes,
                    memcmp(record + 32, names + index &* nameBytes, nameBytes) == 0
                else { continue }
                values[index] = record.load(as: CachedTSID.self)
                hits |= 1 << UInt64(index)
            }
            return hits
        }
    }

    /// The first record with this hash. (Two names with one hash of 64 bits do not occur in a benchmark.)
    @inline(__always) private func record(_ hash: UInt64) -> UnsafeMutableRawPointer? {
        var index = Int(truncatingIfNeeded: hash) & mask
        while true {
            let place = slots.base.load(fromByteOffset: 16 &* index &+ 8, as: UInt64.self)
            if place == 0 { return nil }
            if slots.base.load(fromByteOffset: 16 &* index, as: UInt64.self) == hash {
                return arena.base + Int(truncatingIfNeeded: place &- 1)
            }
            index = (index &+ 1) & mask
        }
    }
}

/// What the cases share.
final class LookupScene {
    static let nameBytes = 500
    let key: FingerprintKey
    let series: Int
    let lookups: Int
    let names = LookupNames(length: nameBytes)
    /// The names of the lookups, one behind the other.
    let queries: LookupMemory
    let known: UnsafeMutablePointer<Fingerprint>
    let unknown: UnsafeMutablePointer<Fingerprint>
    let all: UnsafeMutablePointer<Fingerprint>
    let cache: TSIDCache
    private(set) lazy var table = makeTable()

    init(_ options: MicroOptions) {
        var random = SplitMix64(seed: Seeds.derive(options.seed, "micro-lookup"))
        key = FingerprintKey { random.next() }
        series = options.scaled(1_000_000)
        lookups = options.scaled(200_000)
        queries = LookupMemory(bytes: lookups * Self.nameBytes)
        known = .allocate(capacity: lookups)
        unknown = .allocate(capacity: lookups)
        all = .allocate(capacity: series)
        cache = TSIDCache(key: key, bytesMax: series * 96 + (1 << 20))
        let name = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.nameBytes, alignment: 8)
        defer { name.deallocate() }
        func fingerprint(_ number: UInt64) -> Fingerprint {
            names.write(number, at: name.baseAddress.unsafelyUnwrapped)
            return key.fingerprint(UnsafeRawBufferPointer(name))
        }
        for number in 0..<series {
            all[number] = fingerprint(UInt64(number))
            cache.insert(all[number], LookupScene.value(UInt64(number)))
        }
        for index in 0..<lookups {
            let number = random.below(series)
            known[index] = all[number]
            names.write(UInt64(number), at: queries.base + index * Self.nameBytes)
            unknown[index] = fingerprint(UInt64(series + index))
        }
    }

    deinit {
        known.deallocate()
        unknown.deallocate()
        all.deallocate()
    }

    static func value(_ number: UInt64) -> CachedTSID {
        CachedTSID(
            metricGroupID: SplitMix64.mix(number), jobID: UInt32(truncatingIfNeeded: number), instanceID: 1,
            metricID: number)
    }

    private func makeTable() -> FullNameTable {
        let table = FullNameTable(names: series, nameBytes: Self.nameBytes)
        let name = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.nameBytes, alignment: 8)
        defer { name.deallocate() }
        for number in 0..<series {
            names.write(UInt64(number), at: name.baseAddress.unsafelyUnwrapped)
            table.insert(UnsafeRawBufferPointer(name), LookupScene.value(UInt64(number)))
        }
        return table
    }
}

/// Hashes of 1000 names (64 of those of 500 bytes fit the first-level cache, all fit the second).
final class FingerprintCase: MicroCase {
    let name: String
    let unit = "name"
    let group: String
    let operations: Int
    private let key: FingerprintKey
    private let length: Int
    private let isPlain: Bool
    private let memory: LookupMemory
    private var sum: UInt64 = 0
    private static let names = 1000

    init(_ key: FingerprintKey, length: Int, isPlain: Bool, options: MicroOptions) {
        self.key = key
        self.length = length
        self.isPlain = isPlain
        name = (isPlain ? "XXH3" : "fingerprint") + ", \(length) bytes"
        group = name
        operations = options.scaled(1000) * Self.names
        memory = LookupMemory(bytes: length * Self.names)
        let names = LookupNames(length: length)
        for index in 0..<Self.names { names.write(UInt64(index), at: memory.base + index * length) }
    }

    func run() {
        var sum: UInt64 = 0
        for _ in 0..<operations / Self.names {
            for index in 0..<Self.names {
                let start = memory.base + index &* length
                if isPlain {
                    sum = sum &+ Hash.memory(start, length)
                } else {
                    let fingerprint = key.fingerprint(UnsafeRawBufferPointer(start: start, count: length))
                    sum = sum &+ fingerprint.high ^ fingerprint.low
                }
            }
        }
        self.sum = sum
    }

    func digest() -> UInt64 { sum }
}

/// Lookups of known and unknown series.
final class LookupCase: MicroCase {
    enum Kind { case hits, singleHits, misses, names, fullNames }

    let name: String
    let unit = "lookup"
    let group: String
    let operations: Int
    private let scene: LookupScene
    private let kind: Kind
    private var sum: UInt64 = 0
    private var found = 0

    init(_ scene: LookupScene, _ name: String, _ kind: Kind) {
        self.scene = scene
        self.name = name
        self.kind = kind
        group = kind == .misses ? "misses" : "hits"
        operations = scene.lookups
    }

    var counts: [(name: String, value: UInt64)] {
        if kind == .fullNames { return [("bytes/entry", UInt64(scene.table.bytes / scene.table.count))] }
        let metrics = scene.cache.metrics
        return [("bytes/entry", metrics.bytes / max(metrics.entries, 1))]
    }

    func prepare() { if kind == .fullNames { _ = scene.table.count } }

    func run() {
        sum = 0
        found = 0
        let batch = kind == .singleHits ? 1 : 64
        let cache = scene.cache
        let table = kind == .fullNames ? scene.table : nil
        withUnsafeTemporaryAllocation(of: CachedTSID.self, capacity: 64) { values in
            withUnsafeTemporaryAllocation(of: Fingerprint.self, capacity: 64) { fingerprints in
                let values = values.baseAddress.unsafelyUnwrapped
                let fingerprints = fingerprints.baseAddress.unsafelyUnwrapped
                for start in stride(from: 0, to: operations, by: batch) {
                    let count = min(batch, operations &- start)
                    let names = scene.queries.base + start &* LookupScene.nameBytes
                    let hits: UInt64
                    switch kind {
                    case .hits, .singleHits: hits = cache.find(scene.known + start, count: count, into: values)
                    case .misses: hits = cache.find(scene.unknown + start, count: count, into: values)
                    case .names:
                        for index in 0..<count {
                            fingerprints[index] = scene.key.fingerprint(
                                UnsafeRawBufferPointer(
                                    start: names + index &* LookupScene.nameBytes, count: LookupScene.nameBytes))
                        }
                        hits = cache.find(fingerprints, count: count, into: values)
                    case .fullNames:
                        hits = table.unsafelyUnwrapped.find(
                            names, nameBytes: LookupScene.nameBytes, count: count, into: values)
                    }
                    var left = hits
                    while left != 0 {
                        sum = sum &+ values[left.trailingZeroBitCount].metricID
                        left &= left &- 1
                    }
                    found &+= hits.nonzeroBitCount
                }
            }
        }
    }

    func digest() -> UInt64 { SplitMix64.mix(sum) ^ UInt64(found) }
}

/// Fills an empty cache.
final class LookupInsertCase: MicroCase {
    let name = "insert into an empty cache"
    let unit = "insert"
    let group = "insert"
    var operations: Int { scene.series }
    private let scene: LookupScene
    private var cache: TSIDCache?

    init(_ scene: LookupScene) { self.scene = scene }

    func prepare() { cache = TSIDCache(key: scene.key, bytesMax: scene.cache.bytesMax) }

    func run() {
        guard let cache else { return }
        for number in 0..<scene.series { cache.insert(scene.all[number], LookupScene.value(UInt64(number))) }
    }

    func digest() -> UInt64 {
        defer { cache = nil }
        return cache?.metrics.entries ?? 0
    }
}

extension LookupCase {
    static func cases(_ options: MicroOptions) throws(HarnessError) -> [any MicroCase] {
        let scene = LookupScene(options)
        let hashes: [any MicroCase] = [60, LookupScene.nameBytes].flatMap { length -> [any MicroCase] in
            [false, true].map { FingerprintCase(scene.key, length: length, isPlain: $0, options: options) }
        }
        return hashes + [
            LookupCase(scene, "find, hits", .hits), LookupCase(scene, "find, hits, one at a time", .singleHits),
            LookupCase(scene, "find, misses", .misses),
            LookupCase(scene, "names, fingerprints", .names), LookupCase(scene, "names, full names", .fullNames),
            LookupInsertCase(scene),
        ]
    }
}
