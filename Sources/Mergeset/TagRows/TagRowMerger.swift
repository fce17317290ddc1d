// TagRowMerger.swift - unites the rows of one tag while they stream by (docs/format/mergeset-table.md, 13).
//
// Rows of namespaces 1 and 6 are prefix || ids. In a merged stream all rows of a prefix are neighbours, ordered by their
// first id. So whatever the later rows hold, ids below the first id of the newest row are complete: they can be written,
// in rows of up to 126. What is held back is at most what overlaps.
//
//   held      prefix | ids, ascending, without duplicates          nothing else is ever held back
//   row       prefix || ids(first ..< first of the newest row)
//
// Compared with the reference's hook, which works block by block, rows unite across block boundaries, the first and last
// row of a block are not special, and duplicates cannot break the order.
//
// Whether two rows have the same prefix follows from the bytes they share, which the merge knows: nothing is parsed
// unless the prefix changes.
//
// A row that would be longer than an item may be (a tag near 64 KiB) gets fewer ids.
//
// Threads: one owner.

import StorageBytes
import StorageRuntime

/// Unites tag rows in a merged stream.
struct TagRowMerger: ~Copyable, MergeHook {
    static var allowsStoredBlocks: Bool { true }

    /// Prefix of the held ids; empty when nothing is held.
    private var prefix = RawBuffer(capacity: 256)
    private var ids: UnsafeMutablePointer<UInt64>
    private var idCount = 0
    private var idCapacity = 256
    /// The last item written, when it was a tag row; what the next one shares with it has to be found out.
    private var row = RawBuffer(capacity: 2048)
    private var previous = RawBuffer(capacity: 2048)
    private var previousIsKnown = false
    /// Most ids in a row of the current prefix.
    private var rowIDsMax = Limits.rowIDsMax
    private let path: String

    init(path: String) {
        self.path = path
        ids = .allocate(capacity: idCapacity)
    }

    deinit { ids.deallocate() }

    @inline(__always)
    mutating func take(
        _ item: UnsafeRawPointer, _ length: Int, sharing shared: Int, into writer: inout PartWriter
    ) throws(StorageError) {
        let kind = length > 0 ? item.load(as: UInt8.self) : 0
        if kind == TagRow.globalKind || kind == TagRow.perDayKind {
            try takeRow(item, length, sharing: shared, into: &writer)
        } else if prefix.count > 0 {
            try writeHeld(below: nil, into: &writer)
            try writer.append(item, length, sharing: sharedWithPrevious(item, length))
            previousIsKnown = false
        } else {
            try writer.append(item, length, sharing: shared)
        }
    }

    mutating func drain(into writer: inout PartWriter) throws(StorageError) {
        try writeHeld(below: nil, into: &writer)
        previousIsKnown = false
    }

    private func sharedWithPrevious(_ item: UnsafeRawPointer, _ length: Int) -> Int {
        Bytes.commonPrefix(previous.bytes, UnsafeRawBufferPointer(start: item, count: length))
    }

    private mutating func takeRow(
        _ item: UnsafeRawPointer, _ length: Int, sharing shared: Int, into writer: inout PartWriter
    ) throws(StorageError) {
        var prefixCount = prefix.count
        if prefixCount == 0 || shared < prefixCount {
            // Another prefix.
            if prefixCount > 0 {
                try writeHeld(below: nil, into: &writer)
            } else {
                // Items of other kinds were written last: the row shares with them what the merge says.
                firstShared = shared
                previousIsKnown = false
            }
            let parsed: TagRow
            do throws(DecodeError) {
                parsed = try TagRow(UnsafeRawBufferPointer(start: item, count: length))
            } catch {
                throw StorageError(.corrupted, "a tag row does not decode while merging: \(error)", path: path)
            }
            prefixCount = parsed.prefixLength
            rowIDsMax = max(min(Limits.rowIDsMax, (Limits.itemBytesMax - prefixCount) / 8), 1)
            prefix.removeAll()
            prefix.append(UnsafeRawBufferPointer(start: item, count: prefixCount))
        }
        let count = (length &- prefixCount) >> 3
        guard (length &- prefixCount) & 7 == 0, count > 0 else {
            throw StorageError(
                .corrupted, "a tag row has \(length - prefixCount) bytes of ids while merging", path: path)
        }
        let source = item + prefixCount
        let first = BigEndian.load64(source)
        if idCount > 0, ids[0] < first, idCount >= rowIDsMax { try writeHeld(below: first, into: &writer) }
        reserve(idCount + count)
        var isAscending = true
        var last: UInt64 = 0
        if idCount > 0 {
            last = ids[idCount &- 1]
            isAscending = last < first
        }
        ids[idCount] = first
        idCount &+= 1
        last = first
        for index in 1..<Swift.max(count, 1) {
            let id = BigEndian.load64(source + index &* 8)
            if id > last {
                ids[idCount] = id
                idCount &+= 1
                last = id
            } else if id >= first {
                isAscending = false
                ids[idCount] = id
                idCount &+= 1
            } else {
                strays.append(id)
            }
        }
        if !isAscending { idCount = sortAndUnite(ids, idCount) }
    }

    /// What the first row behind items of other kinds shares with them.
    private var firstShared = 0
    /// Ids below the first id of their row. Only foreign rows that are not in order have them; rows with such ids may
    /// have been written already, so they go to the end of the prefix, behind an id that is in order.
    private var strays: [UInt64] = []

    private mutating func reserve(_ wanted: Int) {
        guard wanted > idCapacity else { return }
        let wider = max(idCapacity * 2, wanted)
        let target = UnsafeMutablePointer<UInt64>.allocate(capacity: wider)
        target.update(from: ids, count: idCount)
        ids.deallocate()
        ids = target
        idCapacity = wider
    }

    /// Writes rows of held ids: full rows of those below `limit`, or all of them when there is no limit.
    private mutating func writeHeld(below limit: UInt64?, into writer: inout PartWriter) throws(StorageError) {
        guard prefix.count > 0 else { return }
        let anchor = idCount > 0 ? ids[idCount - 1] : 0
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
        guard limit == nil else { return }
        if !strays.isEmpty { try writeStrays(behind: anchor, into: &writer) }
        prefix.removeAll()
    }

    /// Writes the ids that came out of order, in rows that start with an id that does not break the order.
    private mutating func writeStrays(behind anchor: UInt64, into writer: inout PartWriter) throws(StorageError) {
        var rest = strays
        strays.removeAll()
        var count = rest.withUnsafeMutableBufferPointer { sortAndUnite($0.baseAddress.unsafelyUnwrapped, $0.count) }
        while count > 0 {
            let take = max(min(count, rowIDsMax - 1), 1)
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
        row.removeAll()
        row.reserve(prefix.count + count * 8 + 8)
        row.append(prefix.bytes)
        if let anchor { row.appendBigEndian(anchor) }
        for index in 0..<count { row.appendBigEndian(source[index]) }
        let shared = previousIsKnown ? Bytes.commonPrefix(previous.bytes, row.bytes) : min(firstShared, row.count)
        try writer.append(row.base, row.count, sharing: shared)
        swap(&row, &previous)
        previousIsKnown = true
    }
}
