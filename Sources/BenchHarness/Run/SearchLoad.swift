// SearchLoad.swift - searches at a fixed rate: what they take away from ingestion, what it takes away from them, and how long
// they take.
//
// Open loop: search i is meant to start at start + i / rate, whether the one before has ended or not, and its latency counts
// from that moment (and from the moment at which it did start). A search asks for a range of time of a few series that were
// drawn at random, reads all blocks and looks at their bytes, as sending them would. Some are wide: more series, longer range
// (`Profile.Searches`). What the first ones find is kept, to be checked against what was sent (SearchCheck).
//
// The end is a moment: all searches that were due before it are made, however late, so that the slowest ones are not those
// that nobody measures. That may take as long again as the load has lasted; searches that have not begun by then are counted as
// due and not as made, and their latency from the intended start is recorded as what they have waited so far.
//
// Deterministic runs have no other thread and no rate by the wall clock: there the driver makes the searches itself, as many
// as are due for the rows that were added, on the virtual clock.
//
// Threads: one of its own between start() and stop(), which are the driver's; runDue() is called by the driver in its place.

import StorageBytes
import StorageEngine
import StorageRuntime
import Workloads

/// Searches at a fixed rate.
final class SearchLoad: @unchecked Sendable {
    /// What came of it.
    struct Result: Sendable {
        var searches: UInt64 = 0, blocks: UInt64 = 0, rows: UInt64 = 0, bytes: UInt64 = 0
        /// Searches that were due before the end, made or not.
        var due: UInt64 = 0
        /// What the first searches have found.
        var checks: [SearchCheck] = []
        /// A block that nobody has asked for, in words.
        var stray: String?
        var cpuSeconds = 0.0
        var error: HarnessError?
    }

    private let engine: StorageEngine
    private let clock: DrivenClock
    private let plan: Profile.Searches
    private let latency: LatencyRecorder?
    private let tsids: [TSID]
    /// Numbers of the series in the profile.
    private let numbers: [TSID: UInt32]
    private let settledMs: Int64
    private let lock = Lock()
    private let condition = Condition()
    /// Searches that are due from here on are not made; under the lock.
    private var endNanoseconds: UInt64?
    private var thread: Thread?
    private var random: SplitMix64
    private var result = Result()
    /// Searches that are due by the rows of a deterministic run, with what is left of one.
    private var dueByRows = 0.0
    private var checks: [SearchCheck] = []
    private var places: [TSID: Int] = [:]

    /// Looks the series up; the names live until ``stop()``.
    ///
    /// - Parameters:
    ///   - names: Raw names of series with their numbers.
    ///   - settledMs: All rows until then are in parts.
    ///   - latency: Gets the latency of every search, in the phase that it is in.
    init(
        engine: StorageEngine, clock: DrivenClock, plan: Profile.Searches, seed: UInt64,
        names: [(name: UnsafeRawBufferPointer, number: UInt32)], settledMs: Int64, latency: LatencyRecorder?
    ) throws(HarnessError) {
        self.engine = engine
        self.clock = clock
        self.plan = plan
        self.latency = latency
        random = SplitMix64(seed: Seeds.derive(seed, "search load"))
        self.settledMs = settledMs
        // A name may have been drawn twice.
        let found = try HarnessError.wrapping("looking up series for searches") { () throws(StorageError) in
            try SeriesTSIDs.find(names.map(\.name), engine)
        }
        numbers = Dictionary(found.map { ($0.tsid, names[$0.position].number) }) { first, _ in first }
        tsids = numbers.keys.sorted()
    }

    /// Begins to search, on a thread; the first search is due now. Returns now, on the ``WallClock``.
    @discardableResult func start() -> UInt64 {
        let start = WallClock.nanoseconds
        thread = Thread.start("searches") { [unowned self] in self.run(from: start) }
        return start
    }

    /// Ends the load; searches that were due before `moment` on the ``WallClock`` (nil: now) are made first, see above.
    ///
    /// - Throws: What a search has failed with.
    func stop(at moment: UInt64? = nil) throws(HarnessError) -> Result {
        lock.withLock { endNanoseconds = moment ?? WallClock.nanoseconds }
        condition.signal()
        thread?.join()
        thread = nil
        if let error = result.error { throw error }
        return result
    }

    /// Makes the searches that are due when so many rows were added, at a virtual rate of rows.
    func runDue(rows: Int) throws(HarnessError) {
        dueByRows += Double(rows * plan.perSecond) / Double(IngestPhase.virtualRowsPerSecond)
        while dueByRows >= 1, !tsids.isEmpty {
            dueByRows -= 1
            result.due += 1
            do throws(StorageError) { try search() } catch {
                throw HarnessError(error, while: "searching beside the ingestion")
            }
        }
    }

