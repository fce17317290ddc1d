// GateTests.swift - the rules of the gate on made-up measurements, its files, and what it does with bad input.

import Foundation
import StorageFiles
import Testing

@testable import BenchHarness

@Suite struct GateTests {
    static let plan = GatePlan.Case(
        name: "k8s-pods", shows: "", profile: "k8s-pods", settings: ["rounds=6"], instructions: [.known])
    static let environment = MeasuringEnvironment(libraries: "glibc 2.36, zstd 1.5.4", instructionSet: "avx2")

    static func measured(
        _ values: [String: Double] = [:], second: [String: Double]? = nil, instructions: Double? = 1111,
        noisePpm: Double = 2
    ) -> CaseMeasurement {
        var measurement = CaseMeasurement()
        measurement.set([.deterministicFixture(values), .deterministicFixture(second ?? values)])
        if let instructions {
            measurement.instructions["instructions_per_known_row"] = .init(perUnit: instructions, noisePpm: noisePpm)
        }
        return measurement
    }

    static func thresholds(_ measured: CaseMeasurement = measured(), keeping: Thresholds? = nil) -> Thresholds {
        measured.thresholds(
            plan, environment, valgrind: "valgrind-3.19.0", commit: "abc", reason: "first", keeping: keeping)!
    }

    static func findings(
        _ measured: CaseMeasurement, _ thresholds: Thresholds = thresholds(), waivers: Waivers = Waivers(),
        tiers: Set<GateTier> = [.t0, .t1, .t2]
    ) -> [GateFinding] {
        var judge = CaseJudge("k8s-pods", waivers: waivers)
        judge.reportDemoted(measured, of: "program")
        judge.judge(measured, thresholds, tiers: tiers, isFromBase: false)
        return judge.findings
    }

    static func verdicts(_ findings: [GateFinding]) -> [String] {
        findings.map { "\($0.tier.rawValue) \($0.metric ?? "-") \($0.verdict.rawValue)" }
    }

    static func status(_ findings: [GateFinding]) -> BenchHarness.ExitStatus {
        var result = GateResult(base: "", candidate: "", provenance: Provenance())
        result.findings = findings
        return result.status
    }

