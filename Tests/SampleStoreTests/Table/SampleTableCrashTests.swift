// SampleTableCrashTests.swift - a fixed workload with a crash, an I/O error or a full disk at every operation.
//
// The workload adds batches, flushes now and then, merges, takes a snapshot, removes stale parts and drops a partition. After a
// crash the table opens without damaged parts, holds everything that a flush had reported and that is within retention, whole
// batches only, and nothing else. After a fault that passes nothing at all is lost.

import Glibc
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SampleStore

@Suite struct SampleTableCrashTests {
    private static let batchCount = 26
    private static let batchRows = 6
    private static let day = TableFixture.dayMs

    /// Batches 20 to 25 are of October: their parts go stale, then their partition is dropped.
    private static func rows(_ batch: Int) -> [SampleRow] {
        (0..<batchRows).map { index in
            let time = batch < 20 ? TableFixture.start : TableFixture.start - 35 * day + (batch < 23 ? 0 : 5 * day)
            return Fixture.row(index, time + Int64(batch * 1000), Double(batch))
        }
    }

    private struct Progress {
        var attempted = 0
        /// Batches whose add returned, and those of them that a flush has reported.
        var added: Set<Int> = []
        var flushed: Set<Int> = []
        var errors: [StorageError] = []
        /// October is past retention: partly, then entirely.
        var now = TableFixture.start
    }

    private static func fixture(_ files: any FileSystem, now: Int64 = TableFixture.start) throws -> TableFixture {
        var options = SampleTableOptions.tiny(memory: 2400)
        options.retentionMs = 40 * day
        options.smallPartBytesMax = 600
        return try TableFixture(options, files: files, now: now)
    }

    /// The workload. Goes on after errors, as a storage node would; stops after a crash.
    private static func run(_ fixture: TableFixture, _ progress: inout Progress) {
        let table = fixture.table
        func attempt(_ body: () throws(StorageError) -> Void) -> Bool {
            do throws(StorageError) {
                try body()
                return true
            } catch {
                progress.errors.append(error)
                return false
            }
        }
        let order = [20, 23] + Array(0..<10) + [21, 24, 22, 25] + Array(10..<20)
        for (step, batch) in order.enumerated() {
            progress.attempted = step + 1
            if attempt({ () throws(StorageError) in try table.add(rows(batch)) }) { progress.added.insert(batch) }
            if step % 2 == 1, attempt({ () throws(StorageError) in try table.flush() }) {
                progress.flushed = progress.added
            }
            if step == 11 || step == 22, attempt({ () throws(StorageError) in try table.mergeAll() }) {
                progress.flushed = progress.added
            }
            if step == 14 {
                _ = attempt { () throws(StorageError) in try table.snapshot(name: "20211121000000-0000000A") }
            }
            if step == 18 {
                fixture.advance(ms: 6 * day)
                progress.now = fixture.clock.unixMilliseconds
                table.runDueTasks()
            }
            if step == 21 {
                fixture.advance(ms: 15 * day)
                progress.now = fixture.clock.unixMilliseconds
                table.runDueTasks()
            }
            if table.memory.flushError?.kind == .crashed || progress.errors.last?.kind == .crashed { return }
        }
        if attempt({ () throws(StorageError) in try table.close() }) { progress.flushed = progress.added }
    }

    /// What a table holds: batches, each of which must be there completely or not at all, once.
    private static func batches(_ table: SampleTable) throws -> Set<Int> {
        let found = tally(try table.rows(0..<batchRows))
        #expect(found.values.allSatisfy { $0 == 1 }, "a row is doubled")
        var batches: Set<Int> = []
        var count = 0
        for batch in 0..<batchCount {
            let present = rows(batch).count { found[Fixture.plain($0)] == 1 }
            #expect(present == 0 || present == batchRows, "batch \(batch): \(present) rows")
            if present > 0 { batches.insert(batch) }
            count += present
        }
        #expect(count == found.count, "a row was invented")
        return batches
    }

    /// Batches that must still be there at a moment.
    private static func required(_ batches: Set<Int>, now: Int64) -> Set<Int> {
        batches.filter { rows($0)[0].timestampMs >= now - 40 * day }
    }

