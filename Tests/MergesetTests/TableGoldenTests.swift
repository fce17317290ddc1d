// TableGoldenTests.swift - tables that the reference wrote, opened as wholes: states around crashes (txn.json),
// complete tables, and the bytes of our merges against the reference's level rule.

import Foundation
import Mergeset
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@Suite struct TableGoldenTests {
    private static func open(_ path: String, _ options: TableOptions = quiet()) throws -> Table {
        try Table.open(path, options: options, files: RealFileSystem(), environment: .deterministic())
    }

    /// Without background merges, so that parts stay as they are.
    private static func quiet(_ merging: TagRowMerging = .none, level: Int? = nil) -> TableOptions {
        var options = TableOptions()
        options.mergesInBackground = false
        options.tagRowMerging = merging
        options.compressionLevel = level
        return options
    }

    private static func check(_ items: [[UInt8]], _ expected: JSON, _ context: String = "") throws {
        #expect(items.count == (try expected["Count"].int), "\(context)")
        #expect(itemsHash(items) == (try expected["Sha256"].string), "\(context)")
    }

    // MARK: txn.json

    @Test func statesAroundCrashes() throws {
        let golden = try Golden.json("mergeset/txn.json")
        for entry in try golden["cases"].array {
            let description = try entry["description"].string
            let directory = try TemporaryDirectory()
            let table = directory.path("table")
            try FileManager.default.createDirectory(atPath: table, withIntermediateDirectories: true)
            for place in try entry["layout"].array {
                let name = "table/" + (try place["path"].string)
                if place["text"].isPresent {
                    let text = try place["text"].string.replacingOccurrences(of: "{TABLE}", with: table)
                    try directory.write(Array(text.utf8), to: name)
                    continue
                }
                try FileManager.default.createDirectory(
                    atPath: directory.path(name), withIntermediateDirectories: true)
                guard place["part"].isPresent else { continue }
                let only = place["only_files"].isPresent ? try place["only_files"].array.map { try $0.string } : nil
                for (file, content) in try golden["parts"][place["part"].string]["files"].object {
                    if let only, !only.contains(file) { continue }
                    try directory.write(try Self.bytes(content), to: name + "/" + file)
                }
            }
            if try entry["open"].string == "ok" {
                let opened = try Self.open(table)
                #expect(
                    opened.parts.map(\.name).sorted() == (try entry["parts_after_open"].array.map { try $0.string }),
                    "\(description)")
                let items = try opened.scan()
                #expect(items.count == (try entry["items_count"].int), "\(description)")
                #expect(itemsHash(items) == (try entry["items_sha256"].string), "\(description)")
                try opened.close()
            } else {
                let error = #expect(throws: StorageError.self, "\(description)") { _ = try Self.open(table) }
                #expect(error?.kind == .corrupted, "\(description)")
            }
            let expected = Set(try entry["entries_after_open"].array.map { try $0.string })
            let found = try Self.entries(directory, "table")
            let mayDiffer: Set = ["flock.lock", "converted-to-v1.28.0", "tmp/"]
            #expect(found.subtracting(mayDiffer) == expected.subtracting(mayDiffer), "\(description)")
            withExtendedLifetime(directory) {}
        }
    }

    private static func bytes(_ content: JSON) throws -> [UInt8] {
        if content["hex"].isPresent { return try content["hex"].bytes }
        if content["text"].isPresent { return Array(try content["text"].string.utf8) }
        return try content.bytes
    }

    /// Names in a table directory, directories with a slash, and those in `tmp` and `txn`.
    private static func entries(_ directory: TemporaryDirectory, _ table: String) throws -> Set<String> {
        let files = RealFileSystem()
        var names: Set<String> = []
        for entry in try files.list(directory.path(table)) {
            names.insert(entry.name + (entry.kind == .directory ? "/" : ""))
            guard entry.name == "tmp" || entry.name == "txn" else { continue }
            for inner in try files.list(directory.path(table + "/" + entry.name)) {
                names.insert(entry.name + "/" + inner.name)
            }
        }
        return names
    }

    @Test func pendingTransaction() throws {
        let expected = try Golden.json("mergeset/tables/pending_txn.expected.json")
        let directory = try TemporaryDirectory()
        let path = try directory.copyTable("mergeset/tables/pending_txn")
        let table = try Self.open(path)
        #expect(table.parts.map(\.name).sorted() == (try expected["parts_after_open"].array.map { try $0.string }))
        try Self.check(try table.scan(), expected["items"])
        for name in ["tmp", "txn"] { #expect(try directory.names(in: "table/" + name).isEmpty) }
        try table.close()
    }

    // MARK: tables

    @Test func arbitraryTable() throws {
        let expected = try Golden.json("mergeset/tables/arbitrary.expected.json")
        let directory = try TemporaryDirectory()
        let table = try Self.open(try directory.copyTable("mergeset/tables/arbitrary"))
        let items = try table.scan()
        try Self.check(items, expected["items"])
        #expect(items == ArbitraryItems.sorted())
        try Self.checkSeeks(table, expected)
        #expect(
            table.parts.map(\.name).sorted() == (try expected["parts"].array.map { try $0["Dir"].string }.sorted()))
        try table.mergeAll()
        #expect(try table.scan() == items)
        try Self.checkSeeks(table, expected)
        #expect(table.parts[0].items == UInt64(items.count))
        #expect(table.parts[0].blocks == UInt64(try expected["merge_all_blocks"].array.count))
        try table.close()
    }

    private static func checkSeeks(_ table: Table, _ expected: JSON) throws {
        let seeks = try expected["seeks"].array
        #expect(seeks.count > 5)
        let items = ArbitraryItems.sorted()
        var repeated = table.cursor()
        for seek in seeks {
            let key = try seek["key"].bytes
            let next = try seek["next_items"].array
            var cursor = table.cursor()
            try cursor.seek(bytes: key)
            let found = try cursor.take(3)
            let matches = try found.count == next.count && zip(found, next).allSatisfy { try Self.matches($0, $1) }
            #expect(matches, "key \(key.hex)")
            #expect(lowerBound(items, key) == (try seek["index_of_first"].int))
            let first = seek["first_item_with_prefix"]
            let fresh = try cursor.first(withPrefix: key)
            let isRight = try fresh.map { try first.isPresent && Self.matches($0, first) } ?? !first.isPresent
            #expect(isRight, "prefix \(key.hex)")
            let again = try repeated.first(withPrefix: key)
            #expect(again == fresh)
        }
    }

    /// Golden files give long items by length and hash.
    private static func matches(_ item: [UInt8], _ json: JSON) throws -> Bool {
        guard json["sha256"].isPresent else { return try json.bytes == item }
        return try json["len"].int == item.count && json["sha256"].string == SHA256.hex(item)
    }

    @Test(arguments: TagRowMerging.allCases) func indexTable(merging: TagRowMerging) throws {
        let expected = try Golden.json("mergeset/tables/index.expected.json")
        let directory = try TemporaryDirectory()
        let table = try Self.open(try directory.copyTable("mergeset/tables/index"), Self.quiet(merging))
        let items = try table.scan()
        try Self.check(items, expected["raw_items"])
        try Self.check(TagRowFixtures.normalised(items), expected["normalized_items"])
        try table.mergeAll()
        let merged = try table.scan()
        if merging == .none { #expect(merged == items) }
        if merging == .blockwise {
            try Self.check(merged, expected["merge_all"]["raw_items"])
            #expect(table.parts[0].blocks == UInt64(try expected["merge_all"]["blocks"].array.count))
            #expect(table.metrics.itemsMerged == (try expected["merge_all"]["items_merged_delta"].uint64))
        }
        if merging == .streaming { #expect(merged.count <= (try expected["merge_all"]["raw_items"]["Count"].int)) }
        try Self.check(TagRowFixtures.normalised(merged), expected["normalized_items"])
        try table.close()
    }

    /// The items as the reference's node added them, through our table from the beginning.
    @Test(arguments: TagRowMerging.allCases) func indexItemsAddedHere(merging: TagRowMerging) throws {
        let expected = try Golden.json("mergeset/tables/index.expected.json")
        var payload = RawBuffer()
        _ = try Golden.bytes("mergeset/tables/index.added.bin.zst").withUnsafeBytes {
            try Zstd.decompress($0, into: &payload, limitBytes: 64 << 20)
        }
        let bytes = payload.array()
        var items: [[UInt8]] = []
        var position = 0
        while position < bytes.count {
            let count = bytes[position..<(position + 4)].reduce(0) { $0 << 8 | Int($1) }
            items.append(Array(bytes[(position + 4)..<(position + 4 + count)]))
            position += 4 + count
        }
        var options = TableOptions.tiny(run: 60_000, memory: 300_000)
        options.tagRowMerging = merging
        let directory = try TemporaryDirectory()
        let table = try Self.open(directory.path("t"), options)
        for start in stride(from: 0, to: items.count, by: 100) {
            try table.add(items[start..<min(start + 100, items.count)])
        }
        try table.flush()
        try Self.check(TagRowFixtures.normalised(try table.scan()), expected["normalized_items"])
        try table.mergeAll()
        try Self.check(TagRowFixtures.normalised(try table.scan()), expected["normalized_items"])
        try table.close()
    }

    private static let indexDirectories = [
        "storage-basic/indexdb/16C5FC70A61F0001", "storage-basic/indexdb/16C5FC70A61F0002",
        "storage-rotated/indexdb/16C5FC70A61F0002", "storage-rotated/indexdb/16C5FC70A61F0003",
    ]

    @Test(arguments: indexDirectories) func indexOfAStorageNode(relative: String) throws {
        let dump = try Golden.json("index/index_dump.json")
        let names = relative.split(separator: "/")
        let expected = dump[String(names[0])][String(names[2])]
        try #require(expected.isPresent)
        let directory = try TemporaryDirectory()
        let table = try Self.open(try directory.copyTable("index/" + relative), Self.quiet(.streaming))
        let items = try table.scan()
        try Self.checkDump(items, expected["allItems"])
        #expect(Set(table.parts.map(\.name)) == Set(try expected["parts"].object.keys))
        for part in table.parts {
            #expect(part.items == (try expected["parts"][part.name]["count"].uint64))
        }
        let normal = TagRowFixtures.normalised(items)
        try table.mergeAll()
        #expect(TagRowFixtures.normalised(try table.scan()) == normal)
        try table.close()
    }

    private static func checkDump(_ items: [[UInt8]], _ expected: JSON) throws {
        #expect(items.count == (try expected["count"].int))
        let found = Dictionary(grouping: items) { String($0[0]) }.mapValues(\.count)
        #expect(found == (try expected["byNamespace"].object.mapValues { try $0.int }))
        if expected["firstHex"].isPresent {
            #expect(items.first?.hex == (try expected["firstHex"].string))
            #expect(items.last?.hex == (try expected["lastHex"].string))
        }
        var all: [UInt8] = []
        for item in items {
            withUnsafeBytes(of: UInt32(item.count).bigEndian) { all.append(contentsOf: $0) }
            all += item
        }
        let hash = all.withUnsafeBytes { Hash.xxh64($0) }
        #expect(hash == UInt64(try expected["xxhash64"].string, radix: 16))
    }

    // MARK: bytes (budget B15)

    /// Merged by us at our level, a table is not larger than merged the reference's way at its level.
    @Test(arguments: [
        "mergeset/tables/arbitrary", "mergeset/tables/index", "index/storage-basic/indexdb/16C5FC70A61F0002",
        "index/storage-rotated/indexdb/16C5FC70A61F0002", "index/storage-rotated/indexdb/16C5FC70A61F0003",
    ])
    func mergedTableIsNotLargerThanTheReferences(relative: String) throws {
        let isIndex = !relative.hasSuffix("arbitrary")
        func merged(_ options: TableOptions) throws -> (before: UInt64, after: UInt64) {
            let directory = try TemporaryDirectory()
            let table = try Self.open(try directory.copyTable(relative), options)
            let before = table.metrics.sizeBytes
            try table.mergeAll()
            let after = table.metrics.sizeBytes
            try table.close()
            return (before, after)
        }
        let ours = try merged(Self.quiet(isIndex ? .streaming : .none))
        let reference = try merged(Self.quiet(isIndex ? .blockwise : .none, level: -5))
        print(
            "B15 \(relative): golden parts \(ours.before) B, merged at level -5 \(reference.after) B,",
            "merged by us \(ours.after) B")
        #expect(ours.after <= reference.after)
    }
}
