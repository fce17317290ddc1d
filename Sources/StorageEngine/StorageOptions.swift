// StorageOptions.swift - what can be set when a storage is opened.

import Mergeset
import SampleStore

/// Settings of a storage. The defaults suit a node with 2 GiB for caches.
public struct StorageOptions: Sendable {
    /// How long rows are kept, in milliseconds; 0 or less, or more than 1200 months of 31 days, means that much
    /// (docs/format/series-index.md, 5.2).
    public var retentionMs: Int64 = 31 * 86_400_000
    /// Bytes for all caches together; each cache gets its share of it (docs/format/series-index.md, 7.1).
    public var cacheBytesMax = 2 << 30
    /// Bytes of the TSID cache; nil takes 35 % of ``cacheBytesMax``.
    public var tsidCacheBytesMax: Int?
    /// AddRows calls that may run at once; 0 means one per CPU.
    public var concurrentAddRowsMax = 0
    /// How long an AddRows call waits for its turn, in nanoseconds.
    public var addRowsWaitNanoseconds: UInt64 = 30_000_000_000
    /// Searches that may look for series at once; 0 means two per CPU.
    public var concurrentSearchesMax = 0
    /// Rows are refused while the disk has less free space than this.
    public var minFreeDiskSpaceBytes: UInt64 = 10_000_000
    /// Most different series an hour or a day; 0 means any number (docs/format/series-index.md, 6.11).
    public var hourlySeriesMax = 0, dailySeriesMax = 0
    /// Whether new series are registered per day, too. Off only to measure the global registration alone: searches by
    /// day do not find such series.
    public var registersPerDay = true
    /// Whether each new series is logged.
    public var logsNewSeries = false
    /// Options of the index tables. The hook for tag rows, and the share of the block caches unless they are set, are
    /// the engine's business.
    public var table = TableOptions()
    /// Options of the sample table. Retention, deleted series, the gate of searches and the log are the engine's business.
    public var samples = SampleTableOptions()
    /// Receives log lines; nil drops them. Called while rows are being added, so it must not call the storage.
    public var log: (@Sendable (String) -> Void)?

    /// Bytes that rows take from the call that adds them until they and their entries of the index are in parts, when as
    /// many come as are taken. Open runs of the index, caches, and the buffers of merges are not in it.
    public var writePathBytes: Int { samples.writePathBytes + table.writePathBytes }

    /// The defaults.
    public init() {}

    /// The retention, 1 millisecond to 1200 months of 31 days.
    var retentionNormalisedMs: Int64 {
        retentionMs <= 0 || retentionMs > SamplePolicy.retentionMsMax ? SamplePolicy.retentionMsMax : retentionMs
    }

    /// Bytes of all caches that are really shared out.
    var cacheBytes: Int { max(cacheBytesMax, 1 << 20) }
}
