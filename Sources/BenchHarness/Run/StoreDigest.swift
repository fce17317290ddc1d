// StoreDigest.swift - one number for the contents of a table, independent of when flushes and merges happened.
//
// All items in order go through XXH64, each preceded by its length, in normalised form: consecutive tag rows (kinds 1
// and 6) of one tag are taken together, their ids sorted, duplicates removed, and each id digested as a row of its own.
// All rows of a tag are neighbours in the table, since they share a prefix that no other row starts with. Other items
// are digested as they are; equal neighbours count once.
// Tables of opaque items are digested without this, since random bytes may look like a tag row.
//
// Threads: one owner.

import Mergeset
import StorageBytes

/// Digests items that arrive in ascending order.
public struct StoreDigest: ~Copyable {
    /// Different normalised items digested; complete after ``finish()``.
    public private(set) var normalisedItems: UInt64 = 0
    /// Items that arrived out of order: 0 in a sound table.
    public private(set) var unorderedItems: UInt64 = 0
    /// The first of them with the item before it, in hex, at most 400 bytes of each from where they differ on.
    public private(set) var firstUnordered: String?

    private let digest = Digest()
    /// Pieces on their way to the digest, so that it is called for kilobytes and not for items.
    private var pieces = RawBuffer(capacity: StoreDigest.piecesBytes)
    /// Tag whose ids are being gathered; empty when there is none.
    private var prefix = RawBuffer(capacity: 1024)
    private var ids: [UInt64] = []
    private var previous = RawBuffer(capacity: 1024)
    private var hasPrevious = false

    private let unitesTagRows: Bool

    private static let piecesBytes = 64 << 10

    /// The digest of no items. Without `unitesTagRows` all items are opaque.
    public init(unitesTagRows: Bool = true) { self.unitesTagRows = unitesTagRows }

    /// Takes the next item of the table.
    public mutating func add(_ item: UnsafeRawBufferPointer) {
        let order = hasPrevious ? Bytes.compare(previous.bytes, item) : -1
        if order > 0 {
            unorderedItems += 1
            if firstUnordered == nil { firstUnordered = describe(item) }
        }
        if order == 0 { return }
        previous.removeAll()
        previous.append(item)
        hasPrevious = true

        guard unitesTagRows, let first = item.first, first == TagRow.globalKind || first == TagRow.perDayKind,
            let row = try? TagRow(item)
        else {
            flushIDs()
            emit(item)
            return
        }
        if prefix.count != row.prefixLength || Bytes.compare(prefix.bytes, row.prefix) != 0 {
            flushIDs()
            prefix.append(row.prefix)
        }
        for index in 0..<row.idCount { ids.append(row.id(index)) }
    }

    /// Ends the digest; nothing may be added afterwards.
    public mutating func finish() -> UInt64 {
        flushIDs()
        digest.add(pieces.bytes)
        pieces.removeAll()
        return digest.value
    }

    private func describe(_ item: UnsafeRawBufferPointer) -> String {
        let before = previous.bytes
        var common = 0
        while common < min(before.count, item.count), before[common] == item[common] { common += 1 }
        func text(_ bytes: UnsafeRawBufferPointer) -> String {
            Hex.encode(Array(bytes.dropFirst(common).prefix(400))) + " (\(bytes.count) bytes)"
        }
        return "common \(Hex.encode(Array(item.prefix(common)))), then \(text(before)) before \(text(item))"
    }

    private mutating func flushIDs() {
        guard prefix.count > 0 else { return }
        ids.sort()
        var last: UInt64?
        for id in ids where id != last {
            last = id
            emitHead(prefix.count + 8)
            pieces.append(prefix.bytes)
            pieces.appendBigEndian(id)
        }
        ids.removeAll(keepingCapacity: true)
        prefix.removeAll()
    }

    private mutating func emit(_ item: UnsafeRawBufferPointer) {
        emitHead(item.count)
        pieces.append(item)
    }

    private mutating func emitHead(_ length: Int) {
        if pieces.count >= StoreDigest.piecesBytes {
            digest.add(pieces.bytes)
            pieces.removeAll()
        }
        normalisedItems += 1
        pieces.appendBigEndian(UInt32(length))
    }
}
