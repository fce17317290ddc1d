// SearchQuery.swift - which series and times a call is about (docs/format/cluster-rpc.md, 5.4).
//
//   accountID u32 | projectID u32 | minTimestamp varint | maxTimestamp varint | varuint groups
//   per group: varuint filters | per filter: bytesv key | bytesv value | u8 flags (1 regexp, 2 negative)
//
// Groups are alternatives; the filters of a group must all match. Threads: plain values.

import StorageBytes

/// A range of time, both ends included, in Unix milliseconds. May be inverted: the calls say what that means.
public struct WireTimeRange: Sendable, Equatable {
    /// First and last moment.
    public var minMs: Int64, maxMs: Int64

    /// A range.
    public init(minMs: Int64, maxMs: Int64) {
        self.minMs = minMs
        self.maxMs = maxMs
    }
}

/// Filters and a range of time.
public struct SearchQuery: Sendable, Equatable {
    /// One condition on a label.
    public struct Filter: Sendable, Equatable {
        /// Name of the label; empty is the metric name.
        public var key: [UInt8]
        /// Value or regular expression.
        public var value: [UInt8]
        /// What kind of condition it is.
        public var isRegexp: Bool, isNegative: Bool

        /// A filter.
        public init(key: [UInt8], value: [UInt8], isRegexp: Bool = false, isNegative: Bool = false) {
            self.key = key
            self.value = value
            self.isRegexp = isRegexp
            self.isNegative = isNegative
        }
    }

    /// Whose series.
    public var tenant: Tenant
    /// When.
    public var range: WireTimeRange
    /// The alternatives.
    public var groups: [[Filter]]

    /// A query.
    public init(tenant: Tenant, range: WireTimeRange, groups: [[Filter]]) {
        self.tenant = tenant
        self.range = range
        self.groups = groups
    }

    /// Bytes of memory for each byte of an encoded query, at most. The worst are groups of one filter with a key and a value of
    /// one byte: 6 bytes become three arrays of 64, 48 and 48 bytes, and a place in a list that doubles.
    public static let memoryFactor = 32

    /// Decodes a query that takes all of `bytes`.
    ///
    /// - Throws: `.truncated`, `.overlongVarint`, `.unknownValue` for flags above 3, `.trailingBytes`. Counts reserve no
    ///   memory: each filter has at least three bytes, each group one.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(DecodeError) {
        var cursor = ByteCursor(bytes)
        tenant = Tenant(bits: try cursor.readBigEndian(UInt64.self))
        range = WireTimeRange(minMs: try cursor.readSignedVarint(), maxMs: try cursor.readSignedVarint())
        let groupCount = try cursor.readVarint()
        guard groupCount <= UInt64(cursor.remaining) else { throw .truncated }
        groups = []
        for _ in 0..<groupCount {
            let filterCount = try cursor.readVarint()
            guard filterCount <= UInt64(cursor.remaining) else { throw .truncated }
            var filters: [Filter] = []
            for _ in 0..<filterCount {
                let key = [UInt8](try cursor.readPrefixed())
                let value = [UInt8](try cursor.readPrefixed())
                let flags = try cursor.readByte()
                guard flags <= 3 else { throw .unknownValue }
                filters.append(
                    Filter(key: key, value: value, isRegexp: flags & 1 != 0, isNegative: flags & 2 != 0))
            }
            groups.append(filters)
        }
        try cursor.finish()
    }

    /// Appends the encoded query.
    public func encode(to target: inout RawBuffer) {
        target.appendBigEndian(tenant.bits)
        target.appendSignedVarint(range.minMs)
        target.appendSignedVarint(range.maxMs)
        target.appendVarint(UInt64(groups.count))
        for group in groups {
            target.appendVarint(UInt64(group.count))
            for filter in group {
                filter.key.withUnsafeBytes { target.appendPrefixed($0) }
                filter.value.withUnsafeBytes { target.appendPrefixed($0) }
                target.append((filter.isRegexp ? 1 : 0) | (filter.isNegative ? 2 : 0) as UInt8)
            }
        }
    }
}
