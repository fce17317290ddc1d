// RealFileSystem.swift - the file system of the operating system.
//
// Any thread may call any method: there is no state but counters. Descriptors live for one call or in the handles of
// RealFiles.swift. Names that are not valid UTF-8 are listed with replacement characters and cannot be opened; they are
// still removed with their directory.

import Glibc
import StorageBytes
import StorageRuntime

/// Files through system calls.
public final class RealFileSystem: FileSystem {
    private let bank = FileCounterBank()

    /// A view on the machine's files.
    public init() {}

    public var counters: FileCounters { bank.values }

    public func nextTemporaryNumber() -> UInt64 { bank.nextTemporaryNumber() }

    public func currentDirectory() throws(StorageError) -> String {
        guard let text = getcwd(nil, 0) else { throw SystemCall.error("getcwd", ".", errno) }
        defer { free(text) }
        return String(cString: text)
    }

    public func makeDirectory(_ path: String, parents: Bool) throws(StorageError) {
        let cleaned = try Self.cleaned(path)
        if parents {
            try Self.makeWithParents(cleaned)
        } else {
            _ = try SystemCall.run("mkdir", cleaned) { mkdir(cleaned, 0o755) }
        }
        try sync(Paths.parent(cleaned))
    }

    private static func makeWithParents(_ path: String) throws(StorageError) {
        if mkdir(path, 0o755) == 0 { return }
        switch errno {
        case ENOENT:
            let parent = Paths.parent(path)
            if parent == path || parent == "." { throw SystemCall.error("mkdir", path, ENOENT) }
            try makeWithParents(parent)
            if mkdir(path, 0o755) != 0, errno != EEXIST { throw SystemCall.error("mkdir", path, errno) }
        case EEXIST:
            // A link to a directory is as good as one: data directories are often mounted that way.
            var status = stat()
            _ = try SystemCall.run("stat", path) { stat(path, &status) }
            if SystemCall.fileKind(status.st_mode) != .directory { throw SystemCall.error("mkdir", path, EEXIST) }
        case let code:
            throw SystemCall.error("mkdir", path, code)
        }
    }

    public func list(_ path: String) throws(StorageError) -> [DirectoryEntry] {
        let descriptor = try SystemCall.open(path, O_RDONLY | O_DIRECTORY)
        var entries: [DirectoryEntry] = []
        try RealDirectory.forEach(descriptor, path) { name, kind in
            entries.append(DirectoryEntry(name: String(cString: name), kind: kind))
        }
        entries.sort { Paths.precedes($0.name, $1.name) }
        return entries
    }

    public func kind(of path: String) throws(StorageError) -> FileKind? {
        try SystemCall.check(path)
        var status = stat()
        if lstat(path, &status) == 0 { return SystemCall.fileKind(status.st_mode) }
        if errno == ENOENT || errno == ENOTDIR { return nil }
        throw SystemCall.error("lstat", path, errno)
    }

    public func size(of path: String) throws(StorageError) -> Int {
        try SystemCall.check(path)
        var status = stat()
        _ = try SystemCall.run("stat", path) { stat(path, &status) }
        switch SystemCall.fileKind(status.st_mode) {
        case .file: return Int(status.st_size)
        case .directory: throw SystemCall.error("stat", path, EISDIR)
        case .other: throw StorageError(.invalidArgument, "stat: not a regular file", path: path)
        }
    }

    public func removeAll(_ path: String) throws(StorageError) {
        let cleaned = try Self.cleaned(path)
        let name = Paths.lastComponent(cleaned)
        if name == "/" || name == "." || name == ".." {
            throw StorageError(.invalidArgument, "removeAll wants a path that ends in a name", path: path)
        }
        let parent = Paths.parent(cleaned)
        let descriptor: Int32
        do throws(StorageError) {
            descriptor = try SystemCall.open(parent, O_RDONLY | O_DIRECTORY)
        } catch {
            if error.kind == .notFound || error.kind == .io(errno: ENOTDIR) { return }  // nothing can be there
            throw error
        }
        defer { close(descriptor) }
        try name.utf8CString.withUnsafeBufferPointer { (name) throws(StorageError) in
            try RealDirectory.remove(name.baseAddress!, in: descriptor, cleaned)
        }
        _ = try SystemCall.run("fsync", parent) { fsync(descriptor) }
        bank.addSync()
    }

    public func removeFile(_ path: String) throws(StorageError) {
        try SystemCall.check(path)
        _ = try SystemCall.run("unlink", path) { unlink(path) }
    }

    public func rename(_ source: String, to target: String) throws(StorageError) {
        try SystemCall.check(source)
        try SystemCall.check(target)
        if Glibc.rename(source, target) != 0 { throw Self.pairError("rename", source, target, errno) }
    }

    public func hardLink(_ source: String, to target: String) throws(StorageError) {
        try SystemCall.check(source)
        try SystemCall.check(target)
        if link(source, target) != 0 { throw Self.pairError("link", source, target, errno) }
    }

    public func symbolicLink(to target: String, at path: String) throws(StorageError) {
        try SystemCall.check(target)
        try SystemCall.check(path)
        _ = try SystemCall.run("symlink", path) { symlink(target, path) }
    }

    public func linkTarget(of path: String) throws(StorageError) -> String {
        try SystemCall.check(path)
        // The kernel keeps at most a page of text.
        var text = RawBuffer(capacity: Int(PATH_MAX))
        let start = text.base.assumingMemoryBound(to: CChar.self)
        text.commit(try SystemCall.run("readlink", path) { readlink(path, start, Int(PATH_MAX)) })
        return String(decoding: text.bytes, as: UTF8.self)
    }

    public func sync(_ path: String) throws(StorageError) {
        let descriptor = try SystemCall.open(path, O_RDONLY | O_NONBLOCK)
        defer { close(descriptor) }
        _ = try SystemCall.run("fsync", path) { fsync(descriptor) }
        bank.addSync()
    }

    public func freeSpaceBytes(_ path: String) throws(StorageError) -> UInt64 {
        try SystemCall.check(path)
        // The C module shows statvfs only; its blocks of f_frsize are those that statfs counts in f_bsize.
        var status = statvfs()
        _ = try SystemCall.run("statvfs", path) { statvfs(path, &status) }
        return UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue
    }

    public func lock(_ path: String) throws(StorageError) -> any FileLock { try RealFileLock(path) }

    public func open(_ path: String) throws(StorageError) -> any ReadableFile { try RealReadableFile(path, bank) }

    public func create(_ path: String) throws(StorageError) -> any WritableFile { try RealWritableFile(path, bank) }

    private static func cleaned(_ path: String) throws(StorageError) -> String {
        try SystemCall.check(path)
        return Paths.clean(path)
    }

    private static func pairError(
        _ call: String, _ source: String, _ target: String, _ code: Int32
    ) -> StorageError {
        var error = SystemCall.error(call, source, code)
        error.message += " (target \(target))"
        return error
    }
}
