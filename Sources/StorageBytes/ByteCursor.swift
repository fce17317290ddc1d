// ByteCursor.swift - checked decoding: a position that moves through borrowed bytes and never leaves them.
//
// Every read checks that enough bytes remain before it touches them, and compares lengths as unsigned 64-bit numbers,
// since corrupted data may announce 2^64-1 bytes. A failed read throws and leaves the position where it was.

/// Reads values from bytes that somebody else keeps alive.
public struct ByteCursor {
    /// The next byte to read.
    @inlinable public var position: UnsafeRawPointer { current }
    @usableFromInline var current: UnsafeRawPointer
    /// Behind the last byte.
    public let end: UnsafeRawPointer

    /// A cursor at the first of `bytes`, which must outlive it.
    @inlinable public init(_ bytes: UnsafeRawBufferPointer) {
        if let start = bytes.baseAddress {
            self.init(start: start, end: start + bytes.count)
        } else {
            let nothing = UnsafeRawPointer(bitPattern: 1).unsafelyUnwrapped
            self.init(start: nothing, end: nothing)
        }
    }

    @inlinable init(start: UnsafeRawPointer, end: UnsafeRawPointer) {
        current = start
        self.end = end
    }

    /// Bytes not read yet.
    @inlinable public var remaining: Int { end - position }

    /// The bytes not read yet.
    @inlinable public var rest: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: position, count: remaining) }

    @inlinable mutating func skip(_ count: Int) { current += count }

    /// Goes on at `address`, which lies between ``position`` and ``end``: for callers that have decoded some bytes their
    /// own way.
    @inlinable public mutating func move(to address: UnsafeRawPointer) {
        precondition(address >= current && address <= end, "a cursor moves out of its bytes")
        current = address
    }

    /// Reads one byte.
    @inlinable public mutating func readByte() throws(DecodeError) -> UInt8 {
        guard remaining >= 1 else { throw .truncated }
        let value = position.load(as: UInt8.self)
        skip(1)
        return value
    }

    /// Reads a fixed-width unsigned integer, big-endian.
    @inlinable public mutating func readBigEndian<Integer: FixedWidthInteger & UnsignedInteger>(
        _ type: Integer.Type
    ) throws(DecodeError) -> Integer {
        guard remaining >= MemoryLayout<Integer>.size else { throw .truncated }
        let value = Integer(bigEndian: position.loadUnaligned(as: Integer.self))
        skip(MemoryLayout<Integer>.size)
        return value
    }

    /// Reads a fixed-width signed integer: zigzag, then big-endian.
    @inlinable public mutating func readSigned64() throws(DecodeError) -> Int64 {
        ZigZag.decode(try readBigEndian(UInt64.self))
    }

    /// Reads a variable-length unsigned integer. Over-long forms are accepted, bits above bit 63 in the tenth byte
    /// are dropped (docs/format/encoding-primitives.md, 4).
    @inlinable public mutating func readVarint() throws(DecodeError) -> UInt64 {
        var address = position
        guard address < end else { throw .truncated }
        var byte = address.load(as: UInt8.self)
        if byte < 0x80 {
            skip(1)
            return UInt64(byte)
        }
        var value = UInt64(byte & 0x7F)
        var shift: UInt64 = 7
        while true {
            address += 1
            guard address < end else { throw .truncated }
            if shift == 70 { throw .overlongVarint }
            byte = address.load(as: UInt8.self)
            value |= UInt64(byte & 0x7F) << shift
            shift += 7
            if byte < 0x80 { break }
        }
        skip(address - position + 1)
        return value
    }

    /// Reads a variable-length signed integer.
    @inlinable public mutating func readSignedVarint() throws(DecodeError) -> Int64 {
        ZigZag.decode(try readVarint())
    }

    /// Reads `count` bytes without copying them.
    @inlinable public mutating func readBytes(_ count: Int) throws(DecodeError) -> UnsafeRawBufferPointer {
        guard count >= 0, count <= remaining else { throw .truncated }
        let bytes = UnsafeRawBufferPointer(start: position, count: count)
        skip(count)
        return bytes
    }

    /// Reads length-prefixed bytes without copying them.
    @inlinable public mutating func readPrefixed() throws(DecodeError) -> UnsafeRawBufferPointer {
        let start = position
        let count = try readVarint()
        guard count <= UInt64(remaining) else {
            current = start
            throw .truncated
        }
        return try readBytes(Int(count))
    }

    /// Throws unless all the bytes have been read.
    @inlinable public func finish() throws(DecodeError) {
        guard position == end else { throw .trailingBytes }
    }
}
