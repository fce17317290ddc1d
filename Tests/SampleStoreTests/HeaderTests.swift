// HeaderTests.swift - headers, metaindex rows, part names, intervals, deduplication and levels against golden data.

import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import SampleStore

@Suite struct HeaderTests {
    @Test func blockHeaders() throws {
        for vector in try Golden.json("samples/block-header.json")["vectors"].array {
            let name = try vector["description"].string
            let bytes = try vector["hex"].bytes
            guard try vector["valid"].bool else {
                #expect(throws: DecodeError.self, "\(name)") { try bytes.withUnsafeBytes { try SampleBlockHeader($0) } }
                continue
            }
            let header = try bytes.withUnsafeBytes { try SampleBlockHeader($0) }
            #expect(try Fixture.bytes(header.tsid) == vector["tsid"].bytes, "\(name)")
            #expect(try header.minTimestamp == vector["min_timestamp"].int64, "\(name)")
            #expect(try header.maxTimestamp == vector["max_timestamp"].int64, "\(name)")
            #expect(try header.firstValue == vector["first_value"].int64, "\(name)")
            #expect(try header.timestampsOffset == vector["timestamps_offset"].uint64, "\(name)")
            #expect(try header.valuesOffset == vector["values_offset"].uint64, "\(name)")
            #expect(try Int(header.timestampsSize) == vector["timestamps_size"].int, "\(name)")
            #expect(try Int(header.valuesSize) == vector["values_size"].int, "\(name)")
            #expect(try Int(header.rowsCount) == vector["rows"].int, "\(name)")
            #expect(try Int(header.exponent) == vector["scale"].int, "\(name)")
            #expect(try Int(header.timestampsType.rawValue) == vector["timestamps_type"].int, "\(name)")
            #expect(try Int(header.valuesType.rawValue) == vector["values_type"].int, "\(name)")
            #expect(try Int(header.precisionBits) == vector["precision_bits"].int, "\(name)")
            var target = RawBuffer()
            header.encode(into: &target)
            #expect(target.array() == bytes, "\(name)")
        }
    }

    @Test func metaindexRows() throws {
        for vector in try Golden.json("samples/metaindex-row.json")["vectors"].array {
            let name = try vector["description"].string
            let bytes = try vector["hex"].bytes
            guard try vector["valid"].bool else {
                #expect(throws: DecodeError.self, "\(name)") {
                    try bytes.withUnsafeBytes { try SampleMetaindexRow($0) }
                }
                continue
            }
            let row = try bytes.withUnsafeBytes { try SampleMetaindexRow($0) }
            #expect(try Fixture.bytes(row.tsid) == vector["tsid"].bytes, "\(name)")
            #expect(try Int(row.headersCount) == vector["block_headers"].int, "\(name)")
            #expect(try row.minTimestamp == vector["min_timestamp"].int64, "\(name)")
            #expect(try row.maxTimestamp == vector["max_timestamp"].int64, "\(name)")
            #expect(try row.offset == vector["index_offset"].uint64, "\(name)")
            #expect(try Int(row.size) == vector["index_size"].int, "\(name)")
            var target = RawBuffer()
            row.encode(into: &target)
            #expect(target.array() == bytes, "\(name)")
        }
    }

    @Test func orderOfSeries() throws {
        for vector in try Golden.json("samples/tsid-order.json")["vectors"].array {
            let a = try vector["a"].bytes.withUnsafeBytes { try TSID($0) }
            let b = try vector["b"].bytes.withUnsafeBytes { try TSID($0) }
            #expect(try (a < b) == vector["a_less_b"].bool && (b < a) == vector["b_less_a"].bool)
        }
    }

    @Test func partNames() throws {
        for vector in try Golden.json("samples/part-name.json")["vectors"].array {
            let text = try vector["name"].string
            guard try vector["valid"].bool else {
                let error = #expect(throws: StorageError.self, "\(text)") { try SamplePartName(path: "/a/" + text) }
                #expect(error?.kind == .corrupted && error?.path == "/a/" + text)
                continue
            }
            let name = try SamplePartName(path: "/a/" + text)
            // One number is too large for a JSON number.
            let rows = text.hasPrefix("18446744073709551615") ? UInt64.max : try vector["rows"].uint64
            #expect(try name.totals.rows == rows && name.totals.blocks == vector["blocks"].uint64)
            #expect(try name.totals.minTimestamp == vector["min_timestamp"].int64, "\(text)")
            #expect(try name.totals.maxTimestamp == vector["max_timestamp"].int64, "\(text)")
            let again = SamplePartName(name.totals, number: 0xABCD_EF01_2345_6789)
            #expect(try again.text == vector["formatted"].string)
        }
    }

    @Test func datesGoBothWays() {
        for days in -800_000...800_000 where days % 97 == 0 || abs(days) < 1500 {
            let start = Int64(days) * 86_400_000
            let time = CivilTime(timestampMs: start + 86_399_999)
            #expect(CivilTime.startMs(year: time.year, month: time.month, day: time.day) == start)
            #expect(time.day <= CivilTime.days(year: time.year, month: time.month) && time.hour == 23)
            let next = CivilTime(timestampMs: start + 86_400_000)
            let isFirst = time.day == CivilTime.days(year: time.year, month: time.month)
            #expect(next.day == (isFirst ? 1 : time.day + 1))
        }
    }

    @Test func intervals() throws {
        let json = try Golden.json("samples/min-dedup-interval.json")
        for vector in try json["vectors"].array {
            let text = try vector["content"].string
            let expected = try vector["valid"].bool ? vector["ms"].int64 : nil
            #expect(DedupInterval.parse(text.utf8) == expected, "\(text)")
        }
        for row in try json["written"].array {
            #expect(try DedupInterval.text(ms: row[0].int64) == row[1].string)
            #expect(try DedupInterval.parse(row[1].string.utf8) == row[0].int64)
        }
    }

    @Test func deduplication() throws {
        for vector in try Golden.json("samples/dedup.json")["vectors"].array {
            let name = try vector["description"].string
            var timestamps = try vector["timestamps"].array.map { try $0.int64 }
            var values = timestamps.indices.map { Int64($0) }
            let kept = SampleColumns.deduplicate(
                &timestamps, &values, timestamps.count, intervalMs: try vector["interval"].int64)
            #expect(try Array(timestamps[..<kept]) == vector["kept_timestamps"].array.map { try $0.int64 }, "\(name)")
            #expect(try Array(values[..<kept]) == vector["kept_indexes"].array.map { try $0.int64 }, "\(name)")
        }
    }

    @Test func levels() throws {
        for row in try Golden.json("samples/merge-select.json")["levels"].array {
            #expect(try SampleLimits.indexLevel(rows: row[0].uint64, blocks: row[1].uint64) == row[2].int, "\(row)")
        }
    }
}
