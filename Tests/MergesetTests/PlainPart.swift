// PlainPart.swift - a second reader of parts, written from docs/format/mergeset-table.md, 3 to 6, in plain arrays.
//
// It shares no code with the engine but the call of the zstd library, and checks what the engine's writer promises beyond
// what readers need: offsets without gaps, the longest common prefix, the exact text of metadata.json, index blocks that
// are closed at 64 KiB and never earlier, unless the next header could have exceeded what readers accept.

import Foundation
import StorageBytes
import TestSupport

/// A part taken apart.
struct PlainPart {
    struct Block {
        var items: [[UInt8]]
        var marshalType: UInt8
    }

    struct IndexBlock {
        var headers: Int
        /// Bytes of the headers before compression.
        var bytes: Int
    }

    private(set) var blocks: [Block] = []
    private(set) var indexBlocks: [IndexBlock] = []

    var items: [[UInt8]] { blocks.flatMap(\.items) }

    /// Items per block if the packing rule (2) alone decides.
    var greedyBlocks: [Int] {
        var counts: [Int] = []
        var bytes = 0
        for item in items {
            if counts.isEmpty || bytes + item.count > 65536 {
                counts.append(0)
                bytes = 0
            }
            counts[counts.count - 1] += 1
            bytes += item.count
        }
        return counts
    }

    /// Reads a part. Throws at anything that breaks the format.
    init(name: String, files: [String: [UInt8]]) throws {
        guard files.keys.sorted() == ["index.bin", "items.bin", "lens.bin", "metadata.json", "metaindex.bin"] else {
            throw TestSupportError("files: \(files.keys.sorted())")
        }
        let index = files["index.bin"]!
        let itemsFile = files["items.bin"]!
        let lensFile = files["lens.bin"]!
        var rows = PlainBytes(try Self.unpack(files["metaindex.bin"]!))
        var indexEnd = 0
        var itemsEnd = 0
        var lensEnd = 0
        var headerSizes: [[Int]] = []
        while !rows.isEmpty {
            let first = try rows.prefixed()
            let count = Int(try rows.number(4))
            let offset = Int(try rows.number(8))
            let size = Int(try rows.number(4))
            try Self.check(offset == indexEnd, "an index block starts at \(offset), not at \(indexEnd)")
            try Self.check(size <= 131_072 && offset + size <= index.count, "size of an index block: \(size)")
            indexEnd += size
            var headers = PlainBytes(try Self.unpack(Array(index[offset..<offset + size])))
            let total = headers.left
            var sizes: [Int] = []
            for number in 0..<count {
                let before = headers.left
                let prefix = try headers.prefixed()
                let firstItem = try headers.prefixed()
                let type = UInt8(try headers.number(1))
                let itemsCount = Int(try headers.number(4))
                let itemsOffset = Int(try headers.number(8))
                let lensOffset = Int(try headers.number(8))
                let itemsSize = Int(try headers.number(4))
                let lensSize = Int(try headers.number(4))
                if number == 0 { try Self.check(first == firstItem, "first item of an index block") }
                try Self.check(itemsOffset == itemsEnd && lensOffset == lensEnd, "a gap before a block")
                try Self.check(itemsSize <= 131_072 && lensSize <= 1_048_576, "sizes \(itemsSize), \(lensSize)")
                itemsEnd += itemsSize
                lensEnd += lensSize
                try Self.check(itemsEnd <= itemsFile.count && lensEnd <= lensFile.count, "a block behind its file")
                let items = try Self.items(
                    type, itemsCount, prefix, firstItem, Array(itemsFile[itemsOffset..<itemsEnd]),
                    Array(lensFile[lensOffset..<lensEnd]))
                blocks.append(Block(items: items, marshalType: type))
                sizes.append(before - headers.left)
            }
            try Self.check(headers.isEmpty && count > 0, "bytes behind the headers")
            indexBlocks.append(IndexBlock(headers: count, bytes: total))
            headerSizes.append(sizes)
        }
        try Self.check(indexEnd == index.count, "bytes behind the index blocks")
        try Self.check(itemsEnd == itemsFile.count && lensEnd == lensFile.count, "bytes behind the blocks")
        try Self.checkIndexBlocks(headerSizes)
        try checkItems(name, files["metadata.json"]!)
    }

