// SeriesRow.swift - one row of the index at a time, written to a raw address.
//
//   0   00 | NAME | 02 | TSID 32                          name -> TSID
//   1   01 | tenant 8 | TAG | metricID 8                  tag -> ids (TagRow.swift)
//   2   02 | tenant 8 | metricID 8 | TSID 32              id -> TSID
//   3   03 | tenant 8 | metricID 8 | NAME                 id -> name
//   4   04 | metricID 8                                   tombstone
//   5   05 | tenant 8 | date 8 | metricID 8               day -> id
//   6   06 | tenant 8 | date 8 | TAG | metricID 8         (day, tag) -> ids
//
//   NAME = canonical name with its tenant            TAG = esc(key) 01 esc(value) 01
//
// Numbers are big-endian (docs/format/series-index.md, 4.1). Besides the tags of a series, rows of kinds 1 and 6 exist
// for three artificial ones: its group under the empty key, the reversed group under FF when it has a dot, and each tag
// once more under the composite key FE uvarint(len(G)) G key. A composite key is escaped as one unit; since escaping
// goes byte by byte, that is a prefix which depends on the group only, followed by TAG.
//
// Contract of every store: `target` has room for the length that is named beside it, and does not overlap the input;
// the result is the number of bytes written. Nothing is checked here; SeriesRows.checkLength comes first.
// Threads: pure functions.

import Glibc
import Mergeset
import StorageBytes

/// The first byte of a row.
public enum RowKind {
    /// Name to TSID.
    public static let nameToTSID: UInt8 = 0
    /// Tag to metric ids.
    public static let tagToIDs: UInt8 = 1
    /// Metric id to TSID.
    public static let idToTSID: UInt8 = 2
    /// Metric id to name.
    public static let idToName: UInt8 = 3
    /// Deleted metric id.
    public static let tombstone: UInt8 = 4
    /// Day to metric id.
    public static let dateToID: UInt8 = 5
    /// Day and tag to metric ids.
    public static let dateTagToIDs: UInt8 = 6
}

/// Writers of single rows and their parts.
public enum SeriesRow {
    /// First byte of the key of a composite tag.
    public static let compositeMark: UInt8 = 0xFE
    /// The key of the reversed group.
    public static let reverseMark: UInt8 = 0xFF

    /// Bytes of an id -> TSID row.
    public static let idToTSIDLength = 49
    /// Bytes of a tombstone.
    public static let tombstoneLength = 9
    /// Bytes of a day -> id row.
    public static let dateToIDLength = 25
    /// Bytes before the tag in a tag -> ids row.
    public static let tagHeadLength = 9
    /// Bytes before the tag in a (day, tag) -> ids row.
    public static let dateTagHeadLength = 17

    /// Bytes of a name -> TSID row for a name of `nameCount` bytes.
    @inlinable public static func nameToTSIDLength(_ nameCount: Int) -> Int { nameCount &+ 34 }
    /// Bytes of an id -> name row for a name of `nameCount` bytes.
    @inlinable public static func idToNameLength(_ nameCount: Int) -> Int { nameCount &+ idToNameHeadLength }
    /// Bytes of an id -> name row before the name.
    public static let idToNameHeadLength = 17
    /// Where the name lies in a name -> TSID row.
    @inlinable public static func nameRange(_ nameCount: Int) -> Range<Int> { 1..<(nameCount &+ 1) }
    /// Most bytes of a composite prefix for an escaped group of `escapedGroupCount` bytes without its terminator.
    @inlinable public static func compositePrefixLengthMax(_ escapedGroupCount: Int) -> Int {
        escapedGroupCount &+ 1 &+ 2 &* Varint.lengthMax
    }
    /// Most bytes that ``storeReverseGroupTag(_:at:)`` needs for an unescaped group of `groupCount` bytes.
    @inlinable public static func reverseGroupTagLengthMax(_ groupCount: Int) -> Int { 2 &* groupCount &+ 3 }

