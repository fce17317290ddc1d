// DirectoryDigest.swift - one number for the names and contents of all files of a directory.

import StorageBytes
import StorageFiles
import StorageRuntime

/// Digests directories.
public enum DirectoryDigest {
    /// XXH64 over all files under `path` in the order of their paths, each as path and contents with their lengths;
    /// 16 hex digits. Two runs that give equal numbers have written equal files.
    public static func hex(_ path: String, _ files: any FileSystem) throws(HarnessError) -> String {
        let digest = Digest()
        do throws(StorageError) { try add(path, "", files, digest) } catch {
            throw HarnessError(error, while: "digesting the directory")
        }
        return HexText.digits(digest.value)
    }

    private static func add(
        _ path: String, _ name: String, _ files: any FileSystem, _ digest: Digest
    ) throws(StorageError) {
        for entry in try files.list(path) {
            let inner = path + "/" + entry.name
            let innerName = name + "/" + entry.name
            switch entry.kind {
            case .directory: try add(inner, innerName, files, digest)
            case .other: continue
            case .file:
                Array(innerName.utf8).withUnsafeBytes { digest.addItem($0) }
                let file = try files.open(inner)
                digest.add(UInt64(file.sizeBytes))
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
                defer { buffer.deallocate() }
                var offset = 0
                while offset < file.sizeBytes {
                    let piece = UnsafeMutableRawBufferPointer(
                        rebasing: buffer[..<min(buffer.count, file.sizeBytes - offset)])
                    try file.read(at: offset, into: piece)
                    digest.add(UnsafeRawBufferPointer(piece))
                    offset += piece.count
                }
            }
        }
    }
}
