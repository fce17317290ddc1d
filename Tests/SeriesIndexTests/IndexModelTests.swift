// IndexModelTests.swift - one index against a dictionary: batches in any order of labels, flushes, rotations, deletions,
// days, and opening it again; and threads that do such things side by side.

import Mergeset
import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization
import TestSupport
import Testing

@testable import SeriesIndex

/// Names by number: several tenants, escapes, many tags; the same name in two orders of labels.
private struct NameSource {
    let seed: UInt64

    func raw(_ number: Int, _ order: Int = 0) -> [UInt8] {
        var random = SplitMix64(seed: Seeds.derive(seed, "name", number))
        var tags = (0..<(random.below(20) == 0 ? 70 : random.below(5))).map { position in
            MetricName.Tag(
                key: Array(["job", "instance", "zone", "x"][position & 3].utf8)
                    + (position < 4 ? [] : [UInt8(position)]),
                value: (0..<random.below(6)).map { _ in UInt8(random.below(4)) + (random.below(3) == 0 ? 0 : 97) })
        }
        tags.append(.init(key: Array("n".utf8), value: Array("\(number)".utf8)))
        if order == 1 { tags.reverse() }
        return MetricName(
            tenant: Tenant(bits: UInt64(random.below(2))),
            group: Array(["up", "a.b.c", "", "\u{1}x"][random.below(4)].utf8),
            tags: tags
        ).raw
    }
}

@Suite struct IndexModelTests {
    /// A name's series: its TSID, and the rotation after which its rows were written last.
    private struct Series {
        var tsid: TSID
        var period: Int
    }

