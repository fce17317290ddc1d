// GoldenStorageTests+Samples.swift - a whole storage of the reference, index and samples, opened and searched.

import Foundation
import SampleStore
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SeriesIndex
@testable import StorageEngine

@Suite struct GoldenSampleStorageTests {
    private static func float(_ text: Substring) throws -> Double {
        Double(bitPattern: try #require(UInt64(text, radix: 16)))
    }

    private struct Series {
        var tsid: TSID
        var name: [UInt8]
        /// nil of a series whose rows are known by their digest alone.
        var rows: [StoredRow]?
        var count: Int
        var digest: String

        /// SHA-256 over TSID, timestamp and bits of the value of each row.
        func digest(of rows: [StoredRow]) -> String {
            var bytes: [UInt8] = []
            let id = withUnsafeTemporaryAllocation(byteCount: TSID.storedBytes, alignment: 8) {
                tsid.store(at: $0.baseAddress!)
                return Array($0)
            }
            for row in rows {
                bytes += id + bigEndianBytes(UInt64(bitPattern: row.timestampMs)) + bigEndianBytes(row.bits)
            }
            return SHA256.hex(bytes)
        }
    }

    private static func series() throws -> [Series] {
        try Golden.json("samples/storage.json")["series"].array.map { item in
            var rows: [StoredRow]?
            if item["float_bits"].isPresent {
                let timestamps = try item["timestamps"].array.map { try $0.int64 }
                let values = try item["float_bits"].string.split(separator: " ").map { try float($0) }
                try #require(timestamps.count == values.count)
                rows = zip(timestamps, values).map { StoredRow($0, $1) }.sorted()
            }
            let tsid = try item["tsid"].bytes.withUnsafeBytes { try TSID($0) }
            return Series(
                tsid: tsid, name: try item["metric_name_hex"].bytes, rows: rows, count: try item["rows"].int,
                digest: try item["rows_sha256"].string)
        }
    }

    @Test func everyRowOfTheReferenceIsFound() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("storage")
        try FileManager.default.copyItem(atPath: Golden.path("samples/storage"), toPath: path)
        var options = StorageOptions.tiny(run: 1 << 18, memory: 1 << 20)
        options.retentionMs = 0
        let fixture = try EngineFixture(
            files: RealFileSystem(), path: path, startMs: 1_637_452_800_000, options: options, keepsSamples: true)
        let all = try Self.series()
        #expect(all.count == 200)
        for round in 0..<4 {
            #expect(fixture.engine.damagedParts == [])
            let found = try fixture.engine.search(
                all.map(\.tsid).sorted(), minTimestampMs: 0, maxTimestampMs: .max
            ).collect()
            var rows = 0
            for series in all {
                let answer = try #require(found[series.tsid], "series \(series.tsid)")
                #expect(answer.name == series.name)
                if let expected = series.rows { #expect(answer.rows == expected, "series \(series.tsid)") }
                #expect(answer.rows.count == series.count)
                #expect(series.digest(of: answer.rows) == series.digest, "series \(series.tsid)")
                rows += answer.rows.count
            }
            #expect(rows == 14_001)
            // As it is, after a merge, after a restart, after a restart without caches.
            switch round {
            case 0: try fixture.engine.forceMerge()
            case 1: try fixture.reopen()
            case 2:
                try fixture.close()
                try fixture.files.replaceAtomically([], at: path + "/cache/reset_cache_on_startup")
                try fixture.open()
            default: break
            }
        }
        // The reference's series take new rows under their ids.
        let rows = RowList()
        let known = all.prefix(50)
        for (number, series) in known.enumerated() {
            let name = try series.name.withUnsafeBytes { try MetricName(canonical: $0) }
            rows.append(
                rawName(name.tenant, [(Array("__name__".utf8), name.group)] + name.tags.map { ($0.key, $0.value) }),
                fixture.nowMs, Double(number))
        }
        try fixture.engine.add(rows)
        #expect(fixture.sink.takeRows().map(\.tsid).sorted() == known.map(\.tsid).sorted())
        #expect(fixture.engine.metrics.newSeriesCreated == 0 || fixture.engine.metrics.seriesCarriedOver > 0)
        try fixture.close()
    }
}
