// EngineSupport.swift - what the tests of the engine share: a clock that can be set, an engine that can be opened again,
// rows, a sink that keeps what it gets, and the items of the index in a form that does not depend on merges.

import Glibc
import Mergeset
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization
import TestSupport

@testable import StorageEngine

// MARK: time

/// A clock whose wall time is set by hand, forwards and backwards. Monotonic time follows moves forward, or is the
/// system's where threads run.
final class TestClock: StorageClock {
    private let unixMs: Atomic<Int64>
    private let monotonic = Atomic<UInt64>(0)
    private let isLive: Bool

    init(unixMilliseconds: Int64, isLive: Bool = false) {
        unixMs = Atomic(unixMilliseconds)
        self.isLive = isLive
    }

    var unixMilliseconds: Int64 { unixMs.load(ordering: .relaxed) }
    var unixNanoseconds: UInt64 { UInt64(unixMilliseconds) * 1_000_000 }
    var monotonicNanoseconds: UInt64 {
        isLive ? SystemClock().monotonicNanoseconds : monotonic.load(ordering: .relaxed)
    }

    func move(milliseconds: Int64) {
        unixMs.wrappingAdd(milliseconds, ordering: .relaxed)
        if milliseconds > 0 { monotonic.wrappingAdd(UInt64(milliseconds) * 1_000_000, ordering: .relaxed) }
    }
}

enum Span {
    static let second: Int64 = 1000
    static let minute: Int64 = 60_000
    static let hour: Int64 = 3_600_000
    static let day: Int64 = 86_400_000
}

// MARK: rows

/// A raw metric name, as the insert node writes it, but for the limits on lengths.
func rawName(_ tenant: Tenant, _ labels: [(key: [UInt8], value: [UInt8])]) -> [UInt8] {
    var target = RawBuffer()
    var writer = RawMetricNameWriter(labelsMax: 1000, valueBytesMax: Int(UInt16.max))
    writer.begin(tenant, in: &target)
    for label in labels {
        label.key.withUnsafeBytes { key in label.value.withUnsafeBytes { writer.add(key: key, value: $0, to: &target) }
        }
    }
    return target.array()
}

/// A raw metric name of texts; the group first, as `__name__`.
func rawName(
    _ group: String, _ labels: KeyValuePairs<String, String> = [:], tenant: Tenant = Tenant(bits: 0)
) -> [UInt8] {
    rawName(
        tenant,
        [(Array("__name__".utf8), Array(group.utf8))] + labels.map { (Array($0.key.utf8), Array($0.value.utf8)) })
}

/// The canonical form of a raw name; nil when it does not decode.
func canonicalName(_ raw: [UInt8]) -> [UInt8]? {
    var name = CanonicalName()
    return raw.withUnsafeBytes { bytes in
        do { try name.canonicalize(raw: bytes) } catch { return nil }
        return [UInt8](name.bytes)
    }
}

/// Rows, with the names in one piece of memory.
final class RowList: @unchecked Sendable {
    struct Row {
        var offset: Int, count: Int
        var timestampMs: Int64
        var value: Double
    }

    private var names = RawBuffer(capacity: 1024)
    private(set) var rows: [Row] = []

    init() {}

    init(_ rows: [(name: [UInt8], timestampMs: Int64)]) {
        for row in rows { append(row.name, row.timestampMs) }
    }

    var count: Int { rows.count }

    func append(_ name: [UInt8], _ timestampMs: Int64, _ value: Double = 1) {
        rows.append(Row(offset: names.count, count: name.count, timestampMs: timestampMs, value: value))
        names.append(name)
    }

    func withRows<Result, Failure: Error>(
        _ body: (UnsafeBufferPointer<MetricRow>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let list = rows.map { row in
            MetricRow(
                name: UnsafeRawBufferPointer(start: names.base + row.offset, count: row.count),
                timestampMs: row.timestampMs, value: row.value)
        }
        return try list.withUnsafeBufferPointer { rows throws(Failure) in try body(rows) }
    }
}

extension StorageEngine {
    func add(_ rows: RowList, precisionBits: Int = 64, hint: Int? = nil) throws(StorageError) {
        try rows.withRows { rows throws(StorageError) in
            try addRows(rows, precisionBits: precisionBits, hint: hint)
        }
    }

