// SamplePartition.swift - the parts of one month, in two directories (docs/format/sample-store.md, 7, 12.4).
//
//   small/YYYY_MM/  txn/  tmp/  <part>/ ...        big/YYYY_MM/  txn/  tmp/  <part>/ ...
//
// Opening finishes the transactions of both sides before it looks at the parts of either: a transaction of the big side may
// remove small parts. A part that does not open is moved away and named; the others serve.
//
// Threads: any.

import StorageBytes
import StorageFiles
import StorageRuntime

/// A month of samples.
final class SamplePartition: @unchecked Sendable {
    let month: SampleMonth
    let smallPath: String, bigPath: String
    let state: SamplePartitionState
    /// Shared while parts are exchanged on disk, exclusive while a snapshot is linked.
    let snapshotLock = SharedLock()
    /// Set when merges of file parts are to be abandoned.
    let mergeStop = SampleMergeStop()
    /// Of a dropped partition: the parts that are still on disk.
    let lastParts = Protected<[FileSamplePart]>([])

    init(month: SampleMonth, smallPath: String, bigPath: String, list: SamplePartList) {
        self.month = month
        self.smallPath = smallPath
        self.bigPath = bigPath
        state = SamplePartitionState(list)
    }

    /// The directory of a side.
    func path(_ side: SampleSide) -> String { side == .small ? smallPath : bigPath }

    /// Both directories, that of `side` first.
    func roots(_ side: SampleSide) -> [String] {
        side == .small ? [smallPath, bigPath] : [bigPath, smallPath]
    }

    /// Directories of a partition that are no parts.
    static let ignoredDirectories: Set<String> = [
        PartTransaction.directoryName, PartTransaction.temporaryDirectoryName, "snapshots",
    ]
}

/// Opens partitions, which are made when they are not there.
struct SamplePartitionOpener {
    /// `data/small` and `data/big`.
    let smallDirectory: String, bigDirectory: String
    let damagedDirectory: String
    let files: any FileSystem
    let smallCache: IndexCacheBudget, bigCache: IndexCacheBudget
    let log: (@Sendable (String) -> Void)?

    func cache(_ side: SampleSide) -> IndexCacheBudget { side == .small ? smallCache : bigCache }

    private func paths(_ month: SampleMonth) -> (small: String, big: String) {
        (Paths.join(smallDirectory, month.name), Paths.join(bigDirectory, month.name))
    }

    /// Opens a partition, making what is missing of its directories. Parts set aside are added to `damaged`.
    ///
    /// - Throws: `.corrupted` for a transaction that breaks the format and for a directory whose name is not that of a part;
    ///   `.io`, `.noSpace`.
    func open(_ month: SampleMonth, _ damaged: inout [DamagedPart]) throws(StorageError)
        -> SamplePartition
    {
        let paths = paths(month)
        for path in [paths.small, paths.big] { try files.makeDirectory(path, parents: true) }
        try PartTransaction.recover(roots: [paths.small, paths.big], allowsRemoval: true, on: files)
        let small = try openParts(paths.small, .small, &damaged)
        let big = try openParts(paths.big, .big, &damaged)
        return SamplePartition(
            month: month, smallPath: paths.small, bigPath: paths.big,
            list: SamplePartList(small: small, big: big))
    }

    private func openParts(
        _ directory: String, _ side: SampleSide, _ damaged: inout [DamagedPart]
    ) throws(StorageError) -> [FileSamplePart] {
        var parts: [FileSamplePart] = []
        for entry in try files.list(directory) {
            if entry.kind == .file || SamplePartition.ignoredDirectories.contains(entry.name) { continue }
            let path = Paths.join(directory, entry.name)
            if entry.kind == .directory, try files.list(path).isEmpty {
                try files.removeAll(path)
                continue
            }
            do throws(StorageError) {
                parts.append(try FileSamplePart(path: path, files: files, cache: cache(side)))
            } catch {
                // What has no `_` in its name was not put there by anybody who writes parts.
                guard error.kind == .corrupted || error.kind == .notFound,
                    entry.name.utf8.contains(UInt8(ascii: "_"))
                else { throw error }
                damaged.append(try setAside(path, side, error))
            }
        }
        return parts
    }

    /// Moves a part that does not open to the directory of damaged parts.
    private func setAside(_ path: String, _ side: SampleSide, _ reason: StorageError)
        throws(StorageError)
        -> DamagedPart
    {
        try files.makeDirectory(damagedDirectory, parents: true)
        let month = Paths.lastComponent(Paths.parent(path))
        let name = "\(side.name)-\(month)-\(Paths.lastComponent(path))"
        var target = Paths.join(damagedDirectory, name)
        var number = 1
        while try files.kind(of: target) != nil {
            number += 1
            target = Paths.join(damagedDirectory, "\(name).\(number)")
        }
        try files.rename(path, to: target)
        try files.sync(Paths.parent(path))
        try files.sync(damagedDirectory)
        log?(
            "\(side.name) part \(Paths.lastComponent(path)) of \(month) is damaged and was set aside as \(target): \(reason)"
        )
        return DamagedPart(path: path, target: target, reason: reason)
    }
}
