// StorageEngine.swift - a storage: the index, the samples, the caches in front of them, and the rows that come in.
//
//   addRows  ->  admission  ->  blocks of 8000 rows  ->  BlockWriter  ->  SampleTable (or a SampleSink)
//                                                             |
//                              TSIDCache, SeriesIndex, ActiveSeries
//
//   <storage>/flock.lock                  one process at a time
//   <storage>/indexdb/...                 SeriesIndex
//   <storage>/data/...                    SampleTable
//   <storage>/metadata/...                since when composite rows can be relied on
//   <storage>/snapshots/...               names of snapshots, with links to what belongs to them
//   <storage>/cache/...                   SavedCaches: written when closing, read and removed when opening
//   <storage>/damaged/...                 parts that were set aside
//
// Where the rest of the engine is:
//
//   StorageEngine+Open.swift        the order of opening
//   StorageEngine+Durability.swift  flush, settle, forced merge, close
//   StorageEngine+Tasks.swift       what is done by the clock: hour sets, rotation, free space
//   StorageEngine+Lookups.swift     ids to TSIDs and names, deletion
//   Snapshots/, Search/, Metrics/, Write/, Days/, Caches/, Limits/
//
// Threads. All methods may be called from any thread, close() once, when nothing else runs but forced merges and searches.

import Mergeset
import SampleStore
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization

/// A storage directory that is open.
public final class StorageEngine: @unchecked Sendable {
    /// The directory, absolute.
    public let path: String
    let options: StorageOptions
    let files: any FileSystem
    let environment: Environment
    let index: SeriesIndex
    /// The samples; nil when a sink takes them.
    let samples: SampleTable?
    private let sink: (any SampleSink)?
    /// Sees the rows on their way into ``samples``; for tests.
    var observer: (any SampleSink)?
    let key: FingerprintKey
    let tsidCache: TSIDCache
    let active: ActiveSeries
    let hourlyLimiter: SeriesLimiter?
    let dailyLimiter: SeriesLimiter?
    var hasLimits: Bool { hourlyLimiter != nil || dailyLimiter != nil }
    let metricIDCache: MetricIDCache
    let metricNameCache: MetricIDCache
    /// Rows of the index with composite keys can be relied on from this timestamp on, in Unix milliseconds
    /// (docs/format/series-index.md, 4.7).
    public let minTimestampForCompositeIndexMs: Int64
    /// Where searches wait while ingestion is in need.
    public let searchGate: PauseGate

    let addRowsAdmission: Admission
    let searchAdmission: Admission
    let space: FreeSpace
    let snapshotNames: UniqueIDs
    /// One snapshot at a time.
    let snapshotLock = Lock()
    let directoryLock: any FileLock
    let counters = Protected(BlockCounters())
    private let writers = Protected<[BlockWriter]>([])
    private let writerNumbers = Atomic<Int>(0)
    let searchVersions: SearchVersions
    let blocksWithoutName = Atomic<UInt64>(0), seriesWithoutName = Atomic<UInt64>(0)
    let isClosed = Atomic<Bool>(false)
    private let lastWarningNanoseconds = Atomic<UInt64>(0)
    var updates: (any BackgroundTask)?  // set in init, used in close()

    let due: Protected<DueTasks>
    let dueTasksLock = Lock()

    // MARK: open

    /// Opens a storage, which is created when the directory does not exist.
    ///
    /// - Parameter sink: Gets the rows instead of the sample table, which is not opened then: a way to measure the index
    ///   part alone. Snapshots, searches and forced merges need the table.
    /// - Throws: `.locked` when another process, or another open here, has it, or when it is being restored; `.io`,
    ///   `.noSpace`; `.corrupted` for damage that cannot be set aside. Damaged parts are: ``damagedParts``.
    public static func open(
        _ path: String, options: StorageOptions = StorageOptions(), files: any FileSystem, environment: Environment,
        sink: (any SampleSink)? = nil
    ) throws(StorageError) -> StorageEngine {
        let absolute = try files.absolutePath(path)
        try files.makeDirectory(absolute, parents: true)
        try SavedCaches.resetIfAsked(storage: absolute, files: files)
        let lock = try files.lock(Paths.join(absolute, "flock.lock"))
        do throws(StorageError) {
            let opened = try OpenedStorage(
                path: absolute, options: options, files: files, environment: environment, hasTable: sink == nil)
            return StorageEngine(opened, options, files, environment, sink, lock)
        } catch {
            lock.release()
            throw error
        }
    }

    private init(
        _ opened: OpenedStorage, _ options: StorageOptions, _ files: any FileSystem, _ environment: Environment,
        _ sink: (any SampleSink)?, _ lock: any FileLock
    ) {
        path = opened.path
        self.options = options
        self.files = files
        self.environment = environment
        self.sink = sink
        index = opened.index
        samples = opened.samples
        key = opened.saved.tsids.key
        tsidCache = opened.saved.tsids
        active = ActiveSeries(opened.saved.sets)
        hourlyLimiter = SeriesLimiter.make(options.hourlySeriesMax, hours: 1, clock: environment.clock)
        dailyLimiter = SeriesLimiter.make(options.dailySeriesMax, hours: 24, clock: environment.clock)
        metricIDCache = MetricIDCache(bytesMax: options.cacheBytes / 16)
        metricNameCache = MetricIDCache(bytesMax: options.cacheBytes / 10)
        minTimestampForCompositeIndexMs = opened.compositeStartMs
        searchGate = opened.gate
        searchVersions = opened.versions
        let processors = CPUCount.available()
        addRowsAdmission = Admission(
            capacity: options.concurrentAddRowsMax > 0 ? options.concurrentAddRowsMax : processors,
            gate: opened.gate, clock: environment.clock)
        searchAdmission = Admission(
            capacity: options.concurrentSearchesMax > 0 ? options.concurrentSearchesMax : 2 * processors, gate: nil,
            clock: environment.clock)
        space = opened.space
        snapshotNames = UniqueIDs(start: environment.clock.unixNanoseconds)
        directoryLock = lock
        due = Protected(DueTasks(nowMs: environment.clock.unixMilliseconds, retentionMs: options.retentionMs))
        startBackgroundWork()
    }

