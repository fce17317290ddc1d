// IndexSupport.swift - what the tests of whole indexes share: an index with small tables, names to resolve, and reading
// everything back in normalised form.

import Mergeset
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SeriesIndex

extension TableOptions {
    /// Runs of some kilobytes, no merges by themselves: parts stay as flushes make them.
    static func small(run: Int = 20_000, memory: Int = 100_000) -> TableOptions {
        var options = TableOptions()
        options.shardCount = 2
        options.runBytesMax = run
        options.memoryBytesMax = memory
        options.tagRowMerging = .streaming
        options.mergesInBackground = false
        return options
    }
}

extension Table {
    /// All items of a scope, in order.
    func items(_ scope: SearchScope = .durable) throws(StorageError) -> [[UInt8]] {
        var cursor = cursor(scope)
        var items: [[UInt8]] = []
        while try cursor.next() { items.append([UInt8](cursor.item)) }
        return items
    }
}

/// Items with every tag row taken apart into rows of one id; repeated ones once.
func normalised(_ items: some Sequence<[UInt8]>) throws -> Set<[UInt8]> {
    var result: Set<[UInt8]> = []
    for item in items {
        guard item[0] == RowKind.tagToIDs || item[0] == RowKind.dateTagToIDs else {
            result.insert(item)
            continue
        }
        try item.withUnsafeBytes { bytes in
            let row = try TagRow(bytes)
            for index in 0..<row.idCount {
                let start = row.prefixLength + index * 8
                result.insert(Array(item[..<row.prefixLength]) + item[start..<(start + 8)])
            }
        }
    }
    return result
}

extension ItemList {
    var arrays: [[UInt8]] { (0..<count).map { [UInt8](self[$0]) } }
}

/// The canonical form of a raw name.
func canonical(_ raw: [UInt8]) throws -> [UInt8] {
    var name = CanonicalName()
    return try raw.withUnsafeBytes { bytes in
        try name.canonicalize(raw: bytes)
        return [UInt8](name.bytes)
    }
}

/// All rows of a registration in plain form, one id a tag row.
func plainRows(canonical: [UInt8], _ tsid: TSID, isGlobal: Bool, dates: some Sequence<UInt64>) throws -> [[UInt8]] {
    var name = CanonicalName()
    var items = ItemList()
    return try canonical.withUnsafeBytes { bytes in
        try name.load(canonical: bytes)
        if isGlobal { try SeriesRows.appendGlobal(name, tsid, to: &items) }
        for date in dates { try SeriesRows.appendPerDay(name, date: date, metricID: tsid.metricID, to: &items) }
        return items.arrays
    }
}

/// An open index and the memory of one thread that writes to it.
final class IndexFixture {
    static let storage = "/storage"
    static let directory = "/storage/indexdb"
    static let damaged = "/storage/damaged"
    static let day: UInt64 = 18_993

    let files: any FileSystem
    let environment: Environment
    let index: SeriesIndex
    let key: FingerprintKey
    private let lines: Protected<[String]>
    private var batch = NameBatch()
    private var workspace = ResolveWorkspace()
    private var name = CanonicalName()
    private(set) var counters = ResolveCounters()

    /// Lines that the index has logged.
    var log: [String] { lines.withLock { $0 } }

    /// A storage whose index is open.
    init(
        on files: any FileSystem = SimulatedFileSystem(), _ environment: Environment = .deterministic(seed: 5),
        table: TableOptions = .small(), dayBytesMax: Int = 1 << 20
    ) throws(StorageError) {
        self.files = files
        self.environment = environment
        key = FingerprintKey(drawing: environment.secrets("fingerprints"))
        let lines = Protected<[String]>([])
        self.lines = lines
        var options = IndexOptions()
        options.table = table
        options.dayRegistryBytesMax = dayBytesMax
        index = try SeriesIndex(
            directory: IndexFixture.directory, damagedDirectory: IndexFixture.damaged, options: options, key: key,
            files: files, environment: environment, log: { line in lines.withLock { $0.append(line) } })
    }

    /// A thread's own memory over the index of another fixture.
    init(sharing other: IndexFixture) {
        files = other.files
        environment = other.environment
        index = other.index
        key = other.key
        lines = other.lines
    }

    /// What became of a name.
    struct Resolved: Equatable {
        var tsid: TSID
        var outcome: NameOutcome
    }

    /// Resolves canonical names as one batch; row `i` is name `i`.
    func resolve(
        canonical names: [[UInt8]], date: UInt64 = day, _ policy: NewSeriesPolicy = NewSeriesPolicy()
    ) -> [Resolved] {
        batch.removeAll(rows: names.count)
        for (row, name) in names.enumerated() {
            name.withUnsafeBytes { batch.append($0, row: row, date: date) }
        }
        batch.sort(key)
        counters = index.withTables { index.resolve(&batch, $0, policy, &workspace) }
        var results = [Resolved?](repeating: nil, count: names.count)
        for position in 0..<batch.nameCount {
            let result = Resolved(tsid: batch.tsid(position), outcome: batch.outcome(position))
            batch.forEachRow(position) { row, _ in results[row] = result }
        }
        return results.compactMap { $0 }
    }

    /// Resolves raw names as one batch.
    func resolve(
        _ raws: [[UInt8]], date: UInt64 = day, _ policy: NewSeriesPolicy = NewSeriesPolicy()
    ) throws -> [Resolved] {
        resolve(canonical: try raws.map { try SeriesIndexTests.canonical($0) }, date: date, policy)
    }

    /// The error of the batch resolved last.
    var firstError: StorageError? { batch.firstError }

    /// Registers series for days, as the rows of a block would. Returns the entries written.
    func registerDays(_ wanted: [(date: UInt64, tsid: TSID, raw: [UInt8])]) throws -> Int {
        var claims = wanted.enumerated().map { DayClaim(date: $1.date, tsid: $1.tsid, row: $0) }
        let raws = wanted.map { entry in
            RawBuffer.withCopy(entry.raw)
        }
        defer { for raw in raws { raw.deallocate() } }
        let result = claims.withUnsafeMutableBufferPointer { claims in
            index.withTables {
                index.registerDays(claims, $0, hint: nil, raw: { UnsafeRawBufferPointer(raws[$0]) }, &name, &workspace)
            }
        }
        if let error = result.error { throw error }
        return result.written
    }

    /// Durable items of the current and the previous table.
    func items() throws(StorageError) -> (current: [[UInt8]], previous: [[UInt8]]) {
        let tables = index.withTables { $0 }
        return (try tables.current.table.items(), try tables.previous.table.items())
    }

    var currentName: String { index.withTables { $0.current.name } }
    var previousName: String { index.withTables { $0.previous.name } }
}

extension RawBuffer {
    /// A copy of bytes in memory that the caller deallocates.
    fileprivate static func withCopy(_ bytes: [UInt8]) -> UnsafeMutableRawBufferPointer {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
        copy.copyBytes(from: bytes)
        return copy
    }
}

/// Name number `number` of a family, with a few tags that others share.
func rawName(_ number: Int, tenant: Tenant = Tenant(bits: 0)) -> [UInt8] {
    let group = ["http_requests_total", "up", "servers.cpu.load", "g"][number % 4]
    return MetricName(
        group, [("instance", "host-\(number)"), ("job", "job-\(number % 3)"), ("zone", "z\(number % 2)")],
        tenant: tenant
    ).raw
}
