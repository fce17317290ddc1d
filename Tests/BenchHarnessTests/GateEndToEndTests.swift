// GateEndToEndTests.swift - whole runs of the gate and of compare, with a script in place of the program under test: it
// hands out prepared records, so that every kind of outcome can be had in milliseconds.

import Foundation
import StorageFiles
import Testing

@testable import BenchHarness

/// A directory with a plan of one case, and a program that "measures" it.
struct GateScene {
    let directory: String
    var program: String { directory + "/program" }
    let files = RealFileSystem()

    init(_ directory: String) throws {
        self.directory = directory
        for name in ["Benchmarks/Profiles", "records", "results"] {
            try FileManager.default.createDirectory(
                atPath: directory + "/" + name, withIntermediateDirectories: true)
        }
        try write(
            "Benchmarks/gate.json",
            """
            {"schema_version":1,"cases":[{"name":"k8s-pods","profile":"k8s-pods","settings":[],"instructions":[],"shows":""}],
             "paired":{"cases":[{"name":"k8s-pods","profile":"k8s-pods","size":"m","settings":[]}],
             "figures":["cpu_us_per_known_row"],"controls":["memcpy_bytes_per_second"],"floors":{}},"pinned":[]}
            """)
        try behave("cp \"$records/same.json\" run/run.json")
        try record("same", .deterministicFixture())
    }

    func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: directory + "/" + name))
    }

    func record(_ name: String, _ record: RunRecord) throws {
        try Data(record.json()).write(to: URL(fileURLWithPath: "\(directory)/records/\(name).json"))
    }

    /// What the program does; it starts in a directory named after its side.
    func behave(_ body: String, program name: String = "program") throws {
        try write(
            name,
            "#!/bin/sh\nside=${PWD##*/}\nrecords='\(directory)/records'\nmkdir -p run\necho run >>count\n\(body)\n")
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: directory + "/" + name)
    }

    var request: GateRequest {
        var request = GateRequest()
        request.profiles = directory + "/Benchmarks/Profiles"
        request.candidate = program
        request.tiers = [.t0, .t1]
        request.results = directory + "/results"
        return request
    }

    func gate(_ change: (inout GateRequest) -> Void = { _ in }) throws -> GateResult {
        var request = request
        change(&request)
        return try Gate(request, files: files, tell: { _ in }).run()
    }

    @discardableResult
    func update(_ reason: String = "test") throws -> String {
        try Gate(request, files: files, tell: { _ in }).update([], reason: reason, countsInstructions: false)
    }

    static func with(_ body: (GateScene) throws -> Void) throws {
        try ProcessWideTests.EndToEndTests.withDirectory { try body(GateScene($0)) }
    }
}

@Suite struct GateEndToEndTests {
    @Test func withoutThresholdsThereIsNoVerdict() throws {
        try GateScene.with { scene in
            let error = #expect(throws: HarnessError.self) { try scene.gate() }
            #expect(error?.status == .notComparable && error?.message.contains("thresholds update --all") == true)
        }
    }

    @Test func updateThenPassThenRegressThenUpdate() throws {
        try GateScene.with { scene in
            #expect(try scene.update().hasPrefix("k8s-pods: new, 5 metrics\n"))
            let passed = try scene.gate()
            #expect(passed.status == .pass && passed.findings.isEmpty && passed.coverage.map(\.figures) == [4, 5])
            try scene.record("same", .deterministicFixture(["allocations": 500, "file_sync_calls": 11]))
            let out = scene.directory + "/out"
            let failed = try scene.gate { $0.out = out }
            #expect(failed.status == .regression)
            #expect(GateTests.verdicts(failed.findings) == ["t1 allocations fail", "t1 file_sync_calls improvement"])
            #expect(try ProcessWideTests.EndToEndTests.names(out) == ["gate.json", "summary.md"])
            let text = try scene.update("more of them")
            #expect(text.contains("k8s-pods allocations: 400 -> 500 (+25.00 %)\n"))
            #expect(try scene.gate().status == .pass)
            let shown = try Gate(scene.request, files: scene.files, tell: { _ in })
            // The thresholds are those of the toolchain in the records, whatever this program was built with.
            #expect((try? shown.show([])) == nil || Provenance.atStart().toolchain == "Swift 6.3.1")
        }
    }

