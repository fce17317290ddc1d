// Gate.swift - the command `gate`: the tiers in their order, and the result.
//
//   T0 T1 T2   case by case: the candidate against the thresholds in Benchmarks/Thresholds, or against a base program
//              that is measured in the same job
//   T3         a base program and the candidate in turn (GatePaired)
//   T4         the history in results/ (GateTrend)
//
// Mistakes of the user are found before anything is measured. Threads: one; the programs under test run beside it, one at
// a time.

import StorageFiles
import StorageRuntime

/// What `gate` was asked for.
public struct GateRequest: Sendable {
    /// Cases to look at; none means all.
    public var cases: [String] = []
    /// Tiers; T0 belongs to T1 and T2 and is always on for them.
    public var tiers: Set<GateTier> = [.t0, .t1, .t2]
    /// The program to compare with; nil takes the thresholds.
    public var base: String?
    /// The program under test; nil is this one.
    public var candidate: String?
    /// Environment variables of the candidate: faults of a test build.
    public var candidateVariables: [String: String] = [:]
    /// Directory `Benchmarks/Profiles`; nil looks for one. The plan and the thresholds are beside it.
    public var profiles: String?
    /// Directory of the history; nil takes `results` beside `Benchmarks`.
    public var results: String?
    /// Directory that gets gate.json and summary.md; nil writes none.
    public var out: String?
    /// Size and settings of the runs of T3, in place of those of the plan and beside them.
    public var pairedSize: String?, pairedSettings: [String] = []

    /// The defaults.
    public init() {}
}

/// The command `gate`.
public struct Gate {
    let request: GateRequest
    let files: any FileSystem
    let plan: GatePlan
    let benchmarks: String
    let store: ThresholdStore
    let tell: (String) -> Void

    /// Reads the plan and checks what was asked for.
    public init(
        _ request: GateRequest, files: any FileSystem, tell: @escaping (String) -> Void
    ) throws(HarnessError) {
        self.request = request
        self.files = files
        self.tell = tell
        let profiles = try ProfileDirectory.find(given: request.profiles, files)
        do throws(StorageError) { benchmarks = Paths.parent(try files.absolutePath(profiles)) } catch {
            throw HarnessError(error, while: "looking for the profiles")
        }
        plan = try GatePlan.load(benchmarks: benchmarks, files)
        store = ThresholdStore(Paths.join(benchmarks, "Thresholds"), files)
        if request.tiers.contains(.t3), request.base == nil {
            throw HarnessError(
                .usage, "T3 compares two programs: name the other one with --base PROGRAM or --base REVISION")
        }
        if let out = request.out, (try? files.kind(of: out)) ?? nil != nil, !RunReader.isDirectory(out, files) {
            throw HarnessError(.cannotCreate, "\(out) is not a directory; choose another name with --out")
        }
    }

    /// Directory of the profiles, absolute.
    var profiles: String { Paths.join(benchmarks, "Profiles") }

    /// Measures and judges.
    ///
    /// - Throws: When there is no verdict at all. A regression is not thrown: see ``GateResult/status``.
    public func run() throws(HarnessError) -> GateResult {
        let exactTiers = request.tiers.intersection([.t0, .t1, .t2])
        let isPaired = request.tiers.contains(.t3)
        // Names of cases are those of the exact tiers or of T3: each tier takes those it knows.
        let known = Set(plan.cases.map(\.name) + plan.paired.cases.map(\.name))
        for name in request.cases where !known.contains(name) { _ = try plan.cases(named: [name]) }
        let cases =
            exactTiers.isEmpty ? [] : plan.cases.filter { request.cases.isEmpty || request.cases.contains($0.name) }
        let pairedCases =
            isPaired ? plan.paired.cases.filter { request.cases.isEmpty || request.cases.contains($0.name) } : []
        let candidate = try ProgramSource.namedOrOwn(request.candidate, files)
        let base = try request.base.map { name throws(HarnessError) in try ProgramSource.named(name, files) }
        if base == nil, request.candidate == nil {
            // This program knows its toolchain: no need to measure anything to see that there are no thresholds.
            for plan in cases {
                let provenance = Provenance.atStart()
                _ = try store.require(
                    plan.name, toolchain: provenance.toolchain, architecture: provenance.architecture)
            }
        }

        let area = try WorkArea(files)
        var result = GateResult(
            base: base?.text ?? "the thresholds of \(store.directory)", candidate: candidate.text + variables,
            provenance: Provenance.atStart())
        let start = WallClock.nanoseconds
        if !cases.isEmpty || !pairedCases.isEmpty {
            let basePath = try base.map { source throws(HarnessError) in try source.make("base", in: area, tell: tell) }
            let path = try candidate.make("cand", in: area, tell: tell)
            let measured = try MeasuredProgram(
                "cand", program: path, profiles: profiles, variables: request.candidateVariables, in: area)
            let reference = try basePath.map { path throws(HarnessError) in
                try MeasuredProgram("base", program: path, profiles: profiles, in: area)
            }
            if !cases.isEmpty { try runExact(cases, exactTiers, measured, reference, area, &result) }
            if let basePath, let reference, !pairedCases.isEmpty {
                let control = try MeasuredProgram("ctrl", program: basePath, profiles: profiles, in: area)
                try runPaired(pairedCases, measured, reference, control, &result)
            }
        }
        if request.tiers.contains(.t4) { try runTrend(&result) }
        result.provenance.finish(startNanoseconds: start)
        if let out = request.out { try write(result, to: out) }
        return result
    }

