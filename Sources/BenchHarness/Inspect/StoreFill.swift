// StoreFill.swift - a storage with the rows of a profile in it, made by the engine and closed: index, samples, caches.
//
// Rows arrive on a clock that follows them, in one thread; nothing is measured. What `generate` writes for the same profile
// and seed are the same rows, so another reader of the directory can be asked for them.
//
// Threads: one.

import StorageEngine
import StorageFiles
import StorageRuntime
import Workloads

/// Fills storages.
public enum StoreFill {
    /// Makes a storage.
    ///
    /// - Parameters:
    ///   - path: Does not exist.
    ///   - merges: Whether all parts are merged at the end.
    /// - Returns: Rows that were added.
    /// - Throws: `.cannotCreate` when the directory exists, `.badInput`, `.inputOutput`, `.interrupted`.
    public static func make(
        _ profile: Profile, seed: UInt64, at path: String, merges: Bool, files: any FileSystem
    ) throws(HarnessError) -> Int {
        do {
            guard try files.kind(of: path) == nil else { throw HarnessError(.cannotCreate, "\(path) exists") }
            let clock = DrivenClock(unixMilliseconds: profile.startMs, hasRealMonotonic: false)
            let environment = Environment.driven(.deterministic, clock: clock, seed: seed)
            var options = StorageOptions()
            options.retentionMs = 0  // the longest
            let engine = try StorageEngine.open(path, options: options, files: files, environment: environment)
            var time = VirtualTime(clock: clock, engine: engine, environment: environment, rotations: [])
            var stream = try RowStream(try SeriesPlan(profile, seed: seed))
            var batch = RowBatch()
            var rows: [MetricRow] = []
            var total = 0
            while stream.next(into: &batch) {
                rows.removeAll(keepingCapacity: true)
                for row in 0..<batch.count {
                    rows.append(
                        MetricRow(
                            name: batch.name(row), timestampMs: batch.timestampsMs[row], value: batch.values[row]))
                }
                try time.move(to: max(clock.unixMilliseconds, batch.timestampsMs[0]))
                try rows.withUnsafeBufferPointer { (rows) throws(StorageError) in try engine.addRows(rows) }
                total += batch.count
            }
            try engine.flush()
            if merges { try engine.forceMerge() }
            try engine.close()
            return total
        } catch let error as HarnessError {
            throw error
        } catch let error as StorageError {
            throw HarnessError(error, while: "filling \(path)")
        } catch { throw HarnessError(.badInput, "filling \(path) with \(profile.name): \(error)") }
    }
}