    @Test func otherStreamsAndStores() throws {
        try GateScene.with { scene in
            try scene.update()
            var record = RunRecord.deterministicFixture()
            record.observed.storeDigest = "0000000000000000"
            try scene.record("same", record)
            let result = try scene.gate()
            #expect(result.status == .regression && result.findings.map(\.tier) == [.t0])
            record.observed.streamDigest = "0000000000000000"
            try scene.record("same", record)
            let error = #expect(throws: HarnessError.self) { try scene.gate() }
            #expect(error?.status == .notComparable && error?.message.contains("stream: then") == true)
        }
    }

    @Test func aBaseTakesThePlaceOfThresholds() throws {
        try GateScene.with { scene in
            try scene.record("more", .deterministicFixture(["allocations": 500]))
            try scene.behave(
                "if [ $side = cand ]; then cp $records/more.json run/run.json; else cp $records/same.json run/run.json; fi"
            )
            let result = try scene.gate { $0.base = scene.program }
            #expect(GateTests.verdicts(result.findings) == ["t1 allocations fail"])
            // The variable goes to the candidate alone.
            try scene.behave("cp $records/${RECORD:-same}.json run/run.json")
            #expect(try scene.gate { $0.base = scene.program }.status == .pass)
            let injected = try scene.gate {
                $0.base = scene.program
                $0.candidateVariables = ["RECORD": "more"]
            }
            #expect(injected.status == .regression && injected.candidate.hasSuffix(" with RECORD=more"))
        }
    }

    @Test func aProgramThatDiffersFromItself() throws {
        try GateScene.with { scene in
            try scene.update()
            try scene.record("more", .deterministicFixture(["allocations": 401]))
            try scene.behave(
                "if [ $(wc -l <count) = 2 ]; then cp $records/more.json run/run.json; else cp $records/same.json run/run.json; fi"
            )
            let result = try scene.gate()
            #expect(GateTests.verdicts(result.findings) == ["t1 allocations defect"] && result.status == .inconclusive)
        }
    }

    @Test(arguments: [
        ("echo 'mergeset-bench: wrong answer: seek' >&2; exit 70", "wrong answer: seek"),
        ("kill -11 $$", "ended by signal 11"),
    ])
    func wrongAnswersAndCrashesFail(body: String, text: String) throws {
        try GateScene.with { scene in
            try scene.behave("if [ $side = cand ]; then \(body); else cp $records/same.json run/run.json; fi")
            let result = try scene.gate { $0.base = scene.directory + "/program" }
            #expect(result.status == .regression && result.findings.map(\.text) == [text])
        }
    }

