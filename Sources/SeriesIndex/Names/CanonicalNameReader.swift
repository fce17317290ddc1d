// CanonicalNameReader.swift - checked reading of canonical names, part by part and in place
// (docs/format/series-index.md, 2.4 and 2.7).
//
//   | tenant 8 | esc(group) | 01 | esc(k1) | 01 | esc(v1) | 01 | ...
//
// Parts are given as they are stored, escaped, with every escape checked; `TagEscape.unescape` turns them into plain
// bytes. Order and uniqueness of the tags are not checked, and a lone 02 is accepted: old data may have both.
//
// Threads: one owner at a time; borrows the bytes it reads.

import Mergeset
import StorageBytes

/// Reads the parts of a canonical name in order.
public struct CanonicalNameReader {
    private var position: UnsafeRawPointer
    private let end: UnsafeRawPointer
    /// The tenant in front of the name.
    public let tenant: Tenant
    /// The metric group, escaped, without its terminator.
    public let escapedGroup: UnsafeRawBufferPointer

    /// A reader of `canonical`, which must outlive it.
    ///
    /// - Throws: `.truncated` with less than a tenant, `.missingTerminator` or `.badEscape` for a broken group.
    public init(_ canonical: UnsafeRawBufferPointer) throws(DecodeError) {
        guard let start = canonical.baseAddress, canonical.count >= Tenant.storedBytes else { throw .truncated }
        tenant = Tenant(bits: BigEndian.load64(start))
        end = start + canonical.count
        let group = start + Tenant.storedBytes
        let groupEnd = try TagEscape.fieldEnd(from: group, to: end)
        escapedGroup = UnsafeRawBufferPointer(start: group, count: groupEnd - group)
        position = groupEnd + 1
    }

    /// The next tag, escaped, without terminators; nil behind the last one.
    ///
    /// - Throws: `.missingTerminator` or `.badEscape` for a broken key or value.
    public mutating func next() throws(DecodeError) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? {
        guard position < end else { return nil }
        let key = position
        let keyEnd = try TagEscape.fieldEnd(from: key, to: end)
        let value = keyEnd + 1
        let valueEnd = try TagEscape.fieldEnd(from: value, to: end)
        position = valueEnd + 1
        return (
            UnsafeRawBufferPointer(start: key, count: keyEnd - key),
            UnsafeRawBufferPointer(start: value, count: valueEnd - value)
        )
    }
}
