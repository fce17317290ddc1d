// Report.swift - the report on standard output: one screen, 80 columns, made from the record alone.
//
// Each line begins with its subject in a column of twelve; figures that a run does not have are left out, and so are
// lines that have none.

/// Makes the text report of a record.
public enum Report {
    static let labelWidth = 12
    static let width = 80

    /// The report, with a line end behind every line.
    public static func text(_ record: RunRecord) -> String {
        let figures = FigureReader(record)
        var lines: [String] = []
        lines.append(head(record))
        lines.append("")
        add("stream", stream(record), to: &lines)
        add("rate", rate(record, figures), to: &lines)
        add("slow", slow(figures), to: &lines)
        add("cpu", cpu(record, figures), to: &lines)
        add("debt", debt(figures), to: &lines)
        add("amplified", amplification(figures), to: &lines)
        lines.append(contentsOf: namespaces(record))
        add("size", size(record, figures), to: &lines)
        add("samples", samples(figures), to: &lines)
        add("rows", rows(figures), to: &lines)
        add("restart", restart(figures), to: &lines)
        add("searches", searches(figures), to: &lines)
        add("seek", seek(figures), to: &lines)
        add("caches", rowCaches(figures) + caches(figures), to: &lines)
        add("labels", labels(record), to: &lines)
        add("scan", scan(figures), to: &lines)
        add("memory", memory(figures), to: &lines)
        add("yardsticks", yardsticks(figures), to: &lines)
        lines.append("")
        add("checks", checks(record), to: &lines)
        add("alerts", alerts(record), to: &lines)
        add("digests", digests(record), to: &lines)
        add(
            "comparable", [record.comparable ? "yes" : "NO: " + record.notComparableBecause.joined(separator: "; ")],
            to: &lines)
        return lines.map { $0 + "\n" }.joined()
    }

    // MARK: lines

    private static func head(_ record: RunRecord) -> String {
        var text = "\(record.profile)  size \(record.size)  \(record.mode)  seed \(record.seed)  "
        text += record.threads == 1 ? "1 thread" : "\(record.threads) threads"
        text += "  " + record.provenance.build
        for (key, value) in record.settings.sorted(by: { $0.key < $1.key }) { text += "  \(key)=\(value)" }
        return text
    }

    private static func stream(_ record: RunRecord) -> [String] {
        let observed = record.observed
        guard observed.kind != "items" else {
            return [
                TextFormat.count(observed.itemsTotal(record)) + " items of "
                    + TextFormat.fixed(observed.nameBytesMean, 1) + " B (at most \(observed.nameBytesMax))"
            ]
        }
        var texts: [String] = []
        if let rows = observed.rows, let active = observed.activeSeries {
            texts.append(TextFormat.count(Double(rows)) + " rows of " + TextFormat.count(Double(active)) + " series")
        }
        return texts + [
            TextFormat.count(Double(observed.series)) + " new series",
            TextFormat.fixed(observed.labelsMean, 1) + " labels",
            "raw name " + TextFormat.fixed(observed.nameBytesMean, 0) + " B",
            TextFormat.fixed(observed.itemsPerSeries, 1) + " items of "
                + TextFormat.bytes(observed.itemBytesPerSeries) + " each",
        ]
    }

    private static func rate(_ record: RunRecord, _ figures: FigureReader) -> [String] {
        [
            figures.text("rows_per_second") { TextFormat.count($0) + " rows/s" },
            figures.text("known_rows_per_second") { TextFormat.count($0) + " known rows/s" },
            figures.text("new_series_per_second") { TextFormat.count($0) + " new series/s" },
            figures.text("series_per_second") { TextFormat.count($0) + " series/s" },
            figures.text("items_per_second") { TextFormat.count($0) + " items/s" },
            figures.text("input_bytes_per_second") { TextFormat.bytes($0) + "/s of input" },
            figures.text("interval_rows_per_second_min") {
                "slowest interval " + TextFormat.count($0) + " \(record.observed.kind)/s"
            },
            figures.text("settled_series_per_second") { TextFormat.count($0) + " series/s with the debt" },
        ].compactMap { $0 }
    }

