// ConversionTests.swift - rows become parts: golden data, and any batch against a plain model.

import StorageBytes
import StorageFiles
import TestSupport
import Testing

@testable import SampleStore

@Suite struct ConversionTests {
    @Test func goldenRows() throws {
        for vector in try Golden.json("samples/raw-rows.json")["vectors"].array {
            let name = try vector["description"].string
            let input = vector["input"]
            let output = vector["output"]
            let isFormula = input["formula"].isPresent
            let rows =
                try isFormula
                ? (0..<1500).map {
                    SampleRow(
                        tsid: Fixture.series($0), timestampMs: 1_637_452_800_000 + Int64($0), value: Double($0))
                } : Fixture.rows(input)
            var converter = RowConverter()
            let interval = try vector["dedup_interval_ms"].int64
            let memory = try rows.withUnsafeBufferPointer {
                converter.convert(
                    $0, precisionBits: try isFormula ? 64 : input["precision_bits"].int, dedupIntervalMs: interval)
            }!
            #expect(try converter.rowsDeduplicated == output["deduplicated_samples"].uint64, "\(name)")
            #expect(try memory.totals.rows == output["rows_count"].uint64, "\(name)")
            #expect(try memory.totals.blocks == output["blocks_count"].uint64, "\(name)")
            #expect(try memory.totals.minTimestamp == output["min_timestamp"].int64, "\(name)")
            #expect(try memory.totals.maxTimestamp == output["max_timestamp"].int64, "\(name)")

            let files = SimulatedFileSystem()
            let (part, shared, saved) = try Fixture.write(memory, on: files, at: "/part")
            #expect(try shared == output["timestamps_blocks_merged"].uint64, "\(name)")
            #expect(try saved == output["timestamps_bytes_saved"].uint64, "\(name)")
            let plain = try Fixture.plain(part, on: files)
            #expect(try Fixture.digest(plain.rows) == output["rows_sha256"].string, "\(name)")
            #expect(try Fixture.digest(Fixture.streamRows(part)) == output["rows_sha256"].string, "\(name)")
            try expectBlocks(plain, output["blocks"], name)
            #expect(try expectedIndexBlocks(output) == plain.indexBlocks, "\(name)")
        }
    }

    private func expectedIndexBlocks(_ output: JSON) throws -> [Int] {
        let rows = try output["metaindex_plain_hex"].bytes
        return stride(from: 0, to: rows.count, by: 64).map { start in
            rows[(start + 32)..<(start + 36)].reduce(0) { $0 << 8 | Int($1) }
        }
    }

    /// Batches that are numbered in turns and converted one after another are what each of them is alone.
    @Test(arguments: TestSeeds.thisRun)
    func batchesNumberedInTurns(seed: UInt64) throws {
        var random = SplitMixBytes(seed: seed)
        var converter = RowConverter()
        for round in 0..<4 {
            var rows: [[SampleRow]] = [[], [], []]
            let batches = rows.map { _ in NumberedRows() }
            for _ in 0..<30 {
                let target = Int(random.next() % 3)
                // One of them fills more than a piece.
                let count = target == 0 && round == 1 ? 4000 : Int(random.next() % 50)
                let added = (0..<count).map { _ in
                    SampleRow(
                        tsid: Fixture.series(Int(random.next() % 300)),
                        timestampMs: 1_637_452_800_000 + Int64(random.next() % 1000), value: Double(random.next() % 100)
                    )
                }
                added.withUnsafeBufferPointer { converter.number($0, into: batches[target]) }
                rows[target] += added
                #expect(batches[target].count == rows[target].count)
            }
            for (batch, expected) in zip(batches, rows) {
                let part = converter.convert(batch, precisionBits: 64, dedupIntervalMs: 0)
                let alone = Fixture.memoryPart(expected)
                #expect(batch.count == 0 && (part == nil) == expected.isEmpty)
                guard let part, let alone else { continue }
                #expect(try Fixture.streamRows(part) == Fixture.streamRows(alone))
            }
            converter.trim()
            if round == 2 { converter.giveBackMemory() }
        }
    }

