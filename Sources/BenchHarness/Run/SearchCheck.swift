// SearchCheck.swift - whether the searches beside the ingestion found what had been ingested.
//
// Rows become visible when they are flushed, so a search that runs beside AddRows may or may not see the newest ones. What it
// must see are the rows that were settled before the searches began; what it must not see are more rows than were sent:
//
//   settled rows in the range   <=   rows of all blocks found          (a block may reach beyond the range)
//   rows of the blocks that lie in the range   <=   sent rows in the range
//
// Counting by the headers of blocks costs the measured searches nothing. What was sent is prepared once more behind the run.
//
// Threads: one.

import StorageBytes
import StorageEngine
import StorageRuntime
import Workloads

/// What one search has found of one series.
struct SearchCheck: Sendable, Equatable {
    /// Number of the series in the profile.
    var number: UInt32
    /// The range that was asked for, both ends included, and the latest timestamp of the rows that were settled before.
    var minMs: Int64, maxMs: Int64, settledMs: Int64
    /// Rows of the blocks found, and of those of them that lie in the range with both ends.
    var rows = 0, rowsInside = 0

    /// How many searches of a load are checked, from its first on.
    static let searchesMax = 64

    /// Takes over a block that was found.
    mutating func add(rows count: Int, minMs first: Int64, maxMs last: Int64) {
        rows += count
        if first >= minMs, last <= maxMs { rowsInside += count }
    }

    /// What is wrong with it; nil when nothing is.
    ///
    /// - Parameter sent: Timestamps of all rows of the series that were sent until the end of the run.
    func fault(sent: [Int64]) -> String? {
        var most = 0, least = 0
        for moment in sent where moment >= minMs && moment <= maxMs {
            most += 1
            if moment <= settledMs { least += 1 }
        }
        let range = "from \(TimeText.moment(minMs)) to \(TimeText.moment(maxMs))"
        if rows < least { return "\(rows) rows of series \(number) \(range), \(least) were settled before" }
        if rowsInside > most { return "\(rowsInside) rows of series \(number) \(range), \(most) were sent" }
        return nil
    }

    /// Checks what searches have found.
    ///
    /// - Parameter sent: A feed of the same stream before its first round; `steps` are those it has made.
    /// - Returns: The number of checks that failed, and the first of them in words.
    static func faults(
        _ checks: [SearchCheck], steps: [RoundFeed.Step], sent: consuming RoundFeed
    ) -> (count: Int, first: String)? {
        var timestamps: [UInt32: [Int64]] = [:]
        for check in checks { timestamps[check.number] = [] }
        for step in steps {
            sent.make(step)
            let numbers = sent.numbers
            for (index, row) in sent.rows.enumerated() {
                timestamps[numbers[index % numbers.count]]?.append(row.timestampMs)
            }
        }
        let faults = checks.compactMap { $0.fault(sent: timestamps[$0.number] ?? []) }
        return faults.first.map { (faults.count, $0) }
    }
}
