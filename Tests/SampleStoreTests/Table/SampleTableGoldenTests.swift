// SampleTableGoldenTests.swift - directories of the reference: a whole storage, partitions after crashes, damaged parts, the
// layout of a snapshot.

import Foundation
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SampleStore

@Suite struct SampleTableGoldenTests {
    private static func open(
        _ data: String, damaged: String, log: (@Sendable (String) -> Void)? = nil
    ) throws(StorageError) -> SampleTable {
        var options = SampleTableOptions.tiny(memory: 1 << 20)
        options.log = log
        return try SampleTable.open(
            data, damagedDirectory: damaged, options: options, files: RealFileSystem(),
            environment: .deterministic(startUnixMilliseconds: TableFixture.start))
    }

    /// The `data` directory of the golden storage, copied.
    private static func storage(_ directory: TemporaryDirectory) throws -> String {
        try directory.copyTable("samples/storage", as: "storage") + "/data"
    }

    private static func tsid(_ hex: String) throws -> TSID {
        let bytes = try #require([UInt8](hex: hex))
        return try bytes.withUnsafeBytes { try TSID($0) }
    }

    private static func allSeries(_ golden: JSON) throws -> [TSID] {
        try golden["series"].array.map {
            try tsid($0["tsid_hex"].isPresent ? $0["tsid_hex"].string : $0["tsid"].string)
        }
        .sorted()
    }

    // MARK: storage

    @Test func theWholeStorageIsReadBack() throws {
        let golden = try Golden.json("samples/storage.json")
        let directory = try TemporaryDirectory()
        let data = try Self.storage(directory)
        let series = try Self.allSeries(golden)
        var table = try Self.open(data, damaged: directory.path("damaged"))
        for round in 0..<3 {
            var rows = try table.rows(of: series)
            // Rows of a series in order of time, whatever parts they come from.
            rows = rows.enumerated().sorted {
                $0.element.tsid == $1.element.tsid
                    ? ($0.element.timestamp, $0.offset) < ($1.element.timestamp, $1.offset)
                    : isSmaller($0.element.tsid, $1.element.tsid)
            }.map(\.element)
            #expect(rows.count == 14_001, "round \(round)")
            #expect(try rows.count == golden["rows_total"].int)
            #expect(try Fixture.digest(rows) == golden["rows_sha256"].string, "round \(round)")
            if round == 0 {
                #expect(table.metrics.small.rows + table.metrics.big.rows == 14_001)
                #expect(table.metrics.small.fileParts == 3 && table.metrics.big.fileParts == 2)
            }
            // Once merged into one part a month, and once opened again.
            if round == 0 {
                let before = table.metrics.small.sizeBytes + table.metrics.big.sizeBytes
                try table.mergeAll()
                let after = table.metrics.small.sizeBytes + table.metrics.big.sizeBytes
                #expect(after <= before, "\(after) bytes, the reference has \(before)")
            } else {
                try table.close()
                table = try Self.open(data, damaged: directory.path("damaged"))
            }
        }
        #expect(table.damagedParts.isEmpty && table.metrics.partitions == 2)
        let all = try Fixture.plainRows(data, on: RealFileSystem())
        #expect(all.count == 14_001)
        try table.close()
    }

