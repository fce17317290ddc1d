// ItemWriter.swift - what an add call writes into.

import StorageBytes
import StorageRuntime

/// The open run of a shard, lent to one add call. Everything written through it becomes visible and durable together.
/// Valid only inside the closure it was given to; one thread.
public struct ItemWriter: ~Copyable {
    let builder: UnsafeMutablePointer<RunBuilder>
    let gathers: Bool
    let refused: UnsafeMutablePointer<UInt64>

    /// Copies an item into the shard.
    ///
    /// - Throws: `.limitExceeded` for an item above 64 KiB, or when the batch has become larger than a run can be. The
    ///   item alone is refused: whatever was written before stays, and the writer can go on. Let the error leave the
    ///   closure to take back the whole batch.
    public mutating func add(_ item: UnsafeRawBufferPointer) throws(StorageError) {
        let target = try reserve(item.count)
        if let address = item.baseAddress { target.copyMemory(from: address, byteCount: item.count) }
        commit(item.count)
    }

    /// Room for an item of up to `countMax` bytes, to be written in place and declared with ``commit(_:)``. The room
    /// ends at `countMax`, plus ``RawBuffer/slack`` bytes that copies may run into.
    public mutating func reserve(_ countMax: Int) throws(StorageError) -> UnsafeMutableRawPointer {
        guard countMax <= Limits.itemBytesMax else { throw refuse(countMax) }
        guard builder.pointee.wholeBytes + countMax <= RunBuilder.arenaBytesMax else {
            throw StorageError(.limitExceeded, "the batch has more than \(RunBuilder.arenaBytesMax) bytes of items")
        }
        return builder.pointee.reserve(countMax)
    }

    /// Makes the first `count` bytes at the place that ``reserve(_:)`` gave an item.
    public mutating func commit(_ count: Int) { builder.pointee.commit(count) }

    /// Makes the first `headCount` bytes at the place that ``reserve(_:)`` gave, at least one, and the bytes `tail` of the item
    /// before, an item. These bytes are not stored again. The item before is the last one that was made without a tail, by
    /// this writer.
    ///
    /// - Throws: `.limitExceeded` as ``add(_:)``.
    public mutating func commit(_ headCount: Int, endingWith tail: Range<Int>) throws(StorageError) {
        let count = headCount + tail.count
        guard count <= Limits.itemBytesMax else { throw refuse(count) }
        guard builder.pointee.wholeBytes + count <= RunBuilder.arenaBytesMax else {
            throw StorageError(.limitExceeded, "the batch has more than \(RunBuilder.arenaBytesMax) bytes of items")
        }
        builder.pointee.commit(head: headCount, tail: tail)
    }

    /// Adds the tag rows of a series: group, reversed name, tags and composite tags, in namespace 1, 6 or both.
    /// Gathered per tag when the table does so; otherwise each row is an item at once.
    ///
    /// - Throws: `.limitExceeded` when a row would be longer than 64 KiB; nothing of this series is added then.
    public mutating func addTagRows(
        _ series: SeriesTags, id: UInt64, registration: TagRegistration
    ) throws(StorageError) {
        var longest = max(Int(series.group.length) + 1, series.reverseNameTag.count)
        for tag in series.tags { longest = max(longest, Int(tag.length) + series.compositePrefix.count) }
        let length = longest + SeriesTags.rowFixedBytes + 8
        guard length <= Limits.itemBytesMax else { throw refuse(length) }
        guard builder.pointee.wholeBytes + builder.pointee.wholeRowBytes + 64 * longest <= RunBuilder.arenaBytesMax
        else {
            throw StorageError(.limitExceeded, "the batch has more than \(RunBuilder.arenaBytesMax) bytes of items")
        }
        if gathers {
            builder.pointee.gather(series, id: id, registration: registration)
        } else {
            builder.pointee.addSingleRows(series, id: id, registration: registration)
        }
    }

    private func refuse(_ length: Int) -> StorageError {
        refused.pointee += 1
        return StorageError(
            .limitExceeded, "an item of \(length) bytes is longer than the \(Limits.itemBytesMax) bytes allowed")
    }
}
