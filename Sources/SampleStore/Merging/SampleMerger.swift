// SampleMerger.swift - many parts become one (docs/format/sample-store.md, 10).
//
//   sources  ->  tournament  ->  drop (deleted series, past retention)  ->  pending block  ->  writer
//
// Blocks arrive ordered by (TSID, MinTimestamp). One block is pending; what happens to the next one, X:
//
//   another series, or pending is full and X starts behind its end     pending is written, X becomes pending
//   otherwise                                                          both are decoded and joined; what exceeds 8192
//                                                                      rows is written
//
// A block that is joined with nothing is never decoded (unless there is deduplication): its bytes are copied.
//
// Joining works in the memory of the pending block. Its rows up to the first one of X stay where they are; the rest moves
// aside and is merged with X back into place. Series that are appended to, the usual case, cost a copy of X and nothing
// else. The rule for equal timestamps is that of the format's reference, as it decides which row deduplication keeps: rows
// come from one block as long as they are not later than the next row of the other one.
//
// Threads: one owner. No allocation a block once the buffers have grown.

import StorageBytes
import StorageRuntime
import Synchronization

/// What a merge does beside merging.
public struct SampleMergeOptions {
    /// Rows before this are past retention: blocks that end before it are dropped, and rows of joined blocks.
    public var deadlineMs = Int64.min
    /// Keeps one row of each interval; 0 keeps all.
    public var dedupIntervalMs: Int64 = 0
    /// Tells whether a series, given by its metric id, was deleted; nil when none was.
    public var isDeleted: ((UInt64) -> Bool)?
    /// Set from outside to abort the merge.
    public var stop: SampleMergeStop?

    /// Keeps everything.
    public init() {}
}

/// Aborts a merge from another thread.
public final class SampleMergeStop: Sendable {
    private let flag = Atomic<Bool>(false)

    /// Not set.
    public init() {}

    /// Asks the merge to stop.
    public func set() { flag.store(true, ordering: .relaxed) }

    /// Tells whether it was asked to.
    public var isSet: Bool { flag.load(ordering: .relaxed) }
}

/// What a merge has done.
public struct SampleMergeCounters: Equatable, Sendable {
    /// Rows written, before deduplication.
    public var rowsMerged: UInt64 = 0
    /// Rows of dropped blocks, and rows cut at the deadline.
    public var rowsDeleted: UInt64 = 0
    /// Rows dropped by deduplication.
    public var rowsDeduplicated: UInt64 = 0
    /// Blocks passed on as they were stored, and blocks encoded.
    public var blocksCopied: UInt64 = 0, blocksEncoded: UInt64 = 0

    /// All zero.
    public init() {}
}

/// Merges sources into a part.
public struct SampleMerger: ~Copyable {
    /// What has been done so far.
    public private(set) var counters = SampleMergeCounters()

    private let sources: [SampleSource]
    private let options: SampleMergeOptions
    private var tree: SourceTree
    private var decoder = IntegerArrayDecoder()

    private enum State { case none, stored, decoded }
    private var state = State.none
    /// Series, bounds and number of rows of the pending block; everything else while it is stored.
    private var pending: SampleBlockHeader
    private var pendingSource = 0
    private var storedTimestamps = RawBuffer(capacity: 4096)
    private var storedValues = RawBuffer(capacity: 16 << 10)
    private var rows = SampleColumns(capacity: 2 * SampleLimits.blockRowsMax)
    private var other = SampleColumns()
    private var aside = SampleColumns()

    private var lastSeries: UInt64?
    private var lastSeriesIsDeleted = false

    /// A merger of at least one source, none of which has been read from.
    public init(_ sources: [SampleSource], _ options: SampleMergeOptions) {
        self.sources = sources
        self.options = options
        tree = SourceTree(count: sources.count)
        pending = SampleBlockHeader(
            tsid: TSID(tenant: Tenant(bits: 0), metricGroupID: 0, jobID: 0, instanceID: 0, metricID: 0))
    }

    /// ZSTD level for the index of a part made of these sources.
    public static func indexLevel(_ sources: [SampleSource]) -> Int {
        var rows: UInt64 = 0
        var blocks: UInt64 = 0
        for source in sources {
            rows &+= source.totals.rows
            blocks &+= source.totals.blocks
        }
        return SampleLimits.indexLevel(rows: rows, blocks: blocks)
    }

    /// Merges everything. The writer is not finished.
    ///
    /// - Throws: `.corrupted` when a source breaks the format, `.closed` when the merge was stopped, and what reading and
    ///   writing throws. What was written is of no use then.
    public mutating func run(into writer: inout SamplePartWriter) throws(StorageError) {
        if sources.count == 1, options.dedupIntervalMs <= 0, let source = sources[0] as? MemorySampleSource {
            return try write(source, into: &writer)
        }
        for index in sources.indices {
            let source = sources[index]
            tree.set(index, try source.advance() ? source.header : nil)
        }
        tree.start()
        while !tree.isEmpty {
            if let stop = options.stop, stop.isSet { throw StorageError(.closed, "the merge was stopped") }
            let index = tree.winner
            let source = sources[index]
            try accept(source, index, &writer)
            tree.set(index, try source.advance() ? source.header : nil)
            tree.replay()
        }
        try writePending(&writer)
    }

