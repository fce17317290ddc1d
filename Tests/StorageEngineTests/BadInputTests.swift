// BadInputTests.swift - rows that are refused, a sink that fails, a disk that is full, and clocks that jump.

import Mergeset
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct BadInputTests {
    private static func series(_ number: Int, _ form: Int = 0) -> [UInt8] {
        let labels = [("job", "j"), ("instance", "host-\(number)"), ("zone", "z\(number % 3)")]
        let ordered = form % 2 == 0 ? labels : labels.reversed()
        return rawName(
            Tenant(bits: 0),
            [(Array("__name__".utf8), Array("metric_\(number % 4)".utf8))]
                + ordered.map { (Array($0.0.utf8), Array($0.1.utf8)) })
    }

    private static func raws(_ numbers: Range<Int>) -> [[UInt8]: [UInt8]] {
        var result: [[UInt8]: [UInt8]] = [:]
        for number in numbers { if let name = canonicalName(series(number)) { result[name] = series(number) } }
        return result
    }

    private static let longName = rawName(
        Tenant(bits: 0), (0..<5).map { (Array("l\($0)".utf8), Array(repeating: UInt8(ascii: "x"), count: 14_000)) })

    // MARK: rows

    @Test func refusedRowsAreCountedAndTheRestIsStored() throws {
        let fixture = try EngineFixture()
        let engine = fixture.engine
        let now = fixture.nowMs
        let rows = RowList()
        rows.append(Self.series(0), now)
        rows.append(Array(Self.series(1).dropLast()), now)
        rows.append(Self.series(1), now, .nan)
        rows.append(Self.series(1), now, Double(bitPattern: 0x7FF0_0000_0000_0002))
        rows.append(Self.series(1), now - 32 * Span.day)
        rows.append(Self.series(1), now + 2 * Span.day + 1)
        rows.append(Self.series(1), now + 2 * Span.day)
        rows.append(Self.series(1), now - 31 * Span.day)
        rows.append(Self.series(1), now - 31 * Span.day - 1)
        rows.append([], now)
        rows.append([1, 2, 3], now)
        rows.append([1, 2, 3], now)
        rows.append(Self.longName, now)
        rows.append(Self.longName, now)
        rows.append(Self.series(2), .min)
        rows.append(Self.series(2), .max)
        rows.append(rawName(Tenant(bits: 5), []), now)  // a tenant alone is a name
        try engine.add(rows)
        let metrics = engine.metrics
        #expect(metrics.rowsAdded == 17)
        #expect(metrics.rowsInvalidName == 4 && metrics.rowsTooLongName == 2 && metrics.rowsNaN == 1)
        #expect(metrics.rowsTooOld == 3 && metrics.rowsTooNew == 2 && metrics.rowsFailed == 0)
        #expect(metrics.newSeriesCreated == 3)
        #expect(fixture.sink.takeRows().count == 5)
        // Only the first warning of a block, and none for five seconds.
        #expect(fixture.log.all.count == 1)
        #expect(fixture.log.all[0].hasPrefix("warn: cannot insert row with too small timestamp \(now - 32 * Span.day)"))
        #expect(fixture.log.all[0].contains("metricName: AccountID=0, ProjectID=0, metric_1{job=\"j\""))
        try engine.add(rows)
        #expect(fixture.log.all.count == 1)
        fixture.clock.move(milliseconds: 5001)
        try engine.add([(Self.longName, now)])
        #expect(fixture.log.all.count == 2 && fixture.log.all[1].contains("70029 bytes in canonical form"))
        try fixture.close()
    }

    @Test func emptyNameInTheFirstRow() throws {
        let fixture = try EngineFixture()
        try fixture.engine.add([([], fixture.nowMs), ([], fixture.nowMs), (Self.series(0), fixture.nowMs)])
        #expect(fixture.engine.metrics.rowsInvalidName == 2 && fixture.engine.metrics.rowsAdded == 3)
        #expect(fixture.sink.takeRows().count == 1)
        try fixture.close()
    }

    @Test func longestNameIsStoredAndTheNextByteIsNot() throws {
        let fixture = try EngineFixture()
        func name(_ canonicalCount: Int) -> [UInt8] {
            // tenant 8, group "m" 2, then "k" 2 and its value 1 + bytes.
            rawName("m", ["k": String(repeating: "v", count: canonicalCount - 8 - 2 - 2 - 1)])
        }
        for (count, isStored) in [(65_502, true), (65_503, false)] {
            #expect(canonicalName(name(count))?.count == count)
            try fixture.engine.add([(Self.series(0), fixture.nowMs), (name(count), fixture.nowMs)])
            #expect(fixture.sink.takeRows().count == (isStored ? 2 : 1))
        }
        #expect(fixture.engine.metrics.rowsTooLongName == 1 && fixture.engine.metrics.newSeriesCreated == 2)
        let names = [canonicalName(name(65_502))!: name(65_502), canonicalName(Self.series(0))!: Self.series(0)]
        #expect(try fixture.contents().faults(raws: names) == [])
        try fixture.close()
    }

    /// The rows of this block take more bytes than a run of a table can hold: each name has a long group, and its tags
    /// stand behind the group once more.
    @Test func blockOfVeryWideSeries() throws {
        var options = StorageOptions.tiny(run: 4 << 20, memory: 16 << 20)
        options.table.gathersTagRows = false
        options.table.mergesInBackground = false
        let fixture = try EngineFixture(options: options)
        let rows = RowList()
        let group = Array("g".utf8) + Array(repeating: UInt8(ascii: "w"), count: 30_000)
        let labels = (0..<25).map { (key: Array("label\($0)".utf8), value: Array("v".utf8)) }
        for number in 0..<700 {
            rows.append(
                rawName(
                    Tenant(bits: 0),
                    [(Array("__name__".utf8), group)] + labels + [(Array("n".utf8), Array("\(number)".utf8))]),
                fixture.nowMs)
        }
        try fixture.engine.add(rows)
        #expect(fixture.engine.metrics.rowsFailed == 0)
        #expect(fixture.sink.takeRows().count == 700)
        #expect(fixture.engine.metrics.newSeriesCreated == 700)
        try fixture.close()
    }

    @Test func registerMetricNamesTakesWhatItCan() throws {
        let fixture = try EngineFixture()
        let engine = fixture.engine
        let now = fixture.nowMs
        for bad in [[], [1, 2, 3], Self.longName] as [[UInt8]] {
            #expect(throws: StorageError.self) { try engine.register([(Self.series(1), now), (bad, now)]) }
        }
        #expect(engine.metrics.newSeriesCreated == 1)
        // Neither retention nor the day of the first registration limits it.
        try engine.register([(Self.series(1, 1), 0), (Self.series(2), now + 40 * Span.day), (Self.series(1), now)])
        #expect(engine.metrics.newSeriesCreated == 2)
        let contents = try fixture.contents()
        #expect(Set(contents.days.map(\.date)) == [0, UInt64(now / Span.day), UInt64(now / Span.day + 40)])
        #expect(contents.days.count == 3)
        #expect(try contents.faults(raws: Self.raws(0..<3)) == [])
        #expect(fixture.sink.takeCalls().isEmpty && engine.metrics.rowsAdded == 0)
        try fixture.close()
    }

    @Test func failingSinkDoesNotStopTheIndex() throws {
        let fixture = try EngineFixture()
        let engine = fixture.engine
        fixture.sink.fail(StorageError(.noSpace, "no room for samples"))
        do {
            try engine.add([(Self.series(0), fixture.nowMs)])
            Issue.record("the sink had failed")
        } catch {
            #expect(error.kind == .noSpace)
            #expect(
                error.message
                    == "error occurred during rows addition: cannot add rows to table: no room for samples")
        }
        #expect(engine.metrics.rowsAdded == 0 && engine.metrics.newSeriesCreated == 1)
        #expect(engine.metrics.addRowsCurrent == 0)
        // Later blocks of the call are tried all the same, and the day is registered.
        #expect(try fixture.contents().days.count == 1)
        fixture.sink.fail(nil)
        try engine.add([(Self.series(0), fixture.nowMs)])
        #expect(engine.metrics.rowsAdded == 1 && engine.metrics.newSeriesCreated == 1)
        try fixture.close()
    }

    // MARK: limits

    /// Stand-ins for the limiter refuse nothing.
    private static var limiterWorks: Bool {
        let limiter = SeriesLimiter(limit: 1, periodNanoseconds: 1 << 40, clock: TestClock(unixMilliseconds: 0))
        return !(0..<50).allSatisfy { limiter.add(UInt64($0)) }
    }

    @Test(.enabled(if: limiterWorks), arguments: [true, false])
    func limitsOfSeriesCountEveryRow(isHourly: Bool) throws {
        var options = StorageOptions.tiny()
        if isHourly { options.hourlySeriesMax = 64 } else { options.dailySeriesMax = 64 }
        let fixture = try EngineFixture(options: options)
        let engine = fixture.engine
        func add(_ numbers: Range<Int>) throws -> Set<Int> {
            let rows = RowList()
            for _ in 0..<2 {
                for number in numbers { rows.append(Self.series(number), fixture.nowMs, Double(number)) }
            }
            try engine.add(rows)
            let samples = fixture.sink.takeRows()
            let accepted = Set(samples.map { Int($0.value) })
            #expect(samples.count == 2 * accepted.count)
            return accepted
        }
        #expect(try add(0..<64).count == 64)
        #expect(engine.metrics.rowsOverHourlyLimit == 0 && engine.metrics.rowsOverDailyLimit == 0)
        // A Bloom filter lets a few series pass that it should refuse.
        let passed = try add(64..<104).count
        #expect(passed < 10)
        var metrics = engine.metrics
        #expect(metrics.rowsOverHourlyLimit == (isHourly ? UInt64(80 - 2 * passed) : 0))
        #expect(metrics.rowsOverDailyLimit == (isHourly ? 0 : UInt64(80 - 2 * passed)))
        // Refused series are not registered, known ones go on, and refused rows are no failures.
        #expect(metrics.newSeriesCreated == UInt64(64 + passed) && metrics.rowsFailed == 0 && metrics.rowsAdded == 208)
        #expect(try fixture.contents().names.count == 64 + passed)
        #expect(fixture.log.all.first?.contains(isHourly ? "maxHourlySeries=64" : "maxDailySeries=64") == true)
        #expect(try add(0..<64).count == 64)
        // Series that the index knows, in a form that the cache does not know: carried over after a rotation.
        try engine.rotateIndex()
        #expect(try add(0..<64).count == 64)
        fixture.clock.move(milliseconds: (isHourly ? 1 : 24) * Span.hour)
        let before = engine.metrics
        #expect(try add(64..<104).count == 40)
        metrics = engine.metrics
        #expect(metrics.rowsOverHourlyLimit == before.rowsOverHourlyLimit)
        #expect(metrics.rowsOverDailyLimit == before.rowsOverDailyLimit)
        try fixture.close()
    }

    // MARK: full disk

    @Test(arguments: TestSeeds.thisRun)
    func fullDiskWhileAdding(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let files = SimulatedFileSystem(recording: .nothing)
        let fixture = try EngineFixture(files: files, options: .tiny(run: 2048, memory: 6000))
        let engine = fixture.engine
        var tsids: [Int: TSID] = [:]
        func note(_ rows: [SampleRow]) {
            for row in rows {
                let number = Int(row.value)
                #expect(tsids[number] == nil || tsids[number] == row.tsid)
                tsids[number] = row.tsid
            }
        }
        func add(_ numbers: [Int], day: Int64 = 0, form: Int = 0) -> StorageError? {
            let rows = RowList()
            for number in numbers {
                rows.append(Self.series(number, form), fixture.nowMs - day * Span.day, Double(number))
            }
            defer { note(fixture.sink.takeRows()) }
            do throws(StorageError) { try engine.add(rows) } catch { return error }
            return nil
        }
        #expect(add(Array(0..<40)) == nil)
        try engine.flush()
        let known = tsids

        files.faults = FaultPlan(capacityBytes: files.usedSpaceBytes + random.below(5000))
        var errors: [StorageError] = []
        var next = 40
        for _ in 0..<60 {
            let numbers = (0..<12).map { _ in
                next += 1
                return next - 1
            }
            if let error = add(numbers + [random.below(40)], form: random.below(2)) { errors.append(error) }
            // Known series on another day.
            if let error = add((0..<20).map { _ in random.below(40) }, day: Int64(1 + random.below(5))) {
                errors.append(error)
            }
        }
        #expect(engine.metrics.rowsFailed > 0)
        #expect(!errors.isEmpty && errors.allSatisfy { $0.kind == .noSpace })
        #expect(throws: StorageError.self) { try engine.flush() }
        #expect(throws: StorageError.self) { try engine.settle() }
        for (number, tsid) in known { #expect(tsids[number] == tsid) }
        #expect(fixture.log.all.contains { $0.contains("cannot obtain or create TSID") })

        files.faults = FaultPlan()
        try engine.flush()
        let before = engine.metrics.newSeriesCreated
        let missing = (0..<next).filter { tsids[$0] == nil }.count
        #expect(add(Array(0..<next), form: 1) == nil)
        #expect(engine.metrics.newSeriesCreated == before + UInt64(missing))
        for day in 1...5 as ClosedRange<Int64> { #expect(add(Array(0..<40), day: day) == nil) }
        #expect(tsids.count == next && Set(tsids.values).count == next)
        try check(fixture, tsids)
        try fixture.reopen()
        try check(fixture, tsids)
        let all = RowList()
        for number in 0..<next { all.append(Self.series(number), fixture.nowMs, Double(number)) }
        try fixture.engine.add(all)
        note(fixture.sink.takeRows())
        #expect(fixture.engine.metrics.newSeriesCreated == 0)
        try fixture.close()
    }

    private func check(_ fixture: EngineFixture, _ tsids: [Int: TSID]) throws {
        let contents = try fixture.contents()
        #expect(try contents.faults(raws: Self.raws(0..<tsids.count)) == [])
        #expect(Set(contents.names.map(\.tsid)) == Set(tsids.values))
        let today = DateMath.date(timestampMs: fixture.nowMs)
        for (number, tsid) in tsids {
            for day in 0...(number < 40 ? 5 : 0) as ClosedRange<UInt64> {
                #expect(contents.days.contains(TableContents.Day(date: today - day, metricID: tsid.metricID)))
            }
        }
    }

    @Test func fullDiskWhileRotatingAndDeleting() throws {
        let files = SimulatedFileSystem(recording: .nothing)
        let fixture = try EngineFixture(files: files)
        let engine = fixture.engine
        try engine.add((0..<10).map { (Self.series($0), fixture.nowMs) })
        try engine.flush()
        let tsids = fixture.sink.takeRows().map(\.tsid)
        let names = engine.index.withTables { [$0.previous.name, $0.current.name] }
        files.faults = FaultPlan(rules: [.on(.makeDirectory, .create, error: .noSpace)])
        #expect(throws: StorageError.self) { try engine.rotateIndex() }
        #expect(engine.index.withTables { [$0.previous.name, $0.current.name] } == names)
        #expect(engine.metrics.indexRotations == 0)
        // The tombstone is not durable, but no row gets the id from now on.
        #expect(throws: StorageError.self) { try engine.deleteSeries([tsids[0].metricID]) }
        #expect(engine.index.isDeleted(tsids[0].metricID))
        files.faults = FaultPlan()
        try engine.flush()
        try engine.rotateIndex()
        try engine.add((0..<10).map { (Self.series($0), fixture.nowMs) })
        #expect(engine.metrics.seriesCarriedOver == 9 && engine.metrics.newSeriesCreated == 20)
        try fixture.reopen()
        #expect(fixture.engine.metrics.deletedSeries == 1)
        try fixture.close()
    }

    /// A rotation that is due and fails must not cost rows.
    @Test func fullDiskWhenARotationIsDue() throws {
        let files = SimulatedFileSystem(recording: .nothing)
        let fixture = try EngineFixture(files: files)
        let engine = fixture.engine
        try engine.add([(Self.series(0), fixture.nowMs)])
        fixture.clock.move(milliseconds: engine.nextRotationMs - fixture.nowMs)
        files.faults = FaultPlan(rules: [.on(.makeDirectory, .create, error: .noSpace)])
        try engine.add([(Self.series(0), fixture.nowMs)])
        #expect(engine.metrics.rowsAdded == 2 && engine.metrics.indexRotations == 0)
        #expect(fixture.log.all.contains { $0.hasPrefix("error: a background update has failed") })
        files.faults = FaultPlan()
        try fixture.move(Span.minute)
        #expect(engine.metrics.indexRotations == 1)
        try engine.add([(Self.series(0), fixture.nowMs)])
        #expect(engine.metrics.seriesCarriedOver == 1)
        try fixture.close()
    }

    // MARK: clocks

    @Test func clockThatJumpsADay() throws {
        let fixture = try EngineFixture(startMs: EngineFixture.startMs + 10 * Span.hour)
        var seen: [Int: Set<UInt64>] = [:]
        func add(_ form: Int) throws {
            let rows = RowList()
            for number in 0..<50 { rows.append(Self.series(number, form), fixture.nowMs, Double(number)) }
            try fixture.engine.add(rows)
            for row in fixture.sink.takeRows() { seen[Int(row.value), default: []].insert(row.tsid.metricID) }
        }
        for (index, jump) in [0, Span.day, -Span.day, -Span.day, 2 * Span.day, Span.hour, -Span.hour].enumerated() {
            try fixture.move(jump)
            try add(index)
            if index % 3 == 1 { try fixture.reopen() }
            try add(index + 1)
            // New series after a jump back do not meet old ids.
            try fixture.engine.add([(rawName("new", ["jump": "\(index)"]), fixture.nowMs)])
            _ = fixture.sink.takeRows()
        }
        #expect(seen.count == 50 && seen.values.allSatisfy { $0.count == 1 })
        let contents = try fixture.contents()
        #expect(contents.names.count == 57 && Set(contents.names.map(\.tsid.metricID)).count == 57)
        #expect(contents.items.doubled == [])
        // Each day that the clock showed.
        let start = DateMath.date(timestampMs: EngineFixture.startMs)
        for ids in seen.values {
            for date in [start - 1, start, start + 1] {
                #expect(contents.days.contains(TableContents.Day(date: date, metricID: ids.first!)))
            }
        }
        try fixture.close()
    }
}
