// EngineCrashTests.swift - a storage that crashes at every change of its files: what was flushed is found again.
//
// The script adds rows of new and known series over three days, flushes, deletes, rotates the index twice, and closes and
// opens the storage in between. It is run again and again with a crash at another operation each time; then the storage is
// opened on what the crash has left, and
//
//   - every series whose rows were flushed has its TSID under its name, its id and its day
//   - each table holds whole series only: every id has all of its rows, every day all rows of its series
//   - no name has two ids that are not deleted, neither now nor after all series have come in once more
//   - deletions that had returned hold, and new ids are greater than all before
//
// Each operation is a crash point once a seed, with one outcome (what was not synced is lost, kept, or torn) that the seed
// chooses. With ALL_CRASHES=1 in the environment every outcome is tried at each.

import Foundation
import Mergeset
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SeriesIndex
@testable import StorageEngine

/// Keeps what it is given.
private final class CrashSink: SampleSink {
    private let list = Protected<[SampleRow]>([])

    func add(_ rows: UnsafeBufferPointer<SampleRow>, precisionBits: Int) throws(StorageError) {
        list.withLock { $0 += rows }
    }

    /// The rows since the last call.
    func take() -> [SampleRow] {
        list.withLock { list in
            defer { list = [] }
            return list
        }
    }
}

/// Series by number, in two orders of labels.
private enum Series {
    static let count = 40

    private static func raw(_ number: Int, isReversed: Bool) -> [UInt8] {
        var labels = [
            ("", ["http_requests_total", "a.b", "up"][number % 3]), ("job", "j\(number % 4)"),
            ("instance", "\(number)"),
        ]
        if isReversed { labels.reverse() }
        var raw = RawBuffer()
        raw.appendBigEndian(UInt64(number % 2))
        for (key, value) in labels {
            raw.appendBigEndian(UInt16(key.utf8.count))
            raw.append(Array(key.utf8))
            raw.appendBigEndian(UInt16(value.utf8.count))
            raw.append(Array(value.utf8))
        }
        return raw.array()
    }

    /// Raw names that live as long as the process.
    nonisolated(unsafe) static let raws: [[UnsafeRawBufferPointer]] = (0..<count).map { number in
        [false, true].map { isReversed in
            let bytes = raw(number, isReversed: isReversed)
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
            copy.copyBytes(from: bytes)
            return UnsafeRawBufferPointer(copy)
        }
    }

    static let canonicals: [[UInt8]] = raws.map { raw in
        var name = CanonicalName()
        try? name.canonicalize(raw: raw[0])
        return [UInt8](name.bytes)
    }
}

/// What was told to the script, and what of it is promised to survive.
private struct Progress {
    struct Fact: Hashable {
        var series: Int
        var id: UInt64
        var date: UInt64
    }

    /// TSIDs that rows got, by series; entries of days, with the rotation before which they were made first.
    var tsids: [Int: TSID] = [:]
    var periods: [Int: Int] = [:]
    var days: [Fact: Int] = [:]
    /// The same as it was when the last flush returned.
    var durableTSIDs: [Int: TSID] = [:]
    var durablePeriods: [Int: Int] = [:]
    var durableDays: [Fact: Int] = [:]
    /// Ids that a deletion was asked for, and those for which it returned.
    var doomed: Set<UInt64> = []
    var deleted: Set<UInt64> = []
    /// Rotations that were begun.
    var rotations = 0
    /// Where the clock stands; at first an hour before midnight of 2022-01-01.
    var nowMs: Int64 = 1_641_078_000_000
    var allIDs: Set<UInt64> = []
    var problems: [String] = []

    mutating func flushed() {
        durableTSIDs = tsids
        durablePeriods = periods
        durableDays = days
    }
}

@Suite struct EngineCrashTests {
    private static let path = "/data/storage"
    private static let triesAllOutcomes = ProcessInfo.processInfo.environment["ALL_CRASHES"] != nil

