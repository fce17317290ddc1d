// RawMetricName.swift - names as they travel: nothing sorted, nothing escaped (docs/format/series-index.md, 2.2).
//
//   | accountID u32 | projectID u32 |  then per label:  | keyLen u16 | key | valLen u16 | value |
//
// The label with the empty key is the metric group. There is no count: a name ends where its bytes end. The writer
// applies the rules of the insert node (2.3), so that generated load cannot be told from real load; the storage node
// itself applies none of them.
//
// Threads: one owner at a time.

import StorageBytes

/// Reads the labels of a raw name in the order in which they were written.
public struct RawMetricNameReader {
    private var cursor: ByteCursor
    /// The tenant in front of the labels.
    public let tenant: Tenant

    /// A reader of `raw`, which must outlive it. Throws `.truncated` without a whole tenant.
    public init(_ raw: UnsafeRawBufferPointer) throws(DecodeError) {
        cursor = ByteCursor(raw)
        tenant = Tenant(bits: try cursor.readBigEndian(UInt64.self))
    }

    /// The next label, or nil behind the last one. Throws `.truncated` when a length or the bytes it announces are cut.
    public mutating func next() throws(DecodeError) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? {
        guard cursor.remaining > 0 else { return nil }
        let key = try cursor.readBytes(Int(try cursor.readBigEndian(UInt16.self)))
        let value = try cursor.readBytes(Int(try cursor.readBigEndian(UInt16.self)))
        return (key, value)
    }
}

/// Writes raw names as the insert node does (docs/format/series-index.md, 2.3): one `begin`, then `add` for every label
/// of the input in its order, the metric name among them under `__name__` or the empty key.
public struct RawMetricNameWriter: Sendable {
    /// What the rules have cut so far, over all names.
    public struct Counters: Sendable, Equatable {
        /// Names of which at least one label was dropped (`vm_metrics_with_dropped_labels_total`).
        public var droppedLabels: UInt64 = 0
        /// Keys cut to ``RawMetricNameWriter/keyBytesMax`` (`vm_too_long_label_names_total`).
        public var tooLongLabelNames: UInt64 = 0
        /// Values cut to the limit (`vm_too_long_label_values_total`).
        public var tooLongLabelValues: UInt64 = 0

        /// Nothing cut yet.
        public init() {}
    }

    /// Bytes of the longest key.
    public static let keyBytesMax = 256
    /// Labels of a name, positions of skipped labels included.
    public let labelsMax: Int
    /// Bytes of the longest value, at most 65535: the form has 16 bits for a length.
    public let valueBytesMax: Int
    /// What the rules have cut so far.
    public private(set) var counters = Counters()
    private var position = 0

    /// A writer with the limits of the insert node unless others are given. Limits below zero count as zero.
    public init(labelsMax: Int = 30, valueBytesMax: Int = 16_384) {
        self.labelsMax = Swift.max(labelsMax, 0)
        self.valueBytesMax = Swift.min(Swift.max(valueBytesMax, 0), Int(UInt16.max))
    }

    /// Starts a name at the end of `target`.
    public mutating func begin(_ tenant: Tenant, in target: inout RawBuffer) {
        position = 0
        target.appendBigEndian(tenant.bits)
    }

    /// Appends the next label, or cuts or skips it as the rules want.
    public mutating func add(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, to target: inout RawBuffer
    ) {
        let index = position
        position += 1
        guard index < labelsMax else {
            if index == labelsMax { counters.droppedLabels += 1 }
            return
        }
        var key = key
        var value = value
        if key.count > RawMetricNameWriter.keyBytesMax {
            key = UnsafeRawBufferPointer(rebasing: key[..<RawMetricNameWriter.keyBytesMax])
            counters.tooLongLabelNames += 1
        }
        if value.count > valueBytesMax {
            value = UnsafeRawBufferPointer(rebasing: value[..<valueBytesMax])
            counters.tooLongLabelValues += 1
        }
        if value.isEmpty { return }
        if key.elementsEqual("__name__".utf8) { key = UnsafeRawBufferPointer(start: nil, count: 0) }
        target.appendBigEndian(UInt16(key.count))
        target.append(key)
        target.appendBigEndian(UInt16(value.count))
        target.append(value)
    }
}
