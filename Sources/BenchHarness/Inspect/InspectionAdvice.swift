// InspectionAdvice.swift - the answer in sentences: what makes this index big, the largest reason first.
//
// A sentence appears only when its share of the table is worth a thought (5 % and more), so a healthy table has few.

/// Reasons for the size of a table.
enum InspectionAdvice {
    private static let shareMin = 0.05

    /// What stands out in a table of a series index.
    static func about(_ table: IndexTableRecord) -> [String] {
        guard table.isSeriesIndex, table.bytes > 0 else { return [] }
        let total = Double(table.bytes)
        var found: [(share: Double, text: String)] = []
        func add(_ bytes: Double, _ text: String) {
            if bytes / total >= shareMin { found.append((bytes / total, text)) }
        }
        let percent = { (bytes: Double) in InspectionReport.percent(bytes, total) }

        let dayBytes = Double(table.days.reduce(0) { $0 + $1.compressedBytes })
        let daySeries = table.days.reduce(0) { $0 + $1.series }
        if daySeries > 0 {
            add(
                dayBytes,
                "\(percent(dayBytes)) are entries of \(TextFormat.many(Double(table.days.count), "day")): each series costs "
                    + "\(TextFormat.short(dayBytes / Double(daySeries))) B on each day it has rows")
        }
        let nameBytes = Double(
            table.namespaces.filter { $0.namespace == 0 || $0.namespace == 3 }.reduce(0) { $0 + $1.compressedBytes })
        add(nameBytes, "\(percent(nameBytes)) are whole names, which are stored twice: name to series, id to name")
        if let label = table.labels.first(where: { $0.label != LabelAccounts.othersLabel }) {
            let bytes = Double(label.compressedBytes)
            var text = "\(percent(bytes)) belong to the label \(InspectionReport.shortened(label.label, 40))"
            if label.values > 0, label.series > 0 {
                let perValue = Double(label.series) / Double(label.values)
                text +=
                    perValue < 2
                    ? ", whose \(TextFormat.many(Double(label.values), "value")) mostly belong to one series each"
                    : ": \(TextFormat.many(Double(label.values), "value")), \(TextFormat.short(perValue)) series each"
            }
            add(bytes, text)
        }
        for label in table.labels.dropFirst()
        where label.label != LabelAccounts.othersLabel && label.values > 100 && label.series < 2 * label.values {
            add(
                Double(label.compressedBytes),
                "\(percent(Double(label.compressedBytes))) belong to \(InspectionReport.shortened(label.label, 40)): "
                    + "nearly each of its values is used by one series")
        }
        add(
            Double(table.headerFilesBytes),
            "\(percent(Double(table.headerFilesBytes))) only find blocks: long first items of small blocks")
        if let merged = table.merged, merged.savedBytes > 0 {
            add(
                Double(merged.savedBytes),
                "a forced merge would save \(percent(Double(merged.savedBytes))): rows of a tag united, prefixes shared once, compressed harder"
            )
        }
        if table.deletedSeries > 0, table.series > 0 {
            let share = Double(table.deletedSeries) / Double(table.series)
            add(
                total * min(1, share),
                "\(TextFormat.percent(min(1, share))) of the series are deleted; their rows go with the table at rotation"
            )
        }
        return found.sorted { $0.share > $1.share }.map(\.text)
    }
}
