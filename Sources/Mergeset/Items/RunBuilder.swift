// RunBuilder.swift - the open run of a shard: items are written here once and stay where they are.
//
//   arena     | item | item | head | item | ...         one allocation, handed on to the sealed run
//   lanes     8 x list of (offset, length)              by the first byte of the item: 0 to 6, everything else in 7
//   gatherers one per kind of registration              ids per distinct tag; become rows when the run is sealed
//
// Why lanes: the first byte of an index item is its namespace, so lanes in order are items in order, and three of the
// namespaces arrive sorted (they start with the growing metric id). A lane remembers whether it is still in order, and
// only those that are not are sorted.
//
// Why heads: half of the bytes of an index would be in memory twice, the name of a series in its rows of namespaces 0 and 3,
// and the tag rows of a new series once more with the date. Such an item is in two pieces, a head of its own and the end of
// another item, and is put together when a flush comes to it (ItemRef+Joined.swift). A lane of such items that turns
// out not to be in order, or gets others, too, is made whole before it is sorted.
//
// Life: open -> seal() -> the arena leaves in a MemoryRun; the builder is empty again and keeps its other memory.
// A batch is everything between beginBatch() and endBatch() or rollBack(); it is never split over two runs.
// Threads: one owner, the holder of the shard's lock.

import StorageBytes

/// Where the items of one first byte are collected.
struct Lane: ~Copyable {
    var refs = RefList(capacity: 16)
    var isSorted = true
    /// Whether it has items in two pieces. When it is sorted, all are.
    var isJoined = false

    // State at the beginning of the batch.
    var batchCount = 0
    var batchIsSorted = true
    var batchIsJoined = false

    mutating func beginBatch() {
        batchCount = refs.count
        batchIsSorted = isSorted
        batchIsJoined = isJoined
    }

    mutating func rollBack() {
        refs.truncate(to: batchCount)
        isSorted = batchIsSorted
        isJoined = batchIsJoined
    }

    mutating func removeAll() {
        refs.removeAll()
        isSorted = true
        isJoined = false
    }

    /// Makes all items whole, at the end of the arena.
    mutating func makeWhole(in arena: inout RawBuffer) {
        for index in 0..<refs.count where refs[index].isJoined { refs[index] = refs[index].madeWhole(in: &arena) }
        isJoined = false
    }
}

/// Items and tags of a run that is still being filled.
struct RunBuilder: ~Copyable {
    /// A batch cannot take a run beyond this: positions have 32 bits.
    static let arenaBytesMax = 1 << 30
    static let laneCount = 8

    private(set) var arena = RawBuffer()
    private let lanes: UnsafeMutablePointer<Lane>
    private let gatherers: UnsafeMutablePointer<TagGatherer>
    private var gathererCount = 0
    private static let gatherersMax = 16

    /// Items and normalised items since the run was opened; the tag rows still gathered count in the latter only.
    private(set) var plainItems: UInt64 = 0
    private(set) var normalisedItems: UInt64 = 0
    private(set) var normalisedBytes: UInt64 = 0

    /// When the first batch of the run was added, on the monotonic clock, and the number of the run; set by the owner.
    var openedAt: UInt64 = 0
    var number: UInt64 = 0

    /// Where the item lies that was committed last and is whole; a length of -1 when there is none in this batch.
    private var lastOffset = 0, lastLength = -1
    /// Bytes that the items in two pieces would take if they were whole.
    private(set) var joinedBytes = 0

    private var batchArenaCount = 0
    private var batchJoinedBytes = 0
    private var batchPlainItems: UInt64 = 0
    private var batchNormalisedItems: UInt64 = 0
    private var batchNormalisedBytes: UInt64 = 0

