// StatisticsTests.swift - order statistics and the formatting of numbers.

import Testing

@testable import BenchHarness

@Suite struct StatisticsTests {
    @Test func medianAndPercentiles() {
        let odd = Statistics([5, 1, 3])
        #expect(odd.min == 1 && odd.median == 3 && odd.max == 5 && odd.mean == 3)
        let even = Statistics([4, 1, 3, 2])
        #expect(even.median == 2.5)
        let hundred = Statistics((1...100).map(Double.init))
        #expect(hundred.percentile(0.05) == 5)
        #expect(hundred.percentile(0.99) == 99)
        #expect(hundred.percentile(0) == 1)
        #expect(hundred.percentile(1) == 100)
        #expect(Statistics([7]).percentile(0.5) == 7)
    }

    @Test func anEmptySampleIsZero() {
        let empty = Statistics([])
        #expect(empty.min == 0 && empty.max == 0 && empty.median == 0 && empty.mean == 0 && empty.percentile(0.5) == 0)
    }

    @Test(arguments: [
        (0.0, "0"), (0.01234, "0.0123"), (0.1234, "0.123"), (1.234, "1.23"), (9.996, "10.0"), (12.34, "12.3"),
        (99.96, "100"), (1234.5, "1,235"), (-1.5, "-1.50"),
    ])
    func shortNumbers(value: Double, text: String) { #expect(TextFormat.short(value) == text) }

    @Test(arguments: [
        (0.0, "0"), (999, "999"), (12_345, "12,345"), (123_456, "123 k"), (999_600, "1.00 M"), (54e6, "54.0 M"),
        (2.5e9, "2.50 G"),
    ])
    func counts(value: Double, text: String) { #expect(TextFormat.count(value) == text) }

    @Test(arguments: [
        (0.0, "0 B"), (512, "512 B"), (1234, "1.23 kB"), (45.6e6, "45.6 MB"), (7.89e9, "7.89 GB"),
    ])
    func bytes(value: Double, text: String) { #expect(TextFormat.bytes(value) == text) }

    @Test func durationsAndDates() {
        #expect(TextFormat.seconds(0.421) == "0.42 s")
        #expect(TextFormat.seconds(12.34) == "12.3 s")
        #expect(TextFormat.seconds(185) == "3 min 05 s")
        #expect(TextFormat.utc(unixSeconds: 0) == "1970-01-01T00:00:00Z")
        #expect(TextFormat.utc(unixSeconds: 951_827_696) == "2000-02-29T12:34:56Z")
        #expect(TextFormat.utc(unixSeconds: 4_107_542_399) == "2100-02-28T23:59:59Z")
        #expect(TextFormat.stamp(unixSeconds: 1_640_995_200) == "20220101-000000")
    }

    @Test func nouns() {
        #expect(TextFormat.many(1, "flush") == "1 flush" && TextFormat.many(0, "flush") == "0 flushes")
        #expect(TextFormat.many(2, "part") == "2 parts" && TextFormat.many(123_456, "block") == "123 k blocks")
    }

    @Test func fixedDecimals() {
        #expect(TextFormat.fixed(2.005, 1) == "2.0")
        #expect(TextFormat.fixed(-0.04, 1) == "0.0")
        #expect(TextFormat.fixed(1.96, 1) == "2.0")
        #expect(TextFormat.fixed(.infinity, 1) == "inf")
        #expect(TextFormat.percent(0.98765) == "98.77 %")
    }
}
