// RunSections.swift - the sections of report.html that are about one run: what to draw, and from which figures.

/// Makes the sections of a run.
struct RunSections {
    let run: RunData
    /// Whether titles need the run's name.
    let isOneOfSeveral: Bool
    /// How many things are drawn of what there may be many of; pages of several runs stay small.
    private let detail: PlotDetail
    private var record: RunRecord { run.record }

    init(_ run: RunData, of count: Int) {
        self.run = run
        isOneOfSeveral = count > 1
        detail = PlotDetail(runs: count)
    }

    /// What the namespaces of the index hold.
    static let rowKinds = [
        "ns0": "ns0: name to TSID", "ns1": "ns1: tag to ids", "ns2": "ns2: id to TSID", "ns3": "ns3: id to name",
        "ns4": "ns4: deleted ids", "ns5": "ns5: day to ids", "ns6": "ns6: day and tag to ids", "other": "other items",
    ]

    /// All sections that the run has data for.
    func all() -> [[String: Any]] {
        [time(), latency(), searchLatency(), cost(), index(), limits(), rounds(), search(), about()].compactMap { $0 }
    }

    private func section(
        _ title: String, text: [String] = [], plots: [[String: Any]] = [], head: [String] = [], rows: [[String]] = []
    ) -> [String: Any]? {
        guard !plots.isEmpty || !rows.isEmpty || !text.isEmpty else { return nil }
        var section: [String: Any] = [
            "title": isOneOfSeveral ? "\(run.name): \(title)" : title, "text": text, "plots": plots,
        ]
        if !rows.isEmpty { section["table"] = ["head": head, "rows": rows.map { ["cells": $0] }] as [String: Any] }
        return section
    }

    // MARK: time

    private func time() -> [String: Any]? {
        let timeline = TimelinePlot(
            intervals: run.intervals, parts: record.parts ?? [], unit: record.observed.kind,
            detail: detail)
        guard !timeline.isEmpty else {
            return section("Over time", text: ["The run has no intervals: it was too short, or they were not kept."])
        }
        var plots = [
            HTMLReport.plot(
                "What happened when", ["interval_rows_per_second_min", "stalls"], isFull: true,
                note: "Bars: flushes in the first colour, merges in the second. Point at anything to see its numbers."
            ) { timeline.svg(width: $0) }
        ]
        if let parts = record.parts, !parts.isEmpty {
            let lineage = LineagePlot(
                parts: parts, end: max(run.intervals.last?.seconds ?? 0, parts.map(\.endSeconds).max() ?? 0),
                detail: detail)
            plots.append(
                HTMLReport.plot(
                    "Merge lineage", ["item_merge_amplification_ratio", "parts_max"], isFull: true,
                    note: "A bar is the life of a part, with its bytes; its colour says how often its items were "
                        + "merged (first colour: not yet). A line leads from a part to what it was merged into."
                        + lineage.note
                ) { lineage.svg(width: $0) })
        }
        return section("Over time", plots: plots)
    }

    // MARK: latency

    private func latency() -> [String: Any]? {
        let records = (record.latency ?? []).filter { !$0.isOfSearches }
        guard !records.isEmpty else { return nil }
        let head = ["phase", "blocks", "p50", "p90", "p99", "p99.9", "p99.99", "max", "mean"]
        let rows = records.map(RunSections.row)
        let isOpen = records.contains { $0.from == .intended }
        return section(
            "Latency of insert blocks",
            text: [
                isOpen
                    ? "Open loop: blocks were due at a fixed rate. From the intended start, waiting counts; from the actual start, it does not."
                    : "Closed loop: a block starts when the one before it has ended, so waiting does not show. With --rate it does."
            ],
            plots: [
                HTMLReport.plot(
                    "Latency by percentile", ["later_insert_p99_us", "later_insert_intended_p99_us"], isFull: true
                ) { LatencyPlot(records: records).svg(width: $0) }
            ], head: head, rows: rows)
    }

    private func searchLatency() -> [String: Any]? {
        let records = (record.latency ?? []).filter(\.isOfSearches)
        guard !records.isEmpty else { return nil }
        return section(
            "Latency of searches",
            text: [
                "Open loop: searches were due at a fixed rate, beside rows that were due at theirs and, for as long, alone."
            ],
            plots: [
                HTMLReport.plot(
                    "Searches by percentile", ["search_latency_ms_p99", "search_alone_latency_ms_p99"], isFull: true
                ) {
                    LatencyPlot(records: records, unit: "searches").svg(width: $0)
                }
            ], head: ["phase", "searches", "p50", "p90", "p99", "p99.9", "p99.99", "max", "mean"],
            rows: records.map(RunSections.row))
    }

    private static func row(_ latency: LatencyRecord) -> [String] {
        [latency.title, TextFormat.grouped(Double(latency.count))] + latency.percentiles.map { AxisText.latency($0.us) }
            + [AxisText.latency(latency.maxUs), AxisText.latency(latency.meanUs)]
    }

    // MARK: cost

