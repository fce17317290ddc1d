// SeriesRanksTests.swift - numbers and order of series against a dictionary, for ids of one start of a process and of many.

import StorageBytes
import TestSupport
import Testing

@testable import SampleStore

@Suite struct SeriesRanksTests {
    private static func tsid(_ metricID: UInt64, _ group: UInt64 = 1) -> TSID {
        TSID(
            tenant: Tenant(accountID: 0, projectID: 0), metricGroupID: group, jobID: 1, instanceID: 2,
            metricID: metricID)
    }

    @Test(arguments: TestSeeds.thisRun) func numbersAgainstADictionary(seed: UInt64) {
        var random = SplitMixBytes(seed: seed)
        // One start, or several with the same low halves, around a border of 2^32, too.
        let starts: [[UInt64]] = [
            [1 << 60], [(7 << 32) - 500], [5, 5 + 1 << 32, 5 + 9 << 32], [0, UInt64.max - 2000, 1 << 31, 3 << 31],
        ]
        for bases in starts {
            var ranks = SeriesRanks()
            var model: [UInt64: Int] = [:]
            var order: [TSID] = []
            for round in 0..<4 {
                for _ in 0..<3000 {
                    let id = bases[Int(random.next() % UInt64(bases.count))] &+ random.next() % 2000
                    // The group is the id's: a series has one TSID.
                    let tsid = Self.tsid(id, id % 7)
                    let number = ranks.number(of: tsid)
                    if let known = model[id] {
                        #expect(number == known)
                    } else {
                        #expect(number == model.count)
                        model[id] = number
                        order.append(tsid)
                    }
                }
                #expect(ranks.count == model.count)
                ranks.sortNewSeries()
                let sorted = (0..<ranks.count).map { ranks.tsids[Int(ranks.order[$0])] }
                #expect(sorted == order.sorted())
                if round == 2 {
                    ranks.removeAll()
                    model = [:]
                    order = []
                }
            }
        }
    }

    /// A table that is just full takes 56 bytes a series.
    @Test func bytesOfASeries() {
        var ranks = SeriesRanks()
        for series in 0..<65536 { _ = ranks.number(of: Self.tsid(1 << 60 + UInt64(series), UInt64(series % 48))) }
        ranks.sortNewSeries()
        #expect(ranks.memoryBytes <= 65536 * (32 + 8 + 16))
    }
}
