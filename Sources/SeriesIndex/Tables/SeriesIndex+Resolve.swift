// SeriesIndex+Resolve.swift - from canonical names to TSIDs: found, carried over from the previous table, or created
// (docs/format/series-index.md, 6.4 to 6.6).
//
//   reserve      every name of the batch is claimed; names registered a moment ago are known already        PendingNames
//   filter       most new names are told from old ones without a search                                     NameFilter
//   search       the rest is looked up in the current table, then in the previous one
//   generate     what was found nowhere gets a TSID with the next unique id, in the order of the names
//   register     the rows of all series that are new here: one batch, all of it or nothing                  Table.add
//   complete     the names can be found by everybody
//   wait         names that another thread had claimed
//
// One name has one TSID, whatever arrives at once. A batch is registered for its day together with its global rows: the
// tags are gathered once for both.
//
// Threads: any, each with a batch and a registrar of its own, inside `withTables`.

import Mergeset
import StorageBytes
import StorageRuntime

/// What names that are new get.
public struct NewSeriesPolicy {
    /// Number of the calling thread, if it has one.
    public var hint: Int?
    /// Whether new series are registered for the day of their first row at once.
    public var registersDay: Bool
    /// Asked before a series is created; false leaves it. nil creates all.
    public var admits: ((_ metricID: UInt64) -> Bool)?
    /// Told of every series that was created, or carried over.
    public var onNew: ((_ name: UnsafeRawBufferPointer) -> Void)?

    /// A policy that creates every series.
    public init(hint: Int? = nil, registersDay: Bool = true) {
        self.hint = hint
        self.registersDay = registersDay
    }
}

/// What resolving a batch counted.
public struct ResolveCounters: Sendable {
    /// Names that a table was searched for, and those of them that were not there.
    public var searches = 0, searchesInVain = 0
    /// Entries of a day that were written with new series.
    public var dayEntries = 0

    /// All zero.
    public init() {}
}

/// Memory that resolving needs, kept from batch to batch. One owner at a time.
public struct ResolveWorkspace: ~Copyable {
    var registrar = SeriesRegistrar()
    /// Names that are claimed by this thread and not resolved yet; names of other threads.
    var reserved: [Int] = []
    var foreign: [Int] = []
    /// Names whose rows are to be added.
    var missing: [Int] = []
    var claims: [DayClaim] = []

    /// Empty.
    public init() {}
}

extension SeriesIndex {
    /// Finds or creates the series of a sorted batch.
    ///
    /// Afterwards every name has an outcome. Names that could be neither found nor created have failed, and
    /// ``NameBatch/firstError`` tells why; they did not get a part of their rows, but none.
    ///
    /// - Complexity: for a new series, the bytes of its rows and one cache miss for each level of the filter; for one that
    ///   is in the table, a search.
    public func resolve(
        _ batch: inout NameBatch, _ tables: IndexTables, _ policy: NewSeriesPolicy,
        _ workspace: inout ResolveWorkspace
    ) -> ResolveCounters {
        var counters = ResolveCounters()
        let pending = tables.current.pending
        let deleted = tables.deleted
        workspace.reserved.removeAll(keepingCapacity: true)
        workspace.foreign.removeAll(keepingCapacity: true)
        pending.reserve(
            &batch, deleted: deleted, reserved: &workspace.reserved, foreign: &workspace.foreign)
        resolveReserved(&batch, tables, policy, &workspace, &counters)
        for index in workspace.foreign {
            let claim = pending.wait(for: batch.fingerprint(index), tenant: batch.tsid(index).tenant) {
                deleted.contains($0)
            }
            switch claim {
            case .known(let tsid): batch.set(index, tsid, .pending)
            case .reserved, .busy:
                // The other thread has failed, or the rows were flushed in the meantime.
                workspace.reserved.removeAll(keepingCapacity: true)
                workspace.reserved.append(index)
                resolveReserved(&batch, tables, policy, &workspace, &counters)
            }
        }
        return counters
    }

    private func resolveReserved(
        _ batch: inout NameBatch, _ tables: IndexTables, _ policy: NewSeriesPolicy,
        _ workspace: inout ResolveWorkspace, _ counters: inout ResolveCounters
    ) {
        guard !workspace.reserved.isEmpty else { return }
        workspace.missing.removeAll(keepingCapacity: true)
        // After the reservations: whatever pending has forgotten by then is in these views.
        findReserved(&batch, tables, &workspace, &counters)
        generate(&batch, tables, policy, &workspace)
        register(&batch, tables, policy, &workspace, &counters)
    }

