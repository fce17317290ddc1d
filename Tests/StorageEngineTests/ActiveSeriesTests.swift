// ActiveSeriesTests.swift - the sets of the hour and of the next day: what is published when, and what is dropped.

import SeriesIndex
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct ActiveSeriesTests {
    private static let hour: UInt64 = 455_100
    private static let day = hour / 24

    private static func make() -> ActiveSeries {
        ActiveSeries(ActiveSets(currentHour: hour, previousHour: hour - 1, today: day))
    }

    private static func add(_ series: ActiveSeries, hour: UInt64, _ ids: [UInt64], nextDay: [UInt64] = []) {
        series.add(
            hour: hour, ids, date: DateMath.date(hour: hour), nextDay: nextDay, failures: series.published.failures)
    }

    private static func ids(_ set: MetricIDSet) -> [UInt64] { Array(set) }

    @Test func hoursFollowEachOther() {
        let series = Self.make()
        Self.add(series, hour: Self.hour, [3, 1])
        #expect(series.published.current.isEmpty)
        series.updateHours(Self.hour)
        #expect(Self.ids(series.published.current) == [1, 3])
        Self.add(series, hour: Self.hour, [2])
        // What waits while the hour ends belongs to the hour that has ended.
        series.updateHours(Self.hour + 1)
        #expect(Self.ids(series.published.previous) == [1, 2, 3] && series.published.current.isEmpty)
        #expect(series.published.currentHour == Self.hour + 1 && series.published.previousHour == Self.hour)
        // An entry of a block that began before the update comes too late.
        Self.add(series, hour: Self.hour, [9])
        series.updateHours(Self.hour + 1)
        #expect(series.published.current.isEmpty && Self.ids(series.published.previous) == [1, 2, 3])
        series.updateHours(Self.hour + 5)
        #expect(series.published.previous.isEmpty && series.published.previousHour == Self.hour + 1)
    }

    @Test func midnightStartsWithNothing() {
        let series = Self.make()
        let last = Self.hour / 24 * 24 + 23
        series.updateHours(last)
        Self.add(series, hour: last, [5])
        series.updateHours(last + 1)
        #expect(series.published.current.isEmpty && Self.ids(series.published.previous) == [5])
        #expect(DateMath.date(hour: series.published.previousHour) != DateMath.date(hour: last + 1))
    }

    @Test func nextDayEndsWithItsDay() {
        let series = Self.make()
        Self.add(series, hour: Self.hour, [], nextDay: [7])
        series.updateNextDay(today: Self.day)
        Self.add(series, hour: Self.hour, [], nextDay: [8])
        #expect(Self.ids(series.published.nextDay) == [7])
        series.updateNextDay(today: Self.day)
        #expect(Self.ids(series.published.nextDay) == [7, 8])
        Self.add(series, hour: Self.hour, [], nextDay: [9])
        series.updateNextDay(today: Self.day + 1)
        #expect(series.published.nextDay.isEmpty && series.published.today == Self.day + 1)
    }

    @Test func failedEntriesAreForgottenEverywhere() {
        let series = Self.make()
        Self.add(series, hour: Self.hour, [1, 2, 3], nextDay: [1, 2])
        series.updateHours(Self.hour)
        series.updateNextDay(today: Self.day)
        Self.add(series, hour: Self.hour, [4, 5], nextDay: [4])
        // A block that began before the failure may have relied on an entry that did not come.
        let stale = series.published.failures
        series.forget([2, 4])
        series.add(hour: Self.hour, [6], date: Self.day, nextDay: [6], failures: stale)
        Self.add(series, hour: Self.hour, [7])
        series.updateHours(Self.hour)
        series.updateNextDay(today: Self.day)
        #expect(Self.ids(series.published.current) == [1, 3, 5, 7])
        #expect(Self.ids(series.published.nextDay) == [1])
        series.updateHours(Self.hour + 1)
        series.forget([5])
        #expect(Self.ids(series.published.previous) == [1, 3, 7])
    }
}
