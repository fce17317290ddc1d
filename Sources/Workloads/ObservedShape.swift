// ObservedShape.swift - what a stream really looked like, beside what its profile configures.
//
// The observer looks at rows only (names, times, flags), not at the profile, so a defect of the generator shows. Names
// are taken apart once per new series; the cost of observing is that of the new series.

import StorageBytes
import StorageRuntime

/// Measured properties of the rows of a run.
public struct ObservedShape: Sendable, Equatable {
    /// Rows.
    public var rows = 0
    /// Distinct series.
    public var seriesTotal = 0
    /// Rows in the last round: its distinct series, for each is scraped once a round.
    public var activeSeries = 0
    /// Tags per series, the metric name not counted (mean).
    public var labelsPerSeries = 0.0
    /// Bytes per raw name: mean over the series.
    public var nameBytes = 0.0
    /// Bytes of the shortest and of the longest raw name.
    public var nameBytesMin = 0, nameBytesMax = 0
    /// New series / rows in the rounds in which targets may be replaced; 0 when there are none.
    public var newPerRow = 0.0
    /// New series / rows in the other rounds, the first left out.
    public var newPerRowCalm = 0.0
    /// Rows in the rounds in which targets may be replaced.
    public var churnRows = 0
    /// Tenants seen, and the share of the series that the largest of them has.
    public var tenants = 0, largestTenantShare = 0.0
    /// Value bytes by label key (mean over the series that have it); the metric name has the empty key.
    public var valueBytes: [String: Double] = [:]
}

/// Gathers an ``ObservedShape`` from batches. One thread at a time.
public struct ShapeObserver {
    private struct Bytes {
        var series = 0
        var bytes = 0
    }

    private let profile: Profile
    private var shape = ObservedShape()
    private var labels = 0
    private var nameBytes = 0
    private var byKey: [String: Bytes] = [:]
    private var byTenant: [UInt32: Int] = [:]
    private var round = -1
    private var churnNew = 0
    private var calmNew = 0
    private var calmRows = 0

    /// An observer that has seen nothing; of the profile it takes the rounds in which targets may be replaced.
    public init(_ profile: Profile) { self.profile = profile }

    /// Adds the rows of a batch that has names.
    public mutating func add(_ batch: borrowing RowBatch) throws(DecodeError) {
        if batch.round != round {
            round = batch.round
            shape.activeSeries = 0
        }
        var fresh = 0
        for row in 0..<batch.count where batch.isNew[row] != 0 {
            fresh += 1
            try addSeries(batch.name(row))
        }
        shape.rows += batch.count
        shape.activeSeries += batch.count / profile.visit.rows
        if profile.isChurnRound(batch.round) {
            churnNew += fresh
            shape.churnRows += batch.count
        } else if batch.round > 0 {
            calmNew += fresh
            calmRows += batch.count
        }
    }

    private mutating func addSeries(_ name: UnsafeRawBufferPointer) throws(DecodeError) {
        var count = -1
        var byKey = self.byKey
        self.byKey = [:]
        try RawName.forEachLabel(name) { key, value in
            count += 1
            byKey[String(decoding: key, as: UTF8.self), default: Bytes()].series += 1
            byKey[String(decoding: key, as: UTF8.self), default: Bytes()].bytes += value.count
        }
        self.byKey = byKey
        byTenant[try RawName.tenant(name).account, default: 0] += 1
        labels += count
        nameBytes += name.count
        shape.nameBytesMin = shape.seriesTotal == 0 ? name.count : min(shape.nameBytesMin, name.count)
        shape.nameBytesMax = max(shape.nameBytesMax, name.count)
        shape.seriesTotal += 1
    }

    /// The shape of what was added.
    public var result: ObservedShape {
        var result = shape
        let series = Double(max(1, shape.seriesTotal))
        result.labelsPerSeries = Double(labels) / series
        result.nameBytes = Double(nameBytes) / series
        result.newPerRow = Double(churnNew) / Double(max(1, shape.churnRows))
        result.newPerRowCalm = Double(calmNew) / Double(max(1, calmRows))
        result.tenants = byTenant.count
        result.largestTenantShare = Double(byTenant.values.max() ?? 0) / series
        result.valueBytes = byKey.mapValues { Double($0.bytes) / Double($0.series) }
        return result
    }

    /// Generates all rows of a plan and observes them.
    public static func observe(_ plan: SeriesPlan) throws -> ObservedShape {
        var stream = try RowStream(plan)
        var batch = RowBatch()
        var observer = ShapeObserver(plan.profile)
        while stream.next(into: &batch) { try observer.add(batch) }
        return observer.result
    }
}

/// Observed beside configured.
public struct ShapeVerdict: Sendable {
    /// One compared figure.
    public struct Line: Sendable {
        /// What is compared.
        public let figure: String
        /// What the profile says.
        public let configured: String
        /// What was seen.
        public let observed: String
        /// nil when the profile says nothing that could be missed.
        public let isWithin: Bool?
    }

