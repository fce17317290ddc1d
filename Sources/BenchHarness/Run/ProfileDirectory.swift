// ProfileDirectory.swift - where the profiles are: the directory the user names, Benchmarks/Profiles under the current
// directory, or under a directory above the program (a checkout that it was built in).

import Glibc
import StorageFiles
import StorageRuntime

/// Finds the directory of the profiles.
public enum ProfileDirectory {
    static let path = "Benchmarks/Profiles"

    /// The directory to load profiles from.
    ///
    /// - Parameter given: What the user said; taken as it is.
    /// - Throws: `.badInput` when there is none.
    public static func find(given: String?, _ files: any FileSystem) throws(HarnessError) -> String {
        if let given {
            guard isDirectory(given, files) else {
                throw HarnessError(
                    .badInput, "\(given) is not a directory; --profiles wants one with profiles (*.yaml)")
            }
            return given
        }
        if isDirectory(path, files) { return path }
        var directory = programPath()
        while let slash = directory.lastIndex(of: "/"), slash != directory.startIndex {
            directory = String(directory[..<slash])
            if isDirectory(directory + "/" + path, files) { return directory + "/" + path }
        }
        throw HarnessError(
            .badInput, "no \(path) here or above the program; run it in a checkout or name a directory with --profiles")
    }

    private static func isDirectory(_ path: String, _ files: any FileSystem) -> Bool {
        (try? files.kind(of: path)) == .directory
    }

    /// The path of the program of this process; empty when the system does not tell.
    static func programPath() -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { bytes in
            readlink("/proc/self/exe", bytes.baseAddress!.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : ""
    }
}
