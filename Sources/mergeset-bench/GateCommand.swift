// GateCommand.swift - `mergeset-bench gate` and `mergeset-bench thresholds`.

import ArgumentParser
import BenchHarness
import StorageFiles
import Workloads

struct RunGate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gate",
        abstract: "Tell whether the program got worse: correctness, counters, instructions, time, trend.",
        discussion: """
            T0  the engine's answers and what it stores   T3  CPU and wall time, in pairs with a base
            T1  exact counters of deterministic runs      T4  changes of level in results/
            T2  instructions, counted by callgrind
            T0 to T2 compare with Benchmarks/Thresholds, or with --base. docs/gate.md tells more.

            Examples:
              mergeset-bench gate                       T0 to T2, all cases
              mergeset-bench gate k8s-pods --tiers t0,t1
              mergeset-bench gate --base main --tiers t3 --size s

            Exit codes: 0 pass, 2 regression, 3 inconclusive only, 4 improvements to lock in,
            65 unknown case or damaged file, 66 no thresholds for this toolchain or machine,
            69 a tool is missing, 70 the base gives wrong answers.
            """)

    @Argument(help: "Cases of Benchmarks/gate.json. Default: all.")
    var cases: [String] = []
    @Option(help: "Tiers, separated by commas: t0,t1,t2,t3,t4.")
    var tiers = "t0,t1,t2"
    @Option(help: "Program or git revision to compare with. Default: the thresholds.")
    var base: String?
    @Option(help: "Program or git revision under test. Default: this program.")
    var candidate: String?
    @Option(
        name: .customLong("candidate-env"), help: "KEY=VALUE in the environment of the candidate; repeatable.")
    var variables: [String] = []
    @Option(help: "Size step of the runs of T3, in place of that of the plan.")
    var size: ProfileSize?
    @Option(name: .customLong("set"), help: "Further setting of the runs of T3; repeatable.")
    var settings: [String] = []
    @Option(help: "Directory that gets gate.json and summary.md.")
    var out: String?
    @Option(help: "Directory of the profiles; the plan and the thresholds are beside it.")
    var profiles: String?
    @Option(help: "Directory of the history for T4. Default: results beside Benchmarks.")
    var results: String?
    @Flag(name: .shortAndLong, help: "Tell nothing while it runs.")
    var quiet = false

    func run() throws {
        try reporting {
            var request = GateRequest()
            request.cases = cases
            request.tiers = try GateCommandLine.tiers(tiers)
            request.base = base
            request.candidate = candidate
            request.candidateVariables = try GateCommandLine.variables(variables)
            request.pairedSize = size?.rawValue
            request.pairedSettings = settings
            request.out = out
            request.profiles = profiles
            request.results = results
            let isQuiet = quiet
            let gate = try Gate(
                request, files: RealFileSystem(), tell: { if !isQuiet { StatusDisplay.writeError($0 + "\n") } })
            let result = try gate.run()
            StatusDisplay.writeOutput(GateReport.text(result))
            if result.status != .pass { throw ExitCode(result.status.rawValue) }
        }
    }
}

/// Words of the command line.
enum GateCommandLine {
    static func tiers(_ text: String) throws(HarnessError) -> Set<GateTier> {
        var tiers: Set<GateTier> = []
        for word in text.split(separator: ",") {
            guard let tier = GateTier(rawValue: word.lowercased()) else {
                throw HarnessError(.usage, "--tiers \(text): '\(word)' is none of t0, t1, t2, t3, t4")
            }
            tiers.insert(tier)
        }
        guard !tiers.isEmpty else { throw HarnessError(.usage, "--tiers names no tier") }
        // There is no verdict about figures without one about correctness.
        if !tiers.isDisjoint(with: [.t1, .t2]) { tiers.insert(.t0) }
        return tiers
    }

    static func variables(_ texts: [String]) throws(HarnessError) -> [String: String] {
        var variables: [String: String] = [:]
        for text in texts {
            guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
                throw HarnessError(.usage, "--candidate-env \(text): KEY=VALUE is needed")
            }
            variables[String(text[..<equals])] = String(text[text.index(after: equals)...])
        }
        return variables
    }
}

