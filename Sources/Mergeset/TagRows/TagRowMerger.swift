// TagRowMerger.swift - unites the rows of one tag while they stream by (docs/format/mergeset-table.md, 13).
//
// Rows of namespaces 1 and 6 are prefix || ids. In a merged stream all rows of a prefix are neighbours, ordered by their
// first id. So whatever the later rows hold, ids below the first id of the newest row are complete: they can be written,
// in rows of up to 126. What is held back is at most what overlaps.
//
//   first    the first row of the current prefix, as it came; written as it is when no other row follows (most do)
//   ids      once a second row follows: the ids not written yet, ascending, without duplicates
//
// Compared with the reference's hook, which works block by block, rows unite across block boundaries, the first and last
// row of a block are not special, and duplicates cannot break the order.
//
// Whether two rows have the same prefix follows from the bytes they share, which the merge knows: nothing is parsed
// unless the prefix changes. When it does change, what the new row shares with the last row taken is less than that row's
// prefix, so it shares exactly as much with every row of that prefix, also with the ones written instead.
//
// A row that would be longer than an item may be (a tag near 64 KiB) gets fewer ids.
//
// Threads: one owner.

import StorageBytes
import StorageRuntime

/// Unites tag rows in a merged stream.
struct TagRowMerger: ~Copyable, MergeHook {
    static var allowsStoredBlocks: Bool { true }
    static var unitesTagRows: Bool { true }

    /// The first row of the current prefix.
    private var first = RawBuffer(capacity: 2048)
    /// Bytes of its prefix; 0 when no row is held.
    private var prefixCount = 0
    /// Bytes it shares with the item written before it.
    private var firstShared = 0
    /// Whether it is the only row of its prefix so far. Otherwise its ids are in ``ids``.
    private var isAlone = false
    /// Whether a row of the current prefix has been written: ``row`` then.
    private var hasWritten = false

    private var ids: UnsafeMutablePointer<UInt64>
    private var idCount = 0
    private var idCapacity = 512
    private var incoming: UnsafeMutablePointer<UInt64>
    private var incomingCapacity = 512
    /// Ids below the first id of their row. Only foreign rows that are not in order have them; rows with such ids may
    /// have been written already, so they go to the end of the prefix, behind an id that is in order.
    private var strays: [UInt64] = []
    private var row = RawBuffer(capacity: 2048)
    /// Most ids in a row of the current prefix.
    private var rowIDsMax = Limits.rowIDsMax
    private let path: String

    /// `path` is for messages.
    init(path: String) {
        self.path = path
        ids = .allocate(capacity: idCapacity)
        incoming = .allocate(capacity: incomingCapacity)
    }

    deinit {
        ids.deallocate()
        incoming.deallocate()
    }

    @inline(__always)
    mutating func take(
        _ item: UnsafeRawPointer, _ length: Int, sharing shared: Int, into writer: inout PartWriter
    ) throws(StorageError) {
        if prefixCount > 0 {
            if shared >= prefixCount {
                try unite(item, length, into: &writer)
                return
            }
            try writeHeld(into: &writer)
        }
        let kind = length > 0 ? item.load(as: UInt8.self) : 0
        if kind == TagRow.globalKind || kind == TagRow.perDayKind {
            try hold(item, length, sharing: shared)
        } else {
            try writer.append(item, length, sharing: shared)
        }
    }

    /// A block that goes on with the tag at hand must not start below an id that is held: what is held becomes rows of
    /// its own, and one of them could start behind the block's first.
    func mayPassOn(_ item: UnsafeRawPointer, _ length: Int, sharing shared: Int) -> Bool {
        guard prefixCount > 0, shared >= prefixCount else { return true }
        // A single row is written as it came, in its place.
        if isAlone { return true }
        guard length &- prefixCount >= 8, strays.isEmpty else { return false }
        return idCount == 0 || ids[idCount &- 1] < BigEndian.load64(item + prefixCount)
    }

    mutating func drain(into writer: inout PartWriter) throws(StorageError) {
        if prefixCount > 0 { try writeHeld(into: &writer) }
    }

    /// Holds the first row of a prefix.
    private mutating func hold(_ item: UnsafeRawPointer, _ length: Int, sharing shared: Int) throws(StorageError) {
        do throws(DecodeError) {
            prefixCount = try TagRow(UnsafeRawBufferPointer(start: item, count: length)).prefixLength
        } catch {
            throw StorageError(.corrupted, "a tag row does not decode while merging: \(error)", path: path)
        }
        first.removeAll()
        first.reserve(length)
        ShortCopy.copy(item, to: first.end, length)
        first.commit(length)
        firstShared = shared
        isAlone = true
    }

    /// Adds the ids of another row of the current prefix.
    private mutating func unite(
        _ item: UnsafeRawPointer, _ length: Int, into writer: inout PartWriter
    ) throws(StorageError) {
        guard (length &- prefixCount) & 7 == 0, length > prefixCount else {
            throw StorageError(
                .corrupted, "a tag row has \(length - prefixCount) bytes of ids while merging", path: path)
        }
        if isAlone {
            isAlone = false
            hasWritten = false
            idCount = 0
            // Rows with and without a day are united alike: those without leave room for it.
            let margin = first.base.load(as: UInt8.self) == TagRow.globalKind ? DayTwins.dayBytes : 0
            rowIDsMax = max(min(Limits.rowIDsMax, (Limits.itemBytesMax - prefixCount - margin) / 8), 1)
            addIDs(first.base + prefixCount, (first.count &- prefixCount) >> 3)
        }
        let source = item + prefixCount
        let start = BigEndian.load64(source)
        if idCount >= rowIDsMax, ids[0] < start { try writeRows(below: start, into: &writer) }
        addIDs(source, (length &- prefixCount) >> 3)
    }

