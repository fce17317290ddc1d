// RunData.swift - what is known about a finished run: run.json and intervals.csv. Every file of a run directory is made from
// these two and from nothing else, when the run ends and whenever it is rendered again.

import FoundationEssentials
import StorageFiles
import StorageRuntime

/// A run as it is stored.
public struct RunData: Sendable, Equatable {
    /// Its name in reports of several runs: that of its directory, or the profile.
    public var name: String
    /// run.json.
    public var record: RunRecord
    /// intervals.csv; empty for records that were kept without it.
    public var intervals: [IntervalRecord]

    /// A run.
    public init(name: String, record: RunRecord, intervals: [IntervalRecord]) {
        self.name = name
        self.record = record
        self.intervals = intervals
    }

    /// Most bytes of a file of a run directory that are read.
    static let fileBytesMax = 64 << 20

    /// Reads a run directory, or a run.json.
    ///
    /// - Throws: `.badInput` with the path and what is wrong: no such directory, no run.json in it, a damaged or unknown
    ///   file. A missing intervals.csv is no error.
    public static func read(_ path: String, _ files: any FileSystem) throws(HarnessError) -> RunData {
        var directory = path
        while directory.utf8.count > 1, directory.hasSuffix("/") { directory.removeLast() }
        if directory.hasSuffix("/run.json") { directory.removeLast("/run.json".count) }
        if directory == "run.json" { directory = "." }
        let record = try RunReader.record(path, files)
        guard RunReader.isDirectory(directory, files) else {
            return RunData(name: record.profile, record: record, intervals: [])
        }
        let file = Paths.join(directory, "intervals.csv")
        let csv: [UInt8]?
        do throws(StorageError) {
            csv = try files.kind(of: file) == nil ? nil : try files.readAll(file, limitBytes: fileBytesMax).array()
        } catch { throw HarnessError(.badInput, "cannot read \(file): \(error)") }
        var intervals: [IntervalRecord] = []
        do throws(HarnessError) { if let csv { intervals = try IntervalRecord.parse(csv) } } catch {
            throw HarnessError(.badInput, "\(file): \(error.message)")
        }
        return RunData(
            name: Paths.lastComponent(directory) == "." ? record.profile : Paths.lastComponent(directory),
            record: record, intervals: intervals)
    }
}

extension IntervalRecord {
    /// Reads intervals.csv. Columns are found by their names; those that a file does not have are zero, unknown ones are
    /// ignored.
    ///
    /// - Throws: `.badInput` for lines that are not numbers in as many columns as the first line names.
    public static func parse(_ csv: [UInt8]) throws(HarnessError) -> [IntervalRecord] {
        let lines = String(decoding: csv, as: UTF8.self).split(separator: "\n")
        guard let head = lines.first else { return [] }
        let names = head.split(separator: ",").map(String.init)
        var records: [IntervalRecord] = []
        records.reserveCapacity(lines.count)
        for (number, line) in lines.enumerated().dropFirst() {
            let cells = line.split(separator: ",", omittingEmptySubsequences: false)
            guard cells.count == names.count else {
                throw HarnessError(.badInput, "intervals.csv, line \(number + 1): \(names.count) columns are needed")
            }
            var record = IntervalRecord()
            for (name, cell) in zip(names, cells) {
                if name == "phase" {
                    record.phase = String(cell)
                    continue
                }
                guard let value = Double(cell), value.isFinite, value >= 0, value < 1e18 else {
                    throw HarnessError(.badInput, "intervals.csv, line \(number + 1): \(name) is not a number: \(cell)")
                }
                record.set(name, value)
            }
            records.append(record)
        }
        return records
    }

    private mutating func set(_ name: String, _ value: Double) {
        switch name {
        case "seconds": seconds = value
        case "done": done = UInt64(value)
        case "per_second": perSecond = value
        case "items_per_second": itemsPerSecond = value
        case "parts": parts = UInt64(value)
        case "pending_items": pendingItems = UInt64(value)
        case "pending_bytes": pendingBytes = UInt64(value)
        case "active_merges": activeMerges = UInt64(value)
        case "flushes": flushes = UInt64(value)
        case "merges": merges = UInt64(value)
        case "rss_bytes": rssBytes = UInt64(value)
        case "heap_allocated_bytes": heapAllocatedBytes = UInt64(value)
        case "new_series_per_second": newSeriesPerSecond = value
        case "slow_rows_per_second": slowRowsPerSecond = value
        case "tsid_cache_hit_ratio": tsidCacheHitRatio = value
        case "sample_bytes": sampleBytes = UInt64(value)
        case "kept_bytes": keptBytes = UInt64(value)
        case "cache_bytes": cacheBytes = UInt64(value)
        default: break
        }
    }
}
