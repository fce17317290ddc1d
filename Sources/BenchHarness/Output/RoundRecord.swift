// RoundRecord.swift - what a run says beside its figures: rounds, labels, and the rules that production would alert on.

import StorageEngine

/// One round of a profile, or several in a row.
public struct RoundRecord: Sendable, Equatable, Codable {
    /// The first of the rounds, and how many there are.
    public var firstRound = 0, rounds = 0
    /// Virtual time of the last round's first row.
    public var time = ""
    /// Rows, and series that they began.
    public var rows: UInt64 = 0, newSeries: UInt64 = 0
    /// Wall seconds, preparing the rows included.
    public var seconds = 0.0
    /// CPU of the ingest threads for each row, microseconds.
    public var cpuUsPerRow = 0.0
    /// Rows that took the slow path, and why.
    public var slowRows: UInt64 = 0, slowNewSeries: UInt64 = 0, slowCacheMiss: UInt64 = 0, slowRotation: UInt64 = 0
    /// Per-day entries asked for, and those of them for the next day.
    public var perDayInserts: UInt64 = 0, nextDayPrefills: UInt64 = 0
    /// Lookups in the TSID cache, and those that found nothing.
    public var tsidCacheRequests: UInt64 = 0, tsidCacheMisses: UInt64 = 0
    /// 1 - misses / requests; 0 without requests.
    public var tsidCacheHitRatio = 0.0
    /// Entries thrown out, entries not taken in.
    public var tsidCacheEvictions: UInt64 = 0, tsidCacheRefusals: UInt64 = 0
    /// Rows whose series was not in the set of the current hour.
    public var hourMisses: UInt64 = 0
    /// File parts at the end.
    public var parts: UInt64 = 0

    /// All zero.
    public init() {}

    mutating func set(_ after: StorageMetrics, since before: StorageMetrics) {
        slowRows = after.slowRowInserts &- before.slowRowInserts
        slowNewSeries = after.slowRowCauses.newSeries &- before.slowRowCauses.newSeries
        slowCacheMiss = after.slowRowCauses.cacheMiss &- before.slowRowCauses.cacheMiss
        slowRotation = after.slowRowCauses.rotation &- before.slowRowCauses.rotation
        perDayInserts = after.slowPerDayInserts &- before.slowPerDayInserts
        nextDayPrefills = after.nextDayPrefills &- before.nextDayPrefills
        tsidCacheRequests = after.tsidCache.requests &- before.tsidCache.requests
        tsidCacheMisses = after.tsidCache.misses &- before.tsidCache.misses
        tsidCacheHitRatio =
            tsidCacheRequests == 0 ? 0 : 1 - Double(tsidCacheMisses) / Double(tsidCacheRequests)
        tsidCacheEvictions = after.tsidCache.evictions &- before.tsidCache.evictions
        tsidCacheRefusals = after.tsidCache.refusals &- before.tsidCache.refusals
        hourMisses = after.hourMetricIDs.misses &- before.hourMetricIDs.misses
        parts = after.index.parts
    }
}

/// What a label costs in the index: its rows in normalised form, mean over a sample of the series.
public struct LabelCost: Sendable, Equatable, Codable {
    /// The label's key; `__name__` for the metric name.
    public var label: String
    /// Bytes of key and value in the raw name.
    public var nameBytes = 0.0
    /// Bytes of its rows in the global index (ns1) and of one day (ns6).
    public var globalBytes = 0.0, perDayBytes = 0.0
    /// Share of these bytes in those of all labels.
    public var share = 0.0
    /// Different values / series of the sample.
    public var distinctRatio = 0.0
}

/// A rule that production alerts on.
public struct AlertVerdict: Sendable, Equatable, Codable {
    /// The rule.
    public var rule: String
    /// What the run shows, and the most that the rule accepts.
    public var value: Double, limit: Double
    /// `PASS` or `ALERT`.
    public var verdict: String

    init(_ rule: String, _ value: Double, limit: Double) {
        self.rule = rule
        self.value = value
        self.limit = limit
        verdict = value > limit ? "ALERT" : "PASS"
    }

    /// The three rules of production, for what happened between two moments and for the whole run.
    ///
    /// - Parameters:
    ///   - before: Behind the round in which all series were new, if there were others.
    ///   - active: Series of a round.
    static func all(_ after: StorageMetrics, since before: StorageMetrics, active: Int) -> [AlertVerdict] {
        let rows = Double(max(1, after.rowsAdded &- before.rowsAdded))
        let fresh = Double(after.newSeriesCreated &- before.newSeriesCreated)
        let slow = Double(after.slowRowInserts &- before.slowRowInserts)
        return [
            AlertVerdict("new series / rows", fresh / rows, limit: 0.1),
            AlertVerdict("slow inserts / rows", slow / rows, limit: 0.05),
            AlertVerdict(
                "new series in 24 h / active", Double(after.newSeriesCreated) / Double(max(1, active)), limit: 3),
        ]
    }
}
