// StorageEngine.swift - a storage: the index, the caches in front of it, and the rows that come in.
//
//   addRows  ->  admission  ->  blocks of 8000 rows  ->  BlockWriter  ->  samples (SampleSink)
//                                                             |
//                              TSIDCache, SeriesIndex, ActiveSeries
//
//   <storage>/flock.lock                  one process at a time
//   <storage>/indexdb/...                 SeriesIndex
//   <storage>/metadata/...                since when composite rows can be relied on
//   <storage>/cache/...                   SavedCaches: written when closing, read and removed when opening
//
// Background work, once a second in live mode, or when runDueTasks() is called: hour sets every 10 s, the set of the next
// day every 11 s, rotation of the index at its time (docs/format/series-index.md, 5.2 and 6.9).
//
// Threads. All methods may be called from any thread, close() once, when nothing else runs.

import Mergeset
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization

/// A storage directory that is open.
public final class StorageEngine: @unchecked Sendable {
    let path: String
    let options: StorageOptions
    let files: any FileSystem
    let environment: Environment
    let sink: any SampleSink
    let index: SeriesIndex
    let key: FingerprintKey
    let tsidCache: TSIDCache
    let active: ActiveSeries
    let hourlyLimiter: SeriesLimiter?
    let dailyLimiter: SeriesLimiter?
    var hasLimits: Bool { hourlyLimiter != nil || dailyLimiter != nil }
    private let metricIDCache: MetricIDCache
    private let metricNameCache: MetricIDCache
    /// Rows of the index with composite keys can be relied on from this timestamp on, in Unix milliseconds
    /// (docs/format/series-index.md, 4.7).
    public let minTimestampForCompositeIndexMs: Int64
    /// Where searches wait while ingestion is in need.
    public let searchGate: PauseGate

    private let admission: Admission
    private let directoryLock: any FileLock
    private let counters = Protected(BlockCounters())
    private let writers = Protected<[BlockWriter]>([])
    private let writerNumbers = Atomic<Int>(0)
    private let searchVersions: SearchVersions
    private let isClosed = Atomic<Bool>(false)
    private let lastWarningNanoseconds = Atomic<UInt64>(0)
    private var updates: (any BackgroundTask)?  // set in init, used in close()

    private struct Due {
        var hourUpdateMs: Int64
        var nextDayUpdateMs: Int64
        var rotationMs: Int64
    }
    private let due: Protected<Due>
    private let dueTasksLock = Lock()

    // MARK: open

    /// Opens a storage, which is created when the directory does not exist.
    ///
    /// - Throws: `.locked` when another process, or another open here, has it; `.io`, `.noSpace`; `.corrupted` for damage
    ///   that cannot be set aside. Damaged parts of the index are: ``damagedParts``.
    public static func open(
        _ path: String, options: StorageOptions = StorageOptions(), files: any FileSystem, environment: Environment,
        sink: any SampleSink
    ) throws(StorageError) -> StorageEngine {
        let cleaned = Paths.clean(path)
        try files.makeDirectory(cleaned, parents: true)
        let lock = try files.lock(Paths.join(cleaned, "flock.lock"))
        do throws(StorageError) {
            return try StorageEngine(cleaned, options, files, environment, sink, lock)
        } catch {
            lock.release()
            throw error
        }
    }

