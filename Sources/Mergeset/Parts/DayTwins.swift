// DayTwins.swift - parts whose per-day tag rows are their global tag rows once more.
//
// Most series are registered for a day together with their global rows (BlockTwins). A part is called twinned when all its
// blocks of kind 6 are those of kind 1 with one day put in:
//
//   blocks   0 ... | 1  1  1  1 | 2 ... 3 ... 5 ... | 6  6  6  6 |
//                  |  globals   |                   |    days    |     equal counts, equal bytes in items.bin and lens.bin
//   items            01 tenant     tag ids             06 tenant day tag ids
//
// A merge of parts that are all twinned, with the same day, makes of their global rows what it would make of their per-day
// rows but for the day. So it leaves the latter out, and copies its own blocks of global rows in the end
// (PartWriter.appendDayRows): nothing of them is decoded, compared, united or encoded.
//
// What is checked: the headers of both stretches item for item, that nothing of either kind lies in blocks before them, then the
// stored bytes, and the last item of the part. The first header that differs ends the check, so a merge with a part
// that is not twinned costs the index blocks at most.
//
// Threads: pure functions over immutable parts.

import Glibc
import StorageBytes
import StorageFiles
import StorageRuntime

/// Where the tag rows of a twinned part lie.
struct DayTwins: Equatable {
    /// The day of the per-day rows.
    var day: UInt64
    /// Numbers of the blocks of kind 1, and of those of kind 6, which end the part.
    var globals: Range<Int>, days: Range<Int>
    /// Rows of each kind.
    var rowsCount: UInt64
    /// Bytes of the block headers of one kind.
    var headerBytes: Int

    /// Bytes that tenant and kind take in front of the day.
    static let headBytes = TagRow.tagOffset(kind: TagRow.globalKind)
    /// Bytes of a day.
    static let dayBytes = TagRow.tagOffset(kind: TagRow.perDayKind) - headBytes
    /// A merge remembers the headers of its blocks of global rows: no more than this many bytes, about 10 GB of rows.
    static let headerBytesMax = 32 << 20

    /// The twins of all parts of a merge; nil when one of them is not twinned, or has another day. The headers of all are
    /// looked at before the bytes of any.
    ///
    /// - Throws: `.corrupted`, `.io`; `.closed` when the merge is cancelled.
    static func ofAll(_ parts: [FilePart], isCancelled: () -> Bool = { false }) throws(StorageError) -> [DayTwins]? {
        var all: [Candidate] = []
        var headerBytes = 0
        for part in parts {
            if isCancelled() { throw MergeLoop.abandoned }
            guard let candidate = try candidate(in: part) else { return nil }
            guard candidate.twins.day == all.first?.twins.day ?? candidate.twins.day else { return nil }
            headerBytes += candidate.twins.headerBytes
            guard headerBytes <= headerBytesMax else { return nil }
            all.append(candidate)
        }
        for (part, candidate) in zip(parts, all) {
            guard try candidate.hasEqualBytes(in: part, isCancelled: isCancelled) else { return nil }
        }
        return all.isEmpty ? nil : all.map(\.twins)
    }

    /// The twins of a part; nil when it is not twinned.
    ///
    /// - Throws: `.corrupted`, `.io`.
    /// - Complexity: all headers of the part; for a twinned part also the stored bytes of its tag rows.
    static func find(in part: FilePart) throws(StorageError) -> DayTwins? { try ofAll([part])?.first }

    /// Twins by their headers, and where their bytes lie.
    private struct Candidate {
        var twins: DayTwins
        var globals: Place, days: Place
        var itemsCount: Int, lensCount: Int
        var lastBlock: StoredBlock

        /// Whether the blocks hold the same bytes, and the part ends with the last of them.
        func hasEqualBytes(in part: FilePart, isCancelled: () -> Bool) throws(StorageError) -> Bool {
            guard try lastBlock.lastItem(in: part) == part.metadata.lastItem else { return false }
            guard try DayTwins.haveEqualBytes(part.items, globals.items, days.items, itemsCount, isCancelled) else {
                return false
            }
            return try DayTwins.haveEqualBytes(part.lens, globals.lens, days.lens, lensCount, isCancelled)
        }
    }

