// DecodedItems.swift - a data block in memory, and how it is decoded (docs/format/mergeset-table.md, 3.5).
//
//   data      item 0 | item 1 | ... | item n-1 | slack       whole items, the common prefix included, nothing between
//   offsets   n + 1 x UInt32                                 item k is data[offsets[k] ..< offsets[k + 1]]
//   shared    n x UInt32                                     bytes shared with the item before, exactly; 0 for item 0
//
// Nothing of the input is believed: counts and sums are checked before memory is reserved, every length before bytes are
// copied, and the order of the items as they are rebuilt. One comparison of a byte settles the order where the stored
// prefix length is the longest possible one, as ours and the reference's are; only otherwise are the items compared.
//
// Threads: one owner while decoding; afterwards read-only and shareable.

import StorageBytes

/// The items of a decoded block. Reusable: decoding replaces the contents and keeps the memory.
public struct DecodedItems: ~Copyable, @unchecked Sendable {
    private(set) var data = RawBuffer()
    private(set) var offsets: UnsafeMutablePointer<UInt32>
    private(set) var shared: UnsafeMutablePointer<UInt32>
    private var capacity: Int
    /// Items.
    public private(set) var count = 0

    /// No items.
    public init() {
        capacity = 0
        offsets = .allocate(capacity: 1)
        offsets[0] = 0
        shared = .allocate(capacity: 1)
    }

    deinit {
        offsets.deallocate()
        shared.deallocate()
    }

    /// Item `index`, in `0..<count`. Valid as long as the block is.
    @inline(__always)
    public subscript(index: Int) -> UnsafeRawBufferPointer {
        assert(index >= 0 && index < count)
        let start = Int(offsets[index])
        return UnsafeRawBufferPointer(start: data.base + start, count: Int(offsets[index &+ 1]) &- start)
    }

    /// Bytes that item `index` shares with the one before.
    public func sharedPrefix(_ index: Int) -> Int { Int(shared[index]) }

    /// Bytes of all items together.
    public var dataBytes: Int { data.count }

    /// Bytes of memory.
    var memoryBytes: Int { data.capacity + capacity * 8 }

    private mutating func reserve(items: Int, bytes: Int) {
        if items > capacity {
            offsets.deallocate()
            shared.deallocate()
            capacity = max(items, min(capacity * 2, items * 2))
            offsets = .allocate(capacity: capacity + 1)
            shared = .allocate(capacity: capacity + 1)
        }
        count = 0
        data.removeAll()
        data.reserve(bytes)
    }

    /// Decodes a block.
    ///
    /// - Parameters:
    ///   - itemsData, lensData: What the part's files hold for this block; 32 bytes behind them need not be readable.
    ///   - scratch: Memory for the decompressed payloads.
    /// - Throws: The reason why the block is corrupt; the contents are empty then.
    /// - Complexity: O(items + bytes).
    public mutating func decode(
        _ header: BlockHeader, commonPrefix: UnsafeRawBufferPointer, firstItem: UnsafeRawBufferPointer,
        itemsData: UnsafeRawBufferPointer, lensData: UnsafeRawBufferPointer, scratch: inout BlockScratch
    ) throws(DecodeError) {
        reserve(items: 0, bytes: 0)
        guard header.itemsCount > 0 else { throw .outOfRange }
        guard Bytes.starts(firstItem, with: commonPrefix) else { throw .inconsistent }
        switch header.marshalType {
        case .plain:
            try decodePlain(Int(header.itemsCount), commonPrefix, firstItem, itemsData, lensData)
        case .zstd:
            scratch.items.removeAll()
            scratch.lens.removeAll()
            try Zstd.decompress(lensData, into: &scratch.lens, limitBytes: Limits.decodedBytesMax)
            try Zstd.decompress(itemsData, into: &scratch.items, limitBytes: Limits.decodedBytesMax)
            try decodePayloads(
                Int(header.itemsCount), commonPrefix.count, firstItem, items: scratch.items.bytes,
                lens: scratch.lens.bytes)
        }
    }

