// CanonicalParts.swift - where the parts of a canonical name lie, found in one pass over its bytes.
//
//   | tenant 8 | esc(group) | 01 | esc(k1) | 01 | esc(v1) | 01 | ...
//                             ^ends[0]      ^ends[1]     ^ends[2]
//
// The write path makes a canonical name once, sorts it, and needs its tags later, when it has turned out that the series
// is new. Escapes are rare; a name with one in it is left to CanonicalName.load(canonical:), which unescapes.
//
// Threads: one owner at a time; borrows the bytes it was given last.

import CIntrinsics
import Mergeset
import StorageBytes

/// Places of the parts of one canonical name. Reused from name to name; allocates only while it grows.
struct CanonicalParts: ~Copyable {
    private var ends: UnsafeMutablePointer<UInt32>
    private var room = 128
    private(set) var spans: UnsafeMutablePointer<SeriesTags.Span>
    private(set) var tagCount = 0
    private var base: UnsafeRawPointer

    init() {
        ends = .allocate(capacity: room)
        spans = .allocate(capacity: room / 2)
        base = UnsafeRawPointer(ends)
    }

    deinit {
        ends.deallocate()
        spans.deallocate()
    }

    /// Finds the parts of a canonical name that this process has made.
    ///
    /// - Returns: false when the name has escapes, or is not a canonical name: nothing of this value may be used then.
    mutating func find(_ name: UnsafeRawBufferPointer) -> Bool {
        guard name.count > Tenant.storedBytes, let start = name.baseAddress else { return false }
        base = start
        let bytes = start.assumingMemoryBound(to: UInt8.self) + Tenant.storedBytes
        var hasZero: UInt32 = 0
        var found = ci_find_ones(bytes, name.count - Tenant.storedBytes, ends, room, &hasZero)
        if found > room {
            ends.deallocate()
            spans.deallocate()
            room = found * 2
            ends = .allocate(capacity: room)
            spans = .allocate(capacity: room / 2)
            found = ci_find_ones(bytes, name.count - Tenant.storedBytes, ends, room, &hasZero)
        }
        guard hasZero == 0, found & 1 == 1, Int(ends[found - 1]) + 1 == name.count - Tenant.storedBytes else {
            return false
        }
        tagCount = found / 2
        for index in 0..<tagCount {
            let first = ends[2 &* index] &+ 1
            spans[index] = SeriesTags.Span(
                offset: first &+ UInt32(Tenant.storedBytes), length: ends[2 &* index &+ 2] &+ 1 &- first)
        }
        return true
    }

    /// The tenant.
    var tenant: Tenant { Tenant(bits: BigEndian.load64(base)) }

    /// The metric group, which has no escapes.
    var group: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + Tenant.storedBytes, count: Int(ends[0]))
    }

    /// The value of a tag, which has no escapes; `index` is in `0..<tagCount`.
    func value(_ index: Int) -> UnsafeRawBufferPointer {
        let first = Int(ends[2 &* index &+ 1]) &+ 1
        return UnsafeRawBufferPointer(
            start: base + (Tenant.storedBytes &+ first), count: Int(ends[2 &* index &+ 2]) &- first)
    }
}

extension TSID {
    /// The TSID of a new series (docs/format/series-index.md, 3.2).
    init(of parts: borrowing CanonicalParts, metricID: UInt64) {
        self.init(
            tenant: parts.tenant, metricGroupID: Hash.xxh64(parts.group),
            jobID: parts.tagCount > 0 ? UInt32(truncatingIfNeeded: Hash.xxh64(parts.value(0))) : 0,
            instanceID: parts.tagCount > 1 ? UInt32(truncatingIfNeeded: Hash.xxh64(parts.value(1))) : 0,
            metricID: metricID)
    }
}
