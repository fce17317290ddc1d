// Profile+Decode.swift - from the merged tree to a checked profile: every key, its range and its default.

import StorageRuntime

extension Profile {
    /// The keys of a profile that `--set` takes, as dotted paths.
    public static let settableKeys = [
        "name", "title", "description", "shows", "sources", "start", "interval", "rounds", "spread", "series",
        "targets", "series_per_target", "groups", "per_day", "page", "tenants.count", "tenants.zipf", "labels", "tags",
        "filler.key", "filler.value", "families", "churn.rate", "churn.life", "churn.every", "churn.from",
        "churn.until", "churn.scrapes", "churn.deploys.services", "churn.deploys.every", "churn.deploys.share",
        "churn.deploys.step", "churn.deploys.burst", "churn.deploys.burst_at", "rotate_at", "cache.tsid_share",
        "visit.rows", "visit.step", "visit.duplicates", "visit.backward", "retention",
        "searches.rate", "searches.series", "searches.window", "searches.wide_share", "searches.wide_series",
        "searches.wide_window", "searches.load", "searches.seconds",
        "values.idle_counters", "values.constant_gauges", "expect.labels", "expect.name_bytes",
        "expect.new_per_row", "expect.value_bytes",
    ]

    static let seriesMax = 200_000_000
    static let ownSeriesMax = 1_000_000
    static let stringBytesMax = 65_535

