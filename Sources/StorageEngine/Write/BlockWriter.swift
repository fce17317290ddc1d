// BlockWriter.swift - the write path of one block of up to 8000 rows (docs/format/series-index.md, 6.2 to 6.8).
//
//   admit      rows that are NaN, too old or too new go
//   find       raw names are looked up in the TSID cache, 64 at a time: fingerprints, then all cache lines at once
//   accept     rows whose series is known: TSID, timestamp, value
//   pending    the others: canonical name, sorted, found or created in the index, put into the cache
//   samples    accepted rows go to the sample table, those of the first pass first
//   days       series that are not registered for the day of their row are registered
//
// A row of a known series costs the fingerprint of its name, one lookup, and one test of a bit; it allocates nothing.
//
// Threads: one owner at a time. Writers are kept in a pool; each holds scratch memory for a block.

import CIntrinsics
import SeriesIndex
import StorageBytes
import StorageRuntime

/// Memory and steps of a block.
final class BlockWriter: @unchecked Sendable {
    static let rowsMax = 8000
    private static let lookupMax = 64
    /// Rows ahead whose names are asked for.
    private static let prefetchDistance = 12
    private static let staleMarker: UInt64 = 0x7FF0_0000_0000_0002

    /// A number for the shard of a table, when the caller has none.
    let number: Int

    private let accepted: UnsafeMutablePointer<SampleRow>
    private let acceptedRows: UnsafeMutablePointer<UInt32>
    private var acceptedCount = 0
    private let pending: UnsafeMutablePointer<UInt32>
    private var pendingCount = 0
    /// Fingerprints of the raw names of pending rows, by row.
    private let rowNames: UnsafeMutablePointer<Fingerprint>
    /// What is to be put into the TSID cache.
    private let newNames: UnsafeMutablePointer<Fingerprint>
    private let newValues: UnsafeMutablePointer<CachedTSID>
    private var newCount = 0
    private let fingerprints: UnsafeMutablePointer<Fingerprint>
    private let positions: UnsafeMutablePointer<UInt32>
    private let found: UnsafeMutablePointer<CachedTSID>

    private var name = CanonicalName()
    private var batch = NameBatch()
    private var workspace = ResolveWorkspace()
    private var decision = PerDayDecision()

    /// What happened in the block at hand.
    private(set) var counters = BlockCounters()
    /// The first thing worth a warning.
    private(set) var warning: String?

    init(number: Int) {
        self.number = number
        accepted = .allocate(capacity: BlockWriter.rowsMax)
        acceptedRows = .allocate(capacity: BlockWriter.rowsMax)
        pending = .allocate(capacity: BlockWriter.rowsMax)
        rowNames = .allocate(capacity: BlockWriter.rowsMax)
        newNames = .allocate(capacity: BlockWriter.lookupMax)
        newValues = .allocate(capacity: BlockWriter.lookupMax)
        fingerprints = .allocate(capacity: BlockWriter.lookupMax)
        positions = .allocate(capacity: BlockWriter.lookupMax)
        found = .allocate(capacity: BlockWriter.lookupMax)
    }

    deinit {
        accepted.deallocate()
        acceptedRows.deallocate()
        pending.deallocate()
        rowNames.deallocate()
        newNames.deallocate()
        newValues.deallocate()
        fingerprints.deallocate()
        positions.deallocate()
        found.deallocate()
    }

    /// What a block is written with.
    struct Target {
        let engine: StorageEngine
        let tables: IndexTables
        let precisionBits: Int
        let hint: Int?
    }

