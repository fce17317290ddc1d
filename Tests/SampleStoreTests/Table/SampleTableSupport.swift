// SampleTableSupport.swift - what the tests of whole tables share: tiny limits, rows, and two ways of reading everything back:
// through a search, and file by file with the second reader.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SampleStore

extension SampleTableOptions {
    /// Some hundred rows fill the memory: flushes happen all the time. Nothing runs by itself but the flusher.
    static func tiny(memory: Int = 24 << 10, shards: Int = 2) -> SampleTableOptions {
        var options = SampleTableOptions()
        options.memoryBytesMax = memory
        options.shardCount = shards
        options.mergeWorkers = 1
        options.mergesInBackground = false
        options.tasksInBackground = false
        options.indexCacheBytes = 64 << 10
        return options
    }
}

/// A table on a simulated disk, on a virtual clock.
final class TableFixture {
    /// 2021-11-21T00:00:00Z.
    static let start: Int64 = 1_637_452_800_000
    static let directory = "/storage/data"
    static let damaged = "/storage/damaged"
    static let dayMs: Int64 = 86_400_000

    var files: any FileSystem
    private(set) var environment: Environment
    var options: SampleTableOptions
    let log = Protected<[String]>([])
    private(set) var table: SampleTable

    init(
        _ options: SampleTableOptions = .tiny(), files: (any FileSystem)? = nil,
        directory: String = TableFixture.directory,
        now: Int64 = TableFixture.start, seed: UInt64 = 1
    ) throws {
        self.files = try files ?? TableFixture.disk()
        environment = .deterministic(seed: seed, startUnixMilliseconds: now)
        self.options = options
        self.options.log = { [log] line in log.withLock { $0.append(line) } }
        table = try SampleTable.open(
            directory, damagedDirectory: TableFixture.damaged, options: self.options, files: self.files,
            environment: environment)
    }

    /// A disk with a durable `/storage`: opening a table syncs the directory that holds it, not those above.
    static func disk(
        _ recording: SimulatedFileSystem.Recording = .nothing, _ faults: FaultPlan = FaultPlan()
    ) throws -> SimulatedFileSystem {
        let files = SimulatedFileSystem()
        try files.makeDirectory("/storage", parents: false)
        let disk = files.afterCrash(seed: 0, outcome: .nothingKept, recording: recording)
        disk.faults = faults
        return disk
    }

    var clock: VirtualClock { environment.clock as! VirtualClock }
    var simulated: SimulatedFileSystem { files as! SimulatedFileSystem }

    /// Closes the table and opens it again, later by `ms`.
    func reopen(laterMs ms: Int64 = 0, _ change: (inout SampleTableOptions) -> Void = { _ in }) throws {
        try table.close()
        change(&options)
        environment = .deterministic(seed: environment.seed, startUnixMilliseconds: clock.unixMilliseconds + ms)
        table = try SampleTable.open(
            TableFixture.directory, damagedDirectory: TableFixture.damaged, options: options, files: files,
            environment: environment)
    }

    func advance(ms: Int64) { clock.advance(milliseconds: ms) }

    /// The log so far.
    var lines: [String] { log.withLock { $0 } }
}

extension SampleTable {
    /// Adds rows in one batch.
    func add(_ rows: [SampleRow], precisionBits: Int = 64, hint: Int? = nil) throws(StorageError) {
        try rows.withUnsafeBufferPointer { rows throws(StorageError) in
            try add(rows, precisionBits: precisionBits, hint: hint)
        }
    }

    /// All rows of some series as a search gives them, block by block.
    func rows(
        _ series: some Sequence<Int>, min: Int64 = 0, max: Int64 = .max, each: (SampleSearch) throws -> Void = { _ in }
    ) throws -> [PlainRow] {
        try rows(of: series.map { Fixture.series($0) }.sorted(), min: min, max: max, each: each)
    }

    func rows(
        of tsids: [TSID], min: Int64 = 0, max: Int64 = .max, each: (SampleSearch) throws -> Void = { _ in }
    ) throws -> [PlainRow] {
        let search = search(tsids, minTimestamp: min, maxTimestamp: max)
        return try Fixture.drain(search, each: each)
    }
}

extension Fixture {
    /// The decoded rows of a search, in its order, which is checked.
    static func drain(_ search: SampleSearch, each: (SampleSearch) throws -> Void = { _ in }) throws -> [PlainRow] {
        var columns = SampleColumns()
        var decoder = IntegerArrayDecoder()
        var rows: [PlainRow] = []
        var last: (tsid: TSID, min: Int64)?
        while try search.next() {
            let block = try search.read()
            if let last {
                #expect(
                    last.tsid == block.header.tsid
                        ? last.min <= block.header.minTimestamp : last.tsid < block.header.tsid)
            }
            last = (block.header.tsid, block.header.minTimestamp)
            #expect(search.header.rowsCount == block.header.rowsCount && search.header.tsid == block.header.tsid)
            try columns.decode(block.header, timestamps: block.timestamps, values: block.values, &decoder)
            append(columns, block.header.tsid, to: &rows)
            try each(search)
        }
        return rows
    }

    /// What a stored row looks like.
    static func plain(_ row: SampleRow) -> PlainRow {
        PlainRow(tsid: bytes(row.tsid), timestamp: row.timestampMs, bits: row.value.bitPattern)
    }

    /// A row of a test series.
    static func row(_ series: Int, _ timestampMs: Int64, _ value: Double) -> SampleRow {
        SampleRow(tsid: Self.series(series), timestampMs: timestampMs, value: value)
    }

    /// The file parts of a data directory: their paths, side by side.
    static func partPaths(_ data: String, on files: any FileSystem) throws -> [String] {
        var paths: [String] = []
        for side in ["small", "big"] {
            let directory = Paths.join(data, side)
            for month in try files.list(directory) where month.kind == .directory && month.name != "snapshots" {
                let partition = Paths.join(directory, month.name)
                for part in try files.list(partition)
                where part.kind != .file && !SamplePartition.ignoredDirectories.contains(part.name) {
                    paths.append(Paths.join(partition, part.name))
                }
            }
        }
        return paths
    }

    /// All rows of a data directory, read by the second reader, which also checks each part; every row must belong to the month
    /// of its partition.
    static func plainRows(_ data: String, on files: any FileSystem, isCut: Bool = false) throws -> [PlainRow] {
        var rows: [PlainRow] = []
        for path in try partPaths(data, on: files) {
            let part = try PlainSamplePart(
                name: Paths.lastComponent(path), files: Self.files(path, on: files), isCut: isCut)
            let month = SampleMonth(name: Paths.lastComponent(Paths.parent(path)))!
            #expect(part.rows.allSatisfy { month.contains($0.timestamp) }, "\(path)")
            rows += part.rows
        }
        return rows
    }
}

/// Rows with their multiplicities.
func tally(_ rows: some Sequence<PlainRow>) -> [PlainRow: Int] {
    var counts: [PlainRow: Int] = [:]
    for row in rows { counts[row, default: 0] += 1 }
    return counts
}
