// RawName.swift - the raw form of metric names (docs/format/series-index.md, 2.2).
//
//   account u32 | project u32 | per label: keyLength u16, key, valueLength u16, value      all big-endian
//
// The metric name is the label with the empty key; it comes first.

import StorageBytes

/// Writing and reading raw metric names.
public enum RawName {
    /// Bytes of the tenant in front.
    static let tenantBytes = 8
    /// Bytes of the two lengths of a label.
    static let labelBytes = 4

    static func length(_ count: Int) -> [UInt8] {
        [UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count)]
    }

    /// Appends a label. Key and value have at most 65535 bytes.
    static func append(key: [UInt8], value: [UInt8], to buffer: inout RawBuffer) {
        precondition(key.count <= 65_535 && value.count <= 65_535, "a label of \(key.count) + \(value.count) bytes")
        buffer.appendBigEndian(UInt16(key.count))
        buffer.append(key)
        buffer.appendBigEndian(UInt16(value.count))
        buffer.append(value)
    }

    /// Calls `body` with key and value of each label, in order; the key of the metric name is empty.
    /// Throws `.truncated` when the bytes are not a raw name.
    public static func forEachLabel(
        _ name: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) throws(DecodeError) {
        var cursor = ByteCursor(name)
        _ = try cursor.readBigEndian(UInt64.self)
        while cursor.remaining > 0 {
            let key = try cursor.readBytes(Int(try cursor.readBigEndian(UInt16.self)))
            let value = try cursor.readBytes(Int(try cursor.readBigEndian(UInt16.self)))
            body(key, value)
        }
    }

    /// Account and project of a raw name.
    public static func tenant(_ name: UnsafeRawBufferPointer) throws(DecodeError) -> (account: UInt32, project: UInt32)
    {
        var cursor = ByteCursor(name)
        return (try cursor.readBigEndian(UInt32.self), try cursor.readBigEndian(UInt32.self))
    }
}
