// RecordTests.swift - run.json is read back as it was written; the report and the summary follow from it alone.

import Foundation
import StorageEngine
import Testing

@testable import BenchHarness

@Suite struct RecordTests {
    @Test func roundTrip() throws {
        var record = RunRecord.fixture()
        record.observed.directoryDigest = "0123456789abcdef"
        record.provenance.commit = "abcdef012345-dirty"
        let json = record.json()
        #expect(try RunRecord(json: json) == record)
        #expect(try RunRecord(json: json).json() == json)
    }

    @Test func theLayoutIsTheDocumentedOne() throws {
        let json = RunRecord.fixture().json()
        let object = try #require(try JSONSerialization.jsonObject(with: Data(json)) as? [String: Any])
        #expect(object["schema_version"] as? Int == 1)
        #expect((object["settings"] as? [String: String])?["churn.rate"] == "0.05")
        #expect((object["provenance"] as? [String: Any])?["load_at_start"] as? Double == 0.25)
        #expect((object["observed"] as? [String: Any])?["stream_digest"] as? String == "00112233445566aa")
        let figures = try #require(object["figures"] as? [String: [String: Any]])
        let figure = try #require(figures["cpu_us_per_new_series"])
        #expect(figure["value"] as? Double == 7.456)
        #expect(figure["unit"] as? String == "us")
        #expect(figure["better"] as? String == "lower")
        #expect(figure["kind"] as? String == "timed")
        // Sorted keys: equal records are equal files.
        let text = String(decoding: json, as: UTF8.self)
        let first = try #require(text.range(of: "\"allocations_per_new_series\""))
        let second = try #require(text.range(of: "\"write_amplification_ratio\""))
        #expect(first.lowerBound < second.lowerBound)
    }

    @Test func otherVersionsAndOtherTextsAreRefused() {
        var record = RunRecord.fixture()
        record.schemaVersion = 99
        #expect(throws: HarnessError.self) { try RunRecord(json: record.json()) }
        for text in ["", "{}", "[]", "{\"schema_version\": 1}", "{\"schema_version\": \"x\"}", "nonsense"] {
            #expect(throws: HarnessError.self) { try RunRecord(json: Array(text.utf8)) }
        }
    }

