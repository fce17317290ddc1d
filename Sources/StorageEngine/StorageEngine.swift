// StorageEngine.swift - a storage: the index tables, the caches in front of them, and the rows that come in.

import Mergeset
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime

/// A storage directory that is open. Any thread, except ``close()``.
public final class StorageEngine: @unchecked Sendable {
    /// Opens a storage, which is created when the directory does not exist.
    public static func open(
        _ path: String, options: StorageOptions = StorageOptions(), files: any FileSystem, environment: Environment,
        sink: any SampleSink
    ) throws(StorageError) -> StorageEngine {
        fatalError("not built yet")
    }

    /// Adds rows (docs/format/series-index.md, 6.1 to 6.8). `hint` is the number of the calling thread, if it has one.
    public func addRows(
        _ rows: UnsafeBufferPointer<MetricRow>, precisionBits: Int = 64, hint: Int? = nil
    ) throws(StorageError) {
        fatalError("not built yet")
    }

    /// Creates series without samples (docs/format/series-index.md, 6.10).
    public func registerMetricNames(_ rows: UnsafeBufferPointer<MetricRow>) throws(StorageError) {
        fatalError("not built yet")
    }

    /// Makes everything added before durable.
    public func flush() throws(StorageError) { fatalError("not built yet") }

    /// Flushes, then waits until no merge is wanted any more.
    public func settle() throws(StorageError) { fatalError("not built yet") }

    /// Runs the background updates that are due by the clock: hour sets, next-day set, rotation. They also run by
    /// themselves in live mode; a driver with a virtual clock calls this after moving it.
    public func runDueTasks() throws(StorageError) { fatalError("not built yet") }

    /// Starts a new index table now (docs/format/series-index.md, 5.2).
    public func rotateIndex() throws(StorageError) { fatalError("not built yet") }

    /// Marks series as deleted; returns how many were not deleted before (docs/format/series-index.md, 8).
    @discardableResult
    public func deleteSeries(_ metricIDs: [UInt64]) throws(StorageError) -> Int { fatalError("not built yet") }

    /// The TSID of a metric id; nil when there is none, or when it is deleted.
    public func tsid(of metricID: UInt64, tenant: Tenant) throws(StorageError) -> TSID? { fatalError("not built yet") }

    /// The canonical name of a metric id; nil when there is none.
    public func metricName(of metricID: UInt64, tenant: Tenant) throws(StorageError) -> [UInt8]? {
        fatalError("not built yet")
    }

    /// The current index table, for readers that look at items.
    public var currentTable: Table { fatalError("not built yet") }

    /// Counters and gauges.
    public var metrics: StorageMetrics { fatalError("not built yet") }

    /// Makes everything durable, saves the caches and gives the directory back. Call it once.
    public func close() throws(StorageError) { fatalError("not built yet") }
}
