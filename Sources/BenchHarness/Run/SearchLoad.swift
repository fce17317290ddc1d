// SearchLoad.swift - searches at a fixed rate: what they take away from ingestion, what it takes away from them, and how long
// they take.
//
// Open loop: search i is meant to start at start + i / rate, whether the one before has ended or not, and its latency counts
// from that moment (and from the moment at which it did start). A search asks for a range of time of a few series that were
// drawn at random, reads all blocks and looks at their bytes, as sending them would. Some are wide: more series, longer range
// (`Profile.Searches`).
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
        var cpuSeconds = 0.0
        var error: HarnessError?
    }

    private let engine: StorageEngine
    private let clock: DrivenClock
    private let plan: Profile.Searches
    private let latency: LatencyRecorder?
    private let tsids: [TSID]
    private let lock = Lock()
    private let condition = Condition()
    private var isStopped = false
    private var thread: Thread?
    private var random: SplitMix64
    private var result = Result()
    /// Searches that are due by the rows of a deterministic run, with what is left of one.
    private var due = 0.0

    /// Looks the series up; the names live until ``stop()``.
    ///
    /// - Parameter latency: Gets the latency of every search, in the phase that it is in.
    init(
        engine: StorageEngine, clock: DrivenClock, plan: Profile.Searches, seed: UInt64,
        names: [UnsafeRawBufferPointer], latency: LatencyRecorder?
    ) throws(HarnessError) {
        self.engine = engine
        self.clock = clock
        self.plan = plan
        self.latency = latency
        random = SplitMix64(seed: Seeds.derive(seed, "search load"))
        // A name may have been drawn twice.
        tsids = try HarnessError.wrapping("looking up series for searches") { () throws(StorageError) in
            Set(try SeriesTSIDs.find(names, engine).map(\.tsid)).sorted()
        }
    }

    /// Begins to search, on a thread.
    func start() { thread = Thread.start("searches") { [unowned self] in self.run() } }

    /// Ends the thread, if there is one; the search that runs is finished.
    ///
    /// - Throws: What a search has failed with.
    func stop() throws(HarnessError) -> Result {
        lock.withLock { isStopped = true }
        condition.signal()
        thread?.join()
        thread = nil
        if let error = result.error { throw error }
        return result
    }

    /// Makes the searches that are due when so many rows were added, at a virtual rate of rows.
    func runDue(rows: Int) throws(HarnessError) {
        due += Double(rows * plan.perSecond) / Double(IngestPhase.virtualRowsPerSecond)
        while due >= 1, !tsids.isEmpty {
            due -= 1
            do throws(StorageError) { try search() } catch {
                throw HarnessError(error, while: "searching beside the ingestion")
            }
        }
    }

    private func run() {
        let start = WallClock.nanoseconds
        let cpu = CPUTime.ofThread()
        var number: UInt64 = 0
        while !tsids.isEmpty {
            let intended = start &+ number &* 1_000_000_000 / UInt64(plan.perSecond)
            // However short the time is, one search is made.
            guard waits(until: intended) || number == 0 else { break }
            let actual = WallClock.nanoseconds
            do throws(StorageError) { try search() } catch {
                result.error = HarnessError(error, while: "searching beside the ingestion")
                break
            }
            latency?.record(intended: intended, start: actual, end: WallClock.nanoseconds)
            number += 1
        }
        result.cpuSeconds = CPUTime.ofThread() - cpu
    }

    /// False when the load is to end.
    private func waits(until moment: UInt64) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        while !isStopped {
            let now = WallClock.nanoseconds
            if now >= moment { return true }
            condition.wait(lock, nanoseconds: moment - now)
        }
        return false
    }

    private func search() throws(StorageError) {
        let isWide = plan.wideShare > 0 && Double(random.next() >> 11) * 0x1p-53 < plan.wideShare
        let count = min(isWide ? plan.wideSeries : plan.series, tsids.count)
        var wanted: Set<TSID> = []
        while wanted.count < count { wanted.insert(tsids[random.below(tsids.count)]) }
        let now = clock.unixMilliseconds
        let search = try engine.search(
            wanted.sorted(), minTimestampMs: now - (isWide ? plan.wideWindowMs : plan.windowMs), maxTimestampMs: now)
        while try search.next() {
            let block = try search.read()
            result.blocks += 1
            result.rows += UInt64(block.header.rowsCount)
            result.bytes += UInt64(block.timestamps.count + block.values.count + search.metricName.count)
        }
        result.searches += 1
    }
}