    @Test(arguments: TestSeeds.thisRun, [false, true]) func randomRuns(seed: UInt64, isSmall: Bool) throws {
        var random = SplitMix64(seed: seed)
        let names = NameSource(seed: seed)
        let files = SimulatedFileSystem(recording: .nothing)
        let environment = Environment.deterministic(seed: seed)
        let table = isSmall ? TableOptions.small(run: 3000, memory: 9000) : .small()
        func open() throws -> IndexFixture {
            try IndexFixture(on: files, environment, table: table, dayBytesMax: isSmall ? 0 : 1 << 20)
        }
        var fixture = try open()
        var model: [Int: Series] = [:]
        var days: [UInt64: Set<UInt64>] = [:]  // ids that the current table has for a day
        var period = 0
        var largest: UInt64 = 0
        var deleted: Set<UInt64> = []
        for step in 0..<250 {
            switch random.below(100) {
            case 0..<60:
                let wanted = (0..<(1 + random.below(30))).map { _ in random.below(200) }
                let raws = wanted.map { names.raw($0, random.below(2)) }
                let date = IndexFixture.day + UInt64(random.below(3))
                let results = try fixture.resolve(raws, date: date)
                #expect(results.count == raws.count && fixture.firstError == nil)
                for (number, result) in zip(wanted, results) {
                    if let series = model[number], series.period >= period - 1 {
                        #expect(result.tsid == series.tsid, "step \(step), name \(number)")
                        if series.period < period {
                            #expect(result.outcome == .carriedOver, "step \(step), name \(number)")
                        } else {
                            let isKnown = [.found, .pending, .created, .carriedOver].contains(result.outcome)
                            #expect(isKnown, "step \(step), name \(number)")
                        }
                    } else {
                        #expect(result.outcome == .created, "step \(step), name \(number)")
                        #expect(result.tsid.metricID > largest, "step \(step), name \(number)")
                        days[date, default: []].insert(result.tsid.metricID)
                    }
                    #expect(!deleted.contains(result.tsid.metricID))
                }
                // A name may be twice in the batch: the model changes afterwards.
                for (number, result) in zip(wanted, results) {
                    model[number] = Series(tsid: result.tsid, period: period)
                    largest = max(largest, result.tsid.metricID)
                }
            case 60..<75:
                // Days of series that are registered in the current table.
                let there = model.filter { $0.value.period == period }.keys.sorted()
                guard !there.isEmpty else { continue }
                var wanted: [(date: UInt64, tsid: TSID, raw: [UInt8])] = []
                var missing: Set<[UInt64]> = []
                for _ in 0..<(1 + random.below(40)) {
                    let number = there[random.below(there.count)]
                    let date = IndexFixture.day + UInt64(random.below(5))
                    guard let tsid = model[number]?.tsid else { continue }
                    wanted.append((date, tsid, names.raw(number, random.below(2))))
                    if !days[date, default: []].contains(tsid.metricID) { missing.insert([date, tsid.metricID]) }
                }
                #expect(try fixture.registerDays(wanted) == missing.count, "step \(step)")
                for entry in missing { days[entry[0], default: []].insert(entry[1]) }
            case 75..<88: try fixture.index.flush()
            case 88..<92:
                let numbers = (0..<3).map { _ in random.below(200) }
                let ids = Set(numbers.compactMap { model[$0]?.tsid.metricID })
                #expect(try fixture.index.delete(Array(ids)) {} == ids.count)
                deleted.formUnion(ids)
                for number in numbers { model[number] = nil }
            case 92..<95:
                try fixture.index.rotate {}
                period += 1
                days = [:]
            case 95..<98:
                try fixture.index.close()
                fixture = try open()
            default: try fixture.index.settle()
            }
        }
        // The rows of the current table are those of its series and days, complete.
        try fixture.index.flush()
        var expected: Set<[UInt8]> = []
        let items = try fixture.items()
        var canonicals: [UInt64: [UInt8]] = [:]
        for item in items.current + items.previous where item[0] == RowKind.idToName {
            canonicals[item[9..<17].reduce(0) { $0 << 8 | UInt64($1) }] = Array(item[17...])
        }
        for (number, series) in model where series.period == period {
            let own = days.filter { $0.value.contains(series.tsid.metricID) }.keys
            let name = try canonical(names.raw(number))
            expected.formUnion(try plainRows(canonical: name, series.tsid, isGlobal: true, dates: own))
            #expect(try fixture.index.metricName(of: series.tsid.metricID, tenant: series.tsid.tenant) == name)
            #expect(try fixture.index.tsid(of: series.tsid.metricID, tenant: series.tsid.tenant) == series.tsid)
        }
        let live = try normalised(items.current).filter { item in
            guard item[0] != RowKind.tombstone else { return false }
            let id = (item[0] == RowKind.idToName ? item[9..<17] : item.suffix(8)).reduce(0) { $0 << 8 | UInt64($1) }
            return !deleted.contains(id)
        }
        #expect(live == expected)
        try fixture.index.close()
    }

    /// An add that fails registers nothing of the series, and they can be registered later under other ids.
    @Test func aFullDiskRegistersNothing() throws {
        let files = SimulatedFileSystem(recording: .nothing)
        let fixture = try IndexFixture(on: files, table: .small(run: 2000, memory: 4000))
        files.faults = FaultPlan(capacityBytes: 1)
        var outcomes: [[UInt8]: IndexFixture.Resolved] = [:]
        var failures = 0
        for number in 0..<300 {
            let raw = rawName(number)
            let result = try fixture.resolve([raw])[0]
            if result.outcome == .failed {
                failures += 1
                #expect(fixture.firstError?.kind == .noSpace)
            } else {
                #expect(result.outcome == .created)
                outcomes[raw] = result
            }
        }
        #expect(failures > 100 && outcomes.count > 10)
        for (raw, result) in outcomes {
            #expect(try fixture.resolve([raw])[0] == .init(tsid: result.tsid, outcome: .pending))
        }
        files.faults = FaultPlan()
        let all = try fixture.resolve((0..<300).map { rawName($0) })
        for (number, result) in all.enumerated() {
            if let before = outcomes[rawName(number)] {
                #expect(result.tsid == before.tsid)
            } else {
                #expect(result.outcome == .created)
            }
        }
        try fixture.index.flush()
        var expected: Set<[UInt8]> = []
        for (number, result) in all.enumerated() {
            expected.formUnion(
                try plainRows(
                    canonical: canonical(rawName(number)), result.tsid, isGlobal: true, dates: [IndexFixture.day]))
        }
        #expect(try normalised(fixture.items().current) == expected)
        try fixture.index.close()
    }