    /// An empty builder without an arena.
    init() {
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

    /// Begins a run in an empty arena.
    mutating func open(_ arena: consuming RawBuffer) {
        assert(isEmpty && self.arena.count == 0)
        self.arena = arena
    }

    /// Bytes of memory that the run will take when it is sealed, nearly; at least a quarter of what it would take with all
    /// items whole.
    var usedBytes: Int {
        var rows = 0
        for index in 0..<gathererCount { rows += gatherers[index].rowBytes }
        let refs = Int(plainItems) * MemoryLayout<ItemRef>.stride
        return max(arena.count + rows + refs, (wholeBytes + wholeRowBytes) / 4)
    }

    /// Bytes that the items take, with all of them whole; those of gathered rows left out.
    var wholeBytes: Int { arena.count &+ joinedBytes }

    /// Bytes that the gathered rows will take, with all of them whole.
    var wholeRowBytes: Int {
        var bytes = 0
        for index in 0..<gathererCount { bytes += gatherers[index].rowBytesInAll }
        return bytes
    }

    // MARK: batches

    mutating func beginBatch() {
        batchArenaCount = arena.count
        batchJoinedBytes = joinedBytes
        lastLength = -1
        batchPlainItems = plainItems
        batchNormalisedItems = normalisedItems
        batchNormalisedBytes = normalisedBytes
        for index in 0..<RunBuilder.laneCount { lanes[index].beginBatch() }
        for index in 0..<gathererCount { gatherers[index].beginBatch() }
    }

    /// Forgets everything since ``beginBatch()``.
    mutating func rollBack() {
        arena.truncate(to: batchArenaCount)
        joinedBytes = batchJoinedBytes
        lastLength = -1
        plainItems = batchPlainItems
        normalisedItems = batchNormalisedItems
        normalisedBytes = batchNormalisedBytes
        for index in 0..<RunBuilder.laneCount { lanes[index].rollBack() }
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
            if last.isJoined || Bytes.compare(base + Int(last.offset), Int(last.length), base + offset, count) > 0 {
                lane.pointee.isSorted = false
            }
        }
        lastOffset = offset
        lastLength = count
        lane.pointee.refs.append(
            ItemRef(key: 0, offset: UInt32(truncatingIfNeeded: offset), length: UInt32(truncatingIfNeeded: count)))
        arena.commit(count)
        plainItems &+= 1
        normalisedItems &+= 1
        normalisedBytes &+= UInt64(count)
    }

