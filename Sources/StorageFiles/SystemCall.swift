// SystemCall.swift - the one way from here into the kernel.
//
// Every call that reports failure by -1 and errno goes through `SystemCall.run`: an interrupted call is made again,
// everything else becomes a StorageError that names the call and the path.

import Glibc
import StorageRuntime

/// System calls with typed errors.
enum SystemCall {
    /// Makes a call until it is not interrupted. Returns its non-negative result.
    @inline(__always)
    static func run<Result: SignedInteger>(
        _ name: String, _ path: String, _ call: () -> Result
    ) throws(StorageError) -> Result {
        while true {
            let result = call()
            if result >= 0 { return result }
            let code = errno
            if code != EINTR { throw error(name, path, code) }
        }
    }

    /// The error of a call that failed with `code`.
    @inline(never)
    static func error(_ name: String, _ path: String, _ code: Int32) -> StorageError {
        StorageError(kind(code), "\(name): \(String(cString: strerror(code)))", path: path)
    }

    /// What a caller can branch on.
    static func kind(_ code: Int32) -> StorageError.Kind {
        switch code {
        case ENOENT: .notFound
        case EEXIST: .alreadyExists
        case ENOSPC, EDQUOT: .noSpace
        default: .io(errno: code)
        }
    }

    /// Refuses what C would cut off or read as "here".
    static func check(_ path: String) throws(StorageError) {
        if path.isEmpty { throw StorageError(.invalidArgument, "empty path") }
        if path.utf8.contains(0) { throw StorageError(.invalidArgument, "zero byte in a path", path: path) }
    }

    /// Opens a file or directory; it does not survive `exec`.
    static func open(_ path: String, _ flags: Int32, _ mode: mode_t = 0o666) throws(StorageError) -> Int32 {
        try check(path)
        return try run("open", path) { Glibc.open(path, flags | O_CLOEXEC, mode) }
    }

    /// Closes a descriptor. An interrupted `close` has closed it on Linux, so it is never called twice.
    static func close(_ descriptor: Int32, _ path: String) throws(StorageError) {
        if Glibc.close(descriptor) != 0, errno != EINTR { throw error("close", path, errno) }
    }

    /// What an open descriptor stands for.
    static func status(_ descriptor: Int32, _ path: String) throws(StorageError) -> stat {
        var status = stat()
        _ = try run("fstat", path) { fstat(descriptor, &status) }
        return status
    }

    /// The kind of a file mode.
    static func fileKind(_ mode: mode_t) -> FileKind {
        switch mode & S_IFMT {
        case S_IFREG: .file
        case S_IFDIR: .directory
        default: .other
        }
    }
}