    private static func cpu(_ record: RunRecord, _ figures: FigureReader) -> [String] {
        [
            figures.text("cpu_us_per_new_series") { TextFormat.short($0) + " us/new series" },
            figures.text("cpu_us_per_known_row") { TextFormat.short($0) + " us/known row" },
            figures.text("cpu_us_per_new_day_row") { TextFormat.short($0) + " us/row of a new day" },
            figures.text("cpu_us_per_item") { TextFormat.short($0) + " us/item" },
            figures.text("ingest_cpu_us_per_new_series") { series in
                "ingest threads " + TextFormat.short(series) + " us/series"
                    + (figures["ingest_cpu_us_per_known_row"].map { ", " + TextFormat.short($0) + " us/row" } ?? "")
            },
            figures.text("cpu_system_seconds") { "system " + TextFormat.seconds($0) },
            figures.text("generator_cpu_us_per_series") { "generator (left out) " + TextFormat.short($0) + " us" },
        ].compactMap { $0 }
    }

    private static func slow(_ figures: FigureReader) -> [String] {
        let causes = [
            ("slow_inserts_new_series", "new"), ("slow_inserts_cache_miss", "cache miss"),
            ("slow_inserts_rotation", "rotation"),
        ].compactMap { name, text in
            figures[name].flatMap { $0 == 0 ? nil : "\(text) " + TextFormat.count($0) }
        }
        let dropped = FigureCatalogue.droppedRows.compactMap { name in
            figures[name].flatMap {
                $0 == 0 ? nil : TextFormat.count($0) + " " + name.split(separator: "_").joined(separator: " ")
            }
        }
        return [
            figures.text("slow_row_inserts") { slow in
                TextFormat.many(slow, "slow insert") + " (" + TextFormat.percent(figures["slow_row_inserts_ratio"] ?? 0)
                    + ")" + (causes.isEmpty ? "" : ": " + causes.joined(separator: ", "))
            },
            figures.text("per_day_inserts") { entries in
                TextFormat.count(entries) + " per-day entries, "
                    + TextFormat.count(figures["next_day_prefills"] ?? 0) + " ahead"
            },
        ].compactMap { $0 } + dropped
    }

    private static func debt(_ figures: FigureReader) -> [String] {
        [
            figures.text("ingest_seconds") { "ingest " + TextFormat.seconds($0) },
            figures.text("debt_seconds") { "then " + TextFormat.seconds($0) + " of flush and merges" },
            figures.text("stalls") { count in
                count == 0
                    ? "no stalls"
                    : TextFormat.many(count, "stall") + ", " + TextFormat.seconds(figures["stall_seconds"] ?? 0)
            },
            figures.text("close_seconds") { "close " + TextFormat.seconds($0) },
        ].compactMap { $0 }
    }

    private static func amplification(_ figures: FigureReader) -> [String] {
        [
            figures.text("item_merge_amplification_ratio") { TextFormat.short($0) + " items merged/added" },
            figures.text("write_amplification_ratio") { TextFormat.short($0) + " bytes written/normalised" },
            figures.text("write_amplification_over_flush_ratio") { TextFormat.short($0) + " bytes written/flushed" },
            figures.text("flushes") { flushes in
                TextFormat.many(flushes, "flush") + " " + TextFormat.bytes(figures["flushed_file_bytes"] ?? 0)
            },
            figures.text("merges") { merges in
                TextFormat.many(merges, "merge") + " " + TextFormat.bytes(figures["merged_file_bytes"] ?? 0)
            },
            figures.text("file_written_bytes") { "written " + TextFormat.bytes($0) },
            figures.text("kernel_written_bytes") { "kernel " + TextFormat.bytes($0) },
            figures.text("file_sync_calls") { TextFormat.many($0, "sync") },
        ].compactMap { $0 }
    }

