// RawNameCheck.swift - what is wrong with a raw metric name, in the words of the reference: clients show them.
//
//   accountID u32 | projectID u32 | { keyLength u16, key, valueLength u16, value }*

import StorageBytes

/// Looks at raw names that came over the wire.
public enum RawNameCheck {
    /// The problem of a malformed name, as an error text; nil for a good one.
    public static func problem(of name: UnsafeRawBufferPointer) -> String? {
        var cursor = ByteCursor(name)
        guard let reason = reason(&cursor) else { return nil }
        return "cannot unmarshal MetricNameRaw \(QuotedText.quote(name)): \(reason)"
    }

    private static func reason(_ cursor: inout ByteCursor) -> String? {
        for field in ["accountID", "projectID"] where (try? cursor.readBigEndian(UInt32.self)) == nil {
            return "not enough data for decoding \(field); got \(cursor.remaining) bytes; "
                + "\(Hex.encode(cursor.rest)); want at least 4 bytes"
        }
        while cursor.remaining > 0 {
            for field in ["key", "value"] {
                guard let length = try? cursor.readBigEndian(UInt16.self) else {
                    return "cannot decode \(field): too short src=\(Hex.encode(cursor.rest)); "
                        + "it must be at least 2 bytes"
                }
                guard (try? cursor.readBytes(Int(length))) != nil else {
                    return "cannot decode \(field): too short src=\(Hex.encode(cursor.rest)); "
                        + "it must be at least \(length) bytes"
                }
            }
        }
        return nil
    }
}
