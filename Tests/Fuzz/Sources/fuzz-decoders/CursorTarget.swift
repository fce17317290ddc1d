// CursorTarget.swift - the checked cursor driven by its own input.
//
// The first byte of each step chooses a read, the rest of the input is read. Whatever the cursor hands out must lie
// inside the input, a failed read must not move it, and an accepted value must survive being encoded again.

import StorageBytes

@Sendable func fuzzCursor(_ input: UnsafeRawBufferPointer) {
    var cursor = ByteCursor(input)
    while let operation = try? cursor.readByte() {
        let before = cursor.remaining
        do throws(DecodeError) {
            try step(&cursor, operation, input)
            require(cursor.remaining <= before, "the cursor went backwards")
        } catch {
            require(cursor.remaining == before, "a failed read moved the cursor: \(error)")
        }
    }
    require(cursor.remaining == 0, "bytes are left")
}

private func step(
    _ cursor: inout ByteCursor, _ operation: UInt8, _ input: UnsafeRawBufferPointer
) throws(DecodeError) {
    var again = RawBuffer()
    switch operation % 8 {
    case 0:
        let value = try cursor.readBigEndian(UInt64.self)
        again.appendBigEndian(value)
        require(BigEndian.load64(again.base) == value, "big-endian \(value)")
    case 1: _ = try cursor.readBigEndian(UInt32.self)
    case 2: _ = try cursor.readBigEndian(UInt16.self)
    case 3:
        let value = try cursor.readSigned64()
        require(ZigZag.decode(ZigZag.encode(value)) == value, "zigzag \(value)")
    case 4:
        let value = try cursor.readVarint()
        again.appendVarint(value)
        require(again.count == Varint.length(value), "length of varint \(value)")
        var second = ByteCursor(again.bytes)
        let decoded = try second.readVarint()
        require(decoded == value && second.remaining == 0, "varint \(value) became \(decoded)")
    case 5:
        let value = try cursor.readSignedVarint()
        again.appendSignedVarint(value)
        var second = ByteCursor(again.bytes)
        let decoded = try second.readSignedVarint()
        require(decoded == value, "signed varint \(value) became \(decoded)")
    case 6: check(try cursor.readPrefixed(), inside: input)
    default: check(try cursor.readBytes(Int(operation >> 3)), inside: input)
    }
}

/// The bytes lie inside the input and can be read, copied and compared.
private func check(_ bytes: UnsafeRawBufferPointer, inside input: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress, let first = input.baseAddress else { return }
    require(start >= first && start + bytes.count <= first + input.count, "bytes outside the input")
    let copy = RawBuffer(copying: bytes)
    require(Bytes.compare(copy.bytes, bytes) == 0, "a copy differs")
    require(Bytes.commonPrefix(copy.bytes, bytes) == bytes.count, "a copy shares less than everything")
    require(Hex.decode(Hex.encode(bytes)) == copy.array(), "hex")
}
