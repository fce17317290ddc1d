// RateSearch.swift - the highest rate of rows that the engine sustains, and what ended the search.
//
//   trial(nil)                 closed loop: how fast rows are taken at all -> first guess: half of it
//   passed  -> x 1.5           until one fails
//   failed  -> / 2             until one passes, at most ten times
//   between -> geometric mean  until the lowest failed rate is within 5 % of the highest passed one
//
// A trial is a run of the profile with rows due at the rate, in a fresh storage; the search itself is a pure function of
// what trials answer.

import Mergeset

/// Limits of what is still sustained.
public struct RateLimits: Sendable, Equatable, Codable {
    /// Latency of 99 % of the blocks from their intended start, milliseconds.
    public var p99Ms = 100.0
    /// Bytes of items in memory, as a share of those at which a flush starts (adding waits at 1.5).
    public var pendingShare = 1.25
    /// File parts at any moment. Merges begin above 15.
    public var partsMax = 30.0
    /// Seconds by which the last block may end behind the schedule.
    public var backlogSeconds = 0.5
    /// Rows taken in a second as a share of those that were due: in a short trial a backlog stays small.
    public var takenShareMin = 0.98
    /// Calls that may wait for a flush.
    public var stallsMax = 0.0

    /// The defaults.
    public init() {}
}

/// One trial as it stands in run.json.
public struct RateTrial: Sendable, Equatable, Codable {
    /// Rows a second that were due; nil for the closed loop at the beginning.
    public var rowsPerSecond: Double?
    /// Rows a second that were taken.
    public var achievedRowsPerSecond: Double
    /// What was measured: see ``RateLimits``. The latency is nil in a closed loop.
    public var p99Ms: Double?, pendingShare: Double, partsMax: Double, backlogSeconds: Double, stalls: Double
    /// The limits that were passed, in words; empty when the rate was sustained.
    public var violations: [String] = []
}

/// A search as it stands in run.json.
public struct RateSearchRecord: Sendable, Equatable, Codable {
    /// The limits.
    public var limits: RateLimits
    /// The highest rate that was sustained; nil when none was.
    public var sustainedRowsPerSecond: Double?
    /// What the lowest rate above it failed by: the condition that ended the search.
    public var endedBy: [String]
    /// All trials in their order.
    public var trials: [RateTrial]
}

/// Searches for the rate.
enum RateSearch {
    /// Ratio of the lowest failed to the highest passed rate at which the search ends.
    static let precision = 1.05
    /// Most trials.
    static let trialsMax = 20

    /// Runs trials until the rate is known.
    static func find(
        limits: RateLimits, trial: (Double?) throws(HarnessError) -> RateTrial
    ) throws(HarnessError) -> RateSearchRecord {
        var record = RateSearchRecord(limits: limits, sustainedRowsPerSecond: nil, endedBy: [], trials: [])
        let closed = try trial(nil)
        record.trials.append(closed)
        var rate = closed.achievedRowsPerSecond / 2
        var failed: Double?
        var halvings = 0
        while record.trials.count < trialsMax {
            var outcome = try trial(rate)
            outcome.violations = violations(outcome, limits)
            record.trials.append(outcome)
            if outcome.violations.isEmpty {
                record.sustainedRowsPerSecond = rate
            } else {
                failed = rate
                record.endedBy = outcome.violations
            }
            switch (record.sustainedRowsPerSecond, failed) {
            case (let passed?, let failed?):
                if failed / passed <= precision { return record }
                rate = (passed * failed).squareRoot()
            case (_?, nil): rate *= 1.5
            default:
                halvings += 1
                if halvings > 10 { return record }
                rate /= 2
            }
        }
        return record
    }

    /// The limits that a trial has passed, in words.
    static func violations(_ trial: RateTrial, _ limits: RateLimits) -> [String] {
        var texts: [String] = []
        func check(_ name: String, _ value: Double?, _ limit: Double, _ unit: String) {
            guard let value, value > limit else { return }
            texts.append("\(name) \(TextFormat.short(value))\(unit), limit \(TextFormat.short(limit))\(unit)")
        }
        check("stalls", trial.stalls, limits.stallsMax, "")
        check("pending items", trial.pendingShare, limits.pendingShare, " x the bytes of a flush")
        check("parts", trial.partsMax, limits.partsMax, "")
        check("p99 from the intended start", trial.p99Ms, limits.p99Ms, " ms")
        check("backlog", trial.backlogSeconds, limits.backlogSeconds, " s")
        if let due = trial.rowsPerSecond, trial.achievedRowsPerSecond < due * limits.takenShareMin {
            texts.append(
                "\(TextFormat.percent(trial.achievedRowsPerSecond / due)) of the rows that were due were taken, "
                    + "limit \(TextFormat.percent(limits.takenShareMin))")
        }
        return texts
    }
}

extension RateTrial {
    /// What a run says about the rate that it was given. Only the phase in which rows were due counts.
    init(_ outcome: RunOutcome, rate: Double?, memoryBytesMax: Int) {
        let record = outcome.record
        let hasRounds = record.figure("later_rows_per_second") != nil
        let phase = hasRounds ? "rounds" : "ingest"
        let intervals = outcome.intervals.filter { $0.phase == phase }
        rowsPerSecond = rate
        achievedRowsPerSecond = record.figure(hasRounds ? "later_rows_per_second" : "rows_per_second") ?? 0
        p99Ms = record.figure((hasRounds ? "later_insert" : "new_insert") + "_intended_p99_us").map { $0 / 1000 }
        pendingShare = Double(intervals.map(\.pendingBytes).max() ?? 0) / Double(max(1, memoryBytesMax))
        partsMax = Double(intervals.map(\.parts).max() ?? 0)
        backlogSeconds = record.figure("arrival_backlog_seconds") ?? 0
        stalls = record.figure(hasRounds ? "later_stalls" : "stalls") ?? 0
    }
}
