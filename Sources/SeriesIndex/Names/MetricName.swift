// MetricName.swift - a metric name as plain fields: for answers, logs and tests, not for the write path.
//
// The write path works on bytes in place (CanonicalName.swift). Here every part is an array of its own, which is what
// code wants that shows a name to somebody: a search result, a log line, a label list.

import Mergeset
import StorageBytes

/// The fields of a metric name (docs/format/series-index.md, 2.1). Keys, values and the group are arbitrary bytes.
public struct MetricName: Hashable, Sendable {
    /// A label other than the metric group.
    public struct Tag: Hashable, Sendable {
        /// The key, unescaped.
        public var key: [UInt8]
        /// The value, unescaped.
        public var value: [UInt8]

        /// A tag of the given bytes.
        public init(key: [UInt8], value: [UInt8]) {
            self.key = key
            self.value = value
        }
    }

    /// Whose name it is.
    public var tenant: Tenant
    /// The metric group: the value of `__name__`. May be empty.
    public var group: [UInt8]
    /// The tags, in the order of where they came from.
    public var tags: [Tag]

    /// A name of the given fields.
    public init(tenant: Tenant, group: [UInt8], tags: [Tag]) {
        self.tenant = tenant
        self.group = group
        self.tags = tags
    }

    /// The fields of a raw name, tags in the order they are written: the last empty key gives the group, literal
    /// `__name__` labels are appended to the group as it is at their place (docs/format/series-index.md, 2.6).
    ///
    /// - Throws: `.truncated`.
    public init(raw: UnsafeRawBufferPointer) throws(DecodeError) {
        var reader = try RawMetricNameReader(raw)
        self.init(tenant: reader.tenant, group: [], tags: [])
        while let label = try reader.next() {
            if label.key.isEmpty {
                group = [UInt8](label.value)
            } else if label.key.elementsEqual("__name__".utf8) {
                group += label.value
            } else {
                tags.append(Tag(key: [UInt8](label.key), value: [UInt8](label.value)))
            }
        }
    }

    /// The fields of a canonical name, tags in stored order (docs/format/series-index.md, 2.7).
    ///
    /// - Throws: `.truncated`, `.missingTerminator`, `.badEscape`.
    public init(canonical: UnsafeRawBufferPointer) throws(DecodeError) {
        var reader = try CanonicalNameReader(canonical)
        self.init(tenant: reader.tenant, group: try MetricName.plain(reader.escapedGroup), tags: [])
        while let tag = try reader.next() {
            tags.append(Tag(key: try MetricName.plain(tag.key), value: try MetricName.plain(tag.value)))
        }
    }

    private static func plain(_ escaped: UnsafeRawBufferPointer) throws(DecodeError) -> [UInt8] {
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: escaped.count + 1, alignment: 1)
        defer { room.deallocate() }
        guard let target = room.baseAddress else { return [] }
        return [UInt8](room[..<(try TagEscape.unescape(escaped, at: target))])
    }

    /// Appends the stored form of the fields as they are: tags are neither sorted nor checked for duplicates.
    public func appendCanonical(to target: inout RawBuffer) {
        target.appendBigEndian(tenant.bits)
        MetricName.appendEscaped(group, to: &target)
        for tag in tags {
            MetricName.appendEscaped(tag.key, to: &target)
            MetricName.appendEscaped(tag.value, to: &target)
        }
    }

    private static func appendEscaped(_ bytes: [UInt8], to target: inout RawBuffer) {
        target.reserve(2 * bytes.count + TagEscape.storeSlack)
        let length = bytes.withUnsafeBytes { source -> Int in
            guard let start = source.baseAddress else { return 0 }
            return TagEscape.store(start, source.count, readableTo: start + source.count, at: target.end)
        }
        target.commit(length)
        target.append(TagEscape.terminator)
    }
}
