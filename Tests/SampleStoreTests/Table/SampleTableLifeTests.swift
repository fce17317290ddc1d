// SampleTableLifeTests.swift - one rule a test: when rows become searchable and durable, where they go, what retention,
// deduplication, deletion, forced merges and snapshots do.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SampleStore

@Suite struct SampleTableLifeTests {
    private static let start = TableFixture.start
    private static let day = TableFixture.dayMs

    /// One row of each of `series`, at `timestamp`.
    private static func scrape(_ series: Range<Int>, _ timestamp: Int64, _ value: Double = 1) -> [SampleRow] {
        series.map { Fixture.row($0, timestamp, value + Double($0)) }
    }

    // MARK: searchable, durable

    @Test func rowsAreSearchableWhenConvertedAndDurableWhenFlushed() throws {
        let fixture = try TableFixture()
        let rows = Self.scrape(0..<10, Self.start - 1000)
        try fixture.table.add(rows)
        #expect(try fixture.table.rows(0..<10).isEmpty)
        #expect(fixture.table.metrics.pendingRows == 10 && fixture.table.metrics.small.rows == 10)
        #expect(fixture.table.metrics.memoryBytes == 480)
        try fixture.table.makeSearchable()
        let expected = rows.map { Fixture.plain($0) }
        #expect(try fixture.table.rows(0..<10) == expected)
        #expect(fixture.table.metrics.pendingRows == 0 && fixture.table.metrics.memoryParts == 1)
        #expect(try Fixture.partPaths(TableFixture.directory, on: fixture.files).isEmpty)
        try fixture.table.flush()
        #expect(try fixture.table.rows(0..<10) == expected)
        #expect(fixture.table.metrics.memoryParts == 0 && fixture.table.metrics.memoryBytes == 0)
        #expect(try Fixture.plainRows(TableFixture.directory, on: fixture.files) == expected)
        #expect(fixture.table.metrics.small.rows == 10 && fixture.table.metrics.small.fileParts == 1)
        try fixture.reopen()
        #expect(try fixture.table.rows(0..<10) == expected)
        try fixture.table.close()
    }

    @Test func closingFlushes() throws {
        let fixture = try TableFixture()
        try fixture.table.add(Self.scrape(0..<5, Self.start))
        try fixture.reopen()
        #expect(try fixture.table.rows(0..<5).count == 5)
        try fixture.table.close()
        try fixture.table.close()  // twice is fine
        let calls: [() throws -> Void] = [
            { try fixture.table.add(Self.scrape(0..<1, 0)) }, { try fixture.table.flush() },
            { try fixture.table.settle() }, { try fixture.table.mergeAll() }, { try fixture.table.makeSearchable() },
            { try fixture.table.snapshot(name: "20211121000000-00000001") },
        ]
        for call in calls {
            let error = #expect(throws: StorageError.self) { try call() }
            #expect(error?.kind == .closed)
        }
        #expect(try fixture.table.rows(0..<5).isEmpty)
    }

    @Test func rowsAreFlushedAfterTheInterval() throws {
        let fixture = try TableFixture()
        try fixture.table.add(Self.scrape(0..<10, Self.start))
        fixture.advance(ms: 1999)
        fixture.environment.scheduler.checkpoint()
        #expect(fixture.table.metrics.pendingRows == 10)
        fixture.advance(ms: 1)
        fixture.environment.scheduler.checkpoint()
        #expect(fixture.table.metrics.pendingRows == 0 && fixture.table.metrics.flushes == 1)
        // Nothing to do: no further flush.
        fixture.advance(ms: 10_000)
        fixture.environment.scheduler.checkpoint()
        #expect(fixture.table.metrics.flushes == 1)
        try fixture.table.close()
    }

