// ExpositionTests.swift - the text formats: a recorded page, the grammar by example, bad input with its place, mutations.

import Foundation
import StorageBytes
import StorageRuntime
import Testing

@testable import Workloads

/// One event as text, for comparing.
private func events(
    _ page: [UInt8], format: ExpositionFormat? = nil, lineBytesMax: Int = ExpositionParser.lineBytesMax
) throws(ExpositionError) -> [String] {
    var lines = [String]()
    var failure: ExpositionError?
    page.withUnsafeBytes { buffer in
        do throws(ExpositionError) {
            var parser = ExpositionParser(buffer, format: format, lineBytesMax: lineBytesMax)
            while let event = try parser.next() {
                switch event {
                case .type(let name, let type): lines.append("TYPE \(text(name)) \(type)")
                case .help(let name, let help): lines.append("HELP \(text(name)) \(text(help))")
                case .unit(let name, let unit): lines.append("UNIT \(text(name)) \(text(unit))")
                case .sample(let name, let value, let timestampMs):
                    var line = text(name)
                    for index in 0..<parser.labelCount {
                        let label = parser.label(index)
                        line += " \(text(label.key))=\(text(label.value))"
                    }
                    line += " \(value)"
                    if let timestampMs { line += " @\(timestampMs)" }
                    lines.append(line)
                }
            }
        } catch {
            failure = error
        }
    }
    if let failure { throw failure }
    return lines
}

private func load(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path))) }

@Suite struct ExpositionTests {
    @Test func theRecordedPage() throws {
        let page = try load(Place.page)
        let lines = try events(page)
        let samples = lines.filter { !$0.hasPrefix("TYPE ") && !$0.hasPrefix("HELP ") }
        // Counted independently: lines that are not comments.
        let expected = String(decoding: page, as: UTF8.self).split(separator: "\n").count { !$0.hasPrefix("#") }
        #expect(samples.count == expected && expected == 507)
        #expect(samples.contains("node_cpu_seconds_total cpu=0 mode=user 34.17"))
        #expect(samples.contains { $0.hasPrefix("go_gc_duration_seconds quantile=0.25 ") })
        #expect(lines.contains("TYPE node_uname_info gauge"))
        let replay = try ReplayPage(path: Place.page)
        #expect(replay.format == .prometheus && replay.series.count == 507 && replay.truncatedSeries == 0)
        // Empty label values are left out.
        let disk = try #require(replay.series.first { $0.name == "node_disk_info" })
        #expect(disk.labels.map { String(decoding: $0.key, as: UTF8.self) } == ["device", "major", "minor"])
        #expect(replay.series.first { $0.name == "node_load1" }?.kind == .gauge)
        #expect(replay.series.first { $0.name == "node_forks_total" }?.kind == .counter)
    }

