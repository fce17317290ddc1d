// RepeatStudy.swift - do the figures that are called exact repeat, and how nearly do instructions: one program, several times.
//
//   mergeset-bench rates repeat --runs 5 -o repeat.json     every case of the gate, as the gate runs it
//   mergeset-bench rates repeat-text repeat.json            the same as a table
//
// The gate itself runs everything twice; here it is as often as asked, and nothing is compared with thresholds.

import StorageFiles
import StorageRuntime

/// How well the deterministic runs of one program repeat.
public struct RepeatStudy: Sendable, Codable, Equatable {
    /// Instructions of a region, run by run.
    public struct Instructions: Sendable, Codable, Equatable {
        /// Figure that they give, and their totals.
        public var figure: String, totals: [UInt64]

        /// Greatest less smallest, in millionths of the smallest.
        public var spreadPpm: Double {
            guard let least = totals.min(), let most = totals.max(), least > 0 else { return 0 }
            return Double(most - least) / Double(least) * 1e6
        }
    }

    /// A case of the gate.
    public struct Case: Sendable, Codable, Equatable {
        /// Its name.
        public var name: String
        /// Exact figures looked at, and those that were not the same in all runs.
        public var figures: Int, differing: [String]
        /// Different digests of the files of the storage; 1 when all runs wrote the same.
        public var directories: Int
        /// Instructions of its regions.
        public var instructions: [Instructions]
    }

    /// Version of the layout.
    public var schemaVersion = 1
    /// Where.
    public var provenance: Provenance
    /// Runs of each case.
    public var runs: Int
    /// All cases.
    public var cases: [Case]

    /// Most that instructions may differ between runs, millionths.
    public static let ppmMax = 30.0

    /// Whether everything repeats as it has to.
    public var isRepeating: Bool {
        cases.allSatisfy { entry in
            entry.differing.isEmpty && entry.directories == 1
                && entry.instructions.allSatisfy { $0.spreadPpm <= RepeatStudy.ppmMax }
        }
    }

    /// - Throws: `.badInput` for a damaged file.
    public static func load(_ path: String, _ files: any FileSystem) throws(HarnessError) -> RepeatStudy {
        let study: RepeatStudy = try GateJSON.read(path, "a study of repetitions", files)
        guard study.schemaVersion == 1 else { throw HarnessError(.badInput, "\(path) is of another version") }
        return study
    }

    /// As JSON, one line.
    public func json() -> String { GateJSON.line(self) + "\n" }

    /// A table in Markdown.
    public func markdown() -> String {
        let counts = cases.flatMap(\.instructions).map(\.totals.count).max() ?? 0
        var text = "| case | exact figures | not the same | files | instructions: spread of \(counts) counts, ppm |\n"
        text += "|--|--:|--|--|--|\n"
        for entry in cases {
            let counts = entry.instructions.map { "\($0.figure) " + TextFormat.fixed($0.spreadPpm, 2) }
            text += "| \(entry.name) | \(entry.figures) | "
            text += entry.differing.isEmpty ? "none" : entry.differing.joined(separator: ", ")
            text += " | " + (entry.directories == 1 ? "the same" : "\(entry.directories) different")
            text += " | " + (counts.isEmpty ? "-" : counts.joined(separator: ", ")) + " |\n"
        }
        return text
    }

    /// What several runs of a case have in common.
    static func compare(_ name: String, _ records: [RunRecord], _ instructions: [Instructions]) -> Case {
        var entry = Case(name: name, figures: 0, differing: [], directories: 0, instructions: instructions)
        entry.directories = Set(records.map(\.observed.directoryDigest)).count
        guard let first = records.first else { return entry }
        for (figure, value) in first.figures.sorted(by: { $0.key < $1.key }) where value.kind == .exact {
            entry.figures += 1
            if records.contains(where: { $0.figures[figure]?.value != value.value }) { entry.differing.append(figure) }
        }
        return entry
    }
}

extension Gate {
    /// Runs cases several times.
    ///
    /// - Parameters:
    ///   - names: Cases; none means all.
    ///   - runs: How often; at least 2.
    ///   - instructions: How often instructions are counted; 0 leaves them out.
    public func repeatRuns(_ names: [String], runs: Int, instructions: Int) throws(HarnessError) -> RepeatStudy {
        let cases = try plan.cases(named: names)
        let area = try WorkArea(files)
        if instructions > 0 { _ = try MeasuringEnvironment.valgrindVersion(in: area) }
        let source = try ProgramSource.namedOrOwn(request.candidate, files)
        let program = try MeasuredProgram(
            "cand", program: try source.make("cand", in: area, tell: tell), profiles: profiles, in: area)
        var study = RepeatStudy(provenance: .atStart(), runs: runs, cases: [])
        let start = WallClock.nanoseconds
        for plan in cases {
            var records: [RunRecord] = []
            for _ in 0..<runs {
                switch try program.run(plan.profile, CaseMeasurement.arguments(plan)) {
                case .wrong(let reason): throw HarnessError(.checkFailed, "\(plan.name): \(reason)")
                case .record(let record): records.append(record)
                }
            }
            var counted: [RepeatStudy.Instructions] = []
            for region in instructions > 0 ? plan.instructions : [] {
                var totals: [UInt64] = []
                for _ in 0..<instructions { totals.append(try program.instructions(region, plan).total) }
                counted.append(.init(figure: region.figure, totals: totals))
            }
            let entry = RepeatStudy.compare(plan.name, records, counted)
            study.cases.append(entry)
            tell("\(plan.name): \(entry.figures) exact figures, \(entry.differing.count) differ")
        }
        study.provenance.finish(startNanoseconds: start)
        return study
    }
}