    @Test func theSameAgainPasses() {
        let findings = Self.findings(Self.measured())
        #expect(findings.isEmpty && Self.status(findings) == .pass)
        let metrics = Self.thresholds().metrics
        // Exact figures with a direction, and the instructions; neither times nor what only describes the run.
        #expect(
            metrics.keys.sorted() == [
                "allocations", "file_sync_calls", "instructions_per_known_row", "items_added", "stalls",
                "tsid_cache_hit_ratio",
            ])
    }

    @Test(
        arguments: [
            (402.0, []), (400.5, ["t1 allocations warning"]), (402.1, ["t1 allocations fail"]),
            (399, []), (398, []), (397.9, ["t1 allocations improvement"]),
        ] as [(Double, [String])])
    func exactLimits(value: Double, verdicts: [String]) {
        // 400 is the threshold: 0.1 % warns, more than 0.5 % fails.
        let expected = value == 402 ? ["t1 allocations warning"] : verdicts
        #expect(Self.verdicts(Self.findings(Self.measured(["allocations": value]))) == expected)
    }

    @Test func higherIsBetterForHitRatiosAndZeroIsZero() {
        #expect(
            Self.verdicts(Self.findings(Self.measured(["tsid_cache_hit_ratio": 0.89])))
                == ["t1 tsid_cache_hit_ratio fail"])
        #expect(
            Self.verdicts(Self.findings(Self.measured(["tsid_cache_hit_ratio": 0.95])))
                == ["t1 tsid_cache_hit_ratio improvement"])
        #expect(Self.verdicts(Self.findings(Self.measured(["stalls": 1]))) == ["t1 stalls fail"])
    }

    @Test func ratchetsHoldWhatTheyHave() {
        var thresholds = Self.thresholds()
        thresholds.metrics["allocations"]?.ratchet = true
        let worse = Self.measured(["allocations": 401])
        #expect(Self.verdicts(Self.findings(worse, thresholds)) == ["t1 allocations fail"])
        // The next update keeps ratchets and limits.
        thresholds.metrics["allocations"]?.failPct = 3
        let updated = Self.thresholds(worse, keeping: thresholds)
        #expect(updated.metrics["allocations"]?.ratchet == true && updated.metrics["allocations"]?.failPct == 3)
        #expect(updated.metrics["allocations"]?.value == 401)
    }

    @Test func figuresThatDoNotRepeatAreDemoted() {
        let measured = Self.measured(["allocations": 900], second: ["allocations": 901])
        let findings = Self.findings(measured)
        #expect(Self.verdicts(findings) == ["t1 allocations defect"])
        #expect(findings[0].text == "the program differs from itself: 900, then 901")
        #expect(Self.status(findings) == .inconclusive)
        #expect(Self.thresholds(measured).metrics["allocations"] == nil)
    }

    @Test func correctnessComesFirst() {
        var measured = Self.measured(["allocations": 9000])
        measured.record?.observed.storeDigest = "0000000000000000"
        #expect(Self.verdicts(Self.findings(measured)) == ["t0 - fail"])
        measured.failure = "wrong answer: seek"
        #expect(Self.findings(measured).map(\.text) == ["wrong answer: seek"])

        var missing = CaseMeasurement()
        var record = RunRecord.deterministicFixture()
        record.observed.readBackMissing = 3
        missing.set([record, record])
        #expect(missing.failure == "3 items read back are missing")
        var shape = CaseMeasurement()
        record.comparable = false
        record.notComparableBecause = ["12 labels a series"]
        shape.set([record, record])
        #expect(shape.failure == "the observed shape is not the configured one: 12 labels a series")
        var files = CaseMeasurement()
        var other = RunRecord.deterministicFixture()
        other.observed.directoryDigest = "1"
        files.set([.deterministicFixture(), other])
        #expect(files.failure == "two deterministic runs of one program stored different things")
    }

    /// 1111 instructions: 0.1 % warns, 1 % fails, and twenty times the noise where that is more.
    @Test(
        arguments: [
            (1112.0, 2.0, []), (1113, 2, ["warning"]), (1122, 2, ["warning"]), (1123, 2, ["fail"]),
            (1123, 1000, ["warning"]), (1140, 1000, ["fail"]), (1098, 2, ["improvement"]), (1113, 5000, []),
        ] as [(Double, Double, [String])])
    func instructionLimits(value: Double, noise: Double, expected: [String]) {
        let findings = Self.findings(Self.measured(instructions: value, noisePpm: noise))
        #expect(findings.map(\.verdict.rawValue) == expected)
        #expect(findings.allSatisfy { $0.tier == .t2 })
    }

    @Test func whatIsMissingIsNotPassed() {
        #expect(
            Self.verdicts(Self.findings(Self.measured(instructions: nil)))
                == ["t2 instructions_per_known_row inconclusive"])
        var gone = Self.measured()
        gone.exact["allocations"] = nil
        #expect(Self.verdicts(Self.findings(gone)) == ["t1 allocations inconclusive"])
        var fresh = Self.thresholds()
        fresh.metrics["allocations"] = nil
        #expect(Self.verdicts(Self.findings(Self.measured(), fresh)) == ["t1 - note"])
    }

    /// What searches find is neither better nor worse: any difference fails.
    @Test func searchesHaveToFindTheSame() {
        let values: [String: Double] = ["searches": 20, "searches_due": 20, "search_blocks": 100, "search_rows": 5000]
        let measured = Self.measured(values)
        let thresholds = Self.thresholds(measured)
        #expect(thresholds.metrics["search_rows"]?.better == FigureDirection.none)
        #expect(Self.findings(measured, thresholds).isEmpty)
        for (name, value) in values {
            for other in [value + 1, value - 1] {
                let findings = Self.findings(Self.measured(values.merging([name: other]) { $1 }), thresholds)
                #expect(Self.verdicts(findings) == ["t0 \(name) fail"])
                #expect(Self.status(findings) == .regression)
            }
        }
        var fewer = values
        fewer["search_rows"] = nil
        #expect(Self.verdicts(Self.findings(Self.measured(fewer), thresholds)) == ["t0 search_rows fail"])
        #expect(
            Self.verdicts(Self.findings(measured))
                == Array(repeating: "note", count: 4).enumerated().map {
                    "t0 \(values.keys.sorted()[$0.offset]) \($0.element)"
                })
        let torn = Self.measured(values, second: values.merging(["search_rows": 1]) { $1 })
        #expect(torn.failure?.contains("search_rows") == true)
    }

    @Test func tiersAreJudgedApart() {
        let measured = Self.measured(["allocations": 900], instructions: 2000)
        #expect(Self.verdicts(Self.findings(measured, tiers: [.t0, .t1])) == ["t1 allocations fail"])
        #expect(Self.verdicts(Self.findings(measured, tiers: [.t0, .t2])) == ["t2 instructions_per_known_row fail"])
        #expect(Self.findings(measured, tiers: [.t0]).isEmpty)
    }

    @Test func waiversCountUntilTheirDay() {
        let worse = Self.measured(["allocations": 500])
        func waivers(_ profile: String, _ metric: String, today: String) -> Waivers {
            Waivers([Waiver(profile: profile, metric: metric, reason: "later", expires: "2026-06-30")], today: today)
        }
        let valid = Self.findings(worse, waivers: waivers("k8s-pods", "allocations", today: "2026-06-30"))
        #expect(Self.verdicts(valid) == ["t1 allocations waived"] && Self.status(valid) == .pass)
        for other in [
            waivers("k8s-pods", "allocations", today: "2026-07-01"), waivers("k8s-pods", "stalls", today: "2026-01-01"),
            waivers("id-label", "allocations", today: "2026-01-01"),
        ] { #expect(Self.verdicts(Self.findings(worse, waivers: other)) == ["t1 allocations fail"]) }
    }

    @Test func exitCodesInTheirOrder() {
        func finding(_ verdict: GateFinding.Verdict) -> GateFinding { GateFinding(.t1, "p", "m", verdict, "") }
        #expect(Self.status([]) == .pass)
        #expect(Self.status([finding(.note), finding(.warning), finding(.waived)]) == .pass)
        #expect(Self.status([finding(.improvement)]) == .improvements)
        #expect(Self.status([finding(.improvement), finding(.defect)]) == .inconclusive)
        #expect(Self.status([finding(.inconclusive)]) == .inconclusive)
        #expect(Self.status([finding(.fail), finding(.inconclusive), finding(.improvement)]) == .regression)
    }

    @Test func reportsTheVerdictFirst() {
        var result = GateResult(base: "the thresholds", candidate: "program", provenance: Provenance())
        result.coverage = [
            .init(tier: .t0, cases: 2, figures: 8, seconds: 3), .init(tier: .t1, cases: 2, figures: 10, seconds: 0),
        ]
        result.findings = Self.findings(Self.measured(["allocations": 500, "file_sync_calls": 11]))
        let text = """
            FAIL  program against the thresholds
              T0  2 cases, 8 figures, 3.00 s
              T1  2 cases, 10 figures, 0.00 s

            regressions
              T1 k8s-pods allocations: 400 -> 500 count (+25.00 %)

            improvements to lock in
              T1 k8s-pods file_sync_calls: 12 -> 11 count (-8.33 %)

            lock them in: mergeset-bench thresholds update --all --reason WHY

            """
        #expect(GateReport.text(result) == text)
        #expect(GateReport.markdown(result).hasPrefix("## Gate: FAIL\n"))
        #expect(GateReport.markdown(result).contains("| fail | T1 | k8s-pods | allocations |"))
    }
}

