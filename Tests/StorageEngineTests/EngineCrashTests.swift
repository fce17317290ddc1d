// EngineCrashTests.swift - a fixed workload with a crash at many of its operations on files.
//
// What a flush had reported before the crash is there afterwards: the series under its name, with its TSID, on its days.
// No series is there by half, none has two ids because of the crash, and no id is given twice.

import Mergeset
import SeriesIndex
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct EngineCrashTests {
    private static let seriesCount = 48

    private static func series(_ number: Int, _ form: Int = 0) -> [UInt8] {
        let labels: [(key: [UInt8], value: [UInt8])] = [
            (Array("__name__".utf8), Array("a.b\(number % 3)".utf8)), (Array("job".utf8), Array("j".utf8)),
            (Array("instance".utf8), Array("host-\(number)".utf8)),
        ]
        return rawName(Tenant(bits: UInt64(number % 2)), form % 2 == 0 ? labels : labels.reversed())
    }

    private static var raws: [[UInt8]: [UInt8]] {
        (0..<seriesCount).reduce(into: [:]) { $0[canonicalName(series($1))!] = series($1) }
    }

    private struct Entry: Hashable {
        var number: Int
        var tsid: TSID
        var date: UInt64
    }

    private struct Progress {
        var seen: Set<Entry> = []
        var durable: Set<Entry> = []
        /// Ids whose deletion was asked for, and was reported.
        var deleting: Set<UInt64> = []
        var deleted: Set<UInt64> = []
        var isClosed = false
    }

    /// A disk with a durable `/data`.
    private static func disk(_ faults: FaultPlan = FaultPlan()) throws -> SimulatedFileSystem {
        let files = SimulatedFileSystem(recording: .nothing)
        try files.makeDirectory("/data", parents: false)
        let disk = files.afterCrash(seed: 0, outcome: .nothingKept, recording: .nothing)
        disk.faults = faults
        return disk
    }

    private static func options() -> StorageOptions {
        var options = StorageOptions.tiny(run: 1500, memory: 5000)
        options.table.mergesInBackground = true
        return options
    }

    /// Opens a storage and works on it until the end or the crash.
    private static func run(_ fixture: EngineFixture, _ progress: inout Progress) throws {
        let engine = fixture.engine
        for batch in 0..<20 {
            let rows = RowList()
            let first = batch * 2
            for number in first..<(first + 10) {
                rows.append(series(number, batch), fixture.nowMs - Int64(batch % 3) * Span.day, Double(number))
            }
            try engine.add(rows)
            for row in fixture.sink.takeRows() {
                let entry = Entry(
                    number: Int(row.value), tsid: row.tsid, date: DateMath.date(timestampMs: row.timestampMs))
                progress.seen.insert(entry)
            }
            if batch % 4 == 3 {
                try engine.flush()
                progress.durable = progress.seen
            }
            if batch == 9 { try engine.rotateIndex() }
            if batch == 13, let victim = progress.seen.map(\.tsid.metricID).max() {
                progress.deleting.insert(victim)
                try engine.deleteSeries([victim])
                progress.deleted.insert(victim)
                progress.durable = progress.seen
            }
            try fixture.move(Span.minute)
        }
        try engine.settle()
        try fixture.close()
        progress.isClosed = true
        progress.durable = progress.seen
    }

    @Test(arguments: TestSeeds.thisRun)
    func crashLosesNothingThatWasFlushed(seed: UInt64) throws {
        var random = SplitMix64(seed: Seeds.derive(seed, "crash"))
        let whole = try Self.disk()
        var progress = Progress()
        try Self.run(try EngineFixture(files: whole, options: Self.options()), &progress)
        let operations = whole.operationCount
        #expect(operations > 200)
        for _ in 0..<60 {
            try Self.check(crashAt: 1 + random.below(operations), seed: random.next())
        }
    }

    private static func check(crashAt operation: Int, seed: UInt64) throws {
        let comment = Comment(rawValue: "crash at operation \(operation), seed \(seed)")
        let files = try disk(FaultPlan(crashAtOperation: operation))
        var progress = Progress()
        let fixture: EngineFixture
        do {
            fixture = try EngineFixture(files: files, options: options())
            do { try run(fixture, &progress) } catch { _ = fixture.sink.takeRows() }
            if !progress.isClosed { try? fixture.engine.close() }
        } catch {
            // Not even opened: the storage starts on what is there.
            let left = files.afterCrash(seed: seed, recording: .nothing)
            let next = try EngineFixture(files: left, options: options())
            try next.engine.add((0..<seriesCount).map { (series($0), next.nowMs) })
            #expect(try next.contents().faults(raws: raws) == [], comment)
            try next.close()
            return
        }
        let left = files.afterCrash(seed: seed, recording: .nothing)
        fixture.clock.move(milliseconds: Span.minute)
        try fixture.open(on: left)
        #expect(fixture.engine.damagedParts == [], comment)
        try verify(fixture, progress, comment)
        try fixture.close()
        try fixture.open(on: left)
        try verify(fixture, progress, comment)
        try fixture.close()
    }

    private static func verify(_ fixture: EngineFixture, _ progress: Progress, _ comment: Comment) throws {
        let engine = fixture.engine
        func tables() throws -> [TableContents] { [try fixture.contents(), try fixture.contents(.previous)] }
        let before = try tables()
        for table in before { #expect(try table.faults(raws: raws) == [], comment) }
        for id in progress.deleted { #expect(engine.index.isDeleted(id), comment) }
        let days = before[0].days.union(before[1].days)
        for entry in progress.durable {
            #expect(days.contains(.init(date: entry.date, metricID: entry.tsid.metricID)), comment)
            let isDeleted = engine.index.isDeleted(entry.tsid.metricID)
            #expect(!isDeleted || progress.deleting.contains(entry.tsid.metricID), comment)
            if !isDeleted {
                #expect(try engine.tsid(of: entry.tsid.metricID, tenant: entry.tsid.tenant) == entry.tsid, comment)
                #expect(
                    try engine.metricName(of: entry.tsid.metricID, tenant: entry.tsid.tenant)
                        == canonicalName(series(entry.number)), comment)
            }
        }
        // Everything is sent again, in other forms.
        let rows = RowList()
        for number in 0..<seriesCount { rows.append(series(number, 1), fixture.nowMs, Double(number)) }
        try engine.add(rows)
        let used = Dictionary(grouping: progress.seen, by: \.number).mapValues { Set($0.map(\.tsid)) }
        let usedIDs = Set(progress.seen.map(\.tsid.metricID))
        for sample in fixture.sink.takeRows() {
            let number = Int(sample.value)
            let durable = progress.durable.filter { $0.number == number && !engine.index.isDeleted($0.tsid.metricID) }
            #expect(durable.allSatisfy { $0.tsid == sample.tsid }, comment)
            let isKnown = used[number]?.contains(sample.tsid) ?? false
            #expect(isKnown || !usedIDs.contains(sample.tsid.metricID), comment)
        }
        let after = try tables()
        for table in after { #expect(try table.faults(raws: raws) == [], comment) }
        var alive: [[UInt8]: Set<UInt64>] = [:]
        for name in after.flatMap(\.names) where !engine.index.isDeleted(name.tsid.metricID) {
            alive[name.canonical, default: []].insert(name.tsid.metricID)
        }
        #expect(alive.count == seriesCount && alive.values.allSatisfy { $0.count == 1 }, comment)
    }
}