    /// Series whose rows together would not fit a run are added in several batches.
    @Test func longNamesInOneBatch() throws {
        let fixture = try IndexFixture(on: SimulatedFileSystem(recording: .nothing))
        // A long group with many short tags: the composite rows of one series take megabytes.
        var raws: [[UInt8]] = []
        for number in 0..<6 {
            var name = MetricName("", [])
            name.group = [UInt8](repeating: 103, count: 12_000)
            for tag in 0..<100 {
                name.tags.append(.init(key: [UInt8(97 + tag % 20), UInt8(97 + tag / 20)], value: [UInt8(number)]))
            }
            raws.append(name.raw)
        }
        #expect(SeriesIndex.batchEnd(0, 6) { raws[$0].count } == 5)
        let results = try fixture.resolve(raws)
        #expect(results.allSatisfy { $0.outcome == .created })
        try fixture.index.flush()
        #expect(try fixture.resolve(raws).map(\.tsid) == results.map(\.tsid))
        try fixture.index.close()
    }

    @Test func batchesAreBoundInSeriesAndBytes() {
        #expect(SeriesIndex.batchEnd(0, 1) { _ in 0 } == 1)
        #expect(SeriesIndex.batchEnd(3, 5000) { _ in 0 } == 2003)
        #expect(SeriesIndex.batchEnd(3, 5000) { _ in 300 } == 2003)
        #expect(SeriesIndex.batchEnd(4990, 5000) { _ in 300 } == 5000)
        #expect(SeriesIndex.batchEnd(3, 5000) { _ in SeriesRows.nameBytesMax } == 4)
    }
}