    /// A disk with a durable `/data`.
    private static func disk(
        _ recording: SimulatedFileSystem.Recording = .nothing, _ faults: FaultPlan = FaultPlan()
    ) throws -> SimulatedFileSystem {
        let files = SimulatedFileSystem()
        try files.makeDirectory("/data", parents: false)
        let disk = files.afterCrash(seed: 0, outcome: .nothingKept, recording: recording)
        disk.faults = faults
        return disk
    }

    /// A storage with its clock and sink.
    private struct Node {
        let engine: StorageEngine
        let clock: VirtualClock
        let sink = CrashSink()
        let files: SimulatedFileSystem

        init(_ files: SimulatedFileSystem, nowMs: Int64) throws(StorageError) {
            let environment = Environment.deterministic(seed: 9, startUnixMilliseconds: nowMs)
            self.files = files
            clock = environment.clock as! VirtualClock
            var options = StorageOptions()
            options.retentionMs = 400 * 86_400_000
            options.cacheBytesMax = 1 << 20
            options.concurrentAddRowsMax = 1
            options.table.shardCount = 2
            options.table.runBytesMax = 3000
            options.table.memoryBytesMax = 9000
            options.table.mergeWorkers = 1
            engine = try StorageEngine.open(path, options: options, files: files, environment: environment, sink: sink)
        }

        var nowMs: Int64 { clock.unixMilliseconds }

        /// Adds a row of each series, tells the progress what came of them.
        func add(_ series: [Int], daysBack: Int64 = 0, isReversed: Bool = false, _ progress: inout Progress)
            throws(StorageError)
        {
            // The timestamp tells the rows apart.
            let start = nowMs - daysBack * 86_400_000
            let rows = series.enumerated().map { position, number in
                MetricRow(
                    name: Series.raws[number][isReversed ? 1 : 0], timestampMs: start - Int64(position), value: 1)
            }
            defer { _ = sink.take() }
            try rows.withUnsafeBufferPointer { rows throws(StorageError) in try engine.addRows(rows, hint: 0) }
            let accepted = sink.take()
            // Rows whose series could not be written are dropped and counted; the call goes on.
            if accepted.count != series.count, !files.hasCrashed {
                progress.problems.append("\(accepted.count) rows of \(series.count)")
            }
            for row in accepted {
                let number = series[Int(start - row.timestampMs)]
                let before = progress.tsids[number]
                if let before, before != row.tsid, !progress.doomed.contains(before.metricID) {
                    progress.problems.append("series \(number) was \(before) and is \(row.tsid)")
                }
                progress.tsids[number] = row.tsid
                progress.periods[number] = progress.rotations
                progress.allIDs.insert(row.tsid.metricID)
                let fact = Progress.Fact(
                    series: number, id: row.tsid.metricID, date: DateMath.date(timestampMs: row.timestampMs))
                if progress.days[fact] == nil { progress.days[fact] = progress.rotations }
            }
        }
    }

    /// The script. Ends with the first error.
    private static func run(_ files: SimulatedFileSystem, _ progress: inout Progress) throws(StorageError) {
        var node = try Node(files, nowMs: progress.nowMs)
        defer { progress.nowMs = node.nowMs }
        func flush() throws(StorageError) {
            try node.engine.flush()
            progress.flushed()
        }
        func delete(_ series: [Int]) throws(StorageError) {
            let ids = series.compactMap { progress.tsids[$0]?.metricID }
            progress.doomed.formUnion(ids)
            try node.engine.deleteSeries(ids)
            progress.deleted.formUnion(ids)
            progress.flushed()
        }
        func rotate() throws(StorageError) {
            progress.rotations += 1
            try node.engine.rotateIndex()
        }
        func pass(_ seconds: Int64) throws(StorageError) {
            node.clock.advance(milliseconds: seconds * 1000)
            try node.engine.runDueTasks()
        }
        let some = Array(0..<12)
        try node.add(some, &progress)
        try node.add(some, isReversed: true, &progress)
        try flush()
        try pass(20)
        try node.add(some + [12, 13], daysBack: 1, &progress)
        try node.add([14, 15, 16], &progress)
        try pass(3600)  // the next day
        try node.add(Array(0..<18), &progress)
        try flush()
        try rotate()
        try node.add([0, 1, 2, 3, 18, 19], &progress)
        try flush()
        try delete([1, 4, 18])
        try node.add([1, 2, 18, 20], isReversed: true, &progress)
        try pass(15)
        try node.add(Array(0..<22), &progress)
        try node.engine.settle()
        progress.flushed()
        try node.add([22, 23], &progress)
        try node.engine.close()
        progress.flushed()
        // A day later: rows of a day meet one rotation at most, since the sets of active series outlive rotations.
        node = try Node(files, nowMs: node.nowMs + 86_400_000)
        try node.add(Array(0..<25), &progress)
        try flush()
        try rotate()
        try node.add([5, 6, 7, 26], &progress)
        try delete([7, 26, 8])
        try node.add([7, 8, 9, 27], isReversed: true, &progress)
        try flush()
        try node.add([28], &progress)
        try node.engine.close()
        progress.flushed()
    }

