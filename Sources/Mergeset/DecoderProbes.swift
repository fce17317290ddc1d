// DecoderProbes.swift - the decoders of this room as functions of bytes, for fuzzing.
//
// Each probe decodes its input as if it came from disk. Where the input is accepted, what must hold then is checked: a
// violation stops the process. The inputs of the fuzz targets in Tests/Fuzz are inputs of these functions.
//
// Threads: any.

import StorageBytes
import StorageRuntime

/// Entry points for fuzzing. Not for use in programs.
public enum DecoderProbes {
    /// A block: one header, then the items data and the lens data of the sizes it announces (what lies behind is
    /// ignored). Returns the number of items.
    public static func block(_ input: UnsafeRawBufferPointer) throws(DecodeError) -> Int {
        var cursor = ByteCursor(input)
        let (header, commonPrefix, firstItem) = try BlockHeader.decode(&cursor)
        let itemsData = try cursor.readBytes(Int(header.itemsSize))
        let lensData = try cursor.readBytes(Int(header.lensSize))
        var items = DecodedItems()
        var scratch = BlockScratch()
        try items.decode(
            header, commonPrefix: commonPrefix, firstItem: firstItem, itemsData: itemsData, lensData: lensData,
            scratch: &scratch)
        require(items.count == Int(header.itemsCount), "another number of items")
        try check(items, scratch: &scratch)
        return items.count
    }

    /// The two payloads of a block behind its header, both not compressed: mutations get through to the coding.
    public static func payloads(_ input: UnsafeRawBufferPointer) throws(DecodeError) -> Int {
        var cursor = ByteCursor(input)
        let (header, commonPrefix, firstItem) = try BlockHeader.decode(&cursor)
        let itemsPayload = RawBuffer(copying: try cursor.readBytes(Int(header.itemsSize)))
        let lensPayload = try cursor.readBytes(Int(header.lensSize))
        var items = DecodedItems()
        try items.decodePayloads(
            Int(header.itemsCount), commonPrefix.count, firstItem, items: itemsPayload.bytes, lens: lensPayload)
        var scratch = BlockScratch()
        try check(items, scratch: &scratch)
        return items.count
    }

    /// A decompressed index block behind a byte that says how many headers it has.
    public static func indexBlock(_ input: UnsafeRawBufferPointer) throws(DecodeError) -> Int {
        var cursor = ByteCursor(input)
        let count = Int(try cursor.readByte())
        let headers = try cursor.readBytes(cursor.remaining)
        let block = try IndexBlock(RawBuffer(copying: headers), count: count)
        var again = RawBuffer()
        for index in 0..<block.count {
            block.header(index).encode(
                commonPrefix: block.commonPrefix(index), firstItem: block.firstItem(index), into: &again)
            let found = block.lowerBound(block.firstItem(index))
            require(found <= index, "a header is not found")
            require(Bytes.compare(block.firstItem(found), block.firstItem(index)) == 0, "another header is found")
        }
        let second = try IndexBlock(again, count: count)
        for index in 0..<block.count {
            require(second.header(index) == block.header(index), "a header changes when it is encoded again")
        }
        return block.count
    }

    /// A decompressed metaindex. Returns the number of rows.
    public static func metaindex(_ input: UnsafeRawBufferPointer) throws(DecodeError) -> Int {
        let rows = try Metaindex(RawBuffer(copying: input))
        var again = RawBuffer()
        for index in 0..<rows.count {
            let row = rows[index]
            Metaindex.encode(
                firstItem: rows.firstItem(index), headersCount: row.headersCount, offset: row.offset, size: row.size,
                into: &again)
            require(rows.lowerBound(rows.firstItem(index)) <= index, "a row is not found")
        }
        let second = try Metaindex(again)
        require(second.count == rows.count && second.headersCount == rows.headersCount, "rows change")
        return rows.count
    }