    private func run(from start: UInt64) {
        let cpu = CPUTime.ofThread()
        let schedule = SearchSchedule(startNanoseconds: start, perSecond: UInt64(plan.perSecond))
        while !tsids.isEmpty {
            let intended = schedule.intended(result.due)
            // However short the time is, one search is made.
            guard waits(until: intended) || result.due == 0 else { break }
            if result.due > 0, let end = endOfLoad, schedule.isOver(end: end, now: WallClock.nanoseconds) {
                recordMissed(schedule, end)
                break
            }
            result.due += 1
            let actual = WallClock.nanoseconds
            do throws(StorageError) { try search() } catch {
                result.error = HarnessError(error, while: "searching beside the ingestion")
                break
            }
            latency?.record(intended: intended, start: actual, end: WallClock.nanoseconds)
        }
        result.cpuSeconds = CPUTime.ofThread() - cpu
    }

    private var endOfLoad: UInt64? { lock.withLock { endNanoseconds } }

    /// False when the load ends before a moment, else true as soon as it has come.
    private func waits(until moment: UInt64) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        while true {
            if let end = endNanoseconds, moment >= end { return false }
            let now = WallClock.nanoseconds
            if now >= moment { return true }
            condition.wait(lock, nanoseconds: moment - now)
        }
    }

    /// Searches that were due before the end and were not begun.
    private func recordMissed(_ schedule: SearchSchedule, _ end: UInt64) {
        let now = WallClock.nanoseconds
        let due = schedule.due(before: end)
        while result.due < due {
            latency?.recordMissed(intended: schedule.intended(result.due), now: now)
            result.due += 1
        }
    }

    private func search() throws(StorageError) {
        let isWide = plan.wideShare > 0 && Double(random.next() >> 11) * 0x1p-53 < plan.wideShare
        let count = min(isWide ? plan.wideSeries : plan.series, tsids.count)
        var wanted: Set<TSID> = []
        while wanted.count < count { wanted.insert(tsids[random.below(tsids.count)]) }
        let now = clock.unixMilliseconds
        let minMs = now - (isWide ? plan.wideWindowMs : plan.windowMs)
        let isChecked = result.searches < UInt64(SearchCheck.searchesMax)
        if isChecked {
            checks.removeAll(keepingCapacity: true)
            places.removeAll(keepingCapacity: true)
            for tsid in wanted {
                places[tsid] = checks.count
                checks.append(
                    SearchCheck(number: numbers[tsid] ?? 0, minMs: minMs, maxMs: now, settledMs: settledMs))
            }
        }
        let search = try engine.search(wanted.sorted(), minTimestampMs: minMs, maxTimestampMs: now)
        while try search.next() {
            let block = try search.read()
            result.blocks += 1
            result.rows += UInt64(block.header.rowsCount)
            result.bytes += UInt64(block.timestamps.count + block.values.count + search.metricName.count)
            let header = search.header
            if header.maxTimestamp < minMs || header.minTimestamp > now || !wanted.contains(header.tsid) {
                result.stray =
                    result.stray ?? "a search got a block of series \(header.tsid.metricID) it did not ask for"
            } else if isChecked, let place = places[header.tsid] {
                checks[place].add(
                    rows: Int(header.rowsCount), minMs: header.minTimestamp, maxMs: header.maxTimestamp)
            }
        }
        if isChecked { result.checks += checks }
        result.searches += 1
    }
}

/// When searches are due: the first at the start, the others at a fixed rate behind it.
struct SearchSchedule {
    let startNanoseconds: UInt64
    /// At least 1.
    let perSecond: UInt64

    /// When search `number` is due.
    func intended(_ number: UInt64) -> UInt64 { startNanoseconds &+ number &* 1_000_000_000 / perSecond }

    /// Searches that are due before a moment; at least the first.
    func due(before end: UInt64) -> UInt64 {
        guard end > startNanoseconds else { return 1 }
        var count = UInt64(Double(end - startNanoseconds) * Double(perSecond) / 1e9)
        while intended(count) < end { count += 1 }
        while count > 1, intended(count - 1) >= end { count -= 1 }
        return max(1, count)
    }

    /// Whether a load that ended has gone on for as long again as it was to last.
    func isOver(end: UInt64, now: UInt64) -> Bool {
        end <= startNanoseconds || now > end && now - end > end - startNanoseconds
    }
}