    /// A small table: items and bytes written for each namespace.
    private static func namespaces(_ record: RunRecord) -> [String] {
        let present = FigureCatalogue.namespaces.filter { record.figure("flushed_items_" + $0) != nil }
        guard !present.isEmpty else { return [] }
        func row(_ title: String, _ cells: [String]) -> String {
            TextFormat.left("", labelWidth) + TextFormat.left(title, 13)
                + cells.map { TextFormat.right($0, 9) }.joined()
        }
        func cell(_ name: String, _ format: (Double) -> String) -> String { record.figure(name).map(format) ?? "-" }
        let isMerged = present.contains { (record.figure("merged_items_" + $0) ?? 0) > 0 }
        let flushed = [
            row("namespace", present),
            row("items flushed", present.map { cell("flushed_items_" + $0, TextFormat.count) }),
            row("bytes flushed", present.map { cell("flushed_item_bytes_" + $0, TextFormat.bytes) }),
        ]
        guard isMerged else { return flushed }
        return flushed + [
            row("items merged", present.map { cell("merged_items_" + $0, TextFormat.count) }),
            row("bytes merged", present.map { cell("merged_item_bytes_" + $0, TextFormat.bytes) }),
        ]
    }

    private static func size(_ record: RunRecord, _ figures: FigureReader) -> [String] {
        [
            figures.text("index_bytes") { TextFormat.bytes($0) },
            figures.text("index_bytes_per_series") { TextFormat.short($0) + " B/series" },
            figures.text("index_bytes_per_item") { TextFormat.short($0) + " B/item" },
            figures.text("parts") { parts in
                TextFormat.many(parts, "part") + " (at most " + TextFormat.count(figures["parts_max"] ?? parts) + ")"
            },
            figures.text("blocks") { TextFormat.many($0, "block") },
            figures.text("items_per_block") { TextFormat.short($0) + " items/block" },
            figures.text("forced_merge_size_ratio") { TextFormat.short($0) + " x the size after a forced merge" },
        ].compactMap { $0 }
    }

    private static func samples(_ figures: FigureReader) -> [String] {
        [
            figures.text("bytes_per_sample") { TextFormat.short($0) + " B/sample" },
            figures.text("sample_rows") { rows in
                TextFormat.count(rows) + " rows in " + TextFormat.bytes(figures["sample_bytes"] ?? 0)
            },
            figures.text("sample_parts_small") { small in
                TextFormat.count(small) + " small + " + TextFormat.count(figures["sample_parts_big"] ?? 0)
                    + " big parts (at most " + TextFormat.count(figures["sample_parts_max"] ?? 0) + ")"
            },
            figures.text("sample_partitions") { TextFormat.many($0, "partition") },
            figures.text("rows_per_sample_block") { TextFormat.short($0) + " rows/block" },
            figures.text("sample_stalls") { count in
                count == 0
                    ? "no stalls"
                    : TextFormat.many(count, "stall") + ", "
                        + TextFormat.seconds(figures["sample_stall_seconds"] ?? 0)
            },
        ].compactMap { $0 }
    }

    private static func rows(_ figures: FigureReader) -> [String] {
        [
            figures.text("row_merge_amplification_ratio") { TextFormat.short($0) + " rows merged/added" },
            figures.text("rows_flushed") { flushed in
                "flushed " + TextFormat.count(flushed) + ", merged small "
                    + TextFormat.count(figures["rows_merged_small"] ?? 0) + ", big "
                    + TextFormat.count(figures["rows_merged_big"] ?? 0)
            },
            figures.text("sample_write_amplification_ratio") { TextFormat.short($0) + " bytes written/flushed" },
            figures.text("sample_blocks_copied") { TextFormat.count($0) + " blocks copied" },
            figures.text("rows_read_per_second") { TextFormat.count($0) + " rows/s read back" },
            figures.text("sample_index_cache_hit_ratio") { "index blocks " + TextFormat.percent($0) + " hit" },
            figures.text("row_forced_merge_rows_per_second") { rate in
                "forced merge " + TextFormat.count(rate) + " rows/s, "
                    + TextFormat.short(figures["row_forced_merge_size_ratio"] ?? 0) + " x the size before"
            },
        ].compactMap { $0 }
    }

    private static func restart(_ figures: FigureReader) -> [String] {
        [
            figures.text("restart_warm_seconds") { "first row after " + TextFormat.seconds($0) + " with warm caches" },
            figures.text("restart_cold_seconds") { "after " + TextFormat.seconds($0) + " without" },
        ].compactMap { $0 }
    }

