// RateStudy.swift - how often T3 errs on this machine: one program, run again and again, and its timings resampled.
//
//   mergeset-bench rates record -o timings.json     the recorded series
//   mergeset-bench rates show timings.json          what the rule would have said about it (Statistics/Resampling)

import FoundationEssentials
import StorageFiles
import StorageRuntime

/// Timings of one program.
public struct RecordedTimings: Sendable, Codable {
    /// Version of the layout.
    public var schemaVersion = 1
    /// Where.
    public var provenance: Provenance
    /// What was run.
    public var profile: String, size: String, settings: [String]
    /// The figures of all runs, in order.
    public var figures: [String: [Double]]
    /// Figures of which more is better.
    public var higherIsBetter: [String]

    /// - Throws: `.badInput` for a damaged file, or one with values that are not above zero.
    public static func load(_ path: String, _ files: any FileSystem) throws(HarnessError) -> RecordedTimings {
        let timings: RecordedTimings = try GateJSON.read(path, "recorded timings", files)
        guard timings.schemaVersion == 1, timings.figures.values.allSatisfy({ $0.allSatisfy { $0 > 0 } }) else {
            throw HarnessError(.badInput, "\(path) is no record of timings, or one of another version")
        }
        return timings
    }
}

/// What the rule says about recorded timings.
public struct RateStudy: Sendable, Codable {
    /// A figure.
    public struct Figure: Sendable, Codable {
        /// Name, number of runs, standard deviation / mean, greatest / smallest.
        public var name: String, runs: Int, variation: Double, spread: Double
        /// The program against itself.
        public var same: VerdictRates
        /// The program against one that is slower by 3, 5, 10 and 20 %.
        public var slower: [String: VerdictRates]
        /// Alarms of the habits that the rule replaces, on the program against itself, with 10 runs a side.
        public var blockwiseUTest: Double, medianAboveFivePercent: Double
    }
    /// All figures.
    public var figures: [Figure]

    /// Judges recorded timings.
    ///
    /// - Throws: `.badInput` when there are too few runs for one window.
    public init(_ timings: RecordedTimings) throws(HarnessError) {
        let needed = 4 * PairedRule().pairsMax
        var figures: [Figure] = []
        for (name, values) in timings.figures.sorted(by: { $0.key < $1.key }) {
            guard values.count >= needed else {
                throw HarnessError(.badInput, "\(name) has \(values.count) runs; a window takes \(needed)")
            }
            // Rates are turned into times: worse is more everywhere.
            let values = timings.higherIsBetter.contains(name) ? values.map { 1 / $0 } : values
            let statistics = Statistics(values)
            let variance =
                values.reduce(0) { $0 + ($1 - statistics.mean) * ($1 - statistics.mean) } / Double(values.count)
            var slower: [String: VerdictRates] = [:]
            for percent in [3, 5, 10, 20] {
                slower["\(percent)"] = Resampling.rates(values, slowdown: 1 + Double(percent) / 100)
            }
            figures.append(
                Figure(
                    name: name, runs: values.count, variation: variance.squareRoot() / statistics.mean,
                    spread: statistics.max / statistics.min, same: Resampling.rates(values), slower: slower,
                    blockwiseUTest: Resampling.blockwiseUTestRate(values, size: 10),
                    medianAboveFivePercent: Resampling.medianRate(values, size: 10)))
        }
        self.figures = figures
    }

    /// A table in Markdown.
    public func markdown() -> String {
        var text = """
            | figure | runs | variation | max / min | windows | A/A failed | A/A inconclusive | A/A pairs | found at +3 % | +5 % | +10 % | +20 % | U test of blocks | median + 5 % |
            |--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|

            """
        for figure in figures {
            func share(_ count: Int, _ rates: VerdictRates) -> String {
                TextFormat.fixed(Double(count) / Double(max(1, rates.windows)) * 100, 1) + " %"
            }
            var cells = [
                figure.name, "\(figure.runs)", TextFormat.fixed(figure.variation * 100, 1) + " %",
                TextFormat.fixed(figure.spread, 2), "\(figure.same.windows)", share(figure.same.failed, figure.same),
                share(figure.same.inconclusive, figure.same), TextFormat.fixed(figure.same.pairsMean, 1),
            ]
            for percent in ["3", "5", "10", "20"] {
                let rates = figure.slower[percent] ?? VerdictRates()
                cells.append(share(rates.failed, rates))
            }
            cells += [figure.blockwiseUTest, figure.medianAboveFivePercent].map { TextFormat.fixed($0 * 100, 1) + " %" }
            text += "| " + cells.joined(separator: " | ") + " |\n"
        }
        return text
    }

    /// As JSON, one line.
    public func json() -> String { GateJSON.line(self) + "\n" }
}

extension Gate {
    /// Runs the candidate again and again and keeps its figures.
    ///
    /// - Parameters:
    ///   - profile: What is run, at ``GateRequest/pairedSize`` or s.
    ///   - runs: How often.
    public func record(profile: String, runs: Int) throws(HarnessError) -> String {
        let area = try WorkArea(files)
        let source = try ProgramSource.namedOrOwn(request.candidate, files)
        let program = try MeasuredProgram(
            "cand", program: try source.make("cand", in: area, tell: tell), profiles: profiles, in: area)
        let size = request.pairedSize ?? "s"
        let arguments =
            ["--size", size, "--no-force-merge", "--set", "yardsticks=false"]
            + request.pairedSettings.flatMap { ["--set", $0] }
        var timings = RecordedTimings(
            provenance: .atStart(), profile: profile, size: size, settings: request.pairedSettings, figures: [:],
            higherIsBetter: [])
        let start = WallClock.nanoseconds
        for run in 0..<runs {
            guard case .record(let record) = try program.run(profile, arguments) else {
                throw HarnessError(.checkFailed, "run \(run) of \(profile) gave a wrong answer")
            }
            for name in plan.paired.figures where plan.paired.floors[name] == nil {
                guard let figure = record.figures[name] else { continue }
                timings.figures[name, default: []].append(figure.value)
                if run == 0, figure.better == .higher { timings.higherIsBetter.append(name) }
            }
            if run % 50 == 49 { tell("\(run + 1) of \(runs) runs") }
        }
        timings.provenance.finish(startNanoseconds: start)
        return GateJSON.line(timings) + "\n"
    }
}
