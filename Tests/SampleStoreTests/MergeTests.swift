// MergeTests.swift - merging parts: golden data, and any parts against a plain sorted array.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SampleStore

@Suite struct MergeTests {
    @Test func goldenMerges() throws {
        for vector in try Golden.json("samples/merge.json")["vectors"].array {
            let name = try vector["description"].string
            let files = SimulatedFileSystem()
            var parts: [SamplePart] = []
            for (number, input) in try vector["parts"].array.enumerated() {
                let memory = Fixture.memoryPart(
                    try Fixture.rows(input), precisionBits: try input["precision_bits"].int)!
                parts.append(
                    try Fixture.write(memory, on: files, at: "/in\(number)", number: UInt64(number)).part)
            }
            var options = SampleMergeOptions()
            options.deadlineMs = try vector["retention_deadline"].int64
            options.dedupIntervalMs = try vector["dedup_interval_ms"].int64
            let deleted = Set(try vector["deleted_metric_ids"].array.map { try $0.uint64 })
            options.isDeleted = { deleted.contains($0) }
            let (part, counters, shared, saved) = try Fixture.merge(parts, options, on: files, at: "/out")
            let output = vector["output"]
            #expect(try counters.rowsMerged == output["rows_merged"].uint64, "\(name)")
            #expect(try counters.rowsDeleted == output["rows_deleted"].uint64, "\(name)")
            #expect(try counters.rowsDeduplicated == output["deduplicated_samples"].uint64, "\(name)")
            #expect(try shared == output["timestamps_blocks_merged"].uint64, "\(name)")
            #expect(try saved == output["timestamps_bytes_saved"].uint64, "\(name)")
            guard let part else {
                #expect(try output["rows_count"].int == 0, "\(name)")
                continue
            }
            #expect(try part.totals.rows == output["rows_count"].uint64, "\(name)")
            #expect(try part.totals.minTimestamp == output["min_timestamp"].int64, "\(name)")
            #expect(try part.totals.maxTimestamp == output["max_timestamp"].int64, "\(name)")
            let plain = try Fixture.plain(part, on: files)
            #expect(try Fixture.digest(plain.rows) == output["rows_sha256"].string, "\(name)")
            try expectBlocks(plain, output["blocks"], name)
        }
    }

    /// Random parts of all kinds; whole numbers, so that every row survives as it is.
    private func randomParts(
        _ random: inout SplitMixBytes, on files: any FileSystem, overlapping: Bool
    ) throws -> (parts: [SamplePart], rows: [SampleRow]) {
        var parts: [SamplePart] = []
        var all: [SampleRow] = []
        let seriesCount = Int(random.next() % 5) + 1
        for number in 0..<Int(random.next() % 6 + 1) {
            var rows: [SampleRow] = []
            for _ in 0...Int(random.next() % 4) {
                let series = Fixture.series(Int(random.next() % UInt64(seriesCount)))
                let count = [1, 2, 50, 3000, 9000][Int(random.next() % 5)]
                let start = overlapping ? Int64(random.next() % 20000) : Int64(number * 100_000_000)
                let step = Int64(random.next() % 5 + (overlapping ? 0 : 1))
                for index in 0..<count {
                    // No zeros at the end: exponents are 0 everywhere.
                    let value = Double(Int(random.next() % 1000) * 10 + 1)
                    rows.append(
                        SampleRow(tsid: series, timestampMs: start + Int64(index) * step, value: value))
                }
            }
            all += rows
            let memory = Fixture.memoryPart(rows)!
            let isFile = random.next() % 2 == 0
            parts.append(
                isFile
                    ? try Fixture.write(memory, on: files, at: "/in\(number)", number: UInt64(number)).part : memory)
        }
        return (parts, all)
    }

    private func sorted(_ rows: some Sequence<PlainRow>) -> [PlainRow] {
        rows.sorted { a, b in
            if a.tsid != b.tsid { return isSmaller(a.tsid, b.tsid) }
            return a.timestamp != b.timestamp ? a.timestamp < b.timestamp : a.bits < b.bits
        }
    }