    private static func candidate(in part: FilePart) throws(StorageError) -> Candidate? {
        guard part.metadata.lastItem.first == TagRow.perDayKind else { return nil }
        var globals = HeaderStream(part)
        var days = HeaderStream(part)
        guard try seek(&globals, TagRow.globalKind), try seek(&days, TagRow.perDayKind),
            days.firstItem.count >= headBytes + dayBytes
        else { return nil }
        let day = BigEndian.load64(days.firstItem.baseAddress.unsafelyUnwrapped + headBytes)
        let starts = (globals: Place(globals), days: Place(days))
        let firsts = (globals.blocksRead - 1, days.blocksRead - 1)
        var rows: UInt64 = 0
        var headerBytes = 0
        while true {
            guard areTwins(globals, days, day) else { return nil }
            rows += UInt64(globals.header.itemsCount)
            headerBytes += BlockHeader.fixedBytes + 6 + globals.commonPrefix.count + globals.firstItem.count
            let blockEnds = try (globals.next(), days.next())
            // The global rows end before the per-day rows begin.
            guard blockEnds.0 else { return nil }
            if !blockEnds.1 { break }
        }
        guard let kind = globals.firstItem.first, kind > TagRow.globalKind else { return nil }
        // Behind the last header the stream still stands on it.
        let ends = (globals: Place(globals), days: Place(behind: days))
        let (itemsCount, lensCount) = (ends.days.items - starts.days.items, ends.days.lens - starts.days.lens)
        guard ends.days.items <= part.items.sizeBytes, ends.days.lens <= part.lens.sizeBytes,
            ends.globals.items - starts.globals.items == itemsCount,
            ends.globals.lens - starts.globals.lens == lensCount
        else { return nil }
        let twins = DayTwins(
            day: day, globals: firsts.0..<(globals.blocksRead - 1), days: firsts.1..<days.blocksRead,
            rowsCount: rows, headerBytes: headerBytes)
        return Candidate(
            twins: twins, globals: starts.globals, days: starts.days, itemsCount: itemsCount, lensCount: lensCount,
            lastBlock: StoredBlock(days))
    }

    private struct Place {
        var items: Int, lens: Int

        init(_ headers: borrowing HeaderStream) {
            items = headers.itemsStart
            lens = headers.lensStart
        }

        init(behind headers: borrowing HeaderStream) {
            items = headers.itemsStart + Int(headers.header.itemsSize)
            lens = headers.lensStart + Int(headers.header.lensSize)
        }
    }

    /// Moves to the first block that starts with an item of a kind; false when there is none, or when the block before it
    /// holds such items.
    private static func seek(_ headers: inout HeaderStream, _ kind: UInt8) throws(StorageError) -> Bool {
        // The block before, when its items may be of several kinds.
        var mixed: StoredBlock?
        while try headers.next() {
            if let first = headers.firstItem.first {
                if first == kind {
                    guard let mixed else { return true }
                    return try mixed.lastItem(in: headers.part).first ?? 0 != kind
                }
                if first > kind { return false }
            }
            mixed = headers.commonPrefix.count == 0 ? StoredBlock(headers) : nil
        }
        return false
    }

    /// What is needed to read a block.
    private struct StoredBlock {
        var number: Int
        var header: BlockHeader
        var commonPrefix: [UInt8], firstItem: [UInt8]
        var itemsStart: Int, lensStart: Int

        init(_ headers: borrowing HeaderStream) {
            number = headers.blocksRead - 1
            header = headers.header
            commonPrefix = [UInt8](headers.commonPrefix)
            firstItem = [UInt8](headers.firstItem)
            itemsStart = headers.itemsStart
            lensStart = headers.lensStart
        }

