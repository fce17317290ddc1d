// InspectTests.swift - `inspect` against figures counted by an independent reader, and what it does with damage.

import Foundation
import Mergeset
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import BenchHarness

@Suite struct InspectTests {
    private let expected: JSON

    init() throws { expected = try Golden.json("inspect/expected.json") }

    private func inspect(_ path: String, _ change: (inout Inspection.Options) -> Void = { _ in }) throws
        -> InspectionRecord
    {
        var options = Inspection.Options()
        options.labelsMax = 1000
        change(&options)
        return try Inspection.read(path, options: options, files: RealFileSystem())
    }

    // MARK: figures

    @Test(arguments: [
        "index/storage-basic/indexdb/16C5FC70A61F0002", "index/storage-rotated/indexdb/16C5FC70A61F0002",
        "index/storage-rotated/indexdb/16C5FC70A61F0003", "samples/storage/indexdb/18E9E6743BFC140A",
    ])
    func countsAnIndexAsTheIndependentReaderDoes(_ path: String) throws {
        let wanted = expected["index"][path]
        let record = try inspect(Golden.path(path))
        #expect(record.damaged == [] && record.partitions == [] && record.indexTables.count == 1)
        let table = record.indexTables[0]
        #expect(table.isSeriesIndex)
        #expect(table.parts.count == (try wanted["parts"].int))
        for (name, value) in [
            ("items", table.items), ("blocks", table.blocks), ("index_blocks", table.indexBlocks),
            ("plain_blocks", table.plainBlocks), ("series", table.series), ("tenants", table.tenants),
            ("deleted_series", table.deletedSeries), ("duplicate_items", table.duplicateItems),
            ("duplicate_bytes", table.duplicateBytes), ("items_file_bytes", table.itemsFileBytes),
            ("lens_file_bytes", table.lensFileBytes), ("header_files_bytes", table.headerFilesBytes),
        ] {
            #expect(value == (try wanted[name].uint64), "\(name)")
        }
        #expect(table.bytes == table.itemsFileBytes + table.lensFileBytes + table.headerFilesBytes)
        #expect(table.blockFill == (try wanted["block_fill"].array.map { try $0.uint64 }))

        #expect(Set(table.namespaces.map { "\($0.namespace)" }) == Set(try wanted["namespaces"].object.keys))
        for kind in table.namespaces {
            let wanted = wanted["namespaces"]["\(kind.namespace)"]
            #expect(kind.items == (try wanted["items"].uint64))
            #expect(kind.distinctItems == (try wanted["distinct_items"].uint64))
            #expect(kind.ids == (try wanted["ids"].uint64))
            #expect(kind.tags == (try wanted["tags"].uint64))
            #expect(kind.rawBytes == (try wanted["raw_bytes"].uint64))
            #expect(kind.keptBytes == (try wanted["kept_bytes"].uint64))
            #expect(isNear(kind.compressedBytes, try wanted["compressed_bytes"].double))
        }
        #expect(Set(table.labels.map(\.label)) == Set(try wanted["labels"].object.keys))
        for label in table.labels {
            let wanted = wanted["labels"][label.label]
            #expect(isNear(label.tagBytes, try wanted["tag_bytes"].double))
            #expect(isNear(label.compositeBytes, try wanted["composite_bytes"].double))
            #expect(isNear(label.dayTagBytes, try wanted["day_tag_bytes"].double))
            #expect(isNear(label.dayCompositeBytes, try wanted["day_composite_bytes"].double))
            #expect(isNear(label.nameBytes, try wanted["name_bytes"].double))
            #expect(label.rows == (try wanted["rows"].uint64))
            #expect(label.values == (try wanted["values"].uint64))
            #expect(label.series == (try wanted["series"].uint64))
            #expect(label.topValues.first?.series ?? 0 == (try wanted["top_series"].uint64))
            #expect(label.topValues.map(\.series) == label.topValues.map(\.series).sorted(by: >))
        }
        #expect(Set(table.days.map { "\($0.date)" }) == Set(try wanted["days"].object.keys))
        for day in table.days {
            let wanted = wanted["days"]["\(day.date)"]
            #expect(day.items == (try wanted["items"].uint64))
            #expect(day.series == (try wanted["series"].uint64))
            #expect(isNear(day.compressedBytes, try wanted["compressed_bytes"].double))
        }
    }