    @Test func reportText() {
        let text = Report.text(.fixture())
        #expect(text == expectedReport)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count <= 45)
        for line in lines.dropFirst() { #expect(line.count <= 80, "\(line)") }
    }

    @Test func reportOfARunOfRows() throws {
        let record = RunRecord.rowsFixture()
        let text = Report.text(record)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count <= 50, "\(text)")
        for line in lines.dropFirst() { #expect(line.count <= 80, "\(line)") }
        for part in [
            "8.00 M rows of 1.00 M series, 1.02 M new series, 13.0 labels",
            "1.61 M rows/s, 5.12 M known rows/s, 190 k new series/s",
            "7.46 us/new series, 0.211 us/known row, 2.91 us/row of a new day",
            "slow        1.27 M slow inserts (15.93 %): new 1.02 M, cache miss 250 k",
            "1.08 M per-day entries, 60,000 ahead, 12 rows too old",
            "caches      tsid 96.40 % of 7.00 M (33.6 MB), hour 99.70 % of 6.90 M (9.10 MB)",
            "labels      bytes of tag rows: id 38 %, name 20 %",
            "alerts      PASS new series / rows 0.0031, ALERT slow inserts / rows 0.0612",
        ] { #expect(text.contains(part), "\(part)\n\(text)") }
        #expect(try RunRecord(json: record.json()) == record)
        let summary = Summary.markdown(record)
        #expect(summary.contains("| cpu_us_per_known_row | 0.211 | us | lower |\n"))
        #expect(summary.contains("- ALERT: slow inserts / rows 0.0612, limit 0.0500\n"))
    }

    @Test func recordsOfRunsWithoutRowsAreRead() throws {
        var record = RunRecord.rowsFixture()
        record.rounds = nil
        record.labels = nil
        record.alerts = nil
        record.observed.rows = nil
        record.observed.activeSeries = nil
        let text = String(decoding: record.json(), as: UTF8.self)
        for key in ["\"rounds\"", "\"labels\"", "\"alerts\"", "active_series"] { #expect(!text.contains(key)) }
        #expect(try RunRecord(json: record.json()) == record)
    }

    @Test func alertsAreAboveTheirLimitsOnly() {
        var before = StorageMetrics()
        before.rowsAdded = 1000
        before.newSeriesCreated = 1000
        before.slowRowInserts = 1000
        var after = before
        after.rowsAdded += 1000
        after.newSeriesCreated += 100
        after.slowRowInserts += 51
        let alerts = AlertVerdict.all(after, since: before, active: 366)
        #expect(alerts.map(\.value) == [0.1, 0.051, 1100.0 / 366])
        #expect(alerts.map(\.verdict) == ["PASS", "ALERT", "ALERT"])
        #expect(AlertVerdict.all(after, since: before, active: 367)[2].verdict == "PASS")
    }

    @Test func aFailedRunSaysSo() {
        var record = RunRecord.fixture()
        record.observed.readBackMissing = 3
        record.comparable = false
        record.notComparableBecause = ["a check of the run has failed"]
        let text = Report.text(record)
        #expect(text.contains("3 MISSING OR WRONG"))
        #expect(text.contains("comparable  NO: a check of the run has failed"))
        #expect(Summary.markdown(record).contains("**FAILED**: 3 items read back are missing."))
    }

    @Test func aRunOfItemsLeavesOutWhatItDoesNotHave() {
        var record = RunRecord.fixture()
        record.observed.kind = "items"
        for name in record.figures.keys where name.contains("series") || name.contains("cache") {
            record.figures[name] = nil
        }
        let text = Report.text(record)
        #expect(text.contains("stream      54.0 M items of 500.4 B"))
        #expect(!text.contains("series/s") && !text.contains("caches"))
    }

    @Test func summary() {
        let text = Summary.markdown(.fixture())
        #expect(text.hasPrefix("## k8s-pods, size m, live\n\nPassed: 10800 items read back"))
        #expect(text.contains("| cpu_us_per_new_series | 7.46 | us | lower |\n"))
    }

    @Test func intervalsAsText() {
        var record = IntervalRecord()
        record.seconds = 0.25
        record.phase = "ingest"
        record.done = 50_000
        record.perSecond = 200_000
        record.itemsPerSecond = 10_800_000
        record.parts = 2
        let text = String(decoding: IntervalRecord.csv([record]), as: UTF8.self)
        let lines = text.split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines[0].split(separator: ",").count == lines[1].split(separator: ",").count)
        #expect(lines[1] == "0.250,ingest,50000,200000,10800000,2,0,0,0,0,0,0,0,0,0,0.0000,0,0,0")
    }
}

private let expectedReport = """
    k8s-pods  size m  live  seed 42  2 threads  release  churn.rate=0.05  table.data_block_cache_bytes=268435456

    stream      1.00 M new series, 13.0 labels, raw name 500 B,
                54.0 items of 4.91 kB each
    rate        190 k series/s, 10.3 M items/s, 95.2 MB/s of input,
                slowest interval 146 k series/s, 170 k series/s with the debt
    cpu         7.46 us/new series, 0.138 us/item, ingest threads 4.20 us/series,
                system 0.31 s, generator (left out) 0.210 us
    debt        ingest 5.25 s, then 0.62 s of flush and merges, no stalls,
                close 0.01 s
    amplified   1.62 items merged/added, 0.214 bytes written/normalised,
                1.90 bytes written/flushed, 12 flushes 551 MB, 3 merges 498 MB,
                kernel 1.05 GB, 210 syncs
                namespace          ns0      ns1
                items flushed   1.00 M   3.10 M
                bytes flushed   540 MB   410 MB
                items merged    1.60 M   2.20 M
                bytes merged    870 MB   377 MB
    size        512 MB, 512 B/series, 9.48 B/item, 9 parts (at most 17),
                12,345 blocks, 512 items/block, 1.21 x the size after a forced merge
    seek        1.53 us/seek, 1.50 us CPU, 100 k exact seeks in random order,
                100.00 % found
    caches      data blocks 91.23 % of 900 k hit, 268 MB,
                index blocks 99.99 % of 900 k hit, 12.0 MB
    scan        5.10 ns/item, 14.0 M items, 54.0 M normalised
    memory      peak 390 MB, generator (left out) 508 MB, allocated 120 MB,
                resident 260 MB, metadata 9.00 MB, fragmentation 3.10 %,
                0.420 allocations/series
    yardsticks  memcpy 8.40 GB/s, random read 84.0 ns,
                zstd level 1 410 MB/s, 9.50 : 1, plain sort 188 ns/item,
                item sort 62.0 ns/item

    checks      read back 10800 of 10800 items of 200 series: ok
    digests     stream 00112233445566aa, store 8899aabbccddeeff
    comparable  yes

    """
