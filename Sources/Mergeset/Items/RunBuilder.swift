// RunBuilder.swift - the open run of a shard: items are written here once and stay where they are.
//
//   arena     | item | item | item | ...                one allocation, handed on to the sealed run
//   lanes     8 x list of (offset, length)              by the first byte of the item: 0 to 6, everything else in 7
//   gatherers one per kind of registration              ids per distinct tag; become rows when the run is sealed
//
// Why lanes: the first byte of an index item is its namespace, so lanes in order are items in order, and three of the
// namespaces arrive sorted (they start with the growing metric id). A lane remembers whether it is still in order, and
// only those that are not are sorted.
//
// Life: open -> seal() -> the arena leaves in a MemoryRun; the builder is empty again and keeps its other memory.
// A batch is everything between beginBatch() and endBatch() or rollBack(); it is never split over two runs.
// Threads: one owner, the holder of the shard's lock.

import StorageBytes

/// Where the items of one first byte are collected.
struct Lane: ~Copyable {
    var refs = RefList(capacity: 16)
    var isSorted = true

    // State at the beginning of the batch.
    var batchCount = 0
    var batchIsSorted = true
}

/// Items and tags of a run that is still being filled.
struct RunBuilder: ~Copyable {
    /// A batch cannot take a run beyond this: positions have 32 bits.
    static let arenaBytesMax = 1 << 30
    static let laneCount = 8

    private(set) var arena: RawBuffer
    private let lanes: UnsafeMutablePointer<Lane>
    private let gatherers: UnsafeMutablePointer<TagGatherer>
    private var gathererCount = 0
    private static let gatherersMax = 16

    /// Items and normalised items since the run was opened; the tag rows still gathered count in the latter only.
    private(set) var plainItems: UInt64 = 0
    private(set) var normalisedItems: UInt64 = 0
    private(set) var normalisedBytes: UInt64 = 0

    /// When the first batch of the run was added, on the monotonic clock; set by the owner.
    var openedAt: UInt64 = 0

    private var batchArenaCount = 0
    private var batchPlainItems: UInt64 = 0
    private var batchNormalisedItems: UInt64 = 0
    private var batchNormalisedBytes: UInt64 = 0

    init(arena: consuming RawBuffer) {
        self.arena = arena
        lanes = .allocate(capacity: RunBuilder.laneCount)
        for index in 0..<RunBuilder.laneCount { (lanes + index).initialize(to: Lane()) }
        gatherers = .allocate(capacity: RunBuilder.gatherersMax)
    }

    deinit {
        lanes.deinitialize(count: RunBuilder.laneCount)
        lanes.deallocate()
        gatherers.deinitialize(count: gathererCount)
        gatherers.deallocate()
    }

    var isEmpty: Bool { normalisedItems == 0 }

    /// Bytes of the items, and of what the gathered rows will take when the run is sealed.
    var usedBytes: Int {
        var bytes = arena.count
        for index in 0..<gathererCount { bytes += gatherers[index].rowBytesInAll }
        return bytes
    }

    // MARK: batches

    mutating func beginBatch() {
        batchArenaCount = arena.count
        batchPlainItems = plainItems
        batchNormalisedItems = normalisedItems
        batchNormalisedBytes = normalisedBytes
        for index in 0..<RunBuilder.laneCount {
            lanes[index].batchCount = lanes[index].refs.count
            lanes[index].batchIsSorted = lanes[index].isSorted
        }
        for index in 0..<gathererCount { gatherers[index].beginBatch() }
    }

    /// Forgets everything since ``beginBatch()``.
    mutating func rollBack() {
        arena.truncate(to: batchArenaCount)
        plainItems = batchPlainItems
        normalisedItems = batchNormalisedItems
        normalisedBytes = batchNormalisedBytes
        for index in 0..<RunBuilder.laneCount {
            lanes[index].refs.truncate(to: lanes[index].batchCount)
            lanes[index].isSorted = lanes[index].batchIsSorted
        }
        for index in 0..<gathererCount { gatherers[index].rollBack() }
    }

    // MARK: adding

    /// Room for an item of up to `countMax` bytes at the end of the arena; ``commit(_:)`` makes it an item.
    @inline(__always)
    mutating func reserve(_ countMax: Int) -> UnsafeMutableRawPointer {
        arena.reserve(countMax)
        return arena.end
    }

