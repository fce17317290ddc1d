// InputFile.swift - reading the small files that describe a workload: profiles and recorded pages.
//
// They are read whole, with a limit on their size, so that a wrong path cannot fill the memory.

import Glibc
import StorageBytes
import StorageRuntime

enum InputFile {
    /// Reads a whole file of at most `bytesMax` bytes.
    static func read(_ path: String, bytesMax: Int) throws(StorageError) -> RawBuffer {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("open", path) }
        defer { close(descriptor) }
        var buffer = RawBuffer()
        while true {
            buffer.reserve(64 << 10)
            let count = Glibc.read(descriptor, buffer.end, 64 << 10)
            if count < 0 {
                if errno == EINTR { continue }
                throw failure("read", path)
            }
            if count == 0 { return buffer }
            buffer.commit(count)
            guard buffer.count <= bytesMax else {
                throw StorageError(.limitExceeded, "the file is longer than \(bytesMax) bytes", path: path)
            }
        }
    }

    /// The names in a directory, sorted, without `.` and `..`.
    static func names(in directory: String) throws(StorageError) -> [String] {
        guard let handle = opendir(directory) else { throw failure("opendir", directory) }
        defer { closedir(handle) }
        var names = [String]()
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { field in
                field.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: field.pointee)) {
                    String(cString: $0)
                }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    private static func failure(_ call: String, _ path: String) -> StorageError {
        let code = errno
        if code == ENOENT { return StorageError(.notFound, "no such file or directory", path: path) }
        return StorageError(.io(errno: code), "\(call): \(String(cString: strerror(code)))", path: path)
    }
}