    @Test(arguments: [
        ("echo 'mergeset-bench: no such profile' >&2; exit 65", NoVerdict.badInput, "no such profile"),
        ("exit 74", .inputOutput, "exit code 74"), ("true", .badInput, "has no run.json"),
        ("echo '{' >run/run.json", .badInput, "damaged"),
    ])
    func whateverElseGoesWrongIsNoVerdict(body: String, status: NoVerdict, text: String) throws {
        try GateScene.with { scene in
            try scene.behave(body)
            let error = #expect(throws: HarnessError.self) { try scene.gate { $0.base = scene.program } }
            #expect(
                error?.status.rawValue == status.rawValue && error?.message.contains(text) == true, "\(error as Any)")
        }
    }
    enum NoVerdict: Int32, Sendable { case badInput = 65, inputOutput = 74 }

    @Test func debugBuildsAreRefused() throws {
        try GateScene.with { scene in
            var record = RunRecord.deterministicFixture()
            record.provenance.build = "debug"
            try scene.record("same", record)
            #expect(
                #expect(throws: HarnessError.self) { try scene.gate { $0.base = scene.program } }?.status == .badInput)
        }
    }

    // MARK: pairs

    static func live(_ cpu: Double, memcpy: Double = 1e9) -> RunRecord {
        var record = RunRecord.rowsFixture()
        var figures = FigureSet(isDeterministic: false)
        figures.set("cpu_us_per_known_row", cpu)
        figures.set("memcpy_bytes_per_second", memcpy)
        record.figures = figures.values
        return record
    }

    static let copySide = "cp $records/$side.json run/run.json"

    func paired(_ base: RunRecord, _ candidate: RunRecord, _ control: RunRecord) throws -> GateResult {
        var result: GateResult?
        try GateScene.with { scene in
            try scene.record("base", base)
            try scene.record("cand", candidate)
            try scene.record("ctrl", control)
            try scene.behave(Self.copySide)
            result = try scene.gate {
                $0.tiers = [.t3]
                $0.base = scene.program
            }
        }
        return try #require(result)
    }

    @Test func slowerTwiceFails() throws {
        let result = try paired(Self.live(0.2), Self.live(0.22), Self.live(0.2))
        #expect(result.status == .regression && GateTests.verdicts(result.findings) == ["t3 cpu_us_per_known_row fail"])
        #expect(result.findings[0].text.contains("+10.00 %") && result.findings[0].text.contains("again"))
    }

    @Test func equalSidesPassAfterTenPairs() throws {
        let result = try paired(Self.live(0.2), Self.live(0.2), Self.live(0.2))
        #expect(result.status == .pass && result.findings.map(\.verdict) == [.note])
        #expect(result.findings[0].text.hasSuffix("in 10 pairs"))
    }

    @Test func anUnsteadyBaseOrMachineIsNoVerdict() throws {
        let base = try paired(Self.live(0.2), Self.live(0.2), Self.live(0.25))
        #expect(base.status == .inconclusive && base.findings[0].text.contains("the base against itself"))
        let machine = try paired(Self.live(0.2), Self.live(0.3, memcpy: 2e9), Self.live(0.2))
        #expect(machine.status == .inconclusive && machine.findings[0].text.contains("memcpy_bytes_per_second moved"))
    }

    @Test func comparesPrograms() throws {
        try GateScene.with { scene in
            try scene.behave(
                """
                case "$*" in
                *deterministic*) cp $records/same.json run/run.json ;;
                *) \(Self.copySide) ;;
                esac
                """)
            try scene.record("base", Self.live(0.2))
            func compare(_ cpu: Double) throws -> (BenchHarness.ExitStatus, String) {
                try scene.record("cand", Self.live(cpu))
                var request = CompareRequest()
                (request.first, request.second) = (scene.program, scene.program)
                request.profiles = scene.directory + "/Benchmarks/Profiles"
                request.figures = ["cpu_us_per_known_row"]
                var text = ""
                let status = try Compare.run(request, files: scene.files, print: { text += $0 }, tell: { _ in })
                return (status, text)
            }
            #expect(try compare(0.2).0 == .pass)
            #expect(try compare(0.15).0 == .improvements)
            let (status, text) = try compare(0.24)
            #expect(status == .regression)
            #expect(text.contains("cpu_us_per_known_row: REGRESSION, worse by +20.00 %"), "\(text)")
        }
    }

    @Test func recordsTimingsAndResamplesThem() throws {
        try GateScene.with { scene in
            try scene.record("cand", Self.live(0.2))
            try scene.behave(Self.copySide)
            let gate = try Gate(scene.request, files: scene.files, tell: { _ in })
            let path = scene.directory + "/timings.json"
            try scene.write("timings.json", try gate.record(profile: "k8s-pods", runs: 5))
            var timings = try RecordedTimings.load(path, scene.files)
            #expect(timings.figures["cpu_us_per_known_row"] == [0.2, 0.2, 0.2, 0.2, 0.2])
            #expect(#expect(throws: HarnessError.self) { try RateStudy(timings) }?.status == .badInput)
            timings.figures["cpu_us_per_known_row"] = [Double](repeating: 0.2, count: 161)
            let study = try RateStudy(timings)
            #expect(study.figures[0].same.windows == 2 && study.figures[0].same.passed == 2)
            #expect(study.figures[0].slower["10"]?.failed == 2 && study.figures[0].slower["3"]?.passed == 2)
            #expect(study.markdown().contains("| cpu_us_per_known_row | 161 | 0.0 % |"))
        }
    }

    @Test func theHistoryIsReadAndDamageReported() throws {
        try GateScene.with { scene in
            for run in 0..<20 {
                var record = RunRecord.deterministicFixture(["allocations": run < 10 ? 400 : 480])
                record.provenance.startedAt = TextFormat.utc(unixSeconds: Int64(run) * 86_400)
                let directory = scene.directory + "/results/run-\(run < 10 ? "0" : "")\(run)"
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
                try Data(record.json()).write(to: URL(fileURLWithPath: directory + "/run.json"))
            }
            try scene.write("results/run-03/run.json", "{")
            let result = try scene.gate { $0.tiers = [.t4] }
            #expect(result.status == .pass)
            #expect(result.findings.contains { $0.metric == "allocations" && $0.text.contains("since run-10") })
            #expect(result.findings.contains { $0.text == "records that cannot be read: run-03" })
        }
    }
}
