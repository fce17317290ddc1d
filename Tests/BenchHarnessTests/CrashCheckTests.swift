// CrashCheckTests.swift - the check of Scripts/kill-test notices what it is there for.

import Foundation
import StorageEngine
import StorageFiles
import StorageRuntime
import Testing

@testable import BenchHarness

@Suite struct CrashCheckTests {
    private static let stream = CrashStream(run: 3, seed: 8, baseMs: WallClock.unixSeconds * 1000)

    /// A storage with some batches of thread 0, and what `extra` adds; checked against a report.
    private static func check(
        _ report: String, batches: Range<Int> = 0..<5, extra: [(number: Int, timestampMs: Int64)] = []
    ) throws -> CrashCheck.Outcome {
        try Scratch.with { directory in
            let path = directory + "/storage"
            let engine = try StorageEngine.open(
                path, options: CrashWriter.options(), files: RealFileSystem(), environment: .live())
            var rows = batches.flatMap { batch in
                (0..<CrashStream.batchRows).map { index in
                    let number = batch * CrashStream.batchRows + index
                    return (number: number, timestampMs: stream.timestampMs(number: number))
                }
            }
            rows += extra
            for row in rows {
                let name = stream.name(thread: 0, series: stream.series(thread: 0, number: row.number))
                try name.withUnsafeBytes { name in
                    let list = [MetricRow(name: name, timestampMs: row.timestampMs, value: Double(row.number))]
                    try list.withUnsafeBufferPointer { try engine.addRows($0) }
                }
            }
            try engine.close()
            try Data(report.utf8).write(to: URL(fileURLWithPath: directory + "/report"))
            return try CrashCheck.run(path, reports: [directory + "/report"])
        }
    }

    private static let head = "run 3 seed 8 threads 1 base \(stream.baseMs)\n"

    private static func problem(_ body: () throws -> Void) -> String {
        do { try body() } catch { return "\(error)" }
        return "none"
    }

    @Test func whatWasReportedIsThere() throws {
        let outcome = try Self.check(Self.head + "flushed 2\nmerged\nflushed 5\nflushed 99")
        #expect(outcome.rows == 500 && outcome.promised == 500 && outcome.flushes == 2 && outcome.merges == 1)
        // Rows that nobody has reported may be there or not.
        #expect(try Self.check(Self.head + "flushed 3\n").promised == 300)
        #expect(try Self.check(Self.head).promised == 0)
    }

    @Test func lostRowsAreNoticed() {
        #expect(Self.problem { _ = try Self.check(Self.head + "flushed 6\n") }.contains("lost 100,"))
        let hole = Self.problem { _ = try Self.check(Self.head + "flushed 5\n", batches: 1..<5) }
        #expect(hole.contains("lost 100,"))
        let snapshot = Self.problem { _ = try Self.check(Self.head + "snapshot 20220101000000-0A 1\n") }
        #expect(snapshot.contains("lost 1,"))
    }

    @Test func doubledAndInventedRowsAreNoticed() {
        let stream = Self.stream
        let doubled = Self.problem {
            _ = try Self.check(Self.head + "flushed 5\n", extra: [(7, stream.timestampMs(number: 7))])
        }
        #expect(doubled.contains("doubled 1,") && doubled.contains("lost 0,"))
        let invented = Self.problem {
            _ = try Self.check(Self.head + "flushed 5\n", extra: [(7, stream.timestampMs(number: 7) + 1)])
        }
        #expect(invented.contains("invented 1,"))
        let stranger = Self.problem {
            _ = try Self.check("run 4 seed 8 threads 1 base \(stream.baseMs)\n")
        }
        #expect(stranger.contains("invented 500,"))
    }
}

/// A temporary directory for a body.
private enum Scratch {
    static func with<Result>(_ body: (String) throws -> Result) throws -> Result {
        let path = NSTemporaryDirectory() + "crash-check-tests-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try body(path)
    }
}
