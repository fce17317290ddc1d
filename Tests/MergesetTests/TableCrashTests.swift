// TableCrashTests.swift - a fixed workload with a crash, an I/O error or a full disk at every operation.
//
// The workload adds batches of numbered items, flushes now and then, and merges. After a crash the table opens, holds
// everything that a flush had reported, whole batches only, and nothing else. After a fault that passes, nothing at
// all is lost; after one that leaves the outcome of a commit open, the table says so and opening it again is enough.

import Glibc
import Mergeset
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@Suite struct TableCrashTests {
    private static let path = "/data/table"
    private static let batchCount = 24
    private static let batchItems = 7

    private static func item(_ batch: Int, _ position: Int) -> [UInt8] {
        [UInt8(batch % 7)] + Array("\(1000 + batch)-\(position)".utf8)
            + [UInt8](repeating: 0x2E, count: (batch * 37 + position * 11) % 90)
    }

    /// Batch and position by item.
    private static let places: [[UInt8]: (batch: Int, position: Int)] = {
        var places: [[UInt8]: (batch: Int, position: Int)] = [:]
        for batch in 0..<batchCount { for p in 0..<batchItems { places[item(batch, p)] = (batch, p) } }
        return places
    }()

    private struct Progress {
        var attempted = 0
        /// Batches whose add returned, and those of them that a flush has reported.
        var added: Set<Int> = []
        var flushed: Set<Int> = []
        var errors: [StorageError] = []
    }

    /// A disk with a durable `/data`. (Opening a table syncs the directory that holds it, not those above.)
    private static func disk(
        _ recording: SimulatedFileSystem.Recording = .nothing, _ faults: FaultPlan = FaultPlan()
    ) throws -> SimulatedFileSystem {
        let files = SimulatedFileSystem()
        try files.makeDirectory("/data", parents: false)
        let disk = files.afterCrash(seed: 0, outcome: .nothingKept, recording: recording)
        disk.faults = faults
        return disk
    }

    private static func open(_ files: any FileSystem) throws(StorageError) -> Table {
        var options = TableOptions.tiny(shards: 2, run: 700, memory: 3000)
        options.mergesInBackground = false
        return try Table.open(path, options: options, files: files, environment: .deterministic(seed: 1))
    }

    /// The workload. Goes on after errors, as a storage node would; stops after a crash.
    private static func run(_ table: Table, _ progress: inout Progress) {
        func attempt(_ body: () throws(StorageError) -> Void) -> Bool {
            do throws(StorageError) {
                try body()
                return true
            } catch {
                progress.errors.append(error)
                return false
            }
        }
        for batch in 0..<batchCount {
            progress.attempted = batch + 1
            let items = (0..<batchItems).map { item(batch, $0) }
            if attempt({ () throws(StorageError) in try table.add(items, isAllOrNothing: true) }) {
                progress.added.insert(batch)
            }
            if batch % 3 == 2, attempt({ () throws(StorageError) in try table.flush() }) {
                progress.flushed = progress.added
            }
            if batch == 11 || batch == 20, attempt({ () throws(StorageError) in try table.mergeAll() }) {
                progress.flushed = progress.added
            }
            if progress.errors.last?.kind == .crashed { return }
        }
    }

    /// Batches in a list of items, each complete and once.
    private static func batches(_ items: [[UInt8]], _ context: Comment) -> Set<Int> {
        var counts: [Int: Int] = [:]
        #expect(Set(items).count == items.count, context)
        for item in items {
            guard let place = places[item] else {
                Issue.record("an item was invented: \(item) \(context)")
                continue
            }
            counts[place.batch, default: 0] += 1
        }
        #expect(counts.values.allSatisfy { $0 == batchItems }, context)
        return Set(counts.keys)
    }

    /// Opens the table on a disk and checks what is there.
    private static func checkDisk(_ files: SimulatedFileSystem, _ progress: Progress, _ context: Comment) throws {
        let table = try open(files)
        for name in ["tmp", "txn"] { #expect(try files.list(path + "/" + name).isEmpty, context) }
        let found = batches(try table.scan(), context)
        #expect(found.isSuperset(of: progress.flushed), context)
        #expect(found.allSatisfy { $0 < progress.attempted }, context)
        #expect(table.parts.reduce(0) { $0 + $1.items } == UInt64(found.count * batchItems), context)
        // It works on: one more item, one merge, and everything is there after yet another crash.
        try table.add([[0xFE]])
        try table.mergeAll()
        let again = try open(files.afterCrash(seed: 1, outcome: .nothingKept))
        let items = try again.scan()
        #expect(items.last == [0xFE], context)
        #expect(batches(items.dropLast(), context) == found, context)
        #expect(again.parts.count == 1, context)
    }

    /// Number of operations of an undisturbed run, and what it records.
    private static func undisturbed() throws -> [FileOperation] {
        let files = try disk(.changes)
        let table = try open(files)
        var progress = Progress()
        run(table, &progress)
        #expect(progress.errors.isEmpty && progress.flushed.count == batchCount)
        #expect(table.metrics.mergesFinished == 2)
        #expect(table.metrics.flushes >= 8)
        try table.close()
        return files.record
    }

    @Test func crashAtEveryOperation() throws {
        let operations = try Self.undisturbed()
        #expect(operations.count > 300)
        for number in 1...operations.count {
            let files = try Self.disk(.nothing, FaultPlan(crashAtOperation: number))
            var progress = Progress()
            if let table = try? Self.open(files) {
                Self.run(table, &progress)
                try? table.close()
            }
            #expect(files.hasCrashed)
            let outcomes: [CrashOutcome] = [.nothingKept, .everythingKept, .bySeed, .bySeed]
            for (index, outcome) in outcomes.enumerated() {
                let disk = files.afterCrash(
                    seed: Seeds.derive(UInt64(number), "crash", index), outcome: outcome, recording: .nothing)
                try Self.checkDisk(
                    disk, progress, "crash at \(number), \(operations[number - 1]), outcome \(index) \(outcome)")
            }
        }
    }

    /// Runs the workload under a plan; lifts the fault; everything that was taken must come out.
    private static func checkFault(_ plan: FaultPlan, _ kinds: Set<StorageError.Kind>, _ context: Comment) throws {
        let files = try Self.disk()
        let table = try open(files)
        files.faults = plan
        var progress = Progress()
        run(table, &progress)
        #expect(progress.errors.allSatisfy { kinds.contains($0.kind) }, "\(progress.errors) \(context)")
        #expect(progress.attempted == batchCount, context)
        // What was flushed can be read while the fault lasts.
        #expect(batches(try table.scan(), context).isSuperset(of: progress.flushed), context)
        files.faults = FaultPlan()
        do throws(StorageError) {
            try table.flush()
            let items = try table.scan()
            #expect(batches(items, context) == progress.added, context)
            #expect(table.metrics.items == UInt64(progress.added.count * batchItems), context)
            progress.flushed = progress.added
            try table.mergeAll()
            try table.close()
        } catch {
            // The table has stopped, and says what to do.
            #expect(error.message.contains("open the table again"), "\(error) \(context)")
            #expect(kinds.contains(error.kind), context)
            _ = batches(try table.scan(.everything), context)
            try? table.close()
        }
        try checkDisk(files, progress, context)
        let disk = files.afterCrash(seed: 3, outcome: .nothingKept, recording: .nothing)
        let last = try open(disk)
        #expect(batches(try last.scan().dropLast(), context).isSuperset(of: progress.flushed), context)
    }

    @Test func errorAtEveryOperation() throws {
        let operations = try Self.undisturbed()
        let first = try Self.disk()
        _ = try Self.open(first)
        for number in (first.operationCount + 1)...operations.count {
            let context: Comment = "error at \(number), \(operations[number - 1])"
            try Self.checkFault(FaultPlan(rules: [.at(number)]), [.io(errno: EIO)], "once: \(context)")
            let persistent = FaultRule { $0.number >= number }
            try Self.checkFault(FaultPlan(rules: [persistent]), [.io(errno: EIO)], "from then on: \(context)")
        }
    }

    @Test func errorInEveryRead() throws {
        for skip in 0..<60 {
            let rule = FaultRule.on(.read, .open, .status, .list, skip: skip, times: 1)
            try Self.checkFault(FaultPlan(rules: [rule]), [.io(errno: EIO)], "read \(skip)")
        }
    }

    @Test func fullDiskAtEverySize() throws {
        let files = try Self.disk(.changes)
        let table = try Self.open(files)
        var progress = Progress()
        Self.run(table, &progress)
        var largest = files.usedSpaceBytes
        try table.close()
        largest *= 2
        for capacity in stride(from: 2, through: largest, by: 61) {
            try Self.checkFault(FaultPlan(capacityBytes: capacity), [.noSpace], "capacity \(capacity)")
        }
    }

    /// Adding to a full disk fails with `.noSpace` when the memory is used up, and goes on afterwards.
    @Test func addStopsOnAFullDiskAndGoesOn() throws {
        let files = try Self.disk()
        let table = try Self.open(files)
        files.faults = FaultPlan(capacityBytes: 10)
        var added: [[UInt8]] = []
        var failures = 0
        for number in 0..<3000 {
            let item = Array("item \(10000 + number)".utf8)
            do {
                try table.add([item])
                added.append(item)
            } catch {
                #expect(error.kind == .noSpace)
                failures += 1
            }
        }
        #expect(failures > 1000 && !added.isEmpty)
        #expect(table.metrics.pendingBytes < 100_000)
        #expect(table.metrics.stalls > 0 && table.metrics.failures > 0)
        #expect(try table.scan(.everything) == added)
        #expect(try table.scan(.durable).isEmpty)
        files.faults = FaultPlan()
        let last = Array("last".utf8)
        try table.add([last])
        try table.flush()
        #expect(try table.scan() == added + [last])
        try table.close()
    }
}
