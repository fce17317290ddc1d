// EngineLifeTests.swift - single ways of a storage: blocks, days that change, options, opening and closing.

import Mergeset
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct EngineLifeTests {
    private static func series(_ number: Int) -> [UInt8] { rawName("m", ["instance": "host-\(number)"]) }

    private static func rows(_ numbers: Range<Int>, _ timestampMs: Int64) -> RowList {
        let rows = RowList()
        for number in numbers { rows.append(series(number), timestampMs, Double(number)) }
        return rows
    }

    private static func days(_ fixture: EngineFixture, _ table: WhichTable = .current) throws -> [UInt64: Int] {
        try fixture.contents(table).days.reduce(into: [:]) { $0[$1.date, default: 0] += 1 }
    }

    // MARK: blocks

    @Test func rowsAreHandedOnInBlocksOfEightThousand() throws {
        let fixture = try EngineFixture(options: .tiny(run: 1 << 20, memory: 4 << 20))
        let rows = RowList()
        for index in 0..<20_001 { rows.append(Self.series(index % 7), fixture.nowMs + Int64(index), Double(index)) }
        try fixture.engine.add(rows, precisionBits: 12)
        let calls = fixture.sink.takeCalls()
        #expect(calls.map(\.rows.count) == [8000, 8000, 4001])
        #expect(calls.allSatisfy { $0.precisionBits == 12 })
        #expect(fixture.engine.metrics.rowsAdded == 20_001 && fixture.engine.metrics.slowRowInserts == 7)
        // The second block knows all names: its rows keep their order.
        #expect(calls[1].rows.map { Int($0.value) } == Array(8000..<16_000))
        try fixture.close()
    }

    @Test func errorOfABlockDoesNotStopTheNext() throws {
        let fixture = try EngineFixture(options: .tiny(run: 1 << 20, memory: 4 << 20))
        fixture.sink.fail(StorageError(.noSpace, "full"))
        let rows = Self.rows(0..<9000, fixture.nowMs)
        #expect(throws: StorageError.self) { try fixture.engine.add(rows) }
        #expect(fixture.engine.metrics.newSeriesCreated == 9000 && fixture.engine.metrics.rowsAdded == 0)
        #expect(try Self.days(fixture).values.reduce(0, +) == 9000)
        try fixture.close()
    }

    @Test func idsFollowTheOrderOfNames() throws {
        let fixture = try EngineFixture(firstID: 5_000_000_000_000_000_000)
        let now = fixture.nowMs
        try fixture.engine.add([(rawName("c"), now), (rawName("a"), now), (rawName("b"), now), (rawName("a"), now)])
        let samples = fixture.sink.takeRows()
        #expect(samples.map { $0.tsid.metricID - 5_000_000_000_000_000_000 } == [0, 0, 1, 2])
        try fixture.close()
    }

    /// Every form of a name is slow once, however its rows are mixed with others.
    @Test func formsOfANameAreSlowOnceEach() throws {
        let fixture = try EngineFixture()
        let forms = [rawName("m", ["a": "1", "b": "2"]), rawName("m", ["b": "2", "a": "1"])]
        let other = rawName("other")
        let rows = RowList()
        for name in [forms[0], other, forms[0], other, forms[1], forms[1], other, forms[1]] {
            rows.append(name, fixture.nowMs)
        }
        try fixture.engine.add(rows)
        let metrics = fixture.engine.metrics
        #expect(metrics.slowRowInserts == 3 && metrics.newSeriesCreated == 2)
        #expect(metrics.slowRowCauses.newSeries == 2 && metrics.slowRowCauses.cacheMiss == 1)
        #expect(fixture.sink.takeRows().count == 8)
        try fixture.engine.add(rows)
        #expect(fixture.engine.metrics.slowRowInserts == 3)
        try fixture.close()
    }

    // MARK: days

    /// Series first seen in the last seconds of a day have their entries on the next one.
    @Test func midnightLosesNoDay() throws {
        let midnight = EngineFixture.startMs + Span.day
        let fixture = try EngineFixture(startMs: midnight - 30 * Span.second)
        let engine = fixture.engine
        let date = UInt64(midnight / Span.day)
        try engine.add(Self.rows(0..<20, fixture.nowMs))
        try fixture.move(25 * Span.second)
        try engine.add(Self.rows(0..<40, fixture.nowMs))
        // The hour sets of the old day are still the published ones, and what waits for them comes late.
        fixture.clock.move(milliseconds: 4 * Span.second)
        try engine.add(Self.rows(0..<60, fixture.nowMs))
        fixture.clock.move(milliseconds: 2 * Span.second)
        try engine.add(Self.rows(0..<60, fixture.nowMs))
        #expect(try Self.days(fixture)[date] == 60)
        for _ in 0..<20 {
            try fixture.move(5 * Span.second)
            try engine.add(Self.rows(0..<70, fixture.nowMs))
        }
        #expect(try Self.days(fixture)[date - 1] == 60)
        #expect(try Self.days(fixture)[date] == 70)
        #expect(try fixture.contents().items.doubled == [])
        try fixture.close()
    }

    /// During a day more and more series are registered for the next one, so midnight is no burst.
    @Test func nextDayIsFilledAhead() throws {
        let count = 600
        // Ids with low bits all over their range: one series every hundred ids.
        let fixture = try EngineFixture(
            startMs: EngineFixture.startMs + 30 * Span.minute, firstID: 1 << 60,
            options: .tiny(run: 1 << 16, memory: 1 << 18))
        let engine = fixture.engine
        for number in 0..<count {
            _ = engine.environment.ids.reserve(109)
            try engine.add(Self.rows(number..<(number + 1), fixture.nowMs))
        }
        let today = UInt64(fixture.nowMs / Span.day)
        var expected = 0
        for pass in 0..<8 {
            try fixture.move(15 * Span.second + (pass == 0 ? 0 : 3 * Span.hour))
            try engine.add(Self.rows(0..<count, fixture.nowMs))
            try fixture.move(15 * Span.second)
            try engine.add(Self.rows(0..<count, fixture.nowMs))
            let share = DateMath.dayShare(nowSeconds: UInt64(fixture.nowMs / 1000))
            let ids = (0..<UInt64(count)).map { (1 << 60) + 109 + $0 * 110 }
            expected = ids.filter { $0 & 0xFFFF < share }.count
            #expect(try Self.days(fixture)[today + 1] ?? 0 == expected)
            #expect(engine.metrics.nextDayPrefills == UInt64(expected))
        }
        #expect(expected > count / 2)
        // After midnight the rest is registered, and nothing twice.
        let before = engine.metrics
        try fixture.move(Span.day - fixture.nowMs % Span.day + 20 * Span.second)
        try engine.add(Self.rows(0..<count, fixture.nowMs))
        #expect(try Self.days(fixture) == [today: count, today + 1: count])
        #expect(try fixture.contents().items.doubled == [])
        #expect(engine.metrics.perDayEntriesWritten - before.perDayEntriesWritten == UInt64(count - expected))
        #expect(engine.metrics.slowPerDayInserts - before.slowPerDayInserts == UInt64(count - expected))
        try fixture.close()
    }

    @Test func rowsOfTheHourStopAskingOnceTheSetsKnowThem() throws {
        let fixture = try EngineFixture(startMs: EngineFixture.startMs + 10 * Span.minute)
        let engine = fixture.engine
        try engine.add(Self.rows(0..<30, fixture.nowMs))
        #expect(engine.metrics.hourMetricIDs.requests == 30 && engine.metrics.hourMetricIDs.misses == 30)
        try fixture.move(10 * Span.second)
        #expect(engine.metrics.hourMetricIDs.entries == 30)
        let before = engine.metrics.dateMetricIDCache.requests
        try engine.add(Self.rows(0..<30, fixture.nowMs))
        #expect(engine.metrics.hourMetricIDs.requests == 60 && engine.metrics.hourMetricIDs.misses == 30)
        // In the next hour of the day the set of the hour before answers.
        try fixture.move(Span.hour)
        try engine.add(Self.rows(0..<30, fixture.nowMs))
        #expect(engine.metrics.hourMetricIDs.misses == 60)
        #expect(engine.metrics.dateMetricIDCache.requests == before)
        try fixture.close()
    }

    // MARK: options

    @Test func withoutDaysOnlyGlobalRowsAreWritten() throws {
        var options = StorageOptions.tiny()
        options.registersPerDay = false
        let fixture = try EngineFixture(options: options)
        try fixture.engine.add(Self.rows(0..<10, fixture.nowMs))
        try fixture.engine.register([(Self.series(11), fixture.nowMs)])
        let contents = try fixture.contents()
        #expect(contents.names.count == 11 && contents.days.isEmpty)
        let raws = (0..<12).reduce(into: [[UInt8]: [UInt8]]()) { $0[canonicalName(Self.series($1))!] = Self.series($1) }
        #expect(try contents.faults(raws: raws) == [])
        #expect(fixture.engine.metrics.slowPerDayInserts == 0)
        try fixture.close()
    }

    @Test func newSeriesAreLoggedOnRequest() throws {
        var options = StorageOptions.tiny()
        options.logsNewSeries = true
        let fixture = try EngineFixture(options: options)
        try fixture.engine.add([
            (rawName("up", ["job": "a\nb"], tenant: Tenant(accountID: 3, projectID: 4)), fixture.nowMs)
        ])
        #expect(fixture.log.all == [#"new series created: AccountID=3, ProjectID=4, up{job="a\nb"}"#])
        try fixture.close()
    }

    /// Whatever makes new items visible, or hides some, raises the version of what searches see.
    @Test func searchVersionGrows() throws {
        let fixture = try EngineFixture()
        let engine = fixture.engine
        var last = engine.searchVersion
        func expectGrowth(_ what: Comment, _ body: () throws -> Void) throws {
            try body()
            #expect(engine.searchVersion > last, what)
            last = engine.searchVersion
        }
        try engine.add(Self.rows(0..<3, fixture.nowMs))
        try expectGrowth("flush by time") {
            fixture.clock.move(milliseconds: 5 * Span.second)
            engine.environment.scheduler.checkpoint()
        }
        let id = try #require(fixture.sink.takeRows().first).tsid.metricID
        try engine.add(Self.rows(3..<6, fixture.nowMs))
        try expectGrowth("flush") { try engine.flush() }
        try expectGrowth("deletion") { try engine.deleteSeries([id]) }
        try expectGrowth("rotation") { try engine.rotateIndex() }
        try fixture.close()
    }

    // MARK: open and close

    @Test func storageIsOpenOnce() throws {
        let fixture = try EngineFixture()
        #expect(throws: StorageError.self) {
            try StorageEngine.open(
                fixture.path, options: fixture.options, files: fixture.files, environment: .deterministic(),
                sink: CountingSampleSink())
        }
        try fixture.close()
        try fixture.engine.close()
        for call in [
            { try fixture.engine.add(Self.rows(0..<1, fixture.nowMs)) },
            { try fixture.engine.register([(Self.series(0), fixture.nowMs)]) },
            { try fixture.engine.flush() }, { try fixture.engine.rotateIndex() },
            { try fixture.engine.deleteSeries([1]) },
        ] as [() throws -> Void] {
            #expect(throws: StorageError.self) { try call() }
        }
        try fixture.engine.add([])
        try fixture.engine.runDueTasks()
        try fixture.open()
        try fixture.close()
    }

    @Test func tablesAreNamedInOrderWhateverTheClockSays() throws {
        let fixture = try EngineFixture()
        var names = fixture.engine.index.withTables { [$0.previous.name, $0.current.name] }
        for jump in [-Span.day, -20 * Span.day, Span.hour] {
            fixture.clock.move(milliseconds: jump)
            try fixture.reopen()
            try fixture.engine.rotateIndex()
            let now = fixture.engine.index.withTables { [$0.previous.name, $0.current.name] }
            #expect(now[0] == names[1] && now[1] > now[0])
            names = now
        }
        let listed = try fixture.files.list(fixture.path + "/indexdb").map(\.name)
        #expect(listed == names + ["snapshots"])
        try fixture.close()
    }

    private static func isTableName(_ name: String) -> Bool {
        name.utf8.count == 16 && name.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x46).contains($0) }
    }

    /// One table alone becomes the previous one, and more than two are reduced to the last two.
    @Test(arguments: [1, 3, 4])
    func tablesThatAreFound(count: Int) throws {
        let files = SimulatedFileSystem(recording: .nothing)
        let directory = "/data/storage/indexdb"
        try files.makeDirectory(directory, parents: true)
        let names = (0..<count).map { "16C5FC70A61F000\($0)" }
        for name in names { try files.makeDirectory(directory + "/" + name, parents: false) }
        for other in ["16c5fc70a61f0001", "16C5FC70A61F00010", "X"] {
            try files.makeDirectory(directory + "/" + other, parents: false)
        }
        let fixture = try EngineFixture(files: files)
        let found = fixture.engine.index.withTables { [$0.previous.name, $0.current.name] }
        if count == 1 {
            #expect(found[0] == names[0] && found[1] > names[0])
        } else {
            #expect(found == Array(names.suffix(2)))
        }
        let tables = try files.list(directory).map(\.name).filter { Self.isTableName($0) }
        #expect(tables == found)
        try fixture.close()
    }
}
