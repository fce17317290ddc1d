// RowStream.swift - the rows of a profile in the order in which they are scraped.
//
//   round 0: target 0 (all its series), target 1, ...    round 1: ...
//
// Worker w of W has the slots w, w + W, ...: together the workers have exactly the rows of one stream. Numbers of
// series are dense within a worker's stream.
//
// State: per slot its life, the round in which that began and its first series number; and the rendered tenant and tags
// of its groups, in areas of fixed size. A row costs the copy of its two name parts and two hashes for its value. When
// the areas would need more than `tagAreaBytesMax`, tags are rendered at each visit instead.
//
// Values (h = hash of series, n = hash of series and round):
//   counter   h mod 2^20, plus per round a step of 1...1024 plus noise below one step; or idle
//   gauge     h mod 2^20 with noise of 1...1024 whole numbers or hundredths; or constant
//   percent   between two numbers of 0...100 drawn for every sixteenth round; never constant
// In a replay the page's value takes the place of h mod 2^20.
//
// A visit may bring several rows of each series, neighbours in the stream; "round" above is then the number of the row among
// all of its series, counted in the order of the stream.
//
// Threads: one owner at a time; streams of several workers are independent of each other.

import StorageBytes
import StorageRuntime

/// Generates the rows of a profile, batch by batch.
public struct RowStream: ~Copyable, Sendable {
    private struct Slot {
        var hash: UInt64
        var targetHash: UInt64
        var life: UInt32
        var bornInRound: UInt32
        var firstSeries: UInt32
    }

    static let tagAreaBytesMax = 512 << 20

    /// The plan it follows.
    public let plan: SeriesPlan
    /// Whether batches get the names.
    public let includesNames: Bool
    private let worker: Int
    private let workers: Int
    private let slotCount: Int
    private let slots: MappedArena
    private let areas: MappedArena
    private let areaLengths: MappedArena
    private let keepsAreas: Bool

    private var round = 0
    private var local = 0
    private var inTarget = 0
    private var nextSeries = 0
    private let duplicatesBelow: UInt64
    private let idleBelow: UInt64
    private let constantBelow: UInt64

    /// The stream of worker `worker` of `workers`, from the first round on.
    ///
    /// - Parameter includesNames: Off for runs that take the names from a ``SeriesPool`` by series number.
    /// - Throws: `.io` when its memory cannot be mapped, `.limitExceeded` for more than 2^32 series.
    public init(
        _ plan: SeriesPlan, worker: Int = 0, workers: Int = 1, includesNames: Bool = true
    ) throws(StorageError) {
        precondition(workers > 0 && worker >= 0 && worker < workers, "worker \(worker) of \(workers)")
        let profile = plan.profile
        guard profile.seriesBound < 0x1p32 else {
            throw StorageError(
                .limitExceeded, "the profile brings more than 2^32 series: choose fewer series, rounds or less churn")
        }
        let targets = profile.targets
        let slotCount = worker < targets ? (targets - worker + workers - 1) / workers : 0
        let areaCount = slotCount * plan.profile.groups
        let keepsAreas = areaCount * plan.tagBytesMax <= RowStream.tagAreaBytesMax
        let areasMapped = keepsAreas ? areaCount : plan.profile.groups
        let slots = try MappedArena(bytes: slotCount * MemoryLayout<Slot>.stride)
        let areas = try MappedArena(bytes: areasMapped * plan.tagBytesMax)
        let areaLengths = try MappedArena(bytes: areasMapped * 4)
        self.plan = plan
        self.worker = worker
        self.workers = workers
        self.includesNames = includesNames
        self.slotCount = slotCount
        self.keepsAreas = keepsAreas
        self.slots = slots
        self.areas = areas
        self.areaLengths = areaLengths
        duplicatesBelow = UInt64((plan.profile.visit.duplicates * 0x1p32).rounded())
        idleBelow = UInt64((plan.profile.values.idleCounters * 256).rounded())
        constantBelow = UInt64((plan.profile.values.constantGauges * 256).rounded())
    }

    /// Bytes of the generator's own mappings.
    public var bytesMapped: Int { slots.count + areas.count + areaLengths.count }

    /// Series that have appeared so far.
    public var seriesStarted: Int { nextSeries }

