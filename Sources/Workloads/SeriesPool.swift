// SeriesPool.swift - all raw names of a phase, generated ahead of the timed region.
//
//   names   | raw name of series 0 | of series 1 | ...      order of first appearance in the stream
//   starts  UInt64 x (count + 1)
//
// Series number i of a RowStream of the same plan and worker is name i of the pool. Both arrays are mappings of the
// exact size, reported by `bytesMapped`, so that memory figures can leave them out.
//
// Threads: immutable after init.

import StorageBytes
import StorageRuntime

/// The names of a stream's series, in order of first appearance.
public final class SeriesPool: Sendable {
    private let names: MappedArena
    private let starts: MappedArena
    /// Series.
    public let count: Int
    /// Bytes of all names together.
    public let nameBytes: Int
    /// Series that have appeared by the end of each round, from round 0.
    public let startedByRound: [Int]

    /// Generates the names of all series that worker `worker` of `workers` has in the rounds of the profile.
    ///
    /// - Throws: `.io` when the memory cannot be mapped.
    /// - Complexity: two passes over the lives of the targets; one copy of each name.
    public init(_ plan: SeriesPlan, worker: Int = 0, workers: Int = 1) throws(StorageError) {
        // First pass: how many series and bytes, so that the mappings have their final size.
        var count = 0
        var bytes = 0
        var walk = try RowStream(plan, worker: worker, workers: workers)
        while walk.nextNewTarget({ _, series, tags in
            count += series
            bytes += Int(plan.ownEnds[series] - plan.ownEnds[0]) + series * tags.count
        }) {}
        let names = try MappedArena(bytes: bytes)
        let starts = try MappedArena(bytes: (count + 1) * 8)

        var startedByRound = [Int](repeating: 0, count: plan.profile.rounds)
        let base = names.base
        let offsets = starts.base.assumingMemoryBound(to: UInt64.self)
        var index = 0
        var offset = 0
        var second = try RowStream(plan, worker: worker, workers: workers)
        while second.nextNewTarget({ round, series, tags in
            let tenant = tags.loadUnaligned(as: UInt64.self)
            let tagStart = tags.baseAddress.unsafelyUnwrapped + RawName.tenantBytes
            let tagCount = tags.count - RawName.tenantBytes
            for own in 0..<series {
                let start = Int(plan.ownEnds[own])
                let ownCount = Int(plan.ownEnds[own + 1]) - start
                let place = base + offset
                offsets[index] = UInt64(offset)
                place.storeBytes(of: tenant, as: UInt64.self)
                (place + 8).copyMemory(from: plan.ownBase + start, byteCount: ownCount)
                (place + 8 + ownCount).copyMemory(from: tagStart, byteCount: tagCount)
                offset += 8 + ownCount + tagCount
                index += 1
            }
            startedByRound[round] += series
        }) {}
        precondition(index == count && offset == bytes, "the two passes of the pool differ")
        offsets[count] = UInt64(bytes)
        for round in 1..<max(1, startedByRound.count) { startedByRound[round] += startedByRound[round - 1] }
        self.count = count
        nameBytes = bytes
        self.names = names
        self.starts = starts
        self.startedByRound = startedByRound
    }

    /// Bytes mapped: what memory figures have to leave out.
    public var bytesMapped: Int { names.count + starts.count }

    /// The names, one behind the other.
    public var base: UnsafeRawPointer { UnsafeRawPointer(names.base) }

    /// Where each name begins in ``base``; one entry more than series. Valid as long as the pool.
    public var nameStarts: UnsafePointer<UInt64> { UnsafePointer(starts.base.assumingMemoryBound(to: UInt64.self)) }

    /// Raw name of a series, `0..<count`. Valid as long as the pool.
    public func name(_ index: Int) -> UnsafeRawBufferPointer {
        precondition(index >= 0 && index < count, "series \(index) of \(count)")
        let start = Int(nameStarts[index])
        return UnsafeRawBufferPointer(start: base + start, count: Int(nameStarts[index + 1]) - start)
    }
}
