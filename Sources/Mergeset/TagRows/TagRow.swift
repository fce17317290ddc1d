// TagRow.swift - the rows "tag -> metric ids" as the table sees them: where the tag ends and the ids begin.
//
//   kind 1   | 01 | tenant 8 |        | key, escaped | 01 | value, escaped | 01 | id u64 | id u64 | ...
//   kind 6   | 06 | tenant 8 | date 8 | key, escaped | 01 | value, escaped | 01 | id u64 | id u64 | ...
//            |<--------------------------- prefix ---------------------------->|<------- ids ------->|
//
// The table knows these rows only to unite rows of one prefix while it merges (docs/format/mergeset-table.md, 13.2);
// what a tag means is the business of the room above. A row is parsed in place: a scan of eight bytes a step stops at
// bytes 00 and 01 only, checks each escape and copies nothing.
//
// A valid row has at least eight bytes behind the terminator of its value, so all eight-byte loads of its tag lie
// inside the row; the byte loop at the end of a scan only ever sees broken rows and short buffers.
//
// Threads: values and pure functions; a TagRow borrows the bytes it was made from.

import Glibc
import StorageBytes

/// Escaping of keys and values (docs/format/mergeset-table.md, 13.2; docs/format/series-index.md, 2.4):
/// 00 -> 00 30, 01 -> 00 31, 02 -> 00 32, all other bytes as they are.
public enum TagEscape {
    /// Starts an escape; never stands for itself in escaped bytes.
    public static let escape: UInt8 = 0x00
    /// Ends a key, a value or a metric group.
    public static let terminator: UInt8 = 0x01
    /// Stands between the name and the TSID in rows of kind 0.
    public static let separator: UInt8 = 0x02
    /// Bytes behind the longest result that ``store(_:_:readableTo:at:)`` may overwrite.
    public static let storeSlack = 8

    // In each lane the top bit is set where the byte is below the bound; borrows can only spoil lanes above a true hit,
    // so "any" and "the lowest" are exact.
    @inlinable static func lanesBelow3(_ word: UInt64) -> UInt64 {
        (word &- 0x0303_0303_0303_0303) & ~word & 0x8080_8080_8080_8080
    }
    @inlinable static func lanesBelow2(_ word: UInt64) -> UInt64 {
        (word &- 0x0202_0202_0202_0202) & ~word & 0x8080_8080_8080_8080
    }
    @inlinable static func isCode(_ byte: UInt8) -> Bool { byte &- 0x30 < 3 }

    /// Bytes that `source` has once it is escaped.
    public static func length(_ source: UnsafeRawBufferPointer) -> Int {
        var length = source.count
        for byte in source where byte <= separator { length &+= 1 }
        return length
    }

    /// Escapes `count` bytes to `target` and returns the length of the result.
    ///
    /// - Parameters:
    ///   - end: Behind the last byte that may be read, at or behind the end of the source; a short source is copied
    ///     in one step when eight bytes may be read.
    ///   - target: Room for `2 * count + storeSlack` bytes, apart from the source.
    @inlinable public static func store(
        _ source: UnsafeRawPointer, _ count: Int, readableTo end: UnsafeRawPointer, at target: UnsafeMutableRawPointer
    ) -> Int {
        var special: UInt64 = 0
        if count >= 8 {
            let last = count &- 8
            var index = 0
            while index < last {
                let word = source.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                target.storeBytes(of: word, toByteOffset: index, as: UInt64.self)
                special |= lanesBelow3(word)
                index &+= 8
            }
            // The last step ends with the source and may repeat bytes of the step before it.
            let word = source.loadUnaligned(fromByteOffset: last, as: UInt64.self)
            target.storeBytes(of: word, toByteOffset: last, as: UInt64.self)
            special |= lanesBelow3(word)
        } else if end - source >= 8 {
            let word = UInt64(littleEndian: source.loadUnaligned(as: UInt64.self))
            target.storeBytes(of: word.littleEndian, as: UInt64.self)
            special = lanesBelow3(word | (~0 << UInt64(8 &* count)))
        } else {
            special = 1
        }
        return special == 0 ? count : storeByByte(source, count, at: target)
    }

    @usableFromInline @inline(never) static func storeByByte(
        _ source: UnsafeRawPointer, _ count: Int, at target: UnsafeMutableRawPointer
    ) -> Int {
        var length = 0
        for index in 0..<count {
            let byte = source.load(fromByteOffset: index, as: UInt8.self)
            if byte <= separator {
                target.storeBytes(of: escape, toByteOffset: length, as: UInt8.self)
                target.storeBytes(of: byte | 0x30, toByteOffset: length &+ 1, as: UInt8.self)
                length &+= 2
            } else {
                target.storeBytes(of: byte, toByteOffset: length, as: UInt8.self)
                length &+= 1
            }
        }
        return length
    }

    /// Undoes ``store(_:_:readableTo:at:)`` for one key, value or group without its terminator; returns the length.
    /// `target` has room for as many bytes as the source has, and is apart from it. A lone 02 is accepted.
    public static func unescape(
        _ source: UnsafeRawBufferPointer, at target: UnsafeMutableRawPointer
    ) throws(DecodeError) -> Int {
        guard let start = source.baseAddress else { return 0 }
        guard memchr(start, CInt(escape), source.count) != nil else {
            target.copyMemory(from: start, byteCount: source.count)
            return source.count
        }
        var length = 0
        var index = 0
        while index < source.count {
            var byte = source[index]
            if byte == escape {
                index &+= 1
                guard index < source.count, isCode(source[index]) else { throw .badEscape }
                byte = source[index] & 3
            }
            target.storeBytes(of: byte, toByteOffset: length, as: UInt8.self)
            length &+= 1
            index &+= 1
        }
        return length
    }

