// StorageEngine+Durability.swift - flushing, merging on demand, and closing (docs/format/sample-store.md, 18, 20).
//
// A flush makes the index durable before the samples: whatever survives of the samples belongs to series that survive,
// too. The sample table asks for the same before each of its own flushes.

import SeriesIndex
import StorageFiles
import StorageRuntime
import Synchronization

extension StorageEngine {
    /// Makes everything added before durable, and visible to searches.
    public func flush() throws(StorageError) {
        try checkIsOpen()
        try index.flush()
        try samples?.flush()
        raiseSearchVersion()
    }

    /// Makes everything added before visible to searches (`/internal/force_flush`): the rows stay in memory, the index is
    /// flushed.
    public func makeSearchable() throws(StorageError) {
        try checkIsOpen()
        try samples?.makeSearchable()
        try index.flush()
        raiseSearchVersion()
    }

    /// Flushes, then waits until no merge is wanted any more.
    public func settle() throws(StorageError) {
        try checkIsOpen()
        try index.settle()
        try samples?.settle()
        raiseSearchVersion()
    }

    /// Merges all parts of the partitions whose names (`YYYY_MM`) start with `partitionPrefix`, as far as the disk has room
    /// (`/internal/force_merge`). Ends early when the storage is closed.
    ///
    /// - Throws: `.closed` when the storage was closed meanwhile; `.io`, `.noSpace`, `.corrupted`.
    public func forceMerge(partitionPrefix: String = "") throws(StorageError) {
        try sampleTable().mergeAll(partitionPrefix: partitionPrefix)
    }

    /// Makes everything durable, saves the caches and gives the directory back. Call it once, when nothing else runs but
    /// forced merges, which end, and searches, which keep what they see.
    ///
    /// - Throws: The error of the last flush: what could not be written is lost. Caches are saved only when the index was
    ///   written. The storage is closed all the same.
    public func close() throws(StorageError) {
        guard !isClosed.exchange(true, ordering: .relaxed) else { return }
        updates?.stop()
        defer { directoryLock.release() }
        let nowMs = environment.clock.unixMilliseconds
        active.updateHours(DateMath.hour(timestampMs: nowMs))
        active.updateNextDay(today: DateMath.date(timestampMs: nowMs))
        var failure: StorageError?
        do throws(StorageError) { try samples?.close() } catch { failure = error }
        try index.close()
        try SavedCaches.save(
            storage: path, indexDirectory: index.directory, tsids: tsidCache, sets: active.published, files: files)
        if let failure { throw failure }
    }
}
