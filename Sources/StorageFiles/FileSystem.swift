// FileSystem.swift - every call on files that the storage makes, as a protocol.
//
// Two implementations: RealFileSystem (system calls) and SimulatedFileSystem (memory; crashes, torn writes, full disk
// and I/O errors on demand). Calls are per block or larger, so dynamic dispatch costs nothing.
//
// What is durable when: data written to a file survives a crash after `sync()` of that file; a created, renamed,
// removed or linked name survives after `sync(path)` of its directory. Nothing else is promised, and the simulation
// takes away what was not promised. (docs/format/mergeset-table.md, 8)

import StorageBytes
import StorageRuntime

/// What a name in a directory stands for.
public enum FileKind: Sendable {
    /// A regular file.
    case file
    /// A directory.
    case directory
    /// A symbolic link (the link itself; it is not followed) or anything else.
    case other
}

/// A name in a directory.
public struct DirectoryEntry: Sendable, Equatable {
    /// The last component of the path.
    public let name: String
    /// What it stands for.
    public let kind: FileKind

    /// An entry.
    public init(name: String, kind: FileKind) {
        self.name = name
        self.kind = kind
    }
}

/// The file system as the storage sees it. Paths are absolute or relative to the process's current directory.
/// All methods may be called from any thread. All throw `.notFound`, `.alreadyExists`, `.noSpace` or `.io`, with the
/// path and the name of the failed call.
public protocol FileSystem: AnyObject, Sendable {
    /// Makes a directory (mode 0755). With `parents`, also the missing directories above it, and an existing directory
    /// is fine. Syncs the immediate parent directory, also when nothing had to be made: an earlier process may have
    /// died between the two steps.
    func makeDirectory(_ path: String, parents: Bool) throws(StorageError)
    /// The entries of a directory, sorted by name bytewise, without `.` and `..`.
    func list(_ path: String) throws(StorageError) -> [DirectoryEntry]
    /// What `path` stands for (links are not followed); nil when nothing is there.
    func kind(of path: String) throws(StorageError) -> FileKind?
    /// Size of a regular file in bytes.
    func size(of path: String) throws(StorageError) -> Int
    /// Removes a file, or a directory with all its contents; fine when it does not exist. Syncs the parent directory.
    func removeAll(_ path: String) throws(StorageError)
    /// Removes a regular file; `.notFound` when there is none. Does not sync the directory.
    func removeFile(_ path: String) throws(StorageError)
    /// Renames a file or directory, replacing an existing file. Does not sync the directories.
    func rename(_ source: String, to target: String) throws(StorageError)
    /// Makes `target` a second name of the regular file `source`. Does not sync the directory.
    func hardLink(_ source: String, to target: String) throws(StorageError)
    /// Makes `path` a symbolic link with the text `target`, which is absolute or starts at the directory of the link and
    /// need not exist. Does not sync the directory. Links on the way to a name are followed everywhere; a link at the end
    /// of a path is followed by `list`, `size`, `sync`, `open` and `lock`, and by `makeDirectory` with `parents`.
    func symbolicLink(to target: String, at path: String) throws(StorageError)
    /// The text of a symbolic link; `.io(EINVAL)` when `path` is something else.
    func linkTarget(of path: String) throws(StorageError) -> String
    /// `fsync` of a file or directory by path.
    func sync(_ path: String) throws(StorageError)
    /// Bytes that an unprivileged process may still write to the device of `path`.
    func freeSpaceBytes(_ path: String) throws(StorageError) -> UInt64
    /// Creates `path` if it is missing, takes an exclusive lock on it without waiting (`.locked` when it is taken) and
    /// empties it. The lock is given back when the value is released or dies. The file is never removed.
    func lock(_ path: String) throws(StorageError) -> any FileLock
    /// Opens a regular file for reading at any place.
    func open(_ path: String) throws(StorageError) -> any ReadableFile
    /// Creates a file for appending; `.alreadyExists` when there is one.
    func create(_ path: String) throws(StorageError) -> any WritableFile
    /// Where relative paths start: an absolute path without `.` and `..`.
    func currentDirectory() throws(StorageError) -> String
    /// The next number for the name of a temporary file: 1, 2, ... One count for each file system, so that two
    /// deterministic runs in one process use the same names.
    func nextTemporaryNumber() -> UInt64
    /// Counts of calls and bytes since the start.
    var counters: FileCounters { get }
}

/// An open file that can be read at any place. Safe to use from any thread; closed with its last reference. Its bytes
/// stay readable after its name was removed.
public protocol ReadableFile: AnyObject, Sendable {
    /// The path it was opened by.
    var path: String { get }
    /// Size in bytes when it was opened.
    var sizeBytes: Int { get }
    /// Fills `target` completely with the bytes from `offset` on. `.corrupted` when the file ends before that.
    func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(StorageError)
    /// These bytes will hardly be read again: the operating system may use the memory that it keeps them in for others.
    func forget(at offset: Int, count: Int)
}

extension ReadableFile {
    /// Does nothing.
    public func forget(at offset: Int, count: Int) {}
}

/// A file being written from its beginning to its end. One thread at a time.
public protocol WritableFile: AnyObject {
    /// The path it was created by.
    var path: String { get }
    /// Appends all the bytes, or throws. After an error the contents are undefined.
    func write(_ bytes: UnsafeRawBufferPointer) throws(StorageError)
    /// Makes what was written so far durable.
    func sync() throws(StorageError)
    /// Closes the file without syncing it. Further calls throw `.closed`; closing twice is fine. An abandoned file is
    /// closed by its deinit.
    func close() throws(StorageError)
}

/// A lock on a file, held as long as the value lives or until it is released.
public protocol FileLock: AnyObject, Sendable {
    /// Gives the lock back. Releasing twice is fine.
    func release()
}

/// Calls and bytes, counted by the file system.
public struct FileCounters: Sendable, Equatable {
    /// Calls of `write`, and the bytes they wrote.
    public var writeCalls: UInt64 = 0, writtenBytes: UInt64 = 0
    /// Calls of `read`, and the bytes they read.
    public var readCalls: UInt64 = 0, readBytes: UInt64 = 0
    /// `fsync` and `fdatasync` of files and directories.
    public var syncCalls: UInt64 = 0
    /// Files created for writing and files opened for reading.
    public var filesCreated: UInt64 = 0, filesOpened: UInt64 = 0
    /// How many of them were closed again.
    public var writersClosed: UInt64 = 0, readersClosed: UInt64 = 0

    /// All zero.
    public init() {}
}