    /// Within the rounding to whole bytes.
    private func isNear(_ value: UInt64, _ wanted: Double) -> Bool { abs(Double(value) - wanted) <= 0.501 }

    @Test func countsSamplesAsTheIndependentReaderDoes() throws {
        let record = try inspect(Golden.path("samples/storage"))
        #expect(record.partitions.map(\.name) == ["2021_10", "2021_11"])
        #expect(record.indexTables.count == 1 && record.damaged == [])
        for partition in record.partitions {
            let wanted = expected["samples"][partition.name]
            #expect(partition.parts.count == (try wanted["parts"].int))
            for (name, value) in [
                ("rows", partition.rows), ("blocks", partition.blocks), ("series", partition.series),
                ("timestamps_bytes", partition.timestampsBytes), ("values_bytes", partition.valuesBytes),
                ("header_files_bytes", partition.headerFilesBytes),
                ("blocks_sharing_timestamps", partition.blocksSharingTimestamps),
            ] {
                #expect(value == (try wanted[name].uint64), "\(name)")
            }
            #expect(partition.minTimestamp == (try wanted["min_timestamp"].int64))
            #expect(partition.maxTimestamp == (try wanted["max_timestamp"].int64))
            #expect(partition.blockFill == (try wanted["block_fill"].array.map { try $0.uint64 }))
            #expect(partition.timestampsTypes == (try wanted["timestamps_types"].object.mapValues { try $0.uint64 }))
            #expect(partition.valuesTypes == (try wanted["values_types"].object.mapValues { try $0.uint64 }))
            #expect(partition.duplicateRows == 0)
            #expect(partition.merged?.entries == partition.rows)
        }
        #expect(record.indexBytes == record.indexTables[0].bytes)
    }

