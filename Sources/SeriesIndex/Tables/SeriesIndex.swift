// SeriesIndex.swift - the two index tables of a storage, and what they have in common (docs/format/series-index.md, 5).
//
//   <storage>/indexdb/<NAME>/      16 upper-case hex digits; the last two names are previous and current
//   <storage>/indexdb/snapshots/
//   <storage>/damaged/             parts that did not open, set aside
//
// A name is looked up in the current table; a series that is found only in the previous one keeps its TSID and is
// registered in the current one. Once a retention period a new current table begins, and series that were not written
// for so long go away with the table before the previous one.
//
// Threads. Batches run inside `withTables`, any number at a time; rotation and deletion run alone, so that no batch
// registers a series in one table and remembers it for another. close() once, when nothing else runs. What batches may
// have to wait for (the samples' flushes and merges) takes the tables from `published` instead: the gate lets nobody in
// while a rotation waits for the batches.

import Mergeset
import StorageBytes
import StorageFiles
import StorageRuntime

/// The tables a batch works on.
public struct IndexTables: Sendable {
    /// New rows go here.
    public let current: IndexTable
    /// Series of the period before; written to for tombstones only.
    public let previous: IndexTable
    /// Ids that are deleted; never given to rows again.
    public let deleted: MetricIDSet
}

/// The index of a storage.
public final class SeriesIndex: @unchecked Sendable {
    /// The directory of the tables.
    public let directory: String
    let options: IndexOptions
    let files: any FileSystem
    let environment: Environment
    /// Under which names are remembered.
    public let key: FingerprintKey
    let log: @Sendable (String) -> Void

    private let gate = SharedLock()
    /// Held by a rotation; taken before ``gate``.
    let rotating = Lock()
    /// The directory of a table that a failed rotation could not take back. Guarded by ``rotating``.
    private var abandoned: String?
    private var tables: IndexTables
    /// The same tables for work that batches may have to wait for, and which therefore must not wait for them.
    private let published: Protected<IndexTables>
    /// Numbers that new table names are made of.
    private let tableNumbers: UniqueIDs
    /// Counters of registries that rotations have replaced.
    private var retiredDays = DayRegistryMetrics()
    private var retiredMetrics: [TableMetrics] = []
    /// Parts that were set aside because they are damaged, since the index was opened.
    public private(set) var damagedParts: [String] = []
    private var rotationCount: UInt64 = 0

    // MARK: open

    /// Opens the index of a storage, which is created when it is not there.
    ///
    /// - Parameters:
    ///   - directory: `<storage>/indexdb`.
    ///   - damagedDirectory: Where damaged parts are set aside.
    ///   - log: Receives a line about anything unusual.
    /// - Throws: `.locked`, `.io`, `.noSpace`; `.corrupted` for damage that is not in a part.
    public init(
        directory: String, damagedDirectory: String, options: IndexOptions, key: FingerprintKey,
        files: any FileSystem, environment: Environment, log: @escaping @Sendable (String) -> Void
    ) throws(StorageError) {
        try files.makeDirectory(directory, parents: true)
        try files.makeDirectory(Paths.join(directory, "snapshots"), parents: true)
        self.directory = directory
        self.options = options
        self.key = key
        self.files = files
        self.environment = environment
        self.log = log
        tableNumbers = UniqueIDs(start: environment.clock.unixNanoseconds)
        var names = try files.list(directory).filter { $0.kind != .file && SeriesIndex.isTableName($0.name) }
            .map(\.name)
        // Two new names must be greater than the ones that are there, whatever the clock says.
        if let last = names.last, let number = UInt64(last, radix: 16) { tableNumbers.raise(above: number) }
        while names.count < 2 { names.append(Hex.name(tableNumbers.next())) }
        for name in names.dropLast(2) { try files.removeAll(Paths.join(directory, name)) }
        var damaged: [String] = []
        let opener = Opener(
            directory: directory, damagedDirectory: damagedDirectory, options: options, key: key, files: files,
            environment: environment, log: log)
        let current = try opener.open(names[names.count - 1], &damaged)
        do throws(StorageError) {
            let previous = try opener.open(names[names.count - 2], &damaged)
            do throws(StorageError) {
                try files.sync(directory)
            } catch {
                try? previous.table.close()
                throw error
            }
            let deleted = current.tombstones.union(previous.tombstones)
            tables = IndexTables(current: current, previous: previous, deleted: deleted)
        } catch {
            try? current.table.close()
            throw error
        }
        published = Protected(tables)
        damagedParts = damaged
        environment.ids.raise(above: max(tables.current.metricIDMax, tables.previous.metricIDMax))
    }