    /// All figures, in a fixed order.
    public let lines: [Line]

    /// No figure is outside of its band.
    public var comparable: Bool { reasons.isEmpty }

    /// One text for each figure outside of its band.
    public var reasons: [String] {
        lines.filter { $0.isWithin == false }.map {
            "\($0.figure): observed \($0.observed), configured \($0.configured)"
        }
    }

    /// Compares a run's shape with its profile.
    public init(_ shape: ObservedShape, _ profile: Profile) {
        var lines = [Line]()
        func exact(_ figure: String, _ configured: Int, _ observed: Int) {
            lines.append(
                Line(
                    figure: figure, configured: "\(configured)", observed: "\(observed)",
                    isWithin: configured == observed))
        }
        func band(_ figure: String, _ band: ClosedRange<Double>?, _ observed: Double) {
            let text = band.map { "\(Figures.short($0.lowerBound)) to \(Figures.short($0.upperBound))" }
            lines.append(
                Line(
                    figure: figure, configured: text ?? "-", observed: Figures.short(observed),
                    isWithin: band?.contains(observed)))
        }
        exact("active series", profile.series, shape.activeSeries)
        exact("rows", profile.rows, shape.rows)
        lines.append(
            Line(figure: "series in all", configured: "-", observed: "\(shape.seriesTotal)", isWithin: nil))
        band("labels per series", profile.expect.labels ?? ShapeVerdict.labelsBand(profile), shape.labelsPerSeries)
        band("bytes per raw name", profile.expect.nameBytes, shape.nameBytes)
        lines.append(
            Line(
                figure: "shortest and longest raw name", configured: "-",
                observed: "\(shape.nameBytesMin), \(shape.nameBytesMax)", isWithin: nil))
        if profile.tenants.count > 1 {
            lines.append(
                Line(
                    figure: "tenants", configured: "\(profile.tenants.count)", observed: "\(shape.tenants)",
                    isWithin: shape.tenants <= profile.tenants.count))
            band("share of the largest tenant", ShapeVerdict.tenantBand(profile), shape.largestTenantShare)
        }
        for (key, expected) in profile.expect.valueBytes.sorted(by: { $0.key < $1.key }) {
            band("value bytes of \(key)", expected, shape.valueBytes[key] ?? 0)
        }
        if shape.churnRows > 0 {
            band(
                "new series / rows while targets are replaced",
                profile.expect.newPerRow ?? ShapeVerdict.churnBand(profile, shape), shape.newPerRow)
        }
        band("new series / rows in calm rounds", 0...0, shape.newPerRowCalm)
        self.lines = lines
    }

    /// The configured mean; when the last target lacks series it lacks labels, too.
    private static func labelsBand(_ profile: Profile) -> ClosedRange<Double> {
        let mean = profile.labelsPerSeries
        let isWhole = profile.series % profile.seriesPerTarget == 0
        let room = 0.005 + (isWhole ? 0 : max(1, mean) / Double(profile.targets))
        return (mean - room)...(mean + room)
    }

    /// The configured share of the largest tenant with room for chance: five standard deviations of its targets, two of
    /// which may stand for any tenant when the tenants are alike.
    private static func tenantBand(_ profile: Profile) -> ClosedRange<Double> {
        let share = profile.tenants.largestShare
        let room = 5 * (share * (1 - share) / Double(profile.targets)).squareRoot() + 2 / Double(profile.targets)
        return max(0, share - room)...(share + room)
    }

    /// The configured share with room for chance: five standard deviations of the number of replaced targets, and the
    /// rounding to whole targets.
    private static func churnBand(_ profile: Profile, _ shape: ObservedShape) -> ClosedRange<Double> {
        let draws = Double(max(1, shape.churnRows / profile.seriesPerTarget))
        let share = profile.churnShare
        let room = 5 * (share * (1 - share) / draws).squareRoot() + 2 / draws
        return max(0, share - room)...(share + room)
    }

    /// A table for people.
    public var text: String {
        var rows = [["figure", "configured", "observed", ""]]
        for line in lines {
            rows.append([
                line.figure, line.configured, line.observed, line.isWithin.map { $0 ? "ok" : "MISSED" } ?? "",
            ])
        }
        let widths = (0..<3).map { column in rows.map { $0[column].count }.max() ?? 0 }
        var text = rows.map { row in
            var line = ""
            for column in 0..<3 {
                line += row[column] + String(repeating: " ", count: widths[column] - row[column].count + 2)
            }
            line += row[3]
            while line.hasSuffix(" ") { line.removeLast() }
            return line
        }.joined(separator: "\n")
        text += "\ncomparable: \(comparable)"
        return text
    }
}
