// SampleTableModelTests.swift - random operations on a table and on a plain list of rows, which must agree; and the same
// operations twice, which must leave the same files.
//
// Values are small numbers of quarters, so that every block keeps them exactly. Deduplication and cut rows depend on the
// shape of blocks; the model of them is a bound: what must be there, and what may be.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SampleStore

/// A table, the rows it should hold, and random things to do to both.
private final class Model {
    let fixture: TableFixture
    let seed: UInt64
    var random: SplitMix64
    let deleted = Protected<Set<UInt64>>([])

    /// Rows that were added and not deleted: those before this index are searchable.
    var rows: [SampleRow] = []
    var searchableCount = 0
    /// Rows of deleted series: they may be there until a merge has passed.
    var doomed: [SampleRow] = []
    var held: [(search: SampleSearch, rows: [PlainRow: Int])] = []
    var snapshots = 0

    static let series = 40
    static let retentionMs = 100 * TableFixture.dayMs

    init(seed: UInt64) throws {
        self.seed = seed
        random = SplitMix64(seed: Seeds.derive(seed, "sample model"))
        var options = SampleTableOptions.tiny(memory: 4096 << random.below(6), shards: 1 + random.below(3))
        options.retentionMs = Model.retentionMs
        options.mergesInBackground = random.below(2) == 0
        options.tasksInBackground = options.mergesInBackground
        options.smallPartBytesMax = [nil, 2000, 20_000][random.below(3)]
        options.finalMergeDelayNanoseconds = random.below(2) == 0 ? 0 : 5_000_000_000
        options.deletedSeries = { [deleted] () -> (@Sendable (UInt64) -> Bool)? in
            let ids = deleted.withLock { $0 }
            if ids.isEmpty { return nil }
            return { id in ids.contains(id) }
        }
        fixture = try TableFixture(options, seed: seed)
    }

    var table: SampleTable { fixture.table }
    var now: Int64 { fixture.clock.unixMilliseconds }

    func run(_ steps: Int) throws {
        for _ in 0..<steps { try step() }
        try check()
        try reopen()
        try check()
        let plain = try Fixture.plainRows(TableFixture.directory, on: fixture.files, isCut: true)
        try compare(tally(plain), rows, "the files")
        try table.close()
    }

    func step() throws {
        switch random.below(100) {
        case 0..<50: try add()
        case 50..<58:
            try table.makeSearchable()
            searchableCount = rows.count
        case 58..<66:
            try table.flush()
            searchableCount = rows.count
        case 66..<70:
            try table.settle()
            searchableCount = rows.count
            let parts = table.metrics
            #expect(parts.small.fileParts <= 15 * parts.partitions && parts.big.fileParts <= 15 * parts.partitions)
        case 70..<72:
            try table.mergeAll(partitionPrefix: ["", "2021_11", "2021"][random.below(3)])
            searchableCount = rows.count
        case 72..<74: try reopen()
        case 74..<76: try snapshot()
        case 76..<84: try check()
        case 84..<88: hold()
        case 88..<92: try checkHeld()
        case 92..<94: deleteSeries()
        default:
            fixture.advance(
                ms: random.below(8) == 0 ? TableFixture.dayMs * Int64(random.below(20)) : Int64(random.below(9000)))
            table.runDueTasks()
            fixture.environment.scheduler.checkpoint()
        }
    }

    func add() throws {
        let count = random.below(4) == 0 ? random.below(300) : random.below(30)
        let months = random.below(3) == 0 ? 80 : 2
        let batch = (0..<count).map { _ -> SampleRow in
            let age = Int64(random.below(months)) * TableFixture.dayMs + Int64(random.below(100_000))
            let isStale = random.below(50) == 0
            return Fixture.row(
                random.below(Model.series), now - age,
                isStale ? Double(bitPattern: DecimalCoding.staleMarkerBits) : Double(random.below(4000)) / 4)
        }
        try table.add(batch, hint: random.below(2) == 0 ? nil : random.below(5) - 2)
        let gone = deleted.withLock { $0 }
        rows += batch.filter { !gone.contains($0.tsid.metricID) }
        doomed += batch.filter { gone.contains($0.tsid.metricID) }
    }

    func deleteSeries() {
        let id = Fixture.series(random.below(Model.series)).metricID
        deleted.withLock { _ = $0.insert(id) }
        doomed += rows.filter { $0.tsid.metricID == id }
        let before = rows[..<searchableCount].count { $0.tsid.metricID == id }
        rows.removeAll { $0.tsid.metricID == id }
        searchableCount -= before
    }

    var all: [TSID] { (0..<Model.series).map { Fixture.series($0) }.sorted() }

    /// `found` holds all rows of `expected` that are within retention, and nothing that was not added.
    func compare(_ found: [PlainRow: Int], _ expected: ArraySlice<SampleRow>, _ what: String) throws {
        let start = now - Model.retentionMs
        // Whole blocks are returned, and whole blocks dropped: rows past retention may be there or not.
        let must = tally(expected.filter { $0.timestampMs >= start }.map { Fixture.plain($0) })
        var may = tally(rows.map { Fixture.plain($0) })
        for row in doomed { may[Fixture.plain(row), default: 0] += 1 }
        for (row, count) in must where found[row, default: 0] < count {
            Issue.record("seed \(seed), \(what): a row is missing: \(row.timestamp) (now \(now))")
            return
        }
        for (row, count) in found where may[row, default: 0] < count {
            Issue.record("seed \(seed), \(what): a row was invented or doubled: \(row.timestamp)")
            return
        }
    }

