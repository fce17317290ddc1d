// DayRegistry.swift - which series are registered for which days in one index table: exactly, and mostly without a search.
//
//   day   ids that are registered, as far as known | complete: these are all | what is not durable yet
//
// A row whose series is not known to be registered for its day makes a claim. The answer is one of
//
//   known      registered, or being registered by another claim
//   claimed    nobody has it: the caller adds the rows of the day, then commits the claim, or releases it
//   unknown    the day is not complete: the table has to be searched
//
// Days become complete when somebody reads all their entries from the table. That pays once as many entries have been
// searched for one by one as reading them all costs (`searchesBeforeScan`), so that a row that is years late does not
// read a whole day, and a new day with half a million series does so once. All days of a table that was created empty
// are complete from the start.
//
// Memory: when the sets take more than `bytesMax`, days that have not been used for longest are forgotten, but none with
// entries that are not durable: a search would not see them; nor one that somebody is searching the table for, since what
// others register in the meantime must be remembered until the search has ended. The registry is also the (date, metricID) cache of
// docs/format/series-index.md, 7.9; unlike that, it never makes an entry twice.
//
// Threads: any. The lock is held for a batch of claims at a time.

import StorageBytes
import StorageRuntime

/// A series and a day.
public struct DayClaim: Sendable {
    /// What the registry answered.
    public enum State: UInt8, Sendable {
        /// Not asked yet.
        case open
        /// Registered already.
        case known
        /// To be registered by the caller.
        case claimed
        /// The table has to be searched.
        case unknown
    }

    /// The day.
    public var date: UInt64
    /// The series.
    public var metricID: UInt64
    /// The tenant of the series, see ``Tenant/bits``.
    public var tenantBits: UInt64
    /// A number of the caller's: which row it was.
    public var row: Int
    /// The answer.
    public var state = State.open
    /// Whether the registry did not know the entry, wherever it was found later.
    public var isMiss = false

    /// A claim that was not made yet.
    public init(date: UInt64, tsid: TSID, row: Int) {
        self.date = date
        metricID = tsid.metricID
        tenantBits = tsid.tenant.bits
        self.row = row
    }
}

/// What a registry holds.
public struct DayRegistryMetrics: Sendable, Equatable {
    /// Claims, and those that did not find an entry.
    public var requests: UInt64 = 0, misses: UInt64 = 0
    /// Days that were forgotten to make room.
    public var evictions: UInt64 = 0
    /// Days, entries and bytes now.
    public var days: UInt64 = 0, entries: UInt64 = 0, bytes: UInt64 = 0
    /// Entries searched for one by one, and days read as a whole.
    public var searches: UInt64 = 0, scans: UInt64 = 0

    /// All zero.
    public init() {}

    /// Adds the counters, not the contents, of a registry that is no longer used.
    public mutating func addCounters(_ other: DayRegistryMetrics) {
        requests += other.requests
        misses += other.misses
        evictions += other.evictions
        searches += other.searches
        scans += other.scans
    }
}

/// The days of an index table.
final class DayRegistry: @unchecked Sendable {
    private struct Day {
        var ids = MetricIDSet()
        var isComplete = false
        var searches = 0
        /// Claims that are claimed or unknown: their callers have not ended them yet.
        var inFlight = 0
        var lastAddedEpoch: UInt64 = 0
        var lastUsed: UInt64 = 0
    }

    private let lock = Lock()
    private var days: [UInt64: Day] = [:]
    private let isNewTable: Bool
    private let bytesMax: Int
    /// The number of the latest flush, and up to which flush all entries are durable.
    private var epoch: UInt64 = 0
    private var durableEpoch: UInt64 = 0
    private var uses: UInt64 = 0
    private var counters = DayRegistryMetrics()
    /// Held while a day is read from the table.
    let scanning = Lock()

    /// Entries searched for one by one before the whole day is read, at least.
    static let searchesBeforeScanMin = 32

    init(isNewTable: Bool, bytesMax: Int) {
        self.isNewTable = isNewTable
        self.bytesMax = bytesMax
    }

    /// Answers claims that are still open. Claims of one day that follow each other cost one look-up of the day.
    /// Returns whether some are unknown: each of those is settled, or released.
    func claim(_ claims: UnsafeMutableBufferPointer<DayClaim>) -> Bool {
        guard claims.count > 0 else { return false }
        lock.lock()
        defer { lock.unlock() }
        uses &+= 1
        var hasUnknown = false
        var index = 0
        while index < claims.count {
            let date = claims[index].date
            var end = index
            withDay(date) { day in
                while end < claims.count, claims[end].date == date {
                    if claims[end].state == .open {
                        counters.requests &+= 1
                        claims[end].state = DayRegistry.answer(&day, claims[end].metricID)
                        if claims[end].state != .known {
                            counters.misses &+= 1
                            claims[end].isMiss = true
                        }
                        if claims[end].state == .unknown { hasUnknown = true }
                    }
                    end &+= 1
                }
            }
            index = end
        }
        return hasUnknown
    }

