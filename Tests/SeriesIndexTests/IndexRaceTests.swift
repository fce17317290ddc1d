// IndexRaceTests.swift - things that happen between two steps of resolving a batch, made to happen there: the file system
// calls back when a block is read.

import Mergeset
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SeriesIndex

/// Something that runs before the next read of a file.
private final class Interruption: Sendable {
    private let disk = SimulatedFileSystem(recording: .nothing)
    private let next = Protected<(@Sendable () -> Void)?>(nil)

    /// A simulated file system whose reads are interrupted.
    var files: any FileSystem {
        InterceptedReads(on: disk) {
            let body = self.next.withLock { next in
                defer { next = nil }
                return next
            }
            body?()
        }
    }

    /// Runs `body` once, in the middle of the next read.
    func interrupt(_ body: @escaping @Sendable () -> Void) { next.withLock { $0 = body } }

    var isWaiting: Bool { next.withLock { $0 != nil } }
}

@Suite struct IndexRaceTests {
    /// A flush of the previous table makes names durable, and forgets them as pending, while the batch already searches a
    /// view of that table which is older.
    @Test func namesThatAreFlushedInThePreviousTableMeanwhile() throws {
        let interruption = Interruption()
        let fixture = try IndexFixture(on: interruption.files)
        let old = try fixture.resolve((0..<4).map { rawName($0) })
        try fixture.index.flush()
        let late = try fixture.resolve((4..<12).map { rawName($0) })
        try fixture.index.rotate {}
        let previous = fixture.index.withTables { $0.previous }
        #expect(previous.pending.count == 8)
        interruption.interrupt { try? previous.table.flush() }
        let again = try fixture.resolve((0..<12).map { rawName($0) })
        #expect(!interruption.isWaiting && previous.pending.count == 0)
        #expect(again.map(\.tsid) == (old + late).map(\.tsid))
        #expect(again.allSatisfy { $0.outcome == .carriedOver })
        try fixture.index.close()
    }

    /// The same in the current table, whose names are claimed before the search.
    @Test func namesThatAreFlushedInTheCurrentTableMeanwhile() throws {
        let interruption = Interruption()
        let fixture = try IndexFixture(on: interruption.files)
        let old = try fixture.resolve((0..<4).map { rawName($0) })
        try fixture.index.flush()
        let late = try fixture.resolve((4..<12).map { rawName($0) })
        let table = fixture.index.withTables { $0.current }
        interruption.interrupt { try? table.table.flush() }
        let again = try fixture.resolve((0..<12).map { rawName($0) })
        #expect(!interruption.isWaiting)
        #expect(again.map(\.tsid) == (old + late).map(\.tsid))
        #expect(again.map(\.outcome) == (0..<12).map { $0 < 4 ? .found : .pending })
        #expect(try fixture.resolve((0..<12).map { rawName($0) }).map(\.tsid) == again.map(\.tsid))
        try fixture.index.close()
    }

    /// A day is searched for in a view while another caller registers the same series, its rows are flushed, and the
    /// registry makes room: the entry is written once.
    @Test func entriesOfDaysThatAreFlushedMeanwhile() throws {
        let interruption = Interruption()
        // Without caches every search reads.
        var options = TableOptions.small()
        options.dataBlockCacheBytes = 0
        options.indexBlockCacheBytes = 0
        var fixture = try IndexFixture(on: interruption.files, table: options, dayBytesMax: 0)
        let series = try fixture.resolve((0..<4).map { rawName($0) }).map(\.tsid)
        try fixture.index.close()
        // A table that is not new: its days are searched for.
        fixture = try IndexFixture(on: interruption.files, table: options, dayBytesMax: 0)
        let other = IndexFixture(sharing: fixture)
        let day = IndexFixture.day + 1
        let wanted = series.enumerated().map { (date: day, tsid: $1, raw: rawName($0)) }
        let table = fixture.index.withTables { $0.current.table }
        let written = Protected<Int>(0)
        let isolated = Isolated(other)
        interruption.interrupt {
            // Other days come last, so that the one in question would be forgotten first.
            let count = (try? isolated.value.registerDays(wanted)) ?? 0
            for later in 2...4 as ClosedRange<UInt64> {
                _ = try? isolated.value.registerDays([(date: day + later, tsid: series[0], raw: rawName(0))])
            }
            try? table.flush()
            written.withLock { $0 = count }
        }
        let own = try fixture.registerDays(wanted)
        #expect(!interruption.isWaiting)
        #expect(own + written.withLock { $0 } == 4)
        try fixture.index.flush()
        let entries = try fixture.items().current.filter { $0[0] == RowKind.dateToID && $0[16] == UInt8(day & 255) }
        #expect(entries.count == 4 && Set(entries).count == 4)
        try fixture.index.close()
    }
}

/// Lends a value to a closure that runs on the same thread.
private struct Isolated<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
