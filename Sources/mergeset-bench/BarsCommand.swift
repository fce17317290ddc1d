// BarsCommand.swift - `mergeset-bench bars`: the plot of Scripts/compare-peers; not listed in the help.

import ArgumentParser
import BenchHarness
import StorageFiles
import StorageRuntime

struct Bars: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Draw lines of panel, label and value, with tabs between them, as bars.", shouldDisplay: false)

    @Argument(help: "The file of lines.")
    var lines: String
    @Option(name: .shortAndLong, help: "The picture to be made; an existing one is replaced.")
    var output: String
    @Option(help: "The line above the picture.")
    var title: String

    func run() throws {
        try reporting {
            let files = RealFileSystem()
            let text: String
            do throws(StorageError) {
                text = String(decoding: try files.readAll(lines, limitBytes: 1 << 20).array(), as: UTF8.self)
            } catch { throw HarnessError(.badInput, "cannot read the lines: \(error)") }
            let picture = BarChart.svg(text, title: title)
            do throws(StorageError) { try files.replaceAtomically(Array(picture.utf8), at: output) } catch {
                throw HarnessError(.cannotCreate, "cannot write the picture: \(error)")
            }
        }
    }
}
