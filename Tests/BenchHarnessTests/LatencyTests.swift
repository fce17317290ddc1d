// LatencyTests.swift - latencies against known series: percentiles, the files for HdrHistogram's tools, due times.

import Foundation
import StorageRuntime
import TestSupport
import Testing

@testable import BenchHarness

@Suite struct LatencyTests {
    @Test func percentilesOfAKnownSeries() throws {
        let record = RunData.known("rounds", .actual, step: 1000)
        #expect(record.count == 1000)
        // Three significant digits.
        for (percentile, us) in [(50.0, 500.0), (90, 900), (99, 990), (99.9, 999), (99.99, 1000)] {
            let found = try #require(record.us(atPercentile: percentile))
            #expect(abs(found - us) <= us * 0.001, "p\(percentile) is \(found)")
        }
        #expect(abs(record.maxUs - 1000) < 1 && abs(record.meanUs - 500.5) < 0.5)
        #expect(record.histogram().totalCount == 1000)
        #expect(
            LatencyRecord(phase: "rounds", from: .actual, startSeconds: 0.5, endSeconds: 1.5, record.histogram())
                == record)
    }

    @Test func theDistributionAsText() {
        let text = LatencyFiles.hgrm([RunData.known("rounds", .actual, step: 1_000_000)])
        let lines = text.split(separator: "\n").map(String.init)
        #expect(lines[0] == "# insert blocks, rounds, from the actual start; milliseconds")
        #expect(lines[1] == "       Value     Percentile TotalCount 1/(1-Percentile)")
        let numbers = lines.filter { !$0.hasPrefix("#") }.dropFirst().map {
            $0.split(separator: " ").compactMap { Double($0) }
        }
        for row in numbers {
            #expect(row.count == (row[1] == 1 ? 3 : 4), "\(row)")
            // Of the values 1 ... 1000 ms, so many are at or below the value.
            #expect(abs(row[0] - row[2]) <= 1 + row[0] * 0.001, "\(row)")
            #expect(row[2] >= row[1] * 1000 - 0.001, "\(row)")
        }
        #expect(numbers.last?[1] == 1 && numbers.last?[2] == 1000)
        #expect(lines.contains { $0.hasPrefix("#[Max     =") && $0.hasSuffix("Total count    =         1000]") })
    }

    @Test func theLogHasALineForEachPhase() throws {
        let records = [RunData.known("new day", .intended, step: 5000), RunData.known("known", .actual, step: 7)]
        let lines = LatencyFiles.hlog(records, unixSeconds: 1_769_862_896).split(separator: "\n").map(String.init)
        #expect(lines.count == 5)
        #expect(lines[0] == "#[Histogram log format version 1.3]")
        #expect(lines[1] == "#[StartTime: 1769862896.000 (seconds since epoch), 2026-01-31T12:34:56Z]")
        #expect(lines[3].hasPrefix("Tag=new-day-intended,0.500,1.000,5.00"))
        let body = try #require(Data(base64Encoded: String(lines[4].split(separator: ",")[4])))
        #expect(
            try decode([UInt8](body)) == Dictionary(uniqueKeysWithValues: zip(records[1].valuesNs, records[1].counts)))
    }

    @Test(arguments: TestSeeds.thisRun) func randomHistogramsSurviveTheEncoding(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var histogram = LatencyRecorder.histogram()
        for _ in 0..<500 {
            _ = histogram.record(
                min(random.next() >> (24 + random.next() % 40), LatencyRecorder.nanosecondsMax),
                count: UInt32(1 + random.below(1 << 20)))
        }
        let record = LatencyRecord(phase: "known", from: .actual, startSeconds: 0, endSeconds: 1, histogram)
        let decoded = try decode(LatencyFiles.compressed(record))
        #expect(decoded == Dictionary(uniqueKeysWithValues: zip(record.valuesNs, record.counts)))
    }

    @Test func streamsOfStoredBlocks() {
        // The checksum is a published example of Adler-32.
        #expect(
            LatencyFiles.zlibStored(Array("Wikipedia".utf8))
                == [0x78, 0x01, 1, 9, 0, 0xF6, 0xFF] + Array("Wikipedia".utf8) + [0x11, 0xE6, 0x03, 0x98])
        #expect(LatencyFiles.zlibStored([]) == [0x78, 0x01, 1, 0, 0, 0xFF, 0xFF, 0, 0, 0, 1])
        let long = LatencyFiles.zlibStored([UInt8](repeating: 7, count: 70_000))
        #expect(long.count == 70_000 + 2 + 2 * 5 + 4 && long[2] == 0 && long[2 + 5 + 65_535] == 1)
    }

    @Test func aClosedLoopHasNoIntendedStart() {
        let recorder = LatencyRecorder()
        recorder.record(intended: nil, start: 5, end: 10)  // no phase yet
        recorder.begin("known")
        recorder.record(intended: nil, start: 1000, end: 3000)
        recorder.begin("rounds", isOpenLoop: true)
        recorder.record(intended: 500, start: 1000, end: 3000)
        recorder.begin("known")
        recorder.record(intended: nil, start: 1000, end: 2000)
        recorder.begin(nil)
        recorder.record(intended: nil, start: 1, end: 2)
        let records = recorder.records(since: 0)
        #expect(records.map(\.tag) == ["known-actual", "rounds-intended", "rounds-actual"])
        #expect(records.map(\.count) == [2, 1, 1])
        #expect(records.map(\.valuesNs) == [[1000, 2000], [2501], [2000]])
        #expect(recorder.cpuSeconds() > 0)
    }

    @Test func whatAPieceCouldNotKeepUpWithTheNextOneInherits() {
        let schedule = ArrivalSchedule(rowsPerSecond: 1000)
        schedule.begin(now: 1_000_000_000)
        #expect(schedule.due(row: 0) == 1_000_000_000 && schedule.due(row: 500) == 1_500_000_000)
        schedule.end(rows: 1000, now: 2_300_000_000)  // 0.3 s late
        #expect(schedule.backlogNanoseconds == 300_000_000)
        schedule.begin(now: 9_000_000_000)  // rows were prepared in between
        #expect(schedule.due(row: 0) == 8_700_000_000)
        schedule.end(rows: 1000, now: 9_200_000_000)  // 0.5 s early
        schedule.begin(now: 10_000_000_000)
        #expect(schedule.due(row: 0) == 10_500_000_000)
        schedule.end(rows: 0, now: 10_600_000_000)
        schedule.restart(rowsPerSecond: nil)
        #expect(schedule.due(row: 7) == nil && abs(schedule.backlogSecondsMax - 0.1) < 1e-9)
        schedule.end(rows: 5, now: 99_000_000_000)
        #expect(schedule.backlogNanoseconds == 0)
    }

    /// Value of each class to its count, read by the rules of the V2 encoding.
    private func decode(_ bytes: [UInt8]) throws -> [UInt64: UInt64] {
        func number(_ bytes: some Collection<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        #expect(number(bytes[0..<4]) == 0x1c84_9314 && Int(number(bytes[4..<8])) == bytes.count - 8)
        var plain: [UInt8] = []
        var position = 10
        while true {
            let isLast = bytes[position] == 1
            let count = Int(bytes[position + 1]) | Int(bytes[position + 2]) << 8
            plain += bytes[position + 5..<position + 5 + count]
            position += 5 + count
            if isLast { break }
        }
        #expect(position + 4 == bytes.count)
        #expect(number(plain[0..<4]) == 0x1c84_9313 && Int(number(plain[4..<8])) == plain.count - 40)
        #expect(number(plain[12..<16]) == 3 && number(plain[16..<24]) == 1)
        #expect(number(plain[24..<32]) == LatencyRecorder.nanosecondsMax && number(plain[32..<40]) == 0x3FF0 << 48)
        var counts: [UInt64: UInt64] = [:]
        var index = 0
        position = 40
        while position < plain.count {
            var value: UInt64 = 0
            var shift: UInt64 = 0
            while true {
                let byte = plain[position]
                position += 1
                value |= UInt64(shift == 56 ? byte : byte & 0x7F) << shift
                if shift == 56 || byte < 0x80 { break }
                shift += 7
            }
            let count = Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
            if count < 0 {
                index += Int(-count)
            } else {
                // The greatest value of a class: 2048 classes of 1, then 1024 of each width 2, 4, 8 ...
                let bucket = index < 2048 ? 0 : index / 1024 - 1
                let low = UInt64(index - bucket * 1024) << UInt64(bucket)
                counts[low + (1 << UInt64(bucket)) - 1] = UInt64(count)
                index += 1
            }
        }
        return counts
    }
}
