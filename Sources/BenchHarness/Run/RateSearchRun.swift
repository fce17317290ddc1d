// RateSearchRun.swift - the trials of a rate search: short runs of the profile, each in a fresh storage, with as many rounds
// as the trial's time takes at the rate. Nothing of them stays but the answers.
//
// Threads: the driver of the run.

import StorageFiles
import StorageRuntime
import Workloads

/// What a rate search was asked for.
public struct RateSearchRequest: Sendable {
    /// The limits.
    public var limits = RateLimits()
    /// Seconds of arrivals in a trial.
    public var trialSeconds = 5.0

    /// The defaults.
    public init() {}
}

extension RunOutcome {
    /// The search that came before this run belongs to its record.
    mutating func take(_ search: RateSearchRecord) {
        record.rateSearch = search
        guard let rate = search.sustainedRowsPerSecond else { return }
        var figures = FigureSet(isDeterministic: false)
        figures.set("max_sustainable_rows_per_second", rate)
        record.figures.merge(figures.values) { _, new in new }
    }
}

/// Runs the trials.
struct RateSearchRun {
    let request: RunRequest
    let search: RateSearchRequest
    let files: any FileSystem
    let status: StatusDisplay
    /// A path at which each trial makes its storage.
    let tablePath: String

    /// Searches; the settings of the request apply to all trials.
    func find() throws(HarnessError) -> RateSearchRecord {
        var number = 0
        return try RateSearch.find(limits: search.limits) { (rate) throws(HarnessError) in
            number += 1
            let outcome = try runTrial(rate, number)
            if let failure = outcome.failure { throw failure }
            return RateTrial(outcome, rate: rate, memoryBytesMax: request.options.table.memoryBytesMax)
        }
    }

    private func runTrial(_ rate: Double?, _ number: Int) throws(HarnessError) -> RunOutcome {
        var request = request
        var options = request.options
        var plan = try RunDriver.Plan(&request, files)
        guard case .series(let profile) = plan else {
            throw HarnessError(.usage, "--find-max-rate needs a profile of rows")
        }
        if let rate, profile.rounds > 1, !request.settings.contains(where: { $0.hasPrefix("rounds=") }) {
            let rounds = Int((rate * search.trialSeconds / Double(profile.series)).rounded(.up)) + 1
            request.settings.append("rounds=\(min(max(rounds, profile.rounds), 100_000))")
            plan = try RunDriver.Plan(&request, files)
        }
        // What the plan has applied to its own copy; a trial leaves out what is not about the rate.
        options = request.options
        options.rowsPerSecond = rate
        options.knownRoundsWanted = 0
        options.measuresNewDay = false
        options.measuresRestart = false
        options.searchesPerSecond = 0
        options.measuresYardsticks = false
        options.forcesMerge = false
        options.seeks = 0
        options.readBackSample = min(options.readBackSample, 20)
        if number > 1 { options.warmMemoryBytes = 0 }
        let subject = try plan.generate(seed: options.seed, path: .rows)
        status.show(
            StatusSnapshot(
                phase: "trial \(number): " + (rate.map { TextFormat.count($0) + " rows/s" } ?? "closed loop"), done: 0,
                total: 0, unit: "rows"))
        let outcome = try BenchRun(subject: subject, options: options, files: files, status: status)
            .run(tablePath: tablePath, provenance: Provenance.atStart(), startNanoseconds: WallClock.nanoseconds)
        try HarnessError.wrapping("removing the storage of a trial") { () throws(StorageError) in
            try files.removeAll(tablePath)
        }
        return outcome
    }
}
