// PendingNames.swift - the names that were registered, or are being registered, and are not in a flushed part yet.
//
// A search of the table sees only what was flushed. This is the rest, so that one name gets one TSID however often it
// arrives at once: twice in a batch, in several batches, in several orders of labels, before a flush.
//
//   64 shards by fingerprint:  current   fingerprint -> reserved | TSID
//                              closing   the same, of before the flush in progress began
//
// Protocol of a writer (IndexTable.resolve drives it):
//
//   reserve(name)   -> known(TSID)   registered, not flushed
//                   -> reserved      nobody has it: the caller looks into the table, creates the series if need be, and
//                                    ends with complete() or cancel()
//                   -> busy          another thread has reserved it; wait(for:) once nothing is reserved by oneself
//
// A writer never waits while it holds a reservation, so nobody waits for ever.
//
// Flushes: willFlush() moves `current` aside before the open runs are sealed; didFlush(true) forgets what was moved.
// complete() comes after the rows were added and puts the name into `current` of that moment, so a name that is
// forgotten is in a durable part. A search whose view was taken after reserve() therefore sees every name that
// reserve() no longer knows.
//
// Threads: any.

import StorageBytes
import StorageRuntime

/// What is known of a name.
enum NameClaim {
    /// Registered; not flushed yet.
    case known(TSID)
    /// The caller's now.
    case reserved
    /// Another thread's.
    case busy
}

/// Names on their way into the table.
final class PendingNames: Sendable {
    private final class Shard: @unchecked Sendable {
        let lock = Lock()
        let changed = Condition()
        var current = FingerprintTable()
        var closing = FingerprintTable()
        var waiting = 0
    }

    private let shards: [Shard] = (0..<64).map { _ in Shard() }

    private func shard(_ name: Fingerprint) -> Shard { shards[Int(truncatingIfNeeded: name.low & 63)] }

    /// Claims a name. A known TSID for which `isDead` holds counts as unknown.
    func reserve(_ name: Fingerprint, tenant: Tenant, isDead: (UInt64) -> Bool) -> NameClaim {
        let shard = shard(name)
        shard.lock.lock()
        defer { shard.lock.unlock() }
        return claim(name, tenant, isDead, shard)
    }

    private func claim(
        _ name: Fingerprint, _ tenant: Tenant, _ isDead: (UInt64) -> Bool, _ shard: Shard
    ) -> NameClaim {
        if let entry = shard.current.find(name) ?? shard.closing.find(name) {
            if entry.pointee.isReserved { return .busy }
            if !isDead(entry.pointee.metricID) { return .known(entry.pointee.tsid(tenant)) }
            entry.pointee.isReserved = true
            return .reserved
        }
        shard.current.insert(name).pointee.isReserved = true
        return .reserved
    }

    /// Ends a reservation: the rows of the series were added, or it was found.
    func complete(_ name: Fingerprint, _ tsid: TSID) {
        let shard = shard(name)
        shard.lock.lock()
        shard.closing.remove(name)
        let entry = shard.current.find(name) ?? shard.current.insert(name)
        entry.pointee.set(tsid)
        let someoneWaits = shard.waiting > 0
        shard.lock.unlock()
        if someoneWaits { shard.changed.broadcast() }
    }

    /// Ends a reservation without a result.
    func cancel(_ name: Fingerprint) {
        let shard = shard(name)
        shard.lock.lock()
        shard.current.remove(name)
        shard.closing.remove(name)
        let someoneWaits = shard.waiting > 0
        shard.lock.unlock()
        if someoneWaits { shard.changed.broadcast() }
    }

    /// As ``reserve(_:tenant:isDead:)``, but waits while the name is another thread's: never `.busy`. The caller holds
    /// no reservation.
    func wait(for name: Fingerprint, tenant: Tenant, isDead: (UInt64) -> Bool) -> NameClaim {
        let shard = shard(name)
        shard.lock.lock()
        defer { shard.lock.unlock() }
        while true {
            let result = claim(name, tenant, isDead, shard)
            if case .busy = result {
                shard.waiting += 1
                shard.changed.wait(shard.lock)
                shard.waiting -= 1
            } else {
                return result
            }
        }
    }

    /// The TSID of a name that is registered and not flushed yet. Makes no reservation.
    func find(_ name: Fingerprint, tenant: Tenant) -> TSID? {
        let shard = shard(name)
        return shard.lock.withLock {
            guard let entry = shard.current.find(name) ?? shard.closing.find(name), !entry.pointee.isReserved else {
                return nil
            }
            return entry.pointee.tsid(tenant)
        }
    }

    /// A flush of everything begins: open runs have not been sealed yet.
    func willFlush() {
        for shard in shards {
            shard.lock.withLock {
                // After a failed flush the names of before are still here.
                if shard.closing.isEmpty {
                    swap(&shard.current, &shard.closing)
                } else {
                    shard.current.moveAll(to: &shard.closing)
                }
            }
        }
    }