        func lastItem(in part: FilePart) throws(StorageError) -> [UInt8] {
            var stored = RawBuffer()
            stored.reserve(Int(header.itemsSize) + Int(header.lensSize))
            let items = UnsafeMutableRawBufferPointer(start: stored.end, count: Int(header.itemsSize))
            let lens = UnsafeMutableRawBufferPointer(start: stored.end + items.count, count: Int(header.lensSize))
            try part.items.read(at: itemsStart, into: items)
            try part.lens.read(at: lensStart, into: lens)
            var decoded = DecodedItems()
            var scratch = BlockScratch()
            let result = commonPrefix.withUnsafeBytes { prefix in
                firstItem.withUnsafeBytes { first in
                    Result { () throws(DecodeError) in
                        try decoded.decode(
                            header, commonPrefix: prefix, firstItem: first, itemsData: UnsafeRawBufferPointer(items),
                            lensData: UnsafeRawBufferPointer(lens), scratch: &scratch)
                    }
                }
            }
            if case .failure(let error) = result {
                throw FilePart.undecodable(number, header, error, part.items.path)
            }
            return [UInt8](decoded[decoded.count - 1])
        }
    }

    /// Whether the headers tell of blocks with the same rows, all of one tenant, without and with a day.
    private static func areTwins(
        _ global: borrowing HeaderStream, _ perDay: borrowing HeaderStream, _ day: UInt64
    ) -> Bool {
        let (a, b) = (global.header, perDay.header)
        let (first, second) = (global.firstItem, perDay.firstItem)
        guard a.marshalType == b.marshalType, a.itemsCount == b.itemsCount, a.itemsSize == b.itemsSize,
            a.lensSize == b.lensSize, a.itemsOffset == UInt64(global.itemsStart),
            a.lensOffset == UInt64(global.lensStart), b.itemsOffset == UInt64(perDay.itemsStart),
            b.lensOffset == UInt64(perDay.lensStart), global.commonPrefix.count >= headBytes,
            perDay.commonPrefix.count == global.commonPrefix.count + dayBytes,
            second.count == first.count + dayBytes, first[0] == TagRow.globalKind, second[0] == TagRow.perDayKind,
            BigEndian.load64(second.baseAddress.unsafelyUnwrapped + headBytes) == day
        else { return false }
        let (start, other) = (first.baseAddress.unsafelyUnwrapped, second.baseAddress.unsafelyUnwrapped)
        return memcmp(start + 1, other + 1, headBytes - 1) == 0
            && memcmp(start + headBytes, other + headBytes + dayBytes, first.count - headBytes) == 0
    }

    private static let stepBytes = 256 << 10

    private static func haveEqualBytes(
        _ file: any ReadableFile, _ a: Int, _ b: Int, _ count: Int, _ isCancelled: () -> Bool
    ) throws(StorageError) -> Bool {
        let buffer = RawBuffer(capacity: 2 * stepBytes)
        var done = 0
        while done < count {
            if isCancelled() { throw MergeLoop.abandoned }
            let step = min(stepBytes, count - done)
            try file.read(at: a + done, into: UnsafeMutableRawBufferPointer(start: buffer.base, count: step))
            try file.read(at: b + done, into: UnsafeMutableRawBufferPointer(start: buffer.base + step, count: step))
            if memcmp(buffer.base, buffer.base + step, step) != 0 { return false }
            done += step
        }
        return true
    }

    // MARK: rows

    /// Appends the per-day form of a global row, or of a prefix of one that has kind and tenant at least.
    static func append(_ row: UnsafeRawBufferPointer, day: UInt64, to target: inout RawBuffer) {
        target.append(TagRow.perDayKind)
        target.append(UnsafeRawBufferPointer(rebasing: row[1..<headBytes]))
        target.appendBigEndian(day)
        target.append(UnsafeRawBufferPointer(rebasing: row[headBytes...]))
    }

    /// The global form of a per-day row.
    static func global(_ row: [UInt8]) -> [UInt8] {
        [TagRow.globalKind] + row[1..<headBytes] + row[(headBytes + dayBytes)...]
    }
}
