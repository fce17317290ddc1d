// RunOptions.swift - what the user asked a run for, after parsing and before anything was done.

import Mergeset
import StorageEngine
import StorageRuntime
import Workloads

/// What the names of a profile are driven through.
public enum RunPath: String, Sendable, CaseIterable {
    /// Rows through the whole engine, samples included.
    case rows
    /// Rows through the engine without its sample table: the index part alone.
    case index
    /// The index items of new series straight into a table.
    case items
}

/// Settings of one run.
public struct RunOptions: Sendable {
    /// Real clocks and threads, or neither.
    public var mode = Environment.Mode.live
    /// Ingest threads; deterministic runs have one.
    public var threads = 2
    /// Root seed of the stream.
    public var seed: UInt64 = 42
    /// Directory to be made for the report.
    public var out = "bench-run"
    /// Directory for the table; nil puts it under ``out``.
    public var data: String?
    /// Whether the table outlives the run.
    public var keepsData = false
    /// Whether all parts are merged into one at the end, to compare the sizes.
    public var forcesMerge = false
    /// Whether nothing is told while it runs.
    public var isQuiet = false
    /// Seeks of the seek phase.
    public var seeks = 100_000
    /// Series (or items) that are read back.
    public var readBackSample = 200
    /// Bytes that the yardsticks of the memory work on, and items of those of sorting and compressing. Figures of runs
    /// with other values than these cannot be compared; tests take less.
    public var yardstickBytes = 64 << 20, yardstickItems = 100_000
    /// Bytes of memory that are touched before the clock starts (live runs only).
    public var warmMemoryBytes = 1 << 30
    /// Whether the yardsticks are measured.
    public var measuresYardsticks = true
    /// What the names of a profile are driven through.
    public var path = RunPath.rows
    /// Rows of an AddRows call.
    public var batchRows = 1000
    /// Rows a second that arrive, whether the engine is ready or not (open loop); nil hands them over as fast as they are
    /// taken (closed loop). The round in which all series are new is always a closed loop, unless it is the only one.
    public var rowsPerSecond: Double?
    /// Whether ``rowsPerSecond`` is the highest rate that was found, of which searches leave a share.
    var isRateFound = false
    /// The order in which a round visits the series.
    public var rowOrder = RowOrder.scrape
    /// Rounds of known rows that are measured behind those of the profile; nil chooses by size, see
    /// ``knownRounds(_:)``.
    public var knownRoundsWanted: Int?
    /// Whether the first rows of a new day are measured.
    public var measuresNewDay = false
    /// Whether the storage is opened again at the end, to see how long that takes; nil does it in live runs.
    public var measuresRestart: Bool?
    /// Searches a second beside further rounds of known rows; 0 leaves them out, nil leaves it to the profile.
    public var searchesPerSecond: Int?
    /// Series of such a search; nil leaves it to the profile.
    public var searchSeries: Int?
    /// The part of the run that a profiler counts.
    public var profileRegion = ProfileRegion.none
    /// Of the round in which all series are new, a profiler counts the last so many rows only, with the flush and the merges
    /// behind them: into a table that holds the other series. nil counts the round.
    public var profiledRows: Int?
    /// Options of the engine; those of its table are ``table``.
    public var engine = StorageOptions()
    /// Options of the table.
    public var table = TableOptions()
    /// What was given with --set, for the record.
    public var settings: [String: String] = [:]

    /// The defaults.
    public init() {}

    /// Rounds of known rows: at least three, and enough for 100 k, 2 M or 10 M rows by size.
    func knownRounds(_ profile: Profile) -> Int {
        if let knownRoundsWanted { return knownRoundsWanted }
        let rows =
            switch profile.size {
            case .s: 100_000
            case .m: 2_000_000
            case .l: 10_000_000
            }
        return max(3, (rows + profile.roundRows - 1) / profile.roundRows)
    }

    /// The searches of a run; nil when there are none.
    func searches(_ profile: Profile) -> Profile.Searches? {
        if searchesPerSecond == 0 { return nil }
        guard let plan = profile.searches ?? searchesPerSecond.map({ .init(perSecond: $0, series: 100) }) else {
            return nil
        }
        return plan.with(perSecond: searchesPerSecond, series: searchSeries)
    }

