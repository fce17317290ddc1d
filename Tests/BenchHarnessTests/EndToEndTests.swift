// EndToEndTests.swift - whole runs of tiny workloads, through the same entry as the command line; here without the engine,
// RowRunTests has the runs of rows.

import Foundation
import StorageFiles
import StorageRuntime
import Testing
import Workloads

@testable import BenchHarness

/// Tests that share what belongs to the process, above all the interrupt flag: one at a time.
@Suite(.serialized) enum ProcessWideTests {}

extension ProcessWideTests {
    @Suite struct EndToEndTests {
        static func request(_ settings: [String] = []) -> RunRequest {
            var request = RunRequest()
            request.size = .s
            request.profiles = repositoryPath("Benchmarks/Profiles")
            request.settings = ["seeks=2000", "read_back=50"] + settings
            request.format = .json
            request.options.mode = .deterministic
            request.options.path = .items
            request.options.yardstickBytes = 1 << 20
            request.options.warmMemoryBytes = 1 << 20
            request.options.yardstickItems = 5000
            return request
        }

        static func withDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
            let path = NSTemporaryDirectory() + "bench-harness-tests-\(UUID().uuidString)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: path) }
            return try body(path)
        }

        static func run(_ request: RunRequest, _ files: any FileSystem = RealFileSystem()) throws -> RunRecord {
            var text = ""
            try RunDriver.run(request, files: files, print: { text += $0 }, style: .quiet)
            return try RunRecord(json: Array(text.utf8))
        }