    /// Makes the first `count` bytes behind the arena's end an item. They were written at the place that
    /// ``reserve(_:)`` gave.
    @inline(__always)
    mutating func commit(_ count: Int) {
        let offset = arena.count
        let first = count == 0 ? 0 : Int(arena.end.load(as: UInt8.self))
        let lane = lanes + Swift.min(first, RunBuilder.laneCount - 1)
        if lane.pointee.isSorted, lane.pointee.refs.count > 0 {
            let last = lane.pointee.refs[lane.pointee.refs.count &- 1]
            let base = UnsafeRawPointer(arena.base)
            if Bytes.compare(base + Int(last.offset), Int(last.length), base + offset, count) > 0 {
                lane.pointee.isSorted = false
            }
        }
        lane.pointee.refs.append(
            ItemRef(key: 0, offset: UInt32(truncatingIfNeeded: offset), length: UInt32(truncatingIfNeeded: count)))
        arena.commit(count)
        plainItems &+= 1
        normalisedItems &+= 1
        normalisedBytes &+= UInt64(count)
    }

    /// Adds the tag rows of a series to the gatherer of its kind of registration, or as single rows when there are too
    /// many kinds (a backfill over many days).
    mutating func gather(_ series: SeriesTags, id: UInt64, registration: TagRegistration) {
        let sizes = series.rowCountAndTagBytes
        if let index = gatherer(for: registration) {
            gatherers[index].add(series, id: id)
            countNormalised(sizes, registration)
        } else {
            addSingleRows(series, id: id, registration: registration)
        }
    }

    private mutating func countNormalised(_ sizes: (rows: Int, bytes: Int), _ registration: TagRegistration) {
        if registration.isGlobal {
            normalisedItems &+= UInt64(sizes.rows)
            normalisedBytes &+= UInt64(sizes.bytes + sizes.rows * SeriesTags.rowFixedBytes)
        }
        if registration.date != nil {
            normalisedItems &+= UInt64(sizes.rows)
            normalisedBytes &+= UInt64(sizes.bytes + sizes.rows * (SeriesTags.rowFixedBytes + 8))
        }
    }

    private mutating func gatherer(for registration: TagRegistration) -> Int? {
        for index in 0..<gathererCount where gatherers[index].registration == registration { return index }
        guard gathererCount < RunBuilder.gatherersMax else { return nil }
        (gatherers + gathererCount).initialize(to: TagGatherer(registration))
        gatherers[gathererCount].beginBatch()
        gathererCount += 1
        return gathererCount - 1
    }

    /// Adds each tag row of a series as an item with one id: what the reference adds.
    mutating func addSingleRows(_ series: SeriesTags, id: UInt64, registration: TagRegistration) {
        if registration.isGlobal { addSingleRows(series, id: id, date: nil) }
        if let date = registration.date { addSingleRows(series, id: id, date: date) }
    }

    private mutating func addSingleRows(_ series: SeriesTags, id: UInt64, date: UInt64?) {
        let one: [UInt8] = [1]
        one.withUnsafeBytes { terminator in
            addSingleRow(series.tenant, date, terminator, bytes(series, series.group), id)
        }
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        if series.reverseNameTag.count > 0 { addSingleRow(series.tenant, date, series.reverseNameTag, nothing, id) }
        for tag in series.tags { addSingleRow(series.tenant, date, bytes(series, tag), nothing, id) }
        for tag in series.tags { addSingleRow(series.tenant, date, series.compositePrefix, bytes(series, tag), id) }
    }

