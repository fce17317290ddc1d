// Forms.swift - the two forms of the file system under one set of tests, and short ways to write and read.

import Foundation
import StorageBytes
import StorageFiles
import StorageRuntime
import Testing

/// Which implementation a test runs on.
enum Form: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case real, simulated

    var testDescription: String { rawValue }

    /// Runs `body` on a fresh file system with an empty directory.
    func run(_ body: (any FileSystem, String) throws -> Void) throws {
        switch self {
        case .simulated:
            let files = SimulatedFileSystem()
            try files.makeDirectory("/data", parents: false)
            try body(files, "/data")
        case .real:
            try withTemporaryDirectory { try body(RealFileSystem(), $0) }
        }
    }
}

/// Runs `body` with an empty directory of the machine, which is removed afterwards.
func withTemporaryDirectory(_ body: (String) throws -> Void) throws {
    let path = FileManager.default.temporaryDirectory.path + "/storage-files-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try body(path)
}

/// The error that `body` throws; nil when it throws none. (Closures inside of `#expect` lose the type of their error.)
func thrown(_ body: () throws -> Void) -> StorageError? {
    do { try body() } catch { return error as? StorageError ?? StorageError(.invalidArgument, "not ours: \(error)") }
    return nil
}

/// The kind of the error that `body` throws; nil when it throws none.
func failure(_ body: () throws -> Void) -> StorageError.Kind? { thrown(body)?.kind }

func patterned(_ count: Int, _ seed: UInt64 = 1) -> [UInt8] {
    var random = SplitMix64(seed: seed)
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) | 1 }  // never zero
}

extension WritableFile {
    func write(_ bytes: [UInt8]) throws(StorageError) {
        try bytes.withUnsafeBufferPointer { (bytes) throws(StorageError) in try write(UnsafeRawBufferPointer(bytes)) }
    }
}

extension ReadableFile {
    func bytes(at offset: Int, _ count: Int) throws(StorageError) -> [UInt8] {
        var buffer = RawBuffer(capacity: count)
        try read(at: offset, into: UnsafeMutableRawBufferPointer(start: buffer.base, count: count))
        buffer.commit(count)
        return buffer.array()
    }
}

extension FileSystem {
    /// Creates, writes and closes; nothing is synced unless asked for.
    func put(_ path: String, _ bytes: [UInt8], sync: Bool = false) throws(StorageError) {
        let file = try create(path)
        try file.write(bytes)
        if sync { try file.sync() }
        try file.close()
    }

    func get(_ path: String) throws(StorageError) -> [UInt8] {
        let buffer = try readAll(path, limitBytes: 1 << 30)
        return buffer.array()
    }

    func names(_ path: String) throws(StorageError) -> [String] { try list(path).map(\.name) }
}