        static func names(_ path: String) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: path).sorted()
        }

        /// Relative path and contents of all files.
        static func contents(_ path: String) throws -> [String: Data] {
            var contents: [String: Data] = [:]
            for name in try FileManager.default.subpathsOfDirectory(atPath: path) {
                contents[name] = FileManager.default.contents(atPath: path + "/" + name)
            }
            return contents
        }

        @Test(arguments: ["k8s-pods", "shared-prefix:short"])
        func twoDeterministicRunsAreEqual(profile: String) throws {
            try Self.withDirectory { (directory) throws in
                var records: [RunRecord] = []
                for name in ["a", "b"] {
                    var request = Self.request([profile == "k8s-pods" ? "series=1500" : "items=20000"])
                    request.profile = profile
                    request.out = directory + "/" + name
                    request.options.keepsData = true
                    records.append(try Self.run(request))
                }
                let (a, b) = (records[0], records[1])
                #expect(a.observed == b.observed)
                #expect(Set(a.figures.keys) == Set(b.figures.keys))
                for (name, figure) in a.figures where figure.kind == .exact && !name.hasPrefix("allocations") {
                    #expect(figure.value == b.figures[name]?.value, "\(name)")
                }
                let table = "/data/table"
                let files = try Self.contents(directory + "/a" + table)
                #expect(files.count > 5)
                #expect(try Self.contents(directory + "/b" + table) == files)
            }
        }

        @Test func theContentsDoNotDependOnModeAndThreads() throws {
            try Self.withDirectory { (directory) throws in
                var digests: Set<String> = []
                for threads in [0, 1, 3] {
                    var request = Self.request(["series=2500"])
                    request.out = directory + "/\(threads)"
                    request.options.mode = threads == 0 ? .deterministic : .live
                    request.options.threads = max(1, threads)
                    request.options.forcesMerge = true
                    let record = try Self.run(request)
                    #expect(record.observed.readBackMissing == 0 && record.observed.readBackItems == 50 * 54)
                    #expect(record.figure("normalised_items_in_table") == record.figure("normalised_items_added"))
                    #expect(record.figure("seeks_found_ratio") == 1)
                    #expect(record.figure("forced_merge_size_ratio") != nil)
                    digests.insert(record.observed.storeDigest + record.observed.streamDigest)
                }
                #expect(digests.count == 1)
            }
        }

        @Test func aRunLeavesItsFilesOnly() throws {
            try Self.withDirectory { (directory) throws in
                var request = Self.request(["series=600"])
                request.out = directory + "/runs/one"
                request.options.data = directory + "/data"
                let record = try Self.run(request)
                #expect(record.settings["series"] == "600" && record.settings["seeks"] == "2000")
                #expect(try Self.names(directory) == ["runs"])
                #expect(try Self.names(directory + "/runs") == ["one"])
                #expect(
                    try Self.names(directory + "/runs/one") == [
                        "bench.txt", "intervals.csv", "junit.xml", "metrics.prom", "report.html", "run.json",
                        "summary.md",
                    ])
            }
        }

        @Test func globalRegistrationOnly() throws {
            try Self.withDirectory { (directory) throws in
                var request = Self.request(["series=600"])
                request.profile = "names-two-tags"
                request.out = directory + "/run"
                let record = try Self.run(request)
                #expect(record.observed.itemsPerSeries == 8)
                #expect(record.figure("flushed_items_ns5") == nil && record.figure("flushed_items_ns6") == nil)
            }
        }

        @Test func replayOfAPage() throws {
            try Self.withDirectory { (directory) throws in
                let page = directory + "/page.txt"
                try "# TYPE up gauge\nup{job=\"a\"} 1\nhits_total{code=\"200\",path=\"/\"} 5\n"
                    .write(toFile: page, atomically: true, encoding: .utf8)
                var request = Self.request(["targets=50"])
                request.profile = "replay"
                request.replayFile = page
                request.out = directory + "/run"
                #expect(try Self.run(request).observed.series == 100)
            }
        }

        @Test func anInterruptedRunLeavesNothing() throws {
            try Self.withDirectory { (directory) throws in
                defer { Interrupt.clear() }
                for mode in [Environment.Mode.live, .deterministic] {
                    Interrupt.request()
                    var request = Self.request(["series=20000"])
                    request.options.mode = mode
                    request.out = directory + "/run"
                    request.options.data = directory + "/data"
                    let error = #expect(throws: HarnessError.self) { try Self.run(request) }
                    #expect(error == .interrupted)
                    #expect(try Self.names(directory) == [])
                }
            }
        }

        /// However the flag was raised, and before anybody waits: a program that would run for a minute is ended.
        @Test func anInterruptEndsTheProgramThatRuns() {
            Interrupt.request()
            defer { Interrupt.clear() }
            let program = Subprocess(program: "sleep", arguments: ["60"])
            let start = WallClock.nanoseconds
            #expect(throws: HarnessError.interrupted) { try program.run() }
            #expect(WallClock.seconds(since: start) < 60)
        }

        /// The flag is raised by what the run tells, that is in the middle of each phase in turn.
        @Test(arguments: ["ingest", "settle", "seek", "digest", "scan", "merge all", "yardsticks"])
        func aRunInterruptedInAnyPhaseLeavesNothing(phase: String) throws {
            try Self.withDirectory { (directory) throws in
                Interrupt.clear()
                defer { Interrupt.clear() }
                var request = Self.request(["series=3000"])
                request.options.mode = .live
                request.options.forcesMerge = true
                request.out = directory + "/run"
                let error = #expect(throws: HarnessError.self) {
                    try RunDriver.run(request, files: RealFileSystem(), print: { _ in }, style: .plain) { line in
                        if line.hasPrefix(phase) { Interrupt.request() }
                    }
                }
                #expect(error == .interrupted)
                #expect(try Self.names(directory) == [])
            }
        }

        @Test func mistakesAreToldInOneLineBeforeAnythingIsWritten() throws {
            try Self.withDirectory { (directory) throws in
                func failure(_ change: (inout RunRequest) -> Void) -> HarnessError? {
                    var request = Self.request()
                    request.out = directory + "/run"
                    change(&request)
                    return #expect(throws: HarnessError.self) { try Self.run(request) }
                }
                let unknown = failure { $0.profile = "k8s-pod" }
                #expect(unknown?.status == .badInput)
                #expect(unknown?.message.contains("k8s-pods") == true)
                let bad = directory + "/bad.yaml"
                try "name: bad\ntitle: [".write(toFile: bad, atomically: true, encoding: .utf8)
                #expect(failure { $0.profile = bad }?.status == .badInput)
                try FileManager.default.removeItem(atPath: bad)
                #expect(failure { $0.settings = ["series=minus"] }?.status == .badInput)
                #expect(failure { $0.settings = ["no-value"] }?.status == .usage)
                #expect(failure { $0.settings = ["items=5"] }?.status == .usage)
                #expect(
                    failure {
                        $0.profile = "random:short"; $0.settings = ["series=5"]
                    }?.status == .usage)
                #expect(failure { $0.profile = "replay" }?.status == .usage)
                #expect(failure { $0.replayFile = "/nowhere" }?.status == .usage)
                #expect(failure { $0.profiles = "/nowhere" }?.status == .badInput)
                #expect(failure { $0.out = "/proc/run" }?.status == .cannotCreate)
                #expect(failure { $0.options.data = "/proc/self/status" }?.status == .cannotCreate)
                #expect(try Self.names(directory) == [])
            }
        }

        @Test func aGeneratedStreamIsCompleteOrAbsent() throws {
            try Self.withDirectory { (directory) throws in
                let files = RealFileSystem()
                let profile = try ProfileLoader.load(
                    "rows-short", given: repositoryPath("Benchmarks/Profiles"), size: .s,
                    overrides: ["series=100", "rounds=2"], files)
                let path = directory + "/rows.jsonl"
                let result = try StreamExport.write(profile, seed: 42, format: .jsonl, to: path, files: files)
                let text = try String(contentsOfFile: path, encoding: .utf8)
                #expect(result.rows == 200 && result.bytes == text.utf8.count)
                #expect(text.split(separator: "\n").count == 200)
                let again = #expect(throws: HarnessError.self) {
                    try StreamExport.write(profile, seed: 42, format: .jsonl, to: path, files: files)
                }
                #expect(again?.status == .cannotCreate)
                #expect(try Self.names(directory) == ["rows.jsonl"])
            }
        }

        @Test(arguments: ["seek", "scan", "merge"])
        func tableBenchmarksRunAndCleanUp(name: String) throws {
            try Self.withDirectory { (directory) throws in
                var options = MicroOptions()
                options.repetitions = 2
                options.scale = 0.01
                options.directory = directory
                let results = try MicroRunner(MicroBenchmark.named(name), options).run()
                #expect(results.count >= 2 && results.allSatisfy { !$0.counts.isEmpty })
                #expect(try Self.names(directory) == [])
            }
        }
    }
}
