// TableConcurrencyTests.swift - threads that add, search, flush, merge and snapshot one table at the same time. Meant
// for the thread sanitizer as well (Scripts/sanitize thread picks tests by "concurrent" in their names).

import Glibc
import Mergeset
import StorageFiles
import StorageRuntime
import Synchronization
import TestSupport
import Testing

/// Runs bodies on threads of their own and waits for all.
private func together(_ bodies: [@Sendable () -> Void]) {
    let threads = bodies.enumerated().map { index, body in Thread.start("test-\(index)", body) }
    for thread in threads { thread.join() }
}

/// The first error of several threads.
private final class Failures: Sendable {
    private let list = Protected<[String]>([])

    func note(_ place: String, _ body: () throws -> Void) {
        do { try body() } catch { list.withLock { $0.append("\(place): \(error)") } }
    }

    func require(_ isTrue: Bool, _ text: @autoclosure () -> String) {
        if isTrue { return }
        let text = text()
        list.withLock { $0.append(text) }
    }

    var all: [String] { list.withLock { $0 } }
}

@Suite struct TableConcurrencyTests {
    private static let threads = 3
    private static let batchesPerThread = 120
    private static let itemsPerBatch = 9

    private static func item(_ thread: Int, _ batch: Int, _ position: Int) -> [UInt8] {
        [UInt8(position)] + Array("t\(thread)-\(10000 + batch)-\(position)".utf8)
            + [UInt8](repeating: 0x2E, count: (batch * 7 + position) % 50)
    }

    /// Every batch is either there completely or not at all, and its items come in order.
    private static func check(_ items: [[UInt8]], _ failures: Failures, _ place: String) {
        failures.require(
            zip(items, items.dropFirst()).allSatisfy { isSmaller($0, $1) }, "\(place): out of order, or doubled")
        var counts: [ArraySlice<UInt8>: Int] = [:]
        for item in items {
            let end = item.lastIndex(of: UInt8(ascii: "-")) ?? 0
            counts[item[1..<end], default: 0] += 1
        }
        failures.require(counts.values.allSatisfy { $0 == itemsPerBatch }, "\(place): half a batch")
    }

    @Test func concurrentAddsSearchesFlushesMergesAndSnapshots() throws {
        let directory = try TemporaryDirectory()
        let root = directory.path
        let files = RealFileSystem()
        var options = TableOptions.tiny(shards: 2, run: 1500, memory: 8000)
        options.flushIntervalNanoseconds = 2_000_000
        options.mergeWorkers = 2
        let newItems = Atomic<Int>(0)
        let callbacks = Protected<Int>(0)
        options.onNewItems = { callbacks.withLock { $0 += 1 } }
        let table = try Table.open(root + "/table", options: options, files: files, environment: .live())
        let failures = Failures()
        let adding = Atomic<Int>(Self.threads)

        let adders: [@Sendable () -> Void] = (0..<Self.threads).map { thread in
            {
                for batch in 0..<Self.batchesPerThread {
                    failures.note("add") {
                        let items = (0..<Self.itemsPerBatch).map { Self.item(thread, batch, $0) }
                        try table.add(items, hint: thread == 0 ? nil : thread)
                    }
                    newItems.wrappingAdd(1, ordering: .relaxed)
                }
                adding.wrappingSubtract(1, ordering: .releasing)
            }
        }
        func whileAdding(_ place: String, _ body: @escaping @Sendable (Int) throws -> Void) -> @Sendable () -> Void {
            {
                var round = 0
                repeat {
                    failures.note(place) { try body(round) }
                    round += 1
                } while adding.load(ordering: .acquiring) > 0
            }
        }
        let others = [
            whileAdding("durable") { _ in Self.check(try table.scan(.durable), failures, "durable") },
            whileAdding("everything") { _ in
                let view = table.view(.everything)
                let items = try view.scan()
                Self.check(items, failures, "everything")
                failures.require(try view.scan() == items, "a view has changed")
                var cursor = view.cursor()
                try cursor.seek(bytes: [4])
                let next = try cursor.take(3)
                failures.require(next == Array(items[lowerBound(items, [4])...].prefix(3)), "seek")
            },
            whileAdding("flush") { _ in
                let before = newItems.load(ordering: .relaxed)
                try table.flush()
                let count = try table.scan().count
                failures.require(count >= before * Self.itemsPerBatch, "flushed items are missing")
            },
            whileAdding("merge") { round in
                if round % 3 == 0 { try table.mergeAll() } else { try table.settle() }
            },
            whileAdding("snapshot") { round in
                let target = root + "/snapshot-\(round)"
                let before = newItems.load(ordering: .relaxed)
                try table.snapshot(to: target)
                if round % 8 == 0 {
                    let copy = try Table.open(target, files: files, environment: .live())
                    let items = try copy.scan()
                    Self.check(items, failures, "snapshot")
                    failures.require(items.count >= before * Self.itemsPerBatch, "items missing in a snapshot")
                    try copy.close()
                }
                try files.removeAll(target)
            },
            whileAdding("metrics") { _ in
                let metrics = table.metrics
                failures.require(metrics.parts <= 10_000 && metrics.failures == 0, "metrics: \(metrics)")
                _ = table.parts
            },
        ]
        together(adders + others)
        #expect(failures.all.isEmpty, "\(failures.all.prefix(5))")

        let expected = (0..<Self.threads).flatMap { thread in
            (0..<Self.batchesPerThread).flatMap { batch in
                (0..<Self.itemsPerBatch).map { Self.item(thread, batch, $0) }
            }
        }.sorted(by: isSmaller)
        #expect(try table.scan(.everything) == expected)
        #expect(table.metrics.itemsAdded == UInt64(expected.count))
        #expect(callbacks.withLock { $0 } > 0)
        var open = table.cursor(.everything)
        #expect(try open.next())
        try table.close()
        #expect(try 1 + open.take(.max).count == expected.count, "a cursor outlives its table")
        let again = try Table.open(root + "/table", files: files, environment: .live())
        #expect(try again.scan() == expected)
        try again.close()
        withExtendedLifetime(directory) {}
    }

