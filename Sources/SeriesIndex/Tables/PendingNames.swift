// PendingNames.swift - the names that were registered, or are being registered, and are not in a flushed part yet.
//
// A search of the table sees only what was flushed. This is the rest, so that one name gets one TSID however often it
// arrives at once: twice in a batch, in several batches, in several orders of labels, before a flush.
//
//   fingerprint -> reserved | TSID, number of the latest flush that had begun when it was completed      FingerprintTable
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
// Flushes have numbers. complete() comes after the rows were added, so a name that was completed before flush n began is
// durable once the table says that everything added before flush n is: didFlush(through: n) forgets it then, and not
// earlier. A search whose view was taken after reserve() therefore sees every name that reserve() no longer knows. So the
// names are those of about three flushes, however fast series come: 48 bytes each, the table 1/3 to 2/3 full.
//
// Threads: any. One lock, which a batch takes twice: once for all its claims, once when all of them end. That costs less
// than a lock for each name of a shard, and lets the cache lines of the next names be asked for ahead.

import CIntrinsics
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
final class PendingNames: @unchecked Sendable {
    private let lock = Lock()
    private let changed = Condition()
    // Guarded by the lock; behind a pointer, so that a loop over a batch makes no checks of exclusive access.
    private let names: UnsafeMutablePointer<FingerprintTable>
    private var waiting = 0
    private var flushNumber: UInt64 = 0

    /// Names ahead whose cache lines are asked for.
    private static let prefetchDistance = 8

    init() {
        names = .allocate(capacity: 1)
        names.initialize(to: FingerprintTable())
    }

    deinit {
        names.deinitialize(count: 1)
        names.deallocate()
    }

    // MARK: claims

    /// Claims a name. A known TSID for which `isDead` holds counts as unknown.
    func reserve(_ name: Fingerprint, tenant: Tenant, isDead: (UInt64) -> Bool) -> NameClaim {
        lock.lock()
        defer { lock.unlock() }
        return claim(name, tenant, isDead)
    }

    /// Claims all names of a batch: those that are known get their outcome, the others are listed.
    func reserve(
        _ batch: inout NameBatch, deleted: MetricIDSet, reserved: inout [Int], foreign: inout [Int]
    ) {
        let count = batch.nameCount
        lock.lock()
        defer { lock.unlock() }
        for index in 0..<count {
            let ahead = index &+ PendingNames.prefetchDistance
            if ahead < count { names.pointee.prefetch(batch.fingerprint(ahead)) }
            switch claim(batch.fingerprint(index), batch.tsid(index).tenant, { deleted.contains($0) }) {
            case .known(let tsid): batch.set(index, tsid, .pending)
            case .reserved: reserved.append(index)
            case .busy: foreign.append(index)
            }
        }
    }

    @inline(__always)
    private func claim(_ name: Fingerprint, _ tenant: Tenant, _ isDead: (UInt64) -> Bool) -> NameClaim {
        if let entry = names.pointee.find(name) {
            if entry.pointee.isReserved { return .busy }
            if !isDead(entry.pointee.metricID) { return .known(entry.pointee.tsid(tenant)) }
            entry.pointee.isReserved = true
            return .reserved
        }
        names.pointee.insert(name).pointee.isReserved = true
        return .reserved
    }

    /// Ends a reservation: the rows of the series were added, or it was found.
    func complete(_ name: Fingerprint, _ tsid: TSID) {
        lock.lock()
        set(name, tsid)
        unlockAndTell()
    }

    /// Ends the reservations of names of a batch, whose rows were added.
    func complete(_ batch: borrowing NameBatch, _ names: ArraySlice<Int>) {
        lock.lock()
        for index in names { set(batch.fingerprint(index), batch.tsid(index)) }
        unlockAndTell()
    }

    @inline(__always) private func set(_ name: Fingerprint, _ tsid: TSID) {
        let entry = names.pointee.find(name) ?? names.pointee.insert(name)
        entry.pointee.set(tsid, UInt32(truncatingIfNeeded: flushNumber))
    }

    /// Ends a reservation without a result.
    func cancel(_ name: Fingerprint) {
        lock.lock()
        names.pointee.remove(name)
        unlockAndTell()
    }

    private func unlockAndTell() {
        let someoneWaits = waiting > 0
        lock.unlock()
        if someoneWaits { changed.broadcast() }
    }

