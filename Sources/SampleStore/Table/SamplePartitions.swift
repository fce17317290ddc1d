// SamplePartitions.swift - the partitions of a table, and the space that is left for them.

import StorageFiles
import StorageRuntime

/// The partitions of a table.
struct SamplePartitions: Sendable {
    /// Ascending by month.
    var listed: [SamplePartition] = []
    /// Past retention: out of the list, but their directories are still there.
    var dropped: [SamplePartition] = []

    /// The partition of a month, if it is listed.
    func listed(_ month: SampleMonth) -> SamplePartition? {
        // Rows are mostly of the latest month.
        listed.last { $0.month == month }
    }

    mutating func insert(_ partition: SamplePartition) {
        let place = listed.firstIndex { $0.month > partition.month } ?? listed.count
        listed.insert(partition, at: place)
    }
}

/// Free space of directories, asked for every two seconds at most. Any thread.
final class FreeSpace: Sendable {
    private let files: any FileSystem
    private let clock: any StorageClock
    private let known = Protected<[String: (bytes: UInt64, at: UInt64)]>([:])

    init(_ files: any FileSystem, _ clock: any StorageClock) {
        self.files = files
        self.clock = clock
    }

    /// Bytes that may still be written to the device of a directory.
    func bytes(_ path: String) throws(StorageError) -> UInt64 {
        let now = clock.monotonicNanoseconds
        if let found = known.withLock({ $0[path] }), now &- found.at < SamplePolicy.freeSpaceNanoseconds {
            return found.bytes
        }
        let bytes = try files.freeSpaceBytes(path)
        known.withLock { $0[path] = (bytes, now) }
        return bytes
    }
}