    /// Writes a block of 1 to ``rowsMax`` rows.
    ///
    /// - Returns: The block's error, if there is one: rows were lost, or entries of days are missing.
    func write(_ rows: UnsafeBufferPointer<MetricRow>, _ target: Target) -> StorageError? {
        begin()
        let engine = target.engine
        let nowMs = engine.environment.clock.unixMilliseconds / 1000 * 1000
        findKnown(rows, engine, range: engine.acceptedRange(nowMs: nowMs))
        if pendingCount > 0 { resolvePending(rows, target, limits: true) }
        var failure: StorageError?
        if acceptedCount > 0 {
            do throws(StorageError) {
                try engine.store(
                    UnsafeBufferPointer(start: accepted, count: acceptedCount), precisionBits: target.precisionBits,
                    hint: target.hint ?? number)
            } catch { failure = error.adding("cannot add rows to table") }
            if engine.options.registersPerDay, let error = registerDays(rows, target, nowMs: nowMs) {
                failure = failure ?? error.adding("cannot update per-date data")
            }
        }
        if failure == nil { counters.rowsAdded = UInt64(rows.count) }
        return failure?.adding("error occurred during rows addition")
    }

    private func begin() {
        counters = BlockCounters()
        warning = nil
        acceptedCount = 0
        pendingCount = 0
    }

    // MARK: first pass

    private func findKnown(
        _ rows: UnsafeBufferPointer<MetricRow>, _ engine: StorageEngine, range: ClosedRange<Int64>
    ) {
        let key = engine.key
        let cache = engine.tsidCache
        let hasLimits = engine.hasLimits
        var previousName = Fingerprint(high: 0, low: 0)
        var previous = CachedTSID(metricGroupID: 0, jobID: 0, instanceID: 0, metricID: 0)
        var hasPrevious = false
        var requests: UInt64 = 0
        var misses: UInt64 = 0
        var index = 0
        while index < rows.count {
            var count = 0
            while count < BlockWriter.lookupMax, index < rows.count {
                let ahead = index &+ BlockWriter.prefetchDistance
                if ahead < rows.count { prefetchName(rows[ahead]) }
                let row = rows[index]
                #if INJECT_FAULTS
                    InjectedFault.perRow()
                #endif
                if isAdmitted(row, range) {
                    fingerprints[count] = key.fingerprint(row.name)
                    positions[count] = UInt32(truncatingIfNeeded: index)
                    count &+= 1
                }
                index &+= 1
            }
            guard count > 0 else { continue }
            let hits = cache.find(fingerprints, count: count, into: found)
            for place in 0..<count {
                let position = Int(positions[place])
                if hasPrevious, fingerprints[place] == previousName {
                    accept(rows[position], position, previous)
                    continue
                }
                requests &+= 1
                if hits & (1 &<< UInt64(place)) != 0 {
                    if hasLimits, !isWithinLimits(found[place].metricID, engine) { continue }
                    previousName = fingerprints[place]
                    previous = found[place]
                    hasPrevious = true
                    accept(rows[position], position, previous)
                } else {
                    misses &+= 1
                    pending[pendingCount] = positions[place]
                    rowNames[position] = fingerprints[place]
                    pendingCount &+= 1
                }
            }
        }
        cache.count(requests: Int(requests), misses: Int(misses))
    }

    @inline(__always) private func prefetchName(_ row: MetricRow) {
        // The processor goes on by itself once it has seen two lines in order.
        ci_prefetch(row.nameStart)
        if row.nameCount > 64 { ci_prefetch(row.nameStart + 64) }
    }

    @inline(__always) private func isAdmitted(_ row: MetricRow, _ range: ClosedRange<Int64>) -> Bool {
        if row.value != row.value, row.value.bitPattern != BlockWriter.staleMarker {
            counters.rowsNaN &+= 1
            return false
        }
        if row.timestampMs >= range.lowerBound, row.timestampMs <= range.upperBound, row.nameCount > 0 { return true }
        refuse(row, range)
        return false
    }

