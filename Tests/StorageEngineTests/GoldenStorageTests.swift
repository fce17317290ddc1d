// GoldenStorageTests.swift - storages that the reference has written: their series are known here, under their TSIDs.

import Foundation
import Mergeset
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct GoldenStorageTests {
    /// A raw name with the labels of a canonical one.
    private static func raw(_ canonical: [UInt8]) throws -> [UInt8] {
        let name = try canonical.withUnsafeBytes { try MetricName(canonical: $0) }
        return rawName(
            name.tenant, [(Array("__name__".utf8), name.group)] + name.tags.reversed().map { ($0.key, $0.value) })
    }

    private struct Expected {
        /// The smallest TSID that is not deleted, by canonical name.
        var current: [[UInt8]: TSID] = [:]
        var previous: [[UInt8]: TSID] = [:]

        init(_ tables: [TableContents]) {
            let deleted = tables[0].tombstones.union(tables[1].tombstones)
            for name in tables[0].names where !deleted.contains(name.tsid.metricID) {
                current[name.canonical] = min(name.tsid, current[name.canonical] ?? name.tsid)
            }
            for name in tables[1].names where !deleted.contains(name.tsid.metricID) && current[name.canonical] == nil {
                previous[name.canonical] = min(name.tsid, previous[name.canonical] ?? name.tsid)
            }
        }
    }

    @Test(arguments: [("storage-basic", 1763, 0), ("storage-rotated", -1, -1)])
    func seriesOfTheReferenceAreKnown(name: String, currentCount: Int, previousCount: Int) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("storage")
        try FileManager.default.copyItem(atPath: Golden.path("index/" + name), toPath: path)
        var options = StorageOptions.tiny(run: 1 << 18, memory: 1 << 20)
        options.retentionMs = 0
        let fixture = try EngineFixture(
            files: RealFileSystem(), path: path, startMs: 18_964 * Span.day + 5 * Span.hour, options: options)
        let engine = fixture.engine
        #expect(engine.damagedParts == [])
        let tables = [try fixture.contents(), try fixture.contents(.previous)]
        let expected = Expected(tables)
        if currentCount >= 0 {
            #expect(expected.current.count == currentCount && expected.previous.count == previousCount)
        } else {
            #expect(!expected.previous.isEmpty && !tables[0].tombstones.isEmpty && !tables[1].tombstones.isEmpty)
        }
        let all = expected.current.merging(expected.previous) { a, _ in a }
        let deletedNames = Set((tables[0].names + tables[1].names).map(\.canonical)).subtracting(all.keys)

        let rows = RowList()
        let names = all.keys.sorted(by: isSmaller)
        var order: [Int] = []
        for (number, canonical) in names.enumerated() {
            let raw = try Self.raw(canonical)
            // Keys that share a position in the order of labels make another series when they are turned round.
            guard canonicalName(raw) == canonical else { continue }
            rows.append(raw, fixture.nowMs, Double(number))
            order.append(number)
        }
        #expect(order.count > names.count * 9 / 10)
        try engine.add(rows)
        let samples = fixture.sink.takeRows()
        #expect(samples.count == order.count)
        for sample in samples { #expect(sample.tsid == all[names[Int(sample.value)]]) }
        let carried = order.filter { expected.previous[names[$0]] != nil }.count
        #expect(
            engine.metrics.newSeriesCreated == UInt64(carried) && engine.metrics.seriesCarriedOver == UInt64(carried))

        // The day is registered once for everything; what the reference had registered is not written again.
        let date = DateMath.date(timestampMs: fixture.nowMs)
        let after = [try fixture.contents(), try fixture.contents(.previous)]
        let today = after[0].days.filter { $0.date == date }
        for sample in samples {
            #expect(today.contains(TableContents.Day(date: date, metricID: sample.tsid.metricID)))
        }
        #expect(after[0].items.added(since: tables[0].items).doubled == [])
        let written = after[0].days.subtracting(tables[0].days).count
        #expect(engine.metrics.perDayEntriesWritten == UInt64(written))

        // Deleted series get new ids, greater than all there are.
        let idMax = (tables[0].names + tables[1].names).map(\.tsid.metricID).max() ?? 0
        for canonical in deletedNames {
            try engine.add([(try Self.raw(canonical), fixture.nowMs)])
            for sample in fixture.sink.takeRows() { #expect(sample.tsid.metricID > idMax) }
        }
        try fixture.close()
    }
}