    // MARK: checks

    private static func big(_ item: some Sequence<UInt8>) -> UInt64 { item.reduce(0) { $0 << 8 | UInt64($1) } }

    /// Durable items of a table, tag rows taken apart.
    private static func items(_ table: IndexTable) throws -> Set<[UInt8]> {
        var items: Set<[UInt8]> = []
        var cursor = table.table.cursor()
        while try cursor.next() {
            let item = [UInt8](cursor.item)
            guard item[0] == RowKind.tagToIDs || item[0] == RowKind.dateTagToIDs else {
                items.insert(item)
                continue
            }
            let row = try TagRow(cursor.item)
            for index in 0..<row.idCount {
                let start = row.prefixLength + 8 * index
                items.insert(Array(item[..<row.prefixLength]) + item[start..<(start + 8)])
            }
        }
        return items
    }

    /// What the tables hold.
    private struct Contents {
        /// TSIDs of names that are not deleted, of both tables.
        var tsids: [[UInt8]: Set<TSID>] = [:]
        var days: Set<[UInt64]> = []  // [date, id]
        var ids: Set<UInt64> = []
    }

    /// Reads both tables, each of which must consist of whole series and whole days.
    private static func read(_ engine: StorageEngine, _ context: String) throws -> Contents {
        var contents = Contents()
        let tables = engine.index.withTables { $0 }
        let both = [try items(tables.current), try items(tables.previous)]
        var names: [UInt64: [UInt8]] = [:]
        for item in both[0].union(both[1]) where item[0] == RowKind.idToName {
            names[big(item[9..<17])] = Array(item[17...])
        }
        var name = CanonicalName()
        for (number, table) in both.enumerated() {
            var rows = ItemList()
            for item in table {
                if item[0] == RowKind.nameToTSID {
                    let canonical = Array(item[1..<(item.count - 33)])
                    let tsid = Array(item.suffix(32)).withUnsafeBytes { TSID(loading: $0.baseAddress!) }
                    contents.ids.insert(tsid.metricID)
                    if !tables.deleted.contains(tsid.metricID) { contents.tsids[canonical, default: []].insert(tsid) }
                    try canonical.withUnsafeBytes { try name.load(canonical: $0) }
                    try SeriesRows.appendGlobal(name, tsid, to: &rows)
                } else if item[0] == RowKind.dateToID {
                    let (date, id) = (big(item[9..<17]), big(item[17...]))
                    contents.days.insert([date, id])
                    guard let canonical = names[id] else {
                        Issue.record("an entry of a day without a series: \(context)")
                        continue
                    }
                    try canonical.withUnsafeBytes { try name.load(canonical: $0) }
                    try SeriesRows.appendPerDay(name, date: date, metricID: id, to: &rows)
                }
            }
            let expected = Set((0..<rows.count).map { [UInt8](rows[$0]) })
            let found = table.filter { $0[0] != RowKind.tombstone }
            #expect(
                found == expected,
                "table \(number): \(found.subtracting(expected).count) rows too many, \(expected.subtracting(found).count) missing: \(context)"
            )
        }
        return contents
    }

    /// Opens the storage on a disk and checks what is there.
    private static func check(_ files: SimulatedFileSystem, _ before: Progress, _ context: String) throws {
        let node = try Node(files, nowMs: before.nowMs + 1000)
        let engine = node.engine
        #expect(before.problems == [], "\(context)")
        #expect(engine.damagedParts == [], "\(context)")
        let contents = try read(engine, context)
        #expect(contents.tsids.values.allSatisfy { $0.count == 1 }, "a name with two ids: \(context)")
        for id in before.deleted { #expect(engine.index.isDeleted(id), "\(context)") }

        // What must have survived: by name, by id, by day.
        for (number, tsid) in before.durableTSIDs
        where !before.doomed.contains(tsid.metricID) && before.durablePeriods[number]! >= before.rotations - 1 {
            #expect(contents.tsids[Series.canonicals[number]] == [tsid], "series \(number): \(context)")
            #expect(try engine.tsid(of: tsid.metricID, tenant: tsid.tenant) == tsid, "series \(number): \(context)")
            let name = try engine.metricName(of: tsid.metricID, tenant: tsid.tenant)
            #expect(name == Series.canonicals[number], "series \(number): \(context)")
        }
        for (fact, period) in before.durableDays where period >= before.rotations - 1 {
            #expect(contents.days.contains([fact.date, fact.id]), "\(fact): \(context)")
        }

        // All series come in once more, some of them new.
        var progress = Progress()
        progress.doomed = before.doomed
        try node.add(Array(0..<Series.count), &progress)
        try node.add(Array(0..<Series.count), daysBack: 2, isReversed: true, &progress)
        #expect(progress.problems == [], "\(context)")
        for (number, tsid) in progress.tsids {
            if let there = contents.tsids[Series.canonicals[number]]?.first {
                #expect(tsid == there, "series \(number): \(context)")
            } else {
                // Greater than all that were ever given, also than those that were lost.
                #expect(before.allIDs.allSatisfy { $0 < tsid.metricID }, "series \(number): \(context)")
                #expect(contents.ids.allSatisfy { $0 < tsid.metricID }, "series \(number): \(context)")
            }
            #expect(!before.deleted.contains(tsid.metricID), "series \(number): \(context)")
        }
        try engine.flush()
        let after = try read(engine, context)
        for (number, tsid) in progress.tsids {
            #expect(after.tsids[Series.canonicals[number]] == [tsid], "series \(number): \(context)")
        }
        for fact in progress.days.keys { #expect(after.days.contains([fact.date, fact.id]), "\(fact): \(context)") }
        try engine.close()
    }

    // MARK: tests

    /// The operations of an undisturbed run.
    private static func undisturbed() throws -> [FileOperation] {
        let files = try disk(.changes)
        var progress = Progress()
        try run(files, &progress)
        #expect(progress.problems == [] && progress.rotations == 2 && progress.durableTSIDs.count == 28)
        #expect(progress.deleted.count == 6)
        let record = files.record
        try check(files, progress, "undisturbed")
        return record
    }

    @Test(arguments: TestSeeds.thisRun.suffix(2)) func crashes(seed: UInt64) throws {
        let operations = try Self.undisturbed()
        var random = SplitMix64(seed: Seeds.derive(seed, "points"))
        #expect(operations.count > 300)
        for point in 1...operations.count {
            let files = try Self.disk(.nothing, FaultPlan(crashAtOperation: point))
            var progress = Progress()
            let error = #expect(throws: StorageError.self) { try Self.run(files, &progress) }
            #expect(files.hasCrashed && error != nil)
            let outcomes: [CrashOutcome] = [.nothingKept, .everythingKept, .bySeed]
            for outcome in Self.triesAllOutcomes ? outcomes + [.bySeed] : [outcomes[random.below(3)]] {
                let seed = random.next()
                let disk = files.afterCrash(seed: seed, outcome: outcome, recording: .nothing)
                try Self.check(
                    disk, progress, "crash at \(point), \(operations[point - 1]), \(outcome), seed \(seed)")
            }
        }
    }
}
