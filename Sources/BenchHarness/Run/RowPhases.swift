// RowPhases.swift - the timed part of a run of rows: through AddRows, round by round, each kind of round accounted apart.
//
//   new      round 0: every series is new; then flush and merges              -> cpu_us_per_new_series
//   rounds   the other rounds of the profile as they come; then the debt      -> cpu_us_per_row, the table of rounds
//   known    the last round again and again, within one hour, after rounds     -> cpu_us_per_known_row
//            that warm up; then the debt
//   searched (if asked for) as many known rounds, with searches beside them    -> loss of the rate, latency of searches
//   new day  (if asked for) the same once more at 00:10 of the next day        -> cpu_us_per_new_day_row
//
// A phase's CPU is that of the process from its first AddRows until every row is in synced parts and no merge is wanted,
// minus what preparing the rows took by the clock of this thread. Wall times are of the AddRows calls alone.
//
// Threads: the driver of the run; the crew ingests beside it in live mode.

import StorageEngine
import StorageRuntime
import Workloads

/// What a phase has cost.
struct PhaseCost {
    /// Rows, and series that they began.
    var rows = 0, newSeries = 0
    /// Wall seconds of ingesting, and of the flush and merges behind it.
    var ingestSeconds = 0.0, settleSeconds = 0.0
    /// CPU of the process without that of preparing rows; of the ingest threads alone.
    var cpuSeconds = 0.0, threadCPUSeconds = 0.0
    /// Allocations without those of the harness.
    var allocations: UInt64 = 0
    /// Counters at the end of the phase.
    var metrics = StorageMetrics()
}

/// Which part of a run a profiler counts.
public enum ProfileRegion: String, Sendable, CaseIterable {
    /// No part.
    case none
    /// The round in which all series are new, with its flush and merges; or its last rows, see ``RunOptions/profiledRows``.
    case new
    /// The rounds in which all series are known.
    case known
}

/// Drives the phases.
struct RowPhases: ~Copyable {
    let engine: StorageEngine
    let options: RunOptions
    let progress: Progress
    let crew: IngestCrew
    let profile: Profile
    var time: VirtualTime
    var feed: RoundFeed

    private(set) var new = PhaseCost()
    private(set) var rounds: PhaseCost?
    private(set) var known: PhaseCost?
    private(set) var searched: PhaseCost?
    private(set) var searches: SearchLoad.Result?
    private(set) var newDay: PhaseCost?
    private(set) var records: [RoundRecord] = []
    /// Why the known rounds were not what their name says, when they were not.
    private(set) var knownReason: String?
    private var harnessAllocations: UInt64 = 0

    /// Most records of rounds that a run keeps; longer runs put several rounds into one.
    static let recordsMax = 100
    /// Rows that are ingested at once in known rounds, when a round is shorter.
    static let groupRowsMax = 64_000

    init(
        engine: StorageEngine, options: RunOptions, progress: Progress, crew: IngestCrew, time: VirtualTime,
        feed: consuming RoundFeed, profile: Profile
    ) {
        self.engine = engine
        self.options = options
        self.progress = progress
        self.crew = crew
        self.time = time
        self.feed = feed
        self.profile = profile
    }

    /// Runs all phases.
    mutating func run() throws(HarnessError) {
        progress.begin("ingest", total: profile.rows, unit: "rows", source: .engine(engine))
        try runNew()
        if profile.rounds > 1 { try runRounds() }
        if options.knownRounds(profile) > 0 { try runKnown(options.knownRounds(profile)) }
        if known != nil, options.searchesPerSecond > 0 { try runSearched(options.knownRounds(profile)) }
        if options.measuresNewDay { try runNewDay() }
        begin(nil, isPaced: false)
    }

    /// Counters behind the last phase.
    var lastMetrics: StorageMetrics { (newDay ?? searched ?? known ?? rounds ?? new).metrics }

    // MARK: phases

    private mutating func runNew() throws(HarnessError) {
        _ = feed.next()
        try time.move(to: feed.firstMs)
        begin("new", isPaced: profile.rounds == 1)
        var meter = startMeter()
        let uncounted = options.profileRegion == .new ? options.uncountedRows(of: feed.count) : 0
        if uncounted > 0 {
            try crew.ingest(UnsafeBufferPointer(rebasing: feed.rows[..<uncounted]))
            try settle(&meter)
        }
        if options.profileRegion == .new { ProfiledRegion.start() }
        try ingest(&meter, from: uncounted)
        try settle(&meter)
        if options.profileRegion == .new { ProfiledRegion.stop() }
        new = finish(meter)
    }

