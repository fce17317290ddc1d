// RealFiles.swift - open files and locks of the operating system.
//
// Each owns its descriptor and closes it in its deinit. A readable file is immutable, so any number of threads may read
// it at once (pread has no position); a written one belongs to one thread.

import Glibc
import StorageRuntime

/// A file open for reading.
final class RealReadableFile: ReadableFile {
    let path: String
    let sizeBytes: Int
    private let descriptor: Int32
    private let counters: FileCounterBank

    init(_ path: String, _ counters: FileCounterBank) throws(StorageError) {
        // Without O_NONBLOCK a named pipe in place of a file would stop the thread here.
        let descriptor = try SystemCall.open(path, O_RDONLY | O_NONBLOCK)
        do throws(StorageError) {
            let status = try SystemCall.status(descriptor, path)
            switch SystemCall.fileKind(status.st_mode) {
            case .file: sizeBytes = Int(status.st_size)
            case .directory: throw SystemCall.error("open", path, EISDIR)
            case .other: throw StorageError(.invalidArgument, "open: not a regular file", path: path)
            }
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        self.path = path
        self.descriptor = descriptor
        self.counters = counters
        counters.addOpen()
    }

    deinit {
        Glibc.close(descriptor)
        counters.addReaderClose()
    }

    func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(StorageError) {
        try checkRange(offset, target.count, sizeBytes, path)
        var done = 0
        while done < target.count {
            let count = try SystemCall.run("pread", path) {
                pread(descriptor, target.baseAddress! + done, target.count - done, offset + done)
            }
            if count == 0 {  // cut since it was opened
                throw StorageError(
                    .corrupted, "the file ends after \(done) of \(target.count) bytes", path: path, offset: offset)
            }
            done += count
        }
        counters.addRead(done)
    }

    func forget(at offset: Int, count: Int) {
        // Whole pages only: the one in which the range begins has been passed, too. It is only advice.
        let start = offset & ~4095
        _ = posix_fadvise(descriptor, start, offset + count - start, POSIX_FADV_DONTNEED)
    }
}

/// Refuses a range that passes the end of a file, before anything is allocated or read.
func checkRange(_ offset: Int, _ count: Int, _ size: Int, _ path: String) throws(StorageError) {
    if offset < 0 || offset > size || count > size - offset {
        throw StorageError(
            .corrupted, "\(count) bytes wanted, but the file has only \(size)", path: path, offset: offset)
    }
}

/// A file being written.
final class RealWritableFile: WritableFile {
    let path: String
    private var descriptor: Int32  // -1 after close
    private let counters: FileCounterBank

    init(_ path: String, _ counters: FileCounterBank) throws(StorageError) {
        descriptor = try SystemCall.open(path, O_WRONLY | O_CREAT | O_EXCL)
        self.path = path
        self.counters = counters
        counters.addCreate()
    }

    deinit {
        if descriptor < 0 { return }
        Glibc.close(descriptor)
        counters.addWriterClose()
    }

    private func openDescriptor() throws(StorageError) -> Int32 {
        if descriptor < 0 { throw StorageError(.closed, "the file has been closed", path: path) }
        return descriptor
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        let descriptor = try openDescriptor()
        var done = 0
        while done < bytes.count {
            done += try SystemCall.run("write", path) {
                Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
            }
        }
        counters.addWrite(done)
    }

    func sync() throws(StorageError) {
        let descriptor = try openDescriptor()
        _ = try SystemCall.run("fsync", path) { fsync(descriptor) }
        counters.addSync()
        #if INJECT_FAULTS
            if InjectedFault.active == .doubleSync {
                _ = try SystemCall.run("fsync", path) { fsync(descriptor) }
                counters.addSync()
            }
        #endif
    }

    func close() throws(StorageError) {
        if descriptor < 0 { return }
        let closing = descriptor
        descriptor = -1
        counters.addWriterClose()
        try SystemCall.close(closing, path)
    }
}

/// An flock(2) on a file. It belongs to the open file, so a second open in the same process is refused as well.
final class RealFileLock: FileLock, @unchecked Sendable {
    private let lock = Lock()
    private var descriptor: Int32  // -1 after release

    init(_ path: String) throws(StorageError) {
        let descriptor = try SystemCall.open(path, O_RDWR | O_CREAT)
        do throws(StorageError) {
            while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
                let code = errno
                if code == EWOULDBLOCK {
                    var message = "locked by another process or another open of this directory"
                    if let owner = Self.owner(descriptor) { message += " (process \(owner))" }
                    throw StorageError(.locked, message, path: path)
                }
                if code != EINTR { throw SystemCall.error("flock", path, code) }
            }
            // Emptied only now: whoever held the lock before may have used what is inside.
            _ = try SystemCall.run("ftruncate", path) { ftruncate(descriptor, 0) }
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        self.descriptor = descriptor
    }

    deinit { release() }

    func release() {
        lock.withLock {
            if descriptor >= 0 { Glibc.close(descriptor) }
            descriptor = -1
        }
    }

    /// The process that holds a lock on the file, as /proc/locks tells; nil when it does not (some file systems show
    /// another device there).
    private static func owner(_ descriptor: Int32) -> String? {
        guard let status = try? SystemCall.status(descriptor, ""),
            let file = fopen("/proc/locks", "re")
        else { return nil }
        defer { fclose(file) }
        // A line: `1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF`, device numbers in hex, the inode in decimal.
        func hex(_ value: UInt64) -> String { (value < 16 ? "0" : "") + String(value, radix: 16) }
        let device = UInt64(status.st_dev)
        let major = (device >> 8) & 0xFFF | (device >> 32) & 0xFFFF_F000
        let minor = device & 0xFF | (device >> 12) & 0xFFFF_FF00
        let wanted = "\(hex(major)):\(hex(minor)):\(status.st_ino)"
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { line in
            while fgets(line.baseAddress!, 256, file) != nil {
                let words = String(cString: line.baseAddress!).split(separator: " ")
                if words.count >= 6, words[1] == "FLOCK", words[5] == wanted { return String(words[4]) }
            }
            return nil
        }
    }
}
