// PartTransactionTests.swift - the transaction file as a text, and transactions with two roots or without a new part.

import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@Suite struct PartTransactionTextTests {
    @Test func textIsThatOfTheReference() throws {
        let root = "/data/indexdb/16B9"
        let transaction = PartTransaction(
            root: root, sources: ["\(root)/1_1_18E9E590AFBF607F", "\(root)/1_1_18E9E590AFBF6080"],
            suffix: 0x18E9_E590_AFBF_6081, target: "2_1_18E9E590AFBF6081")
        let text = """
            /data/indexdb/16B9/1_1_18E9E590AFBF607F
            /data/indexdb/16B9/1_1_18E9E590AFBF6080
            /data/indexdb/16B9/tmp/18E9E590AFBF6081 -> /data/indexdb/16B9/2_1_18E9E590AFBF6081

            """
        #expect(transaction.text == text)
        #expect(try PartTransaction(parsing: Array(text.utf8), path: "f", allowsRemoval: false) == transaction)
        #expect(
            try PartTransaction(parsing: Array(text.utf8.dropLast()), path: "f", allowsRemoval: false) == transaction)
        let flush = PartTransaction(
            root: "t", sources: [], suffix: 1, target: "1_1_0000000000000001")
        #expect(flush.text == "t/tmp/0000000000000001 -> t/1_1_0000000000000001\n")
    }

    @Test func brokenTextsAreRefused() {
        for text in [
            "", "\n", "/t/a\n", "/t/a -> /t/b\n\n", "/t/a -> /t/b -> /t/c\n", "/t/a->/t/b\n", " -> /t/b\n",
            "/t/a -> \n",
            "\n/t/a -> /t/b\n", "/t/a -> /t/b\n/t/c\n", "/t/\u{0}\n",
        ] {
            let error = #expect(throws: StorageError.self, "\(text)") {
                try PartTransaction(parsing: Array(text.utf8), path: "/t/txn/1", allowsRemoval: false)
            }
            #expect(error?.kind == .corrupted)
            #expect(error?.path == "/t/txn/1")
        }
        #expect(throws: StorageError.self) {
            try PartTransaction(parsing: [0xFF] + Array(" -> b\n".utf8), path: "f", allowsRemoval: false)
        }
    }

    @Test func unfinishedNames() {
        for name in ["1.tmp.1", ".tmp.0", "16B9D2AAB0000004.tmp.17", "a.tmp.2.tmp.3"] {
            #expect(PartTransaction.isUnfinished(name), "\(name)")
        }
        for name in ["", "1", "1.tmp.", "1.tmp.x", "1.tmp.1x", "1tmp.1", "1.tmp1", "tmp.1", "16B9D2AAB0000004"] {
            #expect(!PartTransaction.isUnfinished(name), "\(name)")
        }
    }

    @Test func tablePathsThatTheFileCannotHoldAreRefused() throws {
        for table in ["/a -> b", "/a\nb"] {
            let files = SimulatedFileSystem()
            try files.makeDirectory(table + "/txn", parents: true)
            let transaction = PartTransaction(
                root: table, sources: ["\(table)/x"], suffix: 1, target: "y")
            do throws(PartTransaction.WriteFailure) {
                try transaction.write(to: PartTransaction.path(root: table, suffix: 1), on: files)
                Issue.record("written")
            } catch {
                #expect(error.error.kind == .invalidArgument)
                #expect(!error.mayBeCommitted)
            }
            #expect(try files.list(table + "/txn").isEmpty)
        }
    }

    @Test func withoutANewPart() throws {
        let transaction = PartTransaction(root: "/t", sources: ["/t/a"], suffix: 1, target: nil)
        #expect(transaction.text == "/t/a\n/t/tmp/0000000000000001 -> \n")
        let bytes = Array(transaction.text.utf8)
        #expect(try PartTransaction(parsing: bytes, path: "f", allowsRemoval: true) == transaction)
        let noNewline = Array(bytes.dropLast())
        #expect(try PartTransaction(parsing: noNewline, path: "f", allowsRemoval: true) == transaction)
        #expect(throws: StorageError.self) { try PartTransaction(parsing: bytes, path: "f", allowsRemoval: false) }
        for text in ["/t/a -> \n\n", " -> \n", "/t/a ->\n"] {
            #expect(throws: StorageError.self, "\(text)") {
                try PartTransaction(parsing: Array(text.utf8), path: "f", allowsRemoval: true)
            }
        }
    }
}

