// RunFilesTests.swift - the files of a run directory for other tools: golden text and syntax.

import Foundation
import FoundationXML
import StorageFiles
import StorageRuntime
import Testing
import Workloads

@testable import BenchHarness

@Suite struct RunFilesTests {
    private func text(_ name: String, _ run: RunData = .fixture()) throws -> String {
        let file = try #require(RunFiles.rendered(run).first { $0.name == name })
        return String(decoding: file.bytes, as: UTF8.self)
    }

    // MARK: bench.txt

    @Test func benchTextOfAShortRecord() {
        var record = RunRecord.fixture()
        record.provenance = Provenance()
        record.provenance.cpu = "Some CPU @ 2.50GHz"
        record.provenance.architecture = "x86_64"
        record.provenance.toolchain = "Swift 6.3.1"
        record.provenance.allocator = "jemalloc 5.3.0"
        record.provenance.build = "release"
        record.provenance.commit = "0123456789ab"
        record.observed.kind = "rows"
        record.settings = ["file": "a/b c", "series": "5"]
        let kept = ["cpu_us_per_new_series", "normalised_items_added", "parts", "seeks"]
        record.figures = record.figures.filter { kept.contains($0.key) }
        let expected = """
            goos: linux
            goarch: amd64
            cpu: Some CPU @ 2.50GHz
            toolchain: Swift 6.3.1
            allocator: jemalloc 5.3.0
            build: release
            commit: 0123456789ab

            Unit cpu_us_per_new_series better=lower
            Unit normalised_items_added assume=exact
            Unit parts better=lower
            Unit seeks assume=exact

            BenchmarkK8sPods/size=m/mode=live/file=a_b_c/series=5-2 1 7.456 cpu_us_per_new_series \
            54000000 normalised_items_added 9 parts 100000 seeks

            """
        #expect(BenchText.text([record]) == expected)
    }