@Suite struct GateFileTests {
    static func withStore(_ body: (ThresholdStore, String) throws -> Void) throws {
        try ProcessWideTests.EndToEndTests.withDirectory { try body(ThresholdStore($0, RealFileSystem()), $0) }
    }

    @Test func thresholdsSurviveTheirFile() throws {
        try Self.withStore { store, directory in
            let thresholds = GateTests.thresholds()
            try store.save(thresholds)
            let path = directory + "/swift-6.3.1-" + thresholds.architecture + "/k8s-pods.json"
            let text = try String(contentsOfFile: path, encoding: .utf8)
            #expect(text.split(separator: "\n").count == 3 + thresholds.metrics.count, "one line a metric:\n\(text)")
            for field in [
                "value", "unit", "better", "kind", "fail_pct", "warn_pct", "ratchet", "noise_floor_ppm", "toolchain",
                "allocator", "commit",
            ] { #expect(text.contains("\"\(field)\":")) }
            let read = try store.load("k8s-pods", toolchain: "Swift 6.3.1", architecture: thresholds.architecture)
            #expect(read == thresholds)
            #expect(ThresholdText.changes(thresholds, thresholds) == "k8s-pods: as before\n")
            let new = GateTests.thresholds(GateTests.measured(["allocations": 500]))
            #expect(ThresholdText.changes(new, thresholds) == "k8s-pods allocations: 400 -> 500 (+25.00 %)\n")
        }
    }

    @Test func otherToolchainsHaveNoThresholds() throws {
        try Self.withStore { store, _ in
            try store.save(GateTests.thresholds())
            #expect(try store.load("k8s-pods", toolchain: "Swift 7.0", architecture: "x86_64") == nil)
            let error = #expect(throws: HarnessError.self) {
                try store.require("k8s-pods", toolchain: "Swift 7.0", architecture: "x86_64")
            }
            #expect(error?.status == .notComparable)
            #expect(
                error?.message.contains("swift-7.0-x86_64") == true && error?.message.contains("swift-6.3.1-") == true)
        }
    }

    @Test func damagedFilesAreNamed() throws {
        try Self.withStore { store, directory in
            let thresholds = GateTests.thresholds()
            try store.save(thresholds)
            let path = directory + "/swift-6.3.1-" + thresholds.architecture + "/k8s-pods.json"
            func error(_ text: String) throws -> HarnessError? {
                try Data(text.utf8).write(to: URL(fileURLWithPath: path))
                return #expect(throws: HarnessError.self) {
                    try store.load("k8s-pods", toolchain: "Swift 6.3.1", architecture: thresholds.architecture)
                }
            }
            #expect(try error("{")?.message.contains("damaged") == true)
            #expect(try error("{\"schema_version\":1}")?.status == .badInput)
            #expect(
                try error(thresholds.json().replacingOccurrences(of: "\"lower\"", with: "\"sideways\""))?.status
                    == .badInput)
            #expect(try error("{\"schema_version\":2}")?.status == .notComparable)
        }
    }

    @Test func keysHaveToAgree() {
        let thresholds = GateTests.thresholds()
        let record = RunRecord.deterministicFixture()
        func obstacles(
            _ record: RunRecord = record, _ plan: GatePlan.Case = GateTests.plan,
            _ environment: MeasuringEnvironment = GateTests.environment, valgrind: String? = "valgrind-3.19.0"
        ) -> [String] { thresholds.obstacles(record, plan, environment, valgrind: valgrind) }
        #expect(obstacles().isEmpty)
        #expect(obstacles(valgrind: "valgrind-3.24.0") == ["valgrind: then valgrind-3.19.0, now valgrind-3.24.0"])
        let zstd = MeasuringEnvironment(libraries: "glibc 2.36, zstd 1.5.7", instructionSet: "avx2")
        #expect(obstacles(record, GateTests.plan, zstd, valgrind: nil).count == 1)
        let old = MeasuringEnvironment(libraries: GateTests.environment.libraries, instructionSet: "sse4_2")
        #expect(obstacles(record, GateTests.plan, old).count == 1)
        #expect(obstacles(record, GateTests.plan, old, valgrind: nil).isEmpty)
        var other = record
        other.provenance.allocator = "malloc"
        other.observed.streamDigest = "1"
        #expect(obstacles(other).count == 2)
    }

    @Test func waiversAreChecked() throws {
        try Self.withStore { store, directory in
            let path = directory + "/waivers.json"
            func load(_ waivers: String) throws -> Waivers {
                try Data("{\"schema_version\":1,\"waivers\":[\(waivers)]}".utf8).write(to: URL(fileURLWithPath: path))
                return try Waivers.load(directory, today: "2026-05-01", RealFileSystem())
            }
            #expect(try Waivers.load(directory, today: "2026-05-01", RealFileSystem()) == Waivers())
            func waiver(_ reason: String, _ expires: String) -> String {
                "{\"profile\":\"p\",\"metric\":\"m\",\"reason\":\"\(reason)\",\"expires\":\"\(expires)\"}"
            }
            let both = try load(waiver("a", "2026-05-01") + "," + waiver("b", "2026-04-30"))
            #expect(both.valid.map(\.reason) == ["a"] && both.expired.map(\.reason) == ["b"])
            for bad in [
                waiver(" ", "2026-05-01"), waiver("a", "tomorrow"), waiver("a", "2026-13-01"), "{\"profile\":1}",
            ] {
                #expect(#expect(throws: HarnessError.self) { try load(bad) }?.status == .badInput)
            }
        }
    }

    @Test func thePlanOfTheRepositoryLoads() throws {
        let plan = try GatePlan.load(benchmarks: repositoryPath("Benchmarks"), RealFileSystem())
        #expect(plan.cases.count >= 10 && plan.paired.cases.count >= 4)
        let profiles = repositoryPath("Benchmarks/Profiles")
        for profile in plan.cases.map(\.profile) + plan.paired.cases.map(\.profile) {
            #expect(FileManager.default.fileExists(atPath: "\(profiles)/\(profile).yaml"), "\(profile)")
        }
        for figure in plan.paired.figures + plan.paired.controls {
            #expect(FigureCatalogue.definition(figure) != nil, "\(figure)")
        }
        #expect(#expect(throws: HarnessError.self) { try plan.cases(named: ["k8s"]) }?.status == .badInput)
        #expect(try plan.cases(named: ["id-label"]).map(\.name) == ["id-label"])
    }

    @Test func badRequestsAreRefusedBeforeAnythingRuns() throws {
        var request = GateRequest()
        request.profiles = repositoryPath("Benchmarks/Profiles")
        func error(_ change: (inout GateRequest) -> Void) -> HarnessError? {
            var request = request
            change(&request)
            return #expect(throws: HarnessError.self) {
                try Gate(request, files: RealFileSystem(), tell: { _ in }).run()
            }
        }
        #expect(error { $0.cases = ["nonsense"] }?.message.contains("there are k8s-pods") == true)
        #expect(error { $0.tiers = [.t3] }?.status == .usage)
        #expect(error { $0.base = "no-such-revision" }?.status == .badInput)
        #expect(error { $0.candidate = "no-such-revision" }?.status == .badInput)
        #expect(
            error {
                $0.tiers = [.t4]; $0.results = "/no/such/place"
            }?.status == .badInput)
        #expect(error { $0.profiles = "/no/such/place" }?.status == .badInput)
        let gate = try Gate(request, files: RealFileSystem(), tell: { _ in })
        #expect(#expect(throws: HarnessError.self) { try gate.update([], reason: " ") }?.status == .usage)
    }
}

