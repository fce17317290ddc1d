// TemporaryDirectory.swift - a directory of its own for a test, gone when the test ends.

import Foundation

/// A new empty directory that is removed with all its contents when the value is released. Keep it in a variable for
/// as long as its files are used (`withExtendedLifetime`, or a stored property of the suite).
public final class TemporaryDirectory: Sendable {
    /// The absolute path, without symbolic links in it.
    public let path: String

    /// Makes the directory under the system's place for temporary files.
    public init() throws {
        let parent = FileManager.default.temporaryDirectory.resolvingSymlinksInPath().path
        path = parent + "/mergeset-tests-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The path of a name in the directory.
    public func path(_ name: String) -> String { path + "/" + name }

    /// A copy of a golden table directory (relative to Tests/Golden), in a directory `name`; its absolute path.
    public func copyTable(_ relative: String, as name: String = "table") throws -> String {
        try Golden.copyTable(relative, to: path(name))
        return path(name)
    }

    /// Writes a file with these bytes; missing directories are made.
    public func write(_ bytes: [UInt8], to name: String) throws {
        let file = URL(fileURLWithPath: path(name))
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
    }

    /// The names in a directory below this one, sorted.
    public func names(in name: String = ".") throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path(name)).sorted()
    }
}