    /// Makes an item of the first `headCount` bytes behind the arena's end, at least one, and of the bytes `tail` of the
    /// item that was committed last as a whole one, in this batch.
    mutating func commit(head headCount: Int, tail: Range<Int>) {
        precondition(
            headCount > 0 && tail.upperBound <= lastLength,
            "the end of an item at \(tail) of an item of \(lastLength) bytes")
        let ref = ItemRef(
            head: arena.count, headCount: headCount, tail: lastOffset &+ tail.lowerBound, tailCount: tail.count)
        let lane = lanes + Swift.min(Int(arena.end.load(as: UInt8.self)), RunBuilder.laneCount - 1)
        if lane.pointee.isSorted, lane.pointee.refs.count > 0 {
            let last = lane.pointee.refs[lane.pointee.refs.count &- 1]
            lane.pointee.isSorted = last.isKnownNotToExceed(ref, UnsafeRawPointer(arena.base))
        }
        lane.pointee.isJoined = true
        lane.pointee.refs.append(ref)
        arena.commit(headCount)
        let count = headCount &+ tail.count
        joinedBytes &+= count
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
    /// - Parameter pool: Where the arena goes when the run has died.
    /// - Returns: nil when there is nothing; the arena stays then.
    /// - Complexity: the sort of the lanes out of order and of the distinct tags.
    mutating func seal(pool: ArenaPool?) -> MemoryRun? {
        guard !isEmpty else { return nil }
        let tagRows = writeTagRows()
        var total = 0
        for index in 0..<RunBuilder.laneCount { total += lanes[index].refs.count }
        total += tagRows[0].list.count + tagRows[1].list.count
        var refs = RefList(capacity: max(total, 1))
        for index in 0..<RunBuilder.laneCount {
            let rows: RefListBox? = index == 1 ? tagRows[0] : index == 6 ? tagRows[1] : nil
            let hasRows = (rows?.list.count ?? 0) > 0
            if lanes[index].isJoined, !lanes[index].isSorted || hasRows {
                // Taken out for a moment: a lane and the arena are both parts of the builder.
                var whole = RawBuffer()
                swap(&whole, &arena)
                lanes[index].makeWhole(in: &whole)
                swap(&whole, &arena)
            }
            let base = UnsafeRawPointer(arena.base)
            if !lanes[index].isSorted {
                let scratch = UnsafeMutableBufferPointer<ItemRef>.allocate(capacity: lanes[index].refs.count)
                ItemSort.sort(lanes[index].refs.buffer, base: base, scratch: scratch)
                scratch.deallocate()
            }
            if let rows, hasRows {
                RunBuilder.merge(lanes[index].refs, rows.list, base, into: &refs)
            } else {
                refs.append(lanes[index].refs.base, lanes[index].refs.count)
            }
            lanes[index].removeAll()
        }
        for index in 0..<gathererCount { gatherers[index].removeAll() }
        var sealed = RawBuffer()
        swap(&sealed, &arena)
        var run: MemoryRun?
        if refs.count > 0 {
            run = MemoryRun(
                arena: sealed, refs: refs, normalisedItems: normalisedItems, normalisedBytes: normalisedBytes,
                openedAt: openedAt, number: number, pool: pool)
        } else {
            pool?.put(sealed)
        }
        joinedBytes = 0
        plainItems = 0
        normalisedItems = 0
        normalisedBytes = 0
        return run
    }

    /// Writes the rows of all gatherers: those of namespace 1, and those of namespace 6.
    private mutating func writeTagRows() -> [RefListBox] {
        var rows = [RefListBox](repeating: RefListBox(), count: 2)
        let filled = (0..<gathererCount).filter { !gatherers[$0].isEmpty }
        if filled.count == 1, case .globalAndDay(let date) = gatherers[filled[0]].registration {
            let order = TagOrder(gatherers[filled[0]])
            // Rows of namespace 6 are as many, and a date longer.
            rows[0] = writeRows(filled[0], nil, order, rows[0], growing: 8)
            rows[1] = dateRows(rows[0].list, date)
            return rows
        }
        for index in filled {
            let order = TagOrder(gatherers[index])
            if gatherers[index].registration.isGlobal { rows[0] = writeRows(index, nil, order, rows[0]) }
            if let date = gatherers[index].registration.date { rows[1] = writeRows(index, date, order, rows[1]) }
        }
        return rows
    }

    /// The rows of namespace 6 that rows of namespace 1 are with a date: a head for each tenant, the rest is theirs.
    private mutating func dateRows(_ rows: borrowing RefList, _ date: UInt64) -> RefListBox {
        let dated = RefListBox()
        var head = 0
        var headTenant: UInt64?
        for index in 0..<rows.count {
            let row = rows[index]
            let tenant = BigEndian.load64(arena.base + Int(row.offset) + 1)
            if tenant != headTenant {
                head = arena.count
                headTenant = tenant
                arena.append(UInt8(6))
                arena.appendBigEndian(tenant)
                arena.appendBigEndian(date)
            }
            dated.list.append(
                ItemRef(head: head, headCount: 17, tail: Int(row.offset) + 9, tailCount: Int(row.length) - 9))
        }
        return dated
    }

    /// Writes the rows of one gatherer and merges them with those written before. Each may grow by `growing` bytes later.
    private mutating func writeRows(
        _ index: Int, _ date: UInt64?, _ order: borrowing TagOrder, _ before: RefListBox, growing: Int = 0
    ) -> RefListBox {
        let rows = RefListBox()
        let gatherer = gatherers + index  // builds with sanitizers see an overlap of accesses otherwise
        gatherer.pointee.writeRows(date: date, growing: growing, order: order, arena: &arena, refs: &rows.list)
        guard before.list.count > 0 else { return rows }
        let merged = RefListBox()
        RunBuilder.merge(before.list, rows.list, arena.base, into: &merged.list)
        return merged
    }

    /// Merges two sorted lists of whole items over one arena. Lists that do not overlap are copied.
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