    func compare(_ found: [PlainRow: Int], _ expected: [SampleRow], _ what: String) throws {
        try compare(found, expected[...], what)
    }

    func check() throws {
        try compare(tally(try table.rows(of: all)), rows[..<searchableCount], "everything")
        // A piece of it.
        let series = (0..<Model.series).filter { _ in random.below(4) == 0 }
        let min = now - Int64(random.below(90)) * TableFixture.dayMs
        let max = min + Int64(random.below(90)) * TableFixture.dayMs
        let found = tally(try table.rows(series, min: min, max: max))
        let wanted = Set(series.map { Fixture.series($0).metricID })
        let expected = rows[..<searchableCount].filter {
            wanted.contains($0.tsid.metricID) && $0.timestampMs >= min && $0.timestampMs <= max
        }
        try compare(found, expected, "a piece")
        let metrics = table.metrics
        #expect(metrics.memoryBytes <= UInt64(fixture.options.memoryBytesMax) * 3 / 2 + 300 * 48)
        #expect(metrics.failures == 0 && metrics.partsExcluded == 0 && metrics.rowsSkipped == 0)
    }

    func hold() {
        guard held.count < 5 else { return }
        let start = now - Model.retentionMs
        let rows = rows[..<searchableCount].filter { $0.timestampMs >= start }.map { Fixture.plain($0) }
        held.append((table.search(all, minTimestamp: 0, maxTimestamp: .max), tally(rows)))
    }

    /// Searches see what there was when they were made, whatever has been merged, dropped or deleted since.
    func checkHeld() throws {
        guard !held.isEmpty else { return }
        let (search, expected) = held.remove(at: random.below(held.count))
        let found = tally(try Fixture.drain(search))
        for (row, count) in expected where found[row, default: 0] < count {
            Issue.record("seed \(seed): a held search misses a row")
            return
        }
    }

    func snapshot() throws {
        snapshots += 1
        let name = "20211121000000-" + Hex.name(UInt64(snapshots))
        try table.snapshot(name: name)
        searchableCount = rows.count
        var found: [PlainRow] = []
        for side in ["small", "big"] {
            let directory = "\(TableFixture.directory)/\(side)/snapshots/\(name)"
            for month in try fixture.files.list(directory) {
                for part in try fixture.files.list(directory + "/" + month.name) {
                    let path = directory + "/" + month.name + "/" + part.name
                    found += try PlainSamplePart(
                        name: part.name, files: Fixture.files(path, on: fixture.files), isCut: true
                    ).rows
                }
            }
        }
        try compare(tally(found), rows, "the snapshot")
        if random.below(2) == 0 { try table.deleteSnapshot(name: name) }
    }

    func reopen() throws {
        held = []
        try fixture.reopen(laterMs: Int64(random.below(3)))
        searchableCount = rows.count
        #expect(table.damagedParts.isEmpty)
    }
}

@Suite struct SampleTableModelTests {
    @Test(arguments: TestSeeds.thisRun) func agreesWithAList(seed: UInt64) throws {
        for round in 0..<6 { try Model(seed: Seeds.derive(seed, "round", round)).run(150) }
    }

    /// Two deterministic runs leave the same names and bytes.
    @Test(arguments: TestSeeds.thisRun) func sameSeedSameFiles(seed: UInt64) throws {
        var trees: [[String: [UInt8]]] = []
        for _ in 0..<2 {
            let model = try Model(seed: seed)
            try model.run(120)
            var tree: [String: [UInt8]] = [:]
            for path in try Fixture.partPaths(TableFixture.directory, on: model.fixture.files) {
                for (name, bytes) in try Fixture.files(path, on: model.fixture.files) {
                    tree[path + "/" + name] = bytes
                }
            }
            trees.append(tree)
        }
        #expect(trees[0] == trees[1])
    }

    /// Deduplication: one row of each interval and block at least, and no row that was not added.
    @Test(arguments: TestSeeds.thisRun) func deduplicatedRowsAreRowsThatWereAdded(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var options = SampleTableOptions.tiny(memory: 16 << 10)
        options.dedupIntervalMs = 60_000
        options.mergesInBackground = true
        let fixture = try TableFixture(options)
        var added: [SampleRow] = []
        for round in 0..<60 {
            let batch = (0..<random.below(100)).map { _ in
                Fixture.row(
                    random.below(5), TableFixture.start - Int64(random.below(3_600_000)), Double(random.below(4000)) / 4
                )
            }
            added += batch
            try fixture.table.add(batch)
            if round % 4 == 0 { try fixture.table.flush() }
        }
        try fixture.table.mergeAll()
        try fixture.table.mergeAll()
        let found = try fixture.table.rows(0..<5)
        let all = tally(added.map { Fixture.plain($0) })
        #expect(tally(found).allSatisfy { all[$0.key, default: 0] >= $0.value })
        // A series has one block, so one row of each interval: the first one.
        func intervals(_ rows: [PlainRow]) -> Set<String> { Set(rows.map { "\($0.tsid)-\($0.timestamp / 60_000)" }) }
        let plain = added.map { Fixture.plain($0) }
        #expect(intervals(found) == intervals(plain) && found.count == intervals(plain).count)
        #expect(fixture.table.metrics.rowsDeduplicated == UInt64(added.count - found.count))
        try fixture.table.close()
    }
}
