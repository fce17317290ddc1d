// FlamegraphCommand.swift - `mergeset-bench flamegraph`: collapsed stacks as a table and a picture.

import ArgumentParser
import BenchHarness
import StorageBytes
import StorageFiles
import StorageRuntime

struct Flamegraph: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Draw collapsed stacks (lines `outer;inner 123`) as a flame graph, alone or against a base.",
        discussion: """
            Prints the functions with the largest weight of their own. The picture is one SVG file
            without scripts; the pointer over a frame shows its numbers. Scripts/profile makes the
            stacks, and calls this.

            Examples:
              mergeset-bench flamegraph cpu.folded -o cpu.svg
              mergeset-bench flamegraph new.folded --diff old.folded -o diff.svg
            """)

    @Argument(help: "The file of stacks.")
    var stacks: String
    @Option(name: .shortAndLong, help: "The picture to be made; an existing one is replaced. Default: none.")
    var output: String?
    @Option(help: "Stacks to compare with, of the same work.")
    var diff: String?
    @Option(help: "The line above the picture.")
    var title: String?
    @Option(help: "What the weights count.")
    var unit = "samples"
    @Option(help: "Functions in the table.")
    var top = 10

    func validate() throws {
        if !(0...10_000).contains(top) { throw ValidationError("--top \(top): a number from 0 to 10000 is needed.") }
    }

    func run() throws {
        try reporting {
            let files = RealFileSystem()
            var folded = FoldedStacks()
            try folded.read(stacks, files: files)
            if let diff { try folded.read(diff, asBase: true, files: files) }
            if top > 0 { StatusDisplay.writeOutput(folded.top(top)) }
            guard let output else { return }
            let picture = FlameGraph.svg(folded, title: title ?? stacks, unit: unit)
            do throws(StorageError) { try files.replaceAtomically(Array(picture.utf8), at: output) } catch {
                throw HarnessError(.cannotCreate, "cannot write the picture: \(error)")
            }
        }
    }
}