    private init(
        _ path: String, _ options: StorageOptions, _ files: any FileSystem, _ environment: Environment,
        _ sink: any SampleSink, _ lock: any FileLock
    ) throws(StorageError) {
        let log = options.log ?? { _ in }
        let nowMs = environment.clock.unixMilliseconds
        let indexDirectory = Paths.join(path, "indexdb")
        let indexExisted = try files.kind(of: indexDirectory) != nil
        let composite = try CompositeStart.read(
            storage: path, indexExisted: indexExisted, nowMs: nowMs, files: files)

        let cacheBytes = max(options.cacheBytesMax, 1 << 20)
        #if INJECT_FAULTS
            var options = options
            if InjectedFault.active == .cache { options.tsidCacheBytesMax = options.tsidCacheBytesMax.map { $0 / 4 } }
        #endif
        let saved = try SavedCaches.take(
            storage: path, indexDirectory: indexDirectory, nowMs: nowMs,
            tsidCacheBytesMax: options.tsidCacheBytesMax ?? cacheBytes / 100 * 35, environment: environment,
            files: files, log: log)

        let gate = options.table.searchGate ?? PauseGate()
        var indexOptions = IndexOptions()
        let merging = options.table.tagRowMerging
        indexOptions.table = options.table
        indexOptions.table.tagRowMerging = merging == .none ? .streaming : merging
        indexOptions.table.searchGate = gate
        let versions = SearchVersions()
        let onNewItems = options.table.onNewItems
        indexOptions.table.onNewItems = {
            versions.raise()
            onNewItems?()
        }
        indexOptions.dayRegistryBytesMax = max(cacheBytes / 256, 1 << 16)
        let index = try SeriesIndex(
            directory: indexDirectory, damagedDirectory: Paths.join(path, "damaged"), options: indexOptions,
            key: saved.tsids.key, files: files, environment: environment, log: log)

        self.path = path
        self.options = options
        self.files = files
        self.environment = environment
        self.sink = sink
        self.index = index
        key = saved.tsids.key
        tsidCache = saved.tsids
        active = ActiveSeries(saved.sets)
        let hourNs: UInt64 = 3_600_000_000_000
        hourlyLimiter =
            options.hourlySeriesMax > 0
            ? SeriesLimiter(
                limit: min(options.hourlySeriesMax, SeriesLimiter.limitMax), periodNanoseconds: hourNs,
                clock: environment.clock)
            : nil
        dailyLimiter =
            options.dailySeriesMax > 0
            ? SeriesLimiter(
                limit: min(options.dailySeriesMax, SeriesLimiter.limitMax), periodNanoseconds: 24 * hourNs,
                clock: environment.clock) : nil
        metricIDCache = MetricIDCache(bytesMax: cacheBytes / 16)
        metricNameCache = MetricIDCache(bytesMax: cacheBytes / 10)
        minTimestampForCompositeIndexMs = composite
        searchGate = gate
        searchVersions = versions
        let places = options.concurrentAddRowsMax > 0 ? options.concurrentAddRowsMax : CPUCount.available()
        admission = Admission(
            capacity: places, waitNanoseconds: options.addRowsWaitNanoseconds, gate: gate,
            clock: environment.clock)
        directoryLock = lock
        due = Protected(
            Due(
                hourUpdateMs: nowMs, nextDayUpdateMs: nowMs,
                rotationMs: SeriesIndex.nextRotationMs(nowMs: nowMs, retentionMs: options.retentionMs)))
        if environment.scheduler.hasThreads {
            let engine = Unowned(self)
            updates = environment.scheduler.start("updates") {
                engine.value.runDueTasksBeside()
                return .after(nanoseconds: 1_000_000_000)
            }
        }
    }

    /// A reference that the background task may hold; close() stops it before the engine dies.
    private struct Unowned: @unchecked Sendable {
        unowned let value: StorageEngine
        init(_ value: StorageEngine) { self.value = value }
    }

    // MARK: rows

    /// Rows must have timestamps in this range, in Unix milliseconds (docs/format/series-index.md, 6.2).
    func acceptedRange(nowMs: Int64) -> ClosedRange<Int64> {
        let most: Int64 = 1200 * 31 * 86_400_000
        let retention = options.retentionMs <= 0 || options.retentionMs > most ? most : options.retentionMs
        let lowest = max(0, nowMs - retention)
        return lowest...max(lowest, nowMs + 2 * 86_400_000)
    }

    /// Adds rows (docs/format/series-index.md, 6.1 to 6.8).
    ///
    /// - Parameters:
    ///   - rows: Their names stay alive until the call returns.
    ///   - precisionBits: 1...64, how many bits of a value are to be kept.
    ///   - hint: The number of the calling thread, if it has one: it keeps the tags of neighbouring series together.
    /// - Throws: `.overloaded` when there was no place for the call in time, no row was added then; otherwise the first
    ///   error of a block: other rows were added. Rows that are refused are counted and do not make an error.
    /// - Complexity: for a row of a known series O(bytes of its name), without allocations.
    public func addRows(
        _ rows: UnsafeBufferPointer<MetricRow>, precisionBits: Int = 64, hint: Int? = nil
    ) throws(StorageError) {
        guard rows.count > 0 else { return }
        try checkIsOpen()
        if !environment.scheduler.hasThreads { runDueTasksBeside() }
        try admission.enter(rows: rows.count)
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
        admission.leave()
        if let failure { throw failure }
    }