    private func refuse(_ row: MetricRow, _ range: ClosedRange<Int64>) {
        if row.nameCount == 0 {
            counters.rowsInvalidName &+= 1
            warn { "cannot insert row with an empty metric name" }
        } else if row.timestampMs < range.lowerBound {
            counters.rowsTooOld &+= 1
            warn {
                "cannot insert row with too small timestamp \(row.timestampMs) outside the retention; minimum allowed "
                    + "timestamp is \(range.lowerBound); probably you need updating -retentionPeriod command-line flag; "
                    + "metricName: \(BlockWriter.text(raw: row.name))"
            }
        } else {
            counters.rowsTooNew &+= 1
            warn {
                "cannot insert row with too big timestamp \(row.timestampMs) exceeding the current time; maximum allowed "
                    + "timestamp is \(range.upperBound); metricName: \(BlockWriter.text(raw: row.name))"
            }
        }
    }

    @inline(__always) private func accept(_ row: MetricRow, _ position: Int, _ cached: CachedTSID) {
        accept(
            row, position,
            TSID(
                tenant: Tenant(bits: UInt64(bigEndian: row.nameStart.loadUnaligned(as: UInt64.self))),
                metricGroupID: cached.metricGroupID, jobID: cached.jobID, instanceID: cached.instanceID,
                metricID: cached.metricID))
    }

    @inline(__always) private func accept(_ row: MetricRow, _ position: Int, _ tsid: TSID) {
        accepted[acceptedCount] = SampleRow(tsid: tsid, timestampMs: row.timestampMs, value: row.value)
        acceptedRows[acceptedCount] = UInt32(truncatingIfNeeded: position)
        acceptedCount &+= 1
    }

    /// The limits of series per hour and day (docs/format/series-index.md, 6.11).
    private func isWithinLimits(_ metricID: UInt64, _ engine: StorageEngine) -> Bool {
        if let limiter = engine.hourlyLimiter, !limiter.add(metricID) {
            counters.rowsOverHourlyLimit &+= 1
            warn {
                "skip series \(metricID) because -storage.maxHourlySeries=\(engine.options.hourlySeriesMax) reached"
            }
            return false
        }
        if let limiter = engine.dailyLimiter, !limiter.add(metricID) {
            counters.rowsOverDailyLimit &+= 1
            warn { "skip series \(metricID) because -storage.maxDailySeries=\(engine.options.dailySeriesMax) reached" }
            return false
        }
        return true
    }

    // MARK: names without samples

    /// Creates the series of a block and registers them for the days of its rows; no limits apply, and values are not
    /// looked at (docs/format/series-index.md, 6.10). Other than the reference it also registers the day of series that
    /// are in the cache.
    ///
    /// - Returns: The first error: a name that does not decode or is too long, or a series that could not be created.
    func register(_ rows: UnsafeBufferPointer<MetricRow>, _ target: Target) -> StorageError? {
        begin()
        let engine = target.engine
        var requests: UInt64 = 0
        var misses: UInt64 = 0
        for index in 0..<rows.count {
            guard rows[index].nameCount > 0 else {
                counters.rowsInvalidName &+= 1
                warn { "the metric name of row \(index) is empty" }
                continue
            }
            requests &+= 1
            fingerprints[0] = engine.key.fingerprint(rows[index].name)
            if engine.tsidCache.find(fingerprints, count: 1, into: found) != 0 {
                accept(rows[index], index, found[0])
            } else {
                misses &+= 1
                pending[pendingCount] = UInt32(truncatingIfNeeded: index)
                rowNames[index] = fingerprints[0]
                pendingCount &+= 1
            }
        }
        engine.tsidCache.count(requests: Int(requests), misses: Int(misses))
        if pendingCount > 0 { resolvePending(rows, target, limits: false) }
        var failure = batch.firstError
        if counters.rowsInvalidName + counters.rowsTooLongName > 0 {
            failure = StorageError(.invalidArgument, warning ?? "a metric name cannot be registered")
        }
        guard engine.options.registersPerDay, acceptedCount > 0 else { return failure }
        decision.removeAll()
        for index in 0..<acceptedCount {
            decision.claims.append(
                DayClaim(
                    date: DateMath.date(timestampMs: accepted[index].timestampMs), tsid: accepted[index].tsid,
                    row: index))
        }
        let error = register(&decision.claims, rows, target)
        for claim in decision.claims where claim.isMiss { counters.slowPerDayInserts &+= 1 }
        return failure ?? error
    }

