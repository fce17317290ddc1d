// CrashCheck.swift - opens what killed writers have left and compares it with what they said (CrashWriter).
//
//   lost       a row of a batch that a flush, or the snapshot at hand, had reported is not found
//   invented   a row, or a series, that no writer has made
//   doubled    a row that is found twice
//
// Threads: one.

import SampleStore
import SeriesIndex
import StorageBytes
import StorageEngine
import StorageFiles
import StorageRuntime

/// The command `crash-check`.
public enum CrashCheck {
    /// What a writer has said.
    private struct Report {
        var stream: CrashStream
        var batches: [Int]
        var snapshots: [String: [Int]] = [:]
        var flushes = 0, merges = 0
    }

    /// Counts of a check.
    public struct Outcome: Sendable {
        /// Writers whose reports were read, flushes and forced merges that they reported, snapshots that must be there.
        public var runs = 0, flushes = 0, merges = 0, snapshots = 0
        /// Rows found, and those of them that had been reported.
        public var rows = 0, promised = 0
        /// Rows lost, invented and doubled.
        public var lost = 0, invented = 0, doubled = 0
        /// Parts that were damaged.
        public var damaged = 0

        /// One line.
        public var text: String {
            "\(runs) runs, \(flushes) flushes, \(merges) forced merges, \(snapshots) snapshots; \(rows) rows found, "
                + "\(promised) were reported; lost \(lost), invented \(invented), doubled \(doubled), damaged parts \(damaged)"
        }

        var isGood: Bool { lost + invented + doubled + damaged == 0 }
    }

    /// Checks the storage at `path` against the reports in files, one for each writer; a report may end anywhere.
    ///
    /// - Throws: `.checkFailed` when anything is lost, invented, doubled or damaged.
    public static func run(_ path: String, reports: [String]) throws(HarnessError) -> Outcome {
        let files = RealFileSystem()
        var outcome = Outcome()
        var runs: [Int: Report] = [:]
        for file in reports {
            let text = try HarnessError.wrapping("reading a report") { () throws(StorageError) in
                try files.readAll(file, limitBytes: 1 << 28).array()
            }
            guard let report = parse(String(decoding: text, as: UTF8.self)) else { continue }
            runs[report.stream.run] = report
            outcome.runs += 1
            outcome.flushes += report.flushes
            outcome.merges += report.merges
        }
        do throws(StorageError) {
            let engine = try StorageEngine.open(
                path, options: CrashWriter.options(), files: files, environment: .live())
            let names = try engine.snapshots()
            try check(engine, runs, runs.mapValues(\.batches), &outcome)
            try engine.close()
            for (run, report) in runs {
                for (name, batches) in report.snapshots {
                    outcome.snapshots += 1
                    guard names.contains(name) else {
                        outcome.lost += 1
                        continue
                    }
                    let copy = try StorageEngine.open(
                        "\(path)/snapshots/\(name)", options: CrashWriter.options(), files: files, environment: .live())
                    try check(copy, runs, [run: batches], &outcome)
                    try copy.close()
                }
            }
        } catch {
            throw HarnessError(error, while: "reading what the writers have left")
        }
        guard outcome.isGood else { throw HarnessError(.checkFailed, "wrong after a kill: " + outcome.text) }
        return outcome
    }

    private static func parse(_ text: String) -> Report? {
        // The last line may be cut off.
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        var report: Report?
        for line in lines {
            let words = line.split(separator: " ").map(String.init)
            switch words.first {
            case "run":
                guard words.count == 8, let run = Int(words[1]), let seed = UInt64(words[3]),
                    let threads = Int(words[5]), let base = Int64(words[7])
                else { return nil }
                report = Report(
                    stream: CrashStream(run: run, seed: seed, baseMs: base),
                    batches: Array(repeating: 0, count: threads))
            case "flushed":
                report?.batches = words.dropFirst().compactMap { Int($0) }
                report?.flushes += 1
            case "merged": report?.merges += 1
            case "snapshot": report?.snapshots[words[1]] = words.dropFirst(2).compactMap { Int($0) }
            case "removing": report?.snapshots[words[1]] = nil
            default: continue
            }
        }
        return report
    }

    /// Reads all rows of a storage. `promised` are the batches that must be there, by run and thread.
    private static func check(
        _ engine: StorageEngine, _ runs: [Int: Report], _ promised: [Int: [Int]], _ outcome: inout Outcome
    ) throws(StorageError) {
        outcome.damaged += engine.damagedParts.count
        // Numbers of the rows that were seen, by run and thread.
        var seen: [Int: [[Bool]]] = [:]
        for (run, report) in runs { seen[run] = Array(repeating: [], count: report.batches.count) }
        var (rowCount, invented, doubled) = (0, 0, 0)
        var reader = SampleReader(engine)
        // Rows come series by series.
        var lastName: [UInt8] = []
        var lastPlace: (run: Int, thread: Int, series: Int)?
        try reader.forEachRow(try SeriesTSIDs.all(engine)) { canonical, timestampMs, value in
            rowCount += 1
            if !canonical.elementsEqual(lastName) {
                lastName = Array(canonical)
                lastPlace = place(canonical)
            }
            guard let place = lastPlace, let report = runs[place.run], place.thread < report.batches.count,
                value >= 0, value < 1e9, value == value.rounded(),
                report.stream.timestampMs(number: Int(value)) == timestampMs,
                report.stream.series(thread: place.thread, number: Int(value)) == place.series
            else {
                invented += 1
                return
            }
            let number = Int(value)
            if seen[place.run]![place.thread].count <= number {
                seen[place.run]![place.thread] += Array(
                    repeating: false, count: number + 1 - seen[place.run]![place.thread].count + 4096)
            }
            if seen[place.run]![place.thread][number] { doubled += 1 }
            seen[place.run]![place.thread][number] = true
        }
        outcome.rows += rowCount
        outcome.invented += invented
        outcome.doubled += doubled
        for (run, batches) in promised {
            for (thread, count) in batches.enumerated() {
                let there = seen[run]?[thread] ?? []
                let wanted = count * CrashStream.batchRows
                outcome.promised += wanted
                let found = there.prefix(wanted).count { $0 }
                outcome.lost += wanted - found
            }
        }
    }

    /// Run, thread and series of a canonical name; nil when it is none of a writer's.
    private static func place(_ canonical: UnsafeRawBufferPointer) -> (run: Int, thread: Int, series: Int)? {
        guard let name = try? MetricName(canonical: canonical), name.group == Array("crash_row".utf8) else {
            return nil
        }
        func number(_ key: String) -> Int? {
            name.tags.first { $0.key == Array(key.utf8) }.flatMap { Int(String(decoding: $0.value, as: UTF8.self)) }
        }
        guard let run = number("run"), let thread = number("thread"), let series = number("series") else { return nil }
        return (run, thread, series)
    }
}
