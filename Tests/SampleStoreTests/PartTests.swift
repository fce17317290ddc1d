// PartTests.swift - parts on disk: golden directories read by both readers, damaged ones, crashes while writing.

import Dispatch
import Foundation
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SampleStore

@Suite struct PartTests {
    private let files = RealFileSystem()

    private func open(_ path: String) throws -> FileSamplePart {
        try FileSamplePart(path: path, files: files, cache: IndexCacheBudget(bytesMax: 1 << 20))
    }

    /// The directories of golden parts, in `parts` and in the whole storage.
    private static let directories: [(relative: String, golden: JSON)] = {
        let parts = try! Golden.json("samples/parts.json")["parts"].array.map {
            ("samples/parts/" + (try! $0["name"].string), $0)
        }
        let stored = try! Golden.json("samples/storage.json")["parts"].array.flatMap { part -> [(String, JSON)] in
            let name = try! part["name"].string
            return ["small", "big"].flatMap { side in
                ["2021_10", "2021_11"].map { ("samples/storage/data/\(side)/\($0)/\(name)", part) }
            }.filter { FileManager.default.fileExists(atPath: Golden.path($0.0)) }
        }
        return parts + stored
    }()

    @Test func goldenParts() throws {
        #expect(Self.directories.count == 12)
        for (relative, golden) in Self.directories {
            let part = try open(Golden.path(relative))
            #expect(try part.totals.rows == golden["rows"].uint64 && part.totals.blocks == golden["blocks"].uint64)
            #expect(try part.totals.minTimestamp == golden["min_timestamp"].int64, "\(relative)")
            #expect(try part.totals.maxTimestamp == golden["max_timestamp"].int64, "\(relative)")
            #expect(try part.sizeBytes == golden["size"].uint64, "\(relative)")
            let plain = try Fixture.plain(part, on: files)
            let rows = try Fixture.streamRows(part)
            #expect(rows == plain.rows, "\(relative)")
            if golden["rows_sha256"].isPresent {
                #expect(try Fixture.digest(rows) == golden["rows_sha256"].string, "\(relative)")
            }
            let series = try Set(rows.map(\.tsid)).map { bytes in try bytes.withUnsafeBytes { try TSID($0) } }
            #expect(try Fixture.searchRows(part, series.sorted()) == rows, "\(relative)")
            for (row, expected) in zip(part.metaindex.rows, try golden["metaindex"].array) {
                #expect(try Fixture.bytes(row.tsid) == expected[0].bytes, "\(relative)")
                #expect(try Int(row.headersCount) == expected[1].int && row.minTimestamp == expected[2].int64)
                #expect(try row.maxTimestamp == expected[3].int64 && Int(row.offset) == expected[4].int)
            }
        }
    }

    /// The whole storage: every row of every series, over all parts.
    @Test func goldenStorage() throws {
        let json = try Golden.json("samples/storage.json")
        let parts = try Self.directories.filter { $0.relative.contains("storage") }.map {
            try open(Golden.path($0.relative))
        }
        var rows = 0
        for series in try json["series"].array {
            let tsid = try series["tsid"].bytes.withUnsafeBytes { try TSID($0) }
            let found = try parts.flatMap { try Fixture.searchRows($0, [tsid]) }.sorted {
                $0.timestamp < $1.timestamp
            }
            rows += found.count
            #expect(try found.count == series["rows"].int)
            if series["timestamps"].isPresent {
                #expect(try Fixture.digest(found) == series["rows_sha256"].string)
                let bits = try series["float_bits"].string.split(separator: " ").map { UInt64($0, radix: 16)! }
                #expect(found.map(\.bits) == bits)
            }
        }
        #expect(try rows == json["rows_total"].int)
    }

    /// Merging all golden parts of a month gives a part that both readers agree on, with all rows.
    @Test func goldenStorageMerged() throws {
        let parts = try Self.directories.filter { $0.relative.contains("2021_11") }.map {
            try open(Golden.path($0.relative))
        }
        let memory = SimulatedFileSystem()
        let (part, _, _, _) = try Fixture.merge(parts, SampleMergeOptions(), on: memory, at: "/out")
        let plain = try Fixture.plain(part!, on: memory)
        #expect(UInt64(plain.rows.count) == parts.reduce(0) { $0 + $1.totals.rows })
        #expect(try Fixture.streamRows(part!) == plain.rows)
    }

