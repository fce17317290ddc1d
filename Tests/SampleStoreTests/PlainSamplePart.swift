// PlainSamplePart.swift - a second reader of sample parts, written from docs/format/sample-store.md, 2.6, 3.5, 4 and 5, in
// plain arrays.
//
// It shares no code with the engine but the call of the zstd library, and checks what the engine's writer promises beyond
// what readers need: offsets without gaps, timestamps shared wherever they can be, index blocks closed at 64 KiB and never
// earlier, totals of the name, blocks in order.

import Foundation
import StorageBytes
import TestSupport

/// A row as a reader sees it.
struct PlainRow: Equatable, Hashable {
    var tsid: [UInt8]
    var timestamp: Int64
    var bits: UInt64
}

/// A part taken apart.
struct PlainSamplePart {
    struct Block {
        var header: [UInt8]
        var tsid: [UInt8]
        var minTimestamp: Int64, maxTimestamp: Int64, firstValue: Int64
        var exponent: Int
        var timestampsType: Int, valuesType: Int, precisionBits: Int
        var timestampsData: [UInt8], valuesData: [UInt8]
        var timestamps: [Int64], values: [Int64]

        var rows: [PlainRow] {
            let bits = PlainSamplePart.floats(values, exponent)
            return timestamps.indices.map { PlainRow(tsid: tsid, timestamp: timestamps[$0], bits: bits[$0]) }
        }
    }

    private(set) var blocks: [Block] = []
    /// Headers in each index block.
    private(set) var indexBlocks: [Int] = []
    private(set) var dedupInterval: String?

    var rows: [PlainRow] { blocks.flatMap(\.rows) }

    /// Reads a part. Throws at anything that breaks the format, or that our writer would not write.
    ///
    /// - Parameter isCut: Rows past retention were cut: a block that lost its first rows may start behind the next one.
    init(name: String, files: [String: [UInt8]], isCut: Bool = false) throws {
        let names = files.keys.sorted()
        let wanted = ["index.bin", "metaindex.bin", "min_dedup_interval", "timestamps.bin", "values.bin"]
        try Self.check(names == wanted, "files: \(names)")
        dedupInterval = String(decoding: files["min_dedup_interval"]!, as: UTF8.self)
        let (index, timestampsFile, valuesFile) = (
            files["index.bin"]!, files["timestamps.bin"]!, files["values.bin"]!
        )
        var rows = PlainReader(try Self.unpack(files["metaindex.bin"]!))
        var indexEnd = 0
        var timestampsEnd = 0
        var valuesEnd = 0
        var last: (offset: Int, bytes: [UInt8]) = (0, [])
        while !rows.isEmpty {
            let tsid = try rows.take(32)
            let count = Int(try rows.number(4))
            let (low, high) = (try rows.signed(8), try rows.signed(8))
            let offset = Int(try rows.number(8))
            let size = Int(try rows.number(4))
            try Self.check(offset == indexEnd && offset + size <= index.count, "index block at \(offset)")
            indexEnd += size
            let payload = try Self.unpack(Array(index[offset..<indexEnd]))
            try Self.check(payload.count == 89 * count && count > 0, "\(count) headers in \(payload.count) bytes")
            try Self.check(payload.count - 89 < 65536, "an index block was closed late")
            try Self.check(rows.isEmpty || payload.count >= 65536, "an index block was closed early")
            indexBlocks.append(count)
            var headers = PlainReader(payload)
            var bounds = (Int64.max, Int64.min)
            for number in 0..<count {
                let block = try Self.block(
                    try headers.take(89), timestampsFile, valuesFile, &timestampsEnd, &valuesEnd, &last)
                if number == 0 { try Self.check(block.tsid == tsid, "TSID of a metaindex row") }
                bounds = (min(bounds.0, block.minTimestamp), max(bounds.1, block.maxTimestamp))
                if let before = blocks.last {
                    let ascends =
                        before.tsid == block.tsid
                        ? isCut || before.minTimestamp <= block.minTimestamp : isSmaller(before.tsid, block.tsid)
                    try Self.check(ascends, "blocks out of order")
                }
                blocks.append(block)
            }
            try Self.check(bounds == (low, high), "bounds of a metaindex row")
        }
        try Self.check(
            indexEnd == index.count && timestampsEnd == timestampsFile.count && valuesEnd == valuesFile.count,
            "bytes behind the blocks")
        try checkName(name)
    }

    private func checkName(_ name: String) throws {
        let fields = name.split(separator: "_", omittingEmptySubsequences: false)
        let rowsCount = blocks.reduce(0) { $0 + $1.timestamps.count }
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(identifier: "UTC")
        format.dateFormat = "yyyyMMddHHmmss.SSS"
        func time(_ ms: Int64) -> String { format.string(from: Date(timeIntervalSince1970: Double(ms) / 1000)) }
        let bounds = (blocks.map(\.minTimestamp).min() ?? 0, blocks.map(\.maxTimestamp).max() ?? 0)
        try Self.check(
            fields.count == 5 && fields[0] == "\(rowsCount)" && fields[1] == "\(blocks.count)"
                && fields[2] == time(bounds.0) && fields[3] == time(bounds.1) && fields[4].count == 16,
            "name \(name), \(rowsCount) rows, \(blocks.count) blocks, \(bounds)")
    }

