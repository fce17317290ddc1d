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
