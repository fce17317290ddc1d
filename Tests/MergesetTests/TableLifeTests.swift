// TableLifeTests.swift - opening, locking, closing, deadlines, callbacks, snapshots, and repeatable runs.

import Mergeset
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@Suite struct TableLifeTests {
    private static func open(
        _ files: any FileSystem, _ path: String = "/t", _ options: TableOptions = .tiny(),
        _ environment: Environment = .deterministic()
    ) throws(StorageError) -> Table {
        try Table.open(path, options: options, files: files, environment: environment)
    }

    private static func kind<Result>(_ body: () throws -> Result) -> StorageError.Kind? {
        do {
            _ = try body()
            return nil
        } catch { return (error as? StorageError)?.kind }
    }

    @Test func newTableHasItsDirectoriesAndTheFlag() throws {
        let files = SimulatedFileSystem()
        let table = try Self.open(files, "/data//x/../deep/t/")
        #expect(try files.list("/data/deep/t").map(\.name) == ["converted-to-v1.28.0", "flock.lock", "tmp", "txn"])
        #expect(files.contents(of: "/data/deep/t")["converted-to-v1.28.0"] == Array("ok".utf8))
        #expect(try table.scan(.everything).isEmpty)
        try table.close()
        #expect(try files.list("/data/deep/t").count == 4)
    }

    @Test func secondOpenIsLockedOut() throws {
        let directory = try TemporaryDirectory()
        let real = RealFileSystem()
        let table = try Self.open(real, directory.path("t"), .tiny(), .live())
        #expect(Self.kind { try Self.open(real, directory.path("t"), .tiny(), .live()) } == .locked)
        #expect(Self.kind { try Self.open(RealFileSystem(), directory.path("t"), .tiny(), .live()) } == .locked)
        try table.close()
        try Self.open(real, directory.path("t"), .tiny(), .live()).close()
        // A failed open gives the lock back.
        try directory.write([1], to: "t/nonsense/x")
        for _ in 0..<2 { #expect(Self.kind { try Self.open(real, directory.path("t")) } == .corrupted) }
    }

    @Test func closedTableRefusesEverything() throws {
        let files = SimulatedFileSystem()
        let table = try Self.open(files)
        try table.add([[1], [2]])
        var cursor = table.cursor(.everything)
        #expect(try cursor.next())
        try table.close()
        try table.close()
        #expect(try cursor.take(9) == [[2]])
        #expect(Self.kind { try table.add([[3]]) } == .closed)
        #expect(Self.kind { try table.flush() } == .closed)
        #expect(Self.kind { try table.mergeAll() } == .closed)
        #expect(Self.kind { try table.settle() } == .closed)
        #expect(Self.kind { try table.snapshot(to: "/s") } == .closed)
        #expect(try table.scan(.everything).isEmpty)
        let again = try Self.open(files)
        #expect(try again.scan() == [[1], [2]])
        try again.close()
    }

    @Test func passedDeadlineKillsTheCursor() throws {
        let files = SimulatedFileSystem()
        let environment = Environment.deterministic()
        let clock = try #require(environment.clock as? VirtualClock)
        let table = try Self.open(files, "/t", .tiny(run: 1 << 20, memory: 4 << 20), environment)
        for start in stride(from: 0, to: 30000, by: 1000) {
            try table.add((start..<(start + 1000)).map { Array("item \(100_000 + $0)".utf8) })
        }
        try table.flush()
        for scope in [SearchScope.durable, .everything] {
            let deadline = Deadline(monotonicNanoseconds: clock.monotonicNanoseconds + 1_000_000)
            var cursor = table.cursor(scope, deadline: deadline)
            #expect(try cursor.take(10).count == 10)
            clock.advance(milliseconds: 2)
            var delivered = 0
            var caught: StorageError?
            do throws(StorageError) {
                while try cursor.next() { delivered += 1 }
            } catch { caught = error }
            #expect(caught?.kind == .deadlineExceeded)
            #expect(delivered < 20000)
            try cursor.seek(bytes: [])
            #expect(try !cursor.next())
        }
        // In memory only, one run.
        try table.add((0..<20000).map { Array("new \(100_000 + $0)".utf8) })
        var cursor = table.cursor(
            .everything, deadline: Deadline(monotonicNanoseconds: clock.monotonicNanoseconds + 1_000_000))
        clock.advance(milliseconds: 2)
        var caught: StorageError?
        do throws(StorageError) { while try cursor.next() {} } catch { caught = error }
        #expect(caught?.kind == .deadlineExceeded)
        try table.close()
    }

    @Test func newItemsAreReportedAfterTheyBecameVisible() throws {
        final class Log: Sendable {
            let table = Protected<Table?>(nil)
            let counts = Protected<[Int]>([])
        }
        let log = Log()
        var options = TableOptions.tiny(shards: 1, run: 1 << 20, memory: 2 << 20)
        options.onNewItems = {
            guard let table = log.table.withLock({ $0 }) else { return }
            // No lock of the table is held: a search in both scopes works from here.
            let count = (try? table.scan(.everything).count) ?? -1
            log.counts.withLock { $0.append(count) }
        }
        let environment = Environment.deterministic()
        let clock = try #require(environment.clock as? VirtualClock)
        let table = try Self.open(SimulatedFileSystem(), "/t", options, environment)
        log.table.withLock { $0 = table }
        environment.scheduler.checkpoint()
        try table.add([[1], [2]])
        #expect(log.counts.withLock { $0 }.isEmpty)
        clock.advance(milliseconds: 1001)
        environment.scheduler.checkpoint()
        #expect(log.counts.withLock { $0 } == [2])
        #expect(try table.scan(.durable).count == 2)
        clock.advance(milliseconds: 5000)
        environment.scheduler.checkpoint()
        #expect(log.counts.withLock { $0 } == [2], "nothing new")
        try table.add([[3]])
        try table.flush()
        #expect(log.counts.withLock { $0 } == [2, 3])
        try table.snapshot(to: "/s")
        try table.mergeAll()
        #expect(log.counts.withLock { $0 }.allSatisfy { $0 >= 2 })
        log.table.withLock { $0 = nil }
        try table.close()
    }

    @Test func itemsAreDurableAfterTheFlushInterval() throws {
        let files = SimulatedFileSystem()
        let environment = Environment.deterministic()
        let clock = try #require(environment.clock as? VirtualClock)
        let table = try Self.open(files, "/t", .tiny(run: 1 << 20, memory: 2 << 20), environment)
        try table.add([[1]])
        clock.advance(milliseconds: 1001)
        environment.scheduler.checkpoint()
        let after = try Self.open(files.afterCrash(seed: 1, outcome: .nothingKept))
        #expect(try after.scan() == [[1]])
        try after.close()
    }

    @Test func snapshotHoldsPartsAndTheFlagOnly() throws {
        let files = SimulatedFileSystem()
        let table = try Self.open(files)
        for number in 0..<4 {
            try table.add([[UInt8(number)], [9]])
            try table.flush()
        }
        try files.writeAtomically([1], to: "/t/whatever")
        for name in ["/t/snapshots", "/t/cache"] {
            try files.makeDirectory(name, parents: false)
            try files.writeAtomically([1], to: name + "/x")
        }
        try table.add([[7]])
        try table.snapshot(to: "/s")
        var expected = files.contents(of: "/t")
        for name in ["flock.lock", "whatever", "snapshots/x", "cache/x"] { expected[name] = nil }
        #expect(files.contents(of: "/s") == expected)
        #expect(expected.count == 1 + 5 * 5)
        #expect(Self.kind { try table.snapshot(to: "/s") } == .alreadyExists)
        for inside in ["/t", "/t/x", "/t/tmp/../y", "t/z"] {
            #expect(Self.kind { try table.snapshot(to: inside) } == .invalidArgument)
        }
        // Durable, and independent of the table.
        let usedBefore = files.usedSpaceBytes
        try table.mergeAll()
        #expect(files.usedSpaceBytes > usedBefore)
        let disk = files.afterCrash(seed: 1, outcome: .nothingKept)
        let copy = try Self.open(disk, "/s")
        #expect(try copy.scan() == [[0], [1], [2], [3], [7], [9], [9], [9], [9]])
        try copy.close()
    }

    /// The same seed and the same calls give the same files, counters and operations.
    @Test(arguments: TestSeeds.thisRun) func sameSeedGivesTheSameFiles(seed: UInt64) throws {
        func run() throws -> (SimulatedFileSystem, TableMetrics, [String: [UInt8]]) {
            let files = SimulatedFileSystem()
            let environment = Environment.deterministic(seed: seed)
            let table = try Self.open(files, "/t", .tiny(shards: 3), environment)
            var source = ItemSource(seed: seed)
            for round in 0..<60 {
                try table.add((0..<20).map { _ in source.next() })
                if round % 13 == 5 { try table.flush() }
                if round % 17 == 3 { (environment.clock as? VirtualClock)?.advance(milliseconds: 700) }
                if round == 40 { try table.mergeAll() }
            }
            try table.settle()
            let metrics = table.metrics
            try table.close()
            return (files, metrics, files.contents())
        }
        let (first, second) = (try run(), try run())
        #expect(first.1 == second.1)
        #expect(first.1.flushes > 5 && first.1.mergesFinished > 0)
        #expect(first.2 == second.2)
        #expect(first.0.record == second.0.record)
        #expect(first.0.counters == second.0.counters)
    }

    /// Parts of which each is half as large again as the one before leave no merge of many that would be worth it; their
    /// number stays small all the same.
    @Test func unevenPartsDoNotPileUp() throws {
        let files = SimulatedFileSystem()
        let table = try Self.open(files, "/t", TableOptions(), .deterministic(seed: 1))
        var random = SplitMix64(seed: 1)
        var items = 0
        for size in sequence(first: 20, next: { $0 * 3 / 2 }).prefix(18) {
            try table.add((0..<size).map { _ in withUnsafeBytes(of: (random.next(), random.next())) { Array($0) } })
            try table.flush()
            items += size
        }
        try table.settle()
        let metrics = table.metrics
        #expect(metrics.parts <= 15 && metrics.items == UInt64(items), "\(metrics.parts) parts")
        try table.close()
    }
}
