// PendingNames.swift - the names that were registered, or are being registered, and are not in a flushed part yet.
//
// A search of the table sees only what was flushed. This is the rest, so that one name gets one TSID however often it
// arrives at once: twice in a batch, in several batches, in several orders of labels, before a flush.
//
//   current   fingerprint -> reserved | TSID
//   closing   the same, of before the flush in progress began
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
    // Guarded by the lock; behind pointers, so that a loop over a batch makes no checks of exclusive access.
    private let current: UnsafeMutablePointer<FingerprintTable>
    private let closing: UnsafeMutablePointer<FingerprintTable>
    private var waiting = 0

    /// Names ahead whose cache lines are asked for.
    private static let prefetchDistance = 8

    init() {
        current = .allocate(capacity: 2)
        current.initialize(to: FingerprintTable())
        closing = current + 1
        closing.initialize(to: FingerprintTable())
    }

    deinit {
        current.deinitialize(count: 2)
        current.deallocate()
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
            if ahead < count { current.pointee.prefetch(batch.fingerprint(ahead)) }
            switch claim(batch.fingerprint(index), batch.tsid(index).tenant, { deleted.contains($0) }) {
            case .known(let tsid): batch.set(index, tsid, .pending)
            case .reserved: reserved.append(index)
            case .busy: foreign.append(index)
            }
        }
    }

    @inline(__always)
    private func claim(_ name: Fingerprint, _ tenant: Tenant, _ isDead: (UInt64) -> Bool) -> NameClaim {
        if let entry = current.pointee.find(name) ?? closing.pointee.find(name) {
            if entry.pointee.isReserved { return .busy }
            if !isDead(entry.pointee.metricID) { return .known(entry.pointee.tsid(tenant)) }
            entry.pointee.isReserved = true
            return .reserved
        }
        current.pointee.insert(name).pointee.isReserved = true
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
        closing.pointee.remove(name)
        let entry = current.pointee.find(name) ?? current.pointee.insert(name)
        entry.pointee.set(tsid)
    }

    /// Ends a reservation without a result.
    func cancel(_ name: Fingerprint) {
        lock.lock()
        current.pointee.remove(name)
        closing.pointee.remove(name)
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
        if current.pointee.isEmpty, closing.pointee.isEmpty { return }
        for index in names {
            if let tsid = registered(batch.fingerprint(index), batch.tsid(index).tenant) { body(index, tsid) }
        }
    }

    private func registered(_ name: Fingerprint, _ tenant: Tenant) -> TSID? {
        guard let entry = current.pointee.find(name) ?? closing.pointee.find(name), !entry.pointee.isReserved else {
            return nil
        }
        return entry.pointee.tsid(tenant)
    }

    // MARK: flushes

    /// A flush of everything begins: open runs have not been sealed yet.
    func willFlush() {
        lock.withLock {
            // After a failed flush the names of before are still here.
            if closing.pointee.isEmpty {
                swap(&current.pointee, &closing.pointee)
            } else {
                current.pointee.moveAll(to: &closing.pointee)
            }
        }
    }

    /// The flush has ended; `succeeded` tells whether everything is durable.
    func didFlush(_ succeeded: Bool) {
        lock.withLock {
            if succeeded {
                // Rows of names that are still reserved were perhaps not added yet.
                closing.pointee.copyReserved(to: &current.pointee)
                closing.pointee.removeAll()
            }
        }
    }

    /// Names that are registered or reserved.
    var count: Int { lock.withLock { current.pointee.count + closing.pointee.count } }
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
