// SearchCheckTests.swift - searches beside the ingestion: when they are due, and whether they found what was sent.

import Testing
import Workloads

@testable import BenchHarness

@Suite struct SearchCheckTests {
    /// Rows at 10, 20 ... 100; those until 50 are settled; asked for 30 ... 80.
    private static let sent = (1...10).map { Int64($0 * 10) }

    private static func check(_ blocks: [(rows: Int, first: Int64, last: Int64)]) -> String? {
        var check = SearchCheck(number: 7, minMs: 30, maxMs: 80, settledMs: 50)
        for block in blocks { check.add(rows: block.rows, minMs: block.first, maxMs: block.last) }
        return check.fault(sent: sent)
    }

    @Test func settledRowsHaveToBeFound() {
        #expect(Self.check([(3, 30, 50)]) == nil)
        // A block may reach beyond the range, and rows that came beside the search may be seen or not.
        #expect(Self.check([(5, 10, 50)]) == nil)
        #expect(Self.check([(5, 10, 50), (3, 60, 80)]) == nil)
        #expect(Self.check([(2, 30, 40)])?.contains("2 rows of series 7") == true)
        #expect(Self.check([])?.hasSuffix("3 were settled before") == true)
    }

    @Test func noMoreRowsThanWereSent() {
        #expect(Self.check([(6, 30, 80)]) == nil)
        #expect(Self.check([(7, 30, 80)])?.hasSuffix("6 were sent") == true)
        #expect(Self.check([(3, 30, 50), (3, 30, 50), (1, 60, 60)])?.hasPrefix("7 rows") == true)
        // What lies in a block that reaches beyond the range cannot be told without decoding it.
        #expect(Self.check([(10, 10, 100)]) == nil)
    }

    @Test(arguments: [1, 3, 7, 20, 999_983] as [UInt64]) func searchesDueBeforeAMoment(perSecond: UInt64) {
        let schedule = SearchSchedule(startNanoseconds: 1_000_000, perSecond: perSecond)
        for number in [1, 2, 5, 100] as [UInt64] {
            let moment = schedule.intended(number)
            #expect(schedule.due(before: moment) == number, "what is due at the end is not due before it")
            #expect(schedule.due(before: moment + 1) == number + 1)
        }
        #expect(schedule.due(before: 0) == 1 && schedule.due(before: 1_000_000) == 1)
    }

    @Test func aLoadThatIsLateEndsAfterAsLongAgain() {
        let schedule = SearchSchedule(startNanoseconds: 1000, perSecond: 1)
        #expect(!schedule.isOver(end: 3000, now: 2000) && !schedule.isOver(end: 3000, now: 5000))
        #expect(schedule.isOver(end: 3000, now: 5001) && schedule.isOver(end: 1000, now: 1000))
    }

    @Test func whatWasMissedHasWaited() {
        let recorder = LatencyRecorder()
        recorder.begin("searches", isOpenLoop: true)
        recorder.record(intended: 100, start: 1000, end: 2000)
        recorder.recordMissed(intended: 1000, now: 1500)
        let records = recorder.records(since: 0)
        #expect(records.map(\.count) == [2, 1] && records[0].valuesNs == [500, 1900])
    }

    @Test func rowsBesideSearchesAreAShareOfTheHighestRate() {
        let plan = Profile.Searches(perSecond: 20, series: 100)
        var options = RunOptions()
        #expect(options.searchedRowsPerSecond(plan, possible: 1000) == 500)
        options.rowsPerSecond = 400
        #expect(options.searchedRowsPerSecond(plan, possible: 1000) == 400, "a rate that was asked for")
        options.isRateFound = true
        #expect(options.searchedRowsPerSecond(plan, possible: 1000) == 200, "half of the highest")
    }
}
