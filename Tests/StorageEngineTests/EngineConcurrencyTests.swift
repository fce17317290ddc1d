// EngineConcurrencyTests.swift - threads that add the same new series in different forms while others flush, rotate,
// delete and read. Meant for the thread sanitizer as well.

import Glibc
import Mergeset
import SeriesIndex
import StorageFiles
import StorageRuntime
import Synchronization
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct EngineConcurrencyTests {
    private static let threads = 3
    private static let rounds = 40
    private static let namesPerRound = 24
    private static let overlap = 8

    /// The labels of series `number`, in the order of form `form`.
    private static func raw(_ number: Int, form: Int) -> [UInt8] {
        var labels: [(key: [UInt8], value: [UInt8])] = [
            (Array("__name__".utf8), Array("requests.\(number % 5)".utf8)), (Array("job".utf8), Array("j".utf8)),
            (Array("instance".utf8), Array("host-\(number)".utf8)), (Array("zone".utf8), [UInt8(number % 3)]),
        ]
        switch form % 3 {
        case 0: break
        case 1: labels.reverse()
        default: labels.swapAt(0, 2)
        }
        return rawName(Tenant(accountID: UInt32(number % 2), projectID: 0), labels)
    }

    private struct Outcome {
        /// Rows by the number of their series.
        var tsids: [Int: Set<TSID>] = [:]
        var rows = 0
    }

    /// Adds overlapping ranges of series from several threads while `body` runs, again and again, on one more.
    private static func run(
        _ fixture: EngineFixture, _ failures: Failures, beside body: @escaping @Sendable (_ pass: Int) throws -> Void
    ) -> Outcome {
        let engine = fixture.engine
        let now = fixture.nowMs
        let adding = Atomic<Int>(threads)
        let adders: [@Sendable () -> Void] = (0..<threads).map { thread in
            {
                for round in 0..<rounds {
                    let rows = RowList()
                    let first = max(0, round - 1) * overlap
                    for number in first..<(first + namesPerRound) {
                        rows.append(raw(number, form: thread), now, Double(number))
                        if number % 4 == 0 {
                            rows.append(raw(number, form: thread + 1), now - Span.day, Double(number))
                        }
                    }
                    failures.note("add") { try engine.add(rows, hint: thread == 0 ? nil : thread) }
                }
                adding.wrappingSubtract(1, ordering: .releasing)
            }
        }
        let other: @Sendable () -> Void = {
            var pass = 0
            while adding.load(ordering: .acquiring) > 0 {
                failures.note("beside") { try body(pass) }
                pass += 1
            }
        }
        together(adders + [other])
        var outcome = Outcome()
        for row in fixture.sink.takeRows() {
            outcome.tsids[Int(row.value), default: []].insert(row.tsid)
            outcome.rows += 1
        }
        return outcome
    }

    private static let rowsPerRound: Int = {
        (0..<rounds).reduce(0) { sum, round in
            let first = max(0, round - 1) * overlap
            return sum + (first..<(first + namesPerRound)).reduce(0) { $0 + ($1 % 4 == 0 ? 2 : 1) }
        }
    }()

    private static let seriesCount = (rounds - 2) * overlap + namesPerRound

    private static func fixture(_ directory: TemporaryDirectory) throws -> EngineFixture {
        var options = StorageOptions.tiny(run: 4096, memory: 20_000)
        options.table.flushIntervalNanoseconds = 2_000_000
        options.table.mergeWorkers = 2
        options.retentionMs = 0
        options.concurrentAddRowsMax = 8
        return try EngineFixture(
            files: RealFileSystem(), path: directory.path("storage"), startMs: EngineFixture.startMs + 5 * Span.hour,
            isLive: true, options: options)
    }

    private static var raws: [[UInt8]: [UInt8]] {
        var raws: [[UInt8]: [UInt8]] = [:]
        for number in 0..<seriesCount {
            let raw = raw(number, form: 0)
            if let canonical = canonicalName(raw) { raws[canonical] = raw }
        }
        return raws
    }

    private static func check(_ fixture: EngineFixture, _ outcome: Outcome) throws {
        #expect(outcome.rows == threads * rowsPerRound)
        #expect(outcome.tsids.count == seriesCount)
        let tables = [try fixture.contents(), try fixture.contents(.previous)]
        for table in tables { #expect(try table.faults(raws: raws) == []) }
        // Every series that is not deleted has its name row and both its days in one of the tables.
        let named = Set(tables.flatMap { $0.names.map(\.tsid) })
        let days = tables.reduce(into: Set<TableContents.Day>()) { $0.formUnion($1.days) }
        let today = DateMath.date(timestampMs: fixture.nowMs)
        for (number, tsids) in outcome.tsids {
            let alive = tsids.filter { !fixture.engine.index.isDeleted($0.metricID) }
            #expect(alive.count <= 1, "series \(number): \(alive)")
            for tsid in alive {
                #expect(named.contains(tsid))
                #expect(days.contains(TableContents.Day(date: today, metricID: tsid.metricID)))
            }
        }
        let metrics = fixture.engine.metrics
        #expect(metrics.rowsAdded == UInt64(outcome.rows))
        #expect(
            metrics.slowRowInserts
                == metrics.slowRowCauses.newSeries + metrics.slowRowCauses.cacheMiss + metrics.slowRowCauses.rotation)
    }

    @Test func concurrentAddsOfTheSameNewSeries() throws {
        let directory = try TemporaryDirectory()
        let fixture = try Self.fixture(directory)
        let failures = Failures()
        let engine = fixture.engine
        let outcome = Self.run(fixture, failures) { pass in
            switch pass % 4 {
            case 0: try engine.flush()
            case 1: _ = engine.metrics
            case 2: if pass == 6 { try engine.rotateIndex() }
            default: _ = try engine.tsid(of: engine.metrics.newSeriesCreated, tenant: Tenant(bits: 0))
            }
            sched_yield()
        }
        #expect(failures.all == [])
        for (number, tsids) in outcome.tsids { #expect(tsids.count == 1, "series \(number): \(tsids)") }
        // Yesterday's rows of every fourth series.
        try Self.check(fixture, outcome)
        #expect(engine.metrics.newSeriesCreated - engine.metrics.seriesCarriedOver == UInt64(Self.seriesCount))
        try fixture.reopen()
        try Self.check(fixture, outcome, afterReopen: true)
        try fixture.close()
    }

    private static func check(_ fixture: EngineFixture, _ outcome: Outcome, afterReopen: Bool) throws {
        let now = fixture.nowMs
        try fixture.engine.add(RowList((0..<seriesCount).map { (raw($0, form: 2), now) }))
        let rows = fixture.sink.takeRows()
        #expect(rows.count == seriesCount)
        let tsids = outcome.tsids.values.reduce(into: Set<TSID>()) { $0.formUnion($1) }
        for row in rows { #expect(tsids.contains(row.tsid)) }
        #expect(fixture.engine.metrics.newSeriesCreated == fixture.engine.metrics.seriesCarriedOver)
    }

    @Test func concurrentDeletionsWhileAdding() throws {
        let directory = try TemporaryDirectory()
        let fixture = try Self.fixture(directory)
        let failures = Failures()
        let engine = fixture.engine
        let deleted = Protected<Int>(0)
        let outcome = Self.run(fixture, failures) { pass in
            let contents = try TableContents(IndexItems(engine.currentTable))
            let victims = contents.names.enumerated().filter { $0.offset % 7 == pass % 7 }.map(\.element.tsid.metricID)
            let count = try engine.deleteSeries(victims)
            deleted.withLock { $0 += count }
            for id in victims { failures.require(engine.index.isDeleted(id), "\(id) is not deleted") }
            if pass % 3 == 0 { try engine.flush() }
            if pass == 4 { try engine.rotateIndex() }
        }
        #expect(failures.all == [])
        #expect(engine.metrics.deletedSeries == UInt64(deleted.withLock { $0 }))
        try Self.check(fixture, outcome)
        // A deleted id never comes back: not now, not after opening again.
        let ids = outcome.tsids.values.flatMap { $0 }.map(\.metricID)
        let gone = Set(ids.filter { engine.index.isDeleted($0) })
        try fixture.reopen()
        let now = fixture.nowMs
        try fixture.engine.add(RowList((0..<Self.seriesCount).map { (Self.raw($0, form: 1), now) }))
        for row in fixture.sink.takeRows() { #expect(!gone.contains(row.tsid.metricID)) }
        try fixture.close()
    }

    /// A rotation leaves names behind that the old table has not flushed; they are found while it flushes them.
    @Test func concurrentFlushOfTheOldTableAfterARotation() throws {
        let directory = try TemporaryDirectory()
        let fixture = try Self.fixture(directory)
        let engine = fixture.engine
        let failures = Failures()
        let now = fixture.nowMs
        for pass in 0..<60 {
            let flushed = RowList((0..<30).map { (rawName("f\($0)", ["pass": "\(pass)"]), now) })
            let unflushed = RowList((0..<30).map { (rawName("u\($0)", ["pass": "\(pass)"]), now) })
            try engine.add(flushed)
            try engine.flush()
            try engine.add(unflushed)
            try engine.rotateIndex()
            let tsids = Set(fixture.sink.takeRows().map(\.tsid))
            let old = engine.index.withTables { $0.previous.table }
            let all = RowList(
                (0..<60).map { (rawName($0 < 30 ? "f\($0)" : "u\($0 - 30)", ["pass": "\(pass)"]), now) })
            together([
                { failures.note("add") { try engine.add(all) } }, { failures.note("flush") { try old.flush() } },
            ])
            #expect(Set(fixture.sink.takeRows().map(\.tsid)) == tsids)
        }
        #expect(failures.all == [])
        try fixture.close()
    }

    @Test func concurrentFlushesRotationsAndDeletions() throws {
        let directory = try TemporaryDirectory()
        let fixture = try Self.fixture(directory)
        let engine = fixture.engine
        let failures = Failures()
        let now = fixture.nowMs
        let bodies: [@Sendable () -> Void] = [
            { for _ in 0..<12 { failures.note("rotate") { try engine.rotateIndex() } } },
            { for _ in 0..<8 { failures.note("rotate too") { try engine.rotateIndex() } } },
            { for _ in 0..<40 { failures.note("flush") { try engine.flush() } } },
            { for _ in 0..<15 { failures.note("settle") { try engine.settle() } } },
            { for id in 0..<20 { failures.note("delete") { try engine.deleteSeries([UInt64(id + 1)]) } } },
            {
                for round in 0..<40 {
                    failures.note("add") {
                        try engine.add(RowList((0..<10).map { (Self.raw($0 + round, form: round), now) }))
                    }
                    _ = engine.metrics
                }
            },
        ]
        together(bodies)
        #expect(failures.all == [])
        #expect(engine.metrics.indexRotations == 20)
        #expect(engine.metrics.rowsAdded == 400)
        #expect(try fixture.contents().faults(raws: Self.raws) == [])
        let current = engine.index.withTables { $0.current.name }
        let previous = engine.index.withTables { $0.previous.name }
        #expect(previous < current)
        try fixture.reopen()
        #expect(fixture.engine.index.withTables { $0.current.name } == current)
        #expect(fixture.engine.index.withTables { $0.previous.name } == previous)
        try fixture.close()
    }

    /// While the disk is full, entries of days fail for some threads; no other thread may take them for registered.
    @Test(arguments: TestSeeds.thisRun)
    func concurrentAddsOnAFullDisk(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let files = SimulatedFileSystem(recording: .nothing)
        var options = StorageOptions.tiny(run: 1024, memory: 3000)
        options.table.flushIntervalNanoseconds = 1_000_000
        options.retentionMs = 0
        options.concurrentAddRowsMax = 8
        let fixture = try EngineFixture(
            files: files, startMs: EngineFixture.startMs + 5 * Span.hour, isLive: true, options: options)
        let engine = fixture.engine
        let count = 60
        let failures = Failures()
        try engine.add(RowList((0..<count).map { (Self.raw($0, form: 0), fixture.nowMs) }))
        let ids = Set(fixture.sink.takeRows().map(\.tsid.metricID))
        var raws = Self.raws
        var junk = 0
        for _ in 0..<10 {
            try fixture.move(Span.day)
            let now = fixture.nowMs
            try engine.flush()
            files.faults = FaultPlan(capacityBytes: files.usedSpaceBytes + random.below(3000))
            // New series, until there is no memory left for them.
            let before = engine.metrics.rowsFailed
            while engine.metrics.rowsFailed == before {
                let raw = rawName("junk", ["number": "\(junk)"])
                raws[try #require(canonicalName(raw))] = raw
                try? engine.add([(raw, now)])
                junk += 1
            }
            let failed = engine.metrics.rowsFailed
            let errors = Protected<[StorageError]>([])
            // The series of the second and third thread are a part of those of the first.
            together(
                (0..<3).map { thread in
                    {
                        for _ in 0..<6 {
                            let rows = RowList()
                            for number in stride(from: 0, to: count, by: 1 + 2 * thread) {
                                rows.append(Self.raw(number, form: thread), now, Double(number))
                            }
                            do throws(StorageError) { try engine.add(rows, hint: thread) } catch {
                                errors.withLock { $0.append(error) }
                            }
                        }
                    }
                })
            errors.withLock { list in
                failures.require(list.allSatisfy { $0.kind == .noSpace }, "\(list)")
                failures.require(!list.isEmpty, "no call has failed")
            }
            failures.require(engine.metrics.rowsFailed >= failed, "a counter went back")
            files.faults = FaultPlan()
            try fixture.move(11 * Span.second)
            try engine.flush()
            try engine.add(RowList((0..<count).map { (Self.raw($0, form: 0), now) }))
            let contents = try fixture.contents()
            let date = DateMath.date(timestampMs: now)
            let missing = ids.filter { !contents.days.contains(.init(date: date, metricID: $0)) }
            #expect(missing == [])
            #expect(try contents.faults(raws: raws) == [])
        }
        #expect(failures.all == [])
        try fixture.close()
    }
}