    @Test func anEmptyBatchIsNoPart() { #expect(Fixture.memoryPart([]) == nil) }

    /// Any batch, several in a row with one converter: the rows of the part are the rows of the batch, sorted stably.
    @Test(arguments: TestSeeds.thisRun)
    func randomBatches(seed: UInt64) throws {
        var random = SplitMixBytes(seed: seed)
        var converter = RowConverter()
        for round in 0..<30 {
            let count = [1, 10, 300, 5000, 30000][Int(random.next() % 5)]
            let seriesCount = random.next() % UInt64(1 << (random.next() % 12)) + 1
            let span = [1, 100, 100_000, 1 << 40][Int(random.next() % 4)] as UInt64
            let isSorted = random.next() % 2 == 0
            var rows = (0..<count).map { index -> SampleRow in
                SampleRow(
                    tsid: Fixture.series(Int(random.next() % seriesCount) * 7919 % 4096),
                    timestampMs: Int64(isSorted ? UInt64(index) : random.next() % span) - Int64(random.next() % 2),
                    value: Double(index % 1000))
            }
            if round % 7 == 0 { rows.append(SampleRow(tsid: Fixture.series(round), timestampMs: .min, value: 1)) }
            if round % 7 == 1 { rows.append(SampleRow(tsid: Fixture.series(round), timestampMs: .max, value: 1)) }
            let part = rows.withUnsafeBufferPointer {
                converter.convert($0, precisionBits: 64, dedupIntervalMs: 0)
            }!
            let expected = rows.enumerated().sorted { a, b in
                if a.element.tsid != b.element.tsid { return a.element.tsid < b.element.tsid }
                if a.element.timestampMs != b.element.timestampMs {
                    return a.element.timestampMs < b.element.timestampMs
                }
                return a.offset < b.offset
            }.map { row in
                PlainRow(
                    tsid: Fixture.bytes(row.element.tsid), timestamp: row.element.timestampMs,
                    bits: row.element.value.bitPattern)
            }
            let found = try Fixture.streamRows(part)
            #expect(found == expected)
            let series = Set(rows.map(\.tsid)).sorted()
            #expect(try Fixture.searchRows(part, series) == expected)
        }
    }

    @Test func theTableOfSeriesIsEmptiedWhenItIsStale() {
        var converter = RowConverter()
        func convert(_ series: Range<Int>) -> UInt64 {
            let rows = series.reversed().map { SampleRow(tsid: Fixture.series($0), timestampMs: 5, value: 1) }
            return rows.withUnsafeBufferPointer {
                converter.convert($0, precisionBits: 64, dedupIntervalMs: 0)!.totals.blocks
            }
        }
        #expect(convert(0..<100_000) == 100_000)
        #expect(convert(0..<10) == 10)
        #expect(convert(50..<90) == 40)
        #expect(convert(0..<100) == 100)
    }

    /// A search in memory gives bytes that decode to the same rows, block by block and limited in time.
    @Test func searchInMemory() throws {
        var rows: [SampleRow] = []
        for series in 0..<20 {
            for row in 0..<(series == 3 ? 20000 : 50) {
                rows.append(
                    SampleRow(
                        tsid: Fixture.series(series * 3), timestampMs: Int64(row * 1000), value: Double(row % 17) / 4))
            }
        }
        let part = Fixture.memoryPart(rows)!
        let all = try Fixture.streamRows(part)
        #expect(try Fixture.searchRows(part, (0..<100).map(Fixture.series)) == all)
        var headers: [SampleBlockHeader] = []
        _ = try Fixture.searchRows(part, [Fixture.series(9)], min: 8_191_000, max: 8_192_000) { header, _ in
            headers.append(header)
        }
        #expect(headers.map(\.rowsCount) == [8192, 8192] && headers.map(\.minTimestamp) == [0, 8_192_000])
        #expect(try Fixture.searchRows(part, [Fixture.series(1)]).isEmpty)
        #expect(try Fixture.searchRows(part, [Fixture.series(0)], min: 60_000, max: 70_000).isEmpty)
    }
}

/// Compares blocks with golden ones: everything where no zstd is involved, decoded contents elsewhere.
func expectBlocks(_ part: PlainSamplePart, _ expected: JSON, _ name: String) throws {
    guard expected.isPresent else { return }
    let expected = try expected.array
    #expect(part.blocks.count == expected.count, "\(name)")
    var hasZstd = false
    for (block, golden) in zip(part.blocks, expected) {
        #expect(try block.tsid == golden["tsid"].bytes, "\(name)")
        #expect(try block.minTimestamp == golden["min_timestamp"].int64, "\(name)")
        #expect(try block.maxTimestamp == golden["max_timestamp"].int64, "\(name)")
        #expect(try block.firstValue == golden["first_value"].int64, "\(name)")
        #expect(try block.exponent == golden["scale"].int, "\(name)")
        #expect(try block.precisionBits == golden["precision_bits"].int, "\(name)")
        #expect(try block.timestamps.count == golden["rows"].int, "\(name)")
        #expect(try Fixture.digest(block.rows) == golden["rows_sha256"].string, "\(name)")
        #expect(try block.timestampsType == golden["timestamps_type"].int, "\(name)")
        #expect(try block.valuesType == golden["values_type"].int, "\(name)")
        if golden["values"].isPresent {
            #expect(try block.values == golden["values"].array.map { try $0.int64 }, "\(name)")
        }
        let isZstd = [1, 4].contains(block.timestampsType) || [1, 4].contains(block.valuesType)
        hasZstd = hasZstd || isZstd
        if !isZstd, golden["values_hex"].isPresent {
            #expect(try block.timestampsData == golden["timestamps_hex"].bytes, "\(name)")
            #expect(try block.valuesData == golden["values_hex"].bytes, "\(name)")
        }
        // Places and sizes depend on the version of zstd from the first frame on.
        if !hasZstd { #expect(try block.header == golden["header_hex"].bytes, "\(name)") }
    }
}
