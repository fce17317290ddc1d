// Progress.swift - what a run does at the moment: the intervals of intervals.csv and the live status come from here.
//
// Workers add to atomic counters. In live mode a thread takes a sample every 50 ms in the first ten seconds of the ingest
// and every 250 ms later, unless sampling would take more than 0.6 % of the CPU of the process; in deterministic mode
// the worker itself does at fixed points, since a thread that allocates by the clock would spoil the counts. What sampling itself
// allocates is counted apart and subtracted.

import Mergeset
import StorageEngine
import StorageRuntime
import Synchronization

/// One line of intervals.csv: the state at a moment and the rates since the line before.
public struct IntervalRecord: Sendable, Equatable {
    /// Seconds since the start of the ingest.
    public var seconds = 0.0
    /// Phase of the run.
    public var phase = ""
    /// Rows (or series, or items) done in this phase.
    public var done: UInt64 = 0
    /// Rows (or series, or items) and normalised items a second in this interval.
    public var perSecond = 0.0, itemsPerSecond = 0.0
    /// New series and slow inserts a second in this interval, and the hit ratio of the TSID cache; 0 without an engine.
    public var newSeriesPerSecond = 0.0, slowRowsPerSecond = 0.0, tsidCacheHitRatio = 0.0
    /// File parts, runs and bytes in memory.
    public var parts: UInt64 = 0, pendingItems: UInt64 = 0, pendingBytes: UInt64 = 0
    /// Merges and flushes running; flushes and merges finished so far.
    public var activeMerges: UInt64 = 0, flushes: UInt64 = 0, merges: UInt64 = 0
    /// Resident bytes of the process and live allocations.
    public var rssBytes: UInt64 = 0, heapAllocatedBytes: UInt64 = 0
    /// Bytes of rows and of sample parts in memory, of memory kept for reuse, and what the caches hold; 0 without an engine.
    public var sampleBytes: UInt64 = 0, keptBytes: UInt64 = 0, cacheBytes: UInt64 = 0

    /// All zero.
    public init() {}

    /// Rates of rows over windows of at least `seconds` within one phase; a partial window at the end of a phase is left
    /// out. Samples may come more often than a rate means something.
    static func windowRates(_ records: [IntervalRecord], seconds: Double) -> [Double] {
        var rates: [Double] = []
        var last: IntervalRecord?
        for record in records {
            guard let start = last, start.phase == record.phase, record.done >= start.done else {
                last = record
                continue
            }
            let elapsed = record.seconds - start.seconds
            guard elapsed >= seconds else { continue }
            rates.append(Double(record.done - start.done) / elapsed)
            last = record
        }
        return rates
    }

    /// Memory at the peak, of the intervals of ingest and debt. What the caches hold is taken off interval by interval: it is
    /// most when the run ends, while the process may have been largest before.
    static func setMemory(
        _ records: some Collection<IntervalRecord>, generatorBytes: UInt64, _ figures: inout FigureSet
    ) {
        guard let fullest = records.max(by: { $0.rssBytes < $1.rssBytes }) else { return }
        figures.set("heap_allocated_peak_bytes", records.reduce(0) { max($0, $1.heapAllocatedBytes) })
        figures.set("memory_runs_at_peak_bytes", fullest.pendingBytes)
        figures.set("memory_rows_at_peak_bytes", fullest.sampleBytes)
        figures.set("memory_kept_at_peak_bytes", fullest.keptBytes)
        figures.set("memory_caches_at_peak_bytes", fullest.cacheBytes)
        let beside = records.reduce(UInt64(0)) { most, record in
            let other = generatorBytes &+ record.cacheBytes
            return max(most, record.rssBytes > other ? record.rssBytes - other : 0)
        }
        figures.set("peak_beside_caches_bytes", beside)
    }