    /// Writes a single part in memory, whose blocks are as large as they can be already.
    private mutating func write(
        _ source: MemorySampleSource, into writer: inout SamplePartWriter
    ) throws(StorageError) {
        while try source.advance() {
            if let stop = options.stop, stop.isSet { throw StorageError(.closed, "the merge was stopped") }
            let header = source.header
            guard let columns = source.current.pointee.columns, header.maxTimestamp >= options.deadlineMs,
                !isDeleted(header.tsid.metricID)
            else {
                counters.rowsDeleted &+= UInt64(header.rowsCount)
                continue
            }
            counters.rowsMerged &+= UInt64(header.rowsCount)
            counters.blocksEncoded &+= 1
            try writer.append(
                header.tsid, columns.timestamps, columns.values, Int(header.rowsCount), exponent: header.exponent,
                precisionBits: header.precisionBits)
        }
    }

    private mutating func accept(
        _ source: SampleSource, _ index: Int, _ writer: inout SamplePartWriter
    ) throws(StorageError) {
        let header = source.header
        if header.maxTimestamp < options.deadlineMs || isDeleted(header.tsid.metricID) {
            counters.rowsDeleted &+= UInt64(header.rowsCount)
            return
        }
        if state == .none {
            take(source, index)
            return
        }
        if pending.tsid.metricID != header.tsid.metricID {
            if header.tsid < pending.tsid { throw source.unsorted() }
            try writePending(&writer)
            take(source, index)
            return
        }
        let isFull =
            Int(pending.rowsCount) >= SampleLimits.blockRowsMax
            || (state == .stored && Int(pending.valuesSize) >= SampleLimits.blockBytesFull)
        if isFull, pending.maxTimestamp <= header.minTimestamp {
            try writePending(&writer)
            take(source, index)
            return
        }
        try join(source, index, &writer)
    }

    @inline(__always) private mutating func isDeleted(_ metricID: UInt64) -> Bool {
        guard let isDeleted = options.isDeleted else { return false }
        if lastSeries != metricID {
            lastSeries = metricID
            lastSeriesIsDeleted = isDeleted(metricID)
        }
        return lastSeriesIsDeleted
    }

    // MARK: the pending block

    private mutating func take(_ source: SampleSource, _ index: Int) {
        pending = source.header
        pendingSource = index
        if let columns = source.current.pointee.columns {
            rows.assign(
                columns.timestamps, columns.values, Int(pending.rowsCount), exponent: pending.exponent,
                precisionBits: pending.precisionBits)
            state = .decoded
        } else {
            storedTimestamps.removeAll()
            storedTimestamps.append(source.current.pointee.timestampsData)
            storedValues.removeAll()
            storedValues.append(source.current.pointee.valuesData)
            state = .stored
        }
    }

    private mutating func decodePending() throws(StorageError) {
        if state == .decoded { return }
        do throws(DecodeError) {
            try rows.decode(pending, timestamps: storedTimestamps.bytes, values: storedValues.bytes, &decoder)
        } catch {
            throw sources[pendingSource].undecodable(pending, error)
        }
        state = .decoded
    }

    private mutating func writePending(_ writer: inout SamplePartWriter) throws(StorageError) {
        if state == .none { return }
        if options.dedupIntervalMs > 0 { try decodePending() }
        if state == .stored {
            counters.rowsMerged &+= UInt64(pending.rowsCount)
            counters.blocksCopied &+= 1
            try writer.append(stored: pending, timestamps: storedTimestamps.bytes, values: storedValues.bytes)
        } else {
            while rows.count > SampleLimits.blockRowsMax { try writeFirstRows(&writer) }
            counters.rowsMerged &+= UInt64(rows.count)
            counters.rowsDeduplicated &+= UInt64(rows.deduplicate(intervalMs: options.dedupIntervalMs))
            counters.blocksEncoded &+= 1
            try writer.append(pending.tsid, rows)
        }
        state = .none
    }

    /// Writes as many rows as fit into a block and keeps the rest.
    private mutating func writeFirstRows(_ writer: inout SamplePartWriter) throws(StorageError) {
        let count = SampleLimits.blockRowsMax
        counters.rowsMerged &+= UInt64(count)
        counters.blocksEncoded &+= 1
        let kept = SampleColumns.deduplicate(
            rows.timestamps, rows.values, count, intervalMs: options.dedupIntervalMs)
        counters.rowsDeduplicated &+= UInt64(count - kept)
        try writer.append(
            pending.tsid, rows.timestamps, rows.values, kept, exponent: rows.exponent,
            precisionBits: rows.precisionBits)
        rows.removeFirst(count)
    }

    // MARK: joining

