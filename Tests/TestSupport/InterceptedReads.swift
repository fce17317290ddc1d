// InterceptedReads.swift - a file system that calls back before files are read, so that a test can make things happen there, or
// wait there. All else goes to the file system below.

import StorageFiles
import StorageRuntime

/// A file system whose readers call `beforeRead` first. Threads: as the file system below; `beforeRead` is called by whoever
/// reads.
public final class InterceptedReads: FileSystem {
    private let base: any FileSystem
    private let isIntercepted: @Sendable (String) -> Bool
    private let beforeRead: @Sendable () -> Void

    /// - Parameter isIntercepted: Which files, by their paths; all when it is left out.
    public init(
        on base: any FileSystem, of isIntercepted: @escaping @Sendable (String) -> Bool = { _ in true },
        beforeRead: @escaping @Sendable () -> Void
    ) {
        self.base = base
        self.isIntercepted = isIntercepted
        self.beforeRead = beforeRead
    }

    private final class File: ReadableFile {
        let base: any ReadableFile
        let beforeRead: @Sendable () -> Void

        init(_ base: any ReadableFile, _ beforeRead: @escaping @Sendable () -> Void) {
            self.base = base
            self.beforeRead = beforeRead
        }

        var path: String { base.path }
        var sizeBytes: Int { base.sizeBytes }
        func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(StorageError) {
            beforeRead()
            try base.read(at: offset, into: target)
        }
        func forget(at offset: Int, count: Int) { base.forget(at: offset, count: count) }
    }

    public func open(_ path: String) throws(StorageError) -> any ReadableFile {
        let file = try base.open(path)
        return isIntercepted(path) ? File(file, beforeRead) : file
    }

    public func makeDirectory(_ path: String, parents: Bool) throws(StorageError) {
        try base.makeDirectory(path, parents: parents)
    }
    public func list(_ path: String) throws(StorageError) -> [DirectoryEntry] { try base.list(path) }
    public func kind(of path: String) throws(StorageError) -> FileKind? { try base.kind(of: path) }
    public func size(of path: String) throws(StorageError) -> Int { try base.size(of: path) }
    public func removeAll(_ path: String) throws(StorageError) { try base.removeAll(path) }
    public func removeFile(_ path: String) throws(StorageError) { try base.removeFile(path) }
    public func rename(_ source: String, to target: String) throws(StorageError) {
        try base.rename(source, to: target)
    }
    public func hardLink(_ source: String, to target: String) throws(StorageError) {
        try base.hardLink(source, to: target)
    }
    public func symbolicLink(to target: String, at path: String) throws(StorageError) {
        try base.symbolicLink(to: target, at: path)
    }
    public func linkTarget(of path: String) throws(StorageError) -> String { try base.linkTarget(of: path) }
    public func sync(_ path: String) throws(StorageError) { try base.sync(path) }
    public func freeSpaceBytes(_ path: String) throws(StorageError) -> UInt64 { try base.freeSpaceBytes(path) }
    public func lock(_ path: String) throws(StorageError) -> any FileLock { try base.lock(path) }
    public func create(_ path: String) throws(StorageError) -> any WritableFile { try base.create(path) }
    public func currentDirectory() throws(StorageError) -> String { try base.currentDirectory() }
    public func nextTemporaryNumber() -> UInt64 { base.nextTemporaryNumber() }
    public var counters: FileCounters { base.counters }
}