    /// intervals.csv: a line of names, then a line for each record.
    public static func csv(_ records: [IntervalRecord]) -> [UInt8] {
        var text =
            "seconds,phase,done,per_second,items_per_second,parts,pending_items,pending_bytes,active_merges,flushes,"
            + "merges,rss_bytes,heap_allocated_bytes,new_series_per_second,slow_rows_per_second,tsid_cache_hit_ratio,"
            + "sample_bytes,kept_bytes,cache_bytes\n"
        for record in records {
            text += TextFormat.fixed(record.seconds, 3) + ",\(record.phase),\(record.done),"
            text += TextFormat.fixed(record.perSecond, 0) + "," + TextFormat.fixed(record.itemsPerSecond, 0)
            text += ",\(record.parts),\(record.pendingItems),\(record.pendingBytes),\(record.activeMerges)"
            text += ",\(record.flushes),\(record.merges),\(record.rssBytes),\(record.heapAllocatedBytes),"
            text += TextFormat.fixed(record.newSeriesPerSecond, 0) + ","
            text += TextFormat.fixed(record.slowRowsPerSecond, 0) + ","
            text += TextFormat.fixed(record.tsidCacheHitRatio, 4)
            text += ",\(record.sampleBytes),\(record.keptBytes),\(record.cacheBytes)\n"
        }
        return Array(text.utf8)
    }
}

/// Where the counters of an interval come from.
enum ProgressSource: Sendable {
    case table(Table)
    case engine(StorageEngine)

    /// The counters; those of an engine have its index tables in them.
    func metrics() -> StorageMetrics {
        switch self {
        case .engine(let engine): return engine.metrics
        case .table(let table):
            var metrics = StorageMetrics()
            metrics.index = table.metrics
            return metrics
        }
    }
}

/// Gathers intervals and feeds the status display. Workers call ``add(_:)``; one thread at a time drives the phases.
public final class Progress: @unchecked Sendable {
    private struct State {
        var phase = ""
        var unit = "series"
        var total: UInt64 = 0
        var startNanoseconds: UInt64 = 0
        var lastNanoseconds: UInt64 = 0
        var lastDone: UInt64 = 0
        var last = StorageMetrics()
        var source: ProgressSource?
        var records: [IntervalRecord] = []
        var allocations: UInt64 = 0
        var cpuSeconds = 0.0
        var processCPUAtStart = 0.0
        var samples: UInt64 = 0
    }

    private let status: StatusDisplay
    private let samplesItself: Bool
    private let done = Atomic<UInt64>(0)
    private let state = Protected(State())
    private let stopLock = Lock()
    private let stopCondition = Condition()
    private var isStopped = false
    private var thread: Thread?

    /// Time between two samples, at first and after ``earlyNanoseconds``.
    static let earlyIntervalNanoseconds: UInt64 = 50_000_000, intervalNanoseconds: UInt64 = 250_000_000
    static let earlyNanoseconds: UInt64 = 10_000_000_000
    /// Most CPU that sampling may take, as a share of that of the process: where little happens samples are left out.
    static let costShareMax = 0.006

    /// A gatherer. With `samplesItself` a thread takes the samples; otherwise the caller does with ``sample()``.
    public init(status: StatusDisplay, samplesItself: Bool) {
        self.status = status
        self.samplesItself = samplesItself
        guard samplesItself else { return }
        thread = Thread.start("progress") { [unowned self] in self.run() }
    }

    /// Starts a phase of `total` units.
    func begin(_ phase: String, total: Int, unit: String, source: ProgressSource? = nil) {
        done.store(0, ordering: .relaxed)
        let now = WallClock.nanoseconds
        let metrics = source?.metrics() ?? StorageMetrics()
        state.withLock { state in
            state.phase = phase
            state.unit = unit
            state.total = UInt64(total)
            state.source = source
            if state.startNanoseconds == 0 || phase == "ingest" {
                state.startNanoseconds = now
                state.processCPUAtStart = CPUTime.ofProcess().total - state.cpuSeconds / Progress.costShareMax
            }
            state.lastNanoseconds = now
            state.lastDone = 0
            state.last = metrics
        }
        if samplesItself { showStatus() }
    }

    /// Counts units that were done. Safe from any thread.
    public func add(_ count: Int) { done.wrappingAdd(UInt64(count), ordering: .relaxed) }

    /// Takes a sample now. In deterministic mode the worker calls this at fixed points of its input; what it costs is left out
    /// of counted instructions.
    public func sample() {
        if samplesItself { takeSample() } else { ProfiledRegion.leave { takeSample() } }
    }

