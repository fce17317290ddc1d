// PlotsCommand.swift - `mergeset-bench plots`: the pictures of results/; not listed in the help.

import ArgumentParser
import BenchHarness
import StorageFiles

struct Plots: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Draw the records of several profiles beside each other.", shouldDisplay: false)

    @Argument(help: "Run directories, one of each profile.")
    var runs: [String]
    @Option(name: .shortAndLong, help: "Directory of the pictures; those of the same name are replaced.")
    var output: String
    @Option(help: "A scaling.json of Scripts/scaling.")
    var scaling: String?

    func run() throws {
        try reporting {
            let names = try RecordPlots.write(runs, scaling: scaling, out: output, files: RealFileSystem())
            StatusDisplay.writeOutput(names.joined(separator: "\n") + "\n")
        }
    }
}
