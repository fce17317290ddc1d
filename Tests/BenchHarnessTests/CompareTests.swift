// CompareTests.swift - two records side by side, and what is refused.

import Foundation
import StorageFiles
import Testing

@testable import BenchHarness

extension RunRecord {
    /// A deterministic run with a few figures of each kind.
    static func deterministicFixture(_ values: [String: Double] = [:]) -> RunRecord {
        var record = RunRecord.rowsFixture()
        record.mode = "deterministic"
        var figures = FigureSet(isDeterministic: true)
        let defaults: [String: Double] = [
            "items_added": 1000, "allocations": 400, "file_sync_calls": 12, "tsid_cache_hit_ratio": 0.9,
            "rows_added": 5000, "heap_active_bytes": 8_000_000, "cpu_us_per_known_row": 0.2, "stalls": 0,
        ]
        for (name, value) in defaults.merging(values, uniquingKeysWith: { $1 }) { figures.set(name, value) }
        record.figures = figures.values
        record.observed.directoryDigest = "aabbccddeeff0011"
        return record
    }
}

@Suite struct CompareTests {
    static func meanings(_ a: RunRecord, _ b: RunRecord) throws -> [String: FigureChange.Meaning] {
        let comparison = try RunComparison(a, b)
        return Dictionary(uniqueKeysWithValues: comparison.changes.map { ($0.name, $0.meaning) })
    }

    @Test func equalRecordsHaveNoChanges() throws {
        let record = RunRecord.deterministicFixture()
        let comparison = try RunComparison(record, record)
        #expect(comparison.changes.isEmpty && comparison.status == .pass && comparison.figures == 8)
        #expect(comparison.text("a", "b") == "A  a\nB  b\n\nnothing moved in 8 figures\n")
    }

    /// The order of several threads is in the digest: other stores say nothing then, equal ones do.
    @Test func storesOfSeveralThreadsAreNotTold() throws {
        var one = RunRecord.deterministicFixture()
        one.threads = 1
        var other = one
        other.observed.storeDigest = "0000000000000000"
        let differs = try RunComparison(one, other)
        #expect(differs.hasSameStore == false && differs.status == .regression)
        #expect(try RunComparison(one, one).hasSameStore == true)
        one.threads = 2
        other.threads = 2
        let untold = try RunComparison(one, other)
        #expect(untold.hasSameStore == nil && untold.status == .pass && untold.text("a", "b").contains("not told"))
        #expect(try RunComparison(one, one).hasSameStore == true)
    }