    private static func searches(_ figures: FigureReader) -> [String] {
        [
            figures.text("searches") { made in
                let due = figures["searches_due"] ?? made
                return TextFormat.many(made, "search") + (due > made ? " of \(TextFormat.grouped(due)) due" : "")
                    + " beside known rows"
            },
            figures.text("search_latency_ms_p50") { p50 in
                "p50 " + TextFormat.short(p50) + " ms"
                    + (figures["search_latency_ms_p99"].map { ", p99 " + TextFormat.short($0) + " ms" } ?? "")
            },
            figures.text("search_alone_latency_ms_p99") { "p99 alone " + TextFormat.short($0) + " ms" },
            figures.text("search_ingest_loss_ratio") { "ingestion lost " + TextFormat.percent($0) },
            figures.text("searched_offered_rows_per_second") { TextFormat.count($0) + " rows/s beside them" },
            figures.text("searched_insert_intended_p99_us") { p99 in
                "insert block p99 " + AxisText.latency(p99)
                    + (figures["paced_insert_intended_p99_us"].map { ", " + AxisText.latency($0) + " without searches" }
                        ?? "")
            },
            figures.text("searched_insert_intended_max_us") { "longest stall " + AxisText.latency($0) },
        ].compactMap { $0 }
    }

    private static func seek(_ figures: FigureReader) -> [String] {
        [
            figures.text("seek_us") { TextFormat.short($0) + " us/seek" },
            figures.text("seek_cpu_us") { TextFormat.short($0) + " us CPU" },
            figures.text("seeks") { TextFormat.count($0) + " exact seeks in random order" },
            figures.text("seeks_found_ratio") { TextFormat.percent($0) + " found" },
        ].compactMap { $0 }
    }

    private static func caches(_ figures: FigureReader) -> [String] {
        ["data", "index"].compactMap { cache in
            figures.text(cache + "_block_cache_hit_ratio") { ratio in
                let requests = figures[cache + "_block_cache_requests"] ?? 0
                let bytes = figures[cache + "_block_cache_bytes"] ?? 0
                return "\(cache) blocks " + TextFormat.percent(ratio) + " of " + TextFormat.count(requests) + " hit, "
                    + TextFormat.bytes(bytes)
            }
        }
    }

    private static func rowCaches(_ figures: FigureReader) -> [String] {
        [
            ("tsid_cache", "tsid"), ("hour_metric_ids", "hour"), ("date_metric_id_cache", "date"),
            ("metric_id_cache", "id"), ("metric_name_cache", "name"),
        ].compactMap { name, text in
            guard let requests = figures[name + "_requests"], requests > 0 else { return nil }
            return text + " " + TextFormat.percent(figures[name + "_hit_ratio"] ?? 0) + " of "
                + TextFormat.count(requests) + " (" + TextFormat.bytes(figures[name + "_bytes"] ?? 0) + ")"
        }
    }

    private static func labels(_ record: RunRecord) -> [String] {
        guard let labels = record.labels, !labels.isEmpty else { return [] }
        let shares = labels.prefix(6).map { $0.label + " " + TextFormat.fixed($0.share * 100, 0) + " %" }
        return ["bytes of tag rows: " + shares[0]] + shares.dropFirst()
    }

    private static func alerts(_ record: RunRecord) -> [String] {
        (record.alerts ?? []).map { "\($0.verdict) " + $0.rule + " " + TextFormat.short($0.value) }
    }

    private static func scan(_ figures: FigureReader) -> [String] {
        [
            figures.text("scan_ns_per_item") { TextFormat.short($0) + " ns/item" },
            figures.text("items_in_table") { TextFormat.count($0) + " items" },
            figures.text("normalised_items_in_table") { TextFormat.count($0) + " normalised" },
        ].compactMap { $0 }
    }

