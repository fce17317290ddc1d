// ReportCommand.swift - `mergeset-bench report`.

import ArgumentParser
import BenchHarness
import StorageFiles

struct Report: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Render finished runs again, one or several side by side.",
        discussion: """
            Everything is made from run.json and intervals.csv; nothing is measured. One run's files are written into its own
            directory unless --out names another. Several runs are printed side by side: figures that are not the same, and
            what the runs differ in; with --out as a page, too.

            Examples:
              mergeset-bench report bench-out/k8s-pods-m-20260131-123456
              mergeset-bench report A B --out side-by-side
              mergeset-bench report A --explain
            """)

    @Argument(help: "Run directories, or their run.json.")
    var runs: [String]
    @Option(help: "The directory to be made for the rendered files.")
    var out: String?
    @Flag(help: "Print every figure with its formula.")
    var explain = false

    func run() throws {
        try reporting {
            var request = ReportRequest()
            request.runs = runs
            request.out = out
            request.explains = explain
            try ReportDriver.run(request, files: RealFileSystem(), print: { StatusDisplay.writeOutput($0) })
        }
    }
}
