// CorruptPartTests.swift - parts that break the format: every access ends in items or in a typed error.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import Mergeset

/// What came of reading a part in one way.
private enum Outcome: Equatable {
    case items(count: Int, hash: String)
    case refused(count: Int)

    /// Runs `body`, which adds what it reads. Errors must name a place and be of the kinds that broken files give.
    static func of(_ context: String, _ body: (inout ItemsHash) throws -> Void) -> Outcome {
        var hash = ItemsHash()
        do {
            try body(&hash)
            return .items(count: hash.count, hash: hash.hex)
        } catch let error as StorageError {
            #expect(error.kind == .corrupted || error.kind == .notFound, "\(context): \(error)")
            #expect(error.path?.isEmpty == false, "\(context): no path in \(error)")
            return .refused(count: hash.count)
        } catch {
            Issue.record("\(context): \(error)")
            return .refused(count: hash.count)
        }
    }
}

@Suite struct CorruptPartTests {
    // MARK: golden cases

    private func check(_ json: JSON, on files: any FileSystem, below root: String) throws {
        let description = try json["description"].string
        let name = try json["part"].string
        var contents: [String: [UInt8]] = [:]
        for (file, value) in try json["files"].object {
            contents[file] = value["text"].isPresent ? Array(try value["text"].string.utf8) : try value["hex"].bytes
        }
        let path = root + "/table"
        try PartFixtures.write(contents, into: path + "/" + name, on: files)
        // What no access of some kind detects may be refused by one that looks closer.
        let mayRefuse = description.contains("not detected") || description.contains("only)")

        let table: Table
        do {
            table = try PartFixtures.table(path, on: files)
        } catch let error as StorageError {
            #expect(error.kind == .corrupted || error.kind == .notFound, "\(description): \(error)")
            #expect(error.path?.isEmpty == false, "\(description): no path in \(error)")
            var isBroken = mayRefuse
            for access in ["open", "scan", "seek_last", "stream"] where json[access].isPresent {
                isBroken = try isBroken || json[access].string != "ok"
            }
            #expect(isBroken, "\(description): refused at open: \(error)")
            return
        }
        defer { #expect(throws: Never.self) { try table.close() } }
        #expect(try json["open"].string == "ok", "\(description): opened")

        let scan = Outcome.of(description + ", scan") { hash in
            var cursor = table.cursor()
            while try cursor.next() { hash.add(cursor.item) }
        }
        switch scan {
        case .items:
            #expect(try json["scan"].string == "ok", "\(description): scanned")
            let expected = Outcome.items(count: try json["scan_items"].int, hash: try json["scan_sha256"].string)
            #expect(scan == expected, "\(description)")
        case .refused(let count):
            #expect(try mayRefuse || json["scan"].string != "ok", "\(description): scan refused")
            #expect(try count <= json["scan_items"].int, "\(description): more than intact items were delivered")
        }

        var isFound = false
        let seek = Outcome.of(description + ", seek") { _ in
            var cursor = table.cursor()
            isFound = try Array("item-0089".utf8).withUnsafeBytes { try cursor.firstWithPrefix($0) }
        }
        if case .items = seek {
            switch try json["seek_last"].string {
            case "ok": #expect(isFound, "\(description): not found")
            case "error: not found": #expect(!isFound, "\(description): found")
            default: Issue.record("\(description): the seek went well")
            }
        } else {
            #expect(try mayRefuse || json["seek_last"].string != "ok", "\(description): seek refused")
        }

        guard let part = table.state.list.parts.first else {
            #expect(name == "snapshots" || name == "cache")
            return
        }
        let stream = Outcome.of(description + ", stream") { hash in
            try PartFixtures.stream(part) { hash.add($0) }
        }
        switch stream {
        case .items(let count, _):
            #expect(try json["stream"].string == "ok", "\(description): streamed")
            #expect(try count == json["stream_items"].int, "\(description)")
        case .refused:
            // It may deliver more before than the reference does: a merge that fails in the end leaves nothing.
            #expect(try mayRefuse || json["stream"].string != "ok", "\(description): stream refused")
        }
        // A merge sees what the stream sees, and leaves the table as it was when it fails.
        if case .refused = stream {
            let kind = #expect(throws: StorageError.self, "\(description): merged") { try table.mergeAll() }?.kind
            #expect(kind == .corrupted, "\(description)")
            #expect(table.parts.map(\.name) == [name])
        }
    }

    @Test func goldenPartsOnASimulatedDevice() throws {
        let cases = try Golden.json("mergeset/corrupt_parts.json")["cases"].array
        #expect(cases.count == 53)
        for json in cases { try check(json, on: SimulatedFileSystem(), below: "/data") }
    }

    @Test func goldenPartsOnDisk() throws {
        for json in try Golden.json("mergeset/corrupt_parts.json")["cases"].array {
            let directory = try TemporaryDirectory()
            try withExtendedLifetime(directory) { try check(json, on: RealFileSystem(), below: directory.path) }
        }
    }

    // MARK: random damage

    /// A part's directory name and files.
    private struct Sample {
        let name: String
        let files: [String: [UInt8]]
    }

    private static func samples() throws -> [Sample] {
        var samples: [Sample] = []
        let valid = try Golden.json("mergeset/corrupt_parts.json")["cases"][0]
        var files: [String: [UInt8]] = [:]
        for (file, value) in try valid["files"].object {
            files[file] = value["text"].isPresent ? Array(try value["text"].string.utf8) : try value["hex"].bytes
        }
        samples.append(Sample(name: try valid["part"].string, files: files))
        let real = RealFileSystem()
        for name in [
            "1000_1_18E9E5D18271778E", "24_12_18E9E5D18271778F", "3000_3_18E9E5D18271778A",
        ] {
            let path = Golden.path("mergeset/tables/arbitrary/" + name)
            samples.append(Sample(name: name, files: try PartFixtures.contents(of: path, on: real)))
        }
        return samples
    }

    /// Reads a damaged part in all ways. `.corrupted` and `.notFound` are fine, so is success.
    private func readEverything(_ name: String, _ contents: [String: [UInt8]], _ context: String) throws {
        let files = SimulatedFileSystem(recording: .nothing)
        let path = "/t/" + name
        try PartFixtures.write(contents, into: path, on: files)
        var opened: FilePart?
        _ = Outcome.of(context) { _ in opened = try FilePart(path: path, files: files, caches: PartFixtures.caches()) }
        guard let part = opened else { return }
        _ = Outcome.of(context) { hash in try PartFixtures.stream(part) { hash.add($0) } }
        _ = Outcome.of(context) { hash in
            var hit = false
            for row in 0..<part.metaindex.count {
                let headers = try part.indexBlock(row, hit: &hit)
                for number in 0..<headers.count {
                    _ = Outcome.of(context) { hash in
                        let block = try part.dataBlock(row, headers, number, mayEvict: true, hit: &hit)
                        for index in 0..<block.items.count {
                            let item = block.items[index]
                            #expect(block.lowerBound(item) <= index, "\(context)")
                        }
                    }
                }
            }
            hash.add([])
        }
        _ = Outcome.of(context) { _ in
            var cursor = SourceCursor(part)
            var tally = CacheTally()
            for key in [[], [0x30], Array("item-0044".utf8), [0xFF], part.metadata.lastItem] {
                try key.withUnsafeBytes { try cursor.seek($0, &tally) }
                for _ in 0..<3 where !cursor.isExhausted { try cursor.advance(&tally) }
            }
        }
        _ = Outcome.of(context) { _ in
            var merger = try Merger(runs: [], parts: [part, part])
            var writer = try PartWriter(directory: "/t/out", level: 1, files: files)
            var hook = PassThrough()
            _ = try MergeLoop.run(
                &merger, through: &hook, into: &writer, keepsStoredBlocks: true, isCancelled: { false })
            _ = try writer.finish()
        }
    }

    private func mutate(_ bytes: inout [UInt8], _ random: inout SplitMix64) {
        for _ in 0...random.below(3) {
            let size = bytes.count
            switch random.below(7) {
            case 0 where size > 0: bytes[random.below(size)] ^= 1 << UInt8(random.below(8))
            case 1 where size > 0: bytes[random.below(size)] = UInt8(random.below(256))
            case 2 where size > 0: bytes[random.below(size)] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)]
            case 3: bytes.insert(UInt8(random.below(256)), at: random.below(size + 1))
            case 4 where size > 0: bytes.remove(at: random.below(size))
            case 5 where size > 0: bytes.removeLast(1 + random.below(min(size, 16)))
            case 6 where size > 0:
                let start = random.below(size)
                let count = min(size - start, 1 + random.below(9))
                for index in start..<start + count { bytes[index] = 0xFF }
            default: break
            }
        }
    }

    /// Damages the payload of a blob instead of the blob, so that the damage gets past decompression.
    private func mutatePayload(_ blob: inout [UInt8], _ random: inout SplitMix64) {
        var payload = RawBuffer()
        guard (try? blob.withUnsafeBytes({ try Zstd.decompress($0, into: &payload, limitBytes: 1 << 24) })) != nil
        else { return }
        var bytes = payload.array()
        mutate(&bytes, &random)
        var stored = RawBuffer()
        bytes.withUnsafeBytes { _ = Zstd.compress($0, level: 1, into: &stored) }
        blob = stored.array()
    }

    @Test(arguments: TestSeeds.thisRun) func randomDamage(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let samples = try Self.samples()
        for round in 0..<250 {
            // Small parts more often: more of the damage hits something that matters.
            let sample = samples[max(random.below(samples.count * 3) - samples.count * 2, 0)]
            var contents = sample.files
            let names = contents.keys.sorted()
            let context = "seed \(seed), round \(round)"
            if random.below(2) == 0 {
                let name = names[random.below(names.count)]
                mutate(&contents[name]!, &random)
            } else if random.below(2) == 0 {
                mutatePayload(&contents["metaindex.bin"]!, &random)
            } else if let rows = try? metaindexRows(contents["metaindex.bin"]!),
                let row = rows.randomElement(using: &random)
            {
                // One index block is decompressed, damaged, compressed again and put at the end; its row is made to fit
                // only when it is the last one, which is what streams need.
                let index = contents["index.bin"]!
                var blob = Array(index[Int(row.offset)..<Int(row.offset) + row.size])
                mutatePayload(&blob, &random)
                contents["index.bin"] = Array(index[..<Int(row.offset)]) + blob
                contents["metaindex.bin"] = resized(rows, row.index, blob.count)
            }
            try readEverything(sample.name, contents, context)
        }
    }

    private struct Row {
        var index: Int
        var firstItem: [UInt8]
        var headers: UInt32
        var offset: UInt64
        var size: Int
    }

    private func metaindexRows(_ blob: [UInt8]) throws -> [Row] {
        var payload = RawBuffer()
        _ = try blob.withUnsafeBytes { try Zstd.decompress($0, into: &payload, limitBytes: 1 << 24) }
        var cursor = ByteCursor(payload.bytes)
        var rows: [Row] = []
        while cursor.remaining > 0 {
            let first = [UInt8](try cursor.readPrefixed())
            rows.append(
                Row(
                    index: rows.count, firstItem: first, headers: try cursor.readBigEndian(UInt32.self),
                    offset: try cursor.readBigEndian(UInt64.self), size: Int(try cursor.readBigEndian(UInt32.self))))
        }
        return rows
    }

    private func resized(_ rows: [Row], _ changed: Int, _ size: Int) -> [UInt8] {
        var payload = RawBuffer()
        for row in rows where row.index <= changed {
            row.firstItem.withUnsafeBytes {
                Metaindex.encode(
                    firstItem: $0, headersCount: Int(row.headers), offset: row.offset,
                    size: row.index == changed ? size : row.size, into: &payload)
            }
        }
        var stored = RawBuffer()
        Zstd.compress(payload.bytes, level: 1, into: &stored)
        return stored.array()
    }

    // MARK: found by reading the code

    /// An index block of size 0 is not read, so its offset was not checked either: building the error trapped.
    @Test func emptyIndexBlockFarAway() throws {
        var sample = try Self.samples()[0]
        var rows = try metaindexRows(sample.files["metaindex.bin"]!)
        rows[1].offset = .max
        var files = sample.files
        files["metaindex.bin"] = resized(rows, 1, 0)
        sample = Sample(name: sample.name, files: files)
        try readEverything(sample.name, sample.files, "empty index block")
    }

    /// Header counts are believed when the part is opened: they must not lead to huge tables of blocks.
    @Test func enormousHeaderCounts() throws {
        let sample = try Self.samples()[0]
        var rows = try metaindexRows(sample.files["metaindex.bin"]!)
        for index in rows.indices { rows[index].headers = .max }
        var files = sample.files
        files["metaindex.bin"] = resized(rows, 1, rows[1].size)
        let blocks = UInt64(UInt32.max) * 2
        let metadata = PartMetadata(
            itemsCount: blocks, blocksCount: blocks, firstItem: Array("item-0000".utf8),
            lastItem: Array("item-0089".utf8))
        files["metadata.json"] = Array(metadata.text.utf8)
        try readEverything(metadata.partName(suffix: 1), files, "enormous counts")
    }
}