    /// Adders wait while the disk is full, get its error, and go on when there is room; nothing taken is lost.
    @Test func concurrentAddsOnAFullDiskGoOnLater() throws {
        let files = SimulatedFileSystem(recording: .nothing)
        var options = TableOptions.tiny(shards: 2, run: 1000, memory: 4000)
        options.flushIntervalNanoseconds = 1_000_000
        let table = try Table.open("/t", options: options, files: files, environment: .live())
        let failures = Failures()
        let taken = Protected<[[UInt8]]>([])
        files.faults = FaultPlan(capacityBytes: 10)
        let refusals = Atomic<Int>(0)
        let adders: [@Sendable () -> Void] = (0..<3).map { thread in
            {
                for number in 0..<400 {
                    let item = Array("t\(thread)-\(10000 + number)".utf8) + [UInt8](repeating: 0x2E, count: 30)
                    while true {
                        do throws(StorageError) {
                            try table.add([item], hint: thread)
                            break
                        } catch {
                            failures.require(error.kind == .noSpace, "\(error)")
                            refusals.wrappingAdd(1, ordering: .relaxed)
                            sched_yield()
                        }
                    }
                    taken.withLock { $0.append(item) }
                }
            }
        }
        let mender: @Sendable () -> Void = {
            while refusals.load(ordering: .relaxed) < 50 { sched_yield() }
            files.faults = FaultPlan()
        }
        together(adders + [mender])
        #expect(failures.all.isEmpty, "\(failures.all.prefix(5))")
        #expect(refusals.load(ordering: .relaxed) >= 50)
        try table.flush()
        #expect(try table.scan() == taken.withLock { $0 }.sorted(by: isSmaller))
        try table.close()
    }

    /// Any number of tables are opened and closed beside each other, while others still add to theirs.
    @Test func concurrentOpensOfOneDirectoryLetOneIn() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("table")
        let failures = Failures()
        let opened = Atomic<Int>(0)
        let body: @Sendable () -> Void = {
            for _ in 0..<20 {
                failures.note("open") {
                    do throws(StorageError) {
                        let table = try Table.open(path, files: RealFileSystem(), environment: .live())
                        try table.add([[1, 2, 3]])
                        try table.close()
                        opened.wrappingAdd(1, ordering: .relaxed)
                    } catch {
                        if error.kind != .locked { throw error }
                    }
                }
            }
        }
        together([body, body, body])
        #expect(failures.all.isEmpty, "\(failures.all.prefix(5))")
        let table = try Table.open(path, files: RealFileSystem(), environment: .live())
        #expect(try table.scan().count == opened.load(ordering: .relaxed))
        try table.close()
        withExtendedLifetime(directory) {}
    }
}