    @Test func searchesReturnTheBlocksOfTheReference() throws {
        let golden = try Golden.json("samples/storage.json")
        let directory = try TemporaryDirectory()
        let table = try Self.open(Self.storage(directory), damaged: directory.path("damaged"))
        let everything = try Self.allSeries(golden)
        var checked = 0
        for search in try golden["searches"].array {
            let name = try search["description"].string
            var series: [TSID] = []
            if case .array(let list) = search["tsids"].content {
                let texts = try list.map { try $0.string }
                series = texts == ["all"] ? everything : try texts.map { try Self.tsid($0) }.sorted()
            }
            var rows = 0
            var blocks: [[String]] = []
            let found = table.search(
                series, minTimestamp: try search["min_timestamp"].int64, maxTimestamp: try search["max_timestamp"].int64
            )
            while try found.next() {
                let header = found.header
                rows += Int(header.rowsCount)
                blocks.append([
                    Fixture.bytes(header.tsid).hex, "\(header.minTimestamp)", "\(header.maxTimestamp)",
                    "\(header.rowsCount)", Paths.lastComponent(try #require(found.partPath)),
                ])
            }
            #expect(try blocks.count == search["blocks_count"].int, "\(name)")
            #expect(try rows == search["rows_in_blocks"].int, "\(name)")
            guard case .array(let expected) = search["blocks"].content else { continue }
            let texts = try expected.map { block in
                [
                    try block[0].string, "\(try block[1].int64)", "\(try block[2].int64)", "\(try block[3].int64)",
                    try block[4].string,
                ]
            }
            #expect(Self.ordered(blocks) == Self.ordered(texts), "\(name)")
            checked += 1
        }
        #expect(checked >= 3)
        try table.close()
    }

    /// Blocks with equal keys in the order of their parts: theirs is not specified.
    private static func ordered(_ blocks: [[String]]) -> [[String]] {
        blocks.sorted { ($0[0], $0[1], $0[4], $0[2]) < ($1[0], $1[1], $1[4], $1[2]) }
    }

    /// What a snapshot of the storage looks like: directories, and hard links of all files of all parts.
    @Test func snapshotLayout() throws {
        let golden = try Golden.json("samples/snapshot-layout.json")
        let directory = try TemporaryDirectory()
        let data = try Self.storage(directory)
        let root = Paths.parent(data)
        let name = try golden["snapshot"].string
        let table = try Self.open(data, damaged: directory.path("damaged"))
        try table.snapshot(name: name)
        var expected: Set<String> = []
        for entry in try golden["entries"].array {
            let path = try entry["path"].string
            guard path.hasPrefix("data/") else { continue }  // the rest is the engine's
            expected.insert(path)
            let isDirectory = try entry["type"].string == "dir"
            #expect(try RealFileSystem().kind(of: root + "/" + path) == (isDirectory ? .directory : .file), "\(path)")
            guard !isDirectory else { continue }
            func inode(_ path: String) throws -> Int? {
                try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? Int
            }
            let original = root + "/" + (try entry["hard_link_of"].string)
            #expect(try inode(root + "/" + path) == inode(original), "\(path)")
        }
        var found: Set<String> = []
        for side in ["small", "big"] {
            let snapshots = "\(data)/\(side)/snapshots"
            found.insert("data/\(side)/snapshots")
            for case let path as String in try #require(FileManager.default.enumerator(atPath: snapshots)) {
                found.insert("data/\(side)/snapshots/\(path)")
            }
        }
        #expect(found == expected)
        try table.close()
    }

    // MARK: crashes of the reference

