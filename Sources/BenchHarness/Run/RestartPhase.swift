// RestartPhase.swift - how long a storage takes from being opened to its first row: with the caches that closing has saved,
// and without them.
//
// Threads: the driver of the run.

import StorageBytes
import StorageEngine
import StorageFiles
import StorageRuntime
import Workloads

/// Opens a closed storage again.
struct RestartPhase {
    let path: String
    let files: any FileSystem
    /// Opens the storage, with the clock where the run has left it.
    let open: () throws(StorageError) -> StorageEngine
    /// The raw name of a series that is in the storage, and the time of its row.
    let name: UnsafeRawBufferPointer
    let timestampMs: Int64

    struct Result {
        /// Until the storage was open, and until the row was accepted.
        var openSeconds = 0.0, rowSeconds = 0.0
        var cpuSeconds = 0.0
        /// Whether the row's series was in the TSID cache.
        var isCached = false
    }

    /// With the caches that were saved, if `keepsCaches`; otherwise they are thrown away first. The storage is closed again.
    func run(keepsCaches: Bool) throws(HarnessError) -> Result {
        try HarnessError.wrapping("opening the storage again") { () throws(StorageError) in
            if !keepsCaches {
                try files.replaceAtomically([], at: path + "/cache/reset_cache_on_startup")
            }
            var result = Result()
            let cpu = CPUTime.ofProcess()
            let start = WallClock.nanoseconds
            let engine = try open()
            result.openSeconds = WallClock.seconds(since: start)
            let rows = [MetricRow(name: name, timestampMs: timestampMs, value: 1)]
            do throws(StorageError) {
                try rows.withUnsafeBufferPointer { rows throws(StorageError) in try engine.addRows(rows) }
            } catch {
                try? engine.close()
                throw error
            }
            result.rowSeconds = WallClock.seconds(since: start)
            result.cpuSeconds = (CPUTime.ofProcess() - cpu).total
            result.isCached = engine.metrics.tsidCache.misses == 0
            try engine.close()
            return result
        }
    }
}
