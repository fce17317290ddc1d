// HTMLReport.swift - report.html: the verdict, the plots and every figure with its formula, for one run or several side by
// side. Made from stored data alone; the same data gives the same bytes.

import Mustache

/// Makes report.html.
enum HTMLReport {
    /// Widths of drawings: half of the page, the whole page, a phone.
    static let half = 520.0, full = 1080.0, phone = 350.0

    private static let template: MustacheTemplate = {
        // The template is a constant of this program; a test renders it.
        do { return try MustacheTemplate(string: HTMLTemplate.text) } catch { fatalError("report.html: \(error)") }
    }()

    /// The page of one run, or of several side by side; the first is what the others are compared with.
    static func page(_ runs: [RunData]) -> String {
        guard let first = runs.first else { return "" }
        let record = first.record
        let isOne = runs.count == 1
        var sections: [[String: Any]] = []
        for run in runs { sections += RunSections(run, of: runs.count).all() }
        if !isOne { sections.insert(comparison(runs), at: 0) }
        return template.render([
            "title": isOne
                ? "\(record.profile), size \(record.size), \(record.mode)" : "\(runs.count) runs side by side",
            "subtitle": isOne ? subtitle(record) : runs.map(\.name).joined(separator: "; "),
            "runs": runs.map { verdict($0, isOneOfSeveral: !isOne) },
            "tiles": isOne ? tiles(record) : [],
            "sections": sections,
            "groups": groups(runs),
            "footer": "Made by mergeset-bench from run.json and intervals.csv. Commit "
                + (record.provenance.commit ?? "unknown") + ".",
        ])
    }

    /// Where and by what a run was made, in one line.
    static func subtitle(_ record: RunRecord) -> String {
        let provenance = record.provenance
        var texts = [
            provenance.startedAt, provenance.cpu, "\(provenance.cores) processors", provenance.kernel,
            provenance.toolchain, provenance.build, provenance.allocator, "seed \(record.seed)",
            TextFormat.many(Double(record.threads), "thread"),
            "load \(TextFormat.fixed(provenance.loadAtStart, 2)) to \(TextFormat.fixed(provenance.loadAtEnd, 2))",
            "took " + TextFormat.seconds(provenance.durationSeconds),
        ]
        for (key, value) in record.settings.sorted(by: { $0.key < $1.key }) { texts.append("\(key)=\(value)") }
        return texts.joined(separator: " | ")
    }

    private static func verdict(_ run: RunData, isOneOfSeveral: Bool) -> [String: Any] {
        let record = run.record
        let observed = record.observed
        var badges: [[String: Any]] = []
        func badge(_ text: String, _ style: String) { badges.append(["text": text, "style": style]) }
        badge(record.comparable ? "comparable" : "not comparable", record.comparable ? "good" : "bad")
        badge(
            observed.readBackMissing == 0
                ? "\(observed.readBackItems) answers read back, all right"
                : "\(observed.readBackMissing) of \(observed.readBackItems) answers wrong",
            observed.readBackMissing == 0 ? "good" : "bad")
        for alert in record.alerts ?? [] {
            badge(
                "\(alert.verdict) \(alert.rule) \(TextFormat.short(alert.value)), "
                    + "limit \(TextFormat.short(alert.limit))",
                alert.verdict == "PASS" ? "good" : "warn")
        }
        if let search = record.rateSearch {
            badge(
                search.sustainedRowsPerSecond.map { "sustains " + TextFormat.count($0) + " rows/s" }
                    ?? "no sustainable rate found", search.sustainedRowsPerSecond == nil ? "bad" : "good")
        }
        return [
            "name": run.name, "isOneOfSeveral": isOneOfSeveral, "badges": badges,
            "reasons": record.notComparableBecause,
        ]
    }

    private static func tiles(_ record: RunRecord) -> [[String: Any]] {
        let wanted: [(String, String, (Double) -> String)] = [
            ("cpu_us_per_new_series", "CPU a new series", { TextFormat.short($0) + " us" }),
            ("cpu_us_per_known_row", "CPU a known row", { TextFormat.short($0) + " us" }),
            ("cpu_us_per_item", "CPU an item", { TextFormat.short($0) + " us" }),
            ("rows_per_second", "rows a second", TextFormat.count),
            ("new_series_per_second", "new series a second", TextFormat.count),
            ("known_rows_per_second", "known rows a second", TextFormat.count),
            ("later_insert_p99_us", "p99 of an insert block", AxisText.latency),
            ("index_bytes_per_series", "index bytes a series", { TextFormat.short($0) + " B" }),
            ("write_amplification_ratio", "bytes written / bytes of items", TextFormat.short),
            ("peak_memory_bytes", "peak memory", TextFormat.bytes),
            ("seek_us", "an exact seek", { TextFormat.short($0) + " us" }),
            ("harness_overhead_ratio", "of the CPU is the harness", TextFormat.percent),
        ]
        return wanted.compactMap { name, label, format in
            record.figure(name).map { ["value": format($0), "label": label] }
        }
    }

    // MARK: figures

