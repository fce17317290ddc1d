// SeriesIndex+Snapshot.swift - copies of both index tables by hard links (docs/format/sample-store.md, 17).
//
//   <storage>/indexdb/snapshots/<name>/<NAME of a table>/<parts>
//
// Threads: any. A rotation waits until a snapshot has ended.

import Mergeset
import StorageFiles
import StorageRuntime

extension SeriesIndex {
    /// Where the tables of a snapshot are.
    public func snapshotPath(_ name: String) -> String {
        Paths.join(Paths.join(directory, "snapshots"), name)
    }

    /// Copies both tables; the copy holds everything that was registered before the call, and is durable when it returns.
    ///
    /// - Parameter name: A file name.
    /// - Throws: `.alreadyExists`, `.io`, `.noSpace`: what was made so far stays. `.closed`.
    public func snapshot(name: String) throws(StorageError) {
        rotating.lock()
        defer { rotating.unlock() }
        waitForBatches()
        let target = snapshotPath(name)
        try files.makeDirectory(target, parents: false)
        let tables = withTables { $0 }
        for table in [tables.current, tables.previous] {
            try table.table.snapshot(to: Paths.join(target, table.name))
        }
        try files.sync(target)
        try files.sync(Paths.parent(target))
    }

    /// Removes a snapshot; fine when there is none.
    public func deleteSnapshot(name: String) throws(StorageError) { try files.removeAll(snapshotPath(name)) }
}