    private func plain(_ rows: [SampleRow]) -> [PlainRow] {
        rows.map { PlainRow(tsid: Fixture.bytes($0.tsid), timestamp: $0.timestampMs, bits: $0.value.bitPattern) }
    }

    @Test(arguments: TestSeeds.thisRun)
    func noRowIsLostOrMade(seed: UInt64) throws {
        var random = SplitMixBytes(seed: seed)
        for round in 0..<20 {
            let files = SimulatedFileSystem()
            let (parts, rows) = try randomParts(&random, on: files, overlapping: round % 3 != 0)
            let (part, counters, _, _) = try Fixture.merge(parts, SampleMergeOptions(), on: files, at: "/out")
            let found = try Fixture.plain(part!, on: files)
            #expect(sorted(found.rows) == sorted(plain(rows)))
            #expect(counters.rowsMerged == UInt64(rows.count) && counters.rowsDeleted == 0)
            for block in found.blocks { #expect(zip(block.timestamps, block.timestamps.dropFirst()).allSatisfy(<=)) }
            #expect(try Fixture.streamRows(part!) == found.rows)
            let series = Set(rows.map(\.tsid)).sorted()
            #expect(try Fixture.searchRows(part!, series) == found.rows)
        }
    }

    @Test(arguments: TestSeeds.thisRun)
    func deletionsAndRetention(seed: UInt64) throws {
        var random = SplitMixBytes(seed: seed)
        for _ in 0..<15 {
            let files = SimulatedFileSystem()
            let (parts, rows) = try randomParts(&random, on: files, overlapping: true)
            var options = SampleMergeOptions()
            options.deadlineMs = Int64(random.next() % 30000)
            options.isDeleted = { $0 % 3 == 0 }
            let (part, counters, _, _) = try Fixture.merge(parts, options, on: files, at: "/out")
            let found = try part.map { try Fixture.plain($0, on: files, isCut: true).rows } ?? []
            #expect(counters.rowsMerged + counters.rowsDeleted == UInt64(rows.count))
            #expect(counters.rowsMerged == UInt64(found.count))
            // What is young enough stays; what is older may stay in a block that was not joined.
            let young = plain(rows.filter { $0.tsid.metricID % 3 != 0 && $0.timestampMs >= options.deadlineMs })
            #expect(sorted(found.filter { $0.timestamp >= options.deadlineMs }) == sorted(young))
        }
    }

    /// With deduplication every block keeps the first row of each interval.
    @Test(arguments: TestSeeds.thisRun)
    func deduplication(seed: UInt64) throws {
        var random = SplitMixBytes(seed: seed)
        for _ in 0..<10 {
            let files = SimulatedFileSystem()
            let (parts, rows) = try randomParts(&random, on: files, overlapping: true)
            var options = SampleMergeOptions()
            options.dedupIntervalMs = Int64(random.next() % 2000 + 1)
            let (part, counters, _, _) = try Fixture.merge(parts, options, on: files, at: "/out")
            let found = try Fixture.plain(part!, on: files)
            #expect(found.dedupInterval == DedupInterval.text(ms: options.dedupIntervalMs))
            #expect(part!.dedupIntervalMs == options.dedupIntervalMs)
            #expect(counters.rowsMerged == UInt64(rows.count))
            #expect(counters.rowsDeduplicated == UInt64(rows.count - found.rows.count))
            let all = Set(plain(rows))
            #expect(found.rows.allSatisfy { all.contains($0) })
            for block in found.blocks {
                for (a, b) in zip(block.timestamps, block.timestamps.dropFirst()) {
                    #expect(b / options.dedupIntervalMs > a / options.dedupIntervalMs)
                }
            }
        }
    }

    @Test func untouchedBlocksAreCopied() throws {
        let files = SimulatedFileSystem()
        let parts = try (0..<3).map { number -> SamplePart in
            let rows = (0..<5000).map {
                SampleRow(tsid: Fixture.series(number), timestampMs: Int64($0), value: Double($0 * $0 % 1000))
            }
            return try Fixture.write(Fixture.memoryPart(rows)!, on: files, at: "/in\(number)", number: UInt64(number))
                .part
        }
        let (part, counters, _, _) = try Fixture.merge(parts, SampleMergeOptions(), on: files, at: "/out")
        #expect(counters.blocksCopied == 3 && counters.blocksEncoded == 0)
        let data = try parts.map { try Fixture.plain($0 as! FileSamplePart, on: files).blocks[0].valuesData }
        #expect(try Fixture.plain(part!, on: files).blocks.map(\.valuesData) == data)
    }

    /// A single part in memory takes a short cut: the result is that of the same blocks read from a file.
    @Test(arguments: TestSeeds.thisRun) func aSinglePartInMemory(seed: UInt64) throws {
        var random = SplitMixBytes(seed: seed)
        for round in 0..<8 {
            let files = SimulatedFileSystem()
            let series = UInt64(1 + random.next() % 12)
            let count = round == 0 ? 20_000 : Int(random.next() % 2000) + 1
            let rows = (0..<count).map { _ in
                SampleRow(
                    tsid: Fixture.series(Int(random.next() % series)), timestampMs: Int64(random.next() % 100_000),
                    value: Double(random.next() % 1000) / 4)
            }
            let memory = Fixture.memoryPart(rows)!
            let stored = try Fixture.write(memory, on: files, at: "/in").part
            var options = SampleMergeOptions()
            options.isDeleted = { $0 % 5 == 2 }
            if round % 2 == 1 { options.deadlineMs = Int64(random.next() % 120_000) }
            let direct = try Fixture.merge([memory], options, on: files, at: "/direct", number: 7)
            let through = try Fixture.merge([stored], options, on: files, at: "/through", number: 8)
            #expect(direct.counters.rowsMerged == through.counters.rowsMerged)
            #expect(direct.counters.rowsDeleted == through.counters.rowsDeleted)
            #expect((direct.part == nil) == (through.part == nil))
            guard let a = direct.part, let b = through.part else { continue }
            let (first, second) = (try Fixture.plain(a, on: files), try Fixture.plain(b, on: files))
            #expect(first.blocks.map(\.header) == second.blocks.map(\.header))
            #expect(first.rows == second.rows)
        }
    }

    @Test func aStoppedMergeSaysSo() throws {
        let files = SimulatedFileSystem()
        var options = SampleMergeOptions()
        options.stop = SampleMergeStop()
        options.stop?.set()
        let part = Fixture.memoryPart([SampleRow(tsid: Fixture.series(1), timestampMs: 1, value: 1)])!
        let error = #expect(throws: StorageError.self) {
            try Fixture.merge([part], options, on: files, at: "/out")
        }
        #expect(error?.kind == .closed)
    }

