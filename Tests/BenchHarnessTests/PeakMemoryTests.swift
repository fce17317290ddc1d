// PeakMemoryTests.swift - memory at the peak, from made intervals.

import Testing

@testable import BenchHarness

@Suite struct PeakMemoryTests {
    private static func interval(_ rss: UInt64, caches: UInt64, heap: UInt64 = 1) -> IntervalRecord {
        var record = IntervalRecord()
        record.rssBytes = rss
        record.cacheBytes = caches
        record.heapAllocatedBytes = heap
        record.pendingBytes = rss / 10
        record.sampleBytes = rss / 20
        record.keptBytes = rss / 50
        return record
    }

    private static func figures(_ records: some Collection<IntervalRecord>, generator: UInt64 = 100) -> FigureSet {
        var figures = FigureSet(isDeterministic: false)
        IntervalRecord.setMemory(records, generatorBytes: generator, &figures)
        return figures
    }

    @Test func cachesAreThoseOfTheSameInterval() {
        // Largest in all at the end, when the caches are full; largest beside them before.
        let records = [
            Self.interval(500, caches: 10, heap: 7), Self.interval(900, caches: 100, heap: 40),
            Self.interval(1000, caches: 400, heap: 30),
        ]
        let figures = Self.figures(records)
        #expect(figures["peak_beside_caches_bytes"] == 700)
        #expect(figures["memory_caches_at_peak_bytes"] == 400 && figures["memory_runs_at_peak_bytes"] == 100)
        #expect(figures["memory_rows_at_peak_bytes"] == 50 && figures["memory_kept_at_peak_bytes"] == 20)
        #expect(figures["heap_allocated_peak_bytes"] == 40)
    }

    @Test func intervalsBehindTheAccountsDoNotCount() {
        let records = [
            Self.interval(500, caches: 10), Self.interval(600, caches: 20), Self.interval(5000, caches: 0, heap: 99),
        ]
        let figures = Self.figures(records.prefix(2))
        #expect(figures["peak_beside_caches_bytes"] == 480)
        #expect(figures["memory_caches_at_peak_bytes"] == 20 && figures["heap_allocated_peak_bytes"] == 1)
        #expect(Self.figures(records.prefix(0)).values.isEmpty)
        #expect(Self.figures(records.prefix(1), generator: 600)["peak_beside_caches_bytes"] == 0)
    }
}