    /// As ``reserve(_:tenant:isDead:)``, but waits while the name is another thread's: never `.busy`. The caller holds
    /// no reservation.
    func wait(for name: Fingerprint, tenant: Tenant, isDead: (UInt64) -> Bool) -> NameClaim {
        lock.lock()
        defer { lock.unlock() }
        while true {
            let result = claim(name, tenant, isDead)
            if case .busy = result {
                waiting += 1
                changed.wait(lock)
                waiting -= 1
            } else {
                return result
            }
        }
    }

    /// The TSID of a name that is registered and not flushed yet. Makes no reservation.
    func find(_ name: Fingerprint, tenant: Tenant) -> TSID? { lock.withLock { registered(name, tenant) } }

    /// Calls `body` with every name of a list that is registered and not flushed yet. Makes no reservations.
    func forEachRegistered(_ names: [Int], of batch: borrowing NameBatch, _ body: (Int, TSID) -> Void) {
        lock.lock()
        defer { lock.unlock() }
        if self.names.pointee.isEmpty { return }
        for index in names {
            if let tsid = registered(batch.fingerprint(index), batch.tsid(index).tenant) { body(index, tsid) }
        }
    }

    private func registered(_ name: Fingerprint, _ tenant: Tenant) -> TSID? {
        guard let entry = names.pointee.find(name), !entry.pointee.isReserved else { return nil }
        return entry.pointee.tsid(tenant)
    }

    // MARK: flushes

    /// A flush begins; numbers ascend from 1.
    func willFlush(_ number: UInt64) { lock.withLock { flushNumber = number } }

    /// What was added before the flush of this number began is durable.
    func didFlush(through number: UInt64) {
        lock.withLock { names.pointee.remove(before: UInt32(truncatingIfNeeded: number)) }
    }

    /// Names that are registered or reserved.
    var count: Int { lock.withLock { names.pointee.count } }
}

/// Open addressing with linear probing from fingerprints to TSIDs without their tenant. One owner at a time.
struct FingerprintTable: ~Copyable {
    struct Entry {
        var name: Fingerprint
        var metricGroupID: UInt64 = 0
        var metricID: UInt64 = 0
        var jobID: UInt32 = 0
        var instanceID: UInt32 = 0
        /// The lower bits of a number of a flush: the latest that had begun when the TSID was set.
        var flush: UInt32 = 0
        var isUsed = false
        var isReserved = false

        mutating func set(_ tsid: TSID, _ flush: UInt32 = 0) {
            self.flush = flush
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
    /// Up to this size, 3 MiB, a table grows fourfold.
    private static let fastGrowthMax = 1 << 16

    @inline(__always) private func home(_ name: Fingerprint) -> Int {
        Int(truncatingIfNeeded: name.low) & (capacity &- 1)
    }

    /// Asks for the cache line where a name is looked for first.
    @inline(__always) func prefetch(_ name: Fingerprint) { if let entries { ci_prefetch(entries + home(name)) } }

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
        remove(at: found - entries)
    }

    private mutating func remove(at place: Int) {
        let entries = entries.unsafelyUnwrapped
        var hole = place
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

    /// Removes all entries that are not reserved and were set before the flush of this number began. Memory that was
    /// hardly used is given back. O(capacity).
    mutating func remove(before flush: UInt32) {
        guard let entries else { return }
        let wasHardlyUsed = capacity > FingerprintTable.capacityMin && count &* 8 < capacity
        var index = 0
        while index < capacity {
            let entry = entries + index
            // Numbers wrap around; those in the table are close to each other.
            if entry.pointee.isUsed, !entry.pointee.isReserved,
                Int32(bitPattern: entry.pointee.flush &- flush) < 0
            {
                // Another entry may move here, so the place is looked at again.
                remove(at: index)
            } else {
                index &+= 1
            }
        }
        guard wasHardlyUsed else { return }
        if count > 0 {
            var wanted = FingerprintTable.capacityMin
            while wanted < count &* 2 { wanted &*= 2 }
            rebuild(wanted)
        } else {
            entries.deallocate()
            self.entries = nil
            capacity = 0
        }
    }

    private mutating func grow() {
        rebuild(
            Swift.max(
                capacity < FingerprintTable.fastGrowthMax ? capacity * 4 : capacity * 2, FingerprintTable.capacityMin))
    }

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