    @Test func onlyExactFiguresDecide() throws {
        let base = RunRecord.deterministicFixture()
        let worse = RunRecord.deterministicFixture([
            "allocations": 403, "file_sync_calls": 6, "rows_added": 6000, "heap_active_bytes": 9_000_000,
            "cpu_us_per_known_row": 0.4, "items_added": 1001,
        ])
        let meanings = try Self.meanings(base, worse)
        #expect(
            meanings == [
                "allocations": .regression, "file_sync_calls": .improvement, "rows_added": .moved,
                "heap_active_bytes": .undecided, "cpu_us_per_known_row": .undecided, "items_added": .moved,
            ])
        #expect(try RunComparison(base, worse).status == .regression)
    }

    @Test func directionsAndZero() throws {
        let base = RunRecord.deterministicFixture()
        #expect(
            try Self.meanings(base, .deterministicFixture(["tsid_cache_hit_ratio": 0.8])).values.first == .regression)
        #expect(
            try Self.meanings(base, .deterministicFixture(["tsid_cache_hit_ratio": 1])).values.first == .improvement)
        #expect(try Self.meanings(base, .deterministicFixture(["stalls": 1])).values.first == .regression)
        #expect(try RunComparison(base, .deterministicFixture(["file_sync_calls": 1])).status == .improvements)
        #expect(try RunComparison(base, .deterministicFixture(["cpu_us_per_known_row": 0.3])).status == .inconclusive)
        #expect(try RunComparison(base, .deterministicFixture(["cpu_us_per_known_row": 0.21])).status == .pass)
    }

    @Test func otherContentsOfTheStoreAreARegression() throws {
        var base = RunRecord.deterministicFixture()
        base.threads = 1
        var other = base
        other.observed.storeDigest = "0000000000000000"
        #expect(try RunComparison(base, other).status == .regression)
        // Several threads get ids in the order in which they come.
        base.threads = 2
        other.threads = 2
        #expect(try RunComparison(base, other).status == .pass)
    }

    @Test func aFigureOfOneSideIsShown() throws {
        let base = RunRecord.deterministicFixture()
        var other = base
        other.figures["allocations"] = nil
        #expect(try Self.meanings(base, other) == ["allocations": .missing])
        #expect(try RunComparison(base, other).status == .inconclusive)
    }

    /// Whatever makes the figures mean something else is named, and nothing is compared.
    @Test func refusesWhatIsNotComparable() {
        let base = RunRecord.deterministicFixture()
        let changes: [(String, (inout RunRecord) -> Void)] = [
            ("schema", { $0.schemaVersion += 1 }), ("machine", { $0.provenance.cpu = "other" }),
            ("machine", { $0.provenance.cores = 64 }), ("toolchain", { $0.provenance.toolchain = "Swift 7" }),
            ("build", { $0.provenance.build = "debug" }), ("allocator", { $0.provenance.allocator = "other" }),
            ("profile", { $0.profile = "other" }), ("size", { $0.size = "l" }), ("mode", { $0.mode = "live" }),
            ("threads", { $0.threads = 7 }), ("seed", { $0.seed = 1 }), ("settings", { $0.settings = [:] }),
            ("stream", { $0.observed.streamDigest = "00" }), ("path", { $0.observed.kind = "items" }),
            (
                "second run",
                {
                    $0.comparable = false; $0.notComparableBecause = ["3 labels"]
                }
            ),
        ]
        for (word, change) in changes {
            var other = base
            change(&other)
            let error = #expect(throws: HarnessError.self) { try RunComparison(base, other) }
            #expect(
                error?.status == .notComparable && error?.message.contains(word) == true, "\(word): \(error as Any)")
            #expect(error?.message.contains("\n") == false)
        }
        var commit = base
        commit.provenance.commit = "abc"
        commit.provenance.loadAtStart = 9
        #expect(Comparability.obstacles(base, commit).isEmpty)
        #expect(Comparability.key(base) == Comparability.key(commit))
    }

    @Test func readsRunDirectories() throws {
        try ProcessWideTests.EndToEndTests.withDirectory { directory in
            let files = RealFileSystem()
            func error(_ path: String) -> HarnessError? {
                #expect(throws: HarnessError.self) { try RunReader.record(path, files) }
            }
            #expect(error(directory + "/missing")?.status == .badInput)
            #expect(error(directory)?.message.contains("has no run.json") == true)
            let record = RunRecord.deterministicFixture()
            let path = directory + "/run.json"
            try Data(record.json()).write(to: URL(fileURLWithPath: path))
            #expect(try RunReader.record(directory, files) == record)
            #expect(try RunReader.record(path, files) == record)
            for damage in [
                "", "{", "[]", "{\"schema_version\": 1}", String(decoding: record.json().dropLast(100), as: UTF8.self),
            ] {
                try Data(damage.utf8).write(to: URL(fileURLWithPath: path))
                #expect(error(directory)?.status == .badInput && error(directory)?.message.contains("\n") == false)
            }
            try Data("{\"schema_version\": 99}".utf8).write(to: URL(fileURLWithPath: path))
            #expect(error(directory)?.message.contains("schema version 99") == true)
        }
    }

    @Test func sidesOfAComparisonBelongTogether() throws {
        try ProcessWideTests.EndToEndTests.withDirectory { directory in
            let files = RealFileSystem()
            try Data(RunRecord.deterministicFixture().json()).write(to: URL(fileURLWithPath: directory + "/run.json"))
            var request = CompareRequest()
            func outcome() throws -> BenchHarness.ExitStatus {
                try Compare.run(request, files: files, print: { _ in }, tell: { _ in })
            }
            (request.first, request.second) = (directory, directory)
            #expect(try outcome() == .pass)
            (request.first, request.second) = (directory, "/bin/true")
            #expect(#expect(throws: HarnessError.self) { try outcome() }?.status == .usage)
            for bad in ["no-such-revision", "-x", "a b", "/dev/null/x", "$(true)"] {
                (request.first, request.second) = (bad, bad)
                let error = #expect(throws: HarnessError.self) { try outcome() }
                #expect(error?.status == .badInput && error?.message.contains(bad) == true)
            }
        }
    }
}