    private mutating func join(
        _ source: SampleSource, _ index: Int, _ writer: inout SamplePartWriter
    ) throws(StorageError) {
        let header = source.header
        try decodePending()
        if appendsPlainly(source, header) { return }
        if let columns = source.current.pointee.columns {
            other.assign(
                columns.timestamps, columns.values, Int(header.rowsCount), exponent: header.exponent,
                precisionBits: header.precisionBits)
        } else {
            do throws(DecodeError) {
                try other.decode(
                    header, timestamps: source.current.pointee.timestampsData,
                    values: source.current.pointee.valuesData, &decoder)
            } catch {
                throw source.undecodable(header, error)
            }
        }
        rows.exponent = DecimalCoding.calibrate(
            rows.values, rows.count, rows.exponent, other.values, other.count, other.exponent)
        rows.precisionBits = min(rows.precisionBits, other.precisionBits)
        if options.deadlineMs > Int64.min {
            let old = (rows.rowsBefore(options.deadlineMs), other.rowsBefore(options.deadlineMs))
            rows.removeFirst(old.0)
            other.removeFirst(old.1)
            counters.rowsDeleted &+= UInt64(old.0 + old.1)
        }
        if pending.maxTimestamp < header.minTimestamp {
            append(other.timestamps, other.values, other.count)
        } else if header.maxTimestamp < pending.minTimestamp {
            swap(&rows, &other)
            (rows.exponent, rows.precisionBits) = (other.exponent, other.precisionBits)
            append(other.timestamps, other.values, other.count)
        } else {
            zigzag()
        }
        while rows.count > SampleLimits.blockRowsMax { try writeFirstRows(&writer) }
        if rows.count == 0 {
            state = .none
            return
        }
        pending.minTimestamp = rows.timestamps[0]
        pending.maxTimestamp = rows.timestamps[rows.count - 1]
        pending.rowsCount = UInt32(rows.count)
    }

    /// The usual way of fresh rows: plain columns of the same exponent behind the pending ones. Does nothing, and says so,
    /// otherwise.
    @inline(__always) private mutating func appendsPlainly(_ source: SampleSource, _ header: SampleBlockHeader) -> Bool
    {
        guard let columns = source.current.pointee.columns, header.exponent == rows.exponent,
            pending.maxTimestamp < header.minTimestamp,
            options.deadlineMs == Int64.min || pending.minTimestamp >= options.deadlineMs,
            rows.count &+ Int(header.rowsCount) <= SampleLimits.blockRowsMax
        else { return false }
        append(columns.timestamps, columns.values, Int(header.rowsCount))
        if header.precisionBits < rows.precisionBits { rows.precisionBits = header.precisionBits }
        pending.maxTimestamp = header.maxTimestamp
        pending.rowsCount = UInt32(truncatingIfNeeded: rows.count)
        return true
    }

    private mutating func append(
        _ timestamps: UnsafePointer<Int64>, _ values: UnsafePointer<Int64>, _ count: Int
    ) {
        rows.reserve(rows.count + count)
        (rows.timestamps + rows.count).update(from: timestamps, count: count)
        (rows.values + rows.count).update(from: values, count: count)
        rows.count += count
    }

    /// Puts the rows of `other` between the pending ones.
    private mutating func zigzag() {
        guard other.count > 0 else { return }
        // Pending rows up to the first of the others come first in any case, and are there already.
        let first = other.timestamps[0]
        var stays = 0
        while stays < rows.count, rows.timestamps[stays] <= first { stays &+= 1 }
        let moved = rows.count - stays
        aside.assign(
            rows.timestamps + stays, rows.values + stays, moved, exponent: rows.exponent,
            precisionBits: rows.precisionBits)
        rows.reserve(rows.count + other.count)
        SampleMerger.zigzag(
            other.timestamps, other.values, other.count, aside.timestamps, aside.values, moved,
            into: rows.timestamps + stays, rows.values + stays)
        rows.count += other.count
    }

    /// Rows of `a` as long as they are not later than the next row of `b`, then the other way round, until one is
    /// exhausted; then the rest of the other one.
    private static func zigzag(
        _ aTimestamps: UnsafePointer<Int64>, _ aValues: UnsafePointer<Int64>, _ aCount: Int,
        _ bTimestamps: UnsafePointer<Int64>, _ bValues: UnsafePointer<Int64>, _ bCount: Int,
        into timestamps: UnsafeMutablePointer<Int64>, _ values: UnsafeMutablePointer<Int64>
    ) {
        var a = 0
        var b = 0
        var next = 0
        while a < aCount, b < bCount {
            let bTimestamp = bTimestamps[b]
            while a < aCount, aTimestamps[a] <= bTimestamp {
                timestamps[next] = aTimestamps[a]
                values[next] = aValues[a]
                a &+= 1
                next &+= 1
            }
            guard a < aCount else { break }
            let aTimestamp = aTimestamps[a]
            while b < bCount, bTimestamps[b] <= aTimestamp {
                timestamps[next] = bTimestamps[b]
                values[next] = bValues[b]
                b &+= 1
                next &+= 1
            }
        }
        (timestamps + next).update(from: aTimestamps + a, count: aCount - a)
        (values + next).update(from: aValues + a, count: aCount - a)
        next &+= aCount &- a
        (timestamps + next).update(from: bTimestamps + b, count: bCount - b)
        (values + next).update(from: bValues + b, count: bCount - b)
    }
}
