// SoakCommand.swift - `mergeset-bench soak`.

import ArgumentParser
import BenchHarness
import StorageFiles
import Workloads

struct Soak: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Load a storage node, cut the connections all the time, then check what it has stored.",
        discussion: """
            The node may be stopped with SIGTERM and started again meanwhile. Ends with exit code 70
            when rows that were acknowledged are missing, or rows are there that cannot be.
            Scripts/soak starts a node, restarts it on the way, and runs this.
            """)

    @OptionGroup var node: NodeArguments
    @Option(help: "How long, in seconds.")
    var seconds = 60.0
    @Option(help: "Connections, each with a thread.")
    var connections = 8
    @Option(help: "Seed of rows and cuts.")
    var seed: UInt64 = 42

    func run() throws {
        let (address, http) = try node.addresses()
        try reporting {
            let profile = try ProfileLoader.load(
                node.profile, given: nil, size: .s, overrides: node.settings, RealFileSystem())
            let result = try SoakRun(
                address: address, http: http, seconds: seconds, threads: connections, seed: seed
            ).run(profile)
            StatusDisplay.writeOutput(
                """
                connections   \(result.connections), \(result.cuts) of them cut
                acknowledged  \(result.acknowledged) rows
                in doubt      \(result.inDoubt) rows
                cut           \(result.cut) rows
                stored        \(result.stored) rows: \(result.isGood ? "ok" : "WRONG")

                """)
            guard result.isGood else {
                throw HarnessError(
                    .checkFailed,
                    "\(result.stored) rows are stored, \(result.acknowledged) were acknowledged and \(result.inDoubt) are in "
                        + "doubt")
            }
        }
    }
}
