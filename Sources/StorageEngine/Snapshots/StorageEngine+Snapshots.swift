// StorageEngine+Snapshots.swift - copies of a storage by hard links (docs/format/sample-store.md, 17).
//
//   <storage>/snapshots/<name>/data/small     -> ../../../data/small/snapshots/<name>
//                             /data/big       -> ../../../data/big/snapshots/<name>
//                             /indexdb        -> ../../indexdb/snapshots/<name>
//                             /metadata/...      copies of the files
//
// The samples are copied first and the index after them. Rows are added to the index before they are added to the samples,
// so every row of the copy has its series in it; rows that arrive meanwhile may or may not be there. A storage that is
// opened at <storage>/snapshots/<name> serves the copy.
//
// Threads: any; one snapshot is made, or removed, at a time.

import SampleStore
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime

extension StorageEngine {
    private var snapshotsDirectory: String { Paths.join(path, "snapshots") }

    /// Makes a snapshot with everything that was added before the call. It is durable when the name is returned.
    ///
    /// - Returns: Its name, `YYYYMMDDhhmmss-` and 16 hex digits: `<storage>/snapshots/<name>` is the snapshot.
    /// - Throws: `.io`, `.noSpace`: what was made of it is removed again, as far as possible. `.closed`.
    public func createSnapshot() throws(StorageError) -> String {
        let samples = try sampleTable()
        snapshotLock.lock()
        defer { snapshotLock.unlock() }
        let seconds = CivilTime(timestampMs: environment.clock.unixMilliseconds).text.prefix(14)
        let name = "\(seconds)-\(Hex.name(snapshotNames.next()))"
        let directory = Paths.join(snapshotsDirectory, name)
        try files.makeDirectory(directory, parents: false)
        do throws(StorageError) {
            let data = Paths.join(directory, "data")
            try files.makeDirectory(data, parents: false)
            try samples.snapshot(name: name)
            for side in ["small", "big"] {
                try files.symbolicLink(to: "../../../data/\(side)/snapshots/\(name)", at: Paths.join(data, side))
            }
            try files.sync(data)
            try index.snapshot(name: name)
            try files.symbolicLink(to: "../../indexdb/snapshots/\(name)", at: Paths.join(directory, "indexdb"))
            try copyMetadata(to: Paths.join(directory, "metadata"))
            try files.sync(directory)
        } catch {
            try? remove(name)
            throw error
        }
        return name
    }

    /// The names of the snapshots, sorted. One that a crash has interrupted is among them, too.
    public func snapshots() throws(StorageError) -> [String] {
        try checkIsOpen()
        return try files.list(snapshotsDirectory).map(\.name).filter(StorageEngine.isSnapshotName)
    }

    /// Removes a snapshot; fine when there is none, or only a piece of it.
    ///
    /// - Throws: `.invalidArgument` for a name that no snapshot can have; `.io`.
    public func deleteSnapshot(_ name: String) throws(StorageError) {
        try checkIsOpen()
        guard StorageEngine.isSnapshotName(name) else {
            throw StorageError(.invalidArgument, "not the name of a snapshot: \(name)")
        }
        snapshotLock.lock()
        defer { snapshotLock.unlock() }
        try remove(name)
    }

    /// Removes all snapshots.
    public func deleteAllSnapshots() throws(StorageError) {
        for name in try snapshots() { try deleteSnapshot(name) }
    }

    /// Fourteen digits, a minus sign, and hex digits of either case.
    static func isSnapshotName(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        guard bytes.count > 15, bytes[14] == UInt8(ascii: "-") else { return false }
        return bytes[..<14].allSatisfy { (0x30...0x39).contains($0) }
            && bytes[15...].allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x46).contains($0) || (0x61...0x66).contains($0)
            }
    }

    private func remove(_ name: String) throws(StorageError) {
        try samples?.deleteSnapshot(name: name)
        try index.deleteSnapshot(name: name)
        try files.removeAll(Paths.join(snapshotsDirectory, name))
    }

    private func copyMetadata(to target: String) throws(StorageError) {
        let source = Paths.join(path, "metadata")
        try files.makeDirectory(target, parents: false)
        for entry in try files.list(source) where entry.kind == .file {
            // A few bytes each; whatever else has been put there is not worth failing for.
            let bytes = try files.readAll(Paths.join(source, entry.name), limitBytes: 64 << 20)
            try files.writeAtomically(bytes.bytes, to: Paths.join(target, entry.name))
        }
    }
}