    func add(_ rows: [(name: [UInt8], timestampMs: Int64)]) throws(StorageError) { try add(RowList(rows)) }

    func register(_ rows: [(name: [UInt8], timestampMs: Int64)]) throws(StorageError) {
        try RowList(rows).withRows { rows throws(StorageError) in try registerMetricNames(rows) }
    }
}

/// A sink that keeps everything, and on request makes callers wait, or fails.
final class RecordingSink: SampleSink, @unchecked Sendable {
    struct Call {
        var rows: [SampleRow]
        var precisionBits: Int
    }

    private let lock = Lock()
    private let changed = Condition()
    private var calls: [Call] = []
    private var isBlocked = false
    private var waiting = 0
    private var failure: StorageError?

    func add(_ rows: UnsafeBufferPointer<SampleRow>, precisionBits: Int) throws(StorageError) {
        lock.lock()
        defer { lock.unlock() }
        waiting += 1
        changed.broadcast()
        while isBlocked { changed.wait(lock) }
        waiting -= 1
        if let failure { throw failure }
        calls.append(Call(rows: Array(rows), precisionBits: precisionBits))
    }

    /// Makes callers wait until ``unblock()``.
    func block() { lock.withLock { isBlocked = true } }

    func unblock() {
        lock.withLock { isBlocked = false }
        changed.broadcast()
    }

    /// Waits until so many callers are waiting.
    func waitForCallers(_ count: Int) {
        lock.lock()
        defer { lock.unlock() }
        while waiting < count { changed.wait(lock) }
    }

    /// What further calls throw; nil lets them succeed.
    func fail(_ error: StorageError?) { lock.withLock { failure = error } }

    /// The calls since the last time.
    func takeCalls() -> [Call] {
        lock.withLock {
            let taken = calls
            calls = []
            return taken
        }
    }

    /// The rows of the calls since the last time.
    func takeRows() -> [SampleRow] { takeCalls().flatMap(\.rows) }
}

// MARK: engine

/// Collects log lines.
final class LogLines: Sendable {
    private let lines = Protected<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func note(_ line: String) { lines.withLock { $0.append(line) } }
}

/// A storage, its clock, its sink, and what it takes to open it again.
final class EngineFixture {
    static let startMs: Int64 = 1_640_995_200_000  // 2022-01-01

    let files: any FileSystem
    let path: String
    let clock: TestClock
    let sink = RecordingSink()
    let log = LogLines()
    let isLive: Bool
    let seed: UInt64
    /// Whether the storage has its samples; the sink sees the rows in any case.
    let keepsSamples: Bool
    var options: StorageOptions
    private(set) var engine: StorageEngine

    /// - Parameter firstID: The first metric id; nil follows the clock.
    init(
        files: any FileSystem = SimulatedFileSystem(recording: .nothing), path: String = "/data/storage",
        startMs: Int64 = EngineFixture.startMs, isLive: Bool = false, seed: UInt64 = 1, firstID: UInt64? = nil,
        options: StorageOptions = .tiny(), keepsSamples: Bool = false
    ) throws {
        self.files = files
        self.keepsSamples = keepsSamples
        self.path = path
        self.isLive = isLive
        self.seed = seed
        clock = TestClock(unixMilliseconds: startMs, isLive: isLive)
        let lines = log
        var options = options
        options.log = { lines.note($0) }
        self.options = options
        engine = try StorageEngine.open(
            path, options: options, files: files,
            environment: EngineFixture.environment(clock, isLive, seed, firstID), sink: keepsSamples ? nil : sink)
        if keepsSamples { engine.observer = sink }
    }

    private static func environment(
        _ clock: TestClock, _ isLive: Bool, _ seed: UInt64, _ firstID: UInt64?
    ) -> Environment {
        Environment(
            mode: isLive ? .live : .deterministic, clock: clock,
            ids: UniqueIDs(start: (firstID ?? clock.unixNanoseconds) - 1), seed: seed,
            scheduler: isLive ? LiveScheduler(clock: clock) as any Scheduler : DeterministicScheduler(clock: clock))
    }