    /// The flush has ended; `succeeded` tells whether everything is durable.
    func didFlush(_ succeeded: Bool) {
        for shard in shards {
            shard.lock.withLock {
                if succeeded {
                    // Rows of names that are still reserved were perhaps not added yet.
                    shard.closing.copyReserved(to: &shard.current)
                    shard.closing.removeAll()
                }
            }
        }
    }

    /// Names that are registered or reserved.
    var count: Int {
        shards.reduce(0) { sum, shard in sum + shard.lock.withLock { shard.current.count + shard.closing.count } }
    }
}

/// Open addressing with linear probing from fingerprints to TSIDs without their tenant. One owner at a time.
struct FingerprintTable: ~Copyable {
    struct Entry {
        var name: Fingerprint
        var metricGroupID: UInt64 = 0
        var metricID: UInt64 = 0
        var jobID: UInt32 = 0
        var instanceID: UInt32 = 0
        var isUsed = false
        var isReserved = false

        mutating func set(_ tsid: TSID) {
            metricGroupID = tsid.metricGroupID
            metricID = tsid.metricID
            jobID = tsid.jobID
            instanceID = tsid.instanceID
            isReserved = false
        }

        func tsid(_ tenant: Tenant) -> TSID {
            TSID(
                tenant: tenant, metricGroupID: metricGroupID, jobID: jobID, instanceID: instanceID, metricID: metricID)
        }
    }

    private var entries: UnsafeMutablePointer<Entry>?
    private var capacity = 0
    private(set) var count = 0

    init() {}

    deinit { entries?.deallocate() }

    var isEmpty: Bool { count == 0 }

    private static let free = Entry(name: Fingerprint(high: 0, low: 0))
    private static let capacityMin = 64

    @inline(__always) private func home(_ name: Fingerprint) -> Int {
        Int(truncatingIfNeeded: name.low &>> 6) & (capacity &- 1)
    }

    /// The entry of a name; valid until the next insertion or removal.
    func find(_ name: Fingerprint) -> UnsafeMutablePointer<Entry>? {
        guard count > 0, let entries else { return nil }
        var index = home(name)
        while entries[index].isUsed {
            if entries[index].name == name { return entries + index }
            index = (index &+ 1) & (capacity &- 1)
        }
        return nil
    }

    /// A new entry for a name that is not there.
    mutating func insert(_ name: Fingerprint) -> UnsafeMutablePointer<Entry> {
        if (count &+ 1) &* 3 > capacity &* 2 { grow() }
        let entries = entries.unsafelyUnwrapped
        var index = home(name)
        while entries[index].isUsed { index = (index &+ 1) & (capacity &- 1) }
        entries[index] = Entry(name: name, isUsed: true)
        count &+= 1
        return entries + index
    }

    /// Removes a name if it is there; entries behind it move up, so no gaps are left in their chains.
    mutating func remove(_ name: Fingerprint) {
        guard let found = find(name), let entries else { return }
        var hole = found - entries
        var index = hole
        while true {
            index = (index &+ 1) & (capacity &- 1)
            guard entries[index].isUsed else { break }
            let distance = (index &- home(entries[index].name)) & (capacity &- 1)
            if distance >= (index &- hole) & (capacity &- 1) {
                entries[hole] = entries[index]
                hole = index
            }
        }
        entries[hole] = FingerprintTable.free
        count -= 1
    }

    /// Forgets everything. Memory that was hardly used is given back.
    mutating func removeAll() {
        guard let entries else { return }
        if capacity > FingerprintTable.capacityMin, count * 8 < capacity {
            entries.deallocate()
            self.entries = nil
            capacity = 0
        } else if count > 0 {
            entries.initialize(repeating: FingerprintTable.free, count: capacity)
        }
        count = 0
    }

    /// Moves all entries to another table; those that it has already stay as they are there.
    mutating func moveAll(to target: inout FingerprintTable) {
        copy(to: &target) { _ in true }
        removeAll()
    }

    /// Copies the reserved entries to another table, where they are not yet.
    func copyReserved(to target: inout FingerprintTable) { copy(to: &target) { $0.isReserved } }

    private func copy(to target: inout FingerprintTable, where isWanted: (Entry) -> Bool) {
        guard count > 0, let entries else { return }
        for index in 0..<capacity where entries[index].isUsed && isWanted(entries[index]) {
            if target.find(entries[index].name) == nil {
                target.insert(entries[index].name).pointee = entries[index]
            }
        }
    }

    private mutating func grow() { rebuild(Swift.max(capacity * 2, FingerprintTable.capacityMin)) }

    private mutating func rebuild(_ wanted: Int) {
        let old = entries
        let oldCapacity = capacity
        let target = UnsafeMutablePointer<Entry>.allocate(capacity: wanted)
        target.initialize(repeating: FingerprintTable.free, count: wanted)
        entries = target
        capacity = wanted
        guard let old else { return }
        for index in 0..<oldCapacity where old[index].isUsed {
            var place = home(old[index].name)
            while target[place].isUsed { place = (place &+ 1) & (capacity &- 1) }
            target[place] = old[index]
        }
        old.deallocate()
    }
}
