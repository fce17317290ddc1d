// Profile.swift - a workload: which series exist, how they are named, when they are scraped, how they are replaced.
//
//   targets x groups x families        scraped every `interval`, `rounds` times, from `start` on
//   (pods)   (containers)  (metrics)
//
//   raw name = tenant | metric name + own labels of the family | tags of the target and its group
//
// The first part is the same for all targets and the second for all families of a group. That is how real scrapes are
// made (the exporter gives the first part, service discovery the second), and it makes names cheap to build.
//
// A profile is a YAML file (docs in Benchmarks/Profiles/README.md). Loading: file, then the values of the size step,
// then the user's overrides. A loaded profile is plain data; SeriesPlan makes it ready for generating.

import StorageRuntime

/// How large a run of a profile is.
public enum ProfileSize: String, Sendable, CaseIterable {
    /// 2-20 k series, fits callgrind.
    case s
    /// 10-60 s.
    case m
    /// As long as asked.
    case l
}

/// A validated workload profile.
public struct Profile: Sendable {
    /// What kind of numbers a family gives.
    public enum ValueKind: String, Sendable {
        /// Never falls.
        case counter
        /// Goes up and down.
        case gauge
        /// Whole numbers from 0 to 100 that wander: a few units a round at most.
        case percent
    }

    /// What a target sends at a visit.
    public struct Visit: Sendable {
        /// Rows of each series.
        public let rows: Int
        /// Time between them.
        public let stepMs: Int64
        /// Share of the rows behind the first that repeat the row before them: same timestamp, same value.
        public let duplicates: Double
        /// Whether the rounds go back in time: the first one is the latest.
        public let isBackward: Bool
    }

    /// Searches that run beside known rows, and the rows beside them.
    public struct Searches: Sendable {
        /// Searches a second, due whether the one before has ended or not.
        public let perSecond: Int
        /// Series of a search, drawn at random, and the time before now that it asks for.
        public let series: Int, windowMs: Int64
        /// Share of the searches that are wide; series and time of those.
        public let wideShare: Double, wideSeries: Int, wideWindowMs: Int64
        /// Rows that arrive beside them, as a share of what the machine can take.
        public let load: Double
        /// Seconds for which rows alone, searches alone, and both run.
        public let seconds: Double

        /// Searches of a number of series over the last five minutes, none of them wide; rows at half of what is possible.
        public init(perSecond: Int, series: Int) {
            self.init(
                perSecond: perSecond, series: series, windowMs: 300_000, wideShare: 0, wideSeries: series,
                wideWindowMs: 300_000, load: 0.5, seconds: 5)
        }

        init(
            perSecond: Int, series: Int, windowMs: Int64, wideShare: Double, wideSeries: Int, wideWindowMs: Int64,
            load: Double, seconds: Double
        ) {
            self.perSecond = perSecond
            self.series = series
            self.windowMs = windowMs
            self.wideShare = wideShare
            self.wideSeries = wideSeries
            self.wideWindowMs = wideWindowMs
            self.load = load
            self.seconds = seconds
        }

        /// The same at another rate, or of another number of series.
        public func with(perSecond: Int?, series: Int?) -> Searches {
            Searches(
                perSecond: perSecond ?? self.perSecond, series: series ?? self.series, windowMs: windowMs,
                wideShare: wideShare, wideSeries: wideSeries, wideWindowMs: wideWindowMs, load: load, seconds: seconds)
        }
    }

    /// A metric name with the labels that the exporter gives it.
    public struct Family: Sendable {
        /// The metric name.
        public let name: String
        /// What kind of numbers it gives.
        public let kind: ValueKind
        /// Own labels and their values; every combination is one series.
        public let labels: [(key: String, values: [String])]
        /// Number of combinations.
        public var series: Int { labels.reduce(1) { $0 * $1.values.count } }
    }

    /// A label of the target or its group.
    public struct Tag: Sendable {
        /// The label's key.
        public let key: String
        /// The template of its value, as written in the profile.
        public let text: String
        let template: ValueTemplate
    }

    /// Tenants and how unevenly the targets are spread over them.
    public struct Tenants: Sendable {
        /// Number of tenants.
        public let count: Int
        /// Exponent of the Zipf distribution; 0 spreads evenly.
        public let zipf: Double
    }

    /// How the values behave.
    public struct Values: Sendable {
        /// Share of the counters that stand still.
        public let idleCounters: Double
        /// Share of the gauges that stand still.
        public let constantGauges: Double
    }

    /// The shape that a run must show to be comparable; nil bands are not checked.
    public struct Expectation: Sendable {
        /// Tags per series, the metric name not counted (mean).
        public var labels: ClosedRange<Double>?
        /// Bytes per raw name (mean).
        public var nameBytes: ClosedRange<Double>?
        /// New series / rows while targets are replaced, the first round left out.
        public var newPerRow: ClosedRange<Double>?
        /// Value bytes by label key (mean).
        public var valueBytes: [String: ClosedRange<Double>] = [:]
    }