@Suite struct SeriesIndexConcurrentTests {
    /// Threads resolve and register the same names while others flush, rotate and look up: one name, one TSID, for as long
    /// as the rotations leave it.
    @Test func onlyOneTSIDForAName() throws {
        let directory = try TemporaryDirectory()
        let files = RealFileSystem()
        let environment = Environment.live()
        var options = IndexOptions()
        options.table = .small(run: 5000, memory: 20_000)
        options.table.flushIntervalNanoseconds = 3_000_000
        options.table.mergesInBackground = true
        options.dayRegistryBytesMax = 0
        let key = FingerprintKey(drawing: environment.secrets("fingerprints"))
        let index = try SeriesIndex(
            directory: directory.path("indexdb"), damagedDirectory: directory.path("damaged"), options: options,
            key: key, files: files, environment: environment, log: { _ in })
        let names = NameSource(seed: 3)
        let nameCount = 400
        let canonicals = try (0..<nameCount).map { try canonical(names.raw($0)) }
        let problems = Protected<[String]>([])
        let tsids = Protected<[Int: TSID]>([:])
        let running = Atomic<Int>(3)
        let rotations = Atomic<Int>(0)
        @Sendable func note(_ text: String) { problems.withLock { $0.append(text) } }

        let writers: [@Sendable () -> Void] = (0..<3).map { thread in
            {
                var random = SplitMix64(seed: UInt64(thread))
                var batch = NameBatch()
                var workspace = ResolveWorkspace()
                var name = CanonicalName()
                for round in 0..<60 {
                    // Names are taken in turn, so that none is left alone for two rotations.
                    let first = round * 37 % nameCount
                    let wanted =
                        (0..<60).map { (first + $0 * (1 + random.below(2))) % nameCount }
                        + (0..<nameCount).filter { _ in random.below(6) == 0 }
                    batch.removeAll(rows: wanted.count)
                    for (row, number) in wanted.enumerated() {
                        canonicals[number].withUnsafeBytes { batch.append($0, row: row, date: 100) }
                    }
                    batch.sort(key)
                    let raws = wanted.map { names.raw($0) }
                    index.withTables { tables in
                        let policy = NewSeriesPolicy(hint: thread)
                        _ = index.resolve(&batch, tables, policy, &workspace)
                        var claims: [DayClaim] = []
                        for position in 0..<batch.nameCount {
                            let tsid = batch.tsid(position)
                            batch.forEachRow(position) { row, _ in
                                let known = tsids.withLock { known in
                                    let before = known[wanted[row]]
                                    if before == nil { known[wanted[row]] = tsid }
                                    return before ?? tsid
                                }
                                if known != tsid { note("name \(wanted[row]): \(known) and \(tsid)") }
                                claims.append(DayClaim(date: 100 + UInt64(row & 3), tsid: tsid, row: row))
                            }
                            if batch.outcome(position) == .failed { note("\(String(describing: batch.firstError))") }
                        }
                        let result = claims.withUnsafeMutableBufferPointer { claims in
                            raws.withUnsafeBytesOfEach { raw in
                                index.registerDays(claims, tables, hint: thread, raw: raw, &name, &workspace)
                            }
                        }
                        if let error = result.error { note("\(error)") }
                    }
                }
                running.wrappingSubtract(1, ordering: .releasing)
            }
        }
        let flusher: @Sendable () -> Void = {
            while running.load(ordering: .acquiring) > 0 {
                do { try index.flush() } catch { note("flush: \(error)") }
            }
        }
        let reader: @Sendable () -> Void = {
            while running.load(ordering: .acquiring) > 0 {
                for (_, tsid) in tsids.withLock({ $0 }) {
                    do {
                        if let found = try index.tsid(of: tsid.metricID, tenant: tsid.tenant), found != tsid {
                            note("\(found) instead of \(tsid)")
                        }
                        _ = index.dayMetrics
                        _ = index.tableMetrics
                    } catch { note("lookup: \(error)") }
                }
            }
        }
        // One rotation, in the middle: series of the first half live on in the previous table.
        let rotator: @Sendable () -> Void = {
            while tsids.withLock({ $0.count }) < nameCount { index.waitForBatches() }
            do { try index.rotate {} } catch { note("rotate: \(error)") }
            rotations.store(1, ordering: .releasing)
        }
        let threads = (writers + [flusher, reader, rotator]).enumerated().map { Thread.start("index-\($0)", $1) }
        for thread in threads { thread.join() }
        #expect(problems.withLock { $0 } == [])
        #expect(rotations.load(ordering: .acquiring) == 1)
        // Every name has one TSID in the tables, and every entry of a day stands there once.
        try index.flush()
        let tables = index.withTables { $0 }
        for table in [tables.current, tables.previous] {
            let items = try table.table.items()
            let nameRows = items.filter { $0[0] == RowKind.nameToTSID }
            #expect(Set(nameRows.map { $0.dropLast(32) }).count == nameRows.count)
            let dayRows = items.filter { $0[0] == RowKind.dateToID }
            #expect(Set(dayRows).count == dayRows.count)
        }
        try index.close()
    }
}

extension [[UInt8]] {
    /// Calls `body` with a function that gives the bytes of each element, in memory that lives as long as the call.
    fileprivate func withUnsafeBytesOfEach<Result>(
        _ body: (_ raw: (Int) -> UnsafeRawBufferPointer) -> Result
    ) -> Result {
        var bytes = RawBuffer()
        var offsets = [0]
        for element in self {
            bytes.append(element)
            offsets.append(bytes.count)
        }
        let base = UnsafeRawPointer(bytes.base)
        return body { UnsafeRawBufferPointer(start: base + offsets[$0], count: offsets[$0 + 1] - offsets[$0]) }
    }
}
