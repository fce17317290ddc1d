// MergedAccount.swift - what shows only when all parts of an index table are read in one order: what is there twice, how
// many different tags and values there are, and which values have the most series.
//
// Equal items are neighbours, and so are the rows of one tag; nothing has to be remembered but the row before. Rows of
// one tag share at least their prefix with each other, which the merge knows already.
//
// Threads: one owner.

import Mergeset
import SeriesIndex
import StorageBytes

/// Accounts of items in merged order.
final class MergedAccount {
    /// Labels with their values; only values and series are counted here.
    private(set) var labels = LabelAccounts()
    /// By first byte of the item; 7 is everything else.
    private(set) var distinctItems = [UInt64](repeating: 0, count: 8)
    private(set) var tags = [UInt64](repeating: 0, count: 8)
    private(set) var duplicateItems: UInt64 = 0, duplicateBytes: UInt64 = 0
    private(set) var series: UInt64 = 0, tenants: UInt64 = 0, deletedSeries: UInt64 = 0
    private(set) var seriesOfDays: [UInt64: UInt64] = [:]

    private let valuesMax: Int
    private let readsRows: Bool
    private var previousCount = -1
    private var lastTenant: UInt64?

    // The tag at hand: its value is kept, since it is worth its place only once all its ids have been counted.
    private var prefixCount = 0
    private var label = -1
    private var value = RawBuffer(capacity: 256)
    private var ids: UInt64 = 0, tagRawBytes: UInt64 = 0

    /// - Parameters:
    ///   - valuesMax: Values kept for each label.
    ///   - readsRows: Whether the items are rows of a series index; otherwise only duplicates are counted.
    init(valuesMax: Int, readsRows: Bool) {
        self.valuesMax = valuesMax
        self.readsRows = readsRows
    }

    /// Takes the next item, which shares `shared` bytes with the one before.
    func take(_ item: UnsafeRawBufferPointer, shared: Int) {
        let isDuplicate = shared == item.count && previousCount == item.count
        previousCount = item.count
        let kind = Int(min(item.first ?? 7, 7))
        if isDuplicate {
            duplicateItems += 1
            duplicateBytes += UInt64(item.count)
        } else {
            distinctItems[kind] += 1
        }
        guard readsRows, let start = item.baseAddress else { return }
        switch UInt8(kind) {
        case RowKind.tagToIDs, RowKind.dateTagToIDs:
            if prefixCount == 0 || shared < prefixCount { beginTag(item) }
            if !isDuplicate {
                ids += UInt64((item.count - prefixCount) / 8)
                tagRawBytes += UInt64(item.count)
            }
            return
        case RowKind.idToName where !isDuplicate:
            series += 1
            let tenant = BigEndian.load64(start + 1)
            if tenant != lastTenant { tenants += 1 }
            lastTenant = tenant
        case RowKind.tombstone where !isDuplicate: deletedSeries += 1
        case RowKind.dateToID where !isDuplicate:
            let date = BigEndian.load64(start + 9)
            if seriesOfDays[date] != nil || seriesOfDays.count < IndexAccount.daysMax {
                seriesOfDays[date, default: 0] += 1
            }
        default: break
        }
        endTag()
    }

    private func beginTag(_ item: UnsafeRawBufferPointer) {
        endTag()
        guard let row = try? TagRow(item) else { return }
        prefixCount = row.prefixLength
        tags[Int(row.kind)] += 1
        // Values are counted in the rows that hold for all days, and once: not again together with the metric name.
        guard row.kind == RowKind.tagToIDs, let (number, isComposite) = labels.find(row.escapedKey), !isComposite else {
            return
        }
        label = number
        value.removeAll()
        value.append(row.escapedValue)
    }

    private func endTag() {
        if prefixCount > 0, label >= 0 {
            labels.addValue(label, value.bytes, series: ids, rawBytes: tagRawBytes, limit: valuesMax)
        }
        prefixCount = 0
        label = -1
        ids = 0
        tagRawBytes = 0
    }

    /// Ends the last tag. Called once, behind the last item.
    func finish() { endTag() }
}
