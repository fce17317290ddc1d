// ReadBack.swift - looks for what was ingested. A run whose sample is not found has failed, whatever its speed.
//
// The sample's items are made again from their names. Rows of other kinds than tags are sought exactly. For tag rows
// the ids of the sample are gathered per tag, and the rows of a tag are walked once until all of its ids were seen: an
// id may lie anywhere in a row, so an exact seek would not find it.

import Mergeset
import StorageBytes
import StorageRuntime

/// Result of a read-back check.
public struct ReadBack: Sendable, Equatable {
    /// Rows of the input looked for, their items, and the items that were missing.
    public var rows: UInt64 = 0, items: UInt64 = 0, missing: UInt64 = 0
    /// The first missing item in hex, at most 200 bytes of it.
    public var firstMissing: String?

    /// Nothing looked for.
    public init() {}

    /// Looks for all items of a sample of series.
    ///
    /// - Parameters:
    ///   - numbers: The series of `input` to look for.
    ///   - ingest: A workspace with the day and ids of the run.
    public static func series(
        _ numbers: [Int], of input: any RunInput, ingest: inout IndexIngest, in table: Table
    ) throws(StorageError) -> ReadBack {
        var result = ReadBack()
        var rows = Wanted()
        for number in numbers {
            result.rows += 1
            try ingest.withItems(input[number], number: number) { (item) throws(StorageError) in
                rows.add(item, &result)
            }
        }
        var cursor = table.cursor()
        try rows.find(&cursor, &result)
        return result
    }

    /// Rows that must be in a table.
    struct Wanted {
        private var tags: [[UInt8]: Set<UInt64>] = [:]
        private var exact: [[UInt8]] = []

        /// Adds a row, and counts it.
        mutating func add(_ item: UnsafeRawBufferPointer, _ result: inout ReadBack) {
            result.items += 1
            if let row = try? TagRow(item) {
                for index in 0..<row.idCount { tags[Array(row.prefix), default: []].insert(row.id(index)) }
            } else {
                exact.append(Array(item))
            }
        }

        /// Looks for all of them; notes what is missing.
        func find(_ cursor: inout TableCursor, _ result: inout ReadBack) throws(StorageError) {
            for item in exact where try !ReadBack.find(item, &cursor) { result.note(item) }
            // Sorted, so that deterministic runs ask in the same order.
            for (prefix, ids) in tags.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
                for id in try ReadBack.missingIDs(prefix, ids, &cursor).sorted() {
                    result.note(prefix + withUnsafeBytes(of: id.bigEndian) { Array($0) })
                }
            }
        }
    }

    /// Looks for a sample of items.
    public static func items(
        _ numbers: [Int], of input: any RunInput, in table: Table
    ) throws(StorageError) -> ReadBack {
        var result = ReadBack()
        var cursor = table.cursor()
        for number in numbers {
            result.rows += 1
            result.items += 1
            let item = Array(input[number])
            if try !find(item, &cursor) { result.note(item) }
        }
        return result
    }

    mutating func note(_ item: [UInt8], count: UInt64 = 1) {
        missing += count
        if firstMissing == nil { firstMissing = Hex.encode(Array(item.prefix(200))) }
    }

    private static func find(_ item: [UInt8], _ cursor: inout TableCursor) throws(StorageError) -> Bool {
        try item.withStorageBytes { (bytes) throws(StorageError) in
            try cursor.seek(bytes)
            guard try cursor.next() else { return false }
            return Bytes.compare(cursor.item, bytes) == 0
        }
    }

    /// The ids of `wanted` that no row of the tag has.
    private static func missingIDs(
        _ prefix: [UInt8], _ wanted: Set<UInt64>, _ cursor: inout TableCursor
    ) throws(StorageError) -> Set<UInt64> {
        var rest = wanted
        return try prefix.withStorageBytes { (bytes) throws(StorageError) in
            try cursor.seek(bytes)
            while !rest.isEmpty {
                guard try cursor.next() else { break }
                guard Bytes.starts(cursor.item, with: bytes) else { break }
                guard let row = try? TagRow(cursor.item) else { continue }
                for index in 0..<row.idCount { rest.remove(row.id(index)) }
            }
            return rest
        }
    }
}

extension [UInt8] {
    /// Lends the bytes to a body that throws errors of the storage.
    fileprivate func withStorageBytes<Result>(
        _ body: (UnsafeRawBufferPointer) throws(StorageError) -> Result
    ) throws(StorageError) -> Result {
        try withUnsafeBufferPointer { (buffer) throws(StorageError) in try body(UnsafeRawBufferPointer(buffer)) }
    }
}
