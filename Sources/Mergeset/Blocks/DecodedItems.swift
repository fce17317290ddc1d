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

import CIntrinsics
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

    /// Fills `shared` with what each item shares with the one before, and `offsets[1 + i]` with the length of item i, both
    /// without the common prefix, from the lens payload; returns the bytes of all items. Of the first item nothing is
    /// left to find out: its entries are as they will be.
    private mutating func decodeLengths(
        _ n: Int, _ cp: Int, _ firstCount: Int, _ lens: UnsafeRawBufferPointer
    ) throws(DecodeError) -> Int {
        guard firstCount <= Limits.decodedBytesMax else { throw .outOfRange }
        shared[0] = 0
        offsets[0] = 0
        offsets[1] = UInt32(firstCount)
        var cursor = ByteCursor(lens)
        _ = try DecodedItems.readDifferences(&cursor, n - 1, first: 0, into: shared + 1)
        let sum = try DecodedItems.readDifferences(&cursor, n - 1, first: UInt64(firstCount - cp), into: offsets + 2)
        try cursor.finish()
        return firstCount + (n - 1) * cp + Int(sum)
    }

    /// Reads `count` numbers, each stored as a variable-length integer by its difference (exclusive or) to the one before;
    /// `first` is what is before them. Returns their sum.
    ///
    /// Most differences have one byte. Eight of those are read at once: they change the low 7 bits only, and three shifts
    /// carry each of them on to all numbers behind.
    @inline(__always)
    private static func readDifferences(
        _ cursor: inout ByteCursor, _ count: Int, first: UInt64, into target: UnsafeMutablePointer<UInt32>
    ) throws(DecodeError) -> UInt64 {
        let limit = UInt64(Limits.decodedBytesMax)
        var value = first
        var sum: UInt64 = 0
        var index = 0
        while index < count {
            if index &+ 8 <= count, cursor.remaining >= 8, value < limit {
                let bytes = UInt64(littleEndian: cursor.position.loadUnaligned(as: UInt64.self))
                if bytes & 0x8080_8080_8080_8080 == 0 {
                    let high = value & ~0x7F
                    var low = bytes ^ (value & 0x7F)
                    low ^= low &<< 8
                    low ^= low &<< 16
                    low ^= low &<< 32
                    ci_widen8(low, UInt32(truncatingIfNeeded: high), target + index)
                    value = high | low &>> 56
                    let pairs = (low & 0x00FF_00FF_00FF_00FF) &+ (low &>> 8 & 0x00FF_00FF_00FF_00FF)
                    sum &+= 8 &* high &+ (pairs &* 0x0001_0001_0001_0001) &>> 48
                    index &+= 8
                    _ = try cursor.readBytes(8)
                    continue
                }
            }
            value ^= try cursor.readVarint()
            guard value <= limit else { throw .outOfRange }
            target[index] = UInt32(truncatingIfNeeded: value)
            sum &+= value
            index &+= 1
        }
        return sum
    }

    /// Makes the items, and turns the lengths into offsets.
    ///
    /// The first 32 bytes of the item before are kept in registers: what the next one shares with it comes from there, for
    /// memory that was written a moment ago, in other pieces than it is read in, is slow to read.
    private mutating func rebuild(
        _ n: Int, _ cp: Int, _ firstItem: UnsafeRawBufferPointer, _ items: UnsafeRawBufferPointer, _ total: Int
    ) throws(DecodeError) {
        let base = data.base
        let shared = self.shared
        let offsets = self.offsets
        let masks = ci_prefix_masks().unsafelyUnwrapped
        if let address = firstItem.baseAddress { base.copyMemory(from: address, byteCount: firstItem.count) }
        let itemsStart = items.baseAddress ?? UnsafeRawPointer(base)
        let itemsEnd = itemsStart + items.count
        var source = itemsStart
        var previous = UnsafeRawPointer(base)
        var previousCount = firstItem.count
        var head = Head(previous)
        var out = base + firstItem.count
        for index in 1..<max(n, 1) {
            let prefix = Int(shared[index]) &+ cp
            let length = Int(offsets[index &+ 1]) &+ cp
            let rest = length &- prefix
            guard rest >= 0, prefix <= previousCount else { throw .inconsistent }
            guard rest <= itemsEnd - source else { throw .truncated }
            // All copies may run past their ends: what follows is written later, and the last item has the slack.
            if prefix <= Head.count, prefix <= source - itemsStart {
                let shifted = source - prefix
                head.replace(behind: prefix, by: shifted, masks)
                head.store(out)
                if length > Head.count {
                    ShortCopy.copy(shifted + Head.count, to: out + Head.count, length &- Head.count)
                }
            } else {
                ShortCopy.copy(previous, to: out, prefix)
                ShortCopy.copy(source, to: out + prefix, rest)
                head = Head(out)
            }
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
            previous = UnsafeRawPointer(out)
            previousCount = length
            out += length
            offsets[index &+ 1] = UInt32(truncatingIfNeeded: out - base)
        }
        guard source == itemsEnd else { throw .trailingBytes }
        data.commit(total)
    }

    /// The first 32 bytes of an item, in registers; behind a shorter item they are anything.
    private struct Head {
        static var count: Int { 32 }
        private var low: SIMD2<UInt64>
        private var high: SIMD2<UInt64>

        /// 32 bytes are readable at `start`.
        @inline(__always)
        init(_ start: UnsafeRawPointer) {
            low = start.loadUnaligned(as: SIMD2<UInt64>.self)
            high = start.loadUnaligned(fromByteOffset: 16, as: SIMD2<UInt64>.self)
        }

        /// Keeps the first `prefix` bytes and takes the others from the same places at `other`.
        @inline(__always)
        mutating func replace(behind prefix: Int, by other: UnsafeRawPointer, _ masks: UnsafeRawPointer) {
            let mask = masks + (Head.count &- prefix)
            let lowMask = mask.loadUnaligned(as: SIMD2<UInt64>.self)
            let highMask = mask.loadUnaligned(fromByteOffset: 16, as: SIMD2<UInt64>.self)
            let new = Head(other)
            low = low & lowMask | new.low & ~lowMask
            high = high & highMask | new.high & ~highMask
        }

        @inline(__always)
        func store(_ target: UnsafeMutableRawPointer) {
            target.storeBytes(of: low, as: SIMD2<UInt64>.self)
            target.storeBytes(of: high, toByteOffset: 16, as: SIMD2<UInt64>.self)
        }
    }
}

/// Memory for the decompressed payloads of a block, reused from block to block. One owner.
public struct BlockScratch: ~Copyable {
    var items = RawBuffer(capacity: Limits.blockBytesMax)
    var lens = RawBuffer(capacity: 4096)

    /// Empty.
    public init() {}
}
