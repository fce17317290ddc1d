// RoundFeedTests.swift - the rows of a round are those of the stream, whatever the order in which they are visited.

import StorageBytes
import StorageFiles
import Testing
import Workloads

@testable import BenchHarness

@Suite struct RoundFeedTests {
    private static func source(_ name: String, _ overrides: [String]) throws -> RowSource {
        let profile = try ProfileLoader.load(
            name, given: repositoryPath("Benchmarks/Profiles"), size: .s, overrides: overrides, RealFileSystem())
        let plan = try SeriesPlan(profile)
        return RowSource(plan, try SeriesPool(plan))
    }

    private struct Row: Hashable {
        var name: [UInt8]
        var timestampMs: Int64
        var value: UInt64
    }

    private static func rows(_ feed: borrowing RoundFeed) -> [Row] {
        feed.rows.map { Row(name: Array($0.name), timestampMs: $0.timestampMs, value: $0.value.bitPattern) }
    }

    @Test(arguments: RowOrder.allCases)
    func roundsAreThoseOfTheStream(order: RowOrder) throws {
        let source = try Self.source("churn-storm", ["series=960", "rounds=5"])
        var feed = try RoundFeed(source, order: order, seed: 42)
        var stream = try RowStream(source.plan)
        var batch = RowBatch(capacity: 77)
        var order0: [UInt32] = []
        var fresh = 0
        var expected: [Row] = []
        var hasMore = stream.next(into: &batch)
        for round in 0..<5 {
            let hasRound = feed.next()
            #expect(hasRound && feed.round == round && feed.count == 960)
            expected = []
            var expectedNew = 0
            while hasMore, batch.round == round {
                for row in 0..<batch.count {
                    expected.append(
                        Row(
                            name: Array(batch.name(row)), timestampMs: batch.timestampsMs[row],
                            value: batch.values[row].bitPattern))
                    expectedNew += Int(batch.isNew[row])
                }
                hasMore = stream.next(into: &batch)
            }
            let found = Self.rows(feed)
            if order == .scrape { #expect(found == expected) }
            #expect(Set(found) == Set(expected) && found.count == expected.count)
            #expect(feed.newSeries == expectedNew && feed.firstMs == expected.map(\.timestampMs).min())
            #expect(feed.lastMs == expected.map(\.timestampMs).max())
            for (row, number) in zip(feed.rows, feed.numbers) {
                #expect(Bytes.compare(row.name, source.pool.name(Int(number))) == 0)
            }
            for row in 1..<feed.count { #expect(feed.numbers[row] != feed.numbers[row - 1]) }
            if round == 0 { order0 = Array(feed.numbers) }
            fresh += feed.newSeries
        }
        let ends = !feed.next()
        #expect(ends && fresh == source.pool.count)
        #expect((order0 == Array(0..<960)) == (order == .scrape))
    }

    @Test func theDigestDoesNotDependOnTheOrder() throws {
        let source = try Self.source("churn-storm", ["series=960", "rounds=3"])
        func digest(_ order: RowOrder, _ source: RowSource, seed: UInt64 = 42) throws -> UInt64 {
            var feed = try RoundFeed(source, order: order, seed: seed)
            while feed.next() {}
            return feed.streamDigest
        }
        let first = try digest(.scrape, source)
        #expect(try digest(.shuffled, source) == first)
        #expect(try digest(.shuffled, source, seed: 7) == first)
        #expect(try digest(.scrape, Self.source("churn-storm", ["series=960", "rounds=4"])) != first)
        #expect(try digest(.scrape, Self.source("churn-storm", ["series=960", "rounds=3", "interval=20s"])) != first)
    }

    @Test func repeatedRoundsKeepThePlaces() throws {
        let source = try Self.source("rows-short", ["series=500", "rounds=2"])
        var feed = try RoundFeed(source, order: .shuffled, seed: 42, rowsMax: 2000)
        while feed.next() {}
        let before = feed.rows.map { Array($0.name) }
        feed.repeatLast(rounds: 4, startMs: 1_000_000, stepMs: 500)
        #expect(feed.count == 2000 && feed.newSeries == 0 && feed.firstMs == 1_000_000)
        for (index, row) in feed.rows.enumerated() {
            #expect(Array(row.name) == before[index % 500])
            #expect(row.timestampMs == 1_000_000 + Int64(index) * 500 / 500)
        }
        #expect(feed.lastMs == 1_001_999)
        feed.repeatLast(rounds: 1, startMs: 2_000_000, stepMs: 1)
        #expect(feed.count == 500 && feed.rows.map { Array($0.name) } == before)
    }

    @Test func labelsAreChargedForTheirRows() throws {
        let source = try Self.source("k8s-pods", ["series=960", "rounds=1"])
        let input = SeriesInput(source.pool)
        let costs = try LabelCosts.measure(Array(0..<960), of: input, perDay: true)
        #expect(costs.count == 13 && costs[0].label == "id" && abs(costs.reduce(0) { $0 + $1.share } - 1) < 1e-9)
        let id = costs[0]
        #expect(id.nameBytes == 127 && id.distinctRatio == 20.0 / 960)
        // Tag, composite tag with the metric name, both with head and id; the day adds eight bytes to each.
        #expect(id.perDayBytes == id.globalBytes + 16)
        let name = try #require(costs.first { $0.label == "__name__" })
        #expect(name.distinctRatio == 48.0 / 960 && name.perDayBytes == name.globalBytes + 8)
        #expect(try LabelCosts.measure([0, 1], of: input, perDay: false)[0].perDayBytes == 0)
    }
}
