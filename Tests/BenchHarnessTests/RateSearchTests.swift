// RateSearchTests.swift - the search for the highest sustainable rate against engines whose limit is known.

import Testing

@testable import BenchHarness

@Suite struct RateSearchTests {
    private func trial(_ rate: Double?, limit: Double, closed: Double) -> RateTrial {
        RateTrial(
            rowsPerSecond: rate, achievedRowsPerSecond: rate.map { min($0, limit) } ?? closed,
            p99Ms: rate.map { $0 > limit ? 5000 : 2 }, pendingShare: 0.1, partsMax: 3, backlogSeconds: 0, stalls: 0)
    }

    @Test(arguments: [1000.0, 77_777, 500_000, 2_345_678, 9e7])
    func theLimitIsFound(limit: Double) throws {
        // A closed loop may promise too much, or too little.
        for closed in [limit / 3, limit, limit * 40] {
            let found = try RateSearch.find(limits: RateLimits()) { (rate) throws(HarnessError) in
                self.trial(rate, limit: limit, closed: closed)
            }
            let rate = try #require(found.sustainedRowsPerSecond)
            #expect(rate <= limit && rate > limit / 1.06, "\(rate) of \(limit)")
            #expect(found.endedBy.first == "p99 from the intended start 5,000 ms, limit 100 ms")
            #expect(found.trials.count <= RateSearch.trialsMax && found.trials[0].rowsPerSecond == nil)
        }
    }

    @Test func anEngineThatSustainsNothingEndsTheSearch() throws {
        let found = try RateSearch.find(limits: RateLimits()) { (rate) throws(HarnessError) in
            self.trial(rate, limit: 0, closed: 1e6)
        }
        #expect(found.sustainedRowsPerSecond == nil && !found.endedBy.isEmpty && found.trials.count == 12)
        #expect(RunSections.text(found).hasPrefix("No rate was sustained; the search ended with p99"))
    }

    @Test func eachLimitIsTold() {
        let limits = RateLimits()
        var trial = trial(1000, limit: 2000, closed: 0)
        #expect(RateSearch.violations(trial, limits).isEmpty)
        trial.stalls = 1
        trial.pendingShare = 1.3
        trial.partsMax = 31
        trial.p99Ms = 101
        trial.backlogSeconds = 0.6
        #expect(
            RateSearch.violations(trial, limits) == [
                "stalls 1.00, limit 0", "pending items 1.30 x the bytes of a flush, limit 1.25 x the bytes of a flush",
                "parts 31.0, limit 30.0", "p99 from the intended start 101 ms, limit 100 ms",
                "backlog 0.600 s, limit 0.500 s",
            ])
        trial = self.trial(1000, limit: 979, closed: 0)
        #expect(
            RateSearch.violations(trial, limits).last == "97.90 % of the rows that were due were taken, limit 98.00 %")
    }

    @Test func errorsEndTheSearch() {
        #expect(throws: HarnessError.interrupted) {
            try RateSearch.find(limits: RateLimits()) { (_) throws(HarnessError) in throw HarnessError.interrupted }
        }
    }
}