    /// Rows a second beside searches: a share of what is possible, or of the highest rate that was found; the rate that was
    /// asked for.
    func searchedRowsPerSecond(_ plan: Profile.Searches, possible: Double) -> Double {
        guard let rowsPerSecond else { return max(1, plan.load * possible) }
        return max(1, isRateFound ? plan.load * rowsPerSecond : rowsPerSecond)
    }

    /// Rows at the beginning of a round of `count` that a profiler does not count.
    func uncountedRows(of count: Int) -> Int { max(0, count - (profiledRows ?? count)) }

    /// Settings of the harness itself that `--set` accepts beside the fields of the profile, with what they mean.
    public static let settableKeys: [(key: String, meaning: String)] = [
        ("seeks", "seeks of the seek phase"),
        ("read_back", "series that are read back"),
        ("yardsticks", "true or false: whether the machine is measured, too"),
        ("warm_memory", "bytes of memory touched before the clock starts; 0 leaves it out"),
        ("batch_rows", "rows of an AddRows call"),
        ("row_order", "scrape, or shuffled: one permutation of the series for all rounds"),
        ("known_rounds", "rounds of known rows measured behind those of the profile; 0 leaves them out"),
        ("new_day", "true or false: whether the first rows of a new day are measured"),
        ("restart", "true or false: whether the storage is opened again at the end; unset is true in live runs"),
        ("search_rate", "searches a second beside further rounds of known rows; 0 leaves them out"),
        ("search_series", "series of such a search, 100 unless the profile says otherwise"),
        (
            "profiled_rows",
            "rows at the end of the round of new series that a profiler counts; unset counts all of them"
        ),
        ("engine.cache_bytes", "bytes of all caches of the engine together"),
        ("engine.tsid_cache_bytes", "bytes of the cache raw name -> TSID"),
        ("engine.retention", "how long rows are kept, for example 31d"),
        ("engine.concurrent_add_rows", "AddRows calls that may run at once, 0 is one per CPU"),
        ("engine.hourly_series_max", "most different series an hour, 0 is any number"),
        ("engine.daily_series_max", "most different series a day, 0 is any number"),
        ("engine.min_free_bytes", "rows are refused when less of the disk is free"),
        ("samples.memory_bytes", "bytes of rows in memory at which a flush starts"),
        ("samples.flush_interval_ms", "longest time until rows are durable"),
        ("samples.merge_workers", "merge workers for small parts, and as many for big ones; 0 is half the CPUs"),
        (
            "samples.dedup_ms",
            "conversion and merges keep one row of each interval of so many milliseconds; 0 keeps all"
        ),
        ("samples.index_cache_bytes", "bytes of decoded index blocks of samples kept"),
        ("table.shards", "shards that collect items, 0 is one per CPU"),
        ("table.run_bytes", "bytes at which a shard hands its run over"),
        ("table.memory_bytes", "bytes of runs in memory at which a flush starts"),
        ("table.flush_interval_ms", "longest time until items are durable"),
        ("table.merge_workers", "background merge workers, 0 is half the CPUs"),
        ("table.data_block_cache_bytes", "bytes of decoded data blocks kept"),
        ("table.index_block_cache_bytes", "bytes of decoded index blocks kept"),
        ("table.compression_level", "level of parts; unset chooses by size"),
        ("table.gathers_tag_rows", "true or false: ids gathered per tag before the flush"),
        ("table.tag_row_merging", "none, streaming or blockwise"),
    ]

