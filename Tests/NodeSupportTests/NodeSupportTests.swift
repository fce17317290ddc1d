// NodeSupportTests.swift - rate-limited lines, metric lines, histograms, addresses.

import StorageRuntime
import Testing

@testable import NodeSupport

@Suite struct NodeSupportTests {
    @Test func linesOfACauseAreLimitedAndCounted() {
        let clock = VirtualClock(unixMilliseconds: 0)
        let lines = Protected<[String]>([])
        let log = NodeLog(clock: clock, linesPerSecondMax: 3) { level, _, text in
            lines.withLock { $0.append("\(level.name) \(text)") }
        }
        func hit(_ number: Int) { log.limited(.error, "hit \(number)") }
        for number in 0..<10 { hit(number) }
        log.limited(.warn, "another cause")
        clock.advance(milliseconds: 1000)
        hit(10)
        hit(11)
        #expect(
            lines.withLock { $0 } == [
                "error hit 0", "error hit 1", "error hit 2", "warn another cause",
                "error hit 10 (7 similar lines were left out)", "error hit 11",
            ])
    }

    @Test func metricLines() {
        #expect(NodeMetric("a", 17).valueText == "17")
        #expect(NodeMetric("a", 0.5).valueText == "0.5")
        #expect(NodeMetric("a", -3.0).valueText == "-3")
        #expect(MetricLabel.quoted("a\"b\\c\nd") == "\"a\\\"b\\\\c\\nd\"")
    }

    @Test func histogramBuckets() {
        let histogram = DurationHistogram("h", labels: "path=\"/\"")
        #expect(histogram.metrics == [])
        for value in [0, 1e-9, 1.2e-4, 1.2e-4, 5e18] { histogram.add(seconds: value) }
        let metrics = histogram.metrics
        #expect(
            metrics.map(\.series) == [
                "h_bucket{path=\"/\",vmrange=\"0...1.000e-09\"}",
                "h_bucket{path=\"/\",vmrange=\"1.136e-04...1.292e-04\"}",
                "h_bucket{path=\"/\",vmrange=\"1.000e+18...+Inf\"}", "h_sum{path=\"/\"}", "h_count{path=\"/\"}",
            ])
        #expect(metrics.map(\.value)[0...2] == [2, 2, 1])
        // Lower bounds are exclusive, upper bounds inclusive.
        #expect(DurationHistogram.bucket(1e-8) == 18)
        #expect(DurationHistogram.bucket(1.0001e-8) == 19)
        #expect(DurationHistogram.bucket(.infinity) == 27 * 18 + 1)
    }

    @Test func addresses() {
        #expect(ListenAddress(":8400").map { $0.host == "" && $0.port == 8400 } == true)
        #expect(ListenAddress("127.0.0.1:0").map { $0.host == "127.0.0.1" && $0.port == 0 } == true)
        #expect(ListenAddress("[::1]:5").map { $0.host == "::1" && $0.port == 5 } == true)
        for bad in ["", "8400", "host", "host:", "host:70000", "::1:5", ":-1"] {
            #expect(ListenAddress(bad) == nil, "\(bad)")
        }
    }
}
