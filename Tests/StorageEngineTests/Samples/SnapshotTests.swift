// SnapshotTests.swift - copies of a storage: names, layout, contents, removal, failures.

import Foundation
import SampleStore
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct SnapshotTests {
    private static func add(_ fixture: EngineFixture, _ series: Range<Int>, _ timestampMs: Int64) throws -> [SampleRow]
    {
        try fixture.engine.add(StorageLifeTests.rows(series, timestampMs))
        return fixture.sink.takeRows()
    }

    /// Opens a snapshot as a storage of its own and reads the rows of series.
    private static func rows(
        of snapshot: String, _ fixture: EngineFixture, _ tsids: [TSID], files: (any FileSystem)? = nil
    ) throws -> [UInt64: [StoredRow]] {
        let copy = try StorageEngine.open(
            "\(fixture.path)/snapshots/\(snapshot)", options: fixture.options, files: files ?? fixture.files,
            environment: .deterministic(startUnixMilliseconds: fixture.nowMs))
        defer { try? copy.close() }
        #expect(copy.damagedParts == [])
        return try copy.rows(tsids)
    }

    @Test func snapshotHoldsWhatWasAddedBefore() throws {
        let fixture = try EngineFixture(keepsSamples: true)
        var sent = try Self.add(fixture, 0..<40, fixture.nowMs)
        try fixture.engine.flush()
        sent += try Self.add(fixture, 0..<60, fixture.nowMs - 2 * Span.day)
        sent += try Self.add(fixture, 20..<80, fixture.nowMs + 1)
        let name = try fixture.engine.createSnapshot()
        #expect(StorageEngine.isSnapshotName(name) && name.hasPrefix("20220101000000-"))
        let later = try Self.add(fixture, 0..<90, fixture.nowMs + 2)
        try fixture.engine.settle()
        try fixture.engine.forceMerge()
        let tsids = (sent + later).map(\.tsid)
        #expect(try Self.rows(of: name, fixture, tsids) == sent.byID)
        // Once more, now that somebody has opened it; and the storage itself is untouched.
        #expect(try Self.rows(of: name, fixture, tsids) == sent.byID)
        #expect(try fixture.engine.rows(tsids) == (sent + later).byID)
        try fixture.close()
    }

    @Test func snapshotTakesRowsThatOnlyTheMemoryHas() throws {
        let fixture = try EngineFixture(options: .tiny(run: 1 << 20, memory: 1 << 22), keepsSamples: true)
        let sent = try Self.add(fixture, 0..<100, fixture.nowMs)
        #expect(fixture.engine.metrics.samples?.flushes == 0)
        let name = try fixture.engine.createSnapshot()
        #expect(try Self.rows(of: name, fixture, sent.map(\.tsid)) == sent.byID)
        try fixture.close()
    }

    @Test func namesAreListedAndRemoved() throws {
        let fixture = try EngineFixture(keepsSamples: true)
        let engine = fixture.engine
        _ = try Self.add(fixture, 0..<10, fixture.nowMs)
        var names: [String] = []
        for _ in 0..<3 {
            names.append(try engine.createSnapshot())
            fixture.clock.move(milliseconds: 1500)
        }
        #expect(names == names.sorted() && Set(names).count == 3)
        try fixture.files.makeDirectory(fixture.path + "/snapshots/other", parents: false)
        #expect(try engine.snapshots() == names)
        try engine.deleteSnapshot(names[1])
        try engine.deleteSnapshot(names[1])
        #expect(try engine.snapshots() == [names[0], names[2]])
        for directory in ["data/small/snapshots", "data/big/snapshots", "indexdb/snapshots"] {
            #expect(try fixture.files.list("\(fixture.path)/\(directory)").map(\.name) == [names[0], names[2]])
        }
        for bad in [
            "", "../../x", "20220101000000", "20220101000000-", "2022010100000-18E9", "20220101000000-18G",
            names[0] + "/",
        ] {
            let error = #expect(throws: StorageError.self) { try engine.deleteSnapshot(bad) }
            #expect(error?.kind == .invalidArgument, "\(bad)")
        }
        #expect(
            StorageEngine.isSnapshotName("20261121000154-18e9E6743BFBF742")
                && StorageEngine.isSnapshotName("20261121000154-0"))
        try engine.deleteAllSnapshots()
        #expect(try engine.snapshots() == [])
        #expect(try fixture.files.list(fixture.path + "/snapshots").map(\.name) == ["other"])
        try fixture.close()
    }

    /// Rotation and merges beside it; the snapshot has both index tables.
    @Test func snapshotHasBothIndexTables() throws {
        let fixture = try EngineFixture(keepsSamples: true)
        var sent = try Self.add(fixture, 0..<30, fixture.nowMs)
        try fixture.engine.rotateIndex()
        sent += try Self.add(fixture, 20..<50, fixture.nowMs + 5)
        let name = try fixture.engine.createSnapshot()
        try fixture.engine.rotateIndex()
        let tables = try fixture.files.list("\(fixture.path)/snapshots/\(name)/indexdb").map(\.name)
        #expect(tables.count == 2)
        #expect(try Self.rows(of: name, fixture, sent.map(\.tsid)) == sent.byID)
        try fixture.close()
    }

    @Test func failedSnapshotLeavesNothing() throws {
        let files = SimulatedFileSystem()
        let fixture = try EngineFixture(files: files, keepsSamples: true)
        _ = try Self.add(fixture, 0..<10, fixture.nowMs)
        try fixture.engine.flush()
        let before = files.operationCount
        let good = try fixture.engine.createSnapshot()
        let steps = files.operationCount - before
        try fixture.engine.deleteSnapshot(good)
        for step in stride(from: 1, through: steps, by: 3) {
            files.faults = FaultPlan(rules: [.at(files.operationCount + step)])
            let error = #expect(throws: StorageError.self) { _ = try fixture.engine.createSnapshot() }
            files.faults = FaultPlan()
            guard error != nil else { continue }
            #expect(try fixture.engine.snapshots() == [], "step \(step)")
            for directory in ["data/small/snapshots", "data/big/snapshots", "indexdb/snapshots"] {
                #expect(try files.list("\(fixture.path)/\(directory)").isEmpty, "step \(step)")
            }
        }
        _ = try fixture.engine.createSnapshot()
        try fixture.close()
    }

    // MARK: the reference's own

    /// A snapshot of the reference's storage looks as the reference's own snapshot of it did.
    @Test func layoutIsThatOfTheReference() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("storage")
        try FileManager.default.copyItem(atPath: Golden.path("samples/storage"), toPath: path)
        let files = RealFileSystem()
        var options = StorageOptions.tiny()
        options.retentionMs = 0
        options.table.mergesInBackground = false
        options.samples.mergesInBackground = false
        let fixture = try EngineFixture(
            files: files, path: path, startMs: 1_637_452_800_000, options: options, keepsSamples: true)
        let name = try fixture.engine.createSnapshot()

        let layout = try Golden.json("samples/snapshot-layout.json")
        let reference = try layout["snapshot"].string
        func ours(_ text: String) -> String { text.replacingOccurrences(of: reference, with: name) }
        var expected: Set<String> = []
        for entry in try layout["entries"].array {
            let relative = ours(try entry["path"].string)
            let full = path + "/" + relative
            expected.insert(relative)
            let kind = try files.kind(of: full)
            switch try entry["type"].string {
            case "dir": #expect(kind == .directory, "\(relative)")
            case "symlink":
                #expect(kind == .other, "\(relative)")
                #expect(try files.linkTarget(of: full) == ours(try entry["target"].string))
            default:
                #expect(kind == .file, "\(relative)")
                guard entry["hard_link_of"].isPresent else { continue }
                let source = path + "/" + (try entry["hard_link_of"].string)
                let numbers = try [full, source].map {
                    try FileManager.default.attributesOfItem(atPath: $0)[.systemFileNumber] as? Int
                }
                #expect(numbers[0] != nil && numbers[0] == numbers[1], "\(relative) is not a link of \(source)")
            }
        }
        // And nothing else.
        func walk(_ relative: String) throws {
            #expect(expected.contains(relative), "\(relative) is too much")
            guard try files.kind(of: path + "/" + relative) == .directory else { return }
            for entry in try files.list(path + "/" + relative) { try walk(relative + "/" + entry.name) }
        }
        for root in ["snapshots", "data/small/snapshots", "data/big/snapshots", "indexdb/snapshots"] { try walk(root) }
        try fixture.close()
    }
}