    /// Address of the terminator that ends the key, value or group starting at `start`; every escape before it is
    /// checked. Reads nothing at or behind `end`.
    ///
    /// - Throws: `.missingTerminator` when there is none before `end`; `.badEscape` for an unknown or cut escape.
    @inlinable public static func fieldEnd(
        from start: UnsafeRawPointer, to end: UnsafeRawPointer
    ) throws(DecodeError) -> UnsafeRawPointer {
        var address = start
        while end - address >= 8 {
            let hits = lanesBelow2(UInt64(littleEndian: address.loadUnaligned(as: UInt64.self)))
            if hits == 0 {
                address += 8
                continue
            }
            address += hits.trailingZeroBitCount >> 3
            if address.load(as: UInt8.self) == terminator { return address }
            guard end - address >= 2, isCode(address.load(fromByteOffset: 1, as: UInt8.self)) else { throw .badEscape }
            address += 2
        }
        while address < end {
            let byte = address.load(as: UInt8.self)
            if byte == terminator { return address }
            if byte == escape {
                guard end - address >= 2, isCode(address.load(fromByteOffset: 1, as: UInt8.self)) else {
                    throw .badEscape
                }
                address += 1
            }
            address += 1
        }
        throw .missingTerminator
    }
}

/// A checked row of kind 1 or 6, borrowed from the bytes it was parsed from
/// (docs/format/mergeset-table.md, 13.2; docs/format/series-index.md, 4.5).
@frozen public struct TagRow {
    /// First byte of the row.
    public let start: UnsafeRawPointer
    /// Offset of the terminator behind the escaped key.
    public let keyEnd: Int
    /// Bytes before the ids: kind, tenant, date (kind 6 only) and tag. Rows of one prefix may be united.
    public let prefixLength: Int
    /// Ids in the row, at least 1. They need not be sorted or unique.
    public let idCount: Int

    /// Kind of the rows that hold for all dates.
    public static let globalKind: UInt8 = 1
    /// Kind of the rows that hold for one date.
    public static let perDayKind: UInt8 = 6

    /// Offset of the tag in a row of `kind`: kind and tenant, for kind 6 the date too.
    @inlinable public static func tagOffset(kind: UInt8) -> Int { kind == perDayKind ? 17 : 9 }

    /// Parses a row of kind 1 or 6.
    ///
    /// - Throws: `.unknownValue` for another kind, `.truncated` when the tenant, the date or the ids are missing,
    ///   `.missingTerminator` and `.badEscape` for a broken tag, `.trailingBytes` when the ids are not a multiple of
    ///   eight bytes.
    /// - Complexity: one scan of the tag, eight bytes a step; nothing is copied.
    @inlinable public init(_ row: UnsafeRawBufferPointer) throws(DecodeError) {
        guard let start = row.baseAddress, row.count >= 1 else { throw .truncated }
        let kind = start.load(as: UInt8.self)
        guard kind == TagRow.globalKind || kind == TagRow.perDayKind else { throw .unknownValue }
        let tag = TagRow.tagOffset(kind: kind)
        guard row.count >= tag else { throw .truncated }
        let end = start + row.count
        let keyEnd = try TagEscape.fieldEnd(from: start + tag, to: end)
        let valueEnd = try TagEscape.fieldEnd(from: keyEnd + 1, to: end)
        self.start = start
        self.keyEnd = keyEnd - start
        prefixLength = valueEnd - start &+ 1
        let idBytes = row.count &- prefixLength
        idCount = idBytes >> 3
        guard idBytes > 0 else { throw .truncated }
        guard idBytes & 7 == 0 else { throw .trailingBytes }
    }

    /// Parses a row that has to be of the given kind; another kind is `.unknownValue`.
    @inlinable public init(_ row: UnsafeRawBufferPointer, kind: UInt8) throws(DecodeError) {
        guard row.count >= 1 else { throw .truncated }
        guard row[0] == kind else { throw .unknownValue }
        try self.init(row)
    }

    /// 1 for a row of all dates, 6 for a row of one date.
    @inlinable public var kind: UInt8 { start.load(as: UInt8.self) }
    /// First half of the tenant.
    @inlinable public var accountID: UInt32 { BigEndian.load32(start + 1) }
    /// Second half of the tenant.
    @inlinable public var projectID: UInt32 { BigEndian.load32(start + 5) }
    /// Days since 1970-01-01; 0 for rows of kind 1.
    @inlinable public var date: UInt64 { kind == TagRow.perDayKind ? BigEndian.load64(start + 9) : 0 }

    /// Everything before the ids.
    @inlinable public var prefix: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: prefixLength) }
    /// The key as it is stored, escaped, without its terminator.
    @inlinable public var escapedKey: UnsafeRawBufferPointer {
        let offset = TagRow.tagOffset(kind: kind)
        return UnsafeRawBufferPointer(start: start + offset, count: keyEnd &- offset)
    }
    /// The value as it is stored, escaped, without its terminator.
    @inlinable public var escapedValue: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: start + keyEnd + 1, count: prefixLength &- keyEnd &- 2)
    }
    /// First byte of the ids; ``idCount`` times eight bytes, big-endian.
    @inlinable public var ids: UnsafeRawPointer { start + prefixLength }

    /// The id at `index`, which is in `0..<idCount` (not checked in release builds).
    @inlinable public func id(_ index: Int) -> UInt64 {
        assert(index >= 0 && index < idCount)
        return BigEndian.load64(ids + index &* 8)
    }
}