    private static func checkIndexBlocks(_ sizes: [[Int]]) throws {
        for (number, block) in sizes.enumerated() {
            let bytes = block.reduce(0, +)
            try check(bytes - block.last! < 65536, "index block \(number) was closed late")
            if number + 1 < sizes.count, bytes < 65536 {
                try check(bytes + sizes[number + 1][0] > 130_000, "index block \(number) was closed early")
            }
        }
    }

    private func checkItems(_ name: String, _ metadata: [UInt8]) throws {
        let all = items
        guard let first = all.first, let last = all.last else { throw TestSupportError("no items") }
        for (a, b) in zip(all, all.dropFirst()) { try Self.check(!isSmaller(b, a), "items out of order") }
        func hex(_ bytes: [UInt8]) -> String { bytes.map { String(format: "%02x", $0) }.joined() }
        let text =
            "{\n\t\"ItemsCount\": \(all.count),\n\t\"BlocksCount\": \(blocks.count),\n\t\"FirstItem\": \"\(hex(first))\","
            + "\n\t\"LastItem\": \"\(hex(last))\"\n}"
        try Self.check(text == String(decoding: metadata, as: UTF8.self), "metadata.json")
        let fields = name.split(separator: "_", omittingEmptySubsequences: false)
        try Self.check(
            fields.count == 3 && fields[0] == "\(all.count)" && fields[1] == "\(blocks.count)"
                && fields[2].count == 16 && fields[2].allSatisfy { "0123456789ABCDEF".contains($0) }, "name \(name)")
    }

    /// The items of a block (3.5).
    private static func items(
        _ type: UInt8, _ count: Int, _ prefix: [UInt8], _ first: [UInt8], _ itemsData: [UInt8], _ lensData: [UInt8]
    ) throws -> [[UInt8]] {
        try check(count > 0 && type <= 1 && first.starts(with: prefix), "a header")
        var items = [first]
        items.reserveCapacity(count)
        switch type {
        case 0:
            var lens = PlainBytes(lensData)
            var source = PlainBytes(itemsData)
            for _ in 1..<max(count, 1) { items.append(prefix + (try source.take(Int(try lens.number(8))))) }
            try check(lens.isEmpty && source.isEmpty, "bytes behind a plain block")
        default:
            var lens = PlainBytes(try unpack(lensData))
            var source = PlainBytes(try unpack(itemsData))
            var shared: [Int] = []
            var lengths: [Int] = []
            var value = 0
            for _ in 1..<max(count, 1) {
                value ^= try lens.varint()
                shared.append(value)
            }
            value = first.count - prefix.count
            for _ in 1..<max(count, 1) {
                value ^= try lens.varint()
                lengths.append(value)
            }
            var suffix = Array(first[prefix.count...])
            for (p, length) in zip(shared, lengths) {
                try check(p <= length && p <= suffix.count, "a prefix length")
                suffix = Array(suffix[..<p]) + (try source.take(length - p))
                items.append(prefix + suffix)
            }
            try check(lens.isEmpty && source.isEmpty, "bytes behind a block")
        }
        let last = items[items.count - 1]
        try check(zip(first, last).prefix { $0 == $1 }.count == prefix.count, "not the longest common prefix")
        return items
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
private struct PlainBytes {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var left: Int { bytes.count - position }
    var isEmpty: Bool { left == 0 }

    mutating func take(_ count: Int) throws -> [UInt8] {
        guard count >= 0, count <= left else { throw TestSupportError("\(count) bytes wanted, \(left) left") }
        position += count
        return Array(bytes[position - count..<position])
    }

    /// Big-endian.
    mutating func number(_ size: Int) throws -> UInt64 { try take(size).reduce(0) { $0 << 8 | UInt64($1) } }

    mutating func varint() throws -> Int {
        var value: UInt64 = 0
        for shift in stride(from: 0, to: 63, by: 7) {
            let byte = try take(1)[0]
            value |= UInt64(byte & 0x7F) << UInt64(shift)
            if byte < 0x80 { return Int(value) }
        }
        throw TestSupportError("a varint")
    }

    mutating func prefixed() throws -> [UInt8] { try take(try varint()) }
}