    @Test func aFlushHoldsEverythingInOnePart() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20))
        for round in 0..<40 {
            try fixture.table.add(Self.scrape(0..<20, Self.start + Int64(round) * 1000), hint: round)
            if round % 10 == 5 { try fixture.table.makeSearchable() }
        }
        #expect(fixture.table.metrics.memoryParts == 4)
        try fixture.table.flush()
        #expect(fixture.table.metrics.flushes == 1 && fixture.table.metrics.small.fileParts == 1)
        #expect(fixture.table.metrics.small.blocks == 20 && fixture.table.metrics.flushedRows == 800)
        try fixture.table.close()
    }

    @Test func memoryIsBounded() throws {
        let options = SampleTableOptions.tiny(memory: 48_000)
        let fixture = try TableFixture(options)
        for round in 0..<100 {
            try fixture.table.add(Self.scrape(0..<100, Self.start + Int64(round)))
            #expect(fixture.table.metrics.memoryBytes < 30_000)
        }
        // A flush begins at five eighths of the limit.
        #expect(fixture.table.metrics.flushes >= UInt64(10_000 * NumberedRows.rowBytes / 30_000))
        try fixture.table.close()
    }

    @Test func aFullDiskStopsAddingAndPasses() throws {
        let fixture = try TableFixture(.tiny(memory: 4800))
        try fixture.table.add(Self.scrape(0..<10, Self.start))
        try fixture.table.flush()
        fixture.simulated.faults = FaultPlan(rules: [.on(.write, error: .noSpace)])
        var added = 10
        var refusal: StorageError?
        for round in 1..<100 {
            do throws(StorageError) {
                try fixture.table.add(Self.scrape(0..<10, Self.start + Int64(round)))
                added += 10
            } catch {
                refusal = error
                break
            }
        }
        #expect(refusal?.kind == .noSpace && refusal?.path != nil)
        #expect(fixture.table.metrics.memoryBytes >= 7200 && added < 500)
        #expect(fixture.table.metrics.failures > 0 && fixture.table.metrics.stalls > 0)
        let flushError = #expect(throws: StorageError.self) { try fixture.table.flush() }
        #expect(flushError?.kind == .noSpace)
        // What is there can be read, and nothing of it is lost.
        #expect(try fixture.table.rows(0..<10).count == added)
        fixture.simulated.faults = FaultPlan()
        try fixture.table.add(Self.scrape(0..<10, Self.start + 1000))
        try fixture.table.flush()
        #expect(try fixture.table.rows(0..<10).count == added + 10)
        #expect(try Fixture.plainRows(TableFixture.directory, on: fixture.files).count == added + 10)
        try fixture.table.close()
    }

    // MARK: partitions

    @Test func rowsGoToTheirMonths() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20))
        let rows = (0..<200).map { index in
            Fixture.row(index % 7, Self.start - Int64(index % 5) * 30 * Self.day - Int64(index), Double(index))
        }
        try fixture.table.add(rows)
        try fixture.table.flush()
        #expect(tally(try fixture.table.rows(0..<7)) == tally(rows.map { Fixture.plain($0) }))
        #expect(
            tally(try Fixture.plainRows(TableFixture.directory, on: fixture.files))
                == tally(rows.map { Fixture.plain($0) }))
        let months = ["2021_07", "2021_08", "2021_09", "2021_10", "2021_11"]
        for side in ["small", "big"] {
            let names = try fixture.files.list(TableFixture.directory + "/" + side).map(\.name)
            #expect(names == months + ["snapshots"])
        }
        #expect(fixture.table.metrics.partitions == 5 && fixture.table.metrics.flushes == 5)
        // A range of time leaves partitions and parts alone.
        let october = try fixture.table.rows(0..<7, min: Self.start - 40 * Self.day, max: Self.start - 25 * Self.day)
        #expect(october.count == 40)
        try fixture.table.close()
    }

    @Test func rowsOutsideOfTheLimitsMakeNoPartition() throws {
        var options = SampleTableOptions.tiny()
        options.retentionMs = 10 * Self.day
        let fixture = try TableFixture(options)
        let inside = [
            Fixture.row(0, Self.start - 10 * Self.day, 1), Fixture.row(0, Self.start + 2 * Self.day, 2),
        ]
        let outside = [
            Fixture.row(0, Self.start - 40 * Self.day, 3), Fixture.row(0, Self.start + 30 * Self.day, 4),
            Fixture.row(0, -5, 5), Fixture.row(0, 1 << 60, 6), Fixture.row(0, .min, 7), Fixture.row(0, .max, 8),
        ]
        try fixture.table.add(inside + outside)
        try fixture.table.flush()
        #expect(fixture.table.metrics.partitions == 1 && fixture.table.metrics.rowsSkipped == 6)
        #expect(fixture.table.metrics.memoryBytes == 0 && fixture.table.metrics.pendingRows == 0)
        #expect(try fixture.table.rows(0..<1) == inside.map { Fixture.plain($0) })
        // A row within the limits makes one; then rows of the month go there, also old ones.
        fixture.advance(ms: 20 * Self.day)
        let december = Fixture.row(0, Self.start + 20 * Self.day, 9)
        try fixture.table.add([december])
        try fixture.table.flush()
        #expect(fixture.table.metrics.partitions == 2)
        try fixture.table.close()
    }

    @Test func directoriesThatAreNoPartitionsKeepTheTableClosed() throws {
        let fixture = try TableFixture()
        try fixture.table.close()
        try fixture.files.writeAtomically([1], to: TableFixture.directory + "/small/notes.txt")
        try fixture.reopen()  // plain files are ignored
        try fixture.table.close()
        for name in ["2021_13", "foo", "2021_1"] {
            try fixture.files.makeDirectory(TableFixture.directory + "/big/" + name, parents: false)
            let error = #expect(throws: StorageError.self) { try fixture.reopen() }
            #expect(error?.kind == .corrupted && error?.path == TableFixture.directory + "/big/" + name)
            try fixture.files.removeAll(TableFixture.directory + "/big/" + name)
        }
        try fixture.reopen()
        try fixture.table.close()
    }

    @Test func aTableIsOpenedOnce() throws {
        let fixture = try TableFixture()
        let error = #expect(throws: StorageError.self) {
            try SampleTable.open(
                TableFixture.directory, damagedDirectory: TableFixture.damaged, options: .tiny(), files: fixture.files,
                environment: .deterministic())
        }
        #expect(error?.kind == .locked)
        try fixture.table.close()
        try fixture.reopen()
        try fixture.table.close()
    }

    // MARK: rows

    @Test func precisionBitsStayWithTheirRows() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20, shards: 1))
        for (index, bits) in [64, 4, 4, 64, 20].enumerated() {
            try fixture.table.add(Self.scrape(index..<(index + 1), Self.start + Int64(index)), precisionBits: bits)
        }
        try fixture.table.makeSearchable()
        #expect(fixture.table.metrics.memoryParts == 3)
        var bits: [Int: UInt8] = [:]
        _ = try fixture.table.rows(0..<5) { bits[Int($0.header.tsid.metricID) - 1000] = $0.header.precisionBits }
        #expect(bits == [0: 64, 1: 4, 2: 4, 3: 64, 4: 20])
        try fixture.table.close()
    }

    @Test func largeBatchesFillSeveralArenas() throws {
        let fixture = try TableFixture(.tiny(memory: 64 << 10, shards: 1))  // arenas of 170 rows
        let rows = (0..<1000).map { Fixture.row($0 % 3, Self.start + Int64($0), Double($0)) }
        try fixture.table.add(rows)
        try fixture.table.flush()
        #expect(tally(try fixture.table.rows(0..<3)) == tally(rows.map { Fixture.plain($0) }))
        try fixture.table.add([])
        try fixture.table.close()
    }

    @Test func deduplicationKeepsTheFirstRowOfAnInterval() throws {
        var options = SampleTableOptions.tiny(memory: 1 << 20)
        options.dedupIntervalMs = 10_000
        let fixture = try TableFixture(options)
        for second in 0..<60 {
            try fixture.table.add(Self.scrape(0..<2, Self.start + Int64(second) * 1000, Double(second)))
        }
        try fixture.table.flush()
        let rows = try fixture.table.rows(0..<2)
        #expect(rows.count == 12)
        #expect(rows.prefix(6).map { ($0.timestamp - Self.start) / 1000 } == [0, 10, 20, 30, 40, 50])
        #expect(fixture.table.metrics.rowsDeduplicated == 108)
        let part = try #require(try Fixture.partPaths(TableFixture.directory, on: fixture.files).first)
        #expect(try fixture.files.readAll(part + "/min_dedup_interval", limitBytes: 10).array() == Array("10s".utf8))
        try fixture.table.close()
    }

    /// Deduplication switched on later: partitions that are complete are merged anew, the current one is not.
    @Test func completePartitionsAreDeduplicatedLater() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20))
        let old = Self.start - 40 * Self.day
        for second in 0..<60 {
            try fixture.table.add(
                Self.scrape(0..<2, old + Int64(second) * 1000) + Self.scrape(0..<2, Self.start + Int64(second) * 1000))
        }
        try fixture.table.flush()
        try fixture.reopen { $0.dedupIntervalMs = 10_000 }
        #expect(try fixture.table.rows(0..<2).count == 240)
        fixture.advance(ms: 3_599_000)
        fixture.table.runDueTasks()
        #expect(try fixture.table.rows(0..<2).count == 240)
        fixture.advance(ms: 1000)
        fixture.table.runDueTasks()
        #expect(try fixture.table.rows(0..<2).count == 12 + 120)
        let merges = fixture.table.metrics.small.merges
        fixture.advance(ms: 3_600_000)
        fixture.table.runDueTasks()
        #expect(fixture.table.metrics.small.merges == merges, "it is done")
        try fixture.table.close()
    }

    @Test func deletedSeriesAreDroppedByMerges() throws {
        let deleted = Protected<Set<UInt64>>([])
        var options = SampleTableOptions.tiny(memory: 1 << 20)
        options.deletedSeries = { () -> (@Sendable (UInt64) -> Bool)? in
            let ids = deleted.withLock { $0 }
            if ids.isEmpty { return nil }
            return { id in ids.contains(id) }
        }
        let fixture = try TableFixture(options)
        try fixture.table.add(Self.scrape(0..<10, Self.start))
        try fixture.table.flush()
        deleted.withLock { $0 = [1003, 1004] }
        try fixture.table.add(Self.scrape(0..<10, Self.start + 1))
        try fixture.table.flush()
        #expect(try fixture.table.rows(0..<10).count == 18)
        #expect(fixture.table.metrics.small.rowsDeleted == 2)
        try fixture.table.mergeAll()
        #expect(try fixture.table.rows(0..<10).count == 16)
        #expect(fixture.table.metrics.small.rowsDeleted == 4)
        // Nothing at all is left: the parts are replaced by nothing.
        deleted.withLock { $0 = Set(1000..<1010) }
        try fixture.table.mergeAll()
        #expect(try Fixture.partPaths(TableFixture.directory, on: fixture.files).isEmpty)
        try fixture.table.add(Self.scrape(0..<10, Self.start + 2))
        try fixture.table.flush()
        #expect(fixture.table.metrics.small.parts == 0 && fixture.table.metrics.memoryBytes == 0)
        for side in ["small", "big"] {
            for name in ["tmp", "txn"] {
                #expect(try fixture.files.list("\(TableFixture.directory)/\(side)/2021_11/\(name)").isEmpty)
            }
        }
        try fixture.reopen()
        #expect(fixture.table.metrics.small.parts == 0)
        try fixture.table.close()
    }

    // MARK: retention

    private func retentionFixture() throws -> TableFixture {
        var options = SampleTableOptions.tiny(memory: 1 << 20)
        options.retentionMs = 40 * Self.day
        let fixture = try TableFixture(options)
        // October 20 and November 21.
        try fixture.table.add(Self.scrape(0..<3, Self.start - 32 * Self.day) + Self.scrape(0..<3, Self.start))
        try fixture.table.flush()
        return fixture
    }

    @Test func oldPartitionsAreDropped() throws {
        let fixture = try retentionFixture()
        try fixture.table.add(Self.scrape(0..<3, Self.start - 31 * Self.day))
        try fixture.table.makeSearchable()
        let memory = fixture.table.metrics.memoryBytes
        #expect(memory > 0)
        fixture.advance(ms: 19 * Self.day)  // December 10: the retention begins on October 31
        fixture.table.runDueTasks()
        #expect(fixture.table.metrics.partitions == 2)
        fixture.advance(ms: 2 * Self.day)
        #expect(fixture.table.metrics.partitions == 2)
        fixture.table.runDueTasks()
        let metrics = fixture.table.metrics
        #expect(metrics.partitions == 1 && metrics.partitionsDropped == 1 && metrics.memoryBytes == 0)
        #expect(metrics.small.rowsDeleted == 6)
        #expect(try fixture.table.rows(0..<3).count == 3)
        #expect(try fixture.files.list(TableFixture.directory + "/small").map(\.name) == ["2021_11", "snapshots"])
        #expect(try fixture.files.list(TableFixture.directory + "/big").map(\.name) == ["2021_11", "snapshots"])
        try fixture.table.close()
    }

    @Test func filesOfADroppedPartitionGoWhenNoSearchHoldsThem() throws {
        let fixture = try retentionFixture()
        var search: SampleSearch? = fixture.table.search([Fixture.series(0)], minTimestamp: 0, maxTimestamp: .max)
        #expect(fixture.table.metrics.partitionReferences == 4 && fixture.table.metrics.small.references == 4)
        fixture.advance(ms: 21 * Self.day)
        fixture.table.runDueTasks()
        #expect(fixture.table.metrics.partitions == 1)
        for side in ["small", "big"] {
            #expect(try fixture.files.kind(of: "\(TableFixture.directory)/\(side)/2021_10") == .directory)
        }
        #expect(try Fixture.drain(search!).count == 2)
        // Rows of that month are past retention and do not bring it back.
        try fixture.table.add(Self.scrape(0..<3, Self.start - 32 * Self.day))
        try fixture.table.flush()
        #expect(fixture.table.metrics.rowsSkipped == 3)
        search = nil
        #expect(fixture.table.metrics.partitionReferences == 1 && fixture.table.metrics.small.references == 1)
        fixture.table.runDueTasks()
        for side in ["small", "big"] {
            #expect(try fixture.files.kind(of: "\(TableFixture.directory)/\(side)/2021_10") == nil)
        }
        try fixture.reopen()
        #expect(fixture.table.metrics.partitions == 1 && fixture.table.damagedParts.isEmpty)
        try fixture.table.close()
    }

    @Test func stalePartsAreRemoved() throws {
        var options = SampleTableOptions.tiny(memory: 1 << 20)
        options.retentionMs = 10 * Self.day
        let fixture = try TableFixture(options)
        for day in 0..<3 {
            try fixture.table.add(Self.scrape(0..<4, Self.start - Int64(9 - day) * Self.day))
            try fixture.table.flush()
        }
        fixture.advance(ms: Self.day + 1)  // the first of the three is past retention
        fixture.table.runDueTasks()
        let metrics = fixture.table.metrics
        #expect(metrics.small.fileParts == 2 && metrics.small.rowsDeleted == 4)
        #expect(try Fixture.partPaths(TableFixture.directory, on: fixture.files).count == 2)
        #expect(try fixture.files.list(TableFixture.directory + "/small/2021_11/txn").isEmpty)
        try fixture.reopen()
        #expect(try fixture.table.rows(0..<4).count == 8)
        try fixture.table.close()
    }

    @Test func searchesDoNotLookBehindTheRetention() throws {
        var options = SampleTableOptions.tiny(memory: 1 << 20)
        options.retentionMs = 10 * Self.day
        let fixture = try TableFixture(options)
        try fixture.table.add([Fixture.row(0, Self.start - 9 * Self.day, 1), Fixture.row(1, Self.start, 2)])
        try fixture.table.flush()
        #expect(try fixture.table.rows(0..<2).count == 2)
        fixture.advance(ms: Self.day + 999)
        #expect(try fixture.table.rows(0..<2).count == 2, "whole seconds")
        fixture.advance(ms: 1)
        #expect(try fixture.table.rows(0..<2).count == 1)
        try fixture.table.close()
    }

    // MARK: merging

    @Test func settlingLeavesFewParts() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20))
        var expected: [PlainRow] = []
        for round in 0..<100 {
            let rows = Self.scrape(0..<20, Self.start + Int64(round) * 1000, Double(round))
            expected += rows.map { Fixture.plain($0) }
            try fixture.table.add(rows)
            try fixture.table.flush()
        }
        #expect(fixture.table.metrics.small.fileParts == 100)
        try fixture.table.settle()
        let metrics = fixture.table.metrics
        #expect(metrics.small.fileParts <= 15 && metrics.small.filePartsMax == 100)
        #expect(metrics.small.rowsMerged >= 4000 && metrics.rowsMerged <= 7000)
        #expect(tally(try fixture.table.rows(0..<20)) == tally(expected))
        #expect(tally(try Fixture.plainRows(TableFixture.directory, on: fixture.files)) == tally(expected))
        try fixture.table.close()
    }

    @Test func backgroundWorkersMerge() throws {
        var options = SampleTableOptions.tiny(memory: 1 << 20)
        options.mergesInBackground = true
        let fixture = try TableFixture(options)
        for round in 0..<100 {
            try fixture.table.add(Self.scrape(0..<5, Self.start + Int64(round)))
            try fixture.table.flush()
        }
        #expect(fixture.table.metrics.small.filePartsMax == 16)
        #expect(try fixture.table.rows(0..<5).count == 500)
        try fixture.table.close()
    }

    @Test func largeMergesMakeBigParts() throws {
        var options = SampleTableOptions.tiny(memory: 1 << 20)
        options.smallPartBytesMax = 4000
        let fixture = try TableFixture(options)
        for round in 0..<40 {
            try fixture.table.add(Self.scrape(0..<50, Self.start + Int64(round) * 777, Double(round * 13 % 7)))
            try fixture.table.flush()
        }
        try fixture.table.settle()
        #expect(fixture.table.metrics.big.fileParts > 0 && fixture.table.metrics.big.merges > 0)
        #expect(fixture.table.metrics.big.mergedBytes == fixture.table.metrics.big.sizeBytes)
        #expect(try fixture.table.rows(0..<50).count == 2000)
        try fixture.reopen()
        #expect(try fixture.table.rows(0..<50).count == 2000)
        try fixture.table.mergeAll()
        #expect(fixture.table.metrics.big.fileParts == 1 && fixture.table.metrics.big.blocks == 50)
        try fixture.table.close()
    }

    @Test func quietPartitionsAreMergedFurther() throws {
        var options = SampleTableOptions.tiny(memory: 1 << 20)
        options.mergesInBackground = true
        options.finalMergeDelayNanoseconds = 30_000_000_000
        let fixture = try TableFixture(options)
        for round in 0..<6 {
            try fixture.table.add(Self.scrape(0..<5, Self.start + Int64(round)))
            try fixture.table.flush()
        }
        fixture.advance(ms: 40_000)
        fixture.environment.scheduler.checkpoint()
        #expect(fixture.table.metrics.small.fileParts == 1)
        #expect(try fixture.table.rows(0..<5).count == 30)
        try fixture.table.close()
    }

    @Test func assistedMergesKeepTheNumberOfPartsLow() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20))
        for round in 0..<300 {
            try fixture.table.add(Self.scrape(0..<2, Self.start + Int64(round)))
            try fixture.table.flush()
        }
        #expect(fixture.table.metrics.assistedMerges >= 3)
        #expect(fixture.table.metrics.small.filePartsMax == 257)
        #expect(try fixture.table.rows(0..<2).count == 600)
        try fixture.table.close()
    }

    @Test func forcedMergesTakeFifteenPartsAtATime() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20))
        for round in 0..<20 {
            let old = Self.scrape(0..<3, Self.start - 30 * Self.day + Int64(round))
            try fixture.table.add(Self.scrape(0..<3, Self.start + Int64(round)) + old)
            try fixture.table.flush()
        }
        try fixture.table.mergeAll(partitionPrefix: "2021_11")
        #expect(fixture.table.metrics.small.fileParts == 22)
        try fixture.table.mergeAll(partitionPrefix: "2020")
        #expect(fixture.table.metrics.small.fileParts == 22)
        try fixture.table.mergeAll()
        #expect(fixture.table.metrics.small.fileParts == 3)
        // A single part is rewritten, too.
        let before = fixture.table.metrics.small.merges
        try fixture.table.mergeAll(partitionPrefix: "2021_11")
        #expect(fixture.table.metrics.small.merges == before + 1)
        #expect(try fixture.table.rows(0..<3).count == 120)
        #expect(fixture.table.metrics.activeForcedMerges == 0)
        try fixture.table.close()
    }

    @Test func aForcedMergeWithoutRoomReleasesItsMarks() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20))
        for round in 0..<16 {
            try fixture.table.add(Self.scrape(0..<3, Self.start + Int64(round)))
            try fixture.table.flush()
        }
        fixture.simulated.faults = FaultPlan(freeSpaceBytes: 100)
        try fixture.table.mergeAll()
        #expect(fixture.table.metrics.small.fileParts == 16)
        #expect(fixture.lines.contains { $0.hasPrefix("no room for a forced merge of 2021_11") })
        // With too little room for two parts, regular merges say so.
        fixture.advance(ms: 3000)
        try fixture.table.settle()
        #expect(fixture.table.metrics.small.fileParts == 16)
        #expect(fixture.table.metrics.big.needsFreeSpace == 1)
        fixture.simulated.faults = FaultPlan(rules: [.on(.write, error: .noSpace)])
        fixture.advance(ms: 3000)
        let error = #expect(throws: StorageError.self) { try fixture.table.mergeAll() }
        #expect(error?.kind == .noSpace)
        fixture.simulated.faults = FaultPlan()
        fixture.advance(ms: 3000)
        try fixture.table.settle()
        #expect(fixture.table.metrics.small.fileParts == 2)
        #expect(fixture.table.metrics.big.needsFreeSpace == 0)
        #expect(try fixture.table.rows(0..<3).count == 48)
        try fixture.table.close()
    }

    // MARK: search

    @Test func searchesKeepWhatTheySee() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20))
        for round in 0..<4 {
            try fixture.table.add(Self.scrape(0..<10, Self.start + Int64(round)))
            try fixture.table.flush()
        }
        try fixture.table.add(Self.scrape(0..<10, Self.start + 4))
        try fixture.table.makeSearchable()
        let series = (0..<10).map { Fixture.series($0) }
        let search = fixture.table.search(series, minTimestamp: 0, maxTimestamp: .max)
        #expect(fixture.table.metrics.small.references == 10)
        #expect(try search.next())
        try fixture.table.mergeAll()
        try fixture.table.add(Self.scrape(0..<10, Self.start + 5))
        try fixture.table.flush()
        var rows = 1
        while try search.next() { rows += Int(search.header.rowsCount) }
        #expect(rows == 50)
        #expect(try !search.next())
        try fixture.table.close()
    }

    @Test func searchesEndAtTheirDeadline() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20))
        try fixture.table.add(Self.scrape(0..<10, Self.start))
        try fixture.table.flush()
        let deadline = Deadline(monotonicNanoseconds: fixture.clock.monotonicNanoseconds + 1_000_000_000)
        let series = (0..<10).map { Fixture.series($0) }
        let early = fixture.table.search(series, minTimestamp: 0, maxTimestamp: .max, deadline: deadline)
        #expect(try early.next())
        fixture.advance(ms: 1000)
        let late = fixture.table.search(series, minTimestamp: 0, maxTimestamp: .max, deadline: deadline)
        let error = #expect(throws: StorageError.self) { try late.next() }
        #expect(error?.kind == .deadlineExceeded)
        #expect(try !late.next())
        #expect(try early.next(), "looked at before every so many blocks only")
        // Series without blocks count as well.
        let many = (0..<20_000).map { Fixture.series(100 + $0) }
        let nothing = fixture.table.search(
            many, minTimestamp: 0, maxTimestamp: .max,
            deadline: Deadline(monotonicNanoseconds: fixture.clock.monotonicNanoseconds + 1))
        fixture.advance(ms: 1)
        #expect(throws: StorageError.self) { try nothing.next() }
        try fixture.table.close()
    }

    @Test func oddSearches() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20))
        try fixture.table.add(Self.scrape(0..<3, Self.start))
        try fixture.table.flush()
        #expect(try fixture.table.rows([]).isEmpty)
        #expect(try fixture.table.rows([7]).isEmpty)
        #expect(try fixture.table.rows(0..<3, min: Self.start + 1, max: Self.start).isEmpty)
        #expect(try fixture.table.rows([0, 0, 1, 1]).count == 2, "a series asked for twice is given once")
        #expect(try fixture.table.rows(0..<3, min: Self.start, max: Self.start).count == 3)
        #expect(try fixture.table.rows(0..<3, min: .min, max: .max).count == 3)
        try fixture.table.close()
    }

    // MARK: snapshots

    private static let name = "20211121000000-18E9E6743BFBF742"

    @Test func snapshotsHoldEverythingAddedBefore() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20))
        var rows = Self.scrape(0..<10, Self.start) + Self.scrape(0..<10, Self.start - 30 * Self.day)
        try fixture.table.add(rows)
        try fixture.table.flush()
        let more = Self.scrape(0..<10, Self.start + 1)
        try fixture.table.add(more)
        rows += more
        try fixture.table.snapshot(name: Self.name)
        try fixture.table.add(Self.scrape(0..<10, Self.start + 2))
        try fixture.table.mergeAll()
        let error = #expect(throws: StorageError.self) { try fixture.table.snapshot(name: Self.name) }
        #expect(error?.kind == .alreadyExists)
        // Copied to another place, it is a table.
        for side in ["small", "big"] {
            let source = "\(TableFixture.directory)/\(side)/snapshots/\(Self.name)"
            #expect(try fixture.files.list(source).map(\.name) == ["2021_10", "2021_11"])
            for month in try fixture.files.list(source) {
                let target = "/storage/copy/\(side)/\(month.name)"
                try fixture.files.makeDirectory(target, parents: true)
                for part in try fixture.files.list(source + "/" + month.name) {
                    try fixture.files.hardLinkDirectory(
                        "\(source)/\(month.name)/\(part.name)", to: target + "/" + part.name)
                }
            }
        }
        let copy = try TableFixture(.tiny(), files: fixture.files, directory: "/storage/copy")
        #expect(tally(try copy.table.rows(0..<10)) == tally(rows.map { Fixture.plain($0) }))
        try copy.table.close()
        try fixture.table.deleteSnapshot(name: Self.name)
        try fixture.table.deleteSnapshot(name: Self.name)
        for side in ["small", "big"] {
            #expect(try fixture.files.list("\(TableFixture.directory)/\(side)/snapshots").isEmpty)
        }
        try fixture.table.close()
    }

    @Test func snapshotsAreDurable() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20))
        let rows = Self.scrape(0..<10, Self.start)
        try fixture.table.add(rows)
        try fixture.table.snapshot(name: Self.name)
        let disk = fixture.simulated.afterCrash(seed: 1, outcome: .nothingKept)
        let month = "\(TableFixture.directory)/small/snapshots/\(Self.name)/2021_11"
        let part = try #require(try disk.list(month).first).name
        let found = try PlainSamplePart(name: part, files: Fixture.files(month + "/" + part, on: disk))
        #expect(tally(found.rows) == tally(rows.map { Fixture.plain($0) }))
        #expect(try disk.list("\(TableFixture.directory)/big/snapshots/\(Self.name)/2021_11").isEmpty)
    }

    @Test(arguments: [
        "", "x", "../../x", "20211121000000", "20211121000000-", "2021112100000-1", "20211121000000-1/..",
        "20211121000000-G1",
    ])
    func namesOfSnapshotsAreChecked(name: String) throws {
        let fixture = try TableFixture()
        for call in [fixture.table.snapshot, fixture.table.deleteSnapshot] {
            let error = #expect(throws: StorageError.self) { try call(name) }
            #expect(error?.kind == .invalidArgument)
        }
        try fixture.table.close()
    }

    // MARK: caches

    @Test func cachesAreSwept() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20))
        try fixture.table.add(Self.scrape(0..<50, Self.start))
        try fixture.table.flush()
        _ = try fixture.table.rows(0..<50)
        let metrics = fixture.table.metrics.small
        #expect(
            metrics.cacheEntries == 1 && metrics.cacheMisses == 1 && metrics.cacheRequests >= 1
                && metrics.cacheBytes > 0)
        #expect(metrics.cacheBytesMax == 32 << 10)
        for _ in 0..<2 {
            fixture.advance(ms: 120_000)
            fixture.table.runDueTasks()
        }
        #expect(fixture.table.metrics.small.cacheEntries == 0 && fixture.table.metrics.small.cacheBytes == 0)
        try fixture.table.close()
    }
}
