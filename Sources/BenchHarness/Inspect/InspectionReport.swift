// InspectionReport.swift - the findings of `inspect` as a text of about 100 columns and as JSON.
//
// Order: what stands out, in sentences; then the tables behind them.

import FoundationEssentials
import StorageFiles

/// Prints findings.
public enum InspectionReport {
    /// The record as JSON with sorted keys and a line end.
    public static func json(_ record: InspectionRecord) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        guard let data = try? encoder.encode(record) else { return "{}\n" }  // numbers and strings: cannot fail
        return String(decoding: data, as: UTF8.self) + "\n"
    }

    /// The report for people.
    public static func text(_ record: InspectionRecord) -> String {
        var text = record.path + "\n"
        let total = Double(record.indexBytes + record.sampleBytes)
        if !record.indexTables.isEmpty, !record.partitions.isEmpty {
            text += "  \(bytes(record.indexBytes)) of index (\(percent(Double(record.indexBytes), total))), "
            text += "\(bytes(record.sampleBytes)) of samples\n"
        }
        for note in record.notes { text += "  note: \(note)\n" }
        for part in record.damaged { text += "  DAMAGED, left out: \(part.path)\n    \(part.reason)\n" }
        for table in record.indexTables { text += "\n" + self.text(table) }
        for partition in record.partitions { text += "\n" + self.text(partition) }
        return text
    }

    // MARK: index

    private static func text(_ table: IndexTableRecord) -> String {
        var text = (table.isSeriesIndex ? "index table " : "table of items ") + table.path + "\n"
        text += "  \(bytes(table.bytes)) in \(TextFormat.many(Double(table.parts.count), "part")), "
        text += "\(TextFormat.many(Double(table.blocks), "block")), \(TextFormat.many(Double(table.items), "item"))"
        text += ": \(TextFormat.short(Double(table.bytes) / Double(max(1, table.items)))) B/item"
        if table.series > 0 {
            text += ", \(TextFormat.count(Double(table.series))) series"
            text += ", \(TextFormat.short(Double(table.bytes) / Double(table.series))) B/series"
        }
        if table.tenants > 1 { text += ", \(TextFormat.many(Double(table.tenants), "tenant"))" }
        text += "\n"
        if table.pendingTransactions > 0 {
            text += "  \(TextFormat.many(Double(table.pendingTransactions), "transaction")) pending: the next open"
            text += " replaces some of these parts\n"
        }
        let reasons = InspectionAdvice.about(table)
        if !reasons.isEmpty { text += "\n  what stands out\n" + reasons.map { "  - \($0)\n" }.joined() }
        text += "\n" + namespaces(table)
        if !table.labels.isEmpty { text += "\n" + labels(table) + "\n" + values(table) }
        if !table.days.isEmpty { text += "\n" + days(table) }
        text += "\n  blocks     "
        text += "\(TextFormat.short(Double(table.items) / Double(max(1, table.blocks)))) items each; "
        text += "filled to a quarter \(table.blockFill[0]), half \(table.blockFill[1]), "
        text += "three quarters \(table.blockFill[2]), full \(table.blockFill[3]); uncompressed \(table.plainBlocks)\n"
        text +=
            "  coding     \(bytes(table.rawBytes)) of items, \(bytes(table.keptBytes)) without what each shares with the"
        text += " one before,\n             \(bytes(table.itemsFileBytes + table.lensFileBytes)) compressed, "
        text += "and \(bytes(table.headerFilesBytes)) to find the blocks (\(table.indexBlocks) index blocks)\n"
        if let merged = table.merged {
            text += "  twice      \(TextFormat.count(Double(table.duplicateItems))) items, "
            text += "\(bytes(table.duplicateBytes)) before coding\n"
            text += "  merged     \(outcome(merged, "item", of: table.bytes))\n"
        }
        text += "  parts      " + parts(table.parts, "item")
        return text
    }

    private static let kindNames = [
        "name -> series", "tag -> ids", "id -> series", "id -> name", "deleted ids", "day -> ids", "day, tag -> ids",
    ]

    private static func namespaces(_ table: IndexTableRecord) -> String {
        var text = row(["  rows", "items", "ids/row", "before", "stored", "B/item", "share"], kindWidths)
        for kind in table.namespaces {
            let first = kind.namespace < 7 ? "first byte 0\(kind.namespace)" : "any other first byte"
            let name =
                table.isSeriesIndex && kind.namespace < 7
                ? "ns\(kind.namespace) " + kindNames[kind.namespace] : first
            text += row(
                [
                    "  " + name, TextFormat.count(Double(kind.items)),
                    kind.ids > 0 ? TextFormat.short(Double(kind.ids) / Double(kind.items)) : "",
                    bytes(kind.rawBytes), bytes(kind.compressedBytes),
                    TextFormat.short(Double(kind.compressedBytes) / Double(kind.items)),
                    percent(Double(kind.compressedBytes), Double(table.bytes)),
                ], kindWidths)
        }
        return text
            + row(
                [
                    "      finding blocks", "", "", "", bytes(table.headerFilesBytes), "",
                    percent(Double(table.headerFilesBytes), Double(table.bytes)),
                ], kindWidths)
    }

    private static let kindWidths = [25, 12, 10, 11, 11, 9, 9]

    private static func labels(_ table: IndexTableRecord) -> String {
        let widths = [25, 10, 8, 10, 10, 10, 10, 10, 9]
        var text = row(
            ["  label", "stored", "share", "tag", "composite", "per day", "names", "values", "series"], widths)
        for label in table.labels {
            text += row(
                [
                    "  " + shortened(label.label, 22), bytes(label.compressedBytes),
                    percent(Double(label.compressedBytes), Double(table.bytes)), bytes(label.tagBytes),
                    bytes(label.compositeBytes), bytes(label.dayTagBytes + label.dayCompositeBytes),
                    bytes(label.nameBytes), TextFormat.count(Double(label.values)),
                    TextFormat.count(Double(label.series)),
                ], widths)
        }
        return text
    }

    private static func values(_ table: IndexTableRecord) -> String {
        var text = ""
        for label in table.labels.prefix(8) where !label.topValues.isEmpty {
            let list = label.topValues.prefix(5)
                .map { "\(shortened($0.value, 28)) \(TextFormat.count(Double($0.series)))" }.joined(separator: ", ")
            text += "  " + TextFormat.left(shortened(label.label, 22), 23) + list + "\n"
        }
        return text.isEmpty ? "" : "  values with the most series\n" + text
    }

    private static func days(_ table: IndexTableRecord) -> String {
        var text = ""
        let shown = 7
        if table.days.count > shown { text += "  (the last \(shown) of \(table.days.count) days)\n" }
        for day in table.days.suffix(shown) {
            let date = TextFormat.utc(unixSeconds: Int64(clamping: day.date % 100_000_000) * 86_400).prefix(10)
            text += "  \(date)   \(TextFormat.count(Double(day.series))) series, \(bytes(day.compressedBytes))"
            if day.series > 0 {
                text += ", \(TextFormat.short(Double(day.compressedBytes) / Double(day.series))) B for each"
            }
            text += "\n"
        }
        return text
    }

    // MARK: samples

    private static func text(_ partition: PartitionRecord) -> String {
        var text = "samples of \(partition.name)\n"
        text += "  \(bytes(partition.bytes)) in \(TextFormat.many(Double(partition.parts.count), "part")), "
        text += "\(TextFormat.many(Double(partition.blocks), "block")), "
        text +=
            "\(TextFormat.many(Double(partition.rows), "row")) of \(TextFormat.count(Double(partition.series))) series: "
        text += "\(TextFormat.short(partition.bytesPerSample)) B/row, "
        text += "\(TextFormat.short(Double(partition.rows) / Double(max(1, partition.blocks)))) rows/block\n"
        if partition.pendingTransactions > 0 {
            text += "  \(TextFormat.many(Double(partition.pendingTransactions), "transaction")) pending\n"
        }
        let first = TextFormat.utc(unixSeconds: partition.minTimestamp / 1000)
        text += "  time       \(first) to \(TextFormat.utc(unixSeconds: partition.maxTimestamp / 1000))\n"
        let total = Double(partition.bytes)
        func share(_ value: UInt64) -> String {
            let perRow = TextFormat.short(Double(value) / Double(max(1, partition.rows)))
            return "\(bytes(value)) (\(percent(Double(value), total)), \(perRow) B/row)"
        }
        text += "  bytes      values \(share(partition.valuesBytes)), timestamps \(share(partition.timestampsBytes)),\n"
        text += "             headers \(share(partition.headerFilesBytes))\n"
        text += "  blocks     with up to 64 rows \(partition.blockFill[0]), 1024 \(partition.blockFill[1]), "
        text += "8191 \(partition.blockFill[2]), full \(partition.blockFill[3]); "
        text += "sharing timestamps \(partition.blocksSharingTimestamps)\n"
        func types(_ counts: [String: UInt64]) -> String {
            counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.key) \($0.value)" }
                .joined(separator: ", ")
        }
        text += "  stored as  values: \(types(partition.valuesTypes))\n"
        text += "             timestamps: \(types(partition.timestampsTypes))\n"
        if let merged = partition.merged {
            text +=
                "  twice      \(TextFormat.count(Double(partition.duplicateRows))) rows in a millisecond that the series"
            text += " has another row in\n"
            text += "  merged     \(outcome(merged, "row", of: partition.bytes))\n"
        }
        text += "  parts      " + parts(partition.parts, "row")
        return text
    }

    // MARK: pieces

    private static func outcome(_ merged: MergeOutcome, _ noun: String, of bytes: UInt64) -> String {
        let size = "\(self.bytes(merged.bytes)) in \(TextFormat.many(Double(merged.blocks), "block")), "
        let entries = TextFormat.many(Double(merged.entries), noun)
        let change = percent(Double(abs(merged.savedBytes)), Double(bytes))
        if merged.savedBytes >= 0 {
            let saved = self.bytes(UInt64(merged.savedBytes))
            return "a forced merge leaves \(size)\(entries): saves \(saved) (\(change))"
        }
        return "a forced merge leaves \(size)\(entries): \(change) more than now"
    }

    private static func parts(_ parts: [PartLine], _ noun: String) -> String {
        let shown = 15
        let sorted = parts.sorted { ($1.bytes, $0.name) < ($0.bytes, $1.name) }
        var lines = sorted.prefix(shown).map {
            "\($0.name)   \(TextFormat.many(Double($0.entries), noun)), \(TextFormat.many(Double($0.blocks), "block")), "
                + bytes($0.bytes)
        }
        if sorted.count > shown { lines.append("and \(sorted.count - shown) more") }
        return lines.joined(separator: "\n             ") + "\n"
    }

    private static func row(_ cells: [String], _ widths: [Int]) -> String {
        var line = TextFormat.left(cells[0], widths[0])
        for (cell, width) in zip(cells, widths).dropFirst() { line += TextFormat.right(cell, width) }
        while line.last == " " { line.removeLast() }
        return line + "\n"
    }

    static func bytes(_ value: UInt64) -> String { TextFormat.bytes(Double(value)) }

    static func percent(_ part: Double, _ whole: Double) -> String {
        TextFormat.fixed(whole > 0 ? part / whole * 100 : 0, 1) + " %"
    }

    /// A text of at most `width` characters; the end of a longer one is replaced by two dots.
    static func shortened(_ text: String, _ width: Int) -> String {
        // Values are the user's: a control character must not reach the terminal.
        var clean = ""
        for scalar in text.unicodeScalars {
            clean.unicodeScalars.append(scalar.value < 0x20 || scalar.value == 0x7F ? "\u{FFFD}" : scalar)
        }
        return clean.count <= width ? clean : clean.prefix(width - 2) + ".."
    }
}