@Suite struct GatePairedTests {
    static let rule = PairedRule()

    static func outcome(_ change: Double, pairs: Int, _ verdict: PairedVerdict, doubts: [String] = []) -> PairedOutcome
    {
        var figure = PairedFigure(name: "cpu_us_per_known_row")
        figure.logarithms = [Double](repeating: log1p(change), count: pairs)
        figure.pairs = pairs
        figure.verdict = verdict
        return PairedOutcome(figures: [figure], doubts: doubts, pairs: pairs)
    }

    static func verdicts(_ first: PairedOutcome, _ second: PairedOutcome? = nil) -> [GateFinding.Verdict] {
        Gate.findings("k8s-pods", first, second, rule).map(\.verdict)
    }

    @Test func onlyWhatFailsTwiceFails() {
        let worse = Self.outcome(0.1, pairs: 40, .candidate)
        #expect(Self.verdicts(worse, worse) == [.fail])
        #expect(Self.verdicts(worse, Self.outcome(0, pairs: 10, .pass)) == [.note])
        #expect(Self.verdicts(worse, Self.outcome(0.1, pairs: 40, .inconclusive)) == [.inconclusive])
        #expect(Self.verdicts(worse) == [.inconclusive])
        #expect(Self.verdicts(Self.outcome(0, pairs: 10, .pass)) == [.note])
    }