/// Transactions whose parts lie in two roots, as those of a partition of samples.
@Suite struct PartTransactionRootsTests {
    private static let roots = ["/d/small/m", "/d/big/m"]

    private static func makeRoots() throws -> SimulatedFileSystem {
        let files = SimulatedFileSystem()
        for path in ["/d", "/d/small", "/d/big"] + roots { try files.makeDirectory(path, parents: false) }
        try PartTransaction.recover(roots: roots, allowsRemoval: true, on: files)
        for part in ["/d/small/m/a", "/d/small/m/b", "/d/big/m/c"] {
            try files.makeDirectory(part, parents: false)
            try files.writeAtomically(Array(part.utf8), to: part + "/items")
        }
        return files
    }

    private static func names(_ files: any FileSystem) throws -> [[String]] {
        try roots.map { root in try files.list(root).map(\.name) }
    }

    /// A crash at every operation: afterwards everything or nothing has happened, once.
    @Test(arguments: [true, false]) func crashAtEveryOperation(hasTarget: Bool) throws {
        let base = try Self.makeRoots()
        let sources = ["/d/small/m/a", "/d/big/m/c"]
        let transaction = PartTransaction(
            root: "/d/big/m", sources: sources, suffix: 7, target: hasTarget ? "ac" : nil)
        if hasTarget {
            try base.makeDirectory(transaction.temporary, parents: false)
            try base.writeAtomically([1], to: transaction.temporary + "/items")
        }
        let before = [["a", "b", "tmp", "txn"], ["c", "tmp", "txn"]]
        let after = [["b", "tmp", "txn"], hasTarget ? ["ac", "tmp", "txn"] : ["tmp", "txn"]]
        for crashAt in 1...200 {
            let files = base.snapshot()
            files.faults = FaultPlan(crashAtOperation: files.operationCount + crashAt)
            var isCommitted = false
            do throws(PartTransaction.WriteFailure) {
                try transaction.commit(roots: ["/d/big/m", "/d/small/m"], suffix: 7, on: files)
                isCommitted = true
            } catch {
                #expect(files.hasCrashed)
            }
            let hadCrashed = files.hasCrashed
            for (index, outcome) in [CrashOutcome.nothingKept, .everythingKept, .bySeed, .bySeed].enumerated() {
                let disk = files.afterCrash(seed: UInt64(crashAt * 10 + index), outcome: outcome)
                try PartTransaction.recover(roots: Self.roots, allowsRemoval: true, on: disk)
                let found = try Self.names(disk)
                #expect(found == after || (!isCommitted && found == before), "operation \(crashAt): \(found)")
            }
            if !hadCrashed { return }
        }
        Issue.record("every run crashes")
    }

    /// A commit that fails before its point of commit leaves no temporary part behind.
    @Test func failedCommitIsTakenBack() throws {
        let files = try Self.makeRoots()
        let transaction = PartTransaction(root: "/d/big/m", sources: ["/d/small/m/a"], suffix: 7, target: "ac")
        try files.makeDirectory(transaction.temporary, parents: false)
        files.faults = FaultPlan(rules: [.on(.create, pathContaining: "txn", error: .noSpace, times: 1)])
        do throws(PartTransaction.WriteFailure) {
            try transaction.commit(roots: ["/d/big/m", "/d/small/m"], suffix: 7, on: files)
            Issue.record("committed")
        } catch {
            #expect(error.error.kind == .noSpace && !error.mayBeCommitted)
        }
        #expect(try Self.names(files) == [["a", "b", "tmp", "txn"], ["c", "tmp", "txn"]])
        #expect(try files.list("/d/big/m/tmp").isEmpty)
    }

    @Test func pathsOutsideOfAllRootsAreRefused() throws {
        let files = try Self.makeRoots()
        for (source, target) in [
            ("/d/other/a", "/d/big/m/x"), ("/d/small/m/a", "/d/big/n/x"), ("/d/small/m", "/d/big/m/x"),
        ] {
            let text = "\(source)\n/d/big/m/tmp/0000000000000007 -> \(target)\n"
            let transaction = try PartTransaction(parsing: Array(text.utf8), path: "f", allowsRemoval: true)
            #expect(throws: StorageError.self) {
                try transaction.execute(inside: Self.roots, file: "/d/big/m/txn/f", on: files)
            }
        }
        #expect(try Self.names(files) == [["a", "b", "tmp", "txn"], ["c", "tmp", "txn"]])
    }
}
