// BlockEncoder.swift - encodes one data block while its items arrive (docs/format/mergeset-table.md, 2 and 3).
//
// Items arrive in order, each with the length it shares with its predecessor (the merge knows it already). What the
// compressed form stores of an item is what follows that shared prefix, whatever the block's common prefix will turn out
// to be; so the payload grows as items arrive and no item is kept:
//
//   payload   item 1 behind its shared prefix | item 2 behind its shared prefix | ...
//   shared    0, shared(0,1), shared(1,2), ...        UInt32 each
//   lengths   length(0), length(1), ...               UInt32 each
//
// At the end the common prefix is the smallest shared length, and the lens payload follows from the two arrays. The
// plain form, needed for tiny and for incompressible blocks only, is rebuilt from the payload.
//
// Contract: 32 bytes behind each item are readable (RawBuffer.slack). Threads: one owner.

import StorageBytes

/// The size of a block and how it was stored.
public struct EncodedBlock: Sendable, Equatable {
    /// How the items are stored.
    public var marshalType: MarshalType
    /// Items in the block.
    public var itemsCount: Int
    /// Bytes of the first item that all items share.
    public var commonPrefixCount: Int
    /// Sizes of the two outputs.
    public var itemsSize: Int, lensSize: Int
}

/// Collects sorted items and encodes them as one block.
public struct BlockEncoder: ~Copyable {
    private var payload = RawBuffer(capacity: Limits.blockBytesMax)
    private var first = RawBuffer(capacity: 256)
    private var shared: UnsafeMutablePointer<UInt32>
    private var lengths: UnsafeMutablePointer<UInt32>
    private var capacity = 1024
    private var lensPayload = RawBuffer(capacity: 4096)
    private var smallestShared = Int.max

    /// Items in the block.
    public private(set) var count = 0
    /// Sum of the lengths of the items.
    public private(set) var dataBytes = 0

    /// An empty block.
    public init() {
        shared = .allocate(capacity: capacity)
        lengths = .allocate(capacity: capacity)
    }

    deinit {
        shared.deallocate()
        lengths.deallocate()
    }

    /// The first item; empty while there is none.
    public var firstItem: UnsafeRawBufferPointer { first.bytes }

    /// Whether ``encode(level:items:lens:)`` was called since the block was started. It takes no more items then; its
    /// contents stay for ``lastItem()`` until ``removeAll()``.
    public var isEncoded: Bool { bytesMax < 0 }
    private var bytesMax = Limits.blockBytesMax

    /// Tells whether the packing rule lets an item of this length into the block. An empty block takes any item.
    @inline(__always)
    public func fits(_ length: Int) -> Bool { dataBytes &+ length <= bytesMax && count < Limits.blockItemsMax }

    /// Leaves `bytes` less room in the block, for items to come.
    @inline(__always)
    mutating func narrow(by bytes: Int) { bytesMax &-= bytes }

    /// Bytes of a block that are used up: those of the items, and what ``narrow(by:)`` took.
    var usedBytes: Int { dataBytes &+ (Limits.blockBytesMax &- bytesMax) }

    /// Starts over with an empty block.
    public mutating func removeAll() {
        payload.removeAll()
        first.removeAll()
        count = 0
        dataBytes = 0
        smallestShared = .max
        bytesMax = Limits.blockBytesMax
    }

    /// Appends an item that is not smaller than the one before.
    ///
    /// - Parameter prefix: Bytes shared with the item appended before, exactly; ignored for the first item.
    @inline(__always)
    public mutating func append(_ item: UnsafeRawPointer, _ length: Int, sharing prefix: Int) {
        if count == capacity { grow() }
        lengths[count] = UInt32(truncatingIfNeeded: length)
        if count == 0 {
            first.append(UnsafeRawBufferPointer(start: item, count: length))
            shared[0] = 0
        } else {
            let rest = length &- prefix
            payload.reserve(rest)
            ShortCopy.copy(item + prefix, to: payload.end, rest)
            payload.commit(rest)
            shared[count] = UInt32(truncatingIfNeeded: prefix)
            if prefix < smallestShared { smallestShared = prefix }
        }
        count &+= 1
        dataBytes &+= length
    }

    @inline(never)
    private mutating func grow() {
        let wider = capacity * 2
        let newShared = UnsafeMutablePointer<UInt32>.allocate(capacity: wider)
        let newLengths = UnsafeMutablePointer<UInt32>.allocate(capacity: wider)
        newShared.update(from: shared, count: count)
        newLengths.update(from: lengths, count: count)
        shared.deallocate()
        lengths.deallocate()
        shared = newShared
        lengths = newLengths
        capacity = wider
    }

