// RunOptions.swift - what the user asked a run for, after parsing and before anything was done.

import Mergeset
import StorageRuntime
import Workloads

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
    /// Options of the table.
    public var table = TableOptions()
    /// What was given with --set, for the record.
    public var settings: [String: String] = [:]

    /// The defaults.
    public init() {}

    /// Settings of the harness itself that `--set` accepts beside the fields of the profile, with what they mean.
    public static let settableKeys: [(key: String, meaning: String)] = [
        ("seeks", "seeks of the seek phase"),
        ("read_back", "series that are read back"),
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
        switch key {
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
        case "table.gathers_tag_rows":
            guard let flag = Bool(value) else {
                throw HarnessError(.usage, "--set \(key)=\(value): true or false is needed")
            }
            table.gathersTagRows = flag
        case "table.tag_row_merging":
            guard let merging = TagRowMerging(rawValue: value) else {
                let names = TagRowMerging.allCases.map(\.rawValue).joined(separator: ", ")
                throw HarnessError(.usage, "--set \(key)=\(value): one of \(names) is needed")
            }
            table.tagRowMerging = merging
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
        /// Raw metric names, to be registered in the index.
        case series
        /// Items, to be added to the table as they are.
        case items
    }

    /// Name and size step of the profile.
    public var profile: String, size: String
    /// What the rows are.
    public var kind: Kind
    /// The rows.
    public var input: any RunInput
    /// CPU seconds that making them took.
    public var generatorCPUSeconds: Double
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
