// SampleTable.swift - the samples of a storage: partitions of a month each (docs/format/sample-store.md, 7 to 14).

import StorageBytes
import StorageFiles
import StorageRuntime

/// All samples of a storage.
public final class SampleTable: @unchecked Sendable {
    private init() {}

    /// Opens the directory `data/` of a storage, which is created when it does not exist.
    ///
    /// - Parameter damagedDirectory: Where parts that do not open are set aside; on the same file system.
    /// - Throws: `.locked` when it is open already, here or in another process; `.corrupted` when a transaction or the name of
    ///   a partition breaks the format; `.io`, `.noSpace`.
    public static func open(
        _ directory: String, damagedDirectory: String, options: SampleTableOptions, files: any FileSystem,
        environment: Environment
    ) throws(StorageError) -> SampleTable { fatalError("not yet") }

    /// Adds rows that the caller has checked (16): no NaN but the stale marker, timestamps within the limits. They become
    /// searchable and durable within ``SampleTableOptions/flushIntervalNanoseconds`` or so.
    ///
    /// - Parameters:
    ///   - precisionBits: 1...64, how many bits of a value are kept.
    ///   - hint: Which shard to take, modulo their number; a thread that adds much passes its own number. nil takes the next.
    /// - Throws: The error of the last flush when the memory for rows is used up and could not be written (adding resumes as
    ///   soon as a flush succeeds); `.closed`. No row of the call was added then.
    public func add(
        _ rows: UnsafeBufferPointer<SampleRow>, precisionBits: Int, hint: Int? = nil
    ) throws(StorageError) { fatalError("not yet") }

    /// Converts all rows added before into parts in memory: searches see them. Writes no files.
    public func makeSearchable() throws(StorageError) { fatalError("not yet") }

    /// Makes everything added before durable and searchable.
    ///
    /// - Throws: `.noSpace`, `.io`: nothing is lost, the rows stay in memory and are tried again. `.closed`.
    public func flush() throws(StorageError) { fatalError("not yet") }

    /// Flushes, then waits until the merge policy finds nothing more to merge: regular merges only.
    public func settle() throws(StorageError) { fatalError("not yet") }

    /// Merges all parts of the partitions whose names (`YYYY_MM`) start with `partitionPrefix`, up to 15 at a time.
    public func mergeAll(partitionPrefix: String = "") throws(StorageError) { fatalError("not yet") }

    /// Does what is due by the clock: drops partitions and parts past retention, deduplicates partitions that are complete,
    /// empties caches that nobody uses. Called in the background unless the options say otherwise.
    public func runDueTasks() { fatalError("not yet") }

    /// Searches blocks of `tsids`, in ascending order, with rows between two timestamps, both included. Sees what was
    /// searchable at the time of the call.
    public func search(
        _ tsids: [TSID], minTimestamp: Int64, maxTimestamp: Int64, deadline: Deadline = .never
    ) -> SampleSearch { fatalError("not yet") }

    /// Links everything added before into `small/snapshots/<name>` and `big/snapshots/<name>`.
    ///
    /// - Throws: `.invalidArgument` for a name that is not one, `.alreadyExists`, `.io`, `.noSpace`.
    public func snapshot(name: String) throws(StorageError) { fatalError("not yet") }

    /// Removes a snapshot; fine when there is none.
    public func deleteSnapshot(name: String) throws(StorageError) { fatalError("not yet") }

    /// Counters and gauges.
    public var metrics: SampleTableMetrics { fatalError("not yet") }

    /// Parts that were set aside when the table was opened.
    public var damagedParts: [DamagedPart] { fatalError("not yet") }

    /// Where searches wait while a flushing thread helps with merging.
    public var searchGate: PauseGate { fatalError("not yet") }

    /// Makes everything durable, stops the background work and gives the directory back. Merges in progress are abandoned.
    /// Searches that are still open keep what they see. Call it once, when nobody adds any more.
    ///
    /// - Throws: The error of the last flush; the table is closed all the same, and what could not be written is lost.
    public func close() throws(StorageError) { fatalError("not yet") }
}
