// ReportDriver.swift - the command `report`: renders finished runs again, one by one or side by side. Nothing is measured; the
// stored files are not touched.

import StorageFiles
import StorageRuntime

/// What `report` was asked for.
public struct ReportRequest: Sendable {
    /// Run directories.
    public var runs: [String] = []
    /// The directory to be made; nil writes one run's files into its own directory, and makes no files for several.
    public var out: String?
    /// Whether every figure is printed with its formula.
    public var explains = false

    /// Nothing.
    public init() {}
}

/// The command `report`.
public enum ReportDriver {
    /// Renders.
    ///
    /// - Throws: `.badInput` for what is not a run directory; `.cannotCreate` for a directory that is not empty.
    public static func run(
        _ request: ReportRequest, files: any FileSystem, print: (String) -> Void
    ) throws(HarnessError) {
        var runs: [RunData] = []
        for path in request.runs { runs.append(try RunData.read(path, files)) }
        guard let first = runs.first else { throw HarnessError(.usage, "report needs a run directory") }
        distinguish(&runs)
        if runs.count == 1 {
            let out = try writeOne(first, request, files)
            print(Report.text(first.record) + (request.explains ? "\n" + Explanation.text(first.record) : ""))
            print("\nwritten to \(out): report.html, summary.md, bench.txt and the other rendered files\n")
            return
        }
        print(SideBySide.text(runs))
        if request.explains { print("\n" + Explanation.text(first.record)) }
        guard let out = request.out else {
            return print("\nwith --out DIRECTORY the same is written as a page: report.html, summary.md, bench.txt\n")
        }
        let directory = try RunDirectory(files: files, out: out, data: nil, keepsData: false)
        defer { directory.discard() }
        try directory.publish([
            ("report.html", Array(HTMLReport.page(runs).utf8)),
            ("summary.md", Array(SideBySide.markdown(runs).utf8)),
            ("bench.txt", Array(BenchText.text(runs.map(\.record)).utf8)),
        ])
        print("\nwritten to \(directory.outPath): report.html, summary.md, bench.txt\n")
    }

    private static func writeOne(
        _ run: RunData, _ request: ReportRequest, _ files: any FileSystem
    ) throws(HarnessError) -> String {
        let rendered = RunFiles.rendered(run)
        if let out = request.out {
            let directory = try RunDirectory(files: files, out: out, data: nil, keepsData: false)
            defer { directory.discard() }
            try directory.publish(rendered)
            return directory.outPath
        }
        var path = request.runs[0]
        if path.hasSuffix("run.json") { path = path == "run.json" ? "." : String(path.dropLast("/run.json".count)) }
        try HarnessError.wrapping("writing into \(path)") { () throws(StorageError) in
            // Each file is replaced in one step.
            for (name, bytes) in rendered {
                let fresh = path + "/" + name + ".new"
                try files.removeAll(fresh)
                try files.writeAtomically(bytes, to: fresh)
                try files.rename(fresh, to: path + "/" + name)
            }
            try files.sync(path)
        }
        return path
    }

    /// Gives runs of the same name a number.
    private static func distinguish(_ runs: inout [RunData]) {
        var seen: [String: Int] = [:]
        for index in runs.indices {
            let name = runs[index].name
            seen[name, default: 0] += 1
            if let count = seen[name], count > 1 { runs[index].name = "\(name) (\(count))" }
        }
    }
}

/// `--explain`: every figure with its formula.
public enum Explanation {
    /// The text.
    public static func text(_ record: RunRecord) -> String {
        var text = ""
        for group in FigureCatalogue.groups {
            let present = group.figures.filter { record.figures[$0.name] != nil }
            guard !present.isEmpty else { continue }
            text += (text.isEmpty ? "" : "\n") + group.title + "\n"
            for figure in present {
                guard let value = record.figures[figure.name] else { continue }
                text += "  \(figure.name) = \(BenchText.number(value.value)) \(figure.unit)\n      \(figure.formula)\n"
            }
        }
        return text
    }
}

/// Several runs as text.
enum SideBySide {
    /// Columns for a terminal.
    static func text(_ runs: [RunData]) -> String {
        let table = rows(runs)
        let widths = (0..<(runs.count + 2)).map { column in table.map { $0[column].count }.max() ?? 0 }
        return table.map { row in
            var line = TextFormat.left(row[0], widths[0])
            for column in 1..<row.count { line += "  " + TextFormat.right(row[column], widths[column]) }
            return line + "\n"
        }.joined() + note(runs, "\n")
    }

    /// A table for the page of a CI job: the verdicts first, then what differs.
    static func markdown(_ runs: [RunData]) -> String {
        var text = "## \(runs.count) runs side by side\n\n"
        for run in runs {
            text += "- \(run.name): "
            text += verdict(run.record)
            text += "\n"
        }
        text += note(runs, "\n") + "\n"
        let table = rows(runs)
        for (index, row) in table.enumerated() {
            text += "| " + row.joined(separator: " | ") + " |\n"
            if index == 0 { text += "|--|" + String(repeating: "--:|", count: runs.count) + "--|\n" }
        }
        return text
    }

    private static func verdict(_ record: RunRecord) -> String {
        if record.observed.readBackMissing > 0 { return "**FAILED**" }
        if record.comparable { return "passed" }
        return "**not comparable**: " + record.notComparableBecause.joined(separator: "; ")
    }

    private static func note(_ runs: [RunData], _ before: String) -> String {
        let differing = HTMLReport.differences(runs)
        guard !differing.isEmpty else { return "" }
        return before + "These runs differ in: " + differing.joined(separator: "; ") + ".\n"
    }

    /// The names, then every figure that is not the same in all runs.
    private static func rows(_ runs: [RunData]) -> [[String]] {
        var table = [["figure"] + runs.map(\.name) + ["unit"]]
        for figure in FigureCatalogue.groups.flatMap(\.figures) {
            let values = runs.map { $0.record.figures[figure.name]?.value }
            guard Set(values.map { $0.map { TextFormat.short($0) } }).count > 1 else { continue }
            table.append([figure.name] + values.map { $0.map { TextFormat.short($0) } ?? "-" } + [figure.unit])
        }
        return table
    }
}