    func close() throws { try engine.close() }

    /// Opens the storage after ``close()``, or after ``crash()`` on what is left of the disk.
    func open(on files: (any FileSystem)? = nil) throws {
        engine = try StorageEngine.open(
            path, options: options, files: files ?? self.files,
            environment: EngineFixture.environment(clock, isLive, seed, nil), sink: keepsSamples ? nil : sink)
        if keepsSamples { engine.observer = sink }
    }

    func reopen() throws {
        try close()
        try open()
    }

    /// Moves the clock and runs what has become due.
    func move(_ milliseconds: Int64) throws {
        clock.move(milliseconds: milliseconds)
        try engine.runDueTasks()
    }

    var nowMs: Int64 { clock.unixMilliseconds }

    /// The items of a table, flushed or not.
    func items(_ table: WhichTable = .current) throws -> IndexItems {
        let table = engine.index.withTables { table == .current ? $0.current : $0.previous }
        return try IndexItems(table.table)
    }
}

enum WhichTable {
    case current, previous
}

extension StorageOptions {
    /// Runs of some kilobytes, a few of which fill the memory: flushes and merges happen all the time.
    static func tiny(run: Int = 4096, memory: Int = 32768) -> StorageOptions {
        var options = StorageOptions()
        options.cacheBytesMax = 8 << 20
        options.retentionMs = 31 * Span.day
        options.table.shardCount = 2
        options.table.runBytesMax = run
        options.table.memoryBytesMax = memory
        options.table.mergeWorkers = 1
        options.table.dataBlockCacheBytes = 64 << 10
        options.table.indexBlockCacheBytes = 16 << 10
        options.samples.memoryBytesMax = 2 * memory
        options.samples.shardCount = 2
        options.samples.mergeWorkers = 1
        options.samples.indexCacheBytes = 64 << 10
        return options
    }
}

// MARK: items

/// The items of an index table with how often each is there; rows of tags are split into rows of one id.
struct IndexItems: Equatable {
    private(set) var counts: [[UInt8]: Int] = [:]

    init() {}

    init(_ items: some Sequence<[UInt8]>) { for item in items { counts[item, default: 0] += 1 } }

    /// Everything that was added to a table.
    init(_ table: Table) throws {
        var cursor = table.cursor(.everything)
        try cursor.seek(UnsafeRawBufferPointer(start: nil, count: 0))
        while try cursor.next() { try add(cursor.item) }
    }

    mutating func add(_ item: UnsafeRawBufferPointer) throws {
        guard let kind = item.first, kind == RowKind.tagToIDs || kind == RowKind.dateTagToIDs else {
            counts[[UInt8](item), default: 0] += 1
            return
        }
        let row = try TagRow(item)
        for index in 0..<row.idCount {
            counts[[UInt8](row.prefix) + bigEndianBytes(row.id(index)), default: 0] += 1
        }
    }

    var distinct: Set<[UInt8]> { Set(counts.keys) }

    /// Items of one kind, in order.
    func items(_ kind: UInt8) -> [[UInt8]] { counts.keys.filter { $0.first == kind }.sorted(by: isSmaller) }

    /// What is here more often than in `other`.
    func added(since other: IndexItems) -> IndexItems {
        var result = IndexItems()
        for (item, count) in counts {
            let more = count - (other.counts[item] ?? 0)
            if more > 0 { result.counts[item] = more }
        }
        return result
    }

    /// Items that must not be there twice, and are: all but rows of tags, which merges need not unite.
    var doubled: [[UInt8]] {
        counts.filter { $0.value > 1 && $0.key[0] != RowKind.tagToIDs && $0.key[0] != RowKind.dateTagToIDs }
            .map(\.key).sorted(by: isSmaller)
    }
}

func bigEndianBytes(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) } }