    // MARK: plain

    private mutating func decodePlain(
        _ n: Int, _ commonPrefix: UnsafeRawBufferPointer, _ firstItem: UnsafeRawBufferPointer,
        _ itemsData: UnsafeRawBufferPointer, _ lensData: UnsafeRawBufferPointer
    ) throws(DecodeError) {
        guard lensData.count >= 8 * (n - 1) else { throw .truncated }
        guard lensData.count == 8 * (n - 1) else { throw .trailingBytes }
        let total = firstItem.count + (n - 1) * commonPrefix.count + itemsData.count
        guard total <= Limits.decodedBytesMax else { throw .outOfRange }
        reserve(items: n, bytes: total)
        offsets[0] = 0
        shared[0] = 0
        data.append(firstItem)
        offsets[1] = UInt32(data.count)
        var lengths = ByteCursor(lensData)
        var suffixes = ByteCursor(itemsData)
        for index in 1..<max(n, 1) {
            let length = try lengths.readBigEndian(UInt64.self)
            guard length <= UInt64(suffixes.remaining) else { throw .truncated }
            let previous = UnsafeRawBufferPointer(
                start: data.base + Int(offsets[index - 1]), count: Int(offsets[index] - offsets[index - 1]))
            let start = data.count
            data.append(commonPrefix)
            data.append(try suffixes.readBytes(Int(length)))
            let item = UnsafeRawBufferPointer(start: data.base + start, count: data.count - start)
            let prefix = Bytes.commonPrefix(previous, item)
            guard DecodedItems.isAscending(previous, item, prefix) else { throw .unsorted }
            shared[index] = UInt32(prefix)
            offsets[index + 1] = UInt32(data.count)
        }
        try suffixes.finish()
        count = n
    }

    /// Whether `a <= b` for strings that share exactly `prefix` bytes.
    private static func isAscending(
        _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, _ prefix: Int
    ) -> Bool {
        if prefix == a.count { return true }
        return prefix < b.count && a[prefix] < b[prefix]
    }

    // MARK: prefix-coded

    /// Rebuilds the items from the two decompressed payloads. `items` has ``RawBuffer/slack`` readable bytes behind it.
    public mutating func decodePayloads(
        _ n: Int, _ commonPrefixCount: Int, _ firstItem: UnsafeRawBufferPointer,
        items: UnsafeRawBufferPointer, lens: UnsafeRawBufferPointer
    ) throws(DecodeError) {
        // Every item takes at least two bytes of lengths: a huge count is refused before anything is reserved.
        guard n - 1 <= lens.count / 2 else { throw .truncated }
        reserve(items: n, bytes: 0)
        let total = try decodeLengths(n, commonPrefixCount, firstItem.count, lens)
        guard total <= Limits.decodedBytesMax else { throw .outOfRange }
        data.reserve(total)
        do throws(DecodeError) {
            try rebuild(n, commonPrefixCount, firstItem, items, total)
        } catch {
            data.removeAll()
            throw error
        }
        count = n
    }

    /// Fills `shared` (common prefix included) and `offsets` from the lens payload; returns the bytes of all items.
    private mutating func decodeLengths(
        _ n: Int, _ cp: Int, _ firstCount: Int, _ lens: UnsafeRawBufferPointer
    ) throws(DecodeError) -> Int {
        shared[0] = 0
        offsets[0] = 0
        offsets[1] = UInt32(firstCount)
        guard n > 1 else {
            guard lens.count == 0 else { throw .trailingBytes }
            return firstCount
        }
        var cursor = ByteCursor(lens)
        let limit = UInt64(Limits.decodedBytesMax)
        let shared = self.shared
        let offsets = self.offsets
        var value: UInt64 = 0
        try DecodedItems.readEach(n &- 1, &cursor) { index, difference throws(DecodeError) in
            value ^= difference
            guard value <= limit else { throw .outOfRange }
            shared[index &+ 1] = UInt32(truncatingIfNeeded: value)
        }
        value = UInt64(firstCount - cp)
        var total = UInt64(firstCount)
        try DecodedItems.readEach(n &- 1, &cursor) { index, difference throws(DecodeError) in
            value ^= difference
            guard value <= limit else { throw .outOfRange }
            total &+= value &+ UInt64(cp)
            guard total <= limit else { throw .outOfRange }
            offsets[index &+ 2] = UInt32(truncatingIfNeeded: total)
        }
        try cursor.finish()
        return Int(total)
    }