    // MARK: damaged parts

    @Test func damagedParts() throws {
        let cases = try Golden.json("samples/corrupt.json")["cases"].array
        #expect(cases.count > 80)
        for item in cases {
            let name = try item["description"].string
            let directory = try TemporaryDirectory()
            let path = try DamagedFixture.copy(item, to: directory.path(DamagedFixture.name(item)))
            let series = (0..<(try item["part"].string.hasPrefix("1500") ? 1500 : 7)).map(Fixture.series)
            let part: FileSamplePart
            do {
                part = try open(path)
                #expect(try item["open"].string == "ok", "\(name)")
            } catch let error as StorageError {
                #expect(try item["open"].string != "ok", "\(name): \(error)")
                expectPlace(error, name)
                continue
            }
            var searched = 0
            do {
                _ = try Fixture.searchRows(part, series) { _, rows in searched = rows }
                #expect(try item["search"].string == "ok", "\(name)")
            } catch {
                #expect(try item["search"].string != "ok", "\(name): \(error)")
                if let error = error as? StorageError { expectPlace(error, name) }
            }
            // What aborts the reference has no count.
            if try item["search"].string != "fatal", !name.contains("twice") {
                #expect(try searched == item["search_rows"].int, "\(name)")
            }

            let source = part.source()
            var streamed = 0
            do {
                while try source.advance() { streamed += Int(source.header.rowsCount) }
                #expect(try item["stream"].string == "ok", "\(name)")
            } catch let error as StorageError {
                #expect(try item["stream"].string != "ok", "\(name): \(error)")
                expectPlace(error, name)
            }
            #expect(try streamed == item["stream_rows"].int, "\(name)")
            merge(part, name)
        }
    }

    /// A damaged part as a source of a merge that decodes everything: an error or a part, never a trap.
    private func merge(_ part: FileSamplePart, _ name: String) {
        var options = SampleMergeOptions()
        options.dedupIntervalMs = 1
        do {
            _ = try Fixture.merge([part], options, on: SimulatedFileSystem(), at: "/out")
        } catch let error as StorageError {
            expectPlace(error, name)
        } catch {
            Issue.record("\(name): \(error)")
        }
    }

    private func expectPlace(_ error: StorageError, _ name: String) {
        #expect([.corrupted, .notFound].contains(error.kind) && error.path != nil && !error.message.isEmpty, "\(name)")
    }

    /// Every byte of every file of a small part, changed: an error or rows, never a trap.
    @Test(arguments: TestSeeds.thisRun)
    func anyBytes(seed: UInt64) throws {
        var random = SplitMixBytes(seed: seed)
        let golden = Golden.path("samples/parts/674_7_20211121000000.000_20211121000959.000_000000000000000E")
        let contents = try Fixture.files(golden, on: files)
        for (name, bytes) in contents.sorted(by: { $0.key < $1.key }) {
            for _ in 0..<60 where !bytes.isEmpty {
                let memory = SimulatedFileSystem()
                let path = "/674_7_20211121000000.000_20211121000959.000_000000000000000E"
                try memory.makeDirectory(path, parents: false)
                for (other, content) in contents {
                    var changed = content
                    if other == name {
                        changed[Int(random.next() % UInt64(bytes.count))] ^= UInt8(random.next() % 255 + 1)
                    }
                    try memory.writeAtomically(changed, to: path + "/" + other)
                }
                guard
                    let part = try? FileSamplePart(
                        path: path, files: memory, cache: IndexCacheBudget(bytesMax: 1 << 20))
                else { continue }
                _ = try? Fixture.searchRows(part, (0..<7).map(Fixture.series))
                _ = try? Fixture.streamRows(part)
                merge(part, name)
            }
        }
    }

    // MARK: writing

