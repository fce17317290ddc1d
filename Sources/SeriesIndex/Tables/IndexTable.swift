// IndexTable.swift - one index table: a mergeset table, and what is kept in memory so that the write path seldom has to
// search it.
//
//   table     the items                                                     Mergeset
//   filter    names that are in the table, or are on their way into it      NameFilter
//   pending   names whose rows are not flushed yet, with their TSIDs        PendingNames
//   days      which series are registered for which days                    DayRegistry
//
// Opening reads all name rows and tombstones once: the names fill the filter and tell the largest metric id (about 0.2 us
// a series).
//
// Threads: any, except close().

import Mergeset
import StorageBytes
import StorageFiles
import StorageRuntime

/// Settings that index tables share.
public struct IndexOptions: Sendable {
    /// Options of the mergeset tables.
    public var table = TableOptions()
    /// Bytes of the sets that tell which series are registered for which days.
    public var dayRegistryBytesMax = 8 << 20

    /// The defaults; tag rows are united while merging.
    public init() { table.tagRowMerging = .streaming }
}

/// An open index table.
public final class IndexTable: @unchecked Sendable {
    /// Sixteen upper-case hex digits; names in order are tables in order of age.
    public let name: String
    /// The directory of the table.
    public let path: String
    /// The items.
    public let table: Table
    let filter = NameFilter()
    let pending = PendingNames()
    let days: DayRegistry
    /// The largest metric id that the name rows and tombstones of the table had when it was opened.
    private(set) var metricIDMax: UInt64 = 0
    /// The tombstones of the table when it was opened.
    private(set) var tombstones = MetricIDSet()

    private final class Observer: FlushObserver {
        let pending: PendingNames
        let days: DayRegistry

        init(_ pending: PendingNames, _ days: DayRegistry) {
            self.pending = pending
            self.days = days
        }

        func willFlush(_ number: UInt64) {
            pending.willFlush(number)
            days.willFlush(number)
        }

        func didFlush(through number: UInt64) {
            pending.didFlush(through: number)
            days.didFlush(through: number)
        }
    }

    /// Opens a table, which is created when the directory does not exist.
    ///
    /// - Throws: `.corrupted` with the file when a part, or a block of name rows or tombstones in one, is damaged; the
    ///   table is closed then. `.locked`, `.io`, `.noSpace`.
    init(
        directory: String, name: String, options: IndexOptions, key: FingerprintKey, files: any FileSystem,
        environment: Environment
    ) throws(StorageError) {
        self.name = name
        path = Paths.join(directory, name)
        let isNew = try files.kind(of: path) == nil
        days = DayRegistry(isNewTable: isNew, bytesMax: options.dayRegistryBytesMax)
        var tableOptions = options.table
        tableOptions.flushObserver = Observer(pending, days)
        table = try Table.open(path, options: tableOptions, files: files, environment: environment)
        guard !isNew else { return }
        do throws(StorageError) {
            try readNames(key)
            try readTombstones()
        } catch {
            try? table.close()
            throw error
        }
    }

    /// Fills the filter from the name rows.
    private func readNames(_ key: FingerprintKey) throws(StorageError) {
        var cursor = table.cursor()
        try cursor.seek(UnsafeRawBufferPointer(start: nil, count: 0))
        while try cursor.next() {
            let item = cursor.item
            guard item.count > 0, item[0] == RowKind.nameToTSID else { break }
            let nameCount = item.count - 2 - TSID.storedBytes
            guard nameCount >= Tenant.storedBytes, item[nameCount + 1] == TagEscape.separator else {
                throw IndexTable.broken("a name row has no TSID", item, path)
            }
            filter.insert(key.fingerprint(UnsafeRawBufferPointer(rebasing: item[1..<(nameCount + 1)])))
            let id = BigEndian.load64(item.baseAddress.unsafelyUnwrapped + (item.count - 8))
            if id > metricIDMax { metricIDMax = id }
        }
    }

    /// Bytes of the filter of names.
    public var filterBytes: Int { filter.memoryBytes }

