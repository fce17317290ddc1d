// WritePathTraceTests.swift - the golden trace of the write path: the same batches, and of each the rows that reach the
// samples, the items that the index gains, and the counters.
//
// Where this engine differs from the reference on purpose:
//
//   step 4    the series in another raw form is found although the index was not flushed: no second TSID, so the ids of
//             series that come later are smaller by one
//   step 9    there is no cache of days to reset: the registry knows the entries, and no search is counted
//   step 13   the tombstone goes into both tables

import Mergeset
import SeriesIndex
import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct WritePathTraceTests {
    private static let firstID: UInt64 = 1_640_995_200_000_000_000
    private static let secondForm = 4, afterCacheReset = 9

    /// Hex of ids of the reference, and what they are here. In this order.
    private static let renamed = [
        ("16c5fc70a61f0003", "16c5fc70a61f0000"), ("16c5fc70a61f0004", "16c5fc70a61f0003"),
        ("16c5fc70a61f0005", "16c5fc70a61f0004"),
    ]

    private static func ours(_ hex: String) throws -> [UInt8] {
        var hex = hex
        for (theirs, ours) in renamed {
            if let place = hex.firstRange(of: theirs) {
                hex.replaceSubrange(place, with: ours)
                // A name row ends with the id, an id row has it twice.
                while let place = hex.firstRange(of: theirs) { hex.replaceSubrange(place, with: ours) }
                break
            }
        }
        return try #require([UInt8](hex: hex))
    }

    @Test func goldenTrace() throws {
        let golden = try Golden.json("index/write_path_trace.json")
        var options = StorageOptions.tiny()
        options.retentionMs = 100 * 365 * Span.day
        let fixture = try EngineFixture(startMs: 1_700_000_000_000, firstID: Self.firstID, options: options)
        let steps = try golden["steps"].array
        #expect(steps.count == 14)
        for (index, step) in steps.enumerated() {
            if step["action"].isPresent {
                try perform(step, fixture)
            } else {
                try check(step, number: index + 1, fixture)
            }
        }
        try fixture.close()
    }

    private func perform(_ step: JSON, _ fixture: EngineFixture) throws {
        let action = try step["action"].string
        let engine = fixture.engine
        if action.hasPrefix("flush index") {
            try engine.flush()
        } else if action == "reset tsid cache" {
            engine.tsidCache.reset()
        } else if action.hasPrefix("rotate indexdb") {
            let before = engine.metrics.tsidCache.resets
            try engine.rotateIndex()
            #expect(engine.metrics.tsidCache.resets == before + 1)
            #expect(try fixture.items() == IndexItems())
        } else if action.hasPrefix("delete series") {
            let id = Self.firstID + 1  // `up`
            let before = (try fixture.items(), try fixture.items(.previous))
            #expect(try engine.deleteSeries([id]) == Int(try step["deletedCount"].int))
            let events = try step["events"].array
            let expected = IndexItems(try events.flatMap { try $0["items"].array.map { try $0.bytes } })
            #expect(try fixture.items().added(since: before.0) == expected)
            #expect(try fixture.items(.previous).added(since: before.1) == expected)
            #expect(try engine.deleteSeries([id]) == 0)
        } else {
            #expect(action == "reset (date, metricID) cache")
        }
    }

    private func check(_ step: JSON, number: Int, _ fixture: EngineFixture) throws {
        let comment = Comment(rawValue: "step \(number): \(try step["name"].string)")
        let engine = fixture.engine
        let itemsBefore = try fixture.items()
        let before = engine.metrics
        let rows = RowList()
        for row in try step["rows"].array {
            rows.append(
                try row["metricNameRawHex"].bytes, try row["timestamp"].int64,
                Double(bitPattern: try #require(UInt64(try row["valueBits"].string, radix: 16))))
        }
        try engine.add(rows)
        let after = engine.metrics

        let events = try step["events"].array
        let calls = fixture.sink.takeCalls()
        #expect(calls.count == 1, comment)
        let expectedRows = try events.filter { try $0["event"].string == "addRowsToTable" }
            .flatMap { try $0["rows"].array }
        #expect(calls[0].rows.count == expectedRows.count, comment)
        for (row, expected) in zip(calls[0].rows, expectedRows) {
            let tsid = try Self.ours(try expected["tsidHex"].string)
            #expect(row.tsid == (try tsid.withUnsafeBytes { try TSID($0) }), comment)
            #expect(row.timestampMs == (try expected["timestamp"].int64), comment)
            #expect(
                row.value.bitPattern == UInt64(try expected["valueBits"].string, radix: 16), comment)
            #expect(calls[0].precisionBits == (try expected["precisionBits"].int), comment)
        }

        // A new series is registered here globally and for its day by one batch, in the reference by two: sets.
        var expectedItems = IndexItems(
            try events.filter { try $0["event"].string == "addItems" }
                .flatMap { try $0["items"].array.map { try Self.ours(try $0.string) } })
        if number == Self.secondForm { expectedItems = IndexItems() }
        #expect(try fixture.items().added(since: itemsBefore) == expectedItems, comment)

        var expected: [String: UInt64] = [:]
        for (key, value) in try step["counterDeltas"].object { expected[key] = try value.uint64 }
        if number == Self.secondForm {
            expected["newTimeseriesCreated"] = 0
            expected["slowPerDayIndexInserts"] = 0
        }
        if number == Self.afterCacheReset { expected["slowPerDayIndexInserts"] = 0 }
        let actual: [String: UInt64] = [
            "newTimeseriesCreated": after.newSeriesCreated - before.newSeriesCreated,
            "rowsAddedTotal": after.rowsAdded - before.rowsAdded,
            "slowPerDayIndexInserts": after.slowPerDayInserts - before.slowPerDayInserts,
            "slowRowInserts": after.slowRowInserts - before.slowRowInserts,
            "tooBigTimestampRows": after.rowsTooNew - before.rowsTooNew,
            "tooSmallTimestampRows": after.rowsTooOld - before.rowsTooOld,
            "tsidCacheMisses": after.tsidCache.misses - before.tsidCache.misses,
            "tsidCacheRequests": after.tsidCache.requests - before.tsidCache.requests,
        ]
        #expect(actual == expected, comment)
        if number == 1 {
            #expect(after.rowsNaN == 1 && after.rowsInvalidName == 1)
            #expect(fixture.log.all.count == 1 && fixture.log.all[0].contains("too small timestamp -1 outside"))
        }
        if number == 11 { #expect(after.seriesCarriedOver - before.seriesCarriedOver == 2) }
    }
}
