// GatedFileSystem.swift - the real file system with a gate in front of reading parts of samples: once the gate is closed,
// whoever reads waits until it is opened.

import StorageFiles
import StorageRuntime

final class GatedFileSystem: FileSystem {
    private let base = RealFileSystem()
    private let lock = Lock()
    private let changed = Condition()
    private nonisolated(unsafe) var isClosed = false  // guarded by `lock`, as the next one
    private nonisolated(unsafe) var waiting = 0

    func closeGate() { lock.withLock { isClosed = true } }

    func openGate() {
        lock.withLock { isClosed = false }
        changed.broadcast()
    }

    /// How many stand at the gate.
    var waitingCount: Int { lock.withLock { waiting } }

    private func pass() {
        lock.lock()
        defer { lock.unlock() }
        waiting += 1
        while isClosed { changed.wait(lock) }
        waiting -= 1
    }

    private final class File: ReadableFile {
        let base: any ReadableFile
        let files: GatedFileSystem

        init(_ base: any ReadableFile, _ files: GatedFileSystem) {
            self.base = base
            self.files = files
        }

        var path: String { base.path }
        var sizeBytes: Int { base.sizeBytes }
        func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(StorageError) {
            files.pass()
            try base.read(at: offset, into: target)
        }
        func forget(at offset: Int, count: Int) { base.forget(at: offset, count: count) }
    }

    func open(_ path: String) throws(StorageError) -> any ReadableFile {
        let file = try base.open(path)
        return path.contains("/data/small/") || path.contains("/data/big/") ? File(file, self) : file
    }

    func makeDirectory(_ path: String, parents: Bool) throws(StorageError) {
        try base.makeDirectory(path, parents: parents)
    }
    func list(_ path: String) throws(StorageError) -> [DirectoryEntry] { try base.list(path) }
    func kind(of path: String) throws(StorageError) -> FileKind? { try base.kind(of: path) }
    func size(of path: String) throws(StorageError) -> Int { try base.size(of: path) }
    func removeAll(_ path: String) throws(StorageError) { try base.removeAll(path) }
    func removeFile(_ path: String) throws(StorageError) { try base.removeFile(path) }
    func rename(_ source: String, to target: String) throws(StorageError) { try base.rename(source, to: target) }
    func hardLink(_ source: String, to target: String) throws(StorageError) { try base.hardLink(source, to: target) }
    func symbolicLink(to target: String, at path: String) throws(StorageError) {
        try base.symbolicLink(to: target, at: path)
    }
    func linkTarget(of path: String) throws(StorageError) -> String { try base.linkTarget(of: path) }
    func sync(_ path: String) throws(StorageError) { try base.sync(path) }
    func freeSpaceBytes(_ path: String) throws(StorageError) -> UInt64 { try base.freeSpaceBytes(path) }
    func lock(_ path: String) throws(StorageError) -> any FileLock { try base.lock(path) }
    func create(_ path: String) throws(StorageError) -> any WritableFile { try base.create(path) }
    func currentDirectory() throws(StorageError) -> String { try base.currentDirectory() }
    func nextTemporaryNumber() -> UInt64 { base.nextTemporaryNumber() }
    var counters: FileCounters { base.counters }
}