    // MARK: second pass

    private func resolvePending(_ rows: UnsafeBufferPointer<MetricRow>, _ target: Target, limits: Bool) {
        let engine = target.engine
        collectNames(rows)
        batch.sort(engine.key)
        var policy = NewSeriesPolicy(hint: target.hint ?? number, registersDay: engine.options.registersPerDay)
        let hasLimits = limits && engine.hasLimits
        if hasLimits { policy.admits = { self.isWithinLimits($0, engine) } }
        if engine.options.logsNewSeries { policy.onNew = { engine.logNewSeries($0) } }
        let resolved = engine.index.resolve(&batch, target.tables, policy, &workspace)
        counters.nameSearches &+= UInt64(resolved.searches)
        counters.nameSearchesInVain &+= UInt64(resolved.searchesInVain)
        counters.perDayEntriesWritten &+= UInt64(resolved.dayEntries)
        counters.slowPerDayInserts &+= UInt64(resolved.dayEntries)
        for index in 0..<batch.nameCount { acceptRows(of: index, rows, engine, hasLimits) }
        flushRemembered(engine)
        if let error = batch.firstError { warn { "cannot obtain or create TSID for a metric name: \(error)" } }
    }

    private func collectNames(_ rows: UnsafeBufferPointer<MetricRow>) {
        batch.removeAll(rows: rows.count)
        var last = Fingerprint(high: 0, low: 0)
        var hasLast = false
        var lastIsGood = false
        var lastIsTooLong = false
        for index in 0..<pendingCount {
            let row = Int(pending[index])
            if hasLast, rowNames[row] == last {
                if lastIsGood {
                    batch.appendAgain(row: row)
                } else if lastIsTooLong {
                    counters.rowsTooLongName &+= 1
                } else {
                    counters.rowsInvalidName &+= 1
                }
                continue
            }
            last = rowNames[row]
            hasLast = true
            lastIsGood = false
            lastIsTooLong = false
            do {
                try name.canonicalize(raw: rows[row].name)
            } catch {
                counters.rowsInvalidName &+= 1
                warn { "cannot unmarshal a raw metric name of \(rows[row].nameCount) bytes: \(error)" }
                continue
            }
            guard name.count <= SeriesRows.nameBytesMax else {
                counters.rowsTooLongName &+= 1
                lastIsTooLong = true
                warn {
                    "a metric name has \(self.name.count) bytes in canonical form, at most \(SeriesRows.nameBytesMax) "
                        + "can be indexed; use fewer or shorter labels"
                }
                continue
            }
            lastIsGood = true
            batch.append(name.bytes, row: row, date: DateMath.date(timestampMs: rows[row].timestampMs))
        }
    }

    /// Leaves a name for the TSID cache.
    @inline(__always) private func remember(_ name: Fingerprint, _ value: CachedTSID, _ engine: StorageEngine) {
        newNames[newCount] = name
        newValues[newCount] = value
        newCount &+= 1
        if newCount == BlockWriter.lookupMax { flushRemembered(engine) }
    }

    private func flushRemembered(_ engine: StorageEngine) {
        engine.tsidCache.insert(newNames, newValues, count: newCount)
        newCount = 0
    }