    /// Creates series without samples (docs/format/series-index.md, 6.10), and registers them for the days of the rows'
    /// timestamps. Values are not looked at; no limits apply.
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

    private func checkIsOpen() throws(StorageError) {
        if isClosed.load(ordering: .relaxed) { throw StorageError(.closed, "the storage is closed", path: path) }
    }

    // MARK: durability

    /// Makes everything added before durable.
    public func flush() throws(StorageError) {
        try checkIsOpen()
        try index.flush()
        raiseSearchVersion()
    }

    /// Flushes, then waits until no merge is wanted any more.
    public func settle() throws(StorageError) {
        try checkIsOpen()
        try index.settle()
        raiseSearchVersion()
    }

    // MARK: background work

    /// Runs the background updates that are due by the clock: hour sets, next-day set, expiry in caches, rotation. They
    /// run by themselves in live mode; a driver that moves a virtual clock calls this after moving it.
    ///
    /// - Throws: Errors of a rotation; it is tried again a minute later.
    public func runDueTasks() throws(StorageError) {
        // Whoever comes second finds the work being done.
        guard dueTasksLock.tryLock() else { return }
        defer { dueTasksLock.unlock() }
        guard !isClosed.load(ordering: .relaxed) else { return }
        let nowMs = environment.clock.unixMilliseconds
        let (hour, nextDay, rotation) = due.withLock { due in
            // A clock that was set back makes everything due.
            let hour = nowMs - due.hourUpdateMs >= 10_000 || nowMs < due.hourUpdateMs
            let nextDay = nowMs - due.nextDayUpdateMs >= 11_000 || nowMs < due.nextDayUpdateMs
            if hour { due.hourUpdateMs = nowMs }
            if nextDay { due.nextDayUpdateMs = nowMs }
            return (hour, nextDay, nowMs >= due.rotationMs)
        }
        if hour { active.updateHours(DateMath.hour(timestampMs: nowMs)) }
        if nextDay { active.updateNextDay(today: DateMath.date(timestampMs: nowMs)) }
        tsidCache.tick(nowNanoseconds: environment.clock.unixNanoseconds)
        if rotation {
            due.withLock { $0.rotationMs = nowMs + 60_000 }
            try rotateIndex()
            due.withLock {
                $0.rotationMs = SeriesIndex.nextRotationMs(nowMs: nowMs, retentionMs: options.retentionMs)
            }
        }
    }

    /// As ``runDueTasks()``, for callers that go on whatever happens.
    private func runDueTasksBeside() {
        do throws(StorageError) { try runDueTasks() } catch {
            options.log?("error: a background update has failed and will be tried again: \(error)")
        }
    }

    /// When the index is rotated next, in Unix milliseconds.
    public var nextRotationMs: Int64 { due.withLock { $0.rotationMs } }

    /// Starts a new index table now (docs/format/series-index.md, 5.2).
    public func rotateIndex() throws(StorageError) {
        try checkIsOpen()
        try index.rotate { tsidCache.reset() }
        raiseSearchVersion()
    }

    // MARK: deletion and lookups

    /// Marks series as deleted; durable when it returns (docs/format/series-index.md, 8).
    ///
    /// - Returns: How many of them were not deleted before.
    @discardableResult
    public func deleteSeries(_ metricIDs: [UInt64]) throws(StorageError) -> Int {
        try checkIsOpen()
        let count = try index.delete(metricIDs) { tsidCache.reset() }
        if count > 0 { raiseSearchVersion() }
        return count
    }

    /// The TSID of a metric id whose rows are flushed; nil when there is none, or when it is deleted.
    public func tsid(of metricID: UInt64, tenant: Tenant) throws(StorageError) -> TSID? {
        try checkIsOpen()
        var bytes = RawBuffer()
        if metricIDCache.get(metricID, into: &bytes), bytes.count == TSID.storedBytes {
            let tsid = TSID(loading: bytes.base)
            return tsid.tenant == tenant && !index.isDeleted(metricID) ? tsid : nil
        }
        guard let tsid = try index.tsid(of: metricID, tenant: tenant) else { return nil }
        bytes.removeAll()
        bytes.reserve(TSID.storedBytes)
        tsid.store(at: bytes.end)
        bytes.commit(TSID.storedBytes)
        metricIDCache.put(metricID, bytes.bytes)
        return tsid
    }

