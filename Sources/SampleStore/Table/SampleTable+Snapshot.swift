// SampleTable+Snapshot.swift - a copy of all partitions by hard links (docs/format/sample-store.md, 17).
//
//   small/snapshots/<name>/YYYY_MM/<part>/...        big/snapshots/<name>/YYYY_MM/<part>/...
//
// A snapshot holds everything added before the call: the flush waits for one that is running, and nothing but flushes takes
// parts in memory away.

import StorageFiles
import StorageRuntime

extension SampleTable {
    /// Links everything added before into `small/snapshots/<name>` and `big/snapshots/<name>`. Merges that want to exchange
    /// parts wait while their partition is linked. A failure leaves what was made so far; ``deleteSnapshot(name:)`` removes
    /// it.
    ///
    /// - Throws: `.invalidArgument` for a name that is not one (14 digits, `-`, hex digits), `.alreadyExists`, `.io`,
    ///   `.noSpace`, `.closed`.
    public func snapshot(name: String) throws(StorageError) {
        try checkIsOpen()
        let targets = try snapshotPaths(name)
        try flushEverything()
        for target in targets { try files.makeDirectory(target, parents: false) }
        for partition in partitions.withLock({ $0.listed }) {
            try partition.snapshotLock.withExclusive { () throws(StorageError) in
                try memory.checkCanWrite()
                guard !partition.state.isDropped else { return }
                for (side, target) in zip(SampleSide.allCases, targets) {
                    try link(partition.path(side), to: Paths.join(target, partition.month.name))
                    try files.sync(target)
                }
            }
        }
        for target in targets {
            try files.sync(target)
            try files.sync(Paths.parent(target))
        }
    }

    /// Removes a snapshot; fine when there is none.
    ///
    /// - Throws: `.invalidArgument` for a name that is not one, `.io`.
    public func deleteSnapshot(name: String) throws(StorageError) {
        try checkIsOpen()
        for target in try snapshotPaths(name) { try files.removeAll(target) }
    }

    /// Links the parts of one side as they are on disk: a merge that has exchanged its parts there may not have done so in
    /// the list yet.
    private func link(_ source: String, to target: String) throws(StorageError) {
        try files.makeDirectory(target, parents: false)
        for entry in try files.list(source)
        where entry.kind != .file && !SamplePartition.ignoredDirectories.contains(entry.name) {
            try files.hardLinkDirectory(
                Paths.join(source, entry.name), to: Paths.join(target, entry.name))
        }
        try files.sync(target)
    }

    private func snapshotPaths(_ name: String) throws(StorageError) -> [String] {
        let fields = name.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        let isName =
            fields.count == 2 && fields[0].count == 14 && !fields[1].isEmpty
            && fields[0].allSatisfy { (0x30...0x39).contains($0) }
            && fields[1].allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x46).contains($0) || (0x61...0x66).contains($0)
            }
        guard isName else {
            throw StorageError(.invalidArgument, "not the name of a snapshot: \(name)", path: path)
        }
        return [opener.smallDirectory, opener.bigDirectory].map {
            Paths.join(Paths.join($0, SampleTable.snapshotsName), name)
        }
    }
}