    private mutating func runRounds() throws(HarnessError) {
        progress.begin(
            "rounds", total: profile.rows - profile.roundRows, unit: "rows", source: .engine(engine))
        begin("rounds", isPaced: true)
        var meter = startMeter()
        let perRecord = (profile.rounds - 1 + RowPhases.recordsMax - 1) / RowPhases.recordsMax
        var record = startRecord()
        while feed.next() {
            try time.move(to: feed.firstMs)
            try ingest(&meter)
            record.add(rows: feed.count, newSeries: feed.newSeries)
            if record.record.rounds == perRecord || feed.round == profile.rounds - 1 {
                finishRecord(record)
                record = startRecord()
            }
        }
        try settle(&meter)
        rounds = finish(meter)
    }

    /// The same rounds once more, while searches ask for what they bring.
    private mutating func runSearched(_ count: Int) throws(HarnessError) {
        let load = try SearchLoad(engine: engine, clock: time.clock, options: options, names: searchNames())
        load.start()
        let isDone = try measureKnown(count, "searched")
        searches = load.stop()
        searched = isDone
        if let error = searches?.error { throw error }
    }

    /// Raw names of the series that searches ask for.
    private func searchNames() -> [UnsafeRawBufferPointer] {
        var random = SplitMix64(seed: Seeds.derive(options.seed, "searches"))
        let rows = feed.rows
        return (0..<min(feed.roundRows, 50_000)).map { _ in rows[random.below(feed.roundRows)].name }
    }

    private mutating func runKnown(_ count: Int) throws(HarnessError) {
        known = try measureKnown(count, "known")
    }

    /// Repeats the last round; nil when series were missing in the caches all the time.
    private mutating func measureKnown(_ count: Int, _ title: String) throws(HarnessError) -> PhaseCost? {
        let group = max(1, min(count, RowPhases.groupRowsMax / feed.roundRows))
        // All of them within an hour, and no group longer than the updates are apart.
        let warmUps = 3
        var hourEnd = endOfHour(time.clock.unixMilliseconds)
        if hourEnd - time.clock.unixMilliseconds < 600_000 {
            try time.move(to: hourEnd + 600_000)
            hourEnd = endOfHour(time.clock.unixMilliseconds)
        }
        let groups = (count + group - 1) / group
        let room = hourEnd - time.clock.unixMilliseconds - 60_000
        let groupMs = min(room / Int64(groups + warmUps + 1), VirtualTime.updateMs * Int64(group), 30_000)
        let stepMs = max(1, min(groupMs / Int64(group), profile.intervalMs))

        begin(nil, isPaced: false)
        progress.begin("warm up", total: 0, unit: "rows", source: .engine(engine))
        var unused = PhaseMeter()
        knownReason = "series were missing in the caches all the time"
        for _ in 0..<warmUps where knownReason != nil {
            let before = engine.metrics
            feed.repeatLast(rounds: 1, startMs: time.clock.unixMilliseconds, stepMs: stepMs)
            try ingest(&unused)
            try time.move(to: time.clock.unixMilliseconds + VirtualTime.updateMs)
            let after = engine.metrics
            if after.tsidCache.misses == before.tsidCache.misses,
                after.hourMetricIDs.misses == before.hourMetricIDs.misses
            {
                knownReason = nil
            }
        }
        try settle(&unused)
        guard knownReason == nil else { return nil }

        progress.begin(title, total: count * feed.roundRows, unit: "rows", source: .engine(engine))
        begin("known", isPaced: true)
        let before = engine.metrics
        var meter = startMeter()
        var left = count
        while left > 0 {
            let repeated = min(left, group)
            feed.repeatLast(rounds: repeated, startMs: time.clock.unixMilliseconds, stepMs: stepMs)
            if options.profileRegion == .known { left == count ? ProfiledRegion.start() : ProfiledRegion.resume() }
            try ingest(&meter)
            if options.profileRegion == .known { ProfiledRegion.stop() }
            try time.move(to: feed.lastMs + 1)
            left -= repeated
        }
        if options.profileRegion == .known { ProfiledRegion.resume() }
        try settle(&meter)
        if options.profileRegion == .known { ProfiledRegion.stop() }
        let cost = finish(meter)
        if cost.metrics.tsidCache.misses > before.tsidCache.misses {
            knownReason = "\(cost.metrics.tsidCache.misses - before.tsidCache.misses) rows missed the TSID cache"
        }
        return cost
    }

    private mutating func runNewDay() throws(HarnessError) {
        let dayMs: Int64 = 86_400_000
        try time.move(to: time.clock.unixMilliseconds / dayMs * dayMs + dayMs + 600_000)
        progress.begin("new day", total: feed.roundRows, unit: "rows", source: .engine(engine))
        begin("new day", isPaced: true)
        feed.repeatLast(rounds: 1, startMs: time.clock.unixMilliseconds, stepMs: min(profile.spreadMs, 30_000))
        var meter = startMeter()
        try ingest(&meter)
        try settle(&meter)
        newDay = finish(meter)
    }