    @Test func doubtsTakeTheVerdictAway() {
        let doubtful = Self.outcome(0.1, pairs: 40, .candidate, doubts: ["the control moved"])
        #expect(Self.verdicts(doubtful) == [.inconclusive, .inconclusive])
        #expect(Self.verdicts(Self.outcome(0.1, pairs: 40, .candidate), doubtful) == [.inconclusive, .inconclusive])
    }

    @Test func wrongAnswersFail() {
        var outcome = PairedOutcome()
        outcome.failure = "wrong answer"
        #expect(Self.verdicts(outcome) == [.fail])
        #expect(Self.verdicts(PairedOutcome()) == [.inconclusive])
    }

    @Test func trendsAndCreep() {
        func record(_ day: Int, _ value: Double) -> (name: String, record: RunRecord) {
            var record = RunRecord.deterministicFixture(["allocations": value])
            record.provenance.startedAt = TextFormat.utc(unixSeconds: Int64(day) * 86_400)
            return ("day-\(day)", record)
        }
        let history = (0..<20).map { record($0, $0 < 10 ? 400 : 420) }
        let trend = Gate.trend(history, pinned: ["day-0"])
        let findings = trend.findings
        #expect(trend.figures == 7 && trend.pinnedFigures == 7)
        #expect(findings.map { "\($0.metric ?? "") \($0.verdict)" } == ["allocations note", "allocations warning"])
        #expect(findings[0].text.contains("400 -> 420 since day-10"), "\(findings[0].text)")
        #expect(Gate.trend(history, pinned: []).findings.count == 1)
        #expect(Gate.trend([], pinned: []).figures == 0)
        #expect(GateTests.status(findings) == .pass)
    }