@Suite struct SubprocessTests {
    @Test func outputsEnvironmentAndExitCodes() throws {
        try ProcessWideTests.EndToEndTests.withDirectory { directory in
            let files = RealFileSystem()
            var process = Subprocess(program: "sh", directory: directory)
            process.output = directory + "/out"
            process.errors = directory + "/err"
            process.environment["EXTRA"] = "a b"
            process.arguments = ["-c", "pwd; echo \"$EXTRA $HOME\"; echo one >&2; echo two >&2; exit 7"]
            let ending = try process.run()
            #expect(ending.exitCode == 7 && ending.wallSeconds > 0)
            let output = try TextFile.read(directory + "/out", files)
            #expect(output.hasSuffix("/\((directory as NSString).lastPathComponent)\na b \n"), "\(output)")
            #expect(Subprocess.lastLine(of: directory + "/err", files) == "two")
            let error = #expect(throws: HarnessError.self) { try process.runOrFail("asking", .badInput, files) }
            #expect(error == HarnessError(.badInput, "asking has failed: two"))
            process.arguments = ["-c", "kill -9 $$"]
            #expect(try process.run().exitCode == 137)
            let missing = #expect(throws: HarnessError.self) { try Subprocess(program: "no-such-program").run() }
            #expect(missing?.status == .unavailable)
        }
    }

    /// Each mistake has one line that says what to do, before anything is built or measured.
    @Test func mistakesHaveOneLine() throws {
        try ProcessWideTests.EndToEndTests.withDirectory { directory in
            let files = RealFileSystem()
            func message(_ body: () throws(HarnessError) -> Void) -> String {
                do throws(HarnessError) { try body() } catch {
                    #expect(error.status == .badInput && !error.message.contains("\n"), "\(error)")
                    return error.message
                }
                Issue.record("nothing was thrown")
                return ""
            }
            func compare(_ change: (inout CompareRequest) -> Void) -> String {
                var request = CompareRequest()
                request.first = "/bin/true"
                request.second = "/bin/true"
                change(&request)
                return message { () throws(HarnessError) in
                    _ = try Compare.run(request, files: files, print: { _ in }, tell: { _ in })
                }
            }
            func read(_ path: String) -> String {
                message { () throws(HarnessError) in _ = try RunData.read(path, files) }
            }
            func write(_ text: String) throws {
                try files.removeAll(directory + "/run.json")
                try files.writeAtomically(Array(text.utf8), to: directory + "/run.json")
            }
            let unknownFigure = compare { $0.figures = ["nosuch"] }
            #expect(unknownFigure == "no figure 'nosuch'; see mergeset-bench list --figures")
            let unknownRevision = compare { $0.second = "no-such revision" }
            #expect(unknownRevision.contains("neither a run directory nor a program nor a git revision"))
            try write("{\"schema_version\":1")
            for path in [directory, directory + "/run.json"] {
                #expect(read(path).hasSuffix("run.json is damaged or of another program: it is no JSON"))
            }
            try write("{\"schema_version\":9}")
            #expect(read(directory).contains("schema version 9, this program reads 1"))
            try write("{\"schema_version\":1}")
            #expect(read(directory).contains("is missing"))
            let noPage = message { () throws(HarnessError) in
                _ = try ProfileLoader.load(
                    "replay", given: repositoryPath("Benchmarks/Profiles"), size: .s,
                    overrides: ["page=/no/such/page"], files)
            }
            #expect(noPage == "/no/such/page: no such file or directory")
        }
    }

    @Test func workAreasDisappear() throws {
        var path = ""
        do {
            let area = try WorkArea(RealFileSystem())
            path = try area.directory("side")
            #expect(FileManager.default.fileExists(atPath: path))
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }
}
