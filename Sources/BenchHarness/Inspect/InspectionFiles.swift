// InspectionFiles.swift - the file system as `inspect` sees it: everything can be read and nothing changed.
//
// Reading goes to the file system below. Writing is allowed under one made-up directory only, and what is written there
// is counted and dropped: so a forced merge can really be run, block by block, to learn how large its output would be,
// without a byte of disk and without memory that grows with it. Every other call that would change something is refused;
// a mistake in the tool cannot touch the directory it looks at.
//
// Threads: any, as the file system below; the sink of a file has one owner.

import StorageBytes
import StorageFiles
import StorageRuntime

/// A file system that cannot change anything.
final class InspectionFiles: FileSystem {
    /// Where writing is allowed. The name cannot exist: a path never holds a zero byte.
    static let scratch = "\0scratch"

    private let base: any FileSystem

    init(_ base: any FileSystem) { self.base = base }

    private func requireScratch(_ path: String, _ call: String) throws(StorageError) {
        guard path.utf8.starts(with: InspectionFiles.scratch.utf8) else {
            throw StorageError(.invalidArgument, "\(call): directories are only read here", path: path)
        }
    }

    private static func isScratch(_ path: String) -> Bool { path.utf8.starts(with: scratch.utf8) }

    // MARK: reading

    func list(_ path: String) throws(StorageError) -> [DirectoryEntry] { try base.list(path) }
    func kind(of path: String) throws(StorageError) -> FileKind? {
        InspectionFiles.isScratch(path) ? nil : try base.kind(of: path)
    }
    func size(of path: String) throws(StorageError) -> Int { try base.size(of: path) }
    func freeSpaceBytes(_ path: String) throws(StorageError) -> UInt64 { try base.freeSpaceBytes(path) }
    func open(_ path: String) throws(StorageError) -> any ReadableFile { try base.open(path) }
    func linkTarget(of path: String) throws(StorageError) -> String { try base.linkTarget(of: path) }
    func currentDirectory() throws(StorageError) -> String { try base.currentDirectory() }
    func nextTemporaryNumber() -> UInt64 { base.nextTemporaryNumber() }
    var counters: FileCounters { base.counters }

    // MARK: writing

    func makeDirectory(_ path: String, parents: Bool) throws(StorageError) { try requireScratch(path, "mkdir") }
    func removeAll(_ path: String) throws(StorageError) { try requireScratch(path, "remove") }
    func removeFile(_ path: String) throws(StorageError) { try requireScratch(path, "unlink") }
    func rename(_ source: String, to target: String) throws(StorageError) {
        try requireScratch(source, "rename")
        try requireScratch(target, "rename")
    }
    func hardLink(_ source: String, to target: String) throws(StorageError) { try requireScratch(target, "link") }
    func symbolicLink(to target: String, at path: String) throws(StorageError) { try requireScratch(path, "symlink") }
    func sync(_ path: String) throws(StorageError) { try requireScratch(path, "sync") }
    func lock(_ path: String) throws(StorageError) -> any FileLock {
        throw StorageError(.invalidArgument, "lock: directories are only read here", path: path)
    }
    func create(_ path: String) throws(StorageError) -> any WritableFile {
        try requireScratch(path, "create")
        return Sink(path)
    }

    /// Takes bytes and drops them.
    private final class Sink: WritableFile {
        let path: String
        init(_ path: String) { self.path = path }
        func write(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {}
        func sync() throws(StorageError) {}
        func close() throws(StorageError) {}
    }
}
