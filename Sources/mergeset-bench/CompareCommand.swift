// CompareCommand.swift - `mergeset-bench compare`.

import ArgumentParser
import BenchHarness
import StorageFiles
import Workloads

struct CompareRuns: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Compare two runs, or two programs or git revisions.",
        discussion: """
            Two run directories: figures side by side, only what moved. Exact figures decide; times of
            single runs are shown when they moved by more than 10 %, and decide nothing. Runs of
            different machines, toolchains, profiles, sizes, settings or streams are refused.

            Two programs or revisions: built if need be, then one deterministic run each for the exact
            counters, and pairs of live runs in alternating order for the time, 10 to 40 of them.

            Examples:
              mergeset-bench compare bench-out/a bench-out/b
              mergeset-bench compare main HEAD --profile k8s-pods --size s
              mergeset-bench compare old/mergeset-bench .build/release/mergeset-bench --set known_rounds=50

            Exit codes: 0 nothing worse, 2 regression, 3 undecided figures moved, 4 improvements only,
            65 unreadable, 66 not comparable.
            """)

    @Argument(help: "A run directory, a program or a git revision.")
    var first: String
    @Argument(help: "The other side, of the same sort.")
    var second: String
    @Option(help: "Profile of the runs of programs.")
    var profile = "k8s-pods"
    @Option(help: "Size step of these runs.")
    var size = ProfileSize.s
    @Option(name: .customLong("set"), help: "Setting of these runs; repeatable.")
    var settings: [String] = []
    @Option(name: .customLong("figure"), help: "Figure that is timed, in place of CPU and rates; repeatable.")
    var figures: [String] = []
    @Option(help: "Most pairs of runs: 10, 20 or 40.")
    var pairs = 40
    @Option(help: "Directory of the profiles.")
    var profiles: String?
    @Flag(name: .shortAndLong, help: "Tell nothing while it runs.")
    var quiet = false

    func validate() throws {
        if ![10, 20, 40].contains(pairs) { throw ValidationError("--pairs \(pairs): 10, 20 or 40 is needed.") }
    }

    func run() throws {
        try reporting {
            var request = CompareRequest()
            request.first = first
            request.second = second
            request.profile = profile
            request.size = size.rawValue
            request.settings = settings
            request.profiles = profiles
            if !figures.isEmpty { request.figures = figures }
            request.looks = request.looks.filter { $0 <= pairs }
            let isQuiet = quiet
            let status = try Compare.run(
                request, files: RealFileSystem(), print: { StatusDisplay.writeOutput($0) },
                tell: { if !isQuiet { StatusDisplay.writeError($0 + "\n") } })
            if status != .pass { throw ExitCode(status.rawValue) }
        }
    }
}