    private static func check(_ disk: SimulatedFileSystem, _ progress: Progress, _ context: String) throws {
        let fixture = try fixture(disk, now: progress.now + 1000)
        let found = try batches(fixture.table)
        #expect(
            required(progress.flushed, now: progress.now + 1000).subtracting(found).isEmpty,
            "\(context): flushed batches are missing: \(progress.flushed.subtracting(found))")
        #expect(fixture.table.damagedParts.isEmpty, "\(context)")
        // It goes on from there.
        try fixture.table.add([Fixture.row(50, progress.now, 1)])
        try fixture.table.mergeAll()
        #expect(try fixture.table.rows([50]).count == 1)
        #expect(required(found, now: progress.now + 1000).subtracting(try batches(fixture.table)).isEmpty, "\(context)")
        try fixture.table.close()
    }

    @Test func theWorkloadItself() throws {
        let disk = try TableFixture.disk()
        var progress = Progress()
        let fixture = try Self.fixture(disk)
        Self.run(fixture, &progress)
        #expect(progress.errors.isEmpty)
        #expect(fixture.table.metrics.partitionsDropped == 1 && fixture.table.metrics.big.merges > 0)
        #expect(fixture.table.metrics.small.rowsDeleted > 0)
        try Self.check(disk, progress, "no crash")
        let plain = try Fixture.plainRows(TableFixture.directory, on: disk)
        #expect(plain.count == 20 * Self.batchRows + 1)
    }

    @Test(arguments: TestSeeds.thisRun) func crashAtEveryOperation(seed: UInt64) throws {
        let base = try TableFixture.disk()
        let first = try Self.fixture(base)
        try first.table.close()
        var crashes = 0
        // Every operation in the long run, a thirteenth of them with each seed.
        var crashAt = base.operationCount + 1 + Int(seed % 13)
        while true {
            let disk = base.snapshot()
            disk.faults = FaultPlan(crashAtOperation: crashAt)
            var progress = Progress()
            do { Self.run(try Self.fixture(disk), &progress) } catch { #expect(disk.hasCrashed) }
            let hasCrashed = disk.hasCrashed
            for outcome in [CrashOutcome.nothingKept, .everythingKept, .bySeed] {
                let after = disk.afterCrash(seed: Seeds.derive(seed, "crash", crashAt), outcome: outcome)
                try Self.check(after, progress, "seed \(seed), operation \(crashAt), \(outcome)")
            }
            if !hasCrashed { break }
            crashes += 1
            crashAt += 13
        }
        #expect(crashes > 40)
    }

    /// A crash while recovering from a crash.
    @Test(arguments: TestSeeds.thisRun) func crashDuringRecovery(seed: UInt64) throws {
        let base = try TableFixture.disk()
        var random = SplitMix64(seed: seed)
        for _ in 0..<12 {
            let disk = base.snapshot()
            disk.faults = FaultPlan(crashAtOperation: disk.operationCount + 40 + random.below(800))
            var progress = Progress()
            do { Self.run(try Self.fixture(disk), &progress) } catch { #expect(disk.hasCrashed) }
            var next = disk.afterCrash(seed: random.next(), outcome: .bySeed)
            for _ in 0..<5 {
                next.faults = FaultPlan(crashAtOperation: next.operationCount + 1 + random.below(30))
                do {
                    let fixture = try Self.fixture(next, now: progress.now + 1000)
                    try fixture.table.close()
                } catch { #expect(next.hasCrashed) }
                next = next.afterCrash(seed: random.next(), outcome: .bySeed)
            }
            try Self.check(next, progress, "seed \(seed)")
        }
    }

    /// One operation fails and the run goes on: nothing is lost, unless the table says that it has to be opened again.
    @Test(arguments: TestSeeds.thisRun, [StorageError.Kind.io(errno: EIO), .noSpace])
    func faultAtEveryOperation(seed: UInt64, kind: StorageError.Kind) throws {
        let base = try TableFixture.disk()
        let first = try Self.fixture(base)
        try first.table.close()
        var faults = 0
        var failAt = base.operationCount + 1 + Int(seed % 17)
        while true {
            let disk = base.snapshot()
            disk.faults = FaultPlan(rules: [.at(failAt, error: kind)])
            var progress = Progress()
            do {
                let fixture = try Self.fixture(disk)
                Self.run(fixture, &progress)
                if fixture.table.memory.fatalError == nil, progress.errors.isEmpty || progress.flushed == progress.added
                {
                    #expect(progress.flushed == progress.added, "operation \(failAt): \(progress.errors)")
                }
            } catch { progress.errors.append(error as! StorageError) }
            let isOver = disk.operationCount < failAt
            disk.faults = FaultPlan()
            try Self.check(
                disk.afterCrash(seed: seed, outcome: .nothingKept), progress,
                "seed \(seed), operation \(failAt), \(progress.errors)")
            if isOver { break }
            faults += 1
            failAt += 17
        }
        #expect(faults > 25)
    }

    /// Reads fail for a while: searches say so, merges are tried again, nothing is lost.
    @Test func readErrorsPass() throws {
        let disk = try TableFixture.disk()
        let fixture = try Self.fixture(disk)
        for batch in 0..<18 {
            try fixture.table.add(Self.rows(batch))
            try fixture.table.flush()
        }
        disk.faults = FaultPlan(rules: [.on(.read, pathContaining: "index.bin")])
        let searchError = #expect(throws: StorageError.self) { try fixture.table.rows(0..<6) }
        #expect(searchError?.kind == .io(errno: EIO) && searchError?.path?.contains("index.bin") == true)
        let mergeError = #expect(throws: StorageError.self) { try fixture.table.mergeAll() }
        #expect(mergeError?.kind == .io(errno: EIO))
        try fixture.table.settle()
        #expect(fixture.table.metrics.partsExcluded == 0 && fixture.table.metrics.small.fileParts >= 15)
        disk.faults = FaultPlan()
        try fixture.table.settle()
        #expect(fixture.table.metrics.small.fileParts + fixture.table.metrics.big.fileParts <= 15)
        #expect(try Self.batches(fixture.table) == Set(0..<18))
        try fixture.table.close()
    }
}