    /// Fills `batch` with the next rows, all of one round; false, with an empty batch, when the stream has ended.
    ///
    /// - Complexity: O(rows) copies; no allocation once the batch has grown.
    public mutating func next(into batch: inout RowBatch) -> Bool {
        batch.clear()
        precondition(batch.capacity >= plan.profile.visit.rows, "a batch must hold the rows of a series")
        guard slotCount > 0 else { return false }
        while round < plan.profile.rounds {
            batch.round = round
            while batch.capacity - batch.count >= plan.profile.visit.rows, local < slotCount {
                if inTarget == 0 { _ = enterTarget() }
                emit(into: &batch)
            }
            if local == slotCount {
                local = 0
                round += 1
            }
            if batch.count > 0 { return true }
        }
        return false
    }

    private func slotPointer(_ local: Int) -> UnsafeMutablePointer<Slot> {
        slots.base.assumingMemoryBound(to: Slot.self) + local
    }

    /// Brings the slot at `local` up to date for this round; tells whether its target begins now.
    private mutating func enterTarget() -> Bool {
        let slot = slotPointer(local)
        let number = local * workers + worker
        var begins = false
        if round == 0 {
            slot.pointee.hash = plan.slotHash(number)
            begins = true
        } else if plan.profile.isChurnRound(round),
            plan.isReplaced(
                slot: number, slotHash: slot.pointee.hash, targetHash: slot.pointee.targetHash,
                age: round - Int(slot.pointee.bornInRound), round: round)
        {
            slot.pointee.life &+= 1
            begins = true
        }
        if begins {
            slot.pointee.targetHash = plan.targetHash(slot.pointee.hash, life: Int(slot.pointee.life))
            slot.pointee.bornInRound = UInt32(truncatingIfNeeded: round)
            let count = plan.seriesCount(slot: number)
            precondition(nextSeries + count <= Int(UInt32.max), "more than 2^32 series in one stream")
            slot.pointee.firstSeries = UInt32(nextSeries)
            nextSeries += count
        }
        if includesNames && (begins || !keepsAreas) {
            for group in 0..<plan.profile.groups {
                let area = areaIndex(group)
                let length = plan.renderTags(
                    slot: number, slotHash: slot.pointee.hash, life: Int(slot.pointee.life), group: group,
                    to: areas.base + area * plan.tagBytesMax)
                areaLengths.base.storeBytes(of: UInt32(length), toByteOffset: area * 4, as: UInt32.self)
            }
        }
        return begins
    }

    private func areaIndex(_ group: Int) -> Int { (keepsAreas ? local * plan.profile.groups : 0) + group }

    /// Adds rows of the target at `local`, as many as fit of one group; moves on when the target has no more.
    private mutating func emit(into batch: inout RowBatch) {
        let number = local * workers + worker
        let total = plan.seriesCount(slot: number)
        let group = inTarget / plan.ownCount
        let first = inTarget % plan.ownCount
        let visit = plan.profile.visit
        let run = min(plan.ownCount - first, total - inTarget, (batch.capacity - batch.count) / visit.rows)
        let slot = slotPointer(local).pointee
        if includesNames { copyNames(group: group, first: first, run: run, into: &batch) }

        let timestampMs = plan.timestampMs(slot: number, round: round)
        let age = UInt64(round) &- UInt64(slot.bornInRound)
        let isNew: UInt8 = age == 0 ? 1 : 0
        let firstSeries = slot.firstSeries &+ UInt32(inTarget)
        let row = batch.count
        let (timestamps, series, news, values) = (
            batch.timestampsMs + row, batch.series + row, batch.isNew + row, batch.values + row
        )
        for repetition in 0..<visit.rows {
            let number = UInt64(round &* visit.rows &+ repetition)
            let roundHash = SplitMix64.mix(number &+ 0x5851_F42D_4C95_7F2D)
            let rowAge = age &* UInt64(visit.rows) &+ UInt64(repetition)
            let moment = timestampMs &+ Int64(repetition) &* visit.stepMs
            var place = repetition
            for index in 0..<run {
                let hash = SplitMix64.mix(slot.targetHash &+ UInt64(inTarget &+ index))
                series[place] = firstSeries &+ UInt32(truncatingIfNeeded: index)
                if repetition > 0, SplitMix64.mix(hash ^ ~roundHash) >> 32 < duplicatesBelow {
                    timestamps[place] = timestamps[place &- 1]
                    values[place] = values[place &- 1]
                    news[place] = 0
                } else {
                    timestamps[place] = moment
                    values[place] = value(
                        own: first &+ index, hash: hash, age: rowAge, number: number, roundHash: roundHash)
                    news[place] = repetition == 0 ? isNew : 0
                }
                place &+= visit.rows
            }
        }
        batch.count += run * visit.rows
        inTarget += run
        if inTarget == total {
            inTarget = 0
            local += 1
        }
    }