    private func takeSample() {
        let cpu = CPUTime.ofThread()
        defer {
            let used = CPUTime.ofThread() - cpu
            state.withLock { state in
                state.cpuSeconds += used
                state.samples += 1
            }
        }
        let before = samplesItself ? 0 : HeapStatistics.allocationCount()
        let now = WallClock.nanoseconds
        let done = done.load(ordering: .relaxed)
        state.withLock { state in
            guard let source = state.source else { return }
            let all = source.metrics()
            let metrics = all.index
            let last = state.last
            var record = IntervalRecord()
            record.seconds = Double(now &- state.startNanoseconds) * 1e-9
            record.phase = state.phase
            record.done = done
            let elapsed = Double(now &- state.lastNanoseconds) * 1e-9
            if elapsed > 0 {
                record.perSecond = Double(done &- state.lastDone) / elapsed
                record.itemsPerSecond =
                    Double(metrics.normalisedItemsAdded &- last.index.normalisedItemsAdded) / elapsed
                record.newSeriesPerSecond = Double(all.newSeriesCreated &- last.newSeriesCreated) / elapsed
                record.slowRowsPerSecond = Double(all.slowRowInserts &- last.slowRowInserts) / elapsed
            }
            let requests = all.tsidCache.requests &- last.tsidCache.requests
            if requests > 0 {
                record.tsidCacheHitRatio = 1 - Double(all.tsidCache.misses &- last.tsidCache.misses) / Double(requests)
            }
            record.parts = metrics.parts
            record.pendingItems = metrics.pendingItems
            record.pendingBytes = metrics.pendingBytes
            record.activeMerges = metrics.activeMerges
            record.flushes = metrics.flushes
            record.merges = metrics.mergesFinished
            record.sampleBytes = all.samples?.memoryBytes ?? 0
            record.keptBytes = all.keptBytes
            record.cacheBytes = all.cacheBytes
            record.rssBytes = ResidentMemory.now().bytes
            record.heapAllocatedBytes = HeapStatistics.now().allocatedBytes
            state.records.append(record)
            state.lastNanoseconds = now
            state.lastDone = done
            state.last = all
        }
        showStatus()
        if !samplesItself {
            let made = HeapStatistics.allocationCount() &- before
            state.withLock { $0.allocations &+= made }
        }
    }

    /// Ends sampling and the live status; hands out the intervals.
    public func finish() -> [IntervalRecord] {
        stopLock.withLock { isStopped = true }
        stopCondition.signal()
        thread?.join()
        thread = nil
        status.clear()
        return state.withLock { state in
            state.source = nil
            return state.records
        }
    }

    /// CPU seconds that sampling has taken so far, and the number of samples.
    var cost: (cpuSeconds: Double, samples: UInt64) { state.withLock { ($0.cpuSeconds, $0.samples) } }

    /// Intervals so far.
    var intervals: Int { state.withLock { $0.records.count } }

    /// Start of the ingest on the ``WallClock``: the origin of the intervals' seconds.
    var startNanoseconds: UInt64 { state.withLock { $0.startNanoseconds } }

    /// Allocations made by sampling so far (deterministic mode).
    public var allocations: UInt64 { state.withLock { $0.allocations } }

    private func showStatus() {
        let done = done.load(ordering: .relaxed)
        let snapshot = state.withLock { state in
            var snapshot = StatusSnapshot(phase: state.phase, done: done, total: state.total, unit: state.unit)
            snapshot.elapsedSeconds = Double(WallClock.nanoseconds &- state.startNanoseconds) * 1e-9
            if let record = state.records.last, record.phase == state.phase { snapshot.interval = record }
            return snapshot
        }
        status.show(snapshot)
    }

    private func run() {
        while true {
            let start = startNanoseconds
            let isEarly = start == 0 || WallClock.nanoseconds &- start < Progress.earlyNanoseconds
            let stops = stopLock.withLock {
                if !isStopped {
                    stopCondition.wait(
                        stopLock,
                        nanoseconds: isEarly ? Progress.earlyIntervalNanoseconds : Progress.intervalNanoseconds)
                }
                return isStopped
            }
            if stops { return }
            let (hasSource, mayCost) = state.withLock { state in
                let used = CPUTime.ofProcess().total - state.processCPUAtStart
                return (state.source != nil, state.cpuSeconds <= Progress.costShareMax * used)
            }
            if !hasSource {
                showStatus()
            } else if mayCost {
                sample()
            }
        }
    }
}