    /// Writes a name -> TSID row; ``nameToTSIDLength(_:)``. `name` is a canonical name with its tenant.
    @inlinable public static func storeNameToTSID(
        _ name: UnsafeRawBufferPointer, _ tsid: TSID, at target: UnsafeMutableRawPointer
    ) -> Int {
        target.storeBytes(of: RowKind.nameToTSID, as: UInt8.self)
        copy(name, to: target + 1)
        let tail = target + 1 + name.count
        tail.storeBytes(of: TagEscape.separator, as: UInt8.self)
        tsid.store(at: tail + 1)
        return nameToTSIDLength(name.count)
    }

    /// Writes an id -> name row; ``idToNameLength(_:)``. `name` is a canonical name with its tenant.
    @inlinable public static func storeIDToName(
        _ tenant: Tenant, _ metricID: UInt64, _ name: UnsafeRawBufferPointer, at target: UnsafeMutableRawPointer
    ) -> Int {
        copy(name, to: target + storeIDToNameHead(tenant, metricID, at: target))
        return idToNameLength(name.count)
    }

    /// Writes an id -> name row up to the name; ``idToNameHeadLength``.
    @inlinable public static func storeIDToNameHead(
        _ tenant: Tenant, _ metricID: UInt64, at target: UnsafeMutableRawPointer
    ) -> Int {
        target.storeBytes(of: RowKind.idToName, as: UInt8.self)
        BigEndian.store64(tenant.bits, at: target + 1)
        BigEndian.store64(metricID, at: target + 9)
        return idToNameHeadLength
    }

    /// Writes an id -> TSID row; ``idToTSIDLength``.
    @inlinable public static func storeIDToTSID(_ tsid: TSID, at target: UnsafeMutableRawPointer) -> Int {
        target.storeBytes(of: RowKind.idToTSID, as: UInt8.self)
        BigEndian.store64(tsid.tenant.bits, at: target + 1)
        BigEndian.store64(tsid.metricID, at: target + 9)
        tsid.store(at: target + 17)
        return idToTSIDLength
    }

    /// Writes a day -> id row; ``dateToIDLength``. `date` counts days since 1970-01-01.
    @inlinable public static func storeDateToID(
        _ tenant: Tenant, date: UInt64, _ metricID: UInt64, at target: UnsafeMutableRawPointer
    ) -> Int {
        target.storeBytes(of: RowKind.dateToID, as: UInt8.self)
        BigEndian.store64(tenant.bits, at: target + 1)
        BigEndian.store64(date, at: target + 9)
        BigEndian.store64(metricID, at: target + 17)
        return dateToIDLength
    }

    /// Writes a tombstone; ``tombstoneLength``.
    @inlinable public static func storeTombstone(_ metricID: UInt64, at target: UnsafeMutableRawPointer) -> Int {
        target.storeBytes(of: RowKind.tombstone, as: UInt8.self)
        BigEndian.store64(metricID, at: target + 1)
        return tombstoneLength
    }

    /// Writes what stands before the tag in a tag -> ids row; ``tagHeadLength``.
    @inlinable public static func storeTagHead(_ tenant: Tenant, at target: UnsafeMutableRawPointer) -> Int {
        target.storeBytes(of: RowKind.tagToIDs, as: UInt8.self)
        BigEndian.store64(tenant.bits, at: target + 1)
        return tagHeadLength
    }

    /// Writes what stands before the tag in a (day, tag) -> ids row; ``dateTagHeadLength``.
    @inlinable public static func storeDateTagHead(
        _ tenant: Tenant, date: UInt64, at target: UnsafeMutableRawPointer
    ) -> Int {
        target.storeBytes(of: RowKind.dateTagToIDs, as: UInt8.self)
        BigEndian.store64(tenant.bits, at: target + 1)
        BigEndian.store64(date, at: target + 9)
        return dateTagHeadLength
    }

