// RowPhases.swift - the timed part of a run of rows: through AddRows, round by round, each kind of round accounted apart.
//
//   new      round 0: every series is new; then flush and merges              -> cpu_us_per_new_series
//   rounds   the other rounds of the profile as they come; then the debt      -> cpu_us_per_row, the table of rounds
//   known    the last round again and again, within one hour, after rounds     -> cpu_us_per_known_row
//            that warm up; then the debt
//   searches (if asked for) known rounds alone, searches alone, both           -> RowPhases+Searches
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
    /// Known rounds at the rate at which searches run beside them, alone and with the searches (RowPhases+Searches).
    var paced: PhaseCost?, searched: PhaseCost?
    var searches: SearchLoad.Result?, searchesAlone: SearchLoad.Result?
    /// Rows a second of both; nil when they were taken as fast as they could be.
    var searchedRowsPerSecond: Double?
    /// Latencies of searches; live runs only.
    let searchLatency: LatencyRecorder?
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
        searchLatency = options.mode == .live ? LatencyRecorder() : nil
    }

    /// Runs all phases.
    mutating func run() throws(HarnessError) {
        progress.begin("ingest", total: profile.rows, unit: "rows", source: .engine(engine))
        try runNew()
        if profile.rounds > 1 { try runRounds() }
        if options.knownRounds(profile) > 0 { try runKnown(options.knownRounds(profile)) }
        try runSearches()
        if options.measuresNewDay { try runNewDay() }
        begin(nil)
    }

    /// Counters behind the last phase.
    var lastMetrics: StorageMetrics { (newDay ?? searched ?? paced ?? known ?? rounds ?? new).metrics }

    // MARK: phases

    private mutating func runNew() throws(HarnessError) {
        _ = feed.next()
        try time.move(to: feed.firstMs)
        begin("new", rate: profile.rounds == 1 ? options.rowsPerSecond : nil)
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
        begin("rounds", rate: options.rowsPerSecond)
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

    private mutating func runKnown(_ count: Int) throws(HarnessError) {
        known = try measureKnown(count, "known", rate: options.rowsPerSecond)
    }

    /// Repeats the last round `count` times, at a rate if there is one, with searches beside it if there are any; nil when
    /// series were missing in the caches all the time.
    mutating func measureKnown(
        _ count: Int, _ phase: String, rate: Double?, beside load: SearchLoad? = nil
    ) throws(HarnessError) -> PhaseCost? {
        let isLive = options.mode == .live
        let isProfiled = options.profileRegion == .known && phase == "known"
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

        begin(nil)
        progress.begin("warm up", total: 0, unit: "rows", source: .engine(engine))
        var unused = PhaseMeter()
        var reason: String? = "series were missing in the caches all the time"
        // Of the known rounds, not of those beside searches: it is their cost that it would spoil.
        defer { if phase == "known" { knownReason = reason } }
        for _ in 0..<warmUps where reason != nil {
            let before = engine.metrics
            feed.repeatLast(rounds: 1, startMs: time.clock.unixMilliseconds, stepMs: stepMs)
            try ingest(&unused)
            try time.move(to: time.clock.unixMilliseconds + VirtualTime.updateMs)
            let after = engine.metrics
            if after.tsidCache.misses == before.tsidCache.misses,
                after.hourMetricIDs.misses == before.hourMetricIDs.misses
            {
                reason = nil
            }
        }
        try settle(&unused)
        guard reason == nil else { return nil }

        progress.begin(phase, total: count * feed.roundRows, unit: "rows", source: .engine(engine))
        begin(phase, rate: rate)
        let before = engine.metrics
        if isLive { load?.start() }
        var meter = startMeter()
        var left = count
        while left > 0 {
            let repeated = min(left, group)
            feed.repeatLast(rounds: repeated, startMs: time.clock.unixMilliseconds, stepMs: stepMs)
            if isProfiled { left == count ? ProfiledRegion.start() : ProfiledRegion.resume() }
            try ingest(&meter)
            if isProfiled { ProfiledRegion.stop() }
            try time.move(to: feed.lastMs + 1)
            if !isLive { try load?.runDue(rows: feed.count) }
            left -= repeated
        }
        if let load { searches = try load.stop() }
        if isProfiled { ProfiledRegion.resume() }
        try settle(&meter)
        if isProfiled { ProfiledRegion.stop() }
        let cost = finish(meter)
        if cost.metrics.tsidCache.misses > before.tsidCache.misses {
            reason = "\(cost.metrics.tsidCache.misses - before.tsidCache.misses) rows missed the TSID cache"
        }
        return cost
    }

    private mutating func runNewDay() throws(HarnessError) {
        let dayMs: Int64 = 86_400_000
        try time.move(to: time.clock.unixMilliseconds / dayMs * dayMs + dayMs + 600_000)
        progress.begin("new day", total: feed.roundRows, unit: "rows", source: .engine(engine))
        begin("new day", rate: options.rowsPerSecond)
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

    /// Blocks from now on belong to a phase, and are due at a rate if there is one.
    private func begin(_ phase: String?, rate: Double? = nil) {
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