    private static func block(
        _ header: [UInt8], _ timestampsFile: [UInt8], _ valuesFile: [UInt8], _ timestampsEnd: inout Int,
        _ valuesEnd: inout Int, _ last: inout (offset: Int, bytes: [UInt8])
    ) throws -> Block {
        var reader = PlainReader(header)
        let tsid = try reader.take(32)
        let (low, high, first) = (try reader.signed(8), try reader.signed(8), try reader.signed(8))
        let timestampsOffset = Int(try reader.number(8))
        let valuesOffset = Int(try reader.number(8))
        let timestampsSize = Int(try reader.number(4))
        let valuesSize = Int(try reader.number(4))
        let rows = Int(try reader.number(4))
        let exponent = Int(try reader.signed(2))
        let (timestampsType, valuesType) = (Int(try reader.number(1)), Int(try reader.number(1)))
        let bits = Int(try reader.number(1))
        try check(rows >= 1 && rows <= 8192 && bits >= 1 && bits <= 64, "\(rows) rows, \(bits) bits")
        try check(timestampsSize <= 131_072 && valuesSize <= 131_072, "sizes")
        try check(
            timestampsOffset + timestampsSize <= timestampsFile.count && valuesOffset + valuesSize <= valuesFile.count,
            "a block behind its file")
        let timestampsData = Array(timestampsFile[timestampsOffset..<timestampsOffset + timestampsSize])
        if timestampsOffset == timestampsEnd {
            try check(timestampsData.isEmpty || timestampsData != last.bytes, "timestamps could have been shared")
            last = (timestampsOffset, timestampsData)
            timestampsEnd += timestampsSize
        } else {
            try check(timestampsOffset == last.offset && timestampsData == last.bytes, "timestamps at a wrong place")
        }
        try check(valuesOffset == valuesEnd, "values at \(valuesOffset), not at \(valuesEnd)")
        valuesEnd += valuesSize
        let valuesData = Array(valuesFile[valuesOffset..<valuesEnd])
        var timestamps = try array(timestampsType, low, rows, timestampsData)
        if bits < 64 {
            timestamps[0] = low
            for index in timestamps.indices.dropFirst() {
                timestamps[index] = max(timestamps[index], timestamps[index - 1])
            }
            if timestamps[rows - 1] != high {
                timestamps[rows - 1] = high
                timestamps = timestamps.map { min($0, high) }
            }
        }
        try check(timestamps[0] == low && timestamps[rows - 1] == high, "bounds of a block")
        return Block(
            header: header, tsid: tsid, minTimestamp: low, maxTimestamp: high, firstValue: first, exponent: exponent,
            timestampsType: timestampsType, valuesType: valuesType, precisionBits: bits,
            timestampsData: timestampsData, valuesData: valuesData, timestamps: timestamps,
            values: try array(valuesType, first, rows, valuesData))
    }

    /// An integer array (3.5).
    static func array(_ type: Int, _ first: Int64, _ count: Int, _ data: [UInt8]) throws -> [Int64] {
        var values = [first]
        var reader = PlainReader(type == 1 || type == 4 ? try unpack(data) : data)
        var delta: Int64 = 0
        switch type {
        case 3: values = [Int64](repeating: first, count: count)
        case 2:
            delta = try reader.varint()
            for _ in 1..<max(count, 1) { values.append(values[values.count - 1] &+ delta) }
        case 4, 6: for _ in 1..<max(count, 1) { values.append(values[values.count - 1] &+ (try reader.varint())) }
        case 1, 5:
            try check(count > 1, "second differences of one value")
            for _ in 1..<count {
                delta &+= try reader.varint()
                values.append(values[values.count - 1] &+ delta)
            }
        default: throw TestSupportError("marshal type \(type)")
        }
        try check(reader.isEmpty, "bytes behind an array")
        return values
    }

    /// Floats of integers (2.6), for exponents of ordinary size.
    static func floats(_ values: [Int64], _ exponent: Int) -> [UInt64] {
        func power(_ n: Int) -> Double {
            if n > 308 { return .infinity }
            return [1, 1e32, 1e64, 1e96, 1e128, 1e160, 1e192, 1e224, 1e256, 1e288][n / 32] * Double("1e\(n % 32)")!
        }
        return values.map { value in
            switch value {
            case .max: Double.infinity.bitPattern
            case .min: (-Double.infinity).bitPattern
            case .max - 1: 0x7FF0_0000_0000_0002
            case 0: 0
            default: (exponent < 0 ? Double(value) / power(-exponent) : Double(value) * power(exponent)).bitPattern
            }
        }
    }

    private static func unpack(_ blob: [UInt8]) throws -> [UInt8] {
        var payload = RawBuffer()
        _ = try blob.withUnsafeBytes { try Zstd.decompress($0, into: &payload, limitBytes: 1 << 28) }
        return payload.array()
    }

    private static func check(_ condition: Bool, _ message: @autoclosure () -> String) throws {
        if !condition { throw TestSupportError(message()) }
    }
}

/// Bytes being read from front to back.
private struct PlainReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isEmpty: Bool { position == bytes.count }

    mutating func take(_ count: Int) throws -> [UInt8] {
        guard count <= bytes.count - position else { throw TestSupportError("\(count) bytes wanted") }
        position += count
        return Array(bytes[position - count..<position])
    }

    /// Big-endian.
    mutating func number(_ size: Int) throws -> UInt64 { try take(size).reduce(0) { $0 << 8 | UInt64($1) } }

    /// Zigzag, big-endian.
    mutating func signed(_ size: Int) throws -> Int64 { Self.unzigzag(try number(size)) }

    /// Zigzag, least significant group first.
    mutating func varint() throws -> Int64 {
        var value: UInt64 = 0
        for place in 0..<10 {
            let byte = try take(1)[0]
            value |= UInt64(byte & 0x7F) << UInt64(7 * place)
            if byte < 0x80 { return Self.unzigzag(value) }
        }
        throw TestSupportError("a varint is too long")
    }

    private static func unzigzag(_ code: UInt64) -> Int64 { Int64(code >> 1) ^ -Int64(code & 1) }
}
