// RunDirectoryTests.swift - a run leaves all of its files or none, and removes nothing that is not its own.

import StorageFiles
import StorageRuntime
import Testing

@testable import BenchHarness

@Suite struct RunDirectoryTests {
    private let files = SimulatedFileSystem()

    private func names(_ path: String) throws -> [String] { try files.list(path).map(\.name) }

    private func put(_ path: String) throws { try files.writeAtomically([1, 2, 3], to: path) }

    @Test func aFinishedRunHasItsFilesAndNothingElse() throws {
        let directory = try RunDirectory(files: files, out: "/runs/a/", data: nil, keepsData: false)
        #expect(directory.outPath == "/runs/a")
        try files.makeDirectory(directory.tablePath, parents: false)
        try put(directory.tablePath + "/part")
        #expect(try files.kind(of: "/runs/a") == nil)
        try directory.publish([("run.json", [1]), ("summary.md", [2])])
        #expect(try names("/runs") == ["a"])
        #expect(try names("/runs/a") == ["run.json", "summary.md"])
    }

    @Test func anEndedRunLeavesNothing() throws {
        do {
            let directory = try RunDirectory(files: files, out: "/runs/a", data: nil, keepsData: false)
            try files.makeDirectory(directory.tablePath, parents: false)
            try put(directory.tablePath + "/part")
            directory.discard()
        }
        #expect(try names("/runs") == [])
        // Also when nobody says so.
        _ = try RunDirectory(files: files, out: "/runs/b", data: "/data", keepsData: false)
        #expect(try names("/runs") == [])
        #expect(try files.kind(of: "/data") == nil)
    }

    @Test func aKeptTableMovesWithTheRun() throws {
        let directory = try RunDirectory(files: files, out: "/runs/a", data: nil, keepsData: true)
        try files.makeDirectory(directory.tablePath, parents: false)
        try put(directory.tablePath + "/part")
        try directory.publish([("run.json", [1])])
        #expect(try names("/runs/a/data/table") == ["part"])
    }

    @Test func aGivenDataDirectoryIsLeftAsItWas() throws {
        try files.makeDirectory("/data", parents: false)
        let directory = try RunDirectory(files: files, out: "/a", data: "/data", keepsData: false)
        #expect(directory.tablePath == "/data/table")
        try files.makeDirectory(directory.tablePath, parents: false)
        try directory.publish([])
        #expect(try names("/data") == [])
    }

    @Test func aKeptTableIsNotOursAnyMore() throws {
        let directory = try RunDirectory(files: files, out: "/a", data: "/data", keepsData: true)
        try files.makeDirectory(directory.tablePath, parents: false)
        try directory.publish([])
        #expect(try names("/data") == ["table"])
        let error = #expect(throws: HarnessError.self) {
            try RunDirectory(files: files, out: "/b", data: "/data", keepsData: false)
        }
        #expect(error?.status == .cannotCreate)
        #expect(error?.message == "/data is not empty; remove it or choose another directory with --data")
        #expect(try files.kind(of: "/b") == nil)
    }

    @Test func whatAKilledRunHasLeftIsTakenOver() throws {
        try files.makeDirectory("/data/table", parents: true)
        try put("/data/.mergeset-bench")
        try put("/data/table/part")
        let directory = try RunDirectory(files: files, out: "/a", data: "/data", keepsData: false)
        #expect(try files.kind(of: "/data/table") == nil)
        directory.discard()
        #expect(try names("/data") == [])
    }

    @Test func whatIsNotOursIsRefused() throws {
        try files.makeDirectory("/full", parents: false)
        try put("/full/precious")
        try put("/file")
        for path in ["/full", "/file"] {
            for (out, data) in [(path, nil as String?), ("/a", path)] {
                let error = #expect(throws: HarnessError.self) {
                    try RunDirectory(files: files, out: out, data: data, keepsData: false)
                }
                #expect(error?.status == .cannotCreate)
            }
        }
        #expect(try names("/full") == ["precious"])
        #expect(try names("/") == ["file", "full"])
    }

    @Test func anEmptyDirectoryMayBeUsed() throws {
        try files.makeDirectory("/a", parents: false)
        try RunDirectory(files: files, out: "/a", data: nil, keepsData: false).publish([("run.json", [1])])
        #expect(try names("/a") == ["run.json"])
    }
}
