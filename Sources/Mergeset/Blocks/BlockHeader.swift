// BlockHeader.swift - where a data block lies in its part and what it starts with (docs/format/mergeset-table.md, 4.1).
//
//   bytes(common prefix) | bytes(first item) | u8 marshal type | u32 items count
//   | u64 offset in items.bin | u64 offset in lens.bin | u32 size of items data | u32 size of lens data
//
// 29 bytes and the two strings. Headers of consecutive blocks make up an index block; their offsets are contiguous.

import StorageBytes

/// How the items of a block are stored (docs/format/mergeset-table.md, 3).
public enum MarshalType: UInt8, Sendable {
    /// As they are.
    case plain = 0
    /// Prefix-coded, then compressed.
    case zstd = 1
}

/// The fixed-width fields of a block header; the two strings are kept apart.
public struct BlockHeader: Sendable, Equatable {
    /// How the items are stored.
    public var marshalType: MarshalType
    /// Items in the block, the first one included; at least 1.
    public var itemsCount: UInt32
    /// First byte of the items data in `items.bin`, and of the lens data in `lens.bin`.
    public var itemsOffset: UInt64, lensOffset: UInt64
    /// Sizes in bytes, as stored.
    public var itemsSize: UInt32, lensSize: UInt32

    /// Bytes of the encoding besides the strings.
    static let fixedBytes = 1 + 4 + 8 + 8 + 4 + 4

    /// A header.
    public init(
        marshalType: MarshalType, itemsCount: UInt32, itemsOffset: UInt64, lensOffset: UInt64, itemsSize: UInt32,
        lensSize: UInt32
    ) {
        self.marshalType = marshalType
        self.itemsCount = itemsCount
        self.itemsOffset = itemsOffset
        self.lensOffset = lensOffset
        self.itemsSize = itemsSize
        self.lensSize = lensSize
    }

    /// Appends the encoding.
    public func encode(
        commonPrefix: UnsafeRawBufferPointer, firstItem: UnsafeRawBufferPointer, into target: inout RawBuffer
    ) {
        target.appendPrefixed(commonPrefix)
        target.appendPrefixed(firstItem)
        target.append(marshalType.rawValue)
        target.appendBigEndian(itemsCount)
        target.appendBigEndian(itemsOffset)
        target.appendBigEndian(lensOffset)
        target.appendBigEndian(itemsSize)
        target.appendBigEndian(lensSize)
    }

    /// Reads one header. The strings point into the cursor's bytes.
    ///
    /// - Throws: `.truncated` and varint errors; `.unknownValue` for the marshal type; `.outOfRange` for a count of zero,
    ///   for sizes beyond the limits, and for a string longer than an item; `.inconsistent` when the first item does not
    ///   start with the common prefix.
    public static func decode(
        _ cursor: inout ByteCursor
    ) throws(DecodeError) -> (
        header: BlockHeader, commonPrefix: UnsafeRawBufferPointer, firstItem: UnsafeRawBufferPointer
    ) {
        let commonPrefix = try cursor.readPrefixed()
        let firstItem = try cursor.readPrefixed()
        guard let type = MarshalType(rawValue: try cursor.readByte()) else { throw .unknownValue }
        let header = BlockHeader(
            marshalType: type, itemsCount: try cursor.readBigEndian(UInt32.self),
            itemsOffset: try cursor.readBigEndian(UInt64.self), lensOffset: try cursor.readBigEndian(UInt64.self),
            itemsSize: try cursor.readBigEndian(UInt32.self), lensSize: try cursor.readBigEndian(UInt32.self))
        guard header.itemsCount > 0, header.itemsSize <= Limits.itemsDataBytesMax,
            header.lensSize <= Limits.lensDataBytesMax, firstItem.count <= Limits.itemBytesMax
        else { throw .outOfRange }
        guard Bytes.starts(firstItem, with: commonPrefix) else { throw .inconsistent }
        return (header, commonPrefix, firstItem)
    }
}
