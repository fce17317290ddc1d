// Table+Snapshot.swift - a copy of a table by hard links (docs/format/mergeset-table.md, 17).

import StorageFiles
import StorageRuntime

extension Table {
    /// Makes a copy of the table in a new directory on the same file system, sharing its files. It holds everything
    /// added before the call. Merges that want to exchange parts wait meanwhile.
    ///
    /// - Throws: `.invalidArgument` when `target` lies inside the table, `.alreadyExists`, `.io`.
    public func snapshot(to target: String) throws(StorageError) {
        try checkIsOpen()
        let source = try files.absolutePath(path)
        let absolute = try files.absolutePath(target)
        guard absolute != source, !Paths.isStrictlyInside(absolute, source) else {
            throw StorageError(.invalidArgument, "a snapshot must not lie inside its table", path: target)
        }
        try flushEverything()
        options.onNewItems?()
        try snapshotLock.withExclusive { () throws(StorageError) in
            if let error = state.fatalError { throw error }
            try files.makeDirectory(target, parents: false)
            let flag = Paths.join(path, Table.convertedFlag)
            if try files.kind(of: flag) == .file {
                try files.hardLink(flag, to: Paths.join(target, Table.convertedFlag))
            }
            // As it is on disk: a merge that has exchanged its parts there may not have done so in the list yet.
            for entry in try files.list(path)
            where entry.kind != .file && !Table.ignoredDirectories.contains(entry.name) {
                try files.hardLinkDirectory(Paths.join(path, entry.name), to: Paths.join(target, entry.name))
            }
            try files.sync(target)
            try files.sync(Paths.parent(target))
        }
    }
}
