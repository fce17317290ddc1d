// KnownFreeSpace.swift - free space for those who ask often: whoever chooses what to merge.
//
// Threads: any.

import StorageRuntime

/// Free space of directories, asked for every two seconds at most (docs/format/sample-store.md, 11.1).
public final class KnownFreeSpace: Sendable {
    private static let ageNanosecondsMax: UInt64 = 2_000_000_000

    private let files: any FileSystem
    private let clock: any StorageClock
    private let known = Protected<[String: (bytes: UInt64, at: UInt64)]>([:])

    /// Knows nothing yet.
    public init(_ files: any FileSystem, _ clock: any StorageClock) {
        self.files = files
        self.clock = clock
    }

    /// Bytes that may still be written to the device of a directory.
    ///
    /// - Throws: `.io`, `.notFound`.
    public func bytes(_ path: String) throws(StorageError) -> UInt64 {
        let now = clock.monotonicNanoseconds
        if let found = known.withLock({ $0[path] }), now &- found.at < KnownFreeSpace.ageNanosecondsMax {
            return found.bytes
        }
        let bytes = try files.freeSpaceBytes(path)
        known.withLock { $0[path] = (bytes, now) }
        return bytes
    }
}
