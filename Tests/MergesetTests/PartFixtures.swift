// PartFixtures.swift - runs, parts and tables for tests, made of plain arrays; and what is read back from them.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport

@testable import Mergeset

enum PartFixtures {
    /// Caches large enough to keep everything.
    static func caches() -> PartCaches { PartCaches(dataBlockBytes: 64 << 20, indexBlockBytes: 64 << 20) }

    /// A sealed run of these items, at least one.
    static func run(_ items: [[UInt8]]) throws -> MemoryRun {
        var builder = RunBuilder()
        builder.open(RawBuffer(capacity: 64))
        builder.beginBatch()
        for item in items {
            let target = builder.reserve(item.count)
            item.withUnsafeBytes { if let base = $0.baseAddress { target.copyMemory(from: base, byteCount: $0.count) } }
            builder.commit(item.count)
        }
        guard let run = builder.seal(pool: nil) else { throw TestSupportError("no items") }
        return run
    }

    /// Writes sorted items as a part into the new directory `/tmp`, and gives it its final name below `table`.
    ///
    /// - Parameter endsBlock: Asked before each item: whether the block is to be ended there.
    static func part(
        _ sorted: [[UInt8]], in table: String, suffix: UInt64, on files: any FileSystem, level: Int = 1,
        caches: PartCaches = PartFixtures.caches(), endsBlock: (Int) -> Bool = { _ in false }
    ) throws -> FilePart {
        let directory = table + "/building"
        var writer = try PartWriter(directory: directory, level: level, files: files)
        var previous: [UInt8] = []
        for (index, item) in sorted.enumerated() {
            if endsBlock(index) { try writer.closeBlock() }
            // The contract of the encoder: some bytes behind the item are readable.
            var padded = RawBuffer(capacity: item.count)
            item.withUnsafeBytes { padded.append($0) }
            try writer.append(UnsafeRawPointer(padded.base), item.count, sharing: shared(previous, item))
            previous = item
        }
        return try finish(&writer, table: table, suffix: suffix, on: files, caches: caches)
    }

    /// Ends a part, renames it and opens it.
    static func finish(
        _ writer: inout PartWriter, table: String, suffix: UInt64, on files: any FileSystem,
        caches: PartCaches = PartFixtures.caches()
    ) throws -> FilePart {
        guard let result = try writer.finish() else { throw TestSupportError("a part without items") }
        let path = table + "/" + result.metadata.partName(suffix: suffix)
        try files.rename(writer.directory, to: path)
        return try FilePart(path: path, files: files, caches: caches)
    }

    /// Bytes that two items have in common at their beginning.
    static func shared(_ a: [UInt8], _ b: [UInt8]) -> Int { zip(a, b).prefix { $0 == $1 }.count }

    /// Writes files into a new directory.
    static func write(_ contents: [String: [UInt8]], into directory: String, on files: any FileSystem) throws {
        try files.makeDirectory(directory, parents: true)
        for (name, bytes) in contents {
            let file = try files.create(directory + "/" + name)
            try bytes.withUnsafeBytes { try file.write($0) }
            try file.close()
        }
    }

    /// The files of a part's directory.
    static func contents(of directory: String, on files: any FileSystem) throws -> [String: [UInt8]] {
        var contents: [String: [UInt8]] = [:]
        for entry in try files.list(directory) {
            contents[entry.name] = try files.readAll(directory + "/" + entry.name, limitBytes: 1 << 30).array()
        }
        return contents
    }

    /// Calls `body` with the items of a part as a merge reads them. What was delivered before an error stays delivered.
    static func stream(_ part: FilePart, _ body: (UnsafeRawBufferPointer) -> Void) throws {
        var stream = PartStream(part)
        var last: [UInt8]?
        while true {
            let hasBlock =
                if let last {
                    try last.withUnsafeBytes { try stream.nextBlock(after: $0) }
                } else {
                    try stream.nextBlock(after: nil)
                }
            guard hasBlock else { return }
            try stream.decode()
            for index in 0..<stream.items.count { body(stream.items[index]) }
            last = [UInt8](stream.items[stream.items.count - 1])
        }
    }

    /// The items of a part, read in order by a merge.
    static func streamed(_ part: FilePart) throws -> [[UInt8]] {
        var items: [[UInt8]] = []
        try stream(part) { items.append([UInt8]($0)) }
        return items
    }

    /// The items of a part, read block by block through its caches.
    static func randomlyRead(_ part: FilePart) throws -> [[UInt8]] {
        var items: [[UInt8]] = []
        var hit = false
        for row in 0..<part.metaindex.count {
            let headers = try part.indexBlock(row, hit: &hit)
            for number in 0..<headers.count {
                let block = try part.dataBlock(row, headers, number, mayEvict: true, hit: &hit)
                for index in 0..<block.items.count { items.append([UInt8](block.items[index])) }
            }
        }
        return items
    }

    /// Opens a table that does nothing on its own.
    static func table(_ path: String, on files: any FileSystem) throws -> Table {
        var options = TableOptions()
        options.mergesInBackground = false
        options.shardCount = 1
        options.runBytesMax = 1 << 16
        return try Table.open(path, options: options, files: files, environment: .deterministic())
    }
}