    /// Reads `count` variable-length integers. Most have one byte: four of those are read at once.
    @inline(__always)
    private static func readEach(
        _ count: Int, _ cursor: inout ByteCursor, _ body: (Int, UInt64) throws(DecodeError) -> Void
    ) throws(DecodeError) {
        var index = 0
        while index < count {
            if index &+ 4 <= count, cursor.remaining >= 4 {
                let word = UInt32(littleEndian: cursor.position.loadUnaligned(as: UInt32.self))
                if word & 0x8080_8080 == 0 {
                    try body(index, UInt64(word & 0xFF))
                    try body(index &+ 1, UInt64(word &>> 8 & 0xFF))
                    try body(index &+ 2, UInt64(word &>> 16 & 0xFF))
                    try body(index &+ 3, UInt64(word &>> 24))
                    _ = try cursor.readBytes(4)
                    index &+= 4
                    continue
                }
            }
            try body(index, try cursor.readVarint())
            index &+= 1
        }
    }

    private mutating func rebuild(
        _ n: Int, _ cp: Int, _ firstItem: UnsafeRawBufferPointer, _ items: UnsafeRawBufferPointer, _ total: Int
    ) throws(DecodeError) {
        let base = data.base
        let shared = self.shared
        let offsets = self.offsets
        if let address = firstItem.baseAddress { base.copyMemory(from: address, byteCount: firstItem.count) }
        var source = items.baseAddress ?? UnsafeRawPointer(base)
        var left = items.count
        var previous = UnsafeRawPointer(base)
        var previousCount = firstItem.count
        var out = base + firstItem.count
        for index in 1..<max(n, 1) {
            let prefix = Int(shared[index]) &+ cp
            let length = Int(offsets[index &+ 1] &- offsets[index])
            let rest = length &- prefix
            guard rest >= 0, prefix <= previousCount else { throw .inconsistent }
            guard rest <= left else { throw .truncated }
            // Both copies may run past their ends: what follows is written later, and the last item has the slack.
            ShortCopy.copy(previous, to: out, prefix)
            ShortCopy.copy(source, to: out + prefix, rest)
            var exact = prefix
            if prefix < previousCount {
                guard rest > 0 else { throw .unsorted }
                let old = previous.load(fromByteOffset: prefix, as: UInt8.self)
                let new = source.load(as: UInt8.self)
                if new <= old {
                    guard new == old else { throw .unsorted }
                    // A prefix length below the longest possible one: legal, so look at the bytes behind it.
                    let a = UnsafeRawBufferPointer(start: previous, count: previousCount)
                    let b = UnsafeRawBufferPointer(start: out, count: length)
                    exact = Bytes.commonPrefix(a, b)
                    guard DecodedItems.isAscending(a, b, exact) else { throw .unsorted }
                }
            }
            shared[index] = UInt32(truncatingIfNeeded: exact)
            source += rest
            left &-= rest
            previous = UnsafeRawPointer(out)
            previousCount = length
            out += length
        }
        guard left == 0 else { throw .trailingBytes }
        data.commit(total)
    }
}

/// Memory for the decompressed payloads of a block, reused from block to block. One owner.
public struct BlockScratch: ~Copyable {
    var items = RawBuffer(capacity: Limits.blockBytesMax)
    var lens = RawBuffer(capacity: 4096)

    /// Empty.
    public init() {}
}