    /// Everything below a directory; directories end with a slash.
    private static func tree(_ root: String) throws -> Set<String> {
        var paths: Set<String> = []
        for case let path as String in try #require(FileManager.default.enumerator(atPath: root)) {
            var isDirectory: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: root + "/" + path, isDirectory: &isDirectory)
            paths.insert(path + (isDirectory.boolValue ? "/" : ""))
        }
        return paths
    }

    @Test func pendingTransactions() throws {
        let cases = try Golden.json("samples/txn.json")["cases"].array
        #expect(cases.count == 23)
        for golden in cases {
            let name = try golden["description"].string
            let directory = try TemporaryDirectory()
            let root = directory.path("root")
            let files = FileManager.default
            for entry in try golden["before"].array {
                let path = root + "/" + (try entry["path"].string)
                try files.createDirectory(atPath: Paths.parent(path), withIntermediateDirectories: true)
                switch try entry["kind"].string {
                case "part":
                    try files.copyItem(atPath: Golden.path("samples/parts/" + (try entry["part"].string)), toPath: path)
                case "dir": try files.createDirectory(atPath: path, withIntermediateDirectories: true)
                default:
                    let text = try entry["content"].string.replacingOccurrences(of: "$ROOT", with: root)
                    try directory.write(Array(text.utf8), to: "root/" + (try entry["path"].string))
                }
            }
            let before = try Self.tree(root)
            guard try golden["result"].string == "ok" else {
                let error = #expect(throws: StorageError.self, "\(name)") {
                    try Self.open(root, damaged: directory.path("damaged"))
                }
                #expect(
                    error?.kind == .corrupted && error?.path?.hasPrefix(root + "/small/2021_11/") == true, "\(name)")
                // Nothing was removed on the way: the transaction can be mended.
                let after = try Self.tree(root)
                #expect(
                    before.subtracting(after).subtracting(["small/2021_11/txn/"]).isEmpty
                        || name.contains("unknown name"), "\(name)")
                continue
            }
            for _ in 0..<2 {  // a second time there is nothing to do
                let table = try Self.open(root, damaged: directory.path("damaged"))
                let opened = table.partitions.withLock { $0.listed }.flatMap { $0.state.list.files }
                    .map { String($0.path.dropFirst(root.count + 1)) }
                var expected: [String] = []
                if case .array(let list) = golden["opened_parts"].content { expected = try list.map { try $0.string } }
                #expect(opened.sorted() == expected.sorted(), "\(name)")
                #expect(table.damagedParts.isEmpty, "\(name)")
                try table.close()
                let own: Set<String> = ["flock.lock", "small/snapshots/", "big/snapshots/"]
                let after = try Self.tree(root).subtracting(own)
                #expect(after == Set(try golden["after"].array.map { try $0.string }), "\(name)")
            }
        }
    }

    // MARK: damage

    /// Every damaged part beside a good one: what does not open is set aside, what cannot be searched or merged is an error that
    /// names it, and the good one serves in any case.
    @Test func damagedParts() throws {
        let cases = try Golden.json("samples/corrupt.json")["cases"].array
        #expect(cases.count > 80)
        var (setAside, excluded, searchErrors) = (0, 0, 0)
        for golden in cases {
            let name = try golden["description"].string
            let directory = try TemporaryDirectory()
            let partition = directory.path("data/small/2021_11")
            try FileManager.default.createDirectory(atPath: partition, withIntermediateDirectories: true)
            let good = "20_2_20211121000000.000_20211121000009.000_00000000000000C1"
            try Golden.copyTable("samples/parts/" + good, to: partition + "/" + good)
            let damaged = try DamagedFixture.name(golden)
            _ = try DamagedFixture.copy(golden, to: partition + "/" + damaged)
            if !damaged.contains("_") {
                // Nothing that anybody wrote as a part: somebody has to look.
                #expect(throws: StorageError.self, "\(name)") {
                    try Self.open(directory.path("data"), damaged: directory.path("damaged"))
                }
                continue
            }
            let log = Protected<[String]>([])
            let table = try Self.open(
                directory.path("data"), damaged: directory.path("damaged"),
                log: { line in log.withLock { $0.append(line) } })
            let opens = try golden["open"].string == "ok"
            if opens {
                #expect(table.damagedParts.isEmpty, "\(name)")
            } else {
                setAside += 1
                #expect(table.damagedParts.map(\.path) == [partition + "/" + damaged], "\(name)")
                #expect(table.metrics.partsSetAside == 1)
                #expect(try directory.names(in: "damaged") == ["small-2021_11-" + damaged], "\(name)")
                let lines = log.withLock { $0 }
                #expect(lines.count == 1 && lines.first?.contains(damaged) == true, "\(name)")
            }
            // A search meets the damage, or not; blocks of others are found. Parts A, B and E have series 0 to 6.
            var searchFails = false
            do { _ = try table.rows(0..<1500) } catch let error as StorageError {
                searchFails = true
                #expect(error.kind == .corrupted && error.path?.contains(damaged) == true, "\(name): \(error)")
            } catch is DecodeError { searchFails = true }
            if opens { #expect(searchFails == (try golden["search"].string != "ok"), "\(name)") }
            if searchFails { searchErrors += 1 }
            // A merge of both.
            let mergeError: StorageError? = {
                do throws(StorageError) {
                    try table.mergeAll()
                    return nil
                } catch { return error }
            }()
            if let mergeError {
                excluded += 1
                #expect(
                    mergeError.kind == .corrupted && mergeError.path?.contains(damaged) == true,
                    "\(name): \(mergeError)")
                #expect(table.metrics.partsExcluded == 1 && table.metrics.small.fileParts == 2, "\(name)")
                let line = log.withLock { $0.last }
                #expect(line?.contains("will not be merged any more") == true)
                // The rest goes on: the good part is merged alone from now on.
                try table.mergeAll()
                #expect(try directory.names(in: "data/small/2021_11").contains(damaged), "\(name)")
            } else if opens {
                #expect(try golden["stream"].string == "ok", "\(name)")
            }
            // Blocks that only a decoder finds damaged are copied by a merge as they are; the good rows are there in any case.
            let goodRows = table.partitions.withLock { $0.listed }.flatMap { $0.state.list.small }
                .filter { Paths.lastComponent($0.path) != damaged }.reduce(0) { $0 + $1.totals.rows }
            #expect(goodRows >= 20, "\(name)")
            try table.close()
        }
        #expect(setAside == 17 && excluded >= 45 && searchErrors == 41, "\(setAside), \(excluded), \(searchErrors)")
    }
}
