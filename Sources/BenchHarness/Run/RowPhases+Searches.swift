// RowPhases+Searches.swift - searches beside known rows, and what each takes from the other.
//
//   paced      known rounds at a rate, for `seconds`                 -> latency of insert blocks without searches
//   alone      searches at their rate, for as long, and no rows      -> latency of searches without rows
//   searched   both                                                  -> both latencies, beside each other
//
// The rate of rows is a share of what the machine can take: of processors / cpu_us_per_known_row, the rate at which all
// processors would be busy with rows and their debt, or of known_rows_per_second where that is less, as it is when other programs
// want the processors, too. With --find-max-rate it is that share of the rate found; with --rate it is that rate. Runs that ask for searches with search_rate,
// of a profile that has none, have the last part only, with as many known rounds as were measured before and as fast as they
// are taken: that shows how much of the rate is lost. Deterministic runs have the last part only, too, on the virtual clock.
//
// Threads: as in RowPhases; searches have one of their own in live mode.

import StorageEngine
import StorageRuntime
import Workloads

extension RowPhases {
    /// Runs the parts that the profile or the options ask for; nothing when neither does.
    mutating func runSearches() throws(HarnessError) {
        guard let plan = options.searches(profile), let known, options.path == .rows else { return }
        let isLive = options.mode == .live
        var count = options.knownRounds(profile)
        if isLive, profile.searches != nil {
            let rows = Double(known.rows)
            let possible = min(
                Double(CPUCount.available()) * rows / max(known.cpuSeconds, 1e-9), rows / max(known.ingestSeconds, 1e-9)
            )
            let rate = options.searchedRowsPerSecond(plan, possible: possible)
            searchedRowsPerSecond = rate
            count = max(1, Int((rate * plan.seconds / Double(feed.roundRows)).rounded(.up)))
            paced = try measureKnown(count, "paced", rate: rate)
            try searchAlone(plan)
        }
        let load = try makeLoad(plan)
        searchLatency?.begin("searches", isOpenLoop: true)
        do throws(HarnessError) {
            searched = try measureKnown(count, "searched", rate: searchedRowsPerSecond, beside: load)
        } catch {
            _ = try? load.stop()
            throw error
        }
        searchLatency?.begin(nil)
    }

    private mutating func searchAlone(_ plan: Profile.Searches) throws(HarnessError) {
        progress.begin("search alone", total: 0, unit: "rows", source: .engine(engine))
        let load = try makeLoad(plan)
        searchLatency?.begin("searches alone", isOpenLoop: true)
        let end = load.start() &+ UInt64(plan.seconds * 1e9)
        ArrivalSchedule.wait(until: end)
        searchesAlone = try load.stop(at: min(end, WallClock.nanoseconds))
        searchLatency?.begin(nil)
        try Interrupt.check()
    }

    /// Searches for series of the last round.
    private func makeLoad(_ plan: Profile.Searches) throws(HarnessError) -> SearchLoad {
        var random = SplitMix64(seed: Seeds.derive(options.seed, "searches"))
        let rows = feed.rows
        let numbers = feed.numbers
        let count = min(feed.roundRows, 50_000)
        let names = (0..<count).map { _ in
            let row = random.below(feed.roundRows)
            return (name: rows[row].name, number: numbers[row])
        }
        // Each part of the run ends with everything in parts.
        return try SearchLoad(
            engine: engine, clock: time.clock, plan: plan, seed: options.seed, names: names, settledMs: feed.lastMs,
            latency: searchLatency)
    }
}