    private func copyNames(group: Int, first: Int, run: Int, into batch: inout RowBatch) {
        let area = areaIndex(group)
        let tags = UnsafeRawPointer(areas.base + area * plan.tagBytesMax)
        let tagCount = Int(areaLengths.base.load(fromByteOffset: area * 4, as: UInt32.self)) &- RawName.tenantBytes
        let tenant = tags.loadUnaligned(as: UInt64.self)
        let ends = plan.ownEnds + first
        let bytes = Int(ends[run] &- ends[0]) &+ run &* (RawName.tenantBytes &+ tagCount)
        precondition(batch.names.count + bytes <= Int(UInt32.max), "a batch of more than 4 GiB of names")
        batch.names.reserve(bytes)
        let start = batch.names.count
        let base = batch.names.base
        var offset = start
        var row = batch.count
        for index in 0..<run {
            let ownStart = Int(ends[index])
            let ownCount = Int(ends[index &+ 1]) &- ownStart
            let place = base + offset
            place.storeBytes(of: tenant, as: UInt64.self)
            (place + 8).copyMemory(from: plan.ownBase + ownStart, byteCount: ownCount)
            (place + (8 &+ ownCount)).copyMemory(from: tags + 8, byteCount: tagCount)
            let length = 8 &+ ownCount &+ tagCount
            for _ in 0..<plan.profile.visit.rows {
                batch.offsets[row] = UInt32(truncatingIfNeeded: offset)
                batch.lengths[row] = UInt32(truncatingIfNeeded: length)
                row &+= 1
            }
            offset &+= length
        }
        batch.names.commit(offset - start)
    }

    @inline(__always)
    private func value(own: Int, hash: UInt64, age: UInt64, number: UInt64, roundHash: UInt64) -> Double {
        let kind = plan.kinds[own]
        if kind & SeriesPlan.isPercentBit != 0 {
            let anchors = number >> 4
            let from = Int64(SplitMix64.mix(hash &+ anchors) % 101)
            let to = Int64(SplitMix64.mix(hash &+ anchors &+ 1) % 101)
            return Double(from &+ (to &- from) &* Int64(number & 15) / 16)
        }
        let base = kind & SeriesPlan.isRecordedBit != 0 ? plan.bases[own] : Double(hash >> 44)
        let step = (hash >> 8 & 1023) &+ 1
        // Below one step, scaled by multiplication.
        let noise = (SplitMix64.mix(hash ^ roundHash) >> 32 &* step) >> 32
        if kind & SeriesPlan.isCounterBit != 0 {
            if hash & 255 < idleBelow { return base }
            return base + Double(age &* step &+ noise)
        }
        if hash & 255 < constantBelow { return base }
        return hash & 0x4_0000 != 0 ? base + Double(noise) : base + Double(noise) / 100
    }

    // MARK: Names only

    /// Goes to the next target that begins, calling `body` with (own name count, tag bytes) of each of its groups in
    /// order and the round; false when no more target begins. Not to be mixed with ``next(into:)``.
    mutating func nextNewTarget(
        _ body: (_ round: Int, _ series: Int, _ tags: UnsafeRawBufferPointer) -> Void
    ) -> Bool {
        guard slotCount > 0 else { return false }
        while round < plan.profile.rounds {
            if round > 0 && !plan.profile.isChurnRound(round) {
                round += 1
                continue
            }
            while local < slotCount {
                let begins = enterTarget()
                if begins {
                    var rest = plan.seriesCount(slot: local * workers + worker)
                    for group in 0..<plan.profile.groups where rest > 0 {
                        let area = areaIndex(group)
                        let length = areaLengths.base.load(fromByteOffset: area * 4, as: UInt32.self)
                        let count = min(rest, plan.ownCount)
                        body(
                            round, count,
                            UnsafeRawBufferPointer(start: areas.base + area * plan.tagBytesMax, count: Int(length)))
                        rest -= count
                    }
                }
                local += 1
                if begins { return true }
            }
            local = 0
            round += 1
        }
        return false
    }
}