    /// Encodes the block, which has at least one item, and appends its two outputs. The encoder keeps its contents.
    ///
    /// - Complexity: O(items + bytes), no allocation once the buffers have grown.
    public mutating func encode(level: Int, items: inout RawBuffer, lens: inout RawBuffer) -> EncodedBlock {
        precondition(count > 0, "encoding a block without items")
        bytesMax = -1
        let commonPrefixCount = count == 1 ? first.count : smallestShared
        let itemsStart = items.count
        let lensStart = lens.count
        let bareBytes = dataBytes - count * commonPrefixCount
        var type = MarshalType.plain
        if count >= 2 && bareBytes >= Limits.compressedBlockBytesMin {
            let size = Zstd.compress(payload.bytes, level: level, into: &items)
            if Double(size) <= Limits.compressedShareMax * Double(bareBytes), size <= Limits.itemsDataBytesMax {
                buildLensPayload()
                Zstd.compress(lensPayload.bytes, level: level, into: &lens)
                type = .zstd
            } else {
                items.truncate(to: itemsStart)
            }
        }
        if type == .plain { encodePlain(commonPrefixCount, &items, &lens) }
        return EncodedBlock(
            marshalType: type, itemsCount: count, commonPrefixCount: commonPrefixCount,
            itemsSize: items.count - itemsStart, lensSize: lens.count - lensStart)
    }

    /// Takes the block as encoded: its outputs came from elsewhere, with the sizes given. What they decode to must be the
    /// payloads of this block.
    mutating func encoded(itemsSize: Int, lensSize: Int) -> EncodedBlock {
        precondition(count > 1, "no payloads")
        bytesMax = -1
        return EncodedBlock(
            marshalType: .zstd, itemsCount: count, commonPrefixCount: smallestShared, itemsSize: itemsSize,
            lensSize: lensSize)
    }

    /// Computes the two payloads of the compressed form without compressing them, as ``encode(level:items:lens:)`` does:
    /// for benchmarks of the coding alone, and for tests of the payload bytes.
    public mutating func withPayloads<Result>(
        _ body: (_ items: UnsafeRawBufferPointer, _ lens: UnsafeRawBufferPointer) -> Result
    ) -> Result {
        precondition(count > 0, "encoding a block without items")
        buildLensPayload()
        return body(payload.bytes, lensPayload.bytes)
    }

    /// Prefix lengths, then lengths, each xor-ed with its predecessor (3.3).
    private mutating func buildLensPayload() {
        lensPayload.removeAll()
        lensPayload.reserve(count * 2 * 3)  // a length has at most 17 bits: three bytes
        let cp = count == 1 ? first.count : smallestShared
        var out = lensPayload.end
        let start = out
        var previous = 0
        for index in 1..<max(count, 1) {
            let value = Int(shared[index]) &- cp
            out = BlockEncoder.storeSmall(value ^ previous, at: out)
            previous = value
        }
        previous = Int(lengths[0]) &- cp
        for index in 1..<max(count, 1) {
            let value = Int(lengths[index]) &- cp
            out = BlockEncoder.storeSmall(value ^ previous, at: out)
            previous = value
        }
        lensPayload.commit(out - start)
    }

    @inline(__always)
    private static func storeSmall(_ value: Int, at target: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        if value < 0x80 {
            target.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
            return target + 1
        }
        return target + Varint.store(UInt64(value), at: target)
    }

    /// The plain form (3.2): lengths as u64, suffixes behind the common prefix.
    private func encodePlain(_ cp: Int, _ items: inout RawBuffer, _ lens: inout RawBuffer) {
        guard count > 1 else { return }
        var previous = RawBuffer(capacity: first.count)
        previous.append(first.bytes)
        var source = payload.base
        for index in 1..<count {
            let prefix = Int(shared[index])
            let length = Int(lengths[index])
            previous.truncate(to: prefix)
            previous.append(UnsafeRawBufferPointer(start: source, count: length - prefix))
            source += length - prefix
            items.append(UnsafeRawBufferPointer(start: previous.base + cp, count: length - cp))
            lens.appendBigEndian(UInt64(length - cp))
        }
    }

    /// The last item, rebuilt from the payload. O(items).
    public func lastItem() -> [UInt8] {
        var item = first.array()
        var source = UnsafeRawPointer(payload.base)
        for index in 1..<max(count, 1) {
            let prefix = Int(shared[index])
            let rest = Int(lengths[index]) - prefix
            item.removeLast(item.count - prefix)
            item.append(contentsOf: UnsafeRawBufferPointer(start: source, count: rest))
            source += rest
        }
        return item
    }
}
