// IndexAccount.swift - where the bytes of index blocks go: by kind of row, by label, by day.
//
// Of the stored bytes of a block each byte that prefix coding leaves gets an equal share, and one more for each item, which
// stands for its two lengths. So a tag that all rows of a block have in common costs what it costs, once; and the shares
// of a block add up to the block.
//
//   name rows   kind | tenant | esc(name) 01 esc(k) 01 esc(v) 01 ... | ...     each label gets what is left of its bytes
//   tag rows    the whole row belongs to the label of its key
//
// Layouts: docs/format/series-index.md, 4. Threads: one owner.

import Mergeset
import SeriesIndex
import StorageBytes

/// Accounts of the items of one table, block by block. A value: a part that turns out to be damaged is taken back by
/// dropping the copy it was added to.
struct IndexAccount {
    /// Days that are told apart: eleven years.
    static let daysMax = 4096

    struct Kind {
        var items: UInt64 = 0, ids: UInt64 = 0
        var rawBytes: UInt64 = 0, keptBytes: UInt64 = 0
        var compressedBytes = 0.0
    }

    struct Day {
        var items: UInt64 = 0
        var compressedBytes = 0.0
    }

    /// By first byte of the item; 7 is everything else.
    var kinds = [Kind](repeating: Kind(), count: 8)
    var labels = LabelAccounts()
    var days: [UInt64: Day] = [:]
    /// Items that start like a row of an index and are none.
    var malformed: UInt64 = 0
    var blockFill: [UInt64] = [0, 0, 0, 0]
    var plainBlocks: UInt64 = 0
    var daysLeftOut = false

    /// Whether everything so far is a row of a series index.
    var isSeriesIndex: Bool { malformed == 0 && kinds[7].items == 0 }

    /// Adds a block.
    mutating func add(_ header: BlockHeader, _ items: borrowing DecodedItems) {
        let bytes = items.dataBytes
        blockFill[min(3, bytes * 4 / (Limits.blockBytesMax + 1))] += 1
        if header.marshalType == .plain { plainBlocks += 1 }
        var kept = items.count
        for index in 0..<items.count { kept += items[index].count - items.sharedPrefix(index) }
        let share = Double(header.itemsSize + header.lensSize) / Double(kept)
        for index in 0..<items.count { add(items[index], shared: items.sharedPrefix(index), share) }
    }

    private mutating func add(_ item: UnsafeRawBufferPointer, shared: Int, _ share: Double) {
        let number = Int(min(item.first ?? 7, 7))
        let kept = item.count - shared
        let bytes = share * Double(kept + 1)
        kinds[number].items += 1
        kinds[number].rawBytes += UInt64(item.count)
        kinds[number].keptBytes += UInt64(kept)
        kinds[number].compressedBytes += bytes
        let isRow: Bool
        switch UInt8(number) {
        case RowKind.nameToTSID:
            let end = item.count - TSID.storedBytes - 1
            isRow = end > 1 && addName(item, 1..<end, shared: shared, share)
        case RowKind.idToName: isRow = item.count > 17 && addName(item, 17..<item.count, shared: shared, share)
        case RowKind.tagToIDs, RowKind.dateTagToIDs: isRow = addTagRow(item, bytes)
        case RowKind.idToTSID: isRow = item.count == SeriesRow.idToTSIDLength
        case RowKind.tombstone: isRow = item.count == SeriesRow.tombstoneLength
        case RowKind.dateToID:
            isRow = item.count == SeriesRow.dateToIDLength
            if isRow { addDay(item, bytes) }
        default: return
        }
        if !isRow { malformed += 1 }
    }

    private mutating func addTagRow(_ item: UnsafeRawBufferPointer, _ bytes: Double) -> Bool {
        guard let row = try? TagRow(item), let (number, isComposite) = labels.find(row.escapedKey) else { return false }
        let isPerDay = row.kind == RowKind.dateTagToIDs
        kinds[Int(row.kind)].ids += UInt64(row.idCount)
        labels[number].rows += 1
        switch (isComposite, isPerDay) {
        case (false, false): labels[number].tagBytes += bytes
        case (true, false): labels[number].compositeBytes += bytes
        case (false, true): labels[number].dayTagBytes += bytes
        case (true, true): labels[number].dayCompositeBytes += bytes
        }
        if isPerDay { addDay(item, bytes) }
        return true
    }

    /// Counts a row of a day, whose date stands behind kind and tenant.
    private mutating func addDay(_ item: UnsafeRawBufferPointer, _ bytes: Double) {
        guard let start = item.baseAddress else { return }
        let date = BigEndian.load64(start + 9)
        if days[date] == nil, days.count >= IndexAccount.daysMax {
            daysLeftOut = true
            return
        }
        days[date, default: Day()].items += 1
        days[date, default: Day()].compressedBytes += bytes
    }

    /// Gives the bytes of a name, which lies at `range` of an item, to its labels.
    private mutating func addName(
        _ item: UnsafeRawBufferPointer, _ range: Range<Int>, shared: Int, _ share: Double
    ) -> Bool {
        guard let start = item.baseAddress,
            var reader = try? CanonicalNameReader(UnsafeRawBufferPointer(rebasing: item[range]))
        else { return false }
        func left(_ from: UnsafeRawPointer?, _ to: Int) -> Double {
            guard let from else { return 0 }
            return share * Double(max(0, to - max(shared, from - start)))
        }
        let group = reader.escapedGroup
        let groupStart = range.lowerBound + Tenant.storedBytes
        labels[labels.groupNumber()].nameBytes += left(start + groupStart, groupStart + group.count + 1)
        do throws(DecodeError) {
            while let (key, value) = try reader.next() {
                // A composite key does not occur in names.
                guard let (number, isComposite) = labels.find(key), !isComposite, let keyStart = key.baseAddress else {
                    return false
                }
                let end = (keyStart - start) + key.count + 1 + value.count + 1
                labels[number].nameBytes += left(keyStart, end)
            }
            return true
        } catch {
            return false
        }
    }
}
