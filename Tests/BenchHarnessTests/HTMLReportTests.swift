// HTMLReportTests.swift - report.html: one well-formed file that loads nothing, is small, and has every figure with its formula.
// Scripts/check-report opens one in a browser.

import Foundation
import FoundationXML
import StorageRuntime
import TestSupport
import Testing

@testable import BenchHarness

@Suite struct HTMLReportTests {
    /// A well-formed page that loads and runs nothing.
    private func expectSelfContained(_ page: String) throws {
        #expect(try wellFormed(page))
        for part in ["http:", "https:", "src=", "url(", "@import", "<script", "<iframe", "<object", "onload", "//cdn"] {
            #expect(!page.contains(part), "\(part)")
        }
        // The only link says that there is no icon, so that browsers do not ask for one.
        #expect(page.components(separatedBy: "<link ").count == 2 && page.contains("href=\"data:,\""))
        #expect(page.utf8.count < 500_000, "\(page.utf8.count) bytes")
        for part in ["{{", ">nan", ">nil<", "Optional("] { #expect(!page.contains(part), "\(part)") }
    }

    @Test func everyFigureIsThereWithItsFormula() throws {
        // All figures that there are.
        var run = RunData.fixture()
        var figures = FigureSet(isDeterministic: false)
        for figure in FigureCatalogue.groups.flatMap(\.figures) { figures.set(figure.name, 0.5) }
        run.record.figures = figures.values
        let page = HTMLReport.page([run])
        try expectSelfContained(page)
        for figure in FigureCatalogue.groups.flatMap(\.figures) {
            #expect(page.contains("<tr id=\"\(figure.name)\"><td><code>\(figure.name)</code>"), "\(figure.name)")
            #expect(page.contains("<div class=\"formula\">\(XMLText.escape(figure.formula))</div>"), "\(figure.name)")
        }
    }

    @Test func theSectionsOfARunWithEverything() throws {
        let page = HTMLReport.page([.fixture()])
        try expectSelfContained(page)
        for part in [
            "<h1>k8s-pods, size m, live</h1>", "What happened when", "Merge lineage", "Latency by percentile",
            "Cost of a new series against label bytes", "Cache hit ratios", "Index bytes by row kind, as flushed",
            "Limits", "Round by round", "Highest sustainable rate", "Shape and configuration",
            "ALERT slow inserts / rows 0.0612, limit 0.0500", "merge of 2 parts",
            "seconds since the start of the ingest",
            "arrivals</td><td>250000 rows/s</td>",
        ] { #expect(page.contains(part), "\(part)") }
    }

    @Test func picturesOfSeveralRecords() throws {
        var first = RunData.fixture().record
        first.figures.merge(figures(["index_bytes_per_series": 600, "bytes_per_sample": 2.5])) { old, _ in old }
        var second = first
        second.profile = "read-write"
        second.latency = first.latency?.map { latency in
            var latency = latency
            latency.phase = latency.from == .intended ? "searches" : "paced"
            latency.from = .intended
            return latency
        }
        second.rounds = (1...12).map { round in
            var record = RoundRecord()
            record.firstRound = round
            record.cpuUsPerRow = Double(round)
            record.rows = 1000
            record.slowRows = 11
            return record
        }
        let pictures = RecordPlots.all([first, second])
        #expect(pictures.map(\.0) == ["cost.svg", "space.svg", "latency.svg", "rounds.svg"])
        for (name, picture) in pictures {
            #expect(try wellFormed(picture), "\(name)")
            for part in ["src=", "url(", "<script", "{{", "nan"] {
                #expect(!picture.contains(part), "\(name): \(part)")
            }
            #expect(picture.contains("read-write") && picture.contains("prefers-color-scheme:dark"), "\(name)")
        }
        #expect(RecordPlots.all([]).isEmpty)
    }

    private func figures(_ values: [String: Double]) -> [String: FigureValue] {
        var set = FigureSet(isDeterministic: false)
        for (name, value) in values { set.set(name, value) }
        return set.values
    }

    @Test func severalRunsHaveAColumnEach() throws {
        var second = RunData.fixture(name: "b <&>")
        second.record.figures["cpu_us_per_new_series"]?.value = 14.912
        second.record.provenance.cpu = "another"
        let page = HTMLReport.page([.fixture(name: "a"), second])
        try expectSelfContained(page)
        #expect(
            page.contains(
                "<th class=\"num\">a</th><th class=\"num\">b &lt;&amp;&gt;</th><th class=\"num\">second / first</th>"))
        #expect(page.contains("<td class=\"num\" title=\"\">2.000</td>"))
        #expect(page.contains("These runs differ in: processor."))
    }

    @Test func recordsOfOlderRunsAreDrawn() throws {
        // Without intervals, latencies, parts, shape: what was recorded before there were any.
        for record in [RunRecord.fixture(), RunRecord.rowsFixture()] {
            let page = HTMLReport.page([RunData(name: "old", record: record, intervals: [])])
            try expectSelfContained(page)
            #expect(page.contains("The run has no intervals"))
        }
        let results = repositoryPath("results")
        for name in try FileManager.default.contentsOfDirectory(atPath: results) {
            guard let json = FileManager.default.contents(atPath: "\(results)/\(name)/run.json") else { continue }
            let record = try RunRecord(json: [UInt8](json))
            try expectSelfContained(HTMLReport.page([RunData(name: name, record: record, intervals: [])]))
        }
    }

    @Test(arguments: TestSeeds.thisRun) func longRunsStaySmallAndOddNumbersDoNotTrap(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var run = RunData.fixture()
        run.intervals = (0..<20_000).map { number in
            var interval = run.intervals[number % run.intervals.count]
            interval.seconds = Double(number) / 4
            interval.phase = number < 15_000 ? "ingest" : "rounds"
            interval.perSecond = random.below(10) == 0 ? 1e17 : Double(random.below(1_000_000))
            interval.parts = UInt64(random.below(40))
            interval.pendingBytes = random.next() >> UInt64(random.below(64))
            return interval
        }
        var alive: [Int] = []
        run.record.parts = (0..<PartLog.partsMax).map { number in
            var sources: [Int] = []
            if alive.count > 15 { for _ in 0..<8 { sources.append(alive.remove(at: random.below(alive.count))) } }
            alive.append(number)
            let end = Double(number) + 1 + Double(random.below(100)) / 100
            return RunData.part(number, sources, end - Double(random.below(300)) / 100, end, bytes: random.next() >> 20)
        }
        run.record.labels = (0..<16).map { number in
            var cost = LabelCost(label: "label_\(number)")
            cost.share = Double(random.below(100)) / 1000
            cost.nameBytes = Double(random.below(200))
            return cost
        }
        try expectSelfContained(HTMLReport.page([run]))
        try expectSelfContained(HTMLReport.page([RunData](repeating: run, count: 5)))
        let levels = LineagePlot.levels(run.record.parts ?? [])
        #expect((levels.values.max() ?? 0) >= 2)
    }

    // MARK: axes

    @Test(arguments: TestSeeds.thisRun) func ticksAreRoundAndCoverTheValues(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for _ in 0..<300 {
            let high = Double(1 + random.below(1000)) * pow(10, Double(random.below(18)) - 6)
            let scale = PlotScale.linear(high: high, start: 200, end: 0)
            let ticks = scale.ticks(4)
            #expect(
                ticks.first == 0 && scale.high >= high * 0.999_999 && (3...7).contains(ticks.count), "\(high) \(ticks)")
            #expect(abs(scale.pixel(0) - 200) < 1e-6 && scale.pixel(scale.high) < 1e-6)
            let logarithmic = PlotScale.logarithmic(low: high / 50, high: high, start: 0, end: 100)
            #expect(logarithmic.low <= high / 50 * 1.000_001 && logarithmic.high >= high * 0.999_999)
            #expect(logarithmic.pixel(high / 50) < logarithmic.pixel(high))
        }
        #expect(PlotScale.linear(high: 0, start: 0, end: 1).ticks(2) == [0, 0.5, 1])
    }

    @Test func textsOfAxes() {
        #expect(AxisText.count(2_500_000) == "2.5 M" && AxisText.count(9000) == "9000" && AxisText.count(0) == "0")
        #expect(AxisText.bytes(64e6) == "64 MB" && AxisText.microseconds(1e5) == "100 ms")
        #expect(TextFormat.plain(100) == "100" && TextFormat.plain(99.9) == "99.9" && TextFormat.plain(0.25) == "0.25")
        #expect(
            SVGCanvas.number(-0.04) == "0" && SVGCanvas.number(-1.25) == "-1.3" && SVGCanvas.number(.infinity) == "0")
    }

    @Test func barsThatRunAtOnceHaveRowsOfTheirOwn() {
        let parts = [
            RunData.part(0, [], 0, 2, bytes: 1), RunData.part(1, [], 1, 3, bytes: 1),
            RunData.part(2, [], 2, 4, bytes: 1),
        ]
        let bars = PlotBars(parts, keeping: 10)
        #expect(bars.lanes == 2 && bars.bars.map(\.lane) == [0, 1, 0] && bars.note.isEmpty)
        let few = PlotBars(parts, keeping: 2)
        #expect(few.bars.count == 2 && few.note == ": the longest 2 of 3")
    }
}