    /// The canonical name of a metric id whose rows are flushed; nil when there is none, or when it is deleted.
    public func metricName(of metricID: UInt64, tenant: Tenant) throws(StorageError) -> [UInt8]? {
        try checkIsOpen()
        var bytes = RawBuffer()
        if metricNameCache.get(metricID, into: &bytes), bytes.count >= Tenant.storedBytes {
            let isTenants = BigEndian.load64(bytes.base) == tenant.bits
            return isTenants && !index.isDeleted(metricID) ? bytes.array() : nil
        }
        guard let name = try index.metricName(of: metricID, tenant: tenant) else { return nil }
        name.withUnsafeBytes { metricNameCache.put(metricID, $0) }
        return name
    }

    /// Grows whenever a search could find something else than before: results kept under a smaller number are stale
    /// (docs/format/series-index.md, 7.6).
    public var searchVersion: UInt64 { searchVersions.current }

    private func raiseSearchVersion() { searchVersions.raise() }

    /// The version of what searches see; the flushes of the tables raise it, too.
    private final class SearchVersions: Sendable {
        private let value = Atomic<UInt64>(1)
        var current: UInt64 { value.load(ordering: .relaxed) }
        func raise() { value.wrappingAdd(1, ordering: .relaxed) }
    }

    /// The current index table, for readers that look at items.
    public var currentTable: Table { index.withTables { $0.current.table } }

    /// Parts of the index that were damaged and set aside when the storage was opened: where they are now.
    public var damagedParts: [String] { index.damagedParts }

    // MARK: metrics

    /// Counters and gauges.
    public var metrics: StorageMetrics {
        var metrics = StorageMetrics()
        counters.withLock { $0.fill(&metrics) }
        let places = admission.counters
        metrics.addRowsCapacity = UInt64(admission.capacity)
        metrics.addRowsCurrent = UInt64(places.current)
        metrics.addRowsLimitReached = places.limitReached
        metrics.addRowsTimeouts = places.timeouts
        metrics.addRowsDroppedRows = places.droppedRows
        metrics.tsidCache = tsidCache.metrics
        metrics.metricIDCache = metricIDCache.metrics
        metrics.metricNameCache = metricNameCache.metrics
        let days = index.dayMetrics
        metrics.dateMetricIDCache.requests = days.requests
        metrics.dateMetricIDCache.misses = days.misses
        metrics.dateMetricIDCache.evictions = days.evictions
        metrics.dateMetricIDCache.entries = days.entries
        metrics.dateMetricIDCache.bytes = days.bytes
        metrics.dateMetricIDCache.bytesMax = UInt64(index.dayRegistryBytesMax)
        let sets = active.published
        metrics.hourMetricIDs.entries = UInt64(max(sets.current.count, sets.previous.count))
        metrics.hourMetricIDs.bytes = UInt64(sets.current.memoryBytes + sets.previous.memoryBytes)
        metrics.nextDayMetricIDs.entries = UInt64(sets.nextDay.count)
        metrics.nextDayMetricIDs.bytes = UInt64(sets.nextDay.memoryBytes)
        metrics.deletedSeries = index.deletedCount
        metrics.indexRotations = index.rotations
        metrics.nameFilterBytes = index.nameFilterBytes
        metrics.index = index.tableMetrics
        return metrics
    }

    // MARK: close

    /// Makes everything durable, saves the caches and gives the directory back. Call it once, when nothing else runs.
    ///
    /// - Throws: The error of the last flush: what could not be written is lost, and no caches are saved. The storage is
    ///   closed all the same.
    public func close() throws(StorageError) {
        guard !isClosed.exchange(true, ordering: .relaxed) else { return }
        updates?.stop()
        defer { directoryLock.release() }
        let nowMs = environment.clock.unixMilliseconds
        active.updateHours(DateMath.hour(timestampMs: nowMs))
        active.updateNextDay(today: DateMath.date(timestampMs: nowMs))
        try index.close()
        try SavedCaches.save(
            storage: path, indexDirectory: index.directory, tsids: tsidCache, sets: active.published, files: files)
    }
}
