// PartTransactionCrashTests.swift - crashes and failing calls at every operation of a transaction and of its recovery.
//
// The model: a part is a directory with two files, and each part tells which original parts it holds ("a+b"). Whatever
// happens, after recovery every original is there exactly once, in complete parts, and tmp/ and txn/ are empty.

import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@Suite struct PartTransactionCrashTests {
    private static let table = "/t"
    /// More than any run here has; a loop over all operations ends before.
    private static let operationsMax = 500
    private static let outcomes: [CrashOutcome] = [.nothingKept, .everythingKept, .bySeed, .bySeed, .bySeed, .bySeed]

    /// Writes a durable part that holds the given originals.
    private static func makePart(_ path: String, _ originals: String, on files: any FileSystem) throws {
        try files.makeDirectory(path, parents: false)
        try files.writeAtomically(Array(originals.utf8), to: path + "/items.bin")
        try files.writeAtomically(Array(originals.utf8), to: path + "/metadata.json")
    }

    /// A table of three parts; nothing is pending.
    private static func makeTable(recording: SimulatedFileSystem.Recording = .nothing) throws -> SimulatedFileSystem {
        let files = SimulatedFileSystem()
        try files.makeDirectory(table, parents: false)
        try PartTransaction.recover(roots: [table], allowsRemoval: false, on: files)
        for name in ["a", "b", "c"] { try makePart(table + "/" + name, name, on: files) }
        return files.afterCrash(seed: 0, outcome: .everythingKept, recording: recording)
    }

    private static let merge = PartTransaction(
        root: table, sources: ["\(table)/a", "\(table)/b", "\(table)/c"], suffix: 7, target: "abc")
    private static let file = PartTransaction.path(root: table, suffix: 7)

    /// The parts of a table after recovery, each checked to be complete: what they hold, by name.
    private static func parts(on files: any FileSystem) throws -> [String: String] {
        var parts: [String: String] = [:]
        for entry in try files.list(table) {
            let path = table + "/" + entry.name
            if entry.name == "tmp" || entry.name == "txn" {
                #expect(try files.list(path).isEmpty, "\(path)")
                continue
            }
            let items = try files.readAll(path + "/items.bin", limitBytes: 100).array()
            #expect(items == (try files.readAll(path + "/metadata.json", limitBytes: 100).array()))
            #expect(try files.list(path).count == 2)
            parts[entry.name] = String(decoding: items, as: UTF8.self)
        }
        return parts
    }

    private static let before = ["a": "a", "b": "b", "c": "c"]
    private static let after = ["abc": "a+b+c"]

    /// Recovers copies of a crashed disk in many ways, and checks that the parts are one of `allowed` each time.
    private static func checkRecovery(
        of crashed: SimulatedFileSystem, seed: UInt64, allowed: [[String: String]], crashingAgain: Bool = false,
        _ context: Comment
    ) throws {
        for (index, outcome) in outcomes.enumerated() {
            let seed = Seeds.derive(seed, "crash", index)
            let disk = crashed.afterCrash(seed: seed, outcome: outcome)
            if crashingAgain && index < 4 {
                for crashAt in 1...Self.operationsMax {
                    let again = disk.snapshot()
                    again.faults = FaultPlan(crashAtOperation: crashAt)
                    _ = try? PartTransaction.recover(roots: [table], allowsRemoval: false, on: again)
                    if !again.hasCrashed { break }
                    let last = again.afterCrash(seed: seed &+ UInt64(crashAt), outcome: outcome)
                    try PartTransaction.recover(roots: [table], allowsRemoval: false, on: last)
                    #expect(allowed.contains(try parts(on: last)), context)
                }
            }
            try PartTransaction.recover(roots: [table], allowsRemoval: false, on: disk)
            let found = try parts(on: disk)
            #expect(allowed.contains(found), context)
            // What recovery reported is durable.
            #expect(try parts(on: disk.afterCrash(seed: seed, outcome: .nothingKept)) == found, context)
        }
    }

    @Test(arguments: TestSeeds.thisRun) func crashAtEveryOperation(seed: UInt64) throws {
        let base = try Self.makeTable()
        try Self.makePart(PartTransaction.temporaryPath(root: Self.table, suffix: 7), "a+b+c", on: base)
        var crashes = 0
        for crashAt in 1...Self.operationsMax {
            let files = base.snapshot()
            files.faults = FaultPlan(crashAtOperation: crashAt)
            var (isCommitted, isExecuted) = (false, false)
            do {
                try Self.merge.write(to: PartTransaction.path(root: Self.table, suffix: 7), on: files)
                isCommitted = true
                try Self.merge.execute(inside: [Self.table], file: Self.file, on: files)
                isExecuted = true
            } catch {
                #expect(files.hasCrashed)
            }
            let hadCrashed = files.hasCrashed  // asking for the disk after a crash makes it one
            let allowed = isCommitted ? [Self.after] : [Self.before, Self.after]
            if isExecuted {
                // Durable, even before any recovery.
                let disk = files.afterCrash(seed: seed, outcome: .nothingKept)
                #expect(try disk.list(Self.table).map(\.name) == ["abc", "tmp", "txn"])
            }
            #expect(crashAt < Self.operationsMax, "every run crashes")
            try Self.checkRecovery(
                of: files, seed: Seeds.derive(seed, "op", crashAt), allowed: allowed, crashingAgain: true,
                "seed \(seed), operation \(crashAt)")
            if !hadCrashed { break }
            crashes += 1
        }
        #expect(crashes >= 20)  // 6 of the write, 4 for each source, rename, sync, removal
    }

    /// A second transaction merges the result of the first one with a third part; a file that came back must not harm.
    @Test(arguments: TestSeeds.thisRun) func dependentTransactions(seed: UInt64) throws {
        let base = try Self.makeTable()
        let first = PartTransaction(
            root: Self.table, sources: ["\(Self.table)/b", "\(Self.table)/a"], suffix: 1, target: "ab")
        let second = PartTransaction(
            root: Self.table, sources: ["\(Self.table)/ab", "\(Self.table)/c"], suffix: 2, target: "abc")
        let states = [Self.before, ["ab": "a+b", "c": "c"], Self.after]
        for crashAt in 1...Self.operationsMax {
            let files = base.snapshot()
            files.faults = FaultPlan(crashAtOperation: crashAt)
            var durableState = 0
            do {
                try Self.makePart(PartTransaction.temporaryPath(root: Self.table, suffix: 1), "a+b", on: files)
                try first.write(to: PartTransaction.path(root: Self.table, suffix: 1), on: files)
                durableState = 1
                try first.execute(
                    inside: [Self.table], file: PartTransaction.path(root: Self.table, suffix: 1), on: files)
                try Self.makePart(PartTransaction.temporaryPath(root: Self.table, suffix: 2), "a+b+c", on: files)
                try second.write(to: PartTransaction.path(root: Self.table, suffix: 2), on: files)
                durableState = 2
                try second.execute(
                    inside: [Self.table], file: PartTransaction.path(root: Self.table, suffix: 2), on: files)
            } catch {
                #expect(files.hasCrashed)
            }
            let hadCrashed = files.hasCrashed
            #expect(crashAt < Self.operationsMax, "every run crashes")
            try Self.checkRecovery(
                of: files, seed: Seeds.derive(seed, "op", crashAt), allowed: Array(states[durableState...]),
                "seed \(seed), operation \(crashAt)")
            if !hadCrashed { break }
        }
    }

    /// One call of the write fails, or all from one on: unless the failure says that the transaction may be committed,
    /// the caller may remove the temporary part and go on with the sources.
    @Test(arguments: TestSeeds.thisRun, [1, nil]) func failingWrite(seed: UInt64, times: Int?) throws {
        let base = try Self.makeTable()
        try Self.makePart(PartTransaction.temporaryPath(root: Self.table, suffix: 7), "a+b+c", on: base)
        var (rolledBack, undecided) = (0, 0)
        for failAt in 1...Self.operationsMax {
            #expect(failAt < Self.operationsMax, "every run fails")
            let files = base.snapshot()
            let first = files.operationCount + failAt
            files.faults = FaultPlan(rules: [FaultRule(times: times) { $0.number >= first }])
            do throws(PartTransaction.WriteFailure) {
                try Self.merge.write(to: PartTransaction.path(root: Self.table, suffix: 7), on: files)
                if files.operationCount < first { break }  // all its operations were tried
                Issue.record("the failing operation \(failAt) was not noticed")
            } catch {
                #expect(error.error.kind == .io(errno: 5))
                files.faults = FaultPlan()
                if error.mayBeCommitted {
                    undecided += 1
                } else {
                    rolledBack += 1
                    try files.removeAll(Self.merge.temporary)
                }
                let allowed = error.mayBeCommitted ? [Self.before, Self.after] : [Self.before]
                try Self.checkRecovery(of: files, seed: seed, allowed: allowed, "seed \(seed), operation \(failAt)")
            }
        }
        if times == nil { #expect(undecided > 0) } else { #expect(rolledBack > 4) }
    }

    /// One call of the execution fails; it is repeated at once, or the process dies and recovers.
    @Test(arguments: TestSeeds.thisRun) func failingExecution(seed: UInt64) throws {
        let base = try Self.makeTable()
        try Self.makePart(PartTransaction.temporaryPath(root: Self.table, suffix: 7), "a+b+c", on: base)
        try Self.merge.write(to: PartTransaction.path(root: Self.table, suffix: 7), on: base)
        for failAt in 1...Self.operationsMax {
            #expect(failAt < Self.operationsMax, "every run fails")
            let files = base.snapshot()
            files.faults = FaultPlan(rules: [.at(files.operationCount + failAt)])
            let operations = files.operationCount + failAt
            do throws(StorageError) {
                try Self.merge.execute(inside: [Self.table], file: Self.file, on: files)
            } catch {
                #expect(error.kind == .io(errno: 5))
                #expect(error.path != nil)
                try Self.checkRecovery(of: files.snapshot(), seed: seed, allowed: [Self.after], "operation \(failAt)")
                try Self.merge.execute(inside: [Self.table], file: Self.file, on: files)
            }
            #expect(try files.list(Self.table).map(\.name) == ["abc", "tmp", "txn"])
            let isOver = files.operationCount < operations
            try Self.checkRecovery(of: files, seed: seed, allowed: [Self.after], "operation \(failAt)")
            if isOver { break }
        }
    }

    @Test func badPathsChangeNothing() throws {
        let files = try Self.makeTable()
        try Self.makePart(PartTransaction.temporaryPath(root: Self.table, suffix: 7), "a+b+c", on: files)
        for text in [
            "/t/a\n/t/../x\n/t/tmp/0000000000000007 -> /t/abc\n", "/t/a\n/t\n/t/tmp/0000000000000007 -> /t/abc\n",
            "/t/a\n/t/tmp/0000000000000007 -> /tx/abc\n", "/t/a\n/t/b/../../t2/tmp -> /t/abc\n",
            "/t/a\n/t/tmp/0000000000000007 -> /t/c\n",  // something is there already
        ] {
            let transaction = try PartTransaction(parsing: Array(text.utf8), path: "f", allowsRemoval: false)
            let error = #expect(throws: StorageError.self) {
                try transaction.execute(inside: [Self.table], file: "/t/txn/f", on: files)
            }
            #expect(error?.kind == .corrupted)
            #expect(error?.path == "/t/txn/f")
        }
        #expect(try files.list(Self.table).map(\.name) == ["a", "b", "c", "tmp", "txn"])
        let normalised = try PartTransaction(
            parsing: Array("/t//./a\n/t/tmp/0000000000000007 -> /t/b/../abc\n".utf8), path: "f", allowsRemoval: false)
        try normalised.execute(inside: [Self.table], file: "/t/txn/f", on: files)
        #expect(try files.list(Self.table).map(\.name) == ["abc", "b", "c", "tmp", "txn"])
    }
}
