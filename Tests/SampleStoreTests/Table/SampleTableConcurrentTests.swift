// SampleTableConcurrentTests.swift - threads add, search, merge and take snapshots at the same time, on a live table.

import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization
import TestSupport
import Testing

@testable import SampleStore

@Suite struct SampleTableConcurrentTests {
    private static let threads = 3
    private static let rounds = 60
    private static let seriesOfAThread = 20

    private static func rows(_ thread: Int, _ round: Int) -> [SampleRow] {
        (0..<seriesOfAThread).map { index in
            // Some rounds go to the month before.
            let age = round % 7 == 3 ? 30 * TableFixture.dayMs : 0
            return Fixture.row(
                thread * seriesOfAThread + index, TableFixture.start - age + Int64(round) * 1000,
                Double(thread * 1000 + round))
        }
    }

    private static func open(_ directory: TemporaryDirectory, _ change: (inout SampleTableOptions) -> Void = { _ in })
        throws -> SampleTable
    {
        var options = SampleTableOptions.tiny(memory: 24 << 10, shards: 2)
        options.mergesInBackground = true
        options.tasksInBackground = true
        options.flushIntervalNanoseconds = 3_000_000
        options.smallPartBytesMax = 30_000
        change(&options)
        let clock = DrivenClock(unixMilliseconds: TableFixture.start + 100_000, hasRealMonotonic: true)
        return try SampleTable.open(
            directory.path("data"), damagedDirectory: directory.path("damaged"), options: options,
            files: RealFileSystem(),
            environment: .driven(.live, clock: clock))
    }

    /// Runs `body` on several threads and rethrows the first error.
    private static func concurrently(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws {
        let errors = Protected<[any Error]>([])
        let threads = (0..<count).map { index in
            StorageRuntime.Thread.start("test-\(index)") {
                do { try body(index) } catch { errors.withLock { $0.append(error) } }
            }
        }
        for thread in threads { thread.join() }
        if let error = errors.withLock({ $0.first }) { throw error }
    }

    @Test func addingSearchingMergingAndSnapshots() throws {
        let directory = try TemporaryDirectory()
        let table = try Self.open(directory)
        let isDone = Atomic<Bool>(false)
        let series = (0..<(Self.threads * Self.seriesOfAThread)).map { Fixture.series($0) }.sorted()
        /// Rounds of each thread that were added and flushed.
        let flushed = (0..<Self.threads).map { _ in Protected(0) }
        try Self.concurrently(Self.threads + 3) { index in
            switch index {
            case 0..<Self.threads:
                for round in 0..<Self.rounds {
                    try table.add(Self.rows(index, round), hint: index)
                    if round % 10 == 9 {
                        try table.flush()
                        flushed[index].withLock { $0 = round + 1 }
                    }
                    if round % 16 == 5 { try table.makeSearchable() }
                }
                if index == 0 { isDone.store(true, ordering: .relaxed) }
            case Self.threads:
                // What was flushed before a search began is found, each row once.
                while !isDone.load(ordering: .relaxed) {
                    let known = flushed.map { $0.withLock { $0 } }
                    let found = tally(try table.rows(of: series))
                    #expect(found.values.allSatisfy { $0 == 1 })
                    for (thread, rounds) in known.enumerated() {
                        for round in 0..<rounds {
                            for row in Self.rows(thread, round) where found[Fixture.plain(row)] != 1 {
                                Issue.record("a flushed row of round \(round) is not found")
                                return
                            }
                        }
                    }
                }
            case Self.threads + 1:
                var number = 0
                while !isDone.load(ordering: .relaxed) {
                    number += 1
                    let known = flushed.map { $0.withLock { $0 } }
                    let name = "20211121000000-" + Hex.name(UInt64(number))
                    try table.snapshot(name: name)
                    var found: [PlainRow: Int] = [:]
                    let files = RealFileSystem()
                    for side in ["small", "big"] {
                        let root = directory.path("data/\(side)/snapshots/\(name)")
                        for month in try files.list(root) {
                            for part in try files.list(root + "/" + month.name) {
                                let path = root + "/" + month.name + "/" + part.name
                                let plain = try PlainSamplePart(name: part.name, files: Fixture.files(path, on: files))
                                for row in plain.rows { found[row, default: 0] += 1 }
                            }
                        }
                    }
                    #expect(found.values.allSatisfy { $0 == 1 })
                    for (thread, rounds) in known.enumerated() {
                        let rows = (0..<rounds).flatMap { Self.rows(thread, $0) }
                        #expect(rows.allSatisfy { found[Fixture.plain($0)] == 1 }, "the snapshot misses a flushed row")
                    }
                    try table.deleteSnapshot(name: name)
                }
            default:
                while !isDone.load(ordering: .relaxed) {
                    try table.settle()
                    try table.mergeAll(partitionPrefix: "2021_10")
                    _ = table.metrics
                    table.runDueTasks()
                }
            }
        }
        let all = tally(
            (0..<Self.threads).flatMap { t in (0..<Self.rounds).flatMap { Self.rows(t, $0) } }.map { Fixture.plain($0) }
        )
        try table.flush()
        #expect(tally(try table.rows(of: series)) == all)
        #expect(table.metrics.rowsAdded == UInt64(Self.threads * Self.rounds * Self.seriesOfAThread))
        #expect(table.metrics.failures == 0)
        try table.close()
        #expect(tally(try Fixture.plainRows(directory.path("data"), on: RealFileSystem())) == all)
    }

    /// Partitions are dropped under the feet of searches and flushes.
    @Test func droppingWhileSearchingAndAdding() throws {
        let directory = try TemporaryDirectory()
        let table = try Self.open(directory) { $0.retentionMs = 40 * TableFixture.dayMs }
        let clock = try #require(table.environment.clock as? DrivenClock)
        let series = (0..<Self.seriesOfAThread).map { Fixture.series($0) }.sorted()
        let isDone = Atomic<Bool>(false)
        try Self.concurrently(3) { index in
            switch index {
            case 0:
                for round in 0..<Self.rounds {
                    try table.add(Self.rows(0, round))
                    if round % 5 == 0 { try table.flush() }
                    if round == Self.rounds / 2 {
                        clock.raise(toUnixMilliseconds: TableFixture.start + 20 * TableFixture.dayMs)
                    }
                    if round > Self.rounds / 2 { table.dropOldPartitions() }
                }
                isDone.store(true, ordering: .relaxed)
            case 1:
                while !isDone.load(ordering: .relaxed) { _ = try table.rows(of: series) }
            default:
                while !isDone.load(ordering: .relaxed) {
                    try table.mergeAll()
                    table.removeDropped(evenIfHeld: false)
                }
            }
        }
        try table.flush()
        table.dropOldPartitions()
        table.removeDropped(evenIfHeld: false)
        // On December 11 the retention of 40 days begins on November 1: October is gone.
        let found = try table.rows(of: series)
        #expect(found.allSatisfy { $0.timestamp >= TableFixture.start })
        #expect(
            found.count == Self.rounds * Self.seriesOfAThread - (0..<Self.rounds).count { $0 % 7 == 3 }
                * Self.seriesOfAThread)
        #expect(table.metrics.partitions == 1 && table.metrics.memoryBytes == 0)
        try table.close()
    }
}
