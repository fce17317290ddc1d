// SampleTableOptions.swift - what can be set when a table of samples is opened, and the numbers of its policies
// (docs/format/sample-store.md, 22).

import StorageRuntime

/// Settings of a table of samples. The defaults suit a storage node.
public struct SampleTableOptions: Sendable {
    /// Rows older than this many milliseconds are past retention. Already normalised: 1...``SamplePolicy/retentionMsMax``.
    public var retentionMs = SamplePolicy.retentionMsMax
    /// Conversion and merges keep one row of each interval of this many milliseconds; 0 keeps all.
    public var dedupIntervalMs: Int64 = 0
    /// Bytes of rows that are not in files yet: 48 for each that was just added, 16 for each that waits to be converted, and the
    /// parts in memory. A flush starts at five eighths of this, since for a moment rows are there twice; adding waits at half
    /// as many again. All partitions together. By default a flush starts at 1.9 million rows of known series,
    /// or when the oldest is two seconds old.
    public var memoryBytesMax = 48_000_000

    /// Bytes that rows take on their way from ``SampleTable/add(_:precisionBits:hint:)`` to a part when as many come as are
    /// taken: those that wait, and again as many for what is being converted with its order and its columns.
    public var writePathBytes: Int { memoryBytesMax * 3 }

    /// Shards that collect added rows; 0 means one per available CPU (two in deterministic mode).
    public var shardCount = 0
    /// Rows are searchable and durable at the latest after this time, plus the time the flush takes (live mode; virtual time
    /// in deterministic mode).
    public var flushIntervalNanoseconds: UInt64 = 2_000_000_000
    /// Background workers that merge small parts, and as many that merge big ones, for all partitions; 0 means half the CPUs,
    /// rounded up (one in deterministic mode).
    public var mergeWorkers = 0
    /// Whether background merges run at all.
    public var mergesInBackground = true
    /// Whether ``SampleTable/runDueTasks()`` is called in the background; otherwise the owner calls it.
    public var tasksInBackground = true
    /// A side of a partition that has merged nothing for this long is merged down to few parts; 0 is never
    /// (`-finalMergeDelay`).
    public var finalMergeDelayNanoseconds: UInt64 = 0
    /// Highest level of zstd for timestamps and values, 1...5; nil chooses by what becomes of the part.
    public var dataLevelMax: Int?
    /// A merge whose sources have more bytes than this makes a big part; nil goes by the memory of the machine (10.7), in
    /// deterministic mode a fixed number.
    public var smallPartBytesMax: UInt64?
    /// Bytes of decoded index blocks kept for searches: one half for small parts, one for big ones.
    public var indexCacheBytes = 64 << 20
    /// Asked at the start of each merge: a test whether a series, given by its metric id, was deleted; nil when none was.
    public var deletedSeries: (@Sendable () -> (@Sendable (UInt64) -> Bool)?)?
    /// Called before rows become durable, with the rows already taken: what they refer to can be made durable first. When it
    /// throws, the flush fails with its error and is tried again.
    public var willMakeDurable: (@Sendable () throws(StorageError) -> Void)?
    /// Where searches wait while a flushing thread has to help with merging; tables can share one. nil makes one.
    public var searchGate: PauseGate?
    /// Receives a line about anything unusual.
    public var log: (@Sendable (String) -> Void)?

    /// The defaults.
    public init() {}
}

/// Numbers of the policies, which are free to change, and the limits of timestamps.
public enum SamplePolicy {
    /// The longest retention: 1200 months of 31 days, in milliseconds.
    public static let retentionMsMax: Int64 = 1200 * 31 * 86_400_000
    /// Rows later than now and this many milliseconds are not accepted.
    public static let futureMsMax: Int64 = 2 * 86_400_000

    /// Parts of a merge.
    static let partsMax = 15
    /// Regular merges begin when a side of a partition has more parts than this: a search looks at every part, and below this
    /// number merging earlier only means writing everything once more.
    static let partsKept = 15
    /// Smallest number of parts that a final merge is satisfied with.
    static let finalPartsMin = 3
    /// The output of a merge is at least this many times its biggest source.
    static let ratioMin = 1.7
    /// Largest output of a merge, bytes.
    static let outputBytesMax: UInt64 = 1_000_000_000_000
    /// Small parts of a partition at which the flushing thread helps with merging.
    static let assistedPartsMin = 256
    /// Least size at which a merge makes a big part, and the size in deterministic mode.
    static let smallPartBytesMin: UInt64 = 10_000_000,
        smallPartBytesDeterministic: UInt64 = 256_000_000
    /// How often the tasks of ``SampleTable/runDueTasks()`` are due.
    static let retentionNanoseconds: UInt64 = 60_000_000_000,
        stalePartsNanoseconds: UInt64 = 420_000_000_000
    static let finalDedupNanoseconds: UInt64 = 3_600_000_000_000,
        cacheSweepNanoseconds: UInt64 = 120_000_000_000
    /// A search looks at its deadline and at the gate before this many blocks or series.
    static let searchStep = 4096
}