    private func endOfHour(_ moment: Int64) -> Int64 {
        moment / VirtualTime.hourMs * VirtualTime.hourMs + VirtualTime.hourMs
    }

    // MARK: steps

    /// Blocks from now on belong to a phase; with a rate they are due at it if the phase `isPaced`.
    private func begin(_ phase: String?, isPaced: Bool) {
        let rate = isPaced ? options.rowsPerSecond : nil
        crew.schedule.restart(rowsPerSecond: rate)
        crew.latency?.begin(phase, isOpenLoop: rate != nil)
    }

    /// Ingests a round; its first rows may have been ingested before.
    private func ingest(_ meter: inout PhaseMeter, from first: Int = 0) throws(HarnessError) {
        let start = WallClock.nanoseconds
        try crew.ingest(UnsafeBufferPointer(rebasing: feed.rows[first...]))
        meter.cost.ingestSeconds += WallClock.seconds(since: start)
        meter.cost.rows += feed.count
        meter.cost.newSeries += feed.newSeries
    }

    private func settle(_ meter: inout PhaseMeter) throws(HarnessError) {
        let allocations = HeapStatistics.allocationCount()
        progress.begin("settle", total: 0, unit: "rows", source: .engine(engine))
        meter.harnessAllocations &+= HeapStatistics.allocationCount() &- allocations
        let start = WallClock.nanoseconds
        if !Interrupt.isRequested {
            try HarnessError.wrapping("waiting for flushes and merges") { () throws(StorageError) in
                try engine.settle()
            }
        }
        meter.cost.settleSeconds += WallClock.seconds(since: start)
        if options.mode == .deterministic { progress.sample() }
        try Interrupt.check()
    }

    // MARK: accounts

    private struct PhaseMeter {
        var cost = PhaseCost()
        var cpuAtStart = 0.0, feedAtStart = 0.0, threadsAtStart = 0.0
        var allocationsAtStart: UInt64 = 0, harnessAllocations: UInt64 = 0
    }

    private func startMeter() -> PhaseMeter {
        var meter = PhaseMeter()
        meter.feedAtStart = feed.cpuSeconds
        meter.threadsAtStart = crew.cpuSeconds
        meter.allocationsAtStart = ownAllocations
        meter.cpuAtStart = CPUTime.ofProcess().total
        return meter
    }

    private mutating func finish(_ meter: PhaseMeter) -> PhaseCost {
        let cpu = CPUTime.ofProcess().total
        var cost = meter.cost
        cost.cpuSeconds = max(0, cpu - meter.cpuAtStart - (feed.cpuSeconds - meter.feedAtStart))
        cost.threadCPUSeconds = crew.cpuSeconds - meter.threadsAtStart
        cost.allocations = ownAllocations &- meter.allocationsAtStart &- meter.harnessAllocations
        cost.metrics = engine.metrics
        return cost
    }

    /// Allocations so far without those that the harness is known to have made.
    private var ownAllocations: UInt64 {
        HeapStatistics.allocationCount() &- harnessAllocations &- (options.mode == .live ? 0 : progress.allocations)
    }

    // MARK: the table of rounds

    private struct OpenRecord {
        var record = RoundRecord()
        var before = StorageMetrics()
        var threadsAtStart = 0.0
        var startNanoseconds: UInt64 = 0

        mutating func add(rows: Int, newSeries: Int) {
            record.rounds += 1
            record.rows += UInt64(rows)
            record.newSeries += UInt64(newSeries)
        }
    }

    private mutating func startRecord() -> OpenRecord {
        let allocations = HeapStatistics.allocationCount()
        defer { harnessAllocations &+= HeapStatistics.allocationCount() &- allocations }
        var open = OpenRecord()
        open.record.firstRound = feed.round + 1
        open.before = engine.metrics
        open.threadsAtStart = crew.cpuSeconds
        open.startNanoseconds = WallClock.nanoseconds
        return open
    }

    private mutating func finishRecord(_ open: OpenRecord) {
        let allocations = HeapStatistics.allocationCount()
        defer { harnessAllocations &+= HeapStatistics.allocationCount() &- allocations }
        var record = open.record
        record.seconds = WallClock.seconds(since: open.startNanoseconds)
        record.time = TimeText.moment(feed.firstMs)
        record.cpuUsPerRow = (crew.cpuSeconds - open.threadsAtStart) * 1e6 / Double(max(1, record.rows))
        record.set(engine.metrics, since: open.before)
        records.append(record)
    }
}