    /// What was finished survives a crash; the directory is durable before min_dedup_interval is there.
    @Test(arguments: TestSeeds.thisRun)
    func aFinishedPartSurvivesACrash(seed: UInt64) throws {
        let files = SimulatedFileSystem()
        let rows = (0..<3000).map {
            SampleRow(tsid: Fixture.series($0 % 50), timestampMs: Int64($0), value: Double($0) / 8)
        }
        let memory = Fixture.memoryPart(rows)!
        let (part, _, _) = try Fixture.write(memory, on: files, at: "/part")
        try files.sync("/")
        let expected = try Fixture.streamRows(part)
        files.crash()
        let after = files.afterCrash(seed: seed)
        let again = try FileSamplePart(path: part.path, files: after, cache: IndexCacheBudget(bytesMax: 1 << 20))
        #expect(try Fixture.streamRows(again) == expected)
    }

    /// Every operation of a merge fails once: the error comes out, and the sources are as they were.
    @Test func everyFailingOperationIsReported() throws {
        let rows = (0..<300).map {
            SampleRow(tsid: Fixture.series($0 % 3), timestampMs: Int64($0), value: Double($0) / 8)
        }
        let memory = Fixture.memoryPart(rows)!
        for number in 1... {
            let files = SimulatedFileSystem(faults: FaultPlan(rules: [.at(number)]))
            do {
                let (part, _, _, _) = try Fixture.merge([memory], SampleMergeOptions(), on: files, at: "/out")
                #expect(number > 10)
                #expect(try Fixture.streamRows(part!) == Fixture.streamRows(memory))
                return
            } catch let error as StorageError {
                #expect(error.kind == .io(errno: EIO) && error.path != nil, "operation \(number)")
            }
        }
    }

    @Test func anEmptyPartIsNoPart() throws {
        let files = SimulatedFileSystem()
        var writer = try SamplePartWriter(directory: "/part", level: 1, dedupIntervalMs: 0, files: files)
        #expect(try writer.finish() == nil)
    }

    /// The cache keeps to its budget, and answers come from it.
    @Test func indexBlocksAreCached() throws {
        let files = SimulatedFileSystem()
        let rows = (0..<5000).map { SampleRow(tsid: Fixture.series($0), timestampMs: Int64($0), value: 1) }
        let (written, _, _) = try Fixture.write(Fixture.memoryPart(rows)!, on: files, at: "/part")
        for bytesMax in [0, 100_000, 200_000, 10 << 20] {
            let budget = IndexCacheBudget(bytesMax: bytesMax)
            var part: FileSamplePart? = try FileSamplePart(path: written.path, files: files, cache: budget)
            for round in 0..<3 {
                let found = try Fixture.searchRows(part!, (0..<5000).map(Fixture.series))
                #expect(found.count == 5000 && budget.counters.bytes <= bytesMax)
                if bytesMax == 10 << 20, round > 0 { #expect(budget.counters.misses == 7) }
            }
            part?.sweepCache()
            part?.sweepCache()
            #expect(budget.counters.bytes == 0 && budget.counters.entries == 0)
            _ = try Fixture.searchRows(part!, [Fixture.series(17)])
            part = nil
            #expect(budget.counters.bytes == 0 && budget.counters.entries == 0)
        }
    }

    /// One part, a cache too small for it, several cursors and sources at once.
    @Test func concurrentReaders() throws {
        let files = SimulatedFileSystem()
        let rows = (0..<4000).map { SampleRow(tsid: Fixture.series($0), timestampMs: Int64($0), value: Double($0)) }
        let (written, _, _) = try Fixture.write(Fixture.memoryPart(rows)!, on: files, at: "/part")
        let budget = IndexCacheBudget(bytesMax: 250_000)
        let part = try FileSamplePart(path: written.path, files: files, cache: budget)
        let memory = Fixture.memoryPart(rows)!
        let expected = try Fixture.streamRows(part)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            let series = (0..<4000).map { Fixture.series(($0 + thread * 1000) % 4000) }
            for part in [part, memory] as [SamplePart] {
                let found = try? Fixture.searchRows(part, thread == 3 ? series.reversed() : series)
                #expect(found?.count == 4000)
                #expect((try? Fixture.streamRows(part)) == expected)
            }
            if thread == 2 { part.sweepCache() }
        }
        #expect(budget.counters.bytes <= budget.bytesMax)
    }
}
