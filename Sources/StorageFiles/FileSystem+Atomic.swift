// FileSystem+Atomic.swift - operations made of several calls, with their order and their syncs.
//
// The order of the calls is that of docs/format/mergeset-table.md, 8: a file that is visible under its final name is
// complete and durable.

import StorageBytes
import StorageRuntime

extension FileSystem {
    /// Writes a new file that is there completely or not at all (docs/format/mergeset-table.md, 8): a temporary file
    /// `<path>.tmp.<N>` is written, synced and renamed, then the directory is synced.
    ///
    /// - Throws: `.alreadyExists` when there is something called `path`. After any other error the file may be visible
    ///   only if the sync of the directory failed; the temporary file is removed if that is possible.
    public func writeAtomically(_ bytes: UnsafeRawBufferPointer, to path: String) throws(StorageError) {
        if try kind(of: path) != nil {
            throw StorageError(.alreadyExists, "a file that is to be written atomically exists already", path: path)
        }
        try replaceAtomically(bytes, at: path)
    }

    /// As ``writeAtomically(_:to:)-(UnsafeRawBufferPointer,_)``, for an array.
    public func writeAtomically(_ bytes: [UInt8], to path: String) throws(StorageError) {
        try bytes.withUnsafeBufferPointer { (bytes) throws(StorageError) in
            try writeAtomically(UnsafeRawBufferPointer(bytes), to: path)
        }
    }

    /// As ``writeAtomically(_:to:)-(UnsafeRawBufferPointer,_)``, but an existing file is replaced: at any moment `path`
    /// holds all of the old or all of the new bytes.
    public func replaceAtomically(_ bytes: UnsafeRawBufferPointer, at path: String) throws(StorageError) {
        try replaceAtomically(at: path) { (file) throws(StorageError) in try file.write(bytes) }
    }

    /// As ``replaceAtomically(_:at:)-(UnsafeRawBufferPointer,_)``, for what `write` appends to the temporary file. When it
    /// throws, the temporary file is removed and `path` stays as it was.
    public func replaceAtomically(
        at path: String, _ write: (any WritableFile) throws(StorageError) -> Void
    ) throws(StorageError) {
        let temporary = "\(path).tmp.\(nextTemporaryNumber())"
        do throws(StorageError) {
            let file = try createAfresh(temporary)
            try write(file)
            try file.sync()
            try file.close()
            try rename(temporary, to: path)
        } catch {
            try? removeFile(temporary)
            throw error
        }
        try sync(Paths.parent(path))
    }

    /// As ``replaceAtomically(_:at:)-(UnsafeRawBufferPointer,_)``, for an array.
    public func replaceAtomically(_ bytes: [UInt8], at path: String) throws(StorageError) {
        try bytes.withUnsafeBufferPointer { (bytes) throws(StorageError) in
            try replaceAtomically(UnsafeRawBufferPointer(bytes), at: path)
        }
    }

    /// Creates a temporary file, removing one that an earlier process left under the same name.
    private func createAfresh(_ path: String) throws(StorageError) -> any WritableFile {
        do throws(StorageError) {
            return try create(path)
        } catch {
            guard error.kind == .alreadyExists else { throw error }
            try removeFile(path)
            return try create(path)
        }
    }

    /// Makes `target` and links every regular file of `source` into it; directories and links in `source` are skipped.
    /// Syncs `target` and its parent. `.alreadyExists` when there is a `target`.
    public func hardLinkDirectory(_ source: String, to target: String) throws(StorageError) {
        try makeDirectory(target, parents: false)
        for entry in try list(source) where entry.kind == .file {
            try hardLink(Paths.join(source, entry.name), to: Paths.join(target, entry.name))
        }
        try sync(target)
    }

    /// All the bytes of a file. `.limitExceeded`, before anything is allocated, when there are more than `limitBytes`.
    public func readAll(_ path: String, limitBytes: Int) throws(StorageError) -> RawBuffer {
        let file = try open(path)
        let size = file.sizeBytes
        if size > limitBytes {
            throw StorageError(.limitExceeded, "\(size) bytes, but at most \(limitBytes) are expected", path: path)
        }
        var buffer = RawBuffer(capacity: size)
        try file.read(at: 0, into: UnsafeMutableRawBufferPointer(start: buffer.base, count: size))
        buffer.commit(size)
        return buffer
    }

    /// The absolute form of `path` without `.` and `..`, resolved as text (docs/format/mergeset-table.md, 7.4).
    public func absolutePath(_ path: String) throws(StorageError) -> String {
        Paths.absolute(path, currentDirectory: try currentDirectory())
    }
}
