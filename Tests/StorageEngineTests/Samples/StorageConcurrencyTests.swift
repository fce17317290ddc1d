// StorageConcurrencyTests.swift - adding, searching, snapshots, forced merges, rotation and closing at once.

import SampleStore
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct StorageConcurrencyTests {
    private static func options() -> StorageOptions {
        var options = StorageOptions.tiny(run: 32 << 10, memory: 256 << 10)
        options.retentionMs = 0
        options.concurrentAddRowsMax = 4
        options.table.flushIntervalNanoseconds = 3_000_000
        options.samples.flushIntervalNanoseconds = 4_000_000
        options.samples.memoryBytesMax = 256 << 10
        return options
    }

    @Test(arguments: TestSeeds.thisRun.suffix(2))
    func concurrentUse(seed: UInt64) throws {
        let directory = try TemporaryDirectory()
        let fixture = try EngineFixture(
            files: RealFileSystem(), path: directory.path("storage"), isLive: true, seed: seed, options: Self.options(),
            keepsSamples: true)
        let engine = fixture.engine
        let now = fixture.nowMs
        let failures = Failures()
        let isDone = Atomic<Bool>(false)
        let snapshots = Protected<[(name: String, rows: Int)]>([])
        // Rows whose call has returned, in the order of their timestamps by thread.
        let returned = (0..<2).map { _ in Atomic0() }

        let adders = (0..<2).map { thread in
            Thread.start("add-\(thread)") {
                var random = SplitMix64(seed: Seeds.derive(seed, "adder", thread))
                for step in 0..<150 {
                    let rows = RowList()
                    for _ in 0..<200 {
                        rows.append(
                            rawName("m", ["thread": "\(thread)", "series": "\(random.below(40))"]),
                            now - Int64(random.below(3)) * 20 * Span.day + Int64(step), Double(random.below(1000)))
                    }
                    failures.note("add") { try engine.add(rows, hint: thread) }
                    returned[thread].value.wrappingAdd(200, ordering: .relaxed)
                }
            }
        }
        let others = [
            Thread.start("search") {
                var random = SplitMix64(seed: Seeds.derive(seed, "searcher"))
                while !isDone.load(ordering: .relaxed) {
                    failures.note("search") {
                        let tsids = try Self.tsids(engine)
                        let min = now - Int64(random.below(50)) * Span.day
                        _ = try engine.search(tsids, minTimestampMs: min, maxTimestampMs: now + Span.day).collect()
                    }
                }
            },
            Thread.start("snapshot") {
                while !isDone.load(ordering: .relaxed) {
                    failures.note("snapshot") {
                        let before = returned.reduce(0) { $0 + $1.value.load(ordering: .relaxed) }
                        let name = try engine.createSnapshot()
                        let oldest: String? = snapshots.withLock { list in
                            list.append((name, before))
                            return list.count > 3 ? list.removeFirst().name : nil
                        }
                        if let oldest { try engine.deleteSnapshot(oldest) }
                    }
                }
            },
            Thread.start("merge") {
                var round = 0
                while !isDone.load(ordering: .relaxed) {
                    failures.note("merge") {
                        try engine.forceMerge(partitionPrefix: round % 2 == 0 ? "2022" : "2021_1")
                        // One rotation: series that nobody adds any more would be forgotten with the second.
                        if round == 2 { try engine.rotateIndex() }
                        _ = engine.metricLines
                        try engine.runDueTasks()
                    }
                    round += 1
                }
            },
        ]
        for thread in adders { thread.join() }
        isDone.store(true, ordering: .relaxed)
        for thread in others { thread.join() }
        #expect(failures.all == [])

        let sent = fixture.sink.takeRows()
        #expect(sent.count == 60_000)
        try engine.flush()
        #expect(try engine.rows(sent.map(\.tsid)) == sent.byID)
        // A snapshot has at least what had returned before it was begun, and nothing that was never sent.
        let expected = sent.byID
        for snapshot in snapshots.withLock({ $0 }) {
            let copy = try StorageEngine.open(
                "\(fixture.path)/snapshots/\(snapshot.name)", options: fixture.options, files: fixture.files,
                environment: .deterministic(startUnixMilliseconds: now))
            let found = try copy.rows(sent.map(\.tsid))
            #expect(found.values.reduce(0) { $0 + $1.count } >= snapshot.rows)
            for (id, rows) in found { #expect(Self.isPart(rows, of: expected[id] ?? [])) }
            #expect(
                copy.metrics.samples.map { $0.small.rows + $0.big.rows }
                    == UInt64(found.values.reduce(0) { $0 + $1.count }))
            try copy.close()
        }
        try fixture.close()
    }

    private final class Atomic0: Sendable {
        let value = Atomic<Int>(0)
    }

    /// TSIDs of the current index table.
    private static func tsids(_ engine: StorageEngine) throws -> [TSID] {
        var found: Set<TSID> = []
        var cursor = engine.currentTable.cursor()
        var key = RawBuffer(capacity: 1)
        key.append(RowKind.idToTSID)
        try cursor.seek(key.bytes)
        while try cursor.next(), cursor.item[0] == RowKind.idToTSID {
            found.insert(try TSID(UnsafeRawBufferPointer(rebasing: cursor.item.suffix(TSID.storedBytes))))
        }
        return found.sorted()
    }

    /// Whether sorted rows are among other sorted rows, each as often at most.
    static func isPart(_ rows: [StoredRow], of all: [StoredRow]) -> Bool {
        var index = 0
        for row in rows {
            while index < all.count, all[index] < row { index += 1 }
            guard index < all.count, all[index] == row else { return false }
            index += 1
        }
        return true
    }

    /// Closing ends forced merges that are running, in a time that does not depend on what is left of them.
    @Test func concurrentForcedMergeEndsWhenTheStorageIsClosed() throws {
        let directory = try TemporaryDirectory()
        var options = Self.options()
        options.samples.mergesInBackground = false
        let fixture = try EngineFixture(
            files: RealFileSystem(), path: directory.path("storage"), isLive: true, options: options, keepsSamples: true
        )
        let engine = fixture.engine
        for step in 0..<6 {
            let rows = RowList()
            for number in 0..<20_000 {
                rows.append(
                    rawName("m", ["n": "\(number % 50)"]), fixture.nowMs + Int64(step * 20_000 + number), Double(number)
                )
            }
            try engine.add(rows)
            try engine.flush()
        }
        let sent = fixture.sink.takeRows()
        let errors = Protected<[StorageError]>([])
        let merging = Thread.start("merge") {
            while true {
                do throws(StorageError) { try engine.forceMerge() } catch {
                    errors.withLock { $0.append(error) }
                    return
                }
            }
        }
        while engine.metrics.samples?.activeForcedMerges == 0 {}
        try fixture.close()
        merging.join()
        #expect(errors.withLock { $0 }.map(\.kind) == [.closed])
        try fixture.open()
        #expect(fixture.engine.damagedParts == [])
        #expect(try fixture.engine.rows(sent.map(\.tsid)) == sent.byID)
        try fixture.close()
    }
}
