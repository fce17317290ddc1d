// OtherCommands.swift - `mergeset-bench micro`, `generate`, `list` and `describe`.

import ArgumentParser
import BenchHarness
import StorageFiles
import StorageRuntime
import Workloads

struct Micro: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a small benchmark of one operation.",
        discussion: """
            Cases are run in turn, repetition by repetition; printed are the best and the middle one in nanoseconds per
            operation, and exact counts. Results are digested and compared: faster cannot mean different.

            Examples:
              mergeset-bench micro --list
              mergeset-bench micro sort
              valgrind --tool=callgrind --instr-atstart=no mergeset-bench micro codec --only "encode, random" \
                --repetitions 1 --scale 0.1
              (valgrind may need a copy of the program without debug information: strip --strip-debug)
            """)

    @Argument(help: "Name of the benchmark.")
    var name: String?
    @Flag(help: "List the benchmarks.")
    var list = false
    @Option(help: "Repetitions of every case, after one that warms up.")
    var repetitions = 7
    @Option(help: "Root seed of the input.")
    var seed: UInt64 = 42
    @Option(help: "Part of the full input, more than 0 and at most 10.")
    var scale = 1.0
    @Option(help: "Only the cases whose name contains this.")
    var only: String?
    @Option(help: "Directory in which benchmarks that need a table make a temporary one.")
    var data = "."
    @Option(help: "text or json.")
    var format = RunRequest.Format.text

    func validate() throws {
        if !(1...1_000_000).contains(repetitions) {
            throw ValidationError("--repetitions \(repetitions): a number from 1 to 1000000 is needed.")
        }
        if !(scale > 0 && scale <= 10) {
            throw ValidationError("--scale \(scale): a number above 0 and up to 10 is needed.")
        }
        if name == nil && !list { throw ValidationError("Which one? See `mergeset-bench micro --list`.") }
    }

    func run() throws {
        guard let name, !list else {
            for benchmark in MicroBenchmark.all {
                StatusDisplay.writeOutput(TextFormat.left(benchmark.name, 10) + benchmark.summary + "\n")
            }
            return
        }
        try reporting {
            var options = MicroOptions()
            options.repetitions = repetitions
            options.seed = seed
            options.scale = scale
            options.only = only
            options.directory = data
            let results = try MicroRunner(MicroBenchmark.named(name), options).run()
            StatusDisplay.writeOutput(format == .json ? MicroReport.json(results) : MicroReport.text(results))
        }
    }
}

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write the rows of a profile, to feed any other engine the same stream.",
        discussion: """
            Examples:
              mergeset-bench generate k8s-pods --size s --format jsonl -o rows.jsonl
              mergeset-bench generate wide-labels --format exposition | head
            """)

    @Argument(help: "A profile or the path of one.")
    var profile: String
    @Option(help: "raw (length-prefixed binary), exposition (Prometheus text) or jsonl.")
    var format = StreamFormat.exposition
    @Option(name: .shortAndLong, help: "The file to be made. Default: standard output.")
    var output: String?
    @Option(help: "Size step: s, m or l.")
    var size = ProfileSize.m
    @Option(help: "Root seed of the stream.")
    var seed: UInt64 = 42
    @Option(name: .customLong("set"), help: "Override a field of the profile; repeatable.")
    var settings: [String] = []
    @Option(help: "For the profile replay: a page in the Prometheus or OpenMetrics text format.")
    var file: String?
    @Option(help: "Directory of the profiles.")
    var profiles: String?

    func run() throws {
        try reporting {
            let files = RealFileSystem()
            let overrides = settings + (file.map { ["page=" + $0] } ?? [])
            let loaded = try ProfileLoader.load(profile, given: profiles, size: size, overrides: overrides, files)
            let result = try StreamExport.write(loaded, seed: seed, format: format, to: output, files: files)
            StatusDisplay.writeError("\(result.rows) rows, \(result.bytes) bytes, digest \(result.digest)\n")
        }
    }
}

struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List profiles and workloads, figures, or settings.")

    @Flag(help: "List the figures with their formulas (the text of docs/figures.md).")
    var figures = false
    @Flag(help: "List what --set accepts.")
    var settings = false
    @Option(help: "Directory of the profiles.")
    var profiles: String?

    func run() throws {
        if figures { return StatusDisplay.writeOutput(FigureCatalogue.markdown()) }
        if settings {
            var text = "of the harness, the engine and its table:\n"
            for (key, meaning) in RunOptions.settableKeys { text += "  " + TextFormat.left(key, 32) + meaning + "\n" }
            text += "of profiles (Benchmarks/Profiles/README.md):\n"
            for key in Profile.settableKeys { text += "  \(key)\n" }
            return StatusDisplay.writeOutput(text + "of workloads of items:\n  items\n")
        }
        try reporting {
            let directory = try ProfileDirectory.find(given: profiles, RealFileSystem())
            var text = "profiles (\(directory)):\n"
            for listing in try Profile.list(directory) {
                text +=
                    "  " + TextFormat.left(listing.name, 18) + (listing.title ?? "UNUSABLE: \(listing.problem ?? "")")
                text += "\n"
            }
            text += "workloads of items (with :short or :long):\n"
            for kind in ItemWorkload.Kind.allCases { text += "  \(kind.rawValue)\n" }
            StatusDisplay.writeOutput(text)
        }
    }
}

struct Describe: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tell what a profile is, and where its numbers come from.")

    @Argument(help: "A profile or the path of one.")
    var profile: String
    @Option(help: "Size step: s, m or l.")
    var size = ProfileSize.m
    @Option(name: .customLong("set"), help: "Override a field of the profile; repeatable.")
    var settings: [String] = []
    @Option(help: "For the profile replay: a page in the Prometheus or OpenMetrics text format.")
    var file: String?
    @Option(help: "Directory of the profiles.")
    var profiles: String?
    @Flag(help: "Generate all rows and compare what they look like with what the profile says.")
    var observe = false
    @Option(help: "With --observe: root seed of the stream.")
    var seed: UInt64 = 42

    func run() throws {
        try reporting {
            let overrides = settings + (file.map { ["page=" + $0] } ?? [])
            let loaded = try ProfileLoader.load(
                profile, given: profiles, size: size, overrides: overrides, RealFileSystem())
            StatusDisplay.writeOutput(loaded.description + "\n")
            guard observe else { return }
            StatusDisplay.writeOutput("\n")
            try ProfileShape.check(loaded, seed: seed) { StatusDisplay.writeOutput($0) }
        }
    }
}