    /// Merges the ids of a row, at least one, with those that are held.
    private mutating func addIDs(_ source: UnsafeRawPointer, _ count: Int) {
        reserve(count)
        let start = BigEndian.load64(source)
        var last = start
        incoming[0] = start
        var kept = 1
        var isAscending = true
        for index in 1..<max(count, 1) {
            let id = BigEndian.load64(source + index &* 8)
            if id <= last {
                if id == last { continue }
                if id < start {
                    strays.append(id)
                    continue
                }
                isAscending = false
            }
            incoming[kept] = id
            kept &+= 1
            last = id
        }
        if !isAscending { kept = sortAndUnite(incoming, kept) }
        if idCount == 0 || ids[idCount &- 1] < start {
            (ids + idCount).update(from: incoming, count: kept)
            idCount &+= kept
            return
        }
        // From the largest down, so that nothing is overwritten before it has moved.
        var old = idCount &- 1
        var new = kept &- 1
        var target = idCount &+ kept &- 1
        var hasDuplicates = false
        while new >= 0 {
            let id = incoming[new]
            if old >= 0, ids[old] > id {
                ids[target] = ids[old]
                old &-= 1
            } else {
                if old >= 0, ids[old] == id { hasDuplicates = true }
                ids[target] = id
                new &-= 1
            }
            target &-= 1
        }
        idCount &+= kept
        if hasDuplicates {
            var united = 1
            for index in 1..<idCount where ids[index] != ids[united &- 1] {
                ids[united] = ids[index]
                united &+= 1
            }
            idCount = united
        }
    }

    private mutating func reserve(_ extra: Int) {
        if idCount + extra > idCapacity {
            let wider = max(idCapacity * 2, idCount + extra)
            let target = UnsafeMutablePointer<UInt64>.allocate(capacity: wider)
            target.update(from: ids, count: idCount)
            ids.deallocate()
            ids = target
            idCapacity = wider
        }
        if extra > incomingCapacity {
            incoming.deallocate()
            incomingCapacity = extra * 2
            incoming = .allocate(capacity: incomingCapacity)
        }
    }

    // MARK: writing

    /// Writes everything that is held; nothing is afterwards.
    private mutating func writeHeld(into writer: inout PartWriter) throws(StorageError) {
        if isAlone {
            try writer.append(first.base, first.count, sharing: firstShared)
        } else {
            let anchor = ids[idCount &- 1]
            try writeRows(below: nil, into: &writer)
            if !strays.isEmpty { try writeStrays(behind: anchor, into: &writer) }
        }
        prefixCount = 0
    }

    /// Writes rows of held ids: full rows of those below `limit`, or all of them when there is no limit.
    private mutating func writeRows(below limit: UInt64?, into writer: inout PartWriter) throws(StorageError) {
        var written = 0
        while written < idCount {
            let take = min(idCount - written, rowIDsMax)
            if let limit, take < rowIDsMax || ids[written + take - 1] >= limit { break }
            try write(ids + written, take, behind: nil, into: &writer)
            written += take
        }
        if written > 0 {
            idCount -= written
            ids.update(from: ids + written, count: idCount)
        }
    }

    /// Writes the ids that came out of order, in rows that start with an id that does not break the order.
    private mutating func writeStrays(behind anchor: UInt64, into writer: inout PartWriter) throws(StorageError) {
        var rest = strays
        strays.removeAll()
        var count = rest.withUnsafeMutableBufferPointer { sortAndUnite($0.baseAddress.unsafelyUnwrapped, $0.count) }
        while count > 0 {
            let take = min(count, max(rowIDsMax - 1, 1))
            let chunk = Array(rest[..<take])
            try chunk.withUnsafeBufferPointer { ids throws(StorageError) in
                try write(ids.baseAddress.unsafelyUnwrapped, take, behind: anchor, into: &writer)
            }
            rest.removeFirst(take)
            count -= take
        }
    }

    /// Writes one row: the prefix, `anchor` if there is one, and `count` ids.
    private mutating func write(
        _ source: UnsafePointer<UInt64>, _ count: Int, behind anchor: UInt64?, into writer: inout PartWriter
    ) throws(StorageError) {
        let length = prefixCount &+ (count &+ (anchor == nil ? 0 : 1)) &* 8
        let start = anchor ?? source[0]
        var shared = firstShared
        if hasWritten {
            // Rows of one prefix differ in their first ids already, or, behind an anchor, in the second.
            let previous = BigEndian.load64(row.base + prefixCount)
            shared = prefixCount &+ ((previous ^ start).leadingZeroBitCount >> 3)
        }
        let hasSameStart = hasWritten && BigEndian.load64(row.base + prefixCount) == start
        let before = hasSameStart ? row.array() : []
        row.removeAll()
        row.reserve(length)
        row.append(UnsafeRawBufferPointer(start: first.base, count: prefixCount))
        var out = row.end
        if let anchor {
            BigEndian.store64(anchor, at: out)
            out += 8
        }
        for index in 0..<count {
            BigEndian.store64(source[index], at: out)
            out += 8
        }
        row.commit(length &- prefixCount)
        if hasSameStart { shared = before.withUnsafeBytes { Bytes.commonPrefix($0, row.bytes) } }
        try writer.append(row.base, length, sharing: shared)
        hasWritten = true
    }
}