    // MARK: rows

    /// Rows must have timestamps in this range, in Unix milliseconds (docs/format/series-index.md, 6.2).
    func acceptedRange(nowMs: Int64) -> ClosedRange<Int64> {
        let lowest = max(0, nowMs - options.retentionNormalisedMs)
        return lowest...max(lowest, nowMs + SamplePolicy.futureMsMax)
    }

    /// Adds rows (docs/format/series-index.md, 6.1 to 6.8).
    ///
    /// - Parameters:
    ///   - rows: Their names stay alive until the call returns.
    ///   - precisionBits: 1...64, how many bits of a value are to be kept.
    ///   - hint: The number of the calling thread, if it has one: it keeps the tags of neighbouring series together.
    /// - Throws: `.readOnly` when the disk is nearly full, and `.overloaded` when there was no place for the call in time: no
    ///   row was added then; otherwise the first error of a block: other rows were added. Rows that are refused are
    ///   counted and do not make an error.
    /// - Complexity: for a row of a known series O(bytes of its name), without allocations.
    public func addRows(
        _ rows: UnsafeBufferPointer<MetricRow>, precisionBits: Int = 64, hint: Int? = nil
    ) throws(StorageError) {
        guard rows.count > 0 else { return }
        try checkIsOpen()
        if !environment.scheduler.hasThreads { runDueTasksBeside() }
        try space.checkIsWritable()
        guard addRowsAdmission.enter(waitNanoseconds: options.addRowsWaitNanoseconds) else {
            addRowsAdmission.drop(rows: rows.count)
            throw StorageError(
                .overloaded,
                "cannot add \(rows.count) rows to storage in \(options.addRowsWaitNanoseconds / 1_000_000_000)s, since "
                    + "it is overloaded with \(addRowsAdmission.capacity) concurrent writers; add more CPUs or reduce load"
            )
        }
        let writer = takeWriter()
        var failure: StorageError?
        var start = 0
        while start < rows.count {
            let end = min(start + BlockWriter.rowsMax, rows.count)
            let block = UnsafeBufferPointer(rebasing: rows[start..<end])
            let error = index.withTables { tables in
                writer.write(
                    block,
                    BlockWriter.Target(engine: self, tables: tables, precisionBits: precisionBits, hint: hint))
            }
            finish(writer)
            failure = failure ?? error
            start = end
        }
        putWriter(writer)
        addRowsAdmission.leave()
        if let failure { throw failure }
    }

    /// Hands accepted rows of a block on.
    func store(
        _ rows: UnsafeBufferPointer<SampleRow>, precisionBits: Int, hint: Int
    ) throws(StorageError) {
        if let observer { try observer.add(rows, precisionBits: precisionBits) }
        if let samples {
            try samples.add(rows, precisionBits: precisionBits, hint: hint)
        } else {
            try sink?.add(rows, precisionBits: precisionBits)
        }
    }

    /// Creates series without samples (docs/format/series-index.md, 6.10), and registers them for the days of the rows'
    /// timestamps. Values are not looked at; no limits apply, and it works in read-only mode.
    ///
    /// - Throws: The first error; series of rows behind it were perhaps not created.
    public func registerMetricNames(_ rows: UnsafeBufferPointer<MetricRow>) throws(StorageError) {
        guard rows.count > 0 else { return }
        try checkIsOpen()
        let writer = takeWriter()
        defer { putWriter(writer) }
        var start = 0
        while start < rows.count {
            let end = min(start + BlockWriter.rowsMax, rows.count)
            let block = UnsafeBufferPointer(rebasing: rows[start..<end])
            let error = index.withTables { tables in
                writer.register(block, BlockWriter.Target(engine: self, tables: tables, precisionBits: 64, hint: nil))
            }
            finish(writer)
            if let error { throw error }
            start = end
        }
    }

    private func takeWriter() -> BlockWriter {
        if let writer = writers.withLock({ $0.popLast() }) { return writer }
        return BlockWriter(number: writerNumbers.wrappingAdd(1, ordering: .relaxed).oldValue)
    }

    private func putWriter(_ writer: BlockWriter) { writers.withLock { $0.append(writer) } }

    private func finish(_ writer: BlockWriter) {
        counters.withLock { $0.add(writer.counters) }
        guard let warning = writer.warning, let log = options.log else { return }
        // At most one warning in five seconds.
        let now = environment.clock.monotonicNanoseconds
        let last = lastWarningNanoseconds.load(ordering: .relaxed)
        guard last == 0 || now >= last + 5_000_000_000,
            lastWarningNanoseconds.compareExchange(expected: last, desired: max(now, 1), ordering: .relaxed).exchanged
        else { return }
        log("warn: " + warning)
    }

    func logNewSeries(_ canonical: UnsafeRawBufferPointer) {
        guard let log = options.log, let name = try? MetricName(canonical: canonical) else { return }
        log("new series created: \(name)")
    }

    func checkIsOpen() throws(StorageError) {
        if isClosed.load(ordering: .relaxed) { throw StorageError(.closed, "the storage is closed", path: path) }
    }

    /// The sample table, for what cannot be done without one.
    func sampleTable() throws(StorageError) -> SampleTable {
        try checkIsOpen()
        guard let samples else {
            throw StorageError(.invalidArgument, "this storage was opened without its samples", path: path)
        }
        return samples
    }
}