    private static func groups(_ runs: [RunData]) -> [[String: Any]] {
        let isOne = runs.count == 1
        var columns = isOne ? ["value"] : runs.map(\.name)
        if runs.count == 2 { columns.append("second / first") }
        return FigureCatalogue.groups.compactMap { group in
            let rows: [[String: Any]] = group.figures.compactMap { definition in
                let values = runs.map { $0.record.figures[definition.name] }
                guard let some = values.compactMap({ $0 }).first else { return nil }
                var cells: [[String: Any]] = values.map { value in
                    [
                        "text": value.map { TextFormat.short($0.value) } ?? "-",
                        "exact": value.map { BenchText.number($0.value) } ?? "",
                    ]
                }
                if runs.count == 2 { cells.append(["text": ratio(values[0], values[1]), "exact": ""]) }
                return [
                    "name": definition.name, "formula": definition.formula, "values": cells, "unit": some.unit,
                    "better": ["higher": "up", "lower": "down"][some.better.rawValue] ?? "-",
                    "kind": some.kind.rawValue,
                ]
            }
            return rows.isEmpty ? nil : ["title": group.title, "columns": columns, "figures": rows]
        }
    }

    private static func ratio(_ first: FigureValue?, _ second: FigureValue?) -> String {
        guard let first, let second else { return "-" }
        if first.value == second.value { return "=" }
        return first.value == 0 ? "-" : TextFormat.fixed(second.value / first.value, 3)
    }

    // MARK: several runs

    private static func comparison(_ runs: [RunData]) -> [String: Any] {
        func bars(_ name: String, _ format: (Double) -> String) -> [String: Any]? {
            let bars = runs.enumerated().compactMap { index, run in
                run.record.figure(name).map {
                    BarPlot.Bar(name: run.name, value: $0, text: format($0), color: index % 6)
                }
            }
            guard bars.count > 1 else { return nil }
            return plot(name, [name]) { BarPlot(bars: bars).svg(width: $0, label: name) }
        }
        var plots = [
            bars("cpu_us_per_new_series") { TextFormat.short($0) + " us" },
            bars("cpu_us_per_known_row") { TextFormat.short($0) + " us" },
            bars("rows_per_second") { TextFormat.count($0) + "/s" },
            bars("index_bytes_per_series") { TextFormat.short($0) + " B" },
            bars("peak_memory_bytes", TextFormat.bytes),
            bars("max_sustainable_rows_per_second") { TextFormat.count($0) + "/s" },
        ].compactMap { $0 }
        let points = runs.enumerated().compactMap { index, run in
            run.record.figure("cpu_us_per_new_series").map {
                PointPlot.Point(
                    x: run.record.observed.nameBytesMean, y: $0, name: run.name, color: index % 6)
            }
        }
        if points.count > 1 {
            let drawing = PointPlot(
                points: points, xTitle: "bytes of a raw name (labels with their lengths)",
                yTitle: "us of CPU a new series")
            plots.append(
                plot("Cost of a new series against label bytes", ["cpu_us_per_new_series"]) {
                    drawing.svg(width: $0, label: "Cost of a new series against label bytes")
                })
        }
        let differing = differences(runs)
        return [
            "title": "Side by side",
            "text": differing.isEmpty
                ? ["Machine, toolchain, profile, size and stream are the same."]
                : ["These runs differ in: " + differing.joined(separator: "; ") + "."],
            "plots": plots,
        ]
    }

    /// What has to agree before figures are compared, and does not.
    static func differences(_ runs: [RunData]) -> [String] {
        let checks: [(String, (RunRecord) -> String)] = [
            ("profile", \.profile), ("size", \.size), ("mode", \.mode), ("seed", { "\($0.seed)" }),
            ("threads", { "\($0.threads)" }), ("settings", { "\($0.settings.sorted { $0.key < $1.key })" }),
            ("processor", \.provenance.cpu), ("toolchain", \.provenance.toolchain), ("build", \.provenance.build),
            ("allocator", \.provenance.allocator), ("stream", \.observed.streamDigest),
        ]
        return checks.compactMap { name, value in Set(runs.map { value($0.record) }).count > 1 ? name : nil }
    }

    /// A plot for the template: drawn for a laptop and for a phone, with the formulas of its figures.
    static func plot(
        _ title: String, _ figures: [String], isFull: Bool = false, note: String? = nil, _ draw: (Double) -> String
    ) -> [String: Any] {
        var plot: [String: Any] = [
            "title": title, "style": isFull ? "full" : "half", "wide": draw(isFull ? full : half),
            "narrow": draw(phone),
            "formulas": figures.compactMap { name in
                FigureCatalogue.definition(name).map { ["name": name, "formula": $0.formula] }
            },
        ]
        if let note, !note.isEmpty { plot["note"] = note }
        return plot
    }
}

extension AxisText {
    /// `130 us`, `2.45 ms`, three digits.
    static func latency(_ us: Double) -> String {
        if us >= 1e6 { return TextFormat.short(us / 1e6) + " s" }
        return us >= 1e3 ? TextFormat.short(us / 1e3) + " ms" : TextFormat.short(us) + " us"
    }
}