    /// Blocks above 8192 rows, which others may write, are split when they are joined.
    @Test func blocksAboveTheLimitAreSplit() throws {
        let files = SimulatedFileSystem()
        let long = (0..<16384).map { Int64($0) }
        let memory = MemorySamplePart(
            taking: block(Fixture.series(0), 16384), timestamps: copy(long), values: copy(long.map { $0 % 7 + 1 }),
            capacity: 16384)
        let second = MemorySamplePart(
            taking: block(Fixture.series(0), 16384), timestamps: copy(long), values: copy(long.map { $0 % 5 + 1 }),
            capacity: 16384)
        let (part, _, _, _) = try Fixture.merge([memory, second], SampleMergeOptions(), on: files, at: "/out")
        let plain = try Fixture.plain(part!, on: files)
        #expect(plain.blocks.map(\.timestamps.count) == [8192, 8192, 8192, 8192])
        #expect(plain.blocks.flatMap(\.timestamps) == long.flatMap { [$0, $0] })
    }

    private func block(_ tsid: TSID, _ count: Int) -> UnsafeMutableBufferPointer<MemorySamplePart.Block> {
        let blocks = UnsafeMutableBufferPointer<MemorySamplePart.Block>.allocate(capacity: 1)
        blocks.initialize(
            repeating: MemorySamplePart.Block(
                tsid: tsid, start: 0, count: UInt32(count), exponent: 0, precisionBits: 64))
        return blocks
    }

    private func copy(_ values: [Int64]) -> UnsafeMutablePointer<Int64> {
        let target = UnsafeMutablePointer<Int64>.allocate(capacity: values.count)
        target.initialize(from: values, count: values.count)
        return target
    }
}
