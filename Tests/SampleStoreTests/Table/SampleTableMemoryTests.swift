// SampleTableMemoryTests.swift - what a table of samples takes: bounded while rows are added, little when it is idle.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SampleStore

@Suite struct SampleTableMemoryTests {
    private static func rows(_ batch: Int, _ count: Int) -> [SampleRow] {
        (0..<count).map { row in
            let number = batch * count + row
            return SampleRow(
                tsid: Fixture.series(number % 700), timestampMs: TableFixture.start - 86_400_000 + Int64(number),
                value: 1)
        }
    }

    /// Rows wait within half as much again as the limit, and the batch that was let in.
    @Test func rowsStayWithinTheLimit() throws {
        let fixture = try TableFixture(.tiny(memory: 1 << 20))
        let limit = UInt64(fixture.options.memoryBytesMax * 3 / 2 + 1000 * MemoryLayout<SampleRow>.stride)
        var most: UInt64 = 0
        for batch in 0..<200 {
            try fixture.table.add(Self.rows(batch, 1000))
            let metrics = fixture.table.metrics
            #expect(metrics.memoryBytes <= limit)
            most = max(most, metrics.memoryBytes)
        }
        #expect(most > UInt64(fixture.options.memoryBytesMax / 2), "the limit was near: \(most)")
        #expect(fixture.table.metrics.flushes > 3)
        try fixture.table.close()
    }

    /// The memory of rows and the table of series outlive flushes and the pauses between scrapes, but not two minutes in which
    /// nothing is added.
    @Test func anIdleTableGivesItsMemoryBack() throws {
        let fixture = try TableFixture(.tiny(memory: 32 << 20))
        try fixture.table.add(Self.rows(0, 100_000))
        try fixture.table.flush()
        let busy = fixture.table.metrics
        #expect(busy.memoryBytes == 0 && busy.keptBytes > 2_000_000)
        for step in 0..<4 {
            fixture.advance(ms: 60_000)
            fixture.table.runDueTasks()
            // The first sweep, after two minutes, sees that rows have come; the second that none have come since.
            if step < 3 { #expect(fixture.table.metrics.keptBytes == busy.keptBytes) }
        }
        #expect(fixture.table.metrics.keptBytes < 20_000)
        try fixture.table.add(Self.rows(1, 100_000))
        try fixture.table.flush()
        #expect(try fixture.table.rows(0..<700).count == 200_000)
        try fixture.table.close()
    }
}
