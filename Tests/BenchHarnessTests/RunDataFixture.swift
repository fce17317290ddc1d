// RunDataFixture.swift - a run with everything that a record can have, in fixed numbers.

@testable import BenchHarness

extension RunData {
    /// A live run of rows with latencies, parts, counters, shape, rounds and a rate search.
    static func fixture(name: String = "fixture") -> RunData {
        var record = RunRecord.rowsFixture()
        record.provenance.startedAt = "2026-01-31T12:34:56Z"
        record.provenance.durationSeconds = 12.5
        record.configuration = ["batch_rows": "1000", "arrivals": "250000 rows/s", "churn.rate": "0.05"]
        record.shape = [
            ShapeLine(figure: "active series", configured: "1000000", observed: "1000000", isWithin: true),
            ShapeLine(figure: "series in all", configured: "-", observed: "1024000", isWithin: nil),
        ]
        record.latency = [
            known("rounds", .intended, step: 3000), known("rounds", .actual, step: 1000),
        ]
        record.parts = [
            part(0, [], 0.2, 0.5, bytes: 30_000_000), part(1, [], 0.6, 0.9, bytes: 31_000_000),
            part(2, [0, 1], 0.9, 1.4, bytes: 55_000_000), part(3, [], 1.5, 1.6, bytes: 1_000_000),
        ]
        record.counters = [
            CounterRecord(
                name: "vm_rows_ignored_total", type: "counter", labels: ["reason": "small_timestamp"], value: 12),
            CounterRecord(name: "vm_rows_ignored_total", type: "counter", labels: ["reason": "nan \"x\"\\"], value: 0),
            CounterRecord(name: "vm_parts", type: "gauge", labels: ["type": "indexdb"], value: 9),
            CounterRecord(name: "process_cpu_seconds_total", type: "counter", labels: [:], value: 8.25),
        ]
        record.rounds = (1...5).map { round in
            var record = RoundRecord()
            record.firstRound = round
            record.rounds = 1
            record.rows = 1_000_000
            record.slowNewSeries = UInt64(round) * 1000
            record.cpuUsPerRow = 0.1 * Double(round)
            return record
        }
        record.rateSearch = RateSearchRecord(
            limits: RateLimits(), sustainedRowsPerSecond: 250_000,
            endedBy: ["p99 from the intended start 131 ms, limit 100 ms"],
            trials: [
                RateTrial(
                    rowsPerSecond: nil, achievedRowsPerSecond: 900_000, p99Ms: nil, pendingShare: 0.5, partsMax: 4,
                    backlogSeconds: 0, stalls: 3),
                RateTrial(
                    rowsPerSecond: 250_000, achievedRowsPerSecond: 250_000, p99Ms: 4.5, pendingShare: 0.25, partsMax: 5,
                    backlogSeconds: 0, stalls: 0),
                RateTrial(
                    rowsPerSecond: 260_000, achievedRowsPerSecond: 259_000, p99Ms: 131, pendingShare: 0.5, partsMax: 6,
                    backlogSeconds: 0.25, stalls: 0, violations: ["p99 from the intended start 131 ms, limit 100 ms"]),
            ])
        let intervals = (1...40).map { number in
            var interval = IntervalRecord()
            interval.seconds = Double(number) / 20
            interval.phase = number <= 20 ? "ingest" : number <= 24 ? "settle" : "rounds"
            interval.done = UInt64(number % 20) * 40_000
            interval.perSecond = 800_000 + Double(number % 7) * 10_000
            interval.newSeriesPerSecond = number <= 20 ? 200_000 : 500
            interval.tsidCacheHitRatio = number <= 20 ? 0 : 0.9975
            interval.parts = UInt64(number / 10)
            interval.pendingBytes = UInt64(number % 9) * 20_000_000
            interval.rssBytes = 400_000_000
            interval.heapAllocatedBytes = 350_000_000
            interval.sampleBytes = 40_000_000
            interval.keptBytes = 20_000_000
            interval.cacheBytes = 80_000_000
            return interval
        }
        return RunData(name: name, record: record, intervals: intervals)
    }

    /// Latencies of 1, 2, ... 1000 steps of nanoseconds.
    static func known(_ phase: String, _ from: LatencyRecord.Start, step: UInt64) -> LatencyRecord {
        var histogram = LatencyRecorder.histogram()
        for number in 1...1000 { _ = histogram.record(UInt64(number) * step) }
        return LatencyRecord(phase: phase, from: from, startSeconds: 0.5, endSeconds: 1.5, histogram)
    }

    static func part(_ number: Int, _ sources: [Int], _ start: Double, _ end: Double, bytes: UInt64) -> PartRecord {
        PartRecord(
            number: number, table: 0, sources: sources, startSeconds: start, endSeconds: end, items: bytes / 12,
            bytes: bytes)
    }
}