    /// Counters and contents of the day registry.
    public var dayMetrics: DayRegistryMetrics { days.metrics }

    // MARK: lookups

    /// The smallest TSID of a name that is not deleted, among the flushed rows.
    ///
    /// - Parameters:
    ///   - key: `00 NAME 02`.
    ///   - cursor: A cursor of this table.
    static func find(
        _ key: UnsafeRawBufferPointer, _ cursor: inout TableCursor, _ deleted: borrowing MetricIDSet
    ) throws(StorageError) -> TSID? {
        guard try cursor.firstWithPrefix(key) else { return nil }
        repeat {
            let item = cursor.item
            guard Bytes.starts(item, with: key) else { return nil }
            guard item.count == key.count + TSID.storedBytes else {
                throw broken("a name row has \(item.count - key.count) bytes behind the name", item, nil)
            }
            let tsid = TSID(loading: item.baseAddress.unsafelyUnwrapped + key.count)
            if !deleted.contains(tsid.metricID) { return tsid }
        } while try cursor.next()
        return nil
    }

    /// The TSID of a metric id (docs/format/series-index.md, 4.1, kind 2), flushed or not; nil when there is none.
    ///
    /// - Parameter scope: `.everything` seals the open runs, which costs; `.durable` sees flushed rows only.
    public func tsid(
        of metricID: UInt64, tenant: Tenant, scope: SearchScope = .durable
    ) throws(StorageError) -> TSID? {
        try withRow(RowKind.idToTSID, tenant, metricID, scope) { rest throws(StorageError) in
            guard rest.count == TSID.storedBytes else { throw IndexTable.broken("an id has no TSID", rest, path) }
            return TSID(loading: rest.baseAddress.unsafelyUnwrapped)
        }
    }

    /// The canonical name of a metric id (docs/format/series-index.md, 4.1, kind 3); nil when there is none.
    public func metricName(
        of metricID: UInt64, tenant: Tenant, scope: SearchScope = .durable
    ) throws(StorageError) -> [UInt8]? {
        try withRow(RowKind.idToName, tenant, metricID, scope) { rest throws(StorageError) in [UInt8](rest) }
    }

    private func withRow<Result>(
        _ kind: UInt8, _ tenant: Tenant, _ metricID: UInt64, _ scope: SearchScope,
        _ body: (UnsafeRawBufferPointer) throws(StorageError) -> Result
    ) throws(StorageError) -> Result? {
        var key = RawBuffer(capacity: 17)
        key.append(kind)
        key.appendBigEndian(tenant.bits)
        key.appendBigEndian(metricID)
        var cursor = table.cursor(scope)
        guard try cursor.firstWithPrefix(key.bytes) else { return nil }
        return try body(UnsafeRawBufferPointer(rebasing: cursor.item[key.count...]))
    }

    /// All tombstones (docs/format/series-index.md, 4.1, kind 4).
    private func readTombstones() throws(StorageError) {
        var cursor = table.cursor()
        let kind: [UInt8] = [RowKind.tombstone]
        try kind.withUnsafeBufferPointer { bytes throws(StorageError) in
            try cursor.seek(UnsafeRawBufferPointer(bytes))
        }
        while try cursor.next() {
            let item = cursor.item
            guard item.count > 0, item[0] == RowKind.tombstone else { return }
            guard item.count == SeriesRow.tombstoneLength else {
                throw IndexTable.broken("a tombstone has \(item.count) bytes", item, path)
            }
            let id = BigEndian.load64(item.baseAddress.unsafelyUnwrapped + 1)
            tombstones.insert(id)
            if id > metricIDMax { metricIDMax = id }
        }
    }

    static func broken(_ reason: String, _ item: UnsafeRawBufferPointer, _ path: String?) -> StorageError {
        let start = UnsafeRawBufferPointer(rebasing: item.prefix(64))
        return StorageError(.corrupted, "\(reason), its bytes begin with \(Hex.encode(start))", path: path)
    }

    // MARK: days