    /// Looks the reserved names up in both tables; those that are in neither or in the previous one only are missing.
    private func findReserved(
        _ batch: inout NameBatch, _ tables: IndexTables, _ workspace: inout ResolveWorkspace,
        _ counters: inout ResolveCounters
    ) {
        let filters = (tables.current.filter, tables.previous.filter)
        // Before the cursor of the previous table is made: what its pending names have forgotten by then is in its view.
        for index in workspace.reserved {
            filters.0.prefetch(batch.fingerprint(index))
            filters.1.prefetch(batch.fingerprint(index))
        }
        var carried: [(Int, TSID)] = []
        tables.previous.pending.forEachRegistered(workspace.reserved, of: batch) { index, tsid in
            if !tables.deleted.contains(tsid.metricID) { carried.append((index, tsid)) }
        }
        for (index, tsid) in carried { batch.set(index, tsid, .carriedOver) }
        var cursor = OptionalCursor()
        var previousCursor = OptionalCursor()
        for index in workspace.reserved {
            let fingerprint = batch.fingerprint(index)
            do throws(StorageError) {
                if filters.0.mayContain(fingerprint) {
                    counters.searches += 1
                    if let tsid = try cursor.find(batch.key(index), tables.current, tables.deleted) {
                        batch.set(index, tsid, .found)
                        tables.current.pending.complete(fingerprint, tsid)
                        continue
                    }
                    counters.searchesInVain += 1
                }
                if batch.outcome(index) == .open, filters.1.mayContain(fingerprint) {
                    counters.searches += 1
                    if let tsid = try previousCursor.find(batch.key(index), tables.previous, tables.deleted) {
                        batch.set(index, tsid, .carriedOver)
                    } else {
                        counters.searchesInVain += 1
                    }
                }
                workspace.missing.append(index)
            } catch {
                batch.fail(index, error)
                tables.current.pending.cancel(fingerprint)
            }
        }
    }

    /// Gives ids to the names that were found nowhere, in the order of the names. The other fields of their TSIDs follow
    /// when their rows are made.
    private func generate(
        _ batch: inout NameBatch, _ tables: IndexTables, _ policy: NewSeriesPolicy,
        _ workspace: inout ResolveWorkspace
    ) {
        for index in workspace.missing where batch.outcome(index) == .open {
            let id = environment.ids.next()
            let tsid = TSID(
                tenant: batch.tsid(index).tenant, metricGroupID: 0, jobID: 0, instanceID: 0, metricID: id)
            if let admits = policy.admits, !admits(id) {
                // The id tells its rows apart from those of other series; nothing is stored under it.
                batch.set(index, tsid, .refused)
                tables.current.pending.cancel(batch.fingerprint(index))
            } else {
                batch.set(index, tsid, .created)
            }
        }
        if policy.admits != nil { workspace.missing.removeAll { batch.outcome($0) == .refused } }
    }

    /// Series whose rows are added by one call, and the most bytes of their rows: a batch must not fill a run many times
    /// over, and cannot take more than a run can be.
    private static let seriesPerBatch = 2000
    private static let bytesPerBatch = 128 << 20

    /// The end of the batch that begins at `start`; at least one series is in it.
    static func batchEnd(_ start: Int, _ count: Int, nameCount: (Int) -> Int) -> Int {
        var end = start
        var bytes = 0
        repeat {
            // The name twice; each tag alone and behind the group, globally and per day: where the group has g of n bytes
            // there are at most (n - g) / 3 tags.
            let name = nameCount(end)
            bytes += 6 * name + name * name / 6
            end += 1
        } while end < count && end - start < seriesPerBatch && bytes < bytesPerBatch
        return end
    }

    /// Adds the rows of the missing names.
    private func register(
        _ batch: inout NameBatch, _ tables: IndexTables, _ policy: NewSeriesPolicy,
        _ workspace: inout ResolveWorkspace, _ counters: inout ResolveCounters
    ) {
        let current = tables.current
        var start = 0
        while start < workspace.missing.count {
            let end = SeriesIndex.batchEnd(start, workspace.missing.count) {
                batch.name(workspace.missing[$0]).count
            }
            workspace.claims.removeAll(keepingCapacity: true)
            if policy.registersDay {
                for index in workspace.missing[start..<end] where batch.outcome(index) == .created {
                    workspace.claims.append(DayClaim(date: batch.date(index), tsid: batch.tsid(index), row: index))
                }
                // Ids that were made a moment ago are in no table: no search is needed.
                workspace.claims.withUnsafeMutableBufferPointer { current.days.claimNew($0) }
            }
            do throws(StorageError) {
                try addRows(&batch, current, workspace.missing[start..<end], policy, &workspace.registrar)
                counters.dayEntries += workspace.claims.count
                workspace.claims.withUnsafeMutableBufferPointer { current.commit($0) }
                for index in workspace.missing[start..<end] { current.filter.insert(batch.fingerprint(index)) }
                current.pending.complete(batch, workspace.missing[start..<end])
                if let onNew = policy.onNew {
                    for index in workspace.missing[start..<end] { onNew(batch.name(index)) }
                }
            } catch {
                workspace.claims.withUnsafeMutableBufferPointer { current.release($0) }
                for index in workspace.missing[start..<end] {
                    batch.fail(index, error)
                    current.pending.cancel(batch.fingerprint(index))
                }
            }
            start = end
        }
    }

