// TransactionTests.swift - recovery of tables against golden directories.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import Mergeset

/// The cases of Tests/Golden/mergeset/txn.json, on both file systems.
@Suite struct TransactionGoldenTests {
    /// What is to be seen of a table directory: names, with `/` behind directories, and what is in tmp/ and txn/.
    private static func entries(_ table: String, on files: any FileSystem) throws -> [String] {
        var names: [String] = []
        for entry in try files.list(table) {
            names.append(entry.name + (entry.kind == .directory ? "/" : ""))
            guard entry.name == "tmp" || entry.name == "txn" else { continue }
            names += try files.list(Paths.join(table, entry.name)).map { entry.name + "/" + $0.name }
        }
        return names.sorted()
    }

    private static func build(_ golden: JSON, _ parts: JSON, in directory: TemporaryDirectory) throws {
        let files = RealFileSystem()
        try files.makeDirectory(directory.path("table"), parents: false)
        for entry in try golden["layout"].array {
            let path = "table/" + (try entry["path"].string)
            if entry["text"].isPresent {
                let text = try entry["text"].string.split(separator: "{TABLE}", omittingEmptySubsequences: false)
                try directory.write(Array(text.joined(separator: directory.path("table")).utf8), to: path)
            } else if entry["part"].isPresent {
                let only = Set(try entry["only_files"].array.map { try $0.string })
                for (name, bytes) in try contents(parts[try entry["part"].string])
                where only.isEmpty || only.contains(name) {
                    try directory.write(bytes, to: path + "/" + name)
                }
            } else {
                try files.makeDirectory(directory.path(path), parents: true)
            }
        }
    }

    private static func contents(_ part: JSON) throws -> [String: [UInt8]] {
        try part["files"].object.mapValues { file in
            file["text"].isPresent ? Array(try file["text"].string.utf8) : try file["hex"].bytes
        }
    }

    private static func check(_ golden: JSON, _ parts: JSON, _ table: String, on files: any FileSystem) throws {
        let expected = try golden["entries_after_open"].array.map { try $0.string }.sorted()
        if try golden["open"].string.hasPrefix("error: cannot run transactions") {
            let error = #expect(throws: StorageError.self) {
                try PartTransaction.recover(roots: [table], allowsRemoval: false, on: files)
            }
            #expect(error?.kind == .corrupted)
            #expect(error?.path == table + "/txn/16B9D2AAB0000004")
            #expect(try Self.entries(table, on: files) == expected)
            return
        }
        for _ in 0..<2 {  // a second open finds nothing to do
            try PartTransaction.recover(roots: [table], allowsRemoval: false, on: files)
            // The table drops empty part directories when it opens its parts.
            for entry in try files.list(table) where entry.kind == .directory && entry.name.contains("_") {
                let path = Paths.join(table, entry.name)
                if try files.list(path).isEmpty { try files.removeAll(path) }
            }
            #expect(try Self.entries(table, on: files) == expected)
        }
        let ignored: Set = ["tmp", "txn", "snapshots", "cache"]
        let names = try files.list(table).filter { $0.kind == .directory && !ignored.contains($0.name) }.map(\.name)
        guard try golden["open"].string == "ok" else {
            #expect(throws: StorageError.self) {
                for name in names { _ = try PartMetadata.read(directory: Paths.join(table, name), on: files) }
            }
            return
        }
        #expect(names == (try golden["parts_after_open"].array.map { try $0.string }.sorted()))
        for name in names {
            let part = try #require(try parts.object.values.first { try $0["dir_name"].string == name })
            var found: [String: [UInt8]] = [:]
            for file in try files.list(Paths.join(table, name)) {
                found[file.name] = try files.readAll(
                    Paths.join(Paths.join(table, name), file.name), limitBytes: 1 << 20
                ).array()
            }
            #expect(found == (try contents(part)))
        }
    }

    @Test func realFileSystem() throws {
        let golden = try Golden.json("mergeset/txn.json")
        #expect(try golden["cases"].array.count >= 24)
        for testCase in try golden["cases"].array {
            let directory = try TemporaryDirectory()
            try Self.build(testCase, golden["parts"], in: directory)
            try Self.check(testCase, golden["parts"], directory.path("table"), on: RealFileSystem())
        }
    }

    @Test func simulatedFileSystem() throws {
        let golden = try Golden.json("mergeset/txn.json")
        for testCase in try golden["cases"].array {
            let directory = try TemporaryDirectory()
            try Self.build(testCase, golden["parts"], in: directory)
            let files = SimulatedFileSystem()
            try files.load(directory.path("table"), of: RealFileSystem(), into: directory.path("table"))
            try Self.check(testCase, golden["parts"], directory.path("table"), on: files)
        }
    }

    @Test func committedTableIsFinished() throws {
        let directory = try TemporaryDirectory()
        let table = try directory.copyTable("mergeset/tables/pending_txn")
        let files = RealFileSystem()
        #expect(try PartTransaction.recover(roots: [table], allowsRemoval: false, on: files) == 1)
        let expected = try Golden.json("mergeset/tables/pending_txn.expected.json")["parts_after_open"].array
        let parts = try files.list(table).filter { $0.kind == .directory && $0.name.contains("_") }.map(\.name)
        #expect(parts == (try expected.map { try $0.string }))
        #expect(try files.list(table + "/tmp").isEmpty)
        #expect(try files.list(table + "/txn").isEmpty)
    }

    @Test func relativeTablePath() throws {
        let files = SimulatedFileSystem()  // its current directory is /
        for path in ["data/t/txn", "data/t/tmp/0000000000000002", "data/t/1_1_0000000000000001"] {
            try files.makeDirectory(path, parents: true)
        }
        let transaction = PartTransaction(
            root: "data/t", sources: ["data/t/1_1_0000000000000001"], suffix: 2, target: "2_1_0000000000000002")
        try transaction.write(to: PartTransaction.path(root: "data/t", suffix: 2), on: files)
        #expect(try PartTransaction.recover(roots: ["data/t"], allowsRemoval: false, on: files) == 1)
        #expect(try files.list("/data/t").map(\.name) == ["2_1_0000000000000002", "tmp", "txn"])
    }

    @Test func newTableGetsItsDirectories() throws {
        let files = SimulatedFileSystem()
        try files.makeDirectory("/t", parents: false)
        #expect(try PartTransaction.recover(roots: ["/t"], allowsRemoval: false, on: files) == 0)
        let after = files.afterCrash(seed: 1, outcome: .nothingKept)
        #expect(try after.list("/t").map(\.name) == ["tmp", "txn"])
    }
}