    @Test func theOpenMetricsPage() throws {
        let lines = try events(load(Place.openMetrics))
        #expect(
            lines == [
                "TYPE http_requests counter",
                "HELP http_requests Requests by path. A quote: \"x\", a backslash: \\, a line feed: \n, an unknown escape: \\d.",
                "http_requests_total path=/ code=200 1027.0 @1640995800123",
                "http_requests_total path=/a\"b\\c\nd code=500 3.0",
                "http_requests_created path=/ code=200 1640995000.25",
                "TYPE queue_wait_seconds histogram", "UNIT queue_wait_seconds seconds",
                "queue_wait_seconds_bucket le=0.1 8.0", "queue_wait_seconds_bucket le=+Inf 17.0",
                "queue_wait_seconds_count 17.0", "queue_wait_seconds_sum 324789.3", "TYPE temperature_celsius gauge",
                "temperature_celsius room=cellar -0.25", "temperature_celsius room=roof nan",
                "temperature_celsius room=oven inf", "temperature_celsius room=space -inf @1500000000000",
                "TYPE build info", "build_info version=1.72.0 revision= 1.0", "TYPE feature stateset",
                "feature feature=a 1.0", "feature feature=b 0.0", "TYPE rpc_seconds summary",
                "rpc_seconds quantile=0.99 0.25", "rpc_seconds_sum 12.0", "rpc_seconds_count 100.0",
                "plain_value 42.0",
            ])
    }

    @Test(arguments: [
        ("", []),
        ("\n\n \t\n", []),
        ("a 1\n", ["a 1.0"]),
        ("a{} 1\n", ["a 1.0"]),
        ("a{}1\n", ["a 1.0"]),
        (" \t a \t { \t } \t 1 \t 2 \t \n", ["a 1.0 @2"]),
        ("a{b=\"c\"} 1 -5\n", ["a b=c 1.0 @-5"]),
        ("a {b = \"c\" , d\t=\t\"e\" , } 1\n", ["a b=c d=e 1.0"]),
        ("a{b=\"c\",}1\n", ["a b=c 1.0"]),
        ("a{b=\"\"} 1\n", ["a b= 1.0"]),
        ("a{b=\"\\\\\\\"\\n}{,# \"} 1\n", ["a b=\\\"\n}{,#  1.0"]),
        ("a{b=\"ä€😀\"} 1\n", ["a b=ä€😀 1.0"]),
        (":a_9:b 1\n", [":a_9:b 1.0"]),
        ("_ 1\n", ["_ 1.0"]),
        ("a NaN\na nan\na Nan\n", ["a nan", "a nan", "a nan"]),
        ("a +Inf\na -Inf\na inf\na INFINITY\n", ["a inf", "a -inf", "a inf", "a inf"]),
        (
            "a 1e3\na 1E+3\na -1.5e-3\na .5\na 5.\na +7\n",
            ["a 1000.0", "a 1000.0", "a -0.0015", "a 0.5", "a 5.0", "a 7.0"]
        ),
        ("a 0x1p4\na -0X1.8p1\n", ["a 16.0", "a -3.0"]),
        ("a 1e-400\na 4.9e-324\na 1.7976931348623157e308\n", ["a 0.0", "a 5e-324", "a 1.7976931348623157e+308"]),
        (
            "a 1 9223372036854775807\na 1 -9223372036854775808\n",
            ["a 1.0 @9223372036854775807", "a 1.0 @-9223372036854775808"]
        ),
        ("# a comment\n#\n#nothing\n  # indented\n# HELPER a b\na 1\n", ["a 1.0"]),
        ("# HELP a some \\\\ text\\n  with blanks \na 1\n", ["HELP a some \\ text\n  with blanks ", "a 1.0"]),
        ("# HELP a\na 1\n", ["HELP a ", "a 1.0"]),
        ("#\tTYPE\ta\tuntyped\t\na 1\n", ["TYPE a untyped", "a 1.0"]),
        (
            "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_sum 3\nh_count 4\n",
            ["TYPE h histogram", "h_bucket le=1 2.0", "h_sum 3.0", "h_count 4.0"]
        ),
        ("# UNIT a seconds\na 1\n", ["a 1.0"]),
        ("a 1\nb 2\na 3\n", ["a 1.0", "b 2.0", "a 3.0"]),
        ("a{b=\"1\"} 1\n# HELP a late\n", ["a b=1 1.0", "HELP a late"]),
    ])
    func theGrammarOfTheTextFormat(page: String, expected: [String]) throws {
        #expect(try events(bytes(page)) == expected)
    }

    @Test(
        arguments: [
            ("# EOF", []),
            ("# EOF\n", []),
            ("a 1\n# EOF\n", ["a 1.0"]),
            ("a{} 1 1.5\n# EOF", ["a 1.0 @1500"]),
            ("a 1 -0.0005\n# EOF\n", ["a 1.0 @-1"]),
            ("a{b=\"\\x\\\"\"} 1\n# EOF\n", ["a b=\\x\" 1.0"]),
            ("a_total 1 # {} 2\n# EOF\n", ["a_total 1.0"]),
            ("a_bucket 1 2 # {x=\"y\",z=\"\"} 2 3\n# EOF\n", ["a_bucket 1.0 @2000"]),
            (
                "# TYPE a unknown\n# HELP a \n# HELP b  two\n# UNIT c \n# EOF\n",
                ["TYPE a unknown", "HELP a ", "HELP b  two", "UNIT c "]
            ),
            ("# HELP a\n# TYPE a gauge\na 1\n# EOF\n", ["HELP a ", "TYPE a gauge", "a 1.0"]),
            (
                "# TYPE a gaugehistogram\na_gcount 1\na_gsum 2\n# EOF\n",
                ["TYPE a gaugehistogram", "a_gcount 1.0", "a_gsum 2.0"]
            ),
        ])
    func theGrammarOfOpenMetrics(page: String, expected: [String]) throws {
        #expect(try events(bytes(page)) == expected)
    }

    @Test(arguments: [
        ("a", "line 1, column 2: expected a line feed, found the end of the page"),
        ("a 1\nb", "line 2, column 2: expected a line feed"),
        (
            "a\n",
            "line 1, column 2: expected a value (a number that a 64-bit float can hold), found the end of the line"
        ),
        ("1a 1\n", "line 1, column 1: expected a metric name, found '1a'"),
        ("\n\n-a 1\n", "line 3, column 1: expected a metric name, found '-a'"),
        ("a-b 1\n", "line 1, column 2: expected a value"),
        ("a 1x\n", "line 1, column 3: expected a value (a number that a 64-bit float can hold), found '1x'"),
        ("a 1,5\n", "found '1,5'"),
        ("a --1\n", "found '--1'"),
        ("a -\n", "found '-'"),
        ("a .\n", "found '.'"),
        ("a 1e\n", "found '1e'"),
        ("a e5\n", "found 'e5'"),
        ("a 0x1\n", "found '0x1'"),
        ("a 0x.p1\n", "found '0x.p1'"),
        ("a -NaN\n", "found '-NaN'"),
        ("a infinite\n", "found 'infinite'"),
        ("a 1e999\n", "found '1e999'"),
        ("a 1_000\n", "found '1_000'"),
        ("a \u{661}\n", "line 1, column 3: expected a value"),
        (
            "a 1 2.5\n",
            "line 1, column 5: expected a timestamp in integer milliseconds or the end of the line, found '2.5'"
        ),
        ("a 1 9223372036854775808\n", "expected a timestamp in integer milliseconds"),
        ("a 1 2 3\n", "line 1, column 7: expected the end of the line, found '3'"),
        ("a 1 # {x=\"y\"} 1\n", "line 1, column 5: expected a timestamp in integer milliseconds or the end"),
        ("a 1\r\n", "found '1\\xd'"),
        ("a{ 1\n", "line 1, column 4: expected a label name or '}', found '1'"),
        ("a{b} 1\n", "line 1, column 4: expected '=' behind the label name, found '}'"),
        ("a{b=c} 1\n", "line 1, column 5: expected '\"' before the label value, found 'c}'"),
        ("a{b=\"c} 1\n", "line 1, column 10: expected '\"' behind the label value, found the end of the line"),
        ("a{b=\"c\\\"} 1\n", "expected '\"' behind the label value, found the end of the line"),
        ("a{b=\"c\" d=\"e\"} 1\n", "line 1, column 9: expected ',' or '}' behind the label value, found 'd=\"e\"}'"),
        ("a{b=\"c\",,} 1\n", "line 1, column 9: expected a label name or '}', found ',}'"),
        ("a{,} 1\n", "line 1, column 3: expected a label name or '}', found ',}'"),
        ("a{b:c=\"d\"} 1\n", "line 1, column 4: expected '=' behind the label name"),
        ("a{9=\"d\"} 1\n", "line 1, column 3: expected a label name"),
        ("a{b=\"1\",b=\"2\"} 1\n", "line 1, column 9: expected distinct label names, found 'b' twice"),
        ("a{__name__=\"b\"} 1\n", "line 1, column 3: expected another label name: __name__ is the metric name itself"),
        ("a{b=\"x\\y\"} 1\n", "line 1, column 7: expected '\\\\', '\\\"' or '\\n' as escape"),
        ("a{b=\"c\n\"} 1\n", "line 1, column 7: expected '\"' behind the label value, found the end of the line"),
        ("{b=\"c\"} 1\n", "line 1, column 1: expected a metric name, found '{b=\"c\"}'"),
        ("# TYPE a\n", "line 1, column 9: expected a blank and a type, found the end of the line"),
        ("# TYPE\n", "line 1, column 7: expected a blank and a metric name, found the end of the line"),
        ("# TYPE 9 gauge\n", "line 1, column 8: expected a metric name, found '9'"),
        (
            "# TYPE a meter\n",
            "line 1, column 10: expected a type (counter, gauge, histogram, summary, untyped), found 'meter'"
        ),
        ("# TYPE a unknown\n", "expected a type"),
        ("# TYPE a gauge b\n", "line 1, column 16: expected the end of the line, found 'b'"),
        (
            "# TYPE a gauge\n# TYPE a gauge\n",
            "line 2, column 10: expected one TYPE line for a metric, found a second one"
        ),
        ("# HELP a x\n# HELP a y\n", "line 2, column 9: expected one HELP line for a metric"),
        ("a 1\n# TYPE a gauge\n", "line 2, column 10: expected the TYPE line of 'a' before its first sample"),
        ("a_sum 1\n# TYPE a summary\n", "expected the TYPE line of 'a' before its first sample"),
        ("# HELP a \\q\n", "line 1, column 10: expected '\\\\' or '\\n' as escape"),
        ("a\u{0} 1\n", "line 1, column 2: expected a value"),
    ])
    func badPagesNameTheirPlace(page: String, expected: String) {
        let message = problem { _ = try events(bytes(page)) }
        #expect(message.contains(expected), "\(message)")
        #expect(!message.contains("\n"))
    }

    @Test(arguments: [
        ("a 1\n", "line 2, column 1: expected '# EOF', found the end of the page"),
        ("", "line 1, column 1: expected '# EOF', found the end of the page"),
        ("# EOF\na 1\n", "line 2, column 1: expected the end of the page behind '# EOF'"),
        ("# EOF\n\n", "line 2, column 1: expected the end of the page behind '# EOF'"),
        ("\n# EOF\n", "line 1, column 1: expected a sample or '#', found an empty line"),
        (
            "# hello\n# EOF\n",
            "line 1, column 1: expected '# HELP', '# TYPE', '# UNIT' or '# EOF', found another comment"
        ),
        ("a  1\n# EOF\n", "line 1, column 2: expected a single space and a word, found a space"),
        ("a\t1\n# EOF\n", "line 1, column 2: expected a single space and a word, found a tab"),
        ("a 1 \n# EOF\n", "line 1, column 4: expected a single space and a word"),
        ("a{b=\"c\",} 1\n# EOF\n", "line 1, column 9: expected a label name or '}'"),
        ("a{ b=\"c\"} 1\n# EOF\n", "line 1, column 3: expected a label name or '}', found a space"),
        ("a 0x1p3\n# EOF\n", "line 1, column 3: expected a value"),
        ("a 1 x\n# EOF\n", "line 1, column 5: expected a timestamp in seconds"),
        ("a 1 NaN\n# EOF\n", "line 1, column 5: expected a timestamp in seconds"),
        ("a 1 1e300\n# EOF\n", "line 1, column 5: expected a timestamp in seconds"),
        ("a 1 # {} 1\n# EOF\n", "line 1, column 5: expected the end of the line: only _total and _bucket samples"),
        ("a_total 1 # x\n# EOF\n", "line 1, column 13: expected '{' of the exemplar's labels, found 'x'"),
        ("a_total 1 # {}\n# EOF\n", "line 1, column 15: expected a single space and a word, found the end of the line"),
        ("a_total 1 # {} x\n# EOF\n", "line 1, column 16: expected the exemplar's value"),
        ("a_total 1 # {} 1 2 3\n# EOF\n", "line 1, column 19: expected the end of the line"),
        ("# TYPE a gauge\na 1\nb 1\na 2\n# EOF\n", "line 4, column 1: expected the lines of 'a' in one group"),
        ("a 1\n# HELP a x\n# EOF\n", "line 2, column 9: expected the HELP line of 'a' before its first sample"),
        (
            "# TYPE a gauge\n# TYPE b gauge\n# HELP a x\n# EOF\n",
            "line 3, column 9: expected the lines of 'a' in one group"
        ),
        ("# TYPE  a gauge\n# EOF\n", "line 1, column 7: expected a single space and a word"),
    ])
    func badOpenMetricsPagesNameTheirPlace(page: String, expected: String) {
        let message = problem { _ = try events(bytes(page), format: .openMetrics) }
        #expect(message.contains(expected), "\(message)")
    }

    @Test func limitsAndBrokenText() {
        let long = bytes("a 1\nb{c=\"" + String(repeating: "x", count: 200) + "\"} 1\n")
        let message = problem { _ = try events(long, lineBytesMax: 100) }
        #expect(message == "line 2, column 1: expected a line of at most 100 bytes, found a longer one")
        #expect(
            problem { _ = try events(bytes("a 1") + [UInt8](repeating: 0x20, count: 97) + [0x0A], lineBytesMax: 100) }
                == "no error")
        let endless = [UInt8](repeating: 0x61, count: 2 << 20)
        #expect(problem { _ = try events(endless) }.contains("at most 1048576 bytes"))
        let many = (0...1000).map { "l\($0)=\"\"" }.joined(separator: ",")
        #expect(problem { _ = try events(bytes("a{\(many)} 1\n")) }.contains("expected at most 1000 labels"))
        for broken: [UInt8] in [
            [0xFF], [0xC0, 0x80], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xC3],
        ] {
            let message = problem { _ = try events(bytes("a{b=\"x") + broken + bytes("\"} 1\n")) }
            #expect(message == "line 1, column 7: expected UTF-8 in the label value", "\(broken)")
        }
        #expect(
            problem { _ = try events(bytes("# HELP a x") + [0xFF, 0x0A]) }.contains("column 11: expected UTF-8 text"))
        let exemplar = "a_total 1 # {x=\"\(String(repeating: "ä", count: 128))\"} 1\n# EOF\n"
        #expect(
            problem { _ = try events(bytes(exemplar)) }.contains(
                "at most 128 characters in an exemplar's labels, found 129"))
    }

    @Test func replayPagesFollowTheWriterRules() throws {
        func page(_ text: String) throws -> ReplayPage {
            try bytes(text).withUnsafeBytes { try ReplayPage($0, path: "p") }
        }
        let many = (0..<40).map { "l\($0)=\"v\"" }.joined(separator: ",")
        let wide = try page(
            "a{\(many)} 1\nb{\(String(repeating: "k", count: 300))=\"\(String(repeating: "v", count: 20_000))\"} 1\n")
        #expect(wide.series[0].labels.count == 29 && wide.truncatedSeries == 1)
        #expect(wide.series[1].labels[0].key.count == 256 && wide.series[1].labels[0].value.count == 16_384)
        #expect(
            problem { _ = try page("a{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 1\n") }
                == "p: line 2, column 1: expected each series once, found the one of line 1 again")
        #expect(problem { _ = try page("# nothing\n") }.contains("the page has no samples"))
        #expect(problem { _ = try page("a{b=} 1\n") }.hasPrefix("p: line 1, column 5: expected"))
        let profile = try Catalogue.load("replay")
        #expect(profile.series == 4 * 507)
        let scaled = try Catalogue.load("replay", ["targets=20", "churn.rate=0.5"])
        #expect(scaled.series == 20 * 507)
        let pool = try SeriesPool(SeriesPlan(scaled))
        #expect(pool.startedByRound[1] > scaled.series)
        // Values go on from the page's; the exporter's own job label gives way to the one of the scrape.
        let clash = FileManager.default.temporaryDirectory.appendingPathComponent("clash-\(UUID().uuidString).prom")
        defer { try? FileManager.default.removeItem(at: clash) }
        try Data("# TYPE up gauge\nup{job=\"own\"} NaN\nn_total 7\n".utf8).write(to: clash)
        let plan = try SeriesPlan(
            Profile.load("replay", directory: Place.profiles, overrides: ["page=\(clash.path)", "targets=1"]))
        var stream = try RowStream(plan)
        var batch = RowBatch()
        let hasRows = stream.next(into: &batch)
        #expect(hasRows && batch.count == 2 && batch.values[0].isNaN && batch.values[1] >= 7)
        var keys = [String]()
        try RawName.forEachLabel(batch.name(0)) { key, _ in keys.append(text(key)) }
        #expect(keys == ["", "exported_job", "job", "instance", "revision"])
    }

    @Test(arguments: 0..<60 as Range<UInt64>)
    func mutatedPagesNeverTrap(seed: UInt64) throws {
        let original = try load(seed % 2 == 0 ? Place.page : Place.openMetrics)
        var random = SplitMix64(seed: seed)
        let interesting = Array("{}\"\\=,# \t\n\0\u{7F}eEnNpPxX+-.09aZ_:".utf8) + [0xFF, 0xC3, 0x80]
        for _ in 0..<20 {
            var page = original
            for _ in 0...random.below(6) {
                let index = random.below(page.count)
                switch random.below(5) {
                case 0: page[index] = interesting[random.below(interesting.count)]
                case 1: page.remove(at: index)
                case 2: page.insert(interesting[random.below(interesting.count)], at: index)
                case 3: page.removeSubrange(index..<min(page.count, index + random.below(200)))
                default: page.removeSubrange(index...)
                }
                if page.isEmpty { page = [0x0A] }
            }
            // Either it parses or it says where it does not.
            do throws(ExpositionError) {
                _ = try events(page)
            } catch {
                #expect(error.line >= 1 && error.column >= 1 && error.message.contains("expected"), "seed \(seed)")
            }
        }
    }
}