    private func addRows(
        _ batch: inout NameBatch, _ table: IndexTable, _ names: ArraySlice<Int>, _ policy: NewSeriesPolicy,
        _ registrar: inout SeriesRegistrar
    ) throws(StorageError) {
        try table.table.add(hint: policy.hint) { (writer: inout ItemWriter) throws(StorageError) in
            for index in names {
                let name = batch.name(index)
                guard batch.outcome(index) == .created else {
                    try registrar.add(canonical: name, batch.tsid(index), registration: .global, to: &writer)
                    continue
                }
                let tsid = try registrar.addNew(
                    canonical: name, metricID: batch.tsid(index).metricID,
                    registration: policy.registersDay ? .globalAndDay(batch.date(index)) : .global, to: &writer)
                batch.set(index, tsid, .created)
            }
        }
    }
}

/// A cursor that is made when it is needed first.
private struct OptionalCursor: ~Copyable {
    private var cursor: TableCursor?

    init() {}

    mutating func find(
        _ key: UnsafeRawBufferPointer, _ table: IndexTable, _ deleted: MetricIDSet
    ) throws(StorageError) -> TSID? {
        if cursor == nil { cursor = table.table.cursor() }
        do throws(StorageError) {
            return try IndexTable.find(key, &cursor!, deleted)
        } catch {
            // A cursor is dead after an error; the next name gets another one.
            cursor = nil
            throw error
        }
    }
}

// MARK: per-day registration

extension SeriesIndex {
    /// Registers series for days (docs/format/series-index.md, 6.8, steps 8 to 10).
    ///
    /// - Parameters:
    ///   - claims: What is wanted, in any order; sorted and answered afterwards.
    ///   - raw: The raw name of a claim's row.
    ///   - name: A workspace.
    /// - Returns: Entries written, and the first error; the claims of an error are not registered.
    public func registerDays(
        _ claims: UnsafeMutableBufferPointer<DayClaim>, _ tables: IndexTables, hint: Int?,
        raw: (_ row: Int) -> UnsafeRawBufferPointer, _ name: inout CanonicalName,
        _ workspace: inout ResolveWorkspace
    ) -> (written: Int, error: StorageError?) {
        guard claims.count > 0 else { return (0, nil) }
        var claims = claims
        claims.sort { ($0.date, $0.tenantBits, $0.metricID, $0.row) < ($1.date, $1.tenantBits, $1.metricID, $1.row) }
        do throws(StorageError) { try tables.current.claim(claims) } catch { return (0, error) }
        var written = 0
        var failure: StorageError?
        var start = 0
        while start < claims.count {
            let end = SeriesIndex.batchEnd(start, claims.count) {
                claims[$0].state == .claimed ? raw(claims[$0].row).count : 0
            }
            let slice = UnsafeMutableBufferPointer(rebasing: claims[start..<end])
            start = end
            guard slice.contains(where: { $0.state == .claimed }) else { continue }
            do throws(StorageError) {
                written += try addDayRows(slice, tables.current, hint, raw, &name, &workspace.registrar)
                tables.current.commit(slice)
            } catch {
                tables.current.release(slice)
                failure = failure ?? error
            }
        }
        return (written, failure)
    }

    private func addDayRows(
        _ claims: UnsafeMutableBufferPointer<DayClaim>, _ table: IndexTable, _ hint: Int?,
        _ raw: (_ row: Int) -> UnsafeRawBufferPointer, _ name: inout CanonicalName,
        _ registrar: inout SeriesRegistrar
    ) throws(StorageError) -> Int {
        var written = 0
        try table.table.add(hint: hint) { (writer: inout ItemWriter) throws(StorageError) in
            for claim in claims where claim.state == .claimed {
                do { try name.canonicalize(raw: raw(claim.row)) } catch {
                    throw StorageError(.invalidArgument, "a raw metric name does not decode: \(error)")
                }
                let tsid = TSID(
                    tenant: Tenant(bits: claim.tenantBits), metricGroupID: 0, jobID: 0, instanceID: 0,
                    metricID: claim.metricID)
                try registrar.add(name, tsid, registration: .day(claim.date), to: &writer)
                written += 1
            }
        }
        return written
    }
}