    /// The rules of golang.org/design/14313-benchmark-format, and of the Unit lines that benchstat reads.
    @Test func benchTextKeepsTheRulesOfGoBenchmarks() throws {
        let runs = [RunData.fixture(), RunData.fixture()]
        var units: Set<String> = []
        var benchmarks = 0
        for line in BenchText.text(runs.map(\.record)).split(separator: "\n") {
            let fields = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
            #expect(!fields.contains(""), "\(line)")
            if fields[0] == "Unit" {
                #expect(fields.count >= 3 && units.insert(fields[1]).inserted, "\(line)")
                for property in fields.dropFirst(2) {
                    #expect(["better=lower", "better=higher", "assume=exact"].contains(property), "\(line)")
                }
            } else if fields[0].hasPrefix("Benchmark") {
                benchmarks += 1
                let first = try #require(fields[0].dropFirst("Benchmark".count).first)
                #expect(first.isUppercase && fields[0].last?.isNumber == true)
                #expect(UInt64(fields[1]) == 1 && fields.count % 2 == 0)
                var seen: Set<String> = []
                for pair in stride(from: 2, to: fields.count, by: 2) {
                    #expect(Double(fields[pair]) != nil, "\(fields[pair])")
                    #expect(seen.insert(fields[pair + 1]).inserted)
                }
                #expect(seen == Set(runs[0].record.figures.keys))
            } else {
                let colon = try #require(line.firstIndex(of: ":"))
                let key = line[..<colon]
                #expect(
                    key.first?.isLowercase == true && !key.contains { $0.isWhitespace || $0.isUppercase }, "\(line)")
            }
        }
        #expect(benchmarks == 2 && units.count > 40)
    }

    // MARK: metrics.prom

    /// The rules of the OpenMetrics text format that apply to counters and gauges.
    @Test func metricsAreOpenMetrics() throws {
        let lines = try text("metrics.prom").split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines.suffix(2) == ["# EOF", ""])
        var families: Set<String> = []
        var series: Set<String> = []
        var family = ""
        var type = ""
        for line in lines.dropLast(2) {
            let words = line.split(separator: " ").map(String.init)
            if line.hasPrefix("# TYPE ") {
                family = words[2]
                type = words[3]
                #expect(families.insert(family).inserted && ["counter", "gauge"].contains(type), "\(line)")
                #expect(!family.hasSuffix("_total"))
            } else if line.hasPrefix("# HELP ") {
                #expect(words[2] == family && words.count > 3, "\(line)")
            } else {
                let name = String(line.prefix { $0 != "{" })
                #expect(name == (type == "counter" ? family + "_total" : family), "\(line)")
                #expect(name.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" })
                let end = try #require(line.lastIndex(of: "}"))
                #expect(series.insert(String(line[...end])).inserted)
                let numbers = line[line.index(after: end)...].split(separator: " ")
                #expect(numbers.count == 2 && Double(numbers[0]) != nil && numbers[1] == "1769862908", "\(line)")
            }
        }
        #expect(families == ["vm_rows_ignored", "vm_parts", "process_cpu_seconds"] && series.count == 4)
        #expect(
            lines.contains(#"vm_rows_ignored_total{profile="k8s-pods",reason="nan \"x\"\\",size="m"} 0 1769862908"#))
    }

    // MARK: junit.xml

    @Test func junitTellsWhatFailed() throws {
        #expect(try wellFormed(text("junit.xml")))
        #expect(try text("junit.xml").contains("tests=\"7\" failures=\"0\" errors=\"0\" skipped=\"1\""))
        var run = RunData.fixture()
        run.record.observed.readBackMissing = 3
        run.record.comparable = false
        run.record.notComparableBecause = ["name \"a\" & <b>"]
        run.record.shape?[0].isWithin = false
        let text = try text("junit.xml", run)
        #expect(try wellFormed(text))
        #expect(text.contains("tests=\"7\" failures=\"3\""))
        #expect(text.contains("<failure message=\"name &quot;a&quot; &amp; &lt;b&gt;\"/>"))
    }

    // MARK: intervals.csv

    @Test func intervalsAreReadBack() throws {
        let run = RunData.fixture()
        let csv = IntervalRecord.csv(run.intervals)
        #expect(try IntervalRecord.parse(csv) == run.intervals)
        #expect(try IntervalRecord.csv(IntervalRecord.parse(csv)) == csv)
        let older = "seconds,phase,parts,something_else\n0.250,ingest,3,x\n"
        #expect(throws: HarnessError.self) { try IntervalRecord.parse(Array(older.utf8)) }
        let parsed = try IntervalRecord.parse(Array(older.replacingOccurrences(of: ",x", with: ",4").utf8))
        #expect(parsed.count == 1 && parsed[0].parts == 3 && parsed[0].rssBytes == 0)
        for bad in ["seconds,phase\n1\n", "seconds\nnan\n", "seconds\n-1\n", "parts\n1e30\n", "parts\n\n1,2\n"] {
            #expect(throws: HarnessError.self, "\(bad)") { try IntervalRecord.parse(Array(bad.utf8)) }
        }
        #expect(try IntervalRecord.parse([]).isEmpty)
    }

    @Test func ratesOfWindows() {
        func record(_ seconds: Double, _ phase: String, _ done: UInt64) -> IntervalRecord {
            var record = IntervalRecord()
            record.seconds = seconds
            record.phase = phase
            record.done = done
            return record
        }
        let records = [
            record(0, "ingest", 0), record(0.1, "ingest", 10), record(0.2, "ingest", 20), record(0.3, "ingest", 90),
            record(0.4, "ingest", 100), record(0.5, "rounds", 5), record(0.8, "rounds", 8),
        ]
        let rates = IntervalRecord.windowRates(records, seconds: 0.25)
        #expect(rates.count == 2 && abs(rates[0] - 300) < 1e-6 && abs(rates[1] - 10) < 1e-6)
        #expect(IntervalRecord.windowRates([], seconds: 1).isEmpty)
    }

    // MARK: summary.md

    @Test func summaryOfARunWithEverything() throws {
        var run = RunData.fixture()
        run.record.provenance.cpu = "Some CPU"
        run.record.shape?[0].isWithin = false
        run.record.comparable = false
        run.record.notComparableBecause = ["active series: observed 9, configured 10"]
        let lines = try text("summary.md", run).split(separator: "\n", omittingEmptySubsequences: false).map(
            String.init)
        #expect(lines[0] == "## k8s-pods, size m, live")
        #expect(lines[2] == "**Not comparable**: active series: observed 9, configured 10.")
        #expect(lines.contains("| active series | 1000000 | 1000000 |"))
        #expect(
            lines.contains(
                "250 k rows/s were sustained; the search ended with p99 from the intended start 131 ms, limit 100 ms."))
    }

    // MARK: rendering again

    @Test func renderingAgainGivesTheSame() throws {
        let files = SimulatedFileSystem()
        let run = RunData.fixture(name: "a")
        let outcome = RunOutcome(record: run.record, intervals: run.intervals)
        try RunDirectory(files: files, out: "/runs/a", data: nil, keepsData: false).publish(RunFiles.all(outcome))
        let before = files.contents(of: "/runs/a")
        #expect(
            Set(before.keys) == [
                "run.json", "intervals.csv", "report.html", "summary.md", "bench.txt", "junit.xml", "metrics.prom",
                "latency.hgrm", "latency.hlog",
            ])
        for path in ["/runs/a", "/runs/a/", "/runs/a/run.json"] {
            var request = ReportRequest()
            request.runs = [path]
            var printed = ""
            try ReportDriver.run(request, files: files, print: { printed += $0 })
            #expect(printed.contains("written to /runs/a"))
            #expect(files.contents(of: "/runs/a") == before)
        }
    }

    @Test func severalRunsSideBySide() throws {
        let files = SimulatedFileSystem()
        for (name, cpu) in [("a", 7.0), ("b", 8.0)] {
            var run = RunData.fixture()
            run.record.figures["cpu_us_per_new_series"]?.value = cpu
            if name == "b" { run.record.seed = 43 }
            try RunDirectory(files: files, out: "/runs/" + name, data: nil, keepsData: false).publish(
                RunFiles.all(RunOutcome(record: run.record, intervals: run.intervals)))
        }
        var request = ReportRequest()
        request.runs = ["/runs/a", "/runs/b"]
        request.out = "/both"
        request.explains = true
        var printed = ""
        try ReportDriver.run(request, files: files, print: { printed += $0 })
        #expect(
            printed.hasPrefix(
                "figure                    a     b  unit\ncpu_us_per_new_series  7.00  8.00    us\n\n"
                    + "These runs differ in: seed.\n"), "\(printed)")
        #expect(printed.contains("  cpu_us_per_known_row = 0.2112 us\n      (process CPU of the known rounds"))
        #expect(try files.list("/both").map(\.name).sorted() == ["bench.txt", "report.html", "summary.md"])
        // The same figures again: nothing has moved.
        request.runs = ["/runs/a", "/runs/a"]
        request.out = nil
        request.explains = false
        printed = ""
        try ReportDriver.run(request, files: files, print: { printed += $0 })
        #expect(printed.hasPrefix("figure  a  a (2)  unit\n\nwith --out"), "\(printed)")
    }

    @Test func whatIsNoRunIsRefusedInOneLine() throws {
        let files = SimulatedFileSystem()
        try files.makeDirectory("/empty", parents: false)
        try files.makeDirectory("/bad", parents: false)
        try files.writeAtomically(Array("{}".utf8), to: "/bad/run.json")
        try files.makeDirectory("/damaged", parents: false)
        try files.writeAtomically(RunData.fixture().record.json(), to: "/damaged/run.json")
        try files.writeAtomically(Array("seconds\nx\n".utf8), to: "/damaged/intervals.csv")
        for path in ["/nowhere", "/empty", "/bad", "/damaged"] {
            var request = ReportRequest()
            request.runs = [path]
            let error = #expect(throws: HarnessError.self) {
                try ReportDriver.run(request, files: files, print: { _ in })
            }
            #expect(error?.status == .badInput && error?.message.hasPrefix(path) == true, "\(error?.message ?? "")")
            #expect(error?.message.contains("\n") == false)
        }
    }

    // MARK: shape

    @Test func aStreamThatMissesItsShapeIsToldSo() throws {
        func check(_ settings: [String]) throws -> String {
            var text = ""
            let profile = try ProfileLoader.load(
                "k8s-pods", given: repositoryPath("Benchmarks/Profiles"), size: .s, overrides: settings,
                RealFileSystem())
            try ProfileShape.check(profile, seed: 42) { text += $0 }
            return text
        }
        #expect(try check([]).hasSuffix("comparable: true\n"))
        let error = #expect(throws: HarnessError.self) { try check(["expect.name_bytes=[1, 2]"]) }
        #expect(error?.status == .checkFailed && error?.message.contains("bytes per raw name: observed 49") == true)
    }

    // MARK: interrupted

    /// The process dies at each operation on files in turn: the directory is there with all files, or it is not there.
    @Test func aReportIsCompleteOrNotThere() throws {
        let contents = RunFiles.rendered(.fixture())
        func publish(_ files: SimulatedFileSystem) throws {
            try RunDirectory(files: files, out: "/runs/a", data: nil, keepsData: false).publish(contents)
        }
        let whole = SimulatedFileSystem()
        try publish(whole)
        let expected = whole.contents(of: "/runs/a")
        #expect(expected.count == contents.count)
        var complete = 0
        for operation in 1...whole.operationCount {
            let files = SimulatedFileSystem(faults: FaultPlan(crashAtOperation: operation))
            try? publish(files)
            // What a reader sees right after the process has died.
            let found = files.snapshot().contents(of: "/").filter { $0.key.hasPrefix("runs/a/") }
            #expect(found.isEmpty || found.count == expected.count, "operation \(operation): \(found.keys.sorted())")
            if !found.isEmpty { complete += 1 }
        }
        #expect(complete > 0 && complete < whole.operationCount)
    }
}

/// Whether a text is well-formed XML.
func wellFormed(_ text: String) throws -> Bool {
    let parser = XMLParser(data: Data(text.utf8))
    let isRight = parser.parse()
    if !isRight {
        Issue.record("line \(parser.lineNumber): \(parser.parserError.map { "\($0)" } ?? "")")
    }
    return isRight
}