    private static func memory(_ figures: FigureReader) -> [String] {
        [
            figures.text("peak_memory_bytes") { "peak " + TextFormat.bytes($0) },
            figures.text("generator_mapped_bytes") { "generator (left out) " + TextFormat.bytes($0) },
            figures.text("peak_beside_caches_bytes") { "beside caches " + TextFormat.bytes($0) },
            figures.text("memory_runs_at_peak_bytes") { "in it runs " + TextFormat.bytes($0) },
            figures.text("memory_rows_at_peak_bytes") { "rows " + TextFormat.bytes($0) },
            figures.text("memory_kept_at_peak_bytes") { "kept " + TextFormat.bytes($0) },
            figures.text("heap_allocated_bytes") { "allocated " + TextFormat.bytes($0) },
            figures.text("heap_resident_bytes") { "resident " + TextFormat.bytes($0) },
            figures.text("heap_metadata_bytes") { "metadata " + TextFormat.bytes($0) },
            figures.text("heap_fragmentation_ratio") { "fragmentation " + TextFormat.percent($0) },
            figures.text("allocations_per_new_series") { TextFormat.short($0) + " allocations/series" },
            figures.text("allocations_per_known_row") { TextFormat.short($0) + " allocations/known row" },
        ].compactMap { $0 }
    }

    private static func yardsticks(_ figures: FigureReader) -> [String] {
        [
            figures.text("memcpy_bytes_per_second") { "memcpy " + TextFormat.bytes($0) + "/s" },
            figures.text("random_read_ns") { "random read " + TextFormat.short($0) + " ns" },
            figures.text("zstd_bytes_per_second") { rate in
                "zstd level " + TextFormat.fixed(figures["zstd_level"] ?? 0, 0) + " " + TextFormat.bytes(rate) + "/s, "
                    + TextFormat.short(figures["zstd_ratio"] ?? 0) + " : 1"
            },
            figures.text("plain_sort_ns_per_item") { "plain sort " + TextFormat.short($0) + " ns/item" },
            figures.text("item_sort_ns_per_item") { "item sort " + TextFormat.short($0) + " ns/item" },
        ].compactMap { $0 }
    }

    private static func checks(_ record: RunRecord) -> [String] {
        let observed = record.observed
        let found = observed.readBackItems - observed.readBackMissing
        let rows = observed.kind != "items" ? "\(observed.readBackSeries) series" : "\(observed.readBackSeries) rows"
        var texts = [
            "read back \(found) of \(observed.readBackItems) items of \(rows): "
                + (observed.readBackMissing == 0 ? "ok" : "\(observed.readBackMissing) MISSING OR WRONG")
        ]
        if let rows = observed.readBackRows, let series = observed.readBackRowsSeries {
            let wrong = observed.readBackRowsWrong ?? 0
            texts.append(
                TextFormat.count(Double(rows)) + " rows of " + TextFormat.count(Double(series)) + " series: "
                    + (wrong == 0 ? "ok" : "\(wrong) MISSING OR WRONG"))
        }
        return texts
    }

    private static func digests(_ record: RunRecord) -> [String] {
        var texts = ["stream \(record.observed.streamDigest)", "store \(record.observed.storeDigest)"]
        if let digest = record.observed.rowDigest { texts.append("rows \(digest)") }
        if let digest = record.observed.directoryDigest { texts.append("files \(digest)") }
        return texts
    }

    // MARK: layout

    /// Adds the texts, separated by commas and wrapped before the width is passed.
    private static func add(_ label: String, _ texts: [String], to lines: inout [String]) {
        guard !texts.isEmpty else { return }
        var line = TextFormat.left(label, labelWidth)
        var isFirst = true
        for text in texts {
            if !isFirst, line.count + 2 + text.count > width {
                lines.append(line + ",")
                line = TextFormat.left("", labelWidth)
                isFirst = true
            }
            line += (isFirst ? "" : ", ") + text
            isFirst = false
        }
        lines.append(line)
    }
}

/// Reads figures of a record and formats those that are there.
struct FigureReader {
    private let record: RunRecord

    init(_ record: RunRecord) { self.record = record }

    subscript(_ name: String) -> Double? { record.figure(name) }

    /// The text for a figure; nil when the run does not have it.
    func text(_ name: String, _ format: (Double) -> String) -> String? { record.figure(name).map(format) }
}

extension Observed {
    /// Items of a run of items.
    fileprivate func itemsTotal(_ record: RunRecord) -> Double { record.figure("normalised_items_added") ?? 0 }
}
