// StageLimits.swift - each stage beside a yardstick of the same run: what sorting, compressing, copying and random reads alone
// would take for the same work. The yardsticks were measured on a sample of the same items.

/// A stage and what it is compared with.
struct StageLimits {
    /// One bar: what was measured, or what a yardstick gives.
    struct Bar {
        var name: String
        var value: Double
        var formula: String
    }

    var title: String
    var unit: String
    var bars: [Bar]

    /// The stages that a record has figures for.
    static func all(_ record: RunRecord) -> [StageLimits] {
        [newSeries(record), sort(record), seek(record), scan(record)].compactMap { $0 }
    }

    private static func newSeries(_ record: RunRecord) -> StageLimits? {
        guard let cpu = record.figure("cpu_us_per_new_series") else { return nil }
        let series = record.figure("new_series") ?? Double(record.observed.series)
        guard series > 0 else { return nil }
        var bars = [Bar(name: "whole path", value: cpu, formula: "cpu_us_per_new_series")]
        let items = FigureCatalogue.namespaces.reduce(0.0) {
            $0 + (record.figure("flushed_item_bytes_" + $1) ?? 0) + (record.figure("merged_item_bytes_" + $1) ?? 0)
        }
        if let rate = record.figure("zstd_bytes_per_second"), rate > 0, items > 0 {
            bars.append(
                Bar(
                    name: "zstd alone", value: items / rate / series * 1e6,
                    formula: "sum of flushed_item_bytes and merged_item_bytes / zstd_bytes_per_second / new series"))
        }
        if let each = record.figure("plain_sort_ns_per_item"), let added = record.figure("items_added") {
            bars.append(
                Bar(
                    name: "a plain sort of the items", value: added * each / series / 1000,
                    formula: "items_added x plain_sort_ns_per_item / new series"))
        }
        if let rate = record.figure("memcpy_bytes_per_second"), rate > 0,
            let bytes = record.figure("normalised_bytes_added")
        {
            bars.append(
                Bar(
                    name: "memcpy of the normalised items", value: bytes / rate / series * 1e6,
                    formula: "normalised_bytes_added / memcpy_bytes_per_second / new series"))
        }
        return bars.count > 1 ? StageLimits(title: "A new series", unit: "us", bars: bars) : nil
    }

    private static func sort(_ record: RunRecord) -> StageLimits? {
        guard let ours = record.figure("item_sort_ns_per_item"), let plain = record.figure("plain_sort_ns_per_item")
        else { return nil }
        return StageLimits(
            title: "Sorting an item", unit: "ns",
            bars: [
                Bar(name: "the engine's sort", value: ours, formula: "item_sort_ns_per_item"),
                Bar(name: "the standard library's sort", value: plain, formula: "plain_sort_ns_per_item"),
            ])
    }

    private static func seek(_ record: RunRecord) -> StageLimits? {
        guard let seek = record.figure("seek_cpu_us"), let read = record.figure("random_read_ns") else { return nil }
        let parts = record.figure("parts") ?? 1
        return StageLimits(
            title: "An exact seek", unit: "us",
            bars: [
                Bar(name: "a seek", value: seek, formula: "seek_cpu_us"),
                Bar(
                    name: "one random read in each part", value: read * parts / 1000,
                    formula: "random_read_ns x parts / 1000"),
            ])
    }

    private static func scan(_ record: RunRecord) -> StageLimits? {
        guard let scan = record.figure("scan_ns_per_item"), let rate = record.figure("memcpy_bytes_per_second"),
            rate > 0, let items = record.figure("items_in_table"), items > 0
        else { return nil }
        let bytes = FigureCatalogue.namespaces.reduce(0.0) { $0 + (record.figure("flushed_item_bytes_" + $1) ?? 0) }
        guard bytes > 0 else { return nil }
        return StageLimits(
            title: "Scanning an item", unit: "ns",
            bars: [
                Bar(name: "the scan", value: scan, formula: "scan_ns_per_item"),
                Bar(
                    name: "memcpy of its bytes", value: bytes / rate / items * 1e9,
                    formula: "sum of flushed_item_bytes / memcpy_bytes_per_second / items_in_table"),
            ])
    }
}