    /// Writes the escaped bytes of `FE uvarint(len(G)) G`: followed by TAG(k,v) they are the composite tag of the group
    /// and the tag. ``compositePrefixLengthMax(_:)``.
    /// - Parameters:
    ///   - groupCount: Bytes of the group before escaping.
    ///   - escapedGroup: The escaped group, without its terminator.
    @inlinable public static func storeCompositePrefix(
        groupCount: Int, escapedGroup: UnsafeRawBufferPointer, at target: UnsafeMutableRawPointer
    ) -> Int {
        target.storeBytes(of: compositeMark, as: UInt8.self)
        // The bytes of the length are escaped like any others: 0, 1 and 2 can occur, the last two also at the end of a
        // longer number.
        var length = 1
        var rest = UInt64(truncatingIfNeeded: groupCount)
        while rest >= 0x80 {
            target.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, toByteOffset: length, as: UInt8.self)
            rest >>= 7
            length &+= 1
        }
        if rest <= 2 {
            target.storeBytes(of: TagEscape.escape, toByteOffset: length, as: UInt8.self)
            rest |= 0x30
            length &+= 1
        }
        target.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: length, as: UInt8.self)
        length &+= 1
        copy(escapedGroup, to: target + length)
        return length &+ escapedGroup.count
    }

    /// Writes the composite prefix of a name's group; ``compositePrefixLengthMax(_:)`` of its escaped group.
    public static func storeCompositePrefix(
        of name: borrowing CanonicalName, at target: UnsafeMutableRawPointer
    ) -> Int {
        let escaped = name.escapedGroup
        return storeCompositePrefix(
            groupCount: name.group.count, escapedGroup: UnsafeRawBufferPointer(rebasing: escaped.dropLast()), at: target
        )
    }

    /// Bytes of the tag of a name's group.
    @inlinable public static func groupTagLength(_ name: borrowing CanonicalName) -> Int {
        1 &+ name.escapedGroup.count
    }

    /// Writes the tag of a name's group, `01 esc(G) 01`: its key is empty; ``groupTagLength(_:)``.
    @inlinable public static func storeGroupTag(
        of name: borrowing CanonicalName, at target: UnsafeMutableRawPointer
    ) -> Int {
        target.storeBytes(of: TagEscape.terminator, as: UInt8.self)
        copy(name.escapedGroup, to: target + 1)
        return groupTagLength(name)
    }

    /// Writes the tag of the reversed group, `FF 01 esc(reverse(G)) 01`; ``reverseGroupTagLengthMax(_:)``. Only series
    /// whose group has a dot get it, see ``hasDot(_:)``.
    public static func storeReverseGroupTag(
        _ group: UnsafeRawBufferPointer, at target: UnsafeMutableRawPointer
    ) -> Int {
        target.storeBytes(of: reverseMark, as: UInt8.self)
        target.storeBytes(of: TagEscape.terminator, toByteOffset: 1, as: UInt8.self)
        var length = 2
        var index = group.count
        while index > 0 {
            index &-= 1
            var byte = group[index]
            if byte <= TagEscape.separator {
                target.storeBytes(of: TagEscape.escape, toByteOffset: length, as: UInt8.self)
                length &+= 1
                byte |= 0x30
            }
            target.storeBytes(of: byte, toByteOffset: length, as: UInt8.self)
            length &+= 1
        }
        target.storeBytes(of: TagEscape.terminator, toByteOffset: length, as: UInt8.self)
        return length &+ 1
    }

    /// Tells whether a group has a dot and so a reversed form.
    @inlinable public static func hasDot(_ group: UnsafeRawBufferPointer) -> Bool {
        guard let start = group.baseAddress else { return false }
        return memchr(start, CInt(UInt8(ascii: ".")), group.count) != nil
    }

    @inlinable static func copy(_ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer) {
        if let start = source.baseAddress { target.copyMemory(from: start, byteCount: source.count) }
    }
}