    private func acceptRows(
        of index: Int, _ rows: UnsafeBufferPointer<MetricRow>, _ engine: StorageEngine, _ hasLimits: Bool
    ) {
        let outcome = batch.outcome(index)
        let tsid = batch.tsid(index)
        let cached = CachedTSID(
            metricGroupID: tsid.metricGroupID, jobID: tsid.jobID, instanceID: tsid.instanceID,
            metricID: tsid.metricID)
        var isIn = false
        var isFirst = true
        var previous = -1
        batch.forEachRow(index) { row, startsForm in
            // The first row of a refused series was counted when it was refused.
            var wasCounted = previous < 0
            // Rows of one raw name need not have come one after the other.
            if startsForm, previous < 0 || !BlockWriter.isSameName(rows[previous], rows[row]) {
                switch outcome {
                case .created where isFirst: counters.slowRowCauses.newSeries &+= 1
                case .carriedOver where isFirst: counters.slowRowCauses.rotation &+= 1
                case .pending, .found, .created, .carriedOver: counters.slowRowCauses.cacheMiss &+= 1
                case .open, .refused, .failed: break
                }
                counters.slowRowInserts &+= 1
                isIn = false
                switch outcome {
                case .created, .carriedOver, .pending, .found:
                    isIn = outcome == .created || !hasLimits || isWithinLimits(tsid.metricID, engine)
                    wasCounted = true
                    if isIn { remember(rowNames[row], cached, engine) }
                case .open, .refused, .failed: break
                }
                isFirst = false
            }
            if isIn {
                accept(rows[row], row, tsid)
            } else if outcome == .failed || outcome == .open {
                counters.rowsFailed &+= 1
            } else if !wasCounted {
                // Every row that a limit refuses counts, not every name.
                _ = isWithinLimits(tsid.metricID, engine)
            }
            previous = row
        }
        switch outcome {
        case .created: counters.seriesCreated &+= 1
        case .carriedOver: counters.seriesCarriedOver &+= 1
        case .open, .pending, .found, .refused, .failed: break
        }
    }

    private static func isSameName(_ a: MetricRow, _ b: MetricRow) -> Bool {
        a.nameCount == b.nameCount && Bytes.compare(a.name, b.name) == 0
    }

    // MARK: days

    private func registerDays(
        _ rows: UnsafeBufferPointer<MetricRow>, _ target: Target, nowMs: Int64
    ) -> StorageError? {
        let engine = target.engine
        let sets = engine.active.published
        decision.decide(
            UnsafeBufferPointer(start: accepted, count: acceptedCount), sets, nowSeconds: UInt64(max(nowMs, 0)) / 1000)
        counters.hourRequests = decision.hourRequests
        counters.hourMisses = decision.hourMisses
        counters.nextDayPrefills = UInt64(decision.prefills.count)
        counters.slowPerDayInserts &+= UInt64(decision.prefills.count)
        let failure = register(&decision.prefills, rows, target)
        let second = register(&decision.claims, rows, target)
        for claim in decision.claims where claim.isMiss { counters.slowPerDayInserts &+= 1 }
        // A series whose entry failed must not be taken for registered, neither here nor by blocks that found the entry
        // on its way: its next rows try again.
        if failure != nil { engine.active.forget(decision.prefills.lazy.map(\.metricID)) }
        if second != nil { engine.active.forget(decision.claims.lazy.map(\.metricID)) }
        engine.active.add(
            hour: sets.currentHour, second == nil ? decision.hourIDs : [], date: DateMath.date(hour: sets.currentHour),
            nextDay: failure == nil ? decision.nextDayIDs : [], failures: sets.failures)
        return failure ?? second
    }

    private func register(
        _ claims: inout [DayClaim], _ rows: UnsafeBufferPointer<MetricRow>, _ target: Target
    ) -> StorageError? {
        guard !claims.isEmpty else { return nil }
        let acceptedRows = acceptedRows
        let result = claims.withUnsafeMutableBufferPointer { claims in
            target.engine.index.registerDays(
                claims, target.tables, hint: target.hint ?? number,
                raw: { rows[Int(acceptedRows[$0])].name }, &name, &workspace)
        }
        counters.perDayEntriesWritten &+= UInt64(result.written)
        return result.error
    }

    // MARK: warnings

    private func warn(_ text: () -> String) { if warning == nil { warning = text() } }

    /// A raw name for people.
    static func text(raw: UnsafeRawBufferPointer) -> String {
        (try? MetricName(raw: raw)).map(\.description) ?? "(\(raw.count) bytes that are not a metric name)"
    }
}