    /// A history on disk, through the tier itself: creep is found, pins that hold nothing are told.
    @Test func pinsThatHoldNothingAreWarnings() throws {
        func entry(
            _ day: Int, _ values: [String: Double] = [:], _ change: (inout RunRecord) -> Void = { _ in }
        ) -> Gate.HistoryEntry {
            var record = RunRecord.deterministicFixture(values)
            record.provenance.startedAt = TextFormat.utc(unixSeconds: Int64(day) * 86_400)
            change(&record)
            return ("day-\(day)", record)
        }
        func warnings(_ history: [Gate.HistoryEntry], _ pinned: [String]) -> [String] {
            Gate.trend(of: history, pinned: pinned).findings.filter { $0.verdict == .warning }.map {
                "\($0.metric ?? $0.profile): \($0.text)"
            }
        }
        let base = entry(0)
        #expect(warnings([base, entry(1)], ["day-0"]) == [])
        #expect(warnings([base, entry(1, ["allocations": 408])], ["day-0"]) == [])
        #expect(warnings([base, entry(1, ["allocations": 409])], ["day-0"]).map { $0.prefix(12) } == ["allocations:"])
        #expect(warnings([base], ["day-0"])[0].contains("nothing newer than the pinned record"))
        #expect(warnings([base, entry(1)], ["day-7"]) == ["day-7: the pinned record is not there"])
        for change in [
            { (record: inout RunRecord) in record.provenance.allocator = "another" },
            { $0.provenance.build = "debug" }, { $0.provenance.flags = "Swift -Ounchecked" },
        ] {
            let found = warnings([base, entry(1, ["allocations": 900], change)], ["day-0"])
            #expect(found.count == 1 && found[0].contains("nothing newer can be compared"), "\(found)")
        }
        // Records that are not comparable are neither held nor held against.
        let spoilt = entry(1, ["allocations": 900]) { $0.comparable = false }
        #expect(warnings([base, spoilt], ["day-0"])[0].contains("nothing newer than"))
        #expect(warnings([spoilt, entry(2)], ["day-1"])[0].contains("not comparable itself"))
        let told = Gate.trend(of: [base, entry(1)], pinned: ["day-0"]).findings.last
        #expect(
            told?.verdict == .note && told?.text.hasSuffix("7 figures were held against 1 of 1 pinned records") == true)
    }

    /// Times of single runs differ by themselves.
    @Test func timesWarnBeyondTheirNoise() {
        func warns(_ values: [Double]) -> Bool {
            let history = values.enumerated().map { day, value -> Gate.HistoryEntry in
                var record = RunRecord.deterministicFixture(["cpu_us_per_known_row": value])
                record.provenance.startedAt = TextFormat.utc(unixSeconds: Int64(day) * 86_400)
                return ("day-\(day)", record)
            }
            return Gate.trend(history, pinned: ["day-0"]).findings.contains { $0.verdict == .warning }
        }
        #expect(!warns([0.2, 0.29]) && warns([0.2, 0.31]))
        #expect(!warns([0.2, 0.201, 0.199, 0.2, 0.2, 0.203]), "below the budget of all figures")
        #expect(warns([0.2, 0.201, 0.199, 0.2, 0.2, 0.206]), "a quiet series tells a small step")
        #expect(!warns([0.2, 0.25, 0.2, 0.22, 0.18, 0.25]))
    }

    @Test func repetitionsAreCompared() throws {
        let same = RunRecord.deterministicFixture(["allocations": 400])
        let other = RunRecord.deterministicFixture(["allocations": 401])
        let counts = RepeatStudy.Instructions(figure: "instructions_per_known_row", totals: [1_000_000, 1_000_029])
        let good = RepeatStudy.compare("a", [same, same, same], [counts])
        #expect(good.differing.isEmpty && good.figures > 3 && good.directories == 1)
        let bad = RepeatStudy.compare("b", [same, same, other], [])
        #expect(bad.differing == ["allocations"])
        var study = RepeatStudy(provenance: Provenance(), runs: 3, cases: [good])
        #expect(study.isRepeating && abs(counts.spreadPpm - 29) < 1e-6)
        study.cases.append(bad)
        #expect(!study.isRepeating)
        #expect(study.markdown().contains("| b | \(bad.figures) | allocations | the same | - |"))
        study.cases = [RepeatStudy.compare("c", [same, same], [.init(figure: "x", totals: [1_000_000, 1_000_031])])]
        #expect(!study.isRepeating)
        try GateScene.with { scene in
            try scene.write("study.json", study.json())
            #expect(try RepeatStudy.load(scene.directory + "/study.json", RealFileSystem()) == study)
            try scene.write("study.json", "{")
            #expect(throws: HarnessError.self) {
                try RepeatStudy.load(scene.directory + "/study.json", RealFileSystem())
            }
        }
    }

    /// Every record in results/ can be read, and the pinned ones are there.
    @Test func theCommittedHistoryIsWhole() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path
        var request = GateRequest()
        request.tiers = [.t4]
        request.profiles = root + "/Benchmarks/Profiles"
        let gate = try Gate(request, files: RealFileSystem(), tell: { _ in })
        let (history, unreadable) = try Gate.history(root + "/results", RealFileSystem())
        #expect(unreadable == [])
        let directories = try FileManager.default.contentsOfDirectory(atPath: root + "/results").filter {
            FileManager.default.fileExists(atPath: "\(root)/results/\($0)/run.json")
        }
        #expect(history.map(\.name) == directories.sorted() && history.count >= 50)
        let result = try gate.run()
        #expect(result.coverage.first { $0.tier == .t4 }?.figures ?? 0 > 1000)
        #expect(!result.findings.contains { $0.text.contains("is not there") || $0.text.contains("itself") })
        // Each pinned record belongs to a series, one for each pin.
        let pins = history.filter { gate.plan.pinned.contains($0.name) && $0.record.comparable }
        #expect(pins.map(\.name) == gate.plan.pinned.sorted())
        #expect(Set(pins.map { Comparability.key($0.record) }).count == gate.plan.pinned.count)
    }
}