    init(_ tree: ConfigTree, size: ProfileSize, overrides: [String]) throws(StorageError) {
        var reader = try MapReader(tree, prefix: "")
        self.size = size
        self.overrides = overrides
        name = try reader.value("name", nil, expected: "a name of the characters a-z, 0-9 and -") {
            !$0.isEmpty && $0.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D }
                ? $0 : nil
        }
        title = try reader.text("title")
        summary = try reader.text("description", "").split(whereSeparator: \.isNewline).joined(separator: " ")
        shows = try reader.text("shows", "")
        var sources = [String]()
        for source in try reader.list("sources") {
            guard case .scalar(let text) = source.content else {
                throw source.place.error("'sources': expected a list of texts, found \(source.kind)")
            }
            sources.append(text)
        }
        self.sources = sources
        startMs = try reader.value(
            "start", 1_640_995_800_000, expected: "a moment such as 2022-01-01T00:10:00Z", TimeText.parseMoment)
        intervalMs = try reader.span("interval", nil, in: 1...86_400_000)
        rounds = try reader.int("rounds", 4, in: 1...10_000_000)
        spreadMs = try reader.span("spread", intervalMs, in: 1...intervalMs)
        rotateAtMs = try reader.spans("rotate_at", in: 0...Profile.spanMax).sorted()
        if var inner = try reader.map("cache") {
            tsidCacheShare = try inner.number("tsid_share", nil, in: 0.01...100)
            try inner.finish()
        } else {
            tsidCacheShare = nil
        }
        visit = try Profile.readVisit(&reader)
        searches = try Profile.readSearches(&reader)
        let retention = try reader.span("retention", 0, in: 1...Profile.spanMax)
        retentionMs = retention > 0 ? retention : nil
        groups = try reader.int("groups", 1, in: 1...10_000)
        perDay = try reader.flag("per_day", true)
        let path = try reader.value("page", "", expected: "a path") { $0 }
        let pagePlace = reader.place
        if var inner = try reader.map("tenants") {
            tenants = Tenants(
                count: try inner.int("count", 1, in: 1...1_000_000), zipf: try inner.number("zipf", 0, in: 0...10))
            try inner.finish()
        } else {
            tenants = Tenants(count: 1, zipf: 0)
        }
        tags = try Profile.readTags(&reader)
        families = try Profile.readFamilies(&reader)
        guard families.isEmpty != path.isEmpty else {
            throw pagePlace.error(
                families.isEmpty
                    ? "the profile has no series: expected 'families' or a 'page' (an exposition file: --file FILE or "
                        + "--set page=FILE)"
                    : "'families' and 'page' exclude each other: expected one of them")
        }
        page = path.isEmpty ? nil : try ReplayPage(path: path)
        let ownSeries = page?.series.count ?? families.reduce(0) { $0 + $1.series }
        let seriesPerTarget = try reader.int("series_per_target", ownSeries * groups, in: 1...Profile.seriesMax)
        guard seriesPerTarget % groups == 0, seriesPerTarget <= ownSeries * groups else {
            throw reader.place.error(
                "'series_per_target': expected a multiple of \(groups) (groups) up to \(ownSeries * groups) (groups x "
                    + "own series), found \(seriesPerTarget)")
        }
        self.seriesPerTarget = seriesPerTarget
        series = try Profile.readSeries(&reader, seriesPerTarget)
        churn = try Profile.readChurn(&reader, intervalMs: intervalMs)
        if var inner = try reader.map("values") {
            values = Values(
                idleCounters: try inner.number("idle_counters", 0.3, in: 0...1),
                constantGauges: try inner.number("constant_gauges", 0.5, in: 0...1))
            try inner.finish()
        } else {
            values = Values(idleCounters: 0.3, constantGauges: 0.5)
        }
        var expect = Expectation()
        if var inner = try reader.map("expect") {
            expect.labels = try inner.band("labels")
            expect.nameBytes = try inner.band("name_bytes")
            expect.newPerRow = try inner.band("new_per_row")
            if var bytes = try inner.map("value_bytes") {
                for tag in tags { expect.valueBytes[tag.key] = try bytes.band(tag.key) }
                try bytes.finish()
            }
            try inner.finish()
        }
        self.expect = expect
        try reader.finish(valid: Profile.settableKeys)
        try checkIdentity(reader.place)
    }

    private static func readVisit(_ reader: inout MapReader) throws(StorageError) -> Visit {
        guard var inner = try reader.map("visit") else {
            return Visit(rows: 1, stepMs: 1, duplicates: 0, isBackward: false)
        }
        let visit = Visit(
            rows: try inner.int("rows", 1, in: 1...RowBatch.rowsDefault),
            stepMs: try inner.span("step", 1, in: 1...spanMax),
            duplicates: try inner.number("duplicates", 0, in: 0...1), isBackward: try inner.flag("backward", false))
        try inner.finish()
        return visit
    }

    private static func readSearches(_ reader: inout MapReader) throws(StorageError) -> Searches? {
        guard var inner = try reader.map("searches") else { return nil }
        let series = try inner.int("series", 100, in: 1...1_000_000)
        let windowMs = try inner.span("window", 300_000, in: 1000...spanMax)
        let searches = Searches(
            perSecond: try inner.int("rate", nil, in: 1...1_000_000), series: series, windowMs: windowMs,
            wideShare: try inner.number("wide_share", 0, in: 0...1),
            wideSeries: try inner.int("wide_series", series, in: 1...1_000_000),
            wideWindowMs: try inner.span("wide_window", windowMs, in: 1000...spanMax),
            load: try inner.number("load", 0.5, in: 0.01...1), seconds: try inner.number("seconds", 5, in: 0.1...86_400)
        )
        try inner.finish()
        return searches
    }

    private static func readSeries(_ reader: inout MapReader, _ perTarget: Int) throws(StorageError) -> Int {
        let place = reader.place
        let series = try reader.int("series", 0, in: 1...seriesMax)
        let targets = try reader.int("targets", 0, in: 1...seriesMax)
        guard (series == 0) != (targets == 0) else {
            throw place.error("expected one of 'series' and 'targets', found \(series == 0 ? "none" : "both")")
        }
        let (product, overflow) = targets.multipliedReportingOverflow(by: perTarget)
        guard !overflow, product <= seriesMax else {
            throw place.error("\(targets) targets of \(perTarget) series: expected at most \(seriesMax) series")
        }
        return series > 0 ? series : product
    }

    private static func readTags(_ reader: inout MapReader) throws(StorageError) -> [Tag] {
        var tags = [Tag]()
        for element in try reader.list("tags") {
            var inner = try MapReader(element, prefix: "tags.")
            let key = try inner.text("key")
            let place = element.place
            tags.append(try tag(key, try inner.text("value"), place))
            try inner.finish()
        }
        let filler = try reader.map("filler")
        let listed = tags.count
        let place = reader.place
        let count = try reader.int("labels", listed, in: 0...10_000)
        if count <= listed {
            tags.removeLast(listed - count)
        } else {
            guard var filler else {
                throw place.error(
                    "'labels': \(count) labels wanted, \(listed) listed under 'tags', and no 'filler' (key and value "
                        + "with {n}) to make the others")
            }
            let key = try filler.text("key")
            let value = try filler.text("value")
            for number in 0..<(count - listed) {
                guard let key = RepeatTemplate.expand(key, number), let value = RepeatTemplate.expand(value, number)
                else { throw filler.place.error("'filler': expected {n} or {n:width} as number placeholder") }
                tags.append(try tag(key, value, filler.place))
            }
            try filler.finish()
        }
        var seen = Set<String>()
        for tag in tags where !seen.insert(tag.key).inserted {
            throw place.error("the tag '\(tag.key)' is there twice: expected distinct keys")
        }
        return tags
    }

    private static func tag(_ key: String, _ value: String, _ place: ConfigPlace) throws(StorageError) -> Tag {
        guard key.utf8.count <= 256, ExpositionSyntax.isLabelName(key) else {
            throw place.error("the tag key '\(key)': expected a label name [a-zA-Z_][a-zA-Z0-9_]*, at most 256 bytes")
        }
        switch ValueTemplate.compile(value) {
        case .failure(let error): throw place.error("the value of tag '\(key)': expected \(error.expected)")
        case .success(let template):
            guard template.bytesMax <= stringBytesMax else {
                throw place.error("the value of tag '\(key)': expected at most \(stringBytesMax) bytes")
            }
            return Tag(key: key, text: value, template: template)
        }
    }

    private static func readFamilies(_ reader: inout MapReader) throws(StorageError) -> [Family] {
        var families = [Family]()
        var total = 0
        for element in try reader.list("families") {
            let place = element.place
            var name = ""
            var kindName = ""
            var repeats = 1
            var labels = [(key: String, values: [String])]()
            if case .scalar(let text) = element.content {
                name = text
            } else {
                var inner = try MapReader(element, prefix: "families.")
                name = try inner.text("name")
                kindName = try inner.value("type", "", expected: "counter, gauge or percent") {
                    ValueKind(rawValue: $0)?.rawValue
                }
                repeats = try inner.int("repeat", 1, in: 1...ownSeriesMax)
                if let map = inner.take("labels") {
                    guard case .map(let entries) = map.content else {
                        throw map.place.error("'families.labels': expected a map, found \(map.kind)")
                    }
                    var product = 1
                    for (key, value) in entries {
                        let values = try ownValues(key, value)
                        guard key.utf8.count <= 256, values.allSatisfy({ $0.utf8.count <= stringBytesMax }) else {
                            throw value.place.error(
                                "the own label '\(key.prefix(40))': expected a key of at most 256 bytes and values of at "
                                    + "most \(stringBytesMax)")
                        }
                        product = min(product * values.count, ownSeriesMax + 1)
                        // Checked label by label: the values of a long map must not pile up before they are refused.
                        guard product <= ownSeriesMax else { throw tooManySeries(place) }
                        labels.append((key, values))
                    }
                }
                try inner.finish()
            }
            for number in 0..<repeats {
                guard let expanded = RepeatTemplate.expand(name, number), ExpositionSyntax.isMetricName(expanded),
                    expanded.utf8.count <= stringBytesMax
                else {
                    throw place.error(
                        "'families.name': expected a metric name [a-zA-Z_:][a-zA-Z0-9_:]* (with {n} or {n:width} when "
                            + "repeated), found '\(name)'")
                }
                let kind = ValueKind(rawValue: kindName) ?? (looksLikeCounter(expanded) ? .counter : .gauge)
                let family = Family(name: expanded, kind: kind, labels: labels)
                total += family.series
                guard total <= ownSeriesMax else { throw tooManySeries(place) }
                families.append(family)
            }
        }
        var seen = Set<String>()
        for family in families where !seen.insert(family.name).inserted {
            throw reader.place.error("the metric name '\(family.name)' is there twice: expected distinct names")
        }
        return families
    }

    private static func tooManySeries(_ place: ConfigPlace) -> StorageError {
        place.error("more than \(ownSeriesMax) series per group: expected fewer label values")
    }

    /// Counters are recognised by the endings that exporters give them.
    static func looksLikeCounter(_ name: String) -> Bool {
        ["_total", "_count", "_sum", "_bucket"].contains { name.hasSuffix($0) }
    }

    private static func ownValues(_ key: String, _ tree: ConfigTree) throws(StorageError) -> [String] {
        guard ExpositionSyntax.isLabelName(key) else {
            throw tree.place.error("the own label '\(key)': expected a label name [a-zA-Z_][a-zA-Z0-9_]*")
        }
        let expected = "a count, a list of values or {value: text with {n}, count: number}"
        switch tree.content {
        case .scalar(let text):
            guard let count = Int(text) else { return [text] }
            guard (1...ownSeriesMax).contains(count) else { break }
            return (0..<count).map(String.init)
        case .list(let list):
            var values = [String]()
            for element in list {
                guard case .scalar(let text) = element.content, text.utf8.count <= stringBytesMax else {
                    throw element.place.error("the own label '\(key)': expected a text, found \(element.kind)")
                }
                values.append(text)
            }
            guard !values.isEmpty, Set(values).count == values.count else {
                throw tree.place.error("the own label '\(key)': expected distinct values, at least one")
            }
            return values
        case .map:
            var inner = try MapReader(tree, prefix: "families.labels.\(key).")
            let text = try inner.text("value")
            let count = try inner.int("count", nil, in: 1...ownSeriesMax)
            try inner.finish()
            var values = [String]()
            for number in 0..<count {
                guard let value = RepeatTemplate.expand(text, number) else { break }
                values.append(value)
            }
            guard values.count == count, Set(values).count == count else {
                throw tree.place.error("the own label '\(key)': expected {n} or {n:width} in the value")
            }
            return values
        }
        throw tree.place.error("the own label '\(key)': expected \(expected), found \(tree.kind)")
    }

    private static let spanMax: Int64 = 100 * 365 * 86_400_000

    private static func readChurn(
        _ reader: inout MapReader, intervalMs: Int64
    ) throws(StorageError) -> Churn {
        var churn = Churn(everyMs: intervalMs)
        guard var inner = try reader.map("churn") else { return churn }
        let rate = try inner.number("rate", -1, in: 0...1)
        let life = try inner.span("life", 0, in: 1...spanMax)
        guard rate < 0 || life == 0 else {
            throw inner.place.error("'churn': expected 'rate' (share of targets) or 'life' (mean time), found both")
        }
        let every = try inner.span("every", intervalMs, in: intervalMs...spanMax)
        churn.fromMs = try inner.span("from", 0, in: 0...spanMax)
        churn.untilMs = try inner.span("until", .max, in: 0...spanMax)
        if let band = try inner.band("scrapes") {
            guard band.lowerBound >= 1, band.upperBound <= 1000, band.lowerBound == band.lowerBound.rounded(),
                band.upperBound == band.upperBound.rounded()
            else { throw inner.place.error("'churn.scrapes': expected whole numbers [least, most] from 1 to 1000") }
            churn.scrapes = Int(band.lowerBound)...Int(band.upperBound)
        }
        if let map = try inner.map("deploys") { churn.deploys = try readDeploys(map) }
        try inner.finish()
        let isRate = rate > 0 || life > 0
        guard !(isRate && churn.scrapes != nil), !(isRate && churn.deploys != nil),
            churn.scrapes == nil || churn.deploys == nil
        else { throw inner.place.error("'churn': expected one of 'rate' or 'life', 'deploys', 'scrapes'") }
        if life > 0 {
            // Targets do not age: in each interval the same share of them ends.
            churn.share = 1 - Exponential.minus(Double(intervalMs) / Double(life))
            churn.lifeMs = life
        } else {
            churn.share = max(0, rate)
            churn.everyMs = every
        }
        return churn
    }

    private static func readDeploys(_ map: consuming MapReader) throws(StorageError) -> Deploys {
        var reader = map
        let expected = "a time of the day such as 18:00"
        let deploys = Deploys(
            services: try reader.int("services", nil, in: 1...1_000_000),
            everyMs: try reader.span("every", nil, in: 1000...86_400_000),
            share: try reader.number("share", 0.25, in: 0.001...1),
            stepMs: try reader.span("step", 30_000, in: 1...86_400_000),
            burst: try reader.int("burst", 1, in: 1...1_000_000),
            burstAtMs: try reader.value("burst_at", -1, expected: expected, TimeText.parseTimeOfDay))
        try reader.finish()
        guard deploys.burstAtMs == -1 else { return deploys }
        return Deploys(
            services: deploys.services, everyMs: deploys.everyMs, share: deploys.share, stepMs: deploys.stepMs,
            burst: deploys.burst, burstAtMs: nil)
    }

    /// Names must be unique: some tag has to tell the targets, their groups and their lives apart.
    private func checkIdentity(_ place: ConfigPlace) throws(StorageError) {
        if targets > 1, !tags.contains(where: { $0.template.distinguishesSlots }) {
            throw place.error("no tag tells the targets apart: expected {slot.num}, a uuid or {...hex:16} in a value")
        }
        if groups > 1, !tags.contains(where: { $0.template.distinguishesGroups }) {
            throw place.error("no tag tells the groups apart: expected {group.num} or {group.hex:16} in a value")
        }
        if churn.isActive, !tags.contains(where: { $0.template.distinguishesLives }) {
            throw place.error(
                "no tag tells a replaced target from the one before: expected {target.num}, {target.uuid} or "
                    + "{target.hex:16} in a value, or churn.rate=0")
        }
    }
}

/// The exponential function without the system's mathematics library, so that every machine gives the same bits.
enum Exponential {
    /// e to the power of `-x`, for `x >= 0`; relative error below 1e-14.
    static func minus(_ x: Double) -> Double {
        if x > 700 { return 0 }
        // e^-x = (e^-(x/2^k))^(2^k), with the inner exponent below 1/16.
        var halvings = 0
        var small = x
        while small > 0.0625 {
            small /= 2
            halvings += 1
        }
        var term = 1.0
        var sum = 1.0
        for step in 1...12 {
            term *= -small / Double(step)
            sum += term
        }
        for _ in 0..<halvings { sum *= sum }
        return sum
    }
}
