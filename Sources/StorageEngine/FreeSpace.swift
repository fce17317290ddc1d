// FreeSpace.swift - read-only mode while the disk is nearly full (docs/format/sample-store.md, 19).
//
// Below the limit rows are refused before anything is done with them. What was accepted before is still flushed and merged,
// and searches, deletions and snapshots go on; rows are taken again at the first look that finds room.
//
// Threads: any.

import StorageFiles
import StorageRuntime
import Synchronization

/// Knows whether there is room for rows.
final class FreeSpace: Sendable {
    let limitBytes: UInt64
    private let path: String
    private let files: any FileSystem
    private let log: @Sendable (String) -> Void
    private let free = Atomic<UInt64>(0)
    private let readOnly = Atomic<Bool>(false)

    /// A storage with room, until somebody looks.
    init(path: String, limitBytes: UInt64, files: any FileSystem, log: @escaping @Sendable (String) -> Void) {
        self.path = path
        self.limitBytes = limitBytes
        self.files = files
        self.log = log
    }

    /// Bytes that were free at the last look.
    var freeBytes: UInt64 { free.load(ordering: .relaxed) }

    var isReadOnly: Bool { readOnly.load(ordering: .relaxed) }

    /// Asks the file system. When it does not answer, everything stays as it was.
    func look() {
        let bytes: UInt64
        do throws(StorageError) { bytes = try files.freeSpaceBytes(path) } catch {
            log("error: the free space is not known: \(error)")
            return
        }
        free.store(bytes, ordering: .relaxed)
        let isLow = bytes < limitBytes
        guard readOnly.exchange(isLow, ordering: .relaxed) != isLow else { return }
        log(
            isLow
                ? "warn: switching the storage at \(path) to read-only mode, since it has less than "
                    + "-storage.minFreeDiskSpaceBytes=\(limitBytes) of free space: \(bytes) bytes left"
                : "warn: switching the storage at \(path) to read-write mode, since it has more than "
                    + "-storage.minFreeDiskSpaceBytes=\(limitBytes) of free space: \(bytes) bytes left")
    }

    /// Throws `.readOnly` while there is no room for rows.
    func checkIsWritable() throws(StorageError) {
        guard isReadOnly else { return }
        throw StorageError(
            .readOnly,
            "the storage is read-only: \(freeBytes) bytes are free, and \(limitBytes) are to be kept free; free some "
                + "space", path: path)
    }
}
