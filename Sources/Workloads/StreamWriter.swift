// StreamWriter.swift - rows as bytes, so that any other engine can be fed with the same stream.
//
//   raw          "MSBRAW01", then per row: name length u32 | raw name | timestamp ms i64 | value bits u64
//                all big-endian, the timestamp in two's complement
//   exposition   name{key="value",...} value timestamp       Prometheus text format 0.0.4, one line a row
//   jsonl        {"metric":{"__name__":"...","key":"..."},"values":[v],"timestamps":[ms]}      one line a row; the
//                import format of VictoriaMetrics: NaN is null, infinities are the strings "Infinity" and "-Infinity"
//
// The text forms have no place for a tenant: one other than 0:0 is written as the labels vm_account_id and
// vm_project_id, which the multi-tenant endpoints read back.
//
// Values are written with as few digits as give the same number back.

import StorageBytes

/// A form of a written stream.
public enum StreamFormat: String, Sendable, CaseIterable {
    /// Length-prefixed binary rows.
    case raw
    /// Prometheus text format.
    case exposition
    /// JSON lines.
    case jsonl
}

/// Writes rows to a buffer. One thread at a time.
public struct StreamWriter: Sendable {
    /// The form it writes.
    public let format: StreamFormat
    /// First bytes of a raw stream.
    public static let rawMagic = Array("MSBRAW01".utf8)

    /// A writer of the given form.
    public init(_ format: StreamFormat) { self.format = format }

    /// Appends what stands before the first row.
    public func begin(_ target: inout RawBuffer) {
        if format == .raw { target.append(StreamWriter.rawMagic) }
    }

    /// Appends the rows of a batch that has names.
    public func append(_ batch: borrowing RowBatch, to target: inout RawBuffer) throws(DecodeError) {
        for row in 0..<batch.count {
            let name = batch.name(row)
            switch format {
            case .raw:
                target.reserve(20 + name.count)
                target.appendBigEndian(UInt32(name.count))
                target.append(name)
                target.appendBigEndian(UInt64(bitPattern: batch.timestampsMs[row]))
                target.appendBigEndian(batch.values[row].bitPattern)
            case .exposition:
                try appendText(name, to: &target)
                target.append(StreamWriter.expositionNumber(batch.values[row]))
                target.append(UInt8(ascii: " "))
                target.append(Array(String(batch.timestampsMs[row]).utf8))
                target.append(0x0A)
            case .jsonl:
                try appendJSON(name, to: &target)
                target.append(Array("},\"values\":[".utf8))
                target.append(StreamWriter.jsonNumber(batch.values[row]))
                target.append(Array("],\"timestamps\":[\(batch.timestampsMs[row])]}\n".utf8))
            }
        }
    }

    private static func expositionNumber(_ value: Double) -> [UInt8] {
        if value.isNaN { return Array("NaN".utf8) }
        if value.isInfinite { return Array((value < 0 ? "-Inf" : "+Inf").utf8) }
        return number(value)
    }

    private static func jsonNumber(_ value: Double) -> [UInt8] {
        if value.isNaN { return Array("null".utf8) }
        if value.isInfinite { return Array((value < 0 ? "\"-Infinity\"" : "\"Infinity\"").utf8) }
        return number(value)
    }

    private static func number(_ value: Double) -> [UInt8] {
        // Whole numbers without the ".0" of the description (but minus zero keeps its sign).
        if value == value.rounded(), abs(value) < 1e15, value != 0 || value.sign == .plus {
            return Array(String(Int64(value)).utf8)
        }
        return Array(value.description.utf8)
    }

    private func appendText(_ name: UnsafeRawBufferPointer, to target: inout RawBuffer) throws(DecodeError) {
        var labels = 0
        // The closure cannot hold the inout buffer of a noncopyable type across the throwing call: bytes first.
        var line = [UInt8]()
        func label(_ key: some Sequence<UInt8>, _ value: some Sequence<UInt8>) {
            line.append(labels == 0 ? UInt8(ascii: "{") : UInt8(ascii: ","))
            line += key
            line += [UInt8(ascii: "="), UInt8(ascii: "\"")]
            for byte in value {
                switch byte {
                case UInt8(ascii: "\\"), UInt8(ascii: "\""): line += [UInt8(ascii: "\\"), byte]
                case 0x0A: line += [UInt8(ascii: "\\"), UInt8(ascii: "n")]
                default: line.append(byte)
                }
            }
            line.append(UInt8(ascii: "\""))
            labels += 1
        }
        try RawName.forEachLabel(name) { key, value in
            if key.isEmpty { line += value } else { label(key, value) }
        }
        for (key, value) in try tenantLabels(name) { label(key.utf8, String(value).utf8) }
        if labels > 0 { line.append(UInt8(ascii: "}")) }
        line.append(UInt8(ascii: " "))
        target.append(line)
    }

    private func appendJSON(_ name: UnsafeRawBufferPointer, to target: inout RawBuffer) throws(DecodeError) {
        var line = Array("{\"metric\":{".utf8)
        var labels = 0
        func label(_ key: some Sequence<UInt8>, _ value: some Sequence<UInt8>) {
            if labels > 0 { line.append(UInt8(ascii: ",")) }
            StreamWriter.quote(key, to: &line)
            line.append(UInt8(ascii: ":"))
            StreamWriter.quote(value, to: &line)
            labels += 1
        }
        try RawName.forEachLabel(name) { key, value in
            if key.isEmpty { label("__name__".utf8, value) } else { label(key, value) }
        }
        for (key, value) in try tenantLabels(name) { label(key.utf8, String(value).utf8) }
        target.append(line)
    }

    private func tenantLabels(_ name: UnsafeRawBufferPointer) throws(DecodeError) -> [(String, UInt32)] {
        let tenant = try RawName.tenant(name)
        if tenant.account == 0 && tenant.project == 0 { return [] }
        return [("vm_account_id", tenant.account), ("vm_project_id", tenant.project)]
    }

    private static func quote(_ bytes: some Sequence<UInt8>, to line: inout [UInt8]) {
        line.append(UInt8(ascii: "\""))
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\\"), UInt8(ascii: "\""): line += [UInt8(ascii: "\\"), byte]
            case 0..<0x20:
                let digits = Array("0123456789abcdef".utf8)
                line += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: line.append(byte)
            }
        }
        line.append(UInt8(ascii: "\""))
    }
}