    @Test func sharesOfBlocksAddUpToTheFiles() throws {
        let table = try inspect(Golden.path("index/storage-basic")).indexTables[0]
        let kinds = table.namespaces.reduce(0) { $0 + $1.compressedBytes }
        #expect(
            isNear(kinds, Double(table.itemsFileBytes + table.lensFileBytes), within: Double(table.namespaces.count)))
        let tagRows = table.namespaces.filter { $0.namespace == 1 || $0.namespace == 6 }
        let tags = table.labels.reduce(0) {
            $0 + $1.tagBytes + $1.compositeBytes + $1.dayTagBytes + $1.dayCompositeBytes
        }
        #expect(
            isNear(
                tags, Double(tagRows.reduce(0) { $0 + $1.compressedBytes }), within: Double(4 * table.labels.count)))
        for label in table.labels {
            let parts =
                label.tagBytes + label.compositeBytes + label.dayTagBytes + label.dayCompositeBytes + label.nameBytes
            #expect(isNear(label.compressedBytes, Double(parts), within: 5))
        }
    }

    private func isNear(_ value: UInt64, _ wanted: Double, within: Double) -> Bool {
        abs(Double(value) - wanted) <= within
    }

    // MARK: forced merge

    @Test func foretellsAForcedMergeToTheByte() throws {
        let directory = try TemporaryDirectory()
        for (golden, merging) in [
            ("index/storage-basic/indexdb/16C5FC70A61F0002", TagRowMerging.streaming),
            ("mergeset/tables/arbitrary", .none),
        ] {
            let path = try directory.copyTable(golden, as: merging.rawValue)
            let foretold = try #require(try inspect(path).indexTables[0].merged)
            var options = TableOptions()
            options.tagRowMerging = merging
            let table = try Table.open(
                path, options: options, files: RealFileSystem(), environment: .deterministic(seed: 1))
            try table.mergeAll()
            let metrics = table.metrics
            try table.close()
            #expect(metrics.parts == 1)
            #expect(foretold.entries == metrics.items && foretold.blocks == metrics.blocks)
            #expect(foretold.bytes == metrics.sizeBytes)
            let after = try inspect(path).indexTables[0]
            #expect(after.bytes == foretold.bytes && after.merged?.savedBytes == 0)
        }
    }

    @Test func countsWhatIsThereTwice() throws {
        let directory = try TemporaryDirectory()
        let month = directory.path("data/small/2021_11")
        try FileManager.default.createDirectory(atPath: month, withIntermediateDirectories: true)
        let names = try FileManager.default.contentsOfDirectory(atPath: Golden.path("samples/parts"))
        let part = try #require(names.first { $0.hasSuffix("000D") })
        for suffix in ["000000000000000D", "00000000000000DD"] {
            let copy = month + "/" + part.dropLast(16) + suffix
            try FileManager.default.copyItem(atPath: Golden.path("samples/parts/" + part), toPath: copy)
        }
        let partition = try inspect(directory.path).partitions[0]
        #expect(partition.parts.count == 2 && partition.parts[0].name.hasPrefix("small/"))
        #expect(partition.rows == 2 * 40300)
        #expect(partition.duplicateRows >= 40300)
        #expect(partition.merged?.entries == 2 * 40300)
    }

    // MARK: reading only

    @Test func changesNothingAndNeedsNoLock() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.copyTable("mergeset/tables/pending_txn")
        let before = try listing(path)
        let record = try inspect(path)
        #expect(record.indexTables[0].pendingTransactions > 0)
        #expect(try listing(path) == before)

        // A table that is open, with its lock held, and items that are not flushed yet.
        let open = try directory.copyTable("mergeset/tables/index", as: "open")
        let table = try Table.open(
            open, options: TableOptions(), files: RealFileSystem(), environment: .deterministic(seed: 1))
        try table.add([[1, 2, 3]])
        let while_ = try listing(open)
        #expect(try inspect(open).indexTables[0].parts.count == table.parts.count)
        #expect(try listing(open) == while_)
        try table.close()
    }

    /// Every path under `path` with size, mode and time of the last change.
    private func listing(_ path: String) throws -> [String] {
        let manager = FileManager.default
        return try manager.subpathsOfDirectory(atPath: path).sorted().map { name in
            let facts = try manager.attributesOfItem(atPath: path + "/" + name)
            let changed = (facts[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
            return "\(name) \(facts[.size] ?? 0) \(facts[.posixPermissions] ?? 0) \(changed)"
        }
    }

    @Test func itsFileSystemRefusesEveryChange() throws {
        let directory = try TemporaryDirectory()
        try directory.write([1], to: "file")
        let files = InspectionFiles(RealFileSystem())
        let file = directory.path("file")
        func refused(_ body: () throws -> Void) {
            #expect { try body() } throws: { ($0 as? StorageError)?.kind == .invalidArgument }
        }
        refused { try files.removeAll(file) }
        refused { try files.removeFile(file) }
        refused { try files.rename(file, to: directory.path("other")) }
        refused { try files.rename(InspectionFiles.scratch, to: file) }
        refused { try files.hardLink(file, to: directory.path("other")) }
        refused { try files.makeDirectory(directory.path("d"), parents: true) }
        refused { try files.sync(file) }
        refused { _ = try files.lock(directory.path("flock.lock")) }
        refused { _ = try files.create(directory.path("new")) }
        #expect(try directory.names() == ["file"])
    }

    // MARK: damage

    @Test func leavesDamagedPartsOut() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.copyTable("index/storage-basic/indexdb/16C5FC70A61F0002")
        let whole = try inspect(path).indexTables[0]
        let small = try #require(whole.parts.first { $0.entries == 3632 })
        let file = path + "/" + small.name + "/items.bin"
        var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
        // The magic number of the first frame: the format has no checksums, so other damage may not show.
        for place in 0..<4 { bytes[place] ^= 0x5A }
        try Data(bytes).write(to: URL(fileURLWithPath: file))

        let record = try inspect(path)
        #expect(record.damaged.count == 1)
        #expect(record.damaged.first?.path.hasSuffix(small.name) == true)
        #expect(record.damaged.first?.reason.contains("items.bin") == true)
        let table = record.indexTables[0]
        #expect(table.items == whole.items - small.entries && table.bytes == whole.bytes - small.bytes)
        try FileManager.default.removeItem(atPath: path + "/" + small.name)
        var without = try inspect(path)
        #expect(without.damaged == [])
        without.damaged = record.damaged
        #expect(record == without)  // nothing of the damaged part was counted
        #expect(InspectionReport.text(record).contains("DAMAGED"))
    }

    @Test func leavesOutDamagedSamplesAndPartsWithoutFiles() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("storage")
        try FileManager.default.copyItem(atPath: Golden.path("samples/storage"), toPath: path)
        let month = path + "/data/small/2021_11/"
        let names = try FileManager.default.contentsOfDirectory(atPath: month).filter { $0.hasPrefix("400") }.sorted()
        try #require(names.count == 2)
        try FileManager.default.removeItem(atPath: month + names[0] + "/metaindex.bin")
        let values = month + names[1] + "/values.bin"
        let kept = try Data(contentsOf: URL(fileURLWithPath: values))
        try kept.dropLast(9).write(to: URL(fileURLWithPath: values))
        let record = try inspect(path)
        #expect(record.damaged.count == 2)
        #expect(record.partitions.last?.rows == 11000)
    }

    @Test func tellsWhatIsWrongWithTheDirectory() throws {
        let directory = try TemporaryDirectory()
        try directory.write([1], to: "notes.txt")
        for path in [directory.path, directory.path("missing")] {
            #expect { try inspect(path) } throws: { ($0 as? HarnessError)?.status == .badInput }
        }
    }

    // MARK: report

    @Test func reportsInWordsAndInJSON() throws {
        let record = try inspect(Golden.path("samples/storage")) { $0.labelsMax = 2 }
        let text = InspectionReport.text(record)
        for piece in ["27.3 kB in 2 parts", "ns6 day, tag -> ids", "(others)", "samples of 2021_11", "1.04 B/row"] {
            #expect(text.contains(piece), "\(piece)")
        }
        #expect(!text.split(separator: "\n").contains { $0.count > 130 })
        let json = try JSON(parsing: Data(InspectionReport.json(record).utf8), path: "report")
        #expect(try json["index_tables"][0]["items"].uint64 == 5515)
        #expect(try json["partitions"][1]["merged"]["blocks"].uint64 == 201)
    }

    @Test func controlCharactersOfValuesDoNotReachTheTerminal() {
        #expect(InspectionReport.shortened("a\u{1B}[31mb", 20) == "a\u{FFFD}[31mb")
        #expect(InspectionReport.shortened("abcdefgh", 5) == "abc..")
    }

    @Test func labelsBehindTheLimitAreAddedUp() {
        var labels = LabelAccounts()
        for number in 0..<(LabelAccounts.labelsMax + 10) {
            let key = Array("label\(number)".utf8)
            key.withUnsafeBytes { bytes in
                guard let (place, _) = labels.find(bytes) else { return }
                labels[place].rows += 1
            }
        }
        #expect(labels.accounts.count == LabelAccounts.labelsMax + 1)
        #expect(labels.accounts.last?.label == LabelAccounts.othersLabel)
        #expect(labels.accounts.last?.rows == 10)
    }
}