func bigEndianNumber(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

/// The items of a registration, by the plain builder of rows, from a raw name.
enum ExpectedItems {
    static func global(raw: [UInt8], _ tsid: TSID) throws -> [[UInt8]] {
        try build(raw) { name, items throws(StorageError) in try SeriesRows.appendGlobal(name, tsid, to: &items) }
    }

    static func day(raw: [UInt8], date: UInt64, _ metricID: UInt64) throws -> [[UInt8]] {
        try build(raw) { name, items throws(StorageError) in
            try SeriesRows.appendPerDay(name, date: date, metricID: metricID, to: &items)
        }
    }

    private static func build(
        _ raw: [UInt8], _ body: (borrowing CanonicalName, inout ItemList) throws(StorageError) -> Void
    ) throws -> [[UInt8]] {
        var name = CanonicalName()
        var items = ItemList()
        return try raw.withUnsafeBytes { bytes in
            try name.canonicalize(raw: bytes)
            try body(name, &items)
            return (0..<items.count).map { [UInt8](items[$0]) }
        }
    }
}

// MARK: threads

/// Runs bodies on threads of their own and waits for all.
func together(_ bodies: [@Sendable () -> Void]) {
    let threads = bodies.enumerated().map { index, body in Thread.start("test-\(index)", body) }
    for thread in threads { thread.join() }
}

/// What went wrong on several threads.
final class Failures: Sendable {
    private let list = Protected<[String]>([])

    func note(_ place: String, _ body: () throws -> Void) {
        do { try body() } catch { list.withLock { $0.append("\(place): \(error)") } }
    }

    func require(_ isTrue: Bool, _ text: @autoclosure () -> String) {
        if isTrue { return }
        let text = text()
        list.withLock { $0.append(text) }
    }

    var all: [String] { list.withLock { $0 } }
}

// MARK: what a table must hold

/// What the rows of a table say, checked against each other.
struct TableContents {
    struct Name {
        var canonical: [UInt8]
        var tsid: TSID
    }

    struct Day: Hashable {
        var date: UInt64
        var metricID: UInt64
    }

    let items: IndexItems
    private(set) var names: [Name] = []
    private(set) var days: Set<Day> = []
    private(set) var tombstones: Set<UInt64> = []

    init(_ items: IndexItems) throws {
        self.items = items
        for item in items.items(RowKind.nameToTSID) {
            let split = item.count - 1 - TSID.storedBytes
            let tsid = try item[(split + 1)...].withUnsafeBytes { try TSID($0) }
            names.append(Name(canonical: Array(item[1..<split]), tsid: tsid))
        }
        for item in items.items(RowKind.dateToID) {
            days.insert(Day(date: bigEndianNumber(item[9..<17]), metricID: bigEndianNumber(item[17...])))
        }
        for item in items.items(RowKind.tombstone) { tombstones.insert(bigEndianNumber(item[1...])) }
    }

    /// What is wrong with the table: every name row needs all other rows of its series, every day row all rows of its
    /// day, nothing else may be there, and nothing twice.
    ///
    /// - Parameter raws: A raw name for every canonical one.
    func faults(raws: [[UInt8]: [UInt8]]) throws -> [String] {
        var faults: [String] = []
        var expected: Set<[UInt8]> = []
        var rawByID: [UInt64: [UInt8]] = [:]
        for name in names {
            guard let raw = raws[name.canonical] else {
                faults.append("an unknown name \(name.canonical.hex)")
                continue
            }
            rawByID[name.tsid.metricID] = raw
            expected.formUnion(try ExpectedItems.global(raw: raw, name.tsid))
        }
        for day in days {
            guard let raw = rawByID[day.metricID] else {
                faults.append("day \(day.date) of id \(day.metricID), which has no name row")
                continue
            }
            expected.formUnion(try ExpectedItems.day(raw: raw, date: day.date, day.metricID))
        }
        for id in tombstones { expected.insert([RowKind.tombstone] + bigEndianBytes(id)) }
        for item in expected.subtracting(items.distinct).prefix(3) { faults.append("missing \(item.hex)") }
        for item in items.distinct.subtracting(expected).prefix(3) { faults.append("unexpected \(item.hex)") }
        for item in items.doubled.prefix(3) { faults.append("twice \(item.hex)") }
        return faults
    }
}

extension EngineFixture {
    func contents(_ table: WhichTable = .current) throws -> TableContents { try TableContents(items(table)) }
}