    /// Sixteen upper-case hex digits.
    static func isTableName(_ name: String) -> Bool {
        name.utf8.count == 16
            && name.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x46).contains($0) }
    }

    /// Opens tables, setting damaged parts aside.
    private struct Opener {
        let directory: String, damagedDirectory: String
        let options: IndexOptions
        let key: FingerprintKey
        let files: any FileSystem
        let environment: Environment
        let log: @Sendable (String) -> Void

        func open(_ name: String, _ damaged: inout [String]) throws(StorageError) -> IndexTable {
            while true {
                do throws(StorageError) {
                    return try IndexTable(
                        directory: directory, name: name, options: options, key: key, files: files,
                        environment: environment)
                } catch {
                    guard error.kind == .corrupted || error.kind == .notFound, let part = part(error, table: name)
                    else {
                        throw error
                    }
                    try files.makeDirectory(damagedDirectory, parents: true)
                    let target = Paths.join(damagedDirectory, "\(name)-\(part)")
                    try files.rename(Paths.join(Paths.join(directory, name), part), to: target)
                    try files.sync(Paths.join(directory, name))
                    try files.sync(damagedDirectory)
                    damaged.append(target)
                    log("index part \(part) of table \(name) is damaged and was set aside as \(target): \(error)")
                }
            }
        }

        /// The part that an error names; nil when it is about something else.
        private func part(_ error: StorageError, table: String) -> String? {
            guard let path = error.path else { return nil }
            let root = Paths.components(Paths.join(directory, table))
            let parts = Paths.components(path)
            guard parts.count > root.count, Array(parts.prefix(root.count)) == root else { return nil }
            let name = parts[root.count]
            // <items>_<blocks>_<suffix>; transactions and the lock are not parts.
            return name.utf8.contains(UInt8(ascii: "_")) ? name : nil
        }
    }

    // MARK: use

    /// Runs `body` on the tables of now, beside other batches; rotation and deletion wait until it has ended.
    public func withTables<Result: ~Copyable, Failure: Error>(
        _ body: (IndexTables) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try gate.withShared { () throws(Failure) in try body(tables) }
    }

    /// Waits until every batch that has begun has ended.
    public func waitForBatches() { gate.withExclusive {} }

    /// Makes everything added before durable.
    public func flush() throws(StorageError) {
        waitForBatches()
        try forBothTables { table throws(StorageError) in try table.flush() }
    }

    /// Flushes, then waits until no merge is wanted any more.
    public func settle() throws(StorageError) {
        try flush()
        try forBothTables { table throws(StorageError) in try table.settle() }
    }

    /// Runs `body` on the current table, then on the previous one, beside everything else. A table that rotations close
    /// in the meantime does not matter any more.
    private func forBothTables(_ body: (Table) throws(StorageError) -> Void) throws(StorageError) {
        let tables = withTables { $0 }
        for table in [tables.current, tables.previous] {
            do throws(StorageError) {
                try body(table.table)
            } catch {
                let isRetired = withTables { $0.current !== table && $0.previous !== table }
                guard isRetired, error.kind == .closed else { throw error }
            }
        }
    }

    /// Makes the rows of everything that was registered before durable: as ``flush()``, but batches that are running are
    /// not waited for, so a batch may wait for this.
    public func makeDurable() throws(StorageError) {
        let tables = published.withLock { $0 }
        for table in [tables.current, tables.previous] {
            do throws(StorageError) {
                try table.table.makeDurable()
            } catch {
                let isRetired = published.withLock { $0.current !== table && $0.previous !== table }
                guard isRetired, error.kind == .closed else { throw error }
            }
        }
    }

    /// A test whether a series, given by its metric id, is deleted as of now; nil when none is. Waits for no batch.
    public var deletedTest: (@Sendable (UInt64) -> Bool)? {
        let deleted = published.withLock { $0.deleted }
        guard deleted.count > 0 else { return nil }
        return { deleted.contains($0) }
    }

    /// Makes the tables of now those of ``published``.
    private func publish() {
        let tables = tables
        published.withLock { $0 = tables }
    }

    // MARK: rotation

    /// Starts a new current table. The previous one goes with its directory, the current one becomes the previous.
    ///
    /// - Parameter whileAlone: Runs before any batch sees the new tables: caches that hold TSIDs are emptied here.
    /// - Throws: `.io`, `.noSpace`: the tables stay as they are. A directory that cannot be removed afterwards is no error:
    ///   it is removed when the index is opened next.
    public func rotate(whileAlone: () throws(StorageError) -> Void) throws(StorageError) {
        // Names of tables in order are their order of age.
        rotating.lock()
        defer { rotating.unlock() }
        // It must not be there when the tables are opened next: it would count as one of the last two.
        if let abandoned { try files.removeAll(abandoned) }
        let name = Hex.name(tableNumbers.next())
        abandoned = Paths.join(directory, name)
        var created: IndexTable?
        let retired: IndexTable
        do throws(StorageError) {
            let next = try IndexTable(
                directory: directory, name: name, options: options, key: key, files: files, environment: environment)
            created = next
            try files.sync(directory)
            retired = try gate.withExclusive { () throws(StorageError) in
                try whileAlone()
                let old = tables
                retiredDays.addCounters(old.current.days.metrics)
                retiredMetrics.append(old.previous.table.metrics)
                tables = IndexTables(current: next, previous: old.current, deleted: old.deleted)
                publish()
                rotationCount += 1
                return old.previous
            }
        } catch {
            try? created?.table.close()
            if let path = abandoned, (try? files.removeAll(path)) != nil { abandoned = nil }
            throw error
        }
        abandoned = nil
        // The former current table takes nothing but tombstones from now on.
        withTables { $0.previous.table }.giveBackMemory()
        // Cursors that are still open keep the files they see.
        try? retired.table.close()
        do throws(StorageError) { try files.removeAll(retired.path) } catch {
            log("index table \(retired.name) has had its time and could not be removed: \(error)")
        }
    }

    /// When the next rotation is due, in Unix milliseconds (docs/format/series-index.md, 5.2): four hours into each
    /// period, also when the process starts within these four hours.
    public static func nextRotationMs(nowMs: Int64, retentionMs: Int64) -> Int64 {
        let day: Int64 = 86_400_000
        let most = 1200 * 31 * day
        let wanted = retentionMs <= 0 || retentionMs > most ? most : retentionMs
        let period = (wanted + day - 1) / day * day
        let offset = 4 * 3_600_000 as Int64
        let now = max(nowMs, 0)
        return (now >= offset ? (now - offset) / period : -1) * period + period + offset
    }

    // MARK: deletion

    /// Marks ids as deleted: no row gets them any more, and lookups do not return them
    /// (docs/format/series-index.md, 8). The tombstones are durable when this returns.
    ///
    /// - Parameter whileAlone: Runs before any batch goes on: caches that hold TSIDs are emptied here, and what was
    ///   saved of them is removed.
    /// - Returns: How many ids were not deleted before.
    public func delete(
        _ metricIDs: [UInt64], whileAlone: () throws(StorageError) -> Void
    ) throws(StorageError) -> Int {
        let added: [UInt64] = try gate.withExclusive { () throws(StorageError) in
            var deleted = tables.deleted
            var added: [UInt64] = []
            for id in metricIDs.sorted() where deleted.insert(id) { added.append(id) }
            guard !added.isEmpty else { return [] }
            try whileAlone()
            for table in [tables.current, tables.previous] {
                try table.table.add { writer throws(StorageError) in
                    for id in added {
                        let item = try writer.reserve(SeriesRow.tombstoneLength)
                        writer.commit(SeriesRow.storeTombstone(id, at: item))
                    }
                }
            }
            tables = IndexTables(current: tables.current, previous: tables.previous, deleted: deleted)
            publish()
            return added
        }
        // Also when nothing is new: the flush of an earlier call may have failed.
        if !metricIDs.isEmpty { try flush() }
        return added.count
    }

    // MARK: lookups

    /// The TSID of a metric id; nil when there is none, or when it is deleted.
    public func tsid(of metricID: UInt64, tenant: Tenant) throws(StorageError) -> TSID? {
        try withTables { tables throws(StorageError) in
            if tables.deleted.contains(metricID) { return nil }
            if let tsid = try tables.current.tsid(of: metricID, tenant: tenant) { return tsid }
            return try tables.previous.tsid(of: metricID, tenant: tenant)
        }
    }

    /// The canonical name of a metric id; nil when there is none, or when it is deleted.
    public func metricName(of metricID: UInt64, tenant: Tenant) throws(StorageError) -> [UInt8]? {
        try withTables { tables throws(StorageError) in
            if tables.deleted.contains(metricID) { return nil }
            if let name = try tables.current.metricName(of: metricID, tenant: tenant) { return name }
            return try tables.previous.metricName(of: metricID, tenant: tenant)
        }
    }

    // MARK: metrics

    /// Counters of the day registries, those of former tables included, and contents of the current one.
    public var dayMetrics: DayRegistryMetrics {
        withTables { tables in
            var metrics = tables.current.days.metrics
            metrics.addCounters(retiredDays)
            return metrics
        }
    }

    /// Counters and gauges of both tables together, and the counters of those that went with rotations.
    public var tableMetrics: TableMetrics {
        withTables { tables in
            var metrics = tables.current.table.metrics
            metrics.add(tables.previous.table.metrics)
            for retired in retiredMetrics { metrics.addCounters(retired) }
            return metrics
        }
    }

    /// Rotations since the index was opened.
    public var rotations: UInt64 { withTables { _ in rotationCount } }

    /// Whether an id is deleted.
    public func isDeleted(_ metricID: UInt64) -> Bool { withTables { $0.deleted.contains(metricID) } }

    /// Ids that are deleted.
    public var deletedCount: UInt64 { withTables { UInt64($0.deleted.count) } }

    /// Bytes of the filters of names of both tables.
    public var nameFilterBytes: UInt64 {
        withTables { UInt64($0.current.filterBytes + $0.previous.filterBytes) }
    }

    /// Most bytes of the sets of ids per day.
    public var dayRegistryBytesMax: Int { options.dayRegistryBytesMax }

    /// What the contents of a closed index follow from: the names of its tables and of their parts, no two of which are
    /// ever called the same. Two equal digests mean that nobody has written to the index in between; 0 without tables.
    ///
    /// - Parameter directory: `<storage>/indexdb`, which need not exist.
    public static func stateDigest(directory: String, files: any FileSystem) throws(StorageError) -> UInt64 {
        // In a snapshot it is a link to a directory.
        guard try files.kind(of: directory) != nil else { return 0 }
        let digest = Digest()
        for table in try files.list(directory) where table.kind != .file && isTableName(table.name) {
            addText(table.name, to: digest)
            for entry in try files.list(Paths.join(directory, table.name)) where entry.kind == .directory {
                let path = Paths.join(Paths.join(directory, table.name), entry.name)
                // Directories for temporary files and transactions come and go; only what is in them counts.
                var counts = entry.name.utf8.contains(UInt8(ascii: "_"))
                if !counts { counts = try !files.list(path).isEmpty }
                if counts { addText(entry.name, to: digest) }
            }
        }
        return digest.value
    }

    private static func addText(_ text: String, to digest: Digest) {
        var text = text
        text.withUTF8 { digest.addItem(UnsafeRawBufferPointer($0)) }
    }

    // MARK: close

    /// Makes everything durable and closes both tables.
    public func close() throws(StorageError) {
        let tables = withTables { $0 }
        var failure: StorageError?
        do throws(StorageError) { try tables.current.table.close() } catch { failure = error }
        do throws(StorageError) { try tables.previous.table.close() } catch { failure = failure ?? error }
        if let failure { throw failure }
    }
}