    private func cost() -> [String: Any]? {
        var plots: [[String: Any]] = []
        if let labels = record.labels, !labels.isEmpty, let cpu = record.figure("cpu_us_per_new_series") {
            let points = labels.map {
                PointPlot.Point(x: $0.nameBytes, y: $0.share * cpu, name: $0.label, color: 0)
            }
            let drawing = PointPlot(
                points: points, xTitle: "bytes of key and value in the name, mean",
                yTitle: "us of CPU a new series, by bytes of tag rows")
            plots.append(
                HTMLReport.plot(
                    "Cost of a new series against label bytes", ["cpu_us_per_new_series"],
                    note: "A label's cost = cpu_us_per_new_series x bytes of its tag rows / bytes of all tag rows, in "
                        + "normalised form: an apportionment by bytes, not a measurement of the label. Labels with few "
                        + "different values cost less, since their rows are shared. "
                        + "All labels: \(TextFormat.short(cpu)) us for \(TextFormat.short(record.observed.nameBytesMean)) bytes of raw name."
                ) { drawing.svg(width: $0, label: "Cost of a new series against label bytes") })
        }
        var bars: [BarPlot.Bar] = []
        for (prefix, text) in [
            ("tsid_cache", "TSID cache (raw name)"), ("hour_metric_ids", "ids of the current hour"),
            ("date_metric_id_cache", "(day, id) cache"), ("metric_id_cache", "id to TSID cache"),
            ("metric_name_cache", "id to name cache"), ("data_block_cache", "data blocks, seek phase"),
            ("index_block_cache", "index blocks, seek phase"),
        ] {
            guard let requests = record.figure(prefix + "_requests"), requests > 0,
                let ratio = record.figure(prefix + "_hit_ratio")
            else { continue }
            let bytes = record.figure(prefix + "_bytes") ?? 0
            bars.append(
                BarPlot.Bar(
                    name: "\(text): \(TextFormat.count(requests)) lookups, \(TextFormat.bytes(bytes))", value: ratio,
                    text: TextFormat.percent(ratio), color: 3))
        }
        if !bars.isEmpty {
            plots.append(
                HTMLReport.plot("Cache hit ratios", ["tsid_cache_hit_ratio", "data_block_cache_hit_ratio"]) {
                    BarPlot(bars: bars, high: 1).svg(width: $0, label: "Cache hit ratios")
                })
        }
        return section("Cost and caches", plots: plots)
    }

    // MARK: index

    private func index() -> [String: Any]? {
        let present = FigureCatalogue.namespaces.filter { record.figure("flushed_item_bytes_" + $0) != nil }
        guard !present.isEmpty else { return nil }
        let series = max(1, record.figure("new_series") ?? Double(record.observed.series))
        func bars(_ work: String, _ color: Int) -> [BarPlot.Bar] {
            present.compactMap { namespace in
                guard let bytes = record.figure("\(work)_item_bytes_" + namespace), bytes > 0 else { return nil }
                let items = record.figure("\(work)_items_" + namespace) ?? 0
                return BarPlot.Bar(
                    name: (RunSections.rowKinds[namespace] ?? namespace)
                        + ", \(TextFormat.count(items)) items, \(TextFormat.short(bytes / series)) B a series",
                    value: bytes, text: TextFormat.bytes(bytes), color: color)
            }
        }
        let flushed = bars("flushed", 0)
        let merged = bars("merged", 1)
        var plots = [
            HTMLReport.plot(
                "Index bytes by row kind, as flushed", [],
                note: RunSections.bytesFormula("flushed", "flushes")
            ) { BarPlot(bars: flushed).svg(width: $0, label: "Index bytes by row kind, flushed") }
        ]
        if !merged.isEmpty {
            plots.append(
                HTMLReport.plot(
                    "Index bytes by row kind, written again by merges", [],
                    note: RunSections.bytesFormula("merged", "merges")
                ) { BarPlot(bars: merged).svg(width: $0, label: "Index bytes by row kind, merged") })
        }
        let head = ["label", "bytes in the name", "global rows", "rows of a day", "share", "different values / series"]
        let rows = (record.labels ?? []).map {
            [
                $0.label, TextFormat.short($0.nameBytes), TextFormat.short($0.globalBytes) + " B",
                TextFormat.short($0.perDayBytes) + " B", TextFormat.percent($0.share),
                TextFormat.short($0.distinctRatio),
            ]
        }
        return section("Index bytes", plots: plots, head: head, rows: rows)
    }

    private static func bytesFormula(_ figure: String, _ work: String) -> String {
        "\(figure)_item_bytes_ns0 ... ns6 = bytes of the items of a namespace written by \(work), before encoding."
    }

    // MARK: limits

    private func limits() -> [String: Any]? {
        let stages = StageLimits.all(record)
        guard !stages.isEmpty else { return nil }
        var plots: [[String: Any]] = []
        for stage in stages {
            let bars = stage.bars.enumerated().map { index, bar in
                BarPlot.Bar(
                    name: bar.name, value: bar.value, text: TextFormat.short(bar.value) + " " + stage.unit,
                    color: index == 0 ? 0 : 5)
            }
            plots.append(
                HTMLReport.plot(
                    stage.title, [], note: stage.bars.map { "\($0.name) = \($0.formula)" }.joined(separator: "; ")
                ) { BarPlot(bars: bars).svg(width: $0, label: stage.title) })
        }
        return section(
            "Limits",
            text: [
                "Each stage beside what the machine and the libraries need for the same work alone, measured in this run."
            ],
            plots: plots)
    }