    /// Applies one `key=value` of the harness; false when the key is not one of ``settableKeys``.
    ///
    /// - Throws: `.usage` for a value that does not parse.
    public mutating func set(_ key: String, _ value: String) throws(HarnessError) -> Bool {
        func number(_ bounds: ClosedRange<Int>) throws(HarnessError) -> Int {
            guard let number = Int(value), bounds.contains(number) else {
                throw HarnessError(
                    .usage,
                    "--set \(key)=\(value): a whole number from \(bounds.lowerBound) to \(bounds.upperBound) is needed")
            }
            return number
        }
        func flag() throws(HarnessError) -> Bool {
            guard let flag = Bool(value) else {
                throw HarnessError(.usage, "--set \(key)=\(value): true or false is needed")
            }
            return flag
        }
        func word<Choice: RawRepresentable & CaseIterable>(_: Choice.Type) throws(HarnessError) -> Choice
        where Choice.RawValue == String {
            guard let choice = Choice(rawValue: value) else {
                let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
                throw HarnessError(.usage, "--set \(key)=\(value): one of \(names) is needed")
            }
            return choice
        }
        switch key {
        case "yardsticks": measuresYardsticks = try flag()
        case "warm_memory": warmMemoryBytes = try number(0...1 << 40)
        case "batch_rows": batchRows = try number(1...1_000_000)
        case "row_order": rowOrder = try word(RowOrder.self)
        case "known_rounds": knownRoundsWanted = try number(0...1_000_000)
        case "new_day": measuresNewDay = try flag()
        case "restart": measuresRestart = try flag()
        case "search_rate": searchesPerSecond = try number(0...1_000_000)
        case "search_series": searchSeries = try number(1...1_000_000)
        case "profiled_rows": profiledRows = try number(1...1_000_000_000)
        case "engine.min_free_bytes": engine.minFreeDiskSpaceBytes = UInt64(try number(0...1 << 60))
        case "samples.memory_bytes": engine.samples.memoryBytesMax = try number(1 << 16...1 << 40)
        case "samples.flush_interval_ms":
            engine.samples.flushIntervalNanoseconds = UInt64(try number(1...3_600_000)) * 1_000_000
        case "samples.merge_workers": engine.samples.mergeWorkers = try number(0...1024)
        case "samples.dedup_ms": engine.samples.dedupIntervalMs = Int64(try number(0...86_400_000))
        case "samples.index_cache_bytes": engine.samples.indexCacheBytes = try number(0...1 << 40)
        case "engine.cache_bytes": engine.cacheBytesMax = try number(1 << 20...1 << 40)
        case "engine.tsid_cache_bytes": engine.tsidCacheBytesMax = try number(1 << 10...1 << 40)
        case "engine.retention":
            guard let span = TimeText.parseSpan(value), span > 0 else {
                throw HarnessError(.usage, "--set \(key)=\(value): a time span such as 31d is needed")
            }
            engine.retentionMs = span
        case "engine.concurrent_add_rows": engine.concurrentAddRowsMax = try number(0...100_000)
        case "engine.hourly_series_max": engine.hourlySeriesMax = try number(0...1 << 40)
        case "engine.daily_series_max": engine.dailySeriesMax = try number(0...1 << 40)
        case "seeks": seeks = try number(0...100_000_000)
        case "read_back": readBackSample = try number(0...1_000_000)
        case "table.shards": table.shardCount = try number(0...1024)
        case "table.run_bytes": table.runBytesMax = try number(1 << 16...1 << 30)
        case "table.memory_bytes": table.memoryBytesMax = try number(1 << 16...1 << 40)
        case "table.flush_interval_ms":
            table.flushIntervalNanoseconds = UInt64(try number(1...3_600_000)) * 1_000_000
        case "table.merge_workers": table.mergeWorkers = try number(0...1024)
        case "table.data_block_cache_bytes": table.dataBlockCacheBytes = try number(0...1 << 40)
        case "table.index_block_cache_bytes": table.indexBlockCacheBytes = try number(0...1 << 40)
        case "table.compression_level": table.compressionLevel = try number(-7...22)
        case "table.gathers_tag_rows": table.gathersTagRows = try flag()
        case "table.tag_row_merging": table.tagRowMerging = try word(TagRowMerging.self)
        default: return false
        }
        settings[key] = value
        return true
    }
}

/// What is ingested, with what the profile says about it.
public struct RunSubject: Sendable {
    /// What the rows are.
    public enum Kind: String, Sendable {
        /// Rows, to be added to an engine.
        case rows
        /// Raw metric names, to be registered in a table.
        case series
        /// Items, to be added to the table as they are.
        case items
    }

    /// Name and size step of the profile.
    public var profile: String, size: String
    /// What is ingested.
    public var kind: Kind
    /// The names of the series in order of their appearance, or the items.
    public var input: any RunInput
    /// CPU seconds that making them took.
    public var generatorCPUSeconds: Double
    /// The rows of a profile.
    var rows: RowSource?
    /// The day the series are registered for; nil registers them globally only.
    public var date: UInt64?
    /// Tenants the series belong to.
    public var tenants = 1
    /// The configured shape, as bands: labels with the name, bytes of a raw name.
    public var labels: ClosedRange<Double>?, nameBytes: ClosedRange<Double>?

    /// Rows of a profile.
    public init(profile: String, size: String, kind: Kind, input: any RunInput, generatorCPUSeconds: Double) {
        self.profile = profile
        self.size = size
        self.kind = kind
        self.input = input
        self.generatorCPUSeconds = generatorCPUSeconds
    }
}
