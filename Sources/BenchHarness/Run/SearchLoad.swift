// SearchLoad.swift - searches beside ingestion: what they take away from it, and how long they take.
//
// Open loop: search i is meant to start at start + i / rate, whether the one before has ended or not, and its latency counts
// from that moment. A search asks for the last five minutes of a few series that were drawn at random, reads all blocks and
// looks at their bytes, as sending them would.
//
// Threads: one of its own; start() and stop() are the driver's.

import StorageBytes
import StorageEngine
import StorageRuntime

/// Searches at a fixed rate.
final class SearchLoad: @unchecked Sendable {
    /// What came of it.
    struct Result: Sendable {
        var latencies: [Double] = []
        var blocks: UInt64 = 0, rows: UInt64 = 0, bytes: UInt64 = 0
        var cpuSeconds = 0.0
        var error: HarnessError?
    }

    private let engine: StorageEngine
    private let clock: DrivenClock
    private let perSecond: Int
    private let seriesCount: Int
    private let seed: UInt64
    private let tsids: [TSID]
    private let lock = Lock()
    private let condition = Condition()
    private var isStopped = false
    private var thread: Thread?
    private var result = Result()

    static let rangeMs: Int64 = 300_000

    /// Looks the series up; the names live until ``stop()``.
    init(
        engine: StorageEngine, clock: DrivenClock, options: RunOptions, names: [UnsafeRawBufferPointer]
    ) throws(HarnessError) {
        self.engine = engine
        self.clock = clock
        perSecond = options.searchesPerSecond
        seriesCount = options.searchSeries
        seed = options.seed
        tsids = try HarnessError.wrapping("looking up series for searches") { () throws(StorageError) in
            try SeriesTSIDs.find(names, engine).map(\.tsid)
        }
    }

    func start() { thread = Thread.start("searches") { [unowned self] in self.run() } }

    func stop() -> Result {
        lock.withLock { isStopped = true }
        condition.signal()
        thread?.join()
        return result
    }

    private func run() {
        var random = SplitMix64(seed: Seeds.derive(seed, "search load"))
        let start = WallClock.nanoseconds
        let cpu = CPUTime.ofThread()
        var number: UInt64 = 0
        while !tsids.isEmpty {
            let intended = start &+ number &* 1_000_000_000 / UInt64(perSecond)
            guard waits(until: intended) else { break }
            var wanted: Set<TSID> = []
            for _ in 0..<seriesCount { wanted.insert(tsids[random.below(tsids.count)]) }
            do throws(StorageError) { try search(wanted.sorted()) } catch {
                result.error = HarnessError(error, while: "searching beside the ingestion")
                break
            }
            result.latencies.append(WallClock.seconds(since: intended))
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

    private func search(_ tsids: [TSID]) throws(StorageError) {
        let now = clock.unixMilliseconds
        let search = try engine.search(tsids, minTimestampMs: now - SearchLoad.rangeMs, maxTimestampMs: now)
        while try search.next() {
            let block = try search.read()
            result.blocks += 1
            result.rows += UInt64(block.header.rowsCount)
            result.bytes += UInt64(block.timestamps.count + block.values.count + search.metricName.count)
        }
    }
}