    /// The variables of the candidate, for people: ` with INJECT=stride`.
    private var variables: String {
        let variables = request.candidateVariables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return variables.isEmpty ? "" : " with " + variables.joined(separator: " ")
    }

    // MARK: T0 to T2

    private func runExact(
        _ cases: [GatePlan.Case], _ tiers: Set<GateTier>, _ candidate: MeasuredProgram, _ base: MeasuredProgram?,
        _ area: WorkArea, _ result: inout GateResult
    ) throws(HarnessError) {
        let waivers = try Waivers.load(store.directory, today: Waivers.today(), files)
        let valgrind = tiers.contains(.t2) ? try MeasuringEnvironment.valgrindVersion(in: area) : nil
        let environment = MeasuringEnvironment.now()
        var coverage: [GateTier: GateResult.Coverage] = [:]
        for plan in cases {
            let start = WallClock.nanoseconds
            let measured = try CaseMeasurement.of(plan, candidate, tiers: tiers)
            if let record = measured.record { try requireRelease(record) }
            var judge = CaseJudge(plan.name, waivers: waivers)
            judge.reportDemoted(measured, of: base == nil ? "program" : "candidate")
            if let base {
                let reference = try CaseMeasurement.of(plan, base, tiers: tiers)
                judge.reportDemoted(reference, of: "base")
                let kept = try reference.record.flatMap { record throws(HarnessError) in
                    try store.load(
                        plan.name, toolchain: record.provenance.toolchain, architecture: record.provenance.architecture)
                }
                guard reference.failure == nil,
                    let expected = reference.thresholds(
                        plan, environment, valgrind: valgrind, commit: "", reason: "", keeping: kept)
                else {
                    throw HarnessError(.checkFailed, "\(plan.name): the base fails itself: \(reference.failure ?? "")")
                }
                judge.judge(measured, expected, tiers: tiers, isFromBase: true)
            } else {
                let expected = try expectation(plan, measured, environment, valgrind)
                judge.judge(measured, expected, tiers: tiers, isFromBase: false)
            }
            result.findings += judge.findings
            let seconds = WallClock.seconds(since: start)
            for tier in tiers {
                var entry = coverage[tier] ?? .init(tier: tier, cases: 0, figures: 0, seconds: 0)
                entry.cases += tier == .t2 && plan.instructions.isEmpty ? 0 : 1
                entry.figures += judge.judged[tier] ?? 0
                coverage[tier] = entry
            }
            tell("\(plan.name): \(GateTally.text(judge.findings)) in \(TextFormat.seconds(seconds))")
            // All tiers of a case are measured together; the time is told once, with T0.
            coverage[.t0, default: .init(tier: .t0, cases: 0, figures: 0, seconds: 0)].seconds += seconds
        }
        result.coverage += GateTier.allCases.compactMap { coverage[$0] }
        for waiver in waivers.expired {
            result.findings.append(
                GateFinding(
                    .t1, waiver.profile, waiver.metric, .note,
                    "a waiver expired on \(waiver.expires) and does not count"))
        }
    }

    /// The thresholds that what was measured has to be compared with.
    private func expectation(
        _ plan: GatePlan.Case, _ measured: CaseMeasurement, _ environment: MeasuringEnvironment, _ valgrind: String?
    ) throws(HarnessError) -> Thresholds {
        let provenance = measured.record?.provenance ?? Provenance.atStart()
        let thresholds = try store.require(
            plan.name, toolchain: provenance.toolchain, architecture: provenance.architecture)
        if let record = measured.record, measured.failure == nil {
            let obstacles = thresholds.obstacles(record, plan, environment, valgrind: valgrind)
            guard obstacles.isEmpty else {
                throw HarnessError(
                    .notComparable,
                    "the thresholds of \(plan.name) belong to something else: \(obstacles.joined(separator: "; ")); "
                        + "make new ones: \(ThresholdStore.hint); or compare with a program or revision: --base"
                        + (valgrind == nil ? "" : "; counters alone: --tiers t0,t1"))
            }
        }
        return thresholds
    }

    private func requireRelease(_ record: RunRecord) throws(HarnessError) {
        guard record.provenance.build == "release" else {
            throw HarnessError(
                .badInput, "the candidate is a \(record.provenance.build) build; build it with -c release")
        }
    }

    private func write(_ result: GateResult, to directory: String) throws(HarnessError) {
        do throws(StorageError) {
            if try files.kind(of: directory) == nil { try files.makeDirectory(directory, parents: true) }
            try files.replaceAtomically(
                Array((GateJSON.line(result) + "\n").utf8), at: Paths.join(directory, "gate.json"))
            try files.replaceAtomically(
                Array(GateReport.markdown(result).utf8), at: Paths.join(directory, "summary.md"))
        } catch { throw HarnessError(error, while: "writing the result to \(directory)") }
    }
}

/// Findings in few words.
enum GateTally {
    static func text(_ findings: [GateFinding]) -> String {
        let counts = GateFinding.Verdict.allCases.compactMap { verdict -> String? in
            let count = findings.filter { $0.verdict == verdict }.count
            return count == 0 || verdict == .note ? nil : "\(count) \(verdict.rawValue)"
        }
        return counts.isEmpty ? "ok" : counts.joined(separator: ", ")
    }
}
