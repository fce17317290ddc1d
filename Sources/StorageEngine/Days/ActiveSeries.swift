// ActiveSeries.swift - which series are active: the sets that spare almost every row the question whether its series is
// registered for its day (docs/format/series-index.md, 6.8 and 6.9).
//
//   current    series with rows in this hour     row of this hour, series in the set -> registered for today
//   previous   series of the hour before         the same, while both hours are of one day
//   next day   series registered for tomorrow ahead of time
//
// Rows only read the published sets and leave what is missing in pending sets; every ten seconds these are added to new
// published sets. Each pending entry keeps its hour: an entry that waits while the hour ends belongs to the hour that has
// ended, so nothing is taken for registered on the new day.
//
// When entries of days could not be added, their series are taken out of all sets, and whatever blocks leave that began
// before is dropped: they may have relied on an entry that another block was about to add.
//
// Threads: any. Published sets are immutable.

import SeriesIndex
import StorageRuntime

/// The sets as they are published: one value for a whole block of rows.
struct ActiveSets: Sendable {
    /// Hours since 1970.
    var currentHour: UInt64
    var current = MetricIDSet()
    var previousHour: UInt64
    var previous = MetricIDSet()
    /// Days since 1970; ``nextDay`` are the series registered for the day after it.
    var today: UInt64
    var nextDay = MetricIDSet()
    /// How often entries of days could not be added so far.
    var failures: UInt64 = 0
}

/// The published sets and what waits to be added to them.
final class ActiveSeries: Sendable {
    private struct State {
        var published: ActiveSets
        var pendingHours: [UInt64: MetricIDSet] = [:]
        var pendingNextDay = MetricIDSet()
        var pendingNextDayDate: UInt64
    }

    private let state: Protected<State>

    init(_ sets: ActiveSets) {
        state = Protected(State(published: sets, pendingNextDayDate: sets.today))
    }

    var published: ActiveSets { state.withLock { $0.published } }

    /// Leaves series for the next updates.
    ///
    /// - Parameters:
    ///   - hour: The hour of the rows of `hourIDs`.
    ///   - date: The day whose next day `nextDayIDs` were registered for.
    ///   - failures: What the sets said before the series were looked for; nothing is left when it is different now.
    func add(hour: UInt64, _ hourIDs: [UInt64], date: UInt64, nextDay nextDayIDs: [UInt64], failures: UInt64) {
        guard !hourIDs.isEmpty || !nextDayIDs.isEmpty else { return }
        state.withLock { state in
            guard state.published.failures == failures else { return }
            if !hourIDs.isEmpty {
                hourIDs.withUnsafeBufferPointer {
                    _ = state.pendingHours[hour, default: MetricIDSet()].insert(contentsOf: $0)
                }
            }
            if !nextDayIDs.isEmpty {
                if state.pendingNextDayDate != date {
                    state.pendingNextDay = MetricIDSet()
                    state.pendingNextDayDate = date
                }
                nextDayIDs.withUnsafeBufferPointer { _ = state.pendingNextDay.insert(contentsOf: $0) }
            }
        }
    }

    /// Takes series out of all sets, because entries of theirs could not be added.
    func forget(_ ids: some Sequence<UInt64>) {
        state.withLock { state in
            state.published.failures += 1
            let gone = MetricIDSet(ids)
            state.published.current.subtract(gone)
            state.published.previous.subtract(gone)
            state.published.nextDay.subtract(gone)
            for hour in state.pendingHours.keys { state.pendingHours[hour]?.subtract(gone) }
            state.pendingNextDay.subtract(gone)
        }
    }

    /// Publishes the hour sets of `hour`.
    func updateHours(_ hour: UInt64) {
        state.withLock { state in
            if let ids = state.pendingHours.removeValue(forKey: state.published.currentHour) {
                state.published.current.formUnion(ids)
            }
            guard state.published.currentHour != hour else {
                state.pendingHours.removeAll()
                return
            }
            state.published.previousHour = state.published.currentHour
            state.published.previous = state.published.current
            state.published.currentHour = hour
            state.published.current = state.pendingHours.removeValue(forKey: hour) ?? MetricIDSet()
            state.pendingHours.removeAll()
        }
    }

    /// Publishes the set of the next day.
    func updateNextDay(today: UInt64) {
        state.withLock { state in
            let isSameDay = state.published.today == today
            if isSameDay, state.pendingNextDay.isEmpty { return }
            var ids = isSameDay ? state.published.nextDay : MetricIDSet()
            if state.pendingNextDayDate == today { ids.formUnion(state.pendingNextDay) }
            state.pendingNextDay = MetricIDSet()
            state.published.today = today
            state.published.nextDay = ids
        }
    }
}
