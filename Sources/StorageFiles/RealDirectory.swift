// RealDirectory.swift - walking and removing directories by descriptor.
//
// Names stay the bytes that the kernel gave, and every step is relative to an open directory: nothing outside of the
// tree can be reached through a link that appears while a removal runs.

import Glibc
import StorageRuntime

/// Directory streams.
enum RealDirectory {
    /// Calls `body` with each name but `.` and `..`, in the order of the system. Closes `descriptor` in any case.
    /// The pointer to the name dies with the call of `body`.
    static func forEach(
        _ descriptor: Int32, _ path: String, _ body: (UnsafePointer<CChar>, FileKind) -> Void
    ) throws(StorageError) {
        guard let stream = fdopendir(descriptor) else {
            let code = errno
            Glibc.close(descriptor)
            throw SystemCall.error("fdopendir", path, code)
        }
        defer { closedir(stream) }
        let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name)!
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw SystemCall.error("readdir", path, errno) }
                return
            }
            let name = (UnsafeRawPointer(entry) + nameOffset).assumingMemoryBound(to: CChar.self)
            if strcmp(name, ".") == 0 || strcmp(name, "..") == 0 { continue }
            switch Int(entry.pointee.d_type) {
            case Int(DT_REG): body(name, .file)
            case Int(DT_DIR): body(name, .directory)
            case Int(DT_UNKNOWN):
                var status = stat()
                if fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) != 0 {
                    if errno == ENOENT { continue }  // removed while we looked
                    throw SystemCall.error("fstatat", path, errno)
                }
                body(name, SystemCall.fileKind(status.st_mode))
            default: body(name, .other)
            }
        }
    }

    /// Removes what is called `name` in an open directory, with all its contents; links are removed, not followed.
    /// Fine when there is nothing. `path` is for messages.
    static func remove(_ name: UnsafePointer<CChar>, in parent: Int32, _ path: String) throws(StorageError) {
        if unlinkat(parent, name, 0) == 0 || isGone(errno) { return }
        if errno != EISDIR && errno != EPERM { throw SystemCall.error("unlink", path, errno) }
        // NFS leaves renamed files behind while somebody has them open, and a late writer may add one: look again.
        for attempt in 0... {
            let descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            if descriptor < 0 {
                if isGone(errno) { return }
                throw SystemCall.error("open", path, errno)
            }
            try removeContents(of: descriptor, path)
            if unlinkat(parent, name, AT_REMOVEDIR) == 0 || isGone(errno) { return }
            if errno != ENOTEMPTY && errno != EEXIST || attempt == 2 { throw SystemCall.error("rmdir", path, errno) }
        }
    }

    /// Removes all the entries of an open directory and closes it.
    private static func removeContents(of descriptor: Int32, _ path: String) throws(StorageError) {
        defer { Glibc.close(descriptor) }
        // The names are gathered first: what a stream shows while entries disappear under it is not defined.
        var names: [[CChar]] = []
        let streamDescriptor = try SystemCall.run("dup", path) { dup(descriptor) }
        try forEach(streamDescriptor, path) { name, _ in
            names.append([CChar](UnsafeBufferPointer(start: name, count: strlen(name) + 1)))
        }
        for name in names {
            try name.withUnsafeBufferPointer { (name) throws(StorageError) in
                try remove(name.baseAddress!, in: descriptor, Paths.join(path, String(cString: name.baseAddress!)))
            }
        }
    }

    /// Nothing there, or a stale NFS handle, which counts as removed (docs/format/mergeset-table.md, 8).
    private static func isGone(_ code: Int32) -> Bool { code == ENOENT || code == ESTALE }
}