    /// Makes claims, searching the table where the registry does not know.
    ///
    /// - Parameter claims: Open claims, those of one day next to each other. Afterwards each is known or claimed; the
    ///   claimed ones are ended with ``commit(_:)`` or ``release(_:)``.
    /// - Throws: `.corrupted`, `.io` of a search; nothing is claimed then.
    func claim(_ claims: UnsafeMutableBufferPointer<DayClaim>) throws(StorageError) {
        guard days.claim(claims) else { return }
        do throws(StorageError) {
            var index = 0
            while index < claims.count {
                let date = claims[index].date
                var end = index
                var unknown = 0
                while end < claims.count, claims[end].date == date {
                    if claims[end].state == .unknown { unknown += 1 }
                    end += 1
                }
                if unknown > 0 {
                    try search(UnsafeMutableBufferPointer(rebasing: claims[index..<end]), date, unknown)
                }
                index = end
            }
        } catch {
            days.release(claims)
            throw error
        }
    }

    /// Searching for one entry costs about as much as reading this many.
    private static let entriesPerSearch = 64

    private func search(
        _ claims: UnsafeMutableBufferPointer<DayClaim>, _ date: UInt64, _ unknown: Int
    ) throws(StorageError) {
        if days.shouldScan(date, searches: unknown, scanCost: filter.count / IndexTable.entriesPerSearch) {
            try readDay(date)
            for index in 0..<claims.count where claims[index].state == .unknown {
                days.settle(&claims[index], isInTable: false)
            }
            return
        }
        var cursor = table.cursor()
        var key = RawBuffer(capacity: SeriesRow.dateToIDLength)
        for index in 0..<claims.count where claims[index].state == .unknown {
            key.removeAll()
            key.commit(
                SeriesRow.storeDateToID(
                    Tenant(bits: claims[index].tenantBits), date: date, claims[index].metricID, at: key.end))
            let isThere = try cursor.firstWithPrefix(key.bytes)
            guard !isThere || cursor.item.count == key.count else {
                throw IndexTable.broken("an entry of a day has bytes behind its metric id", cursor.item, path)
            }
            days.settle(&claims[index], isInTable: isThere)
        }
    }

    /// Reads all entries of a day, of all tenants, and tells the registry.
    private func readDay(_ date: UInt64) throws(StorageError) {
        days.scanning.lock()
        defer { days.scanning.unlock() }
        if days.isComplete(date) { return }
        var ids = MetricIDSet()
        var cursor = table.cursor()
        var key = RawBuffer(capacity: SeriesRow.dateToIDLength)
        key.append(RowKind.dateToID)
        key.appendBigEndian(UInt64(0))
        while true {
            // To the next tenant that has days at all.
            try cursor.seek(key.bytes)
            guard try cursor.next(), cursor.item[0] == RowKind.dateToID else { break }
            guard cursor.item.count == SeriesRow.dateToIDLength else {
                throw IndexTable.broken("an entry of a day has \(cursor.item.count) bytes", cursor.item, path)
            }
            let tenant = BigEndian.load64(cursor.item.baseAddress.unsafelyUnwrapped + 1)
            key.truncate(to: 1)
            key.appendBigEndian(tenant)
            key.appendBigEndian(date)
            try cursor.seek(key.bytes)
            while try cursor.next(), Bytes.starts(cursor.item, with: key.bytes) {
                guard cursor.item.count == SeriesRow.dateToIDLength else {
                    throw IndexTable.broken("an entry of a day has \(cursor.item.count) bytes", cursor.item, path)
                }
                _ = ids.insert(BigEndian.load64(cursor.item.baseAddress.unsafelyUnwrapped + 17))
            }
            guard tenant < .max else { break }
            key.truncate(to: 1)
            key.appendBigEndian(tenant + 1)
        }
        days.complete(date, ids)
    }

    /// The rows of claims were added.
    func commit(_ claims: UnsafeMutableBufferPointer<DayClaim>) { days.commit(claims) }

    /// The rows of claims were not added.
    func release(_ claims: UnsafeMutableBufferPointer<DayClaim>) { days.release(claims) }
}
