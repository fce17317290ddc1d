// SeriesRows.swift - all rows of a registration, one item each, in the order in which the format creates them.
//
//   global    name -> TSID, id -> name, id -> TSID, then the tag -> id rows
//   per day   day -> id, then the (day, tag) -> id rows
//
//   tags of both: group under the empty key; reversed group under FF, if it has a dot; tags in canonical order;
//                 composite tags in canonical order
//
// The order is a promise (docs/format/series-index.md, 6.6): if only the front of a batch survives, an id found through
// a tag row has its other rows. This is the plain form of the rows, with one id in each tag row; a fast path may gather
// ids per tag instead, as long as the set of rows comes out the same.
//
// Threads: pure functions.

import Mergeset
import StorageBytes
import StorageRuntime

/// Builds the rows of registrations.
public enum SeriesRows {
    /// Bytes of the longest canonical name, tenant included, whose rows all fit an item
    /// (docs/format/series-index.md, 4.3). The longest row of a registration is always name -> TSID.
    public static let nameBytesMax = 65_502

    /// Throws `.limitExceeded` when a canonical name of `count` bytes is too long to be registered.
    @inlinable public static func checkLength(_ count: Int) throws(StorageError) {
        if count > nameBytesMax { throw tooLong(count) }
    }

    @usableFromInline @inline(never) static func tooLong(_ count: Int) -> StorageError {
        StorageError(
            .limitExceeded,
            "the metric name has \(count) bytes in canonical form, at most \(nameBytesMax) can be indexed; "
                + "use fewer or shorter labels")
    }

    /// Items of a global registration: `4 + 2 * tags`, one more when the group has a dot.
    public static func globalCount(_ name: borrowing CanonicalName) -> Int { 3 + tagRowCount(name) }

    /// Items of a registration for one day: `2 + 2 * tags`, one more when the group has a dot.
    public static func perDayCount(_ name: borrowing CanonicalName) -> Int { 1 + tagRowCount(name) }

    /// Tag rows of a series: `1 + 2 * tags`, one more when the group has a dot.
    public static func tagRowCount(_ name: borrowing CanonicalName) -> Int {
        1 + 2 * name.tagCount + (SeriesRow.hasDot(name.group) ? 1 : 0)
    }

    /// Appends the items of a global registration. `tsid` belongs to `name`, whose source is still alive.
    ///
    /// - Throws: `.limitExceeded` for a name that is too long; nothing was appended then.
    public static func appendGlobal(
        _ name: borrowing CanonicalName, _ tsid: TSID, to items: inout ItemList
    ) throws(StorageError) {
        try checkLength(name.count)
        let bytes = name.bytes
        items.commit(
            SeriesRow.storeNameToTSID(bytes, tsid, at: items.reserve(SeriesRow.nameToTSIDLength(bytes.count))))
        items.commit(
            SeriesRow.storeIDToName(
                tsid.tenant, tsid.metricID, bytes, at: items.reserve(SeriesRow.idToNameLength(bytes.count))))
        items.commit(SeriesRow.storeIDToTSID(tsid, at: items.reserve(SeriesRow.idToTSIDLength)))
        appendTagRows(name, tsid.metricID, date: nil, to: &items)
    }

    /// Appends the items of a registration for one day. The source of `name` is still alive.
    ///
    /// - Throws: `.limitExceeded` for a name that is too long; nothing was appended then.
    public static func appendPerDay(
        _ name: borrowing CanonicalName, date: UInt64, metricID: UInt64, to items: inout ItemList
    ) throws(StorageError) {
        try checkLength(name.count)
        items.commit(
            SeriesRow.storeDateToID(
                name.tenant, date: date, metricID, at: items.reserve(SeriesRow.dateToIDLength)))
        appendTagRows(name, metricID, date: date, to: &items)
    }

    /// Appends the tombstones of ids, in the order given.
    public static func appendTombstones(_ metricIDs: some Sequence<UInt64>, to items: inout ItemList) {
        for id in metricIDs {
            items.commit(SeriesRow.storeTombstone(id, at: items.reserve(SeriesRow.tombstoneLength)))
        }
    }

    /// Appends the tag rows of all dates, or of one.
    private static func appendTagRows(
        _ name: borrowing CanonicalName, _ metricID: UInt64, date: UInt64?, to items: inout ItemList
    ) {
        let group = name.group
        let headMax = SeriesRow.dateTagHeadLength
        let fixed = headMax + 8

        func storeHead(_ target: UnsafeMutableRawPointer, _ tenant: Tenant) -> Int {
            guard let date else { return SeriesRow.storeTagHead(tenant, at: target) }
            return SeriesRow.storeDateTagHead(tenant, date: date, at: target)
        }
        func finish(_ target: UnsafeMutableRawPointer, _ length: Int) -> Int {
            BigEndian.store64(metricID, at: target + length)
            return length + 8
        }

        var target = items.reserve(fixed + SeriesRow.groupTagLength(name))
        var length = storeHead(target, name.tenant)
        length += SeriesRow.storeGroupTag(of: name, at: target + length)
        items.commit(finish(target, length))

        if SeriesRow.hasDot(group) {
            target = items.reserve(fixed + SeriesRow.reverseGroupTagLengthMax(group.count))
            length = storeHead(target, name.tenant)
            length += SeriesRow.storeReverseGroupTag(group, at: target + length)
            items.commit(finish(target, length))
        }

        for index in 0..<name.tagCount {
            let tag = name.tag(index)
            target = items.reserve(fixed + tag.count)
            length = storeHead(target, name.tenant)
            SeriesRow.copy(tag, to: target + length)
            items.commit(finish(target, length + tag.count))
        }

        for index in 0..<name.tagCount {
            let tag = name.tag(index)
            target = items.reserve(fixed + SeriesRow.compositePrefixLengthMax(name.escapedGroup.count) + tag.count)
            length = storeHead(target, name.tenant)
            length += SeriesRow.storeCompositePrefix(of: name, at: target + length)
            SeriesRow.copy(tag, to: target + length)
            items.commit(finish(target, length + tag.count))
        }
    }
}
