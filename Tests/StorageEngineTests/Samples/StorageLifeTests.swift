// StorageLifeTests.swift - a storage with its samples: rows come back, through searches, restarts, deletions, retention, a full
// disk and forced merges.

import SampleStore
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct StorageLifeTests {
    static func name(_ number: Int) -> [UInt8] { rawName("m", ["instance": "host-\(number)"]) }

    /// One row of each of the first series, `count` of them, at a moment.
    static func rows(_ series: Range<Int>, _ timestampMs: Int64, _ value: Double = 0) -> RowList {
        let rows = RowList()
        for number in series { rows.append(name(number), timestampMs, value + Double(number)) }
        return rows
    }

    static func fixture(_ options: StorageOptions = .tiny(), isLive: Bool = false) throws -> EngineFixture {
        try EngineFixture(isLive: isLive, options: options, keepsSamples: true)
    }

    @Test func rowsComeBackWithTheirNames() throws {
        let fixture = try Self.fixture()
        let engine = fixture.engine
        for step in 0..<5 { try engine.add(Self.rows(0..<30, fixture.nowMs + Int64(step) * 1000, Double(step) * 100)) }
        let sent = fixture.sink.takeRows()
        let tsids = Set(sent.map(\.tsid)).sorted()
        #expect(tsids.count == 30)
        // Nothing is visible that was not made so.
        #expect(try engine.rows(tsids).isEmpty)
        try engine.makeSearchable()
        #expect(engine.metrics.samples?.flushes == 0)
        #expect(try engine.rows(tsids) == sent.byID)
        try engine.flush()
        #expect(engine.metrics.samples?.memoryRows == 0)
        let found = try engine.search(tsids, minTimestampMs: 0, maxTimestampMs: .max).collect()
        #expect(
            found.mapValues(\.rows) == Dictionary(uniqueKeysWithValues: tsids.map { ($0, sent.byID[$0.metricID]!) }))
        let names = Set(found.values.map(\.name))
        #expect(names == Set((0..<30).map { canonicalName(Self.name($0))! }))
        // Ranges of time, and nothing at all.
        let now = fixture.nowMs
        #expect(try engine.rows(tsids, now + 5000, now + 9000).isEmpty)
        #expect(try engine.rows(tsids, now + 4000, now + 9000).count == 30)
        #expect(try engine.rows([]).isEmpty)
        #expect(try engine.rows(tsids, 10, 9).isEmpty)
        let metrics = engine.metrics
        #expect(metrics.searchesCurrent == 0 && metrics.seriesWithoutName == 0)
        try fixture.close()
    }

    @Test func searchesSkipSeriesWithoutAName() throws {
        let fixture = try Self.fixture()
        let engine = fixture.engine
        try engine.add(Self.rows(0..<4, fixture.nowMs))
        let tsids = fixture.sink.takeRows().map(\.tsid)
        // In the samples and not visible in the index yet.
        try engine.sampleTable().makeSearchable()
        #expect(try engine.rows(tsids).isEmpty)
        #expect(engine.metrics.seriesWithoutName == 4 && engine.metrics.blocksWithoutName == 4)
        try engine.flush()
        #expect(try engine.rows(tsids).count == 4)
        // Deleted series are gone at once, and their rows with the next merge.
        try engine.deleteSeries([tsids[1].metricID, tsids[2].metricID])
        #expect(try Set(engine.rows(tsids).keys) == Set([tsids[0].metricID, tsids[3].metricID]))
        #expect(engine.metrics.samples?.small.rows == 4)
        try engine.forceMerge()
        #expect(engine.metrics.samples?.small.rows == 2)
        #expect(engine.metrics.samples?.small.rowsDeleted == 2)
        #expect(try engine.rows(tsids).count == 2)
        try fixture.close()
    }

    @Test func restartFindsRowsAndCaches() throws {
        let fixture = try Self.fixture()
        try fixture.engine.add(Self.rows(0..<500, fixture.nowMs))
        let sent = fixture.sink.takeRows()
        try fixture.reopen()
        #expect(try fixture.engine.rows(sent.map(\.tsid)) == sent.byID)
        try fixture.engine.add(Self.rows(0..<500, fixture.nowMs + 15_000))
        let again = fixture.sink.takeRows()
        #expect(fixture.engine.metrics.tsidCache.misses == 0 && fixture.engine.metrics.newSeriesCreated == 0)
        #expect(Set(again.map(\.tsid)) == Set(sent.map(\.tsid)))
        // Without the caches the series are found in the index.
        try fixture.close()
        try fixture.files.replaceAtomically([], at: fixture.path + "/cache/reset_cache_on_startup")
        try fixture.open()
        #expect(try fixture.files.kind(of: fixture.path + "/cache") == nil)
        try fixture.engine.add(Self.rows(0..<500, fixture.nowMs + 30_000))
        #expect(fixture.engine.metrics.tsidCache.misses == 500 && fixture.engine.metrics.newSeriesCreated == 0)
        let last = fixture.sink.takeRows()
        try fixture.reopen()
        #expect(try fixture.engine.rows(sent.map(\.tsid)) == (sent + again + last).byID)
        try fixture.close()
    }

    @Test func storageThatIsBeingRestoredIsRefused() throws {
        let fixture = try Self.fixture()
        try fixture.engine.add(Self.rows(0..<5, fixture.nowMs))
        try fixture.close()
        let flag = fixture.path + "/restore-in-progress"
        try fixture.files.writeAtomically([UInt8](), to: flag)
        let error = #expect(throws: StorageError.self) { try fixture.open() }
        #expect(error?.kind == .locked && error?.message.contains("restore") == true)
        try fixture.files.removeFile(flag)
        // The refusal has left nothing locked, and the caches untouched.
        try fixture.open()
        try fixture.engine.add(Self.rows(0..<5, fixture.nowMs))
        #expect(fixture.engine.metrics.tsidCache.misses == 0)
        try fixture.close()
    }

    @Test func rowsAreRefusedWhileTheDiskIsNearlyFull() throws {
        let files = SimulatedFileSystem(recording: .nothing)
        let fixture = try EngineFixture(files: files, keepsSamples: true)
        let engine = fixture.engine
        try engine.add(Self.rows(0..<10, fixture.nowMs))
        let sent = fixture.sink.takeRows()
        files.faults = FaultPlan(freeSpaceBytes: 9_999_999)
        // Nobody has looked yet.
        try engine.add(Self.rows(10..<11, fixture.nowMs))
        try fixture.move(31 * Span.second)
        #expect(engine.isReadOnly && engine.metrics.isReadOnly)
        let error = #expect(throws: StorageError.self) { try engine.add(Self.rows(0..<10, fixture.nowMs)) }
        #expect(error?.kind == .readOnly && error?.message.contains("9999999") == true)
        #expect(fixture.log.all.contains { $0.contains("switching the storage at /data/storage to read-only mode") })
        #expect(engine.metrics.rowsAdded == 11)
        // What was accepted is flushed, found, merged, copied and deleted.
        try engine.flush()
        #expect(try engine.rows(sent.map(\.tsid)) == sent.byID)
        try engine.register([(Self.name(77), fixture.nowMs)])
        _ = try engine.createSnapshot()
        try engine.forceMerge()
        try engine.deleteSeries([sent[0].tsid.metricID])
        files.faults = FaultPlan(freeSpaceBytes: 10_000_000)
        try fixture.move(29 * Span.second)
        #expect(engine.isReadOnly)
        try fixture.move(2 * Span.second)
        #expect(!engine.isReadOnly)
        try engine.add(Self.rows(0..<10, fixture.nowMs))
        // A look that fails changes nothing.
        files.faults = FaultPlan(rules: [.on(.freeSpace)])
        try fixture.move(31 * Span.second)
        try engine.add(Self.rows(0..<10, fixture.nowMs))
        // The first look is that of opening.
        files.faults = FaultPlan(freeSpaceBytes: 0)
        try fixture.reopen()
        #expect(fixture.engine.isReadOnly)
        try fixture.close()
    }

    @Test func retentionRemovesMonths() throws {
        var options = StorageOptions.tiny()
        options.retentionMs = 40 * Span.day
        let fixture = try Self.fixture(options)
        let engine = fixture.engine
        let january = fixture.nowMs + 10 * Span.day
        fixture.clock.move(milliseconds: 10 * Span.day)
        try engine.add(Self.rows(0..<20, january))
        let old = fixture.sink.takeRows()
        try engine.flush()
        for _ in 0..<50 { try fixture.move(Span.day) }
        try engine.add(Self.rows(0..<20, fixture.nowMs))
        let new = fixture.sink.takeRows()
        try engine.flush()
        // 60 days after the start of January its last row is out of the range, its partition is not.
        #expect(try engine.rows(old.map(\.tsid)) == new.byID)
        for _ in 0..<15 { try fixture.move(Span.day) }
        let samples = try #require(engine.metrics.samples)
        #expect(samples.partitionsDropped == 1 && samples.partitions == 1)
        #expect(try fixture.files.list(fixture.path + "/data/small").map(\.name) == ["2022_03", "snapshots"])
        try fixture.close()
    }

    @Test func forcedMergeOfSomeMonths() throws {
        let fixture = try Self.fixture()
        let engine = fixture.engine
        for step in 0..<4 {
            try engine.add(Self.rows(0..<50, fixture.nowMs + Int64(step)))
            try engine.add(Self.rows(0..<50, fixture.nowMs - 3 * Span.day + Int64(step)))
            try engine.flush()
        }
        let sent = fixture.sink.takeRows()
        func parts(_ month: String) throws -> Int {
            try ["small", "big"].reduce(0) { sum, side in
                sum
                    + (try fixture.files.list("\(fixture.path)/data/\(side)/\(month)")
                        .filter { $0.name.utf8.contains(UInt8(ascii: "_")) }.count)
            }
        }
        #expect(try parts("2021_12") == 4 && parts("2022_01") == 4)
        try engine.forceMerge(partitionPrefix: "2021")
        #expect(try parts("2021_12") == 1 && parts("2022_01") == 4)
        try engine.forceMerge(partitionPrefix: "2023")
        #expect(try parts("2022_01") == 4)
        try engine.forceMerge()
        #expect(try parts("2022_01") == 1)
        #expect(try engine.rows(sent.map(\.tsid)) == sent.byID)
        #expect(engine.metrics.samples?.activeForcedMerges == 0)
        try fixture.close()
        #expect(throws: StorageError.self) { try engine.forceMerge() }
    }

    @Test func withoutSamplesThereIsNothingToSearch() throws {
        let fixture = try EngineFixture()
        #expect(fixture.engine.metrics.samples == nil)
        #expect(try fixture.files.kind(of: fixture.path + "/data") == nil)
        for call in [
            { _ = try fixture.engine.search([], minTimestampMs: 0, maxTimestampMs: 1) },
            { _ = try fixture.engine.createSnapshot() }, { try fixture.engine.forceMerge() },
        ] as [() throws -> Void] {
            let error = #expect(throws: StorageError.self) { try call() }
            #expect(error?.kind == .invalidArgument)
        }
        try fixture.close()
    }

    @Test func searchesHaveADeadline() throws {
        let fixture = try Self.fixture()
        let engine = fixture.engine
        try engine.add(Self.rows(0..<3, fixture.nowMs))
        try engine.flush()
        let tsids = fixture.sink.takeRows().map(\.tsid).sorted()
        let now = fixture.clock.monotonicNanoseconds
        let search = try engine.search(
            tsids, minTimestampMs: 0, maxTimestampMs: .max, deadline: Deadline(monotonicNanoseconds: now + 5))
        fixture.clock.move(milliseconds: 1)
        let error = #expect(throws: StorageError.self) { _ = try search.next() }
        #expect(error?.kind == .deadlineExceeded)
        #expect(try !search.next())
        // An open search keeps what it sees when the storage is closed; names need the storage.
        let open = try engine.search(tsids, minTimestampMs: 0, maxTimestampMs: .max)
        #expect(try open.next())
        let first = try open.read().header.rowsCount
        #expect(first == 1)
        try fixture.close()
        let closed = #expect(throws: StorageError.self) { while try open.next() {} }
        #expect(closed?.kind == .closed)
    }

    @Test func searchesHaveNoMoreThanTheirPlaces() throws {
        var options = StorageOptions.tiny()
        options.concurrentSearchesMax = 1
        let fixture = try Self.fixture(options)
        let engine = fixture.engine
        let now = fixture.clock.monotonicNanoseconds
        // Inside of `find` the one place is taken.
        let search = try engine.search(minTimestampMs: 0, maxTimestampMs: 1) { () throws(StorageError) in
            do throws(StorageError) {
                _ = try engine.search(
                    [], minTimestampMs: 0, maxTimestampMs: 1, deadline: Deadline(monotonicNanoseconds: now))
                Issue.record("there was no place")
            } catch {
                #expect(error.kind == .overloaded)
            }
            return []
        }
        #expect(try !search.next())
        let metrics = engine.metrics
        #expect(metrics.searchesLimitReached == 1 && metrics.searchesTimeouts == 1 && metrics.searchesCapacity == 1)
        #expect(metrics.searchesCurrent == 0)
        // The place was given back when the search was made, also when `find` throws.
        let error = #expect(throws: StorageError.self) {
            _ = try engine.search(minTimestampMs: 0, maxTimestampMs: 1) { () throws(StorageError) -> [TSID] in
                throw StorageError(.corrupted, "no series")
            }
        }
        #expect(error?.kind == .corrupted && engine.metrics.searchesCurrent == 0)
        try fixture.close()
    }

    /// The samples' flushes make their series durable first, whatever the index is doing.
    @Test func durableRowsHaveDurableSeries() throws {
        let files = SimulatedFileSystem(recording: .nothing)
        try files.makeDirectory("/data", parents: false)
        var options = StorageOptions.tiny(run: 1 << 20, memory: 1 << 22)
        options.table.flushIntervalNanoseconds = 3_600_000_000_000
        options.samples.flushIntervalNanoseconds = 1_000_000_000
        let fixture = try EngineFixture(files: files, options: options, keepsSamples: true)
        try fixture.engine.add(Self.rows(0..<50, fixture.nowMs))
        let sent = fixture.sink.takeRows()
        fixture.clock.move(milliseconds: 2000)
        try fixture.engine.add(Self.rows(50..<51, fixture.nowMs))
        fixture.engine.environment.scheduler.checkpoint()
        #expect(fixture.engine.metrics.samples?.flushes == 1)
        let disk = files.afterCrash(seed: 3, outcome: .nothingKept, recording: .nothing)
        try fixture.open(on: disk)
        #expect(try fixture.engine.rows(sent.map(\.tsid)) == sent.byID)
        try fixture.close()
    }
}
