// RunCommand.swift - `mergeset-bench run`.

import ArgumentParser
import BenchHarness
import Glibc
import StorageFiles
import StorageRuntime
import Workloads

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ingest a workload, wait for merges, search, check, report.",
        discussion: """
            Rows are prepared ahead of each round. Round by round they go through the engine,
            on a clock that follows them: the round in which all series are new, the others
            of the profile, then rounds of known series. Then: exact seeks in random order,
            the digest of the store, a scan, and a read-back of a sample; a wrong answer fails
            the run. --path items registers new series in a table, without the engine. The report goes to standard output;
            run.json, report.html, summary.md and the files for other tools (benchstat,
            HdrHistogram, promtool, CI) go to a directory that appears only when the run is
            complete. Figures and formulas: mergeset-bench list --figures

            Examples:
              mergeset-bench run                            k8s-pods, size m
              mergeset-bench run k8s-pods --set series=500000
              mergeset-bench run k8s-pods --set table.data_block_cache_bytes=16000000
              mergeset-bench run --size s --mode deterministic --format json --quiet
              mergeset-bench run replay --file metrics.txt --set targets=1000
              mergeset-bench run k8s-pods --rate 500000     open loop: rows are due at a rate
              mergeset-bench run k8s-pods --find-max-rate   the highest rate that is sustained
              mergeset-bench run node-steady --target rpc://127.0.0.1:8400 --rate 500000

            Deterministic mode: one thread, virtual clock; two runs of one binary and seed
            give the same files, counters and allocation counts.
            """)

    @Argument(help: "A profile, the path of a profile (*.yaml), or a workload of items; see `mergeset-bench list`.")
    var profile = "k8s-pods"
    @Option(
        help: "rows: through the whole engine. index: without its samples. items: index items of series into a table.")
    var path = RunPath.rows
    @Option(help: "Size step: s (seconds), m (10-60 s) or l.")
    var size = ProfileSize.m
    @Option(help: "live: real clocks and threads. deterministic: neither.")
    var mode = Environment.Mode.live
    @Option(help: "Ingest threads in live mode; background work is extra. Default: one per core.")
    var threads: Int?
    @Option(help: "Root seed of the stream.")
    var seed: UInt64 = 42
    @Option(help: "Directory for the table: new, empty, or left by an earlier run. Default: inside the run directory.")
    var data: String?
    @Flag(help: "Keep the table when the run has ended.")
    var keep = false
    @Option(help: "The run directory to be made. Default: bench-out/PROFILE-SIZE-TIME.")
    var out: String?
    @Option(help: "What standard output gets: text (the report) or json (run.json).")
    var format = RunRequest.Format.text
    @Option(
        name: .customLong("set"),
        help: "Override a field of the profile or of the table; repeatable. `mergeset-bench list --settings`.")
    var settings: [String] = []
    @Option(help: "For the profile replay: a page in the Prometheus or OpenMetrics text format.")
    var file: String?
    @Option(help: "Directory of the profiles. Default: Benchmarks/Profiles here or above the program.")
    var profiles: String?
    @Flag(
        inversion: .prefixedNo,
        help: "At the end merge all parts into one and compare sizes and contents. Default: for size s.")
    var forceMerge: Bool?
    @Option(
        help: """
            Rows a second that are due, ready or not (open loop). Default: closed loop. The round in which all series are \
            new is always closed; with --target it holds for the known rows.
            """)
    var rate: Double?
    @Flag(help: "Look for the highest sustainable rate first, then run at it.")
    var findMaxRate = false
    @Option(help: "With --find-max-rate: p99 of a block from its intended start that is still sustained, milliseconds.")
    var maxP99Ms = 100.0
    @Option(help: "With --find-max-rate: seconds of arrivals in each trial.")
    var trialSeconds = 5.0
    @Flag(help: "Print every figure with its formula behind the report.")
    var explain = false
    @Option(help: "The part that a profiler counts: none, new (all series new) or known (all series known).")
    var profileRegion = ProfileRegion.none
    @Flag(name: .shortAndLong, help: "Tell nothing while it runs.")
    var quiet = false
    @OptionGroup(title: "Against a storage node") var load: LoadArguments

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads \(threads): a number from 1 to 1024 is needed.")
        }
        if let rate, !(rate >= 1 && rate <= 1e12) {
            throw ValidationError("--rate \(rate): a number of rows a second from 1 on is needed.")
        }
        if !(maxP99Ms > 0 && maxP99Ms <= 1e6) {
            throw ValidationError("--max-p99-ms \(maxP99Ms): a number above 0 is needed.")
        }
        if !(trialSeconds > 0 && trialSeconds <= 3600) {
            throw ValidationError("--trial-seconds \(trialSeconds): a number above 0 and up to 3600 is needed.")
        }
        if mode == .deterministic, let threads, threads != 1 {
            throw ValidationError("--mode deterministic runs on one thread; leave --threads out.")
        }
    }

    func run() throws {
        var request = RunRequest()
        request.profile = profile
        request.size = size
        request.settings = settings
        request.replayFile = file
        request.profiles = profiles
        request.out = out
        request.format = format
        request.options.mode = mode
        request.options.path = path
        request.options.profileRegion = profileRegion
        request.options.threads = threads ?? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        request.options.seed = seed
        request.options.data = data
        request.options.keepsData = keep
        request.options.forcesMerge = forceMerge ?? (size == .s)
        request.options.isQuiet = quiet
        request.options.rowsPerSecond = rate
        request.explains = explain
        if findMaxRate {
            var search = RateSearchRequest()
            search.limits.p99Ms = maxP99Ms
            search.trialSeconds = trialSeconds
            request.rateSearch = search
        }
        try reporting {
            if var options = load.options {
                options.seed = seed
                options.data = data
                options.rowsPerSecond = rate ?? 0
                let isQuiet = quiet
                return try LoadDriver.run(
                    request, options, files: RealFileSystem(), print: { StatusDisplay.writeOutput($0) },
                    tell: { if !isQuiet { StatusDisplay.writeError($0 + "\n") } })
            }
            try RunDriver.run(request, files: RealFileSystem(), print: { StatusDisplay.writeOutput($0) })
        }
    }
}