    private func bytes(_ series: SeriesTags, _ span: SeriesTags.Span) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: series.base + Int(span.offset), count: Int(span.length))
    }

    private mutating func addSingleRow(
        _ tenant: UInt64, _ date: UInt64?, _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer,
        _ id: UInt64
    ) {
        let length = (date == nil ? 9 : 17) + first.count + second.count + 8
        var out = reserve(length)
        out.storeBytes(of: date == nil ? 1 : 6, as: UInt8.self)
        BigEndian.store64(tenant, at: out + 1)
        out += 9
        if let date {
            BigEndian.store64(date, at: out)
            out += 8
        }
        if let address = first.baseAddress { out.copyMemory(from: address, byteCount: first.count) }
        out += first.count
        if let address = second.baseAddress { out.copyMemory(from: address, byteCount: second.count) }
        out += second.count
        BigEndian.store64(id, at: out)
        commit(length)
    }

    // MARK: sealing

    /// Turns what was collected into a sorted run and empties the builder.
    ///
    /// - Parameters:
    ///   - fresh: The arena to go on with.
    ///   - pool: Where the arena goes when the run has died.
    /// - Returns: nil when there is nothing.
    /// - Complexity: the sort of the lanes out of order and of the distinct tags.
    mutating func seal(fresh: consuming RawBuffer, pool: ArenaPool?) -> MemoryRun? {
        guard !isEmpty else { return nil }
        var tagRows = [RefListBox](repeating: RefListBox(), count: 2)
        for index in 0..<gathererCount where !gatherers[index].isEmpty {
            let order = TagOrder(gatherers[index])
            if gatherers[index].registration.isGlobal {
                tagRows[0] = writeRows(index, nil, order, tagRows[0])
            }
            if let date = gatherers[index].registration.date {
                tagRows[1] = writeRows(index, date, order, tagRows[1])
            }
        }

        var total = 0
        for index in 0..<RunBuilder.laneCount { total += lanes[index].refs.count }
        total += tagRows[0].list.count + tagRows[1].list.count
        var refs = RefList(capacity: max(total, 1))
        let base = UnsafeRawPointer(arena.base)
        for index in 0..<RunBuilder.laneCount {
            if !lanes[index].isSorted {
                let scratch = UnsafeMutableBufferPointer<ItemRef>.allocate(capacity: lanes[index].refs.count)
                ItemSort.sort(lanes[index].refs.buffer, base: base, scratch: scratch)
                scratch.deallocate()
            }
            let rows: RefListBox? = index == 1 ? tagRows[0] : index == 6 ? tagRows[1] : nil
            if let rows, rows.list.count > 0 {
                RunBuilder.merge(lanes[index].refs, rows.list, base, into: &refs)
            } else {
                refs.append(lanes[index].refs.base, lanes[index].refs.count)
            }
            lanes[index].refs.removeAll()
            lanes[index].isSorted = true
        }
        for index in 0..<gathererCount { gatherers[index].removeAll() }
        var sealed = fresh
        swap(&sealed, &arena)
        let run =
            refs.count == 0
            ? nil
            : MemoryRun(
                arena: sealed, refs: refs, normalisedItems: normalisedItems, normalisedBytes: normalisedBytes,
                openedAt: openedAt,
                pool: pool)
        plainItems = 0
        normalisedItems = 0
        normalisedBytes = 0
        return run
    }

    /// Writes the rows of one gatherer and merges them with those written before.
    private mutating func writeRows(
        _ index: Int, _ date: UInt64?, _ order: borrowing TagOrder, _ before: RefListBox
    ) -> RefListBox {
        let rows = RefListBox()
        gatherers[index].writeRows(date: date, order: order, arena: &arena, refs: &rows.list)
        guard before.list.count > 0 else { return rows }
        let merged = RefListBox()
        RunBuilder.merge(before.list, rows.list, arena.base, into: &merged.list)
        return merged
    }

    /// Merges two sorted lists over one arena. Lists that do not overlap are copied.
    private static func merge(
        _ a: borrowing RefList, _ b: borrowing RefList, _ base: UnsafeRawPointer, into target: inout RefList
    ) {
        func isOrdered(_ x: ItemRef, _ y: ItemRef) -> Bool {
            Bytes.compare(base + Int(x.offset), Int(x.length), base + Int(y.offset), Int(y.length)) <= 0
        }
        if a.count == 0 || b.count == 0 || isOrdered(a[a.count - 1], b[0]) {
            target.append(a.base, a.count)
            target.append(b.base, b.count)
            return
        }
        if isOrdered(b[b.count - 1], a[0]) {
            target.append(b.base, b.count)
            target.append(a.base, a.count)
            return
        }
        var i = 0
        var j = 0
        while i < a.count && j < b.count {
            if isOrdered(a[i], b[j]) {
                target.append(a[i])
                i += 1
            } else {
                target.append(b[j])
                j += 1
            }
        }
        target.append(a.base + i, a.count - i)
        target.append(b.base + j, b.count - j)
    }
}

/// A list that can be kept in an array.
private final class RefListBox {
    var list = RefList(capacity: 16)
}