    /// Claims days for series that were created a moment ago, which no table and no other thread can have: all claims are
    /// claimed. They count neither as requests nor as misses.
    func claimNew(_ claims: UnsafeMutableBufferPointer<DayClaim>) {
        guard claims.count > 0 else { return }
        lock.withLock {
            uses &+= 1
            var index = 0
            while index < claims.count {
                let date = claims[index].date
                withDay(date) { day in
                    while index < claims.count, claims[index].date == date {
                        if day.ids.insert(claims[index].metricID) { day.inFlight &+= 1 }
                        claims[index].state = .claimed
                        index &+= 1
                    }
                }
            }
        }
    }

    private static func answer(_ day: inout Day, _ id: UInt64) -> DayClaim.State {
        if day.isComplete {
            guard day.ids.insert(id) else { return .known }
            day.inFlight &+= 1
            return .claimed
        }
        if day.ids.contains(id) { return .known }
        day.inFlight &+= 1
        return .unknown
    }

    private func withDay(_ date: UInt64, _ body: (inout Day) -> Void) {
        body(&days[date, default: Day(isComplete: isNewTable)])
        days[date]?.lastUsed = uses
    }

    /// Whether a claim finds its entry already; makes no claim.
    func contains(date: UInt64, _ id: UInt64) -> Bool { lock.withLock { days[date]?.ids.contains(id) ?? false } }

    /// Tells that `count` entries of an incomplete day are about to be searched for; returns true when the day should be
    /// read as a whole instead. `scanCost` is what reading it costs, in searches.
    func shouldScan(_ date: UInt64, searches count: Int, scanCost: Int) -> Bool {
        lock.withLock {
            var result = false
            withDay(date) { day in
                day.searches += count
                result = day.searches > max(scanCost, DayRegistry.searchesBeforeScanMin)
            }
            if !result { counters.searches &+= UInt64(count) }
            return result
        }
    }

    /// Whether all entries of a day are known.
    func isComplete(_ date: UInt64) -> Bool { lock.withLock { days[date]?.isComplete ?? isNewTable } }

    /// All entries of a day, as they were read from the table after the day had been asked for.
    func complete(_ date: UInt64, _ ids: MetricIDSet) {
        lock.withLock {
            counters.scans &+= 1
            withDay(date) { day in
                day.ids.formUnion(ids)
                day.isComplete = true
            }
        }
    }

    /// Answers an unknown claim after the table was searched for it.
    func settle(_ claim: inout DayClaim, isInTable: Bool) {
        lock.withLock {
            var state = DayClaim.State.known
            let id = claim.metricID
            withDay(claim.date) { day in
                if day.ids.insert(id), !isInTable { state = .claimed } else { day.inFlight &-= 1 }
            }
            claim.state = state
        }
    }

    /// The rows of claims were added to the table.
    func commit(_ claims: UnsafeMutableBufferPointer<DayClaim>) { end(claims) { _, _ in } }

    /// The rows of claims could not be added, or the table could not be searched.
    func release(_ claims: UnsafeMutableBufferPointer<DayClaim>) { end(claims) { day, id in _ = day.ids.remove(id) } }

    private func end(_ claims: UnsafeMutableBufferPointer<DayClaim>, _ body: (inout Day, UInt64) -> Void) {
        guard claims.count > 0 else { return }
        lock.withLock {
            var index = 0
            while index < claims.count {
                let date = claims[index].date
                let epoch = epoch
                withDay(date) { day in
                    while index < claims.count, claims[index].date == date {
                        switch claims[index].state {
                        case .claimed:
                            day.inFlight &-= 1
                            day.lastAddedEpoch = epoch
                            body(&day, claims[index].metricID)
                        case .unknown: day.inFlight &-= 1
                        case .open, .known: break
                        }
                        index &+= 1
                    }
                }
            }
        }
    }

    // MARK: flushes

    /// A flush begins; numbers ascend from 1.
    func willFlush(_ number: UInt64) { lock.withLock { epoch = number } }

    /// What was added before the flush of this number began is durable.
    func didFlush(through number: UInt64) {
        lock.withLock {
            durableEpoch = number
            makeRoom()
        }
    }

    /// Forgets the days that were used longest ago until the sets fit.
    private func makeRoom() {
        var bytes = days.values.reduce(0) { $0 + $1.ids.memoryBytes }
        guard bytes > bytesMax else { return }
        let order = days.sorted { ($0.value.lastUsed, $0.key) < ($1.value.lastUsed, $1.key) }.map(\.key)
        // The two days used last stay: today, and the day that is being filled ahead.
        for date in order.dropLast(2) {
            guard bytes > bytesMax, let day = days[date] else { return }
            guard day.inFlight == 0, day.lastAddedEpoch < durableEpoch, !day.ids.isEmpty else { continue }
            bytes -= day.ids.memoryBytes
            // An incomplete day of a new table is one that was forgotten.
            days[date] = Day(lastUsed: day.lastUsed)
            counters.evictions += 1
        }
    }

    var metrics: DayRegistryMetrics {
        lock.withLock {
            var metrics = counters
            for day in days.values where day.ids.count > 0 {
                metrics.days += 1
                metrics.entries += UInt64(day.ids.count)
                metrics.bytes += UInt64(day.ids.memoryBytes)
            }
            return metrics
        }
    }
}
