// StorageEngine+Lookups.swift - what belongs to a metric id, and deletion (docs/format/series-index.md, 7.1 and 8).

import Mergeset
import SeriesIndex
import StorageBytes
import StorageRuntime

extension StorageEngine {
    /// Marks series as deleted; durable when it returns (docs/format/series-index.md, 8). Their rows go with the merges to
    /// come.
    ///
    /// - Returns: How many of them were not deleted before.
    @discardableResult
    public func deleteSeries(_ metricIDs: [UInt64]) throws(StorageError) -> Int {
        try checkIsOpen()
        let count = try index.delete(metricIDs) { tsidCache.reset() }
        if count > 0 { raiseSearchVersion() }
        return count
    }

    /// The TSID of a metric id whose rows are flushed; nil when there is none, or when it is deleted.
    public func tsid(of metricID: UInt64, tenant: Tenant) throws(StorageError) -> TSID? {
        try checkIsOpen()
        var bytes = RawBuffer()
        if metricIDCache.get(metricID, into: &bytes), bytes.count == TSID.storedBytes {
            let tsid = TSID(loading: bytes.base)
            return tsid.tenant == tenant && !index.isDeleted(metricID) ? tsid : nil
        }
        guard let tsid = try index.tsid(of: metricID, tenant: tenant) else { return nil }
        bytes.removeAll()
        bytes.reserve(TSID.storedBytes)
        tsid.store(at: bytes.end)
        bytes.commit(TSID.storedBytes)
        metricIDCache.put(metricID, bytes.bytes)
        return tsid
    }

    /// The canonical name of a metric id whose rows are flushed; nil when there is none, or when it is deleted.
    public func metricName(of metricID: UInt64, tenant: Tenant) throws(StorageError) -> [UInt8]? {
        var name = RawBuffer()
        return try readMetricName(of: metricID, tenant: tenant, into: &name) ? name.array() : nil
    }

    /// As ``metricName(of:tenant:)``, into a buffer whose contents are replaced. Returns whether there is a name.
    ///
    /// - Complexity: a lookup in a cache; if the name is not there, up to two searches in the index.
    public func readMetricName(
        of metricID: UInt64, tenant: Tenant, into name: inout RawBuffer
    ) throws(StorageError) -> Bool {
        try checkIsOpen()
        name.removeAll()
        if metricNameCache.get(metricID, into: &name), name.count >= Tenant.storedBytes {
            return BigEndian.load64(name.base) == tenant.bits && !index.isDeleted(metricID)
        }
        name.removeAll()
        guard let found = try index.metricName(of: metricID, tenant: tenant) else { return false }
        found.withUnsafeBytes {
            metricNameCache.put(metricID, $0)
            name.append($0)
        }
        return true
    }

    /// Grows whenever a search could find something else than before: results kept under a smaller number are stale
    /// (docs/format/series-index.md, 7.6).
    public var searchVersion: UInt64 { searchVersions.current }

    func raiseSearchVersion() { searchVersions.raise() }

    /// The current index table, for readers that look at items.
    public var currentTable: Table { index.withTables { $0.current.table } }

    /// The index table of the period before.
    public var previousTable: Table { index.withTables { $0.previous.table } }

    /// Parts that were damaged and set aside when the storage was opened: where they are now.
    public var damagedParts: [String] { index.damagedParts + (samples?.damagedParts.map(\.target) ?? []) }
}
