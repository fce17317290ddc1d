// Compare.swift - the command `compare`: two run directories, or two programs.
//
//   run directories   figures side by side; only exact ones decide (RunComparison)
//   programs          one deterministic run of each for the exact counters, then pairs of live runs for the time, by the
//                     rule of T3 without its second measurement (PairedBench)

import StorageFiles
import StorageRuntime
import Workloads

/// What `compare` was asked for.
public struct CompareRequest: Sendable {
    /// Both sides, as the user named them.
    public var first = "", second = ""
    /// Profile, size and settings of the runs of programs.
    public var profile = "k8s-pods", size = "m", settings: [String] = []
    /// Directory of the profiles.
    public var profiles: String?
    /// Figures that are timed.
    public var figures = [
        "cpu_us_per_new_series", "cpu_us_per_known_row", "settled_series_per_second", "known_rows_per_second",
    ]
    /// Pairs at which is looked at the figures.
    public var looks = PairedRule().looks

    /// The defaults.
    public init() {}
}

/// The command `compare`.
public enum Compare {
    /// Compares.
    ///
    /// - Parameters:
    ///   - print: Receives the result.
    ///   - tell: Receives what happens meanwhile.
    /// - Returns: `.pass`, `.regression`, `.inconclusive` or `.improvements`.
    /// - Throws: `.notComparable`, `.badInput` and whatever keeps a run from finishing.
    public static func run(
        _ request: CompareRequest, files: any FileSystem, print: (String) -> Void, tell: @escaping (String) -> Void
    ) throws(HarnessError) -> ExitStatus {
        let areRecords = [request.first, request.second].map { isRecord($0, files) }
        if areRecords == [true, true] {
            let comparison = try RunComparison(
                try RunReader.record(request.first, files), try RunReader.record(request.second, files))
            print(comparison.text(request.first, request.second))
            return comparison.status
        }
        if let other = areRecords.firstIndex(of: false), areRecords.contains(true) {
            _ = try ProgramSource.named([request.first, request.second][other], files)
            throw HarnessError(
                .usage, "one side is a run directory and the other is not; name two run directories or two programs")
        }
        let sources = (
            try ProgramSource.named(request.first, files), try ProgramSource.named(request.second, files)
        )
        // Building takes minutes: what would be found out only after it is looked at before.
        for figure in request.figures where FigureCatalogue.definition(figure) == nil {
            throw HarnessError(.badInput, "no figure '\(figure)'; see mergeset-bench list --figures")
        }
        let profiles = try ProfileDirectory.find(given: request.profiles, files)
        if sources.0.needsBuilding || sources.1.needsBuilding {
            var run = RunRequest()
            run.profile = request.profile
            run.size = ProfileSize(rawValue: request.size) ?? run.size
            run.settings = request.settings
            run.profiles = profiles
            _ = try RunDriver.Plan(&run, files)
        }
        let absolute: String
        do throws(StorageError) { absolute = try files.absolutePath(profiles) } catch {
            throw HarnessError(error, while: "looking for the profiles")
        }
        let area = try WorkArea(files)
        let base = try MeasuredProgram(
            "base", program: try sources.0.make("base", in: area, tell: tell), profiles: absolute, in: area)
        let candidate = try MeasuredProgram(
            "cand", program: try sources.1.make("cand", in: area, tell: tell), profiles: absolute, in: area)
        tell("exact counters of \(request.profile), size \(request.size)")
        let exact = try exactComparison(request, base, candidate)
        print(exact.text(sources.0.text, sources.1.text) + "\n")
        var rule = PairedRule()
        rule.looks = request.looks
        let timed = try timedFindings(
            request,
            PairedBench(
                base: base, candidate: candidate, control: nil, rule: rule, tell: tell))
        print(text(timed))
        return status(exact, timed)
    }

    private static func exactComparison(
        _ request: CompareRequest, _ base: MeasuredProgram, _ candidate: MeasuredProgram
    ) throws(HarnessError) -> RunComparison {
        let arguments =
            ["--size", request.size, "--mode", "deterministic", "--no-force-merge"] + GateSettings.deterministic
            + request.settings.flatMap { ["--set", $0] }
        var records: [RunRecord] = []
        for program in [base, candidate] {
            switch try program.run(request.profile, arguments) {
            case .wrong(let reason): throw HarnessError(.checkFailed, "\(program.side): \(reason)")
            case .record(var record):
                // Times of single runs say nothing; the pairs will.
                record.figures = record.figures.filter { $0.value.kind == .exact }
                records.append(record)
            }
        }
        return try RunComparison(records[0], records[1])
    }

    private static func timedFindings(
        _ request: CompareRequest, _ bench: PairedBench
    ) throws(HarnessError) -> [(figure: PairedFigure, ratio: PairedRatio)] {
        let plan = PairedPlan(
            profile: request.profile,
            arguments: ["--size", request.size, "--no-force-merge", "--set", "yardsticks=false"]
                + request.settings.flatMap { ["--set", $0] },
            figures: request.figures, controls: [], floors: [:])
        let outcome = try bench.measure(plan)
        if let failure = outcome.failure { throw HarnessError(.checkFailed, "second side: \(failure)") }
        guard outcome.missing.isEmpty else {
            throw HarnessError(
                .badInput,
                "runs of \(request.profile) have no figure \(outcome.missing.joined(separator: ", ")); see "
                    + "mergeset-bench list --figures")
        }
        return outcome.figures.map { ($0, $0.ratio(bench.rule)) }
    }

    private static func text(_ timed: [(figure: PairedFigure, ratio: PairedRatio)]) -> String {
        timed.map { "\($0.figure.name): \(word($0)), \(Gate.describe($0.ratio, $0.figure.pairs))\n" }.joined()
    }

    private static func word(_ timed: (figure: PairedFigure, ratio: PairedRatio)) -> String {
        switch timed.figure.verdict {
        case .candidate: "REGRESSION"
        case .inconclusive, .undecided: "inconclusive"
        case .pass: timed.ratio.upper < -PairedRule().failAbove ? "better" : "no difference that matters"
        }
    }

    private static func status(
        _ exact: RunComparison, _ timed: [(figure: PairedFigure, ratio: PairedRatio)]
    ) -> ExitStatus {
        let words = timed.map(word)
        if exact.status == .regression || words.contains("REGRESSION") { return .regression }
        if exact.status == .inconclusive || words.contains("inconclusive") { return .inconclusive }
        return exact.status == .improvements || words.contains("better") ? .improvements : .pass
    }

    /// Whether a name means a record: a directory, or a file that is not a program.
    private static func isRecord(_ name: String, _ files: any FileSystem) -> Bool {
        RunReader.isDirectory(name, files) || name.hasSuffix(".json")
    }
}