    /// The name of a part's directory, a line feed, and the bytes of metadata.json. Returns the number of items.
    ///
    /// - Throws: `.corrupted`.
    public static func metadata(_ input: UnsafeRawBufferPointer) throws(StorageError) -> UInt64 {
        let lines = input.split(separator: 0x0A, maxSplits: 1, omittingEmptySubsequences: false)
        let path = "/" + String(decoding: lines[0], as: UTF8.self)
        let name = try PartName(path: path)
        let text = lines.count > 1 ? [UInt8](lines[1]) : []
        let metadata = try PartMetadata.parse(text, name: name, path: path)
        let second = try PartMetadata.parse(Array(metadata.text.utf8), name: name, path: path)
        require(second == metadata, "the metadata change when they are written again")
        return metadata.itemsCount
    }

    /// A row of the inverted index. Returns the number of metric ids.
    public static func tagRow(_ input: UnsafeRawBufferPointer) throws(DecodeError) -> Int {
        let row = try TagRow(input)
        require(row.prefixLength + 8 * row.idCount == input.count, "the parts of a row do not make it up")
        require(row.idCount > 0, "a row without ids")
        for field in [row.escapedKey, row.escapedValue] {
            require(field.baseAddress.map { $0 >= row.start } ?? true, "a field before the row")
            require(field.count <= row.prefixLength, "a field beyond the prefix")
            let room = RawBuffer(capacity: field.count + TagEscape.storeSlack)
            _ = try TagEscape.unescape(field, at: room.base)
        }
        for index in 0..<row.idCount { _ = row.id(index) }
        return row.idCount
    }

    /// A blob of a part. Returns the length of its payload.
    public static func blob(_ input: UnsafeRawBufferPointer) throws(DecodeError) -> Int {
        var payload = RawBuffer()
        let limit = 1 << 20
        let count = try Zstd.decompress(input, into: &payload, limitBytes: limit)
        require(count == payload.count && count <= limit, "beyond the limit")
        var stored = RawBuffer()
        Zstd.compress(payload.bytes, level: 1, into: &stored)
        var second = RawBuffer()
        try Zstd.decompress(stored.bytes, into: &second, limitBytes: limit)
        require(Bytes.compare(payload.bytes, second.bytes) == 0, "a payload changes when it is stored again")
        return count
    }

    /// Items are in order, the shared lengths are exact, and they survive being encoded and decoded again.
    private static func check(_ items: borrowing DecodedItems, scratch: inout BlockScratch) throws(DecodeError) {
        var encoder = BlockEncoder()
        for index in 0..<items.count {
            let item = items[index]
            var shared = 0
            if index > 0 {
                shared = Bytes.commonPrefix(items[index - 1], item)
                require(items.sharedPrefix(index) == shared, "a shared length is not exact")
                require(Bytes.compare(items[index - 1], item) <= 0, "items are out of order")
            }
            guard encoder.fits(item.count) else { return }
            if let address = item.baseAddress { encoder.append(address, item.count, sharing: shared) }
        }
        guard encoder.count == items.count, items.count > 0 else { return }
        var itemsData = RawBuffer()
        var lensData = RawBuffer()
        let encoded = encoder.encode(level: 1, items: &itemsData, lens: &lensData)
        let header = BlockHeader(
            marshalType: encoded.marshalType, itemsCount: UInt32(encoded.itemsCount), itemsOffset: 0, lensOffset: 0,
            itemsSize: UInt32(encoded.itemsSize), lensSize: UInt32(encoded.lensSize))
        let prefix = UnsafeRawBufferPointer(rebasing: encoder.firstItem[0..<encoded.commonPrefixCount])
        var second = DecodedItems()
        try second.decode(
            header, commonPrefix: prefix, firstItem: encoder.firstItem, itemsData: itemsData.bytes,
            lensData: lensData.bytes, scratch: &scratch)
        require(second.count == items.count, "items are lost when a block is encoded again")
        for index in 0..<items.count {
            require(Bytes.compare(items[index], second[index]) == 0, "an item changes when a block is encoded again")
        }
    }

    private static func require(_ condition: Bool, _ message: @autoclosure () -> String) {
        if !condition { fatalError(message()) }
    }
}
