// StorageCrashTests.swift - a storage with samples that crashes at a change of its files: what was flushed is found again, and
// nothing else.
//
// The script adds rows of a few series in three months, flushes, merges on demand, deletes, makes and removes snapshots, rotates
// the index, closes and opens. It is run with a crash at one operation after the other; then the storage is opened on what
// the crash has left, and
//
//   - every row that a flush, a settle or a close had reported is found through a search
//   - no row is found that was not sent, none more often than it was sent
//   - every snapshot whose creation had returned opens as a storage and holds what was sent before it
//   - rows can be added, merged and found as if nothing had happened
//
// A sixth of the operations are crash points a seed, with one outcome each that the seed chooses; with ALL_CRASHES=1 in the
// environment all of them are, with every outcome.

import Foundation
import SampleStore
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct StorageCrashTests {
    private static let triesAll = ProcessInfo.processInfo.environment["ALL_CRASHES"] != nil
    private static let path = "/data/storage"

    /// What was sent, and what of it is promised.
    private struct Sent {
        /// Rows of calls that have begun, and of those that have returned, by TSID.
        var rows: [TSID: [StoredRow]] = [:]
        var durable: [TSID: [StoredRow]] = [:]
        var doomed: Set<UInt64> = []
        var snapshots: [String: [TSID: [StoredRow]]] = [:]
        var removedSnapshots: Set<String> = []
        var nowMs: Int64 = 1_643_500_000_000  // 2022-01-29

        mutating func flushed() { durable = rows }
    }

    private struct Node {
        let engine: StorageEngine
        let clock: VirtualClock
        let sink = RecordingSink()

        init(_ files: SimulatedFileSystem, nowMs: Int64) throws(StorageError) {
            let environment = Environment.deterministic(seed: 5, startUnixMilliseconds: nowMs)
            clock = environment.clock as! VirtualClock
            var options = StorageOptions.tiny(run: 3000, memory: 9000)
            options.retentionMs = 400 * Span.day
            options.cacheBytesMax = 1 << 20
            options.concurrentAddRowsMax = 1
            options.samples.memoryBytesMax = 6000
            options.samples.smallPartBytesMax = 1200
            engine = try StorageEngine.open(path, options: options, files: files, environment: environment)
            engine.observer = sink
        }

        func add(_ series: Range<Int>, daysBack: Int64 = 0, _ sent: inout Sent) throws(StorageError) {
            let start = clock.unixMilliseconds - daysBack * Span.day
            let rows = RowList()
            for (position, number) in series.enumerated() {
                rows.append(
                    rawName("m", ["n": "\(number)"], tenant: Tenant(bits: UInt64(number % 2))), start + Int64(position),
                    Double(number) + 0.5)
            }
            defer {
                for row in sink.takeRows() { sent.rows[row.tsid, default: []].append(row.stored) }
            }
            try engine.add(rows)
        }
    }

    private static func run(_ files: SimulatedFileSystem, _ sent: inout Sent) throws(StorageError) {
        var node = try Node(files, nowMs: sent.nowMs)
        defer { sent.nowMs = node.clock.unixMilliseconds }
        func flush() throws(StorageError) {
            try node.engine.flush()
            sent.flushed()
        }
        func pass(_ seconds: Int64) throws(StorageError) {
            node.clock.advance(milliseconds: seconds * 1000)
            try node.engine.runDueTasks()
            node.engine.environment.scheduler.checkpoint()
        }
        func snapshot() throws(StorageError) -> String {
            let rows = sent.rows
            let name = try node.engine.createSnapshot()
            sent.snapshots[name] = rows
            return name
        }
        try node.add(0..<12, &sent)
        try flush()
        try node.add(4..<16, daysBack: 40, &sent)
        try pass(5)
        try node.add(0..<20, daysBack: 1, &sent)
        let first = try snapshot()
        try node.add(8..<24, &sent)
        try flush()
        let ids = sent.rows.keys.filter { $0.metricID % 7 == 3 }.map(\.metricID)
        sent.doomed.formUnion(ids)
        try node.engine.deleteSeries(ids)
        try node.engine.forceMerge()
        sent.flushed()
        try node.add(0..<24, daysBack: 2, &sent)
        try node.engine.rotateIndex()
        try node.add(0..<26, &sent)
        try node.engine.settle()
        sent.flushed()
        sent.removedSnapshots.insert(first)
        try node.engine.deleteSnapshot(first)
        try node.add(0..<26, daysBack: 41, &sent)
        try node.engine.close()
        sent.flushed()
        node = try Node(files, nowMs: node.clock.unixMilliseconds + 3 * Span.day)
        try node.add(0..<28, &sent)
        _ = try snapshot()
        try node.add(10..<30, daysBack: 3, &sent)
        try node.engine.forceMerge(partitionPrefix: "2022_01")
        sent.flushed()
        try node.add(0..<5, &sent)
        try node.engine.close()
        sent.flushed()
    }

    // MARK: checks

    private static func rows(_ engine: StorageEngine, _ tsids: some Sequence<TSID>) throws -> [TSID: [StoredRow]] {
        try engine.search(Set(tsids).sorted(), minTimestampMs: 0, maxTimestampMs: .max).collect().mapValues(\.rows)
    }

    private static func isPart(_ rows: [StoredRow], of all: [StoredRow]?) -> Bool {
        StorageConcurrencyTests.isPart(rows.sorted(), of: (all ?? []).sorted())
    }

    private static func check(_ files: SimulatedFileSystem, _ sent: Sent, _ context: String) throws {
        var node = try Node(files, nowMs: sent.nowMs + 1000)
        #expect(node.engine.damagedParts == [], "\(context)")
        let found = try rows(node.engine, sent.rows.keys)
        for (tsid, durable) in sent.durable where !sent.doomed.contains(tsid.metricID) {
            #expect(isPart(durable, of: found[tsid]), "rows of \(tsid.metricID) are lost: \(context)")
        }
        for (tsid, rows) in found {
            #expect(isPart(rows, of: sent.rows[tsid]), "rows of \(tsid.metricID) are invented or doubled: \(context)")
        }
        // Rows in parts of series that the index does not know would be of nobody.
        let metrics = try #require(node.engine.metrics.samples)
        let stored = metrics.small.rows + metrics.big.rows
        let visible = UInt64(found.values.reduce(0) { $0 + $1.count })
        let deleted = sent.doomed.reduce(into: 0) { sum, id in
            sum += sent.rows.first { $0.key.metricID == id }?.value.count ?? 0
        }
        #expect(
            stored >= visible && stored <= visible + UInt64(deleted), "\(stored) stored, \(visible) found: \(context)")

        let names = try node.engine.snapshots()
        for (name, rows) in sent.snapshots where !sent.removedSnapshots.contains(name) {
            #expect(names.contains(name), "\(context)")
            let copy = try StorageEngine.open(
                "\(path)/snapshots/\(name)", options: node.engine.options, files: files,
                environment: .deterministic(startUnixMilliseconds: sent.nowMs))
            let copied = try Self.rows(copy, sent.rows.keys)
            for (tsid, rows) in rows where !sent.doomed.contains(tsid.metricID) {
                #expect(copied[tsid]?.sorted() == rows.sorted(), "snapshot \(name): \(context)")
            }
            try copy.close()
        }
        try node.engine.deleteAllSnapshots()

        var again = Sent()
        again.nowMs = sent.nowMs
        try node.add(0..<40, &again)
        try node.engine.flush()
        try node.engine.forceMerge()
        try node.engine.close()
        node = try Node(files, nowMs: sent.nowMs + 2000)
        let after = try rows(node.engine, again.rows.keys)
        for (tsid, rows) in again.rows {
            #expect(isPart(rows, of: after[tsid]), "\(context)")
            #expect(after[tsid]?.count == rows.count + (found[tsid]?.count ?? 0), "\(context)")
        }
        try node.engine.close()
    }

    // MARK: tests

    private static func disk(_ recording: SimulatedFileSystem.Recording, _ faults: FaultPlan) throws
        -> SimulatedFileSystem
    {
        let files = SimulatedFileSystem(recording: .nothing)
        try files.makeDirectory("/data", parents: false)
        let disk = files.afterCrash(seed: 0, outcome: .nothingKept, recording: recording)
        disk.faults = faults
        return disk
    }

    @Test(arguments: TestSeeds.thisRun.suffix(2)) func crashes(seed: UInt64) throws {
        let undisturbed = try Self.disk(.changes, FaultPlan())
        var sent = Sent()
        try Self.run(undisturbed, &sent)
        #expect(sent.snapshots.count == 2 && sent.doomed.count > 1)
        let operations = undisturbed.record
        #expect(operations.count > 600)
        try Self.check(undisturbed, sent, "undisturbed")

        var random = SplitMix64(seed: Seeds.derive(seed, "storage crashes"))
        for point in 1...operations.count where Self.triesAll || random.below(6) == 0 {
            let files = try Self.disk(.nothing, FaultPlan(crashAtOperation: point))
            var sent = Sent()
            let error = #expect(throws: StorageError.self) { try Self.run(files, &sent) }
            #expect(files.hasCrashed && error != nil)
            let outcomes: [CrashOutcome] = [.nothingKept, .everythingKept, .bySeed]
            for outcome in Self.triesAll ? outcomes + [.bySeed] : [outcomes[random.below(3)]] {
                let seed = random.next()
                let disk = files.afterCrash(seed: seed, outcome: outcome, recording: .nothing)
                try Self.check(disk, sent, "crash at \(point), \(operations[point - 1]), \(outcome), seed \(seed)")
            }
        }
    }
}