struct ThresholdsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "thresholds", abstract: "Show or update the values that the gate holds.",
        subcommands: [Show.self, Update.self])

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the thresholds of this toolchain.")

        @Argument(help: "Cases of Benchmarks/gate.json. Default: all.")
        var cases: [String] = []
        @Option(help: "Directory of the profiles; the thresholds are beside it.")
        var profiles: String?

        func run() throws {
            try reporting {
                var request = GateRequest()
                request.profiles = profiles
                let gate = try Gate(request, files: RealFileSystem(), tell: { _ in })
                StatusDisplay.writeOutput(try gate.show(cases))
            }
        }
    }

    struct Update: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Measure, print old -> new, and make the values of now the thresholds.",
            discussion: """
                Examples:
                  mergeset-bench thresholds update --all --reason "merges write larger blocks"
                  mergeset-bench thresholds update k8s-pods --reason "names are interned"
                """)

        @Argument(help: "Cases of Benchmarks/gate.json.")
        var cases: [String] = []
        @Flag(help: "All cases.")
        var all = false
        @Option(help: "Why the values change; kept in the file.")
        var reason: String
        @Flag(inversion: .prefixedNo, help: "Whether instructions are counted, which needs valgrind.")
        var instructions = true
        @Option(help: "Program or git revision that is measured. Default: this program.")
        var candidate: String?
        @Option(help: "Directory of the profiles; the thresholds are beside it.")
        var profiles: String?

        func validate() throws {
            if cases.isEmpty != all { throw ValidationError("Name cases, or --all.") }
        }

        func run() throws {
            try reporting {
                var request = GateRequest()
                request.profiles = profiles
                request.candidate = candidate
                let gate = try Gate(
                    request, files: RealFileSystem(), tell: { StatusDisplay.writeError($0 + "\n") })
                StatusDisplay.writeOutput(
                    try gate.update(cases, reason: reason, countsInstructions: instructions))
            }
        }
    }
}

struct Rates: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "How often tier T3 of the gate errs on this machine, and whether exact figures repeat.",
        subcommands: [Record.self, Show.self, Repeat.self, RepeatText.self])

    struct Record: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Run one program again and again and keep its timings.")

        @Argument(help: "A profile.")
        var profile = "k8s-pods"
        @Option(help: "How often; a window of the rule takes 160 runs.")
        var runs = 480
        @Option(name: .shortAndLong, help: "The file to be made. Default: standard output.")
        var output: String?
        @Option(help: "Size step.")
        var size = ProfileSize.s
        @Option(name: .customLong("set"), help: "Setting of the runs; repeatable.")
        var settings: [String] = []
        @Option(help: "Program or git revision that is run. Default: this program.")
        var candidate: String?
        @Option(help: "Directory of the profiles.")
        var profiles: String?

        func validate() throws {
            if !(1...100_000).contains(runs) { throw ValidationError("--runs \(runs): 1 to 100000.") }
        }

        func run() throws {
            try reporting {
                var request = GateRequest()
                request.profiles = profiles
                request.candidate = candidate
                request.pairedSize = size.rawValue
                request.pairedSettings = settings
                let files = RealFileSystem()
                let gate = try Gate(request, files: files, tell: { StatusDisplay.writeError($0 + "\n") })
                let text = try gate.record(profile: profile, runs: runs)
                guard let output else { return StatusDisplay.writeOutput(text) }
                try files.replaceAtomically(Array(text.utf8), at: output)
            }
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Resample recorded timings: false alarms, and what slowdowns are found.")

        @Argument(help: "A file made by `rates record`.")
        var timings: String
        @Option(help: "text (a table in Markdown) or json.")
        var format = RunRequest.Format.text

        func run() throws {
            try reporting {
                let study = try RateStudy(try RecordedTimings.load(timings, RealFileSystem()))
                StatusDisplay.writeOutput(format == .json ? study.json() : study.markdown())
            }
        }
    }

    struct Repeat: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Run cases of the gate several times: are exact figures the same, how near are instructions?",
            discussion: "Exit codes: 0 when all repeat (instructions within 30 ppm), 2 when not.")

        @Argument(help: "Cases of Benchmarks/gate.json. Default: all.")
        var cases: [String] = []
        @Option(help: "Deterministic runs of each case.")
        var runs = 5
        @Option(help: "How often the instructions of each region are counted; 0 needs no valgrind.")
        var instructions = 5
        @Option(name: .shortAndLong, help: "The file that gets everything as JSON.")
        var output: String?
        @Option(help: "Program or git revision that is run. Default: this program.")
        var candidate: String?
        @Option(help: "Directory of the profiles.")
        var profiles: String?

        func validate() throws {
            if !(2...1000).contains(runs) { throw ValidationError("--runs \(runs): 2 to 1000.") }
            if instructions != 0, !(2...1000).contains(instructions) {
                throw ValidationError("--instructions \(instructions): 0, or 2 to 1000.")
            }
        }

        func run() throws {
            try reporting {
                var request = GateRequest()
                request.profiles = profiles
                request.candidate = candidate
                let files = RealFileSystem()
                let gate = try Gate(request, files: files, tell: { StatusDisplay.writeError($0 + "\n") })
                let study = try gate.repeatRuns(cases, runs: runs, instructions: instructions)
                if let output { try files.replaceAtomically(Array(study.json().utf8), at: output) }
                StatusDisplay.writeOutput(study.markdown())
                if !study.isRepeating { throw ExitCode(ExitStatus.regression.rawValue) }
            }
        }
    }

    struct RepeatText: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "repeat-text", abstract: "Show what `rates repeat` has found.")

        @Argument(help: "A file made by `rates repeat`.")
        var study: String

        func run() throws {
            try reporting {
                StatusDisplay.writeOutput(try RepeatStudy.load(study, RealFileSystem()).markdown())
            }
        }
    }
}
