// TableOptions.swift - what can be set when a table is opened.

import StorageRuntime

/// How merges treat the rows of the inverted index (docs/format/mergeset-table.md, 13).
public enum TagRowMerging: String, Sendable, CaseIterable {
    /// Items are opaque; nothing is rewritten.
    case none
    /// Rows of one tag are united as they stream by, across blocks.
    case streaming
    /// The reference's algorithm, block by block.
    case blockwise
}

/// Settings of a table. The defaults suit a storage node.
public struct TableOptions: Sendable {
    /// Shards that collect added items; 0 means one per available CPU.
    public var shardCount = 0
    /// A shard hands its run over when it holds this many bytes; with many shards sooner, see ``memoryBytesMax``.
    public var runBytesMax = 8 << 20
    /// Bytes of memory that sealed runs take when a flush starts; adding waits at half as many again, those being flushed
    /// included. Open runs come on top: they are sealed at a size at which all of them take no more than half of this
    /// (or a MiB each). The default makes parts of about 25 MB, of some 40 thousand series: less would merge more, more costs
    /// memory.
    public var memoryBytesMax = 52_000_000

    /// Bytes of the runs that wait for their part when adding has to wait; open runs come on top.
    public var writePathBytes: Int { memoryBytesMax * 3 / 2 }

    /// Items are made durable at the latest after this time, plus the time the flush takes (live mode; virtual time in
    /// deterministic mode).
    public var flushIntervalNanoseconds: UInt64 = 1_000_000_000
    /// How merges treat tag rows.
    public var tagRowMerging = TagRowMerging.none
    /// Whether tag rows added through ``ItemWriter/addTagRows(_:id:registration:)`` are gathered per tag in the shard;
    /// otherwise each becomes an item with one id at once.
    public var gathersTagRows = true
    /// Background merge workers; 0 means half the CPUs, at least one.
    public var mergeWorkers = 0
    /// Whether background merges run at all.
    public var mergesInBackground = true
    /// Bytes of decoded data blocks kept for searches, all parts together.
    public var dataBlockCacheBytes = 256 << 20
    /// Bytes of decoded index blocks kept for searches, all parts together.
    public var indexBlockCacheBytes = 64 << 20
    /// Compression level of parts made by flushes and merges; nil chooses by the number of items.
    public var compressionLevel: Int?
    /// Where searches wait while a flushing thread has to help with merging; tables can share one. nil makes one.
    public var searchGate: PauseGate?
    /// Called after new items became visible to searches of durable items; from whichever thread flushed them, without
    /// any lock of the table held.
    public var onNewItems: (@Sendable () -> Void)?

    /// Called after a flush or a merge has made a part; see ``PartEvent``. nil (the default) costs nothing.
    public var onPartWritten: (@Sendable (PartEvent) -> Void)?

    /// Told when a flush begins, and what has become durable.
    public var flushObserver: (any FlushObserver)?

    /// The defaults.
    public init() {}
}

/// Hears of flushes. A flush for want of memory leaves the open runs where they are, so what was added before it began may
/// become durable with a later one: flushes are numbered, and each tells up to which of them everything is durable. One
/// flush at a time; called by whichever thread flushes, with the table's flush lock held, so it must not add to the table or
/// flush it.
public protocol FlushObserver: AnyObject, Sendable {
    /// A flush begins; numbers ascend from 1.
    func willFlush(_ number: UInt64)
    /// Everything added before the call ``willFlush(_:)`` of this number is durable and visible to searches of durable
    /// items. Nothing is said of flushes that failed: a later one will tell.
    func didFlush(through number: UInt64)
}
