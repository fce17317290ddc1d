// MicroReport.swift - results of micro-benchmarks as a table and as JSON.

import FoundationEssentials

/// Prints results.
public enum MicroReport {
    /// A table of 80 columns or little more, a line for each case.
    public static func text(_ results: [MicroResult]) -> String {
        let nameWidth = max(4, results.map(\.name.count).max() ?? 0)
        func row(_ name: String, _ min: String, _ median: String, _ unit: String, _ counts: String) -> String {
            var line = TextFormat.left(name, nameWidth) + TextFormat.right(min, 11) + TextFormat.right(median, 11)
            line += "  " + TextFormat.left(unit, 8) + counts
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }
        var text = row("case", "min", "median", "ns per", "counts")
        for result in results {
            let counts = result.counts.sorted { $0.key < $1.key }
                .map { "\($0.key) \(TextFormat.grouped(Double($0.value)))" }.joined(separator: ", ")
            text += row(
                result.name, TextFormat.short(result.nanosecondsMin), TextFormat.short(result.nanosecondsMedian),
                result.unit, counts)
        }
        for budget in Set(results.compactMap(\.budget)).sorted() { text += budget + "\n" }
        return text
    }

    /// Reads what ``json(_:)`` has made.
    static func decode(_ json: [UInt8]) throws -> [MicroResult] {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode([MicroResult].self, from: Data(json))
    }

    /// An array of results, sorted keys, with a line end.
    public static func json(_ results: [MicroResult]) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        guard let data = try? encoder.encode(results) else { return "[]\n" }  // finite numbers and strings: cannot fail
        return String(decoding: data, as: UTF8.self) + "\n"
    }
}
