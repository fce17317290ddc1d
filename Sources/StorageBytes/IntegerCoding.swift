// IntegerCoding.swift - the integers of the formats (docs/format/encoding-primitives.md, 2 to 5).
//
//   fixed width   big-endian; signed values are zigzag-mapped first
//   varint        7 bits a byte, least significant group first, bit 7 = "more follows"; 1 to 10 bytes
//
// Fixed-width integers keep their order under bytewise comparison, which is what makes them usable in keys.

/// The mapping of signed to unsigned integers: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...
public enum ZigZag {
    /// The unsigned number that stands for `value`.
    @inlinable public static func encode(_ value: Int64) -> UInt64 {
        UInt64(bitPattern: (value << 1) ^ (value >> 63))
    }
    /// The signed number that `value` stands for.
    @inlinable public static func decode(_ value: UInt64) -> Int64 {
        Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }
    /// The 16-bit form of ``encode(_:)-(Int64)``.
    @inlinable public static func encode(_ value: Int16) -> UInt16 {
        UInt16(bitPattern: (value << 1) ^ (value >> 15))
    }
    /// The 16-bit form of ``decode(_:)-(UInt64)``.
    @inlinable public static func decode(_ value: UInt16) -> Int16 {
        Int16(bitPattern: value >> 1) ^ -Int16(bitPattern: value & 1)
    }
}

/// Variable-length unsigned integers.
public enum Varint {
    /// The longest encoding in bytes.
    public static let lengthMax = 10

    /// Bytes of the shortest encoding of `value`, 1 to 10.
    @inlinable public static func length(_ value: UInt64) -> Int {
        // 9/64 of the bit width, rounded up: exact for 1...64 bits.
        value == 0 ? 1 : ((64 &- value.leadingZeroBitCount) &* 9 &+ 64) >> 6
    }

    /// Writes the shortest encoding to `target`, which has room for ``lengthMax`` bytes; returns its length.
    @inlinable public static func store(_ value: UInt64, at target: UnsafeMutableRawPointer) -> Int {
        var rest = value
        var length = 0
        while rest >= 0x80 {
            target.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, toByteOffset: length, as: UInt8.self)
            rest >>= 7
            length &+= 1
        }
        target.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: length, as: UInt8.self)
        return length &+ 1
    }
}

/// Loads and stores of big-endian integers at raw addresses.
public enum BigEndian {
    /// Reads 8 bytes. The caller guarantees that they are readable.
    @inlinable public static func load64(_ address: UnsafeRawPointer) -> UInt64 {
        UInt64(bigEndian: address.loadUnaligned(as: UInt64.self))
    }
    /// Reads 4 bytes. The caller guarantees that they are readable.
    @inlinable public static func load32(_ address: UnsafeRawPointer) -> UInt32 {
        UInt32(bigEndian: address.loadUnaligned(as: UInt32.self))
    }
    /// Writes 8 bytes. The caller guarantees that they are writable.
    @inlinable public static func store64(_ value: UInt64, at address: UnsafeMutableRawPointer) {
        address.storeBytes(of: value.bigEndian, as: UInt64.self)
    }
    /// Writes 4 bytes. The caller guarantees that they are writable.
    @inlinable public static func store32(_ value: UInt32, at address: UnsafeMutableRawPointer) {
        address.storeBytes(of: value.bigEndian, as: UInt32.self)
    }
}