    /// Short name: the file's name without its extension.
    public let name: String
    /// One line.
    public let title: String
    /// What it models.
    public let summary: String
    /// What it shows about the engine.
    public let shows: String
    /// Where its numbers come from.
    public let sources: [String]
    /// The size step it was loaded with.
    public let size: ProfileSize
    /// The overrides it was loaded with (`key=value`).
    public let overrides: [String]
    /// Virtual time of the first row, Unix milliseconds.
    public let startMs: Int64
    /// Time between two rows of a series.
    public let intervalMs: Int64
    /// How often every target is scraped.
    public let rounds: Int
    /// Time over which the targets of a round are spread: the interval unless the profile says otherwise.
    public let spreadMs: Int64
    /// Virtual times, since the start, at which the engine starts a new index table; ascending.
    public let rotateAtMs: [Int64]
    /// What a target sends at a visit: one row of each series unless the profile says otherwise.
    public let visit: Visit
    /// How long rows are kept; nil leaves the engine's default.
    public let retentionMs: Int64?
    /// Bytes of the TSID cache as a share of what the active series need; nil leaves the engine's default.
    public let tsidCacheShare: Double?
    /// Active series.
    public let series: Int
    /// Series of a target; the last target may have fewer.
    public let seriesPerTarget: Int
    /// Groups (containers) of a target.
    public let groups: Int
    /// Whether new series are also registered per day; off measures the global index alone.
    public let perDay: Bool
    /// Tenants.
    public let tenants: Tenants
    /// Labels of the targets, in the order of the raw name.
    public let tags: [Tag]
    /// Metric names and own labels; empty when ``page`` gives them.
    public let families: [Family]
    /// Exposition page whose series every target has.
    public let page: ReplayPage?
    /// Replacement of targets.
    public let churn: Churn
    /// Searches beside known rows; nil for profiles without.
    public let searches: Searches?
    /// Behaviour of the values.
    public let values: Values
    /// The configured shape.
    public let expect: Expectation

    /// Number of targets.
    public var targets: Int { (series + seriesPerTarget - 1) / seriesPerTarget }

    /// Rows of a round.
    public var roundRows: Int { series * visit.rows }

    /// Rows of the whole run.
    public var rows: Int { roundRows * rounds }

    /// Configured tags per series (mean), the metric name not counted.
    public var labelsPerSeries: Double {
        let perGroup = seriesPerTarget / groups
        var own = 0
        if let page {
            own = page.series.prefix(perGroup).reduce(0) { $0 + $1.labels.count }
        } else {
            var rest = perGroup
            for family in families {
                own += min(rest, family.series) * family.labels.count
                rest -= min(rest, family.series)
            }
        }
        return Double(tags.count) + Double(own) / Double(perGroup)
    }

    /// Configured new series / rows over a long time in which a share of the targets is replaced at each occasion.
    public var newPerRow: Double { churn.share * Double(intervalMs) / Double(churn.everyMs) }

    /// Several lines for people: what the profile is and where its numbers come from.
    public var description: String {
        var lines = ["\(name) (size \(size.rawValue)): \(title)", "  " + summary]
        func line(_ label: String, _ text: String) {
            lines.append("  " + label + String(repeating: " ", count: max(1, 11 - label.count)) + text)
        }
        line("shows", shows)
        let perGroup = seriesPerTarget / groups
        var text = "\(series) active in \(targets) targets of \(seriesPerTarget)"
        if groups > 1 { text += " (\(groups) groups of \(perGroup))" }
        line("series", text)
        line(
            "rows",
            "every \(TimeText.span(intervalMs)), \(rounds) rounds from \(TimeText.moment(startMs)): \(rows) rows")
        let own = page.map { "the series of \($0.path)" } ?? "\(families.count) metric names with own labels"
        line("names", own + ", then \(tags.count) tags: " + tagText)
        line("churn", churnText)
        if tenants.count > 1 { line("tenants", "\(tenants.count), Zipf exponent \(tenants.zipf)") }
        if !perDay { line("index", "global registration only") }
        if !rotateAtMs.isEmpty {
            line("rotation", "new index table after " + rotateAtMs.map(TimeText.span).joined(separator: ", "))
        }
        if visit.rows > 1 {
            line(
                "visit",
                "\(visit.rows) rows of each series, \(TimeText.span(visit.stepMs)) apart, "
                    + "\(Figures.short(visit.duplicates * 100)) % of them twice")
        }
        if visit.isBackward { line("order", "the latest round first") }
        if let retentionMs { line("retention", TimeText.span(retentionMs)) }
        if let searches { line("searches", searches.text) }
        if let tsidCacheShare { line("cache", "TSID cache of \(Figures.short(tsidCacheShare)) x the bytes needed") }
        if !overrides.isEmpty { line("overrides", overrides.joined(separator: " ")) }
        for (index, source) in sources.enumerated() { line(index == 0 ? "sources" : "", source) }
        return lines.joined(separator: "\n")
    }

    private var tagText: String {
        let shown = tags.prefix(14).map(\.key).joined(separator: ", ")
        return tags.count > 14 ? shown + ", ..." : shown
    }
}

extension Profile.Searches {
    /// What is asked for, in words.
    var text: String {
        var text = "\(perSecond) a second, of \(series) series over the last \(TimeText.span(windowMs))"
        if wideShare > 0 {
            text += "; \(Figures.short(wideShare * 100)) % of \(wideSeries) series over \(TimeText.span(wideWindowMs))"
        }
        return text + "; rows beside them at \(Figures.short(load)) of what is possible, \(Figures.short(seconds)) s"
    }
}

/// Numbers as text.
enum Figures {
    /// At most four decimals, without trailing zeros.
    static func short(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 1e14 else { return "\(value)" }
        let scaled = (value * 10_000).rounded()
        let whole = Int64(scaled / 10_000)
        var fraction = String(Int64(abs(scaled)) % 10_000)
        fraction = String(repeating: "0", count: 4 - fraction.count) + fraction
        while fraction.hasSuffix("0") { fraction.removeLast() }
        let sign = scaled < 0 && whole == 0 ? "-" : ""
        return fraction.isEmpty ? "\(whole)" : "\(sign)\(whole).\(fraction)"
    }
}