    // MARK: rounds, search

    private func rounds() -> [String: Any]? {
        guard let rounds = record.rounds, rounds.count >= 3 else { return nil }
        let cpu = SeriesPlot(
            lines: [("us a row", rounds.map { (Double($0.firstRound), $0.cpuUsPerRow) })], xTitle: "round",
            yTitle: "us of CPU of the ingest threads, a row")
        func share(_ name: String, _ value: @escaping (RoundRecord) -> UInt64) -> (
            name: String, points: [(x: Double, y: Double)]
        ) {
            (name, rounds.map { (Double($0.firstRound), Double(value($0)) / Double(max(1, $0.rows)) * 100) })
        }
        let slow = SeriesPlot(
            lines: [
                share("new series", \.slowNewSeries), share("cache miss", \.slowCacheMiss),
                share("rotation", \.slowRotation),
            ], xTitle: "round", yTitle: "slow inserts, % of the rows", yFormat: { TextFormat.plain($0) + " %" })
        return section(
            "Round by round",
            plots: [
                HTMLReport.plot(
                    "CPU of a row", [], note: "CPU of the ingest threads in the round, by thread clock / its rows."
                ) {
                    cpu.svg(width: $0, label: "CPU of a row by round")
                },
                HTMLReport.plot("Slow inserts by cause", ["slow_row_inserts_ratio"]) {
                    slow.svg(width: $0, label: "Slow inserts by round and cause")
                },
            ])
    }

    private func search() -> [String: Any]? {
        guard let search = record.rateSearch else { return nil }
        let head = ["rows/s due", "rows/s taken", "p99", "pending", "parts", "backlog", "stalls", "verdict"]
        let rows = search.trials.map { trial in
            [
                trial.rowsPerSecond.map(TextFormat.count) ?? "closed loop",
                TextFormat.count(trial.achievedRowsPerSecond),
                trial.p99Ms.map { TextFormat.short($0) + " ms" } ?? "-", TextFormat.short(trial.pendingShare),
                TextFormat.short(trial.partsMax), TextFormat.short(trial.backlogSeconds) + " s",
                TextFormat.short(trial.stalls),
                RunSections.verdict(trial),
            ]
        }
        let points = search.trials.compactMap { trial in
            trial.rowsPerSecond.flatMap { rate in
                trial.p99Ms.map {
                    PointPlot.Point(
                        x: rate, y: $0, name: trial.violations.isEmpty ? "" : "not sustained",
                        color: trial.violations.isEmpty ? 3 : 1)
                }
            }
        }
        let drawing = PointPlot(
            points: points, xTitle: "rows a second that were due", yTitle: "p99 from the intended start, ms")
        return section(
            "Highest sustainable rate", text: [RunSections.text(search)],
            plots: points.isEmpty
                ? []
                : [
                    HTMLReport.plot("Trials", ["max_sustainable_rows_per_second"]) {
                        drawing.svg(width: $0, label: "Trials of the rate search")
                    }
                ], head: head, rows: rows)
    }

    private static func verdict(_ trial: RateTrial) -> String {
        if trial.rowsPerSecond == nil { return "" }
        return trial.violations.isEmpty ? "sustained" : trial.violations.joined(separator: "; ")
    }

    /// The result of a search in a sentence.
    static func text(_ search: RateSearchRecord) -> String {
        let end = search.endedBy.isEmpty ? "" : "; the search ended with " + search.endedBy.joined(separator: ", ")
        guard let rate = search.sustainedRowsPerSecond else { return "No rate was sustained" + end + "." }
        return TextFormat.count(rate) + " rows/s were sustained" + end + "."
    }

    // MARK: shape and configuration

    private func about() -> [String: Any]? {
        var rows = (record.shape ?? []).map {
            [$0.figure, $0.observed, $0.configured, $0.isWithin.map { $0 ? "ok" : "MISSED" } ?? ""]
        }
        let observed = record.observed
        rows += [
            ["stream digest", observed.streamDigest, "", ""], ["store digest", observed.storeDigest, "", ""],
            ["series", "\(observed.series)", "", ""],
            ["labels a series, the name included", TextFormat.fixed(observed.labelsMean, 2), "", ""],
            ["bytes of a raw name or item", TextFormat.fixed(observed.nameBytesMean, 1), "", ""],
            ["items a series", TextFormat.fixed(observed.itemsPerSeries, 2), "", ""],
        ]
        for (key, value) in (record.configuration ?? [:]).sorted(by: { $0.key < $1.key }) {
            rows.append([key, value, "", record.settings[key] == nil ? "" : "given"])
        }
        return section("Shape and configuration", head: ["what", "observed", "configured", ""], rows: rows)
    }
}
