// ItemRef+Joined.swift - references to items in two pieces.
//
//              length                        offset          key
//   whole      bytes of the item             of the item     of no meaning, except while sorting
//   joined     bytes of the item | 2^31      of the tail     offset of the head (48 bits) | bytes of the head (16 bits)
//
// A joined item is its head with the tail behind it; both lie in the arena of the run, the tail as part of another item.
// Only merges read joined items; everything else gets them whole.

import StorageBytes

extension ItemRef {
    private static let joinedBit: UInt32 = 1 << 31

    /// The item made of two pieces of an arena. It has less than 2^31 bytes, the head at most 65535.
    init(head: Int, headCount: Int, tail: Int, tailCount: Int) {
        self.init(
            key: UInt64(truncatingIfNeeded: head) &<< 16 | UInt64(truncatingIfNeeded: headCount),
            offset: UInt32(truncatingIfNeeded: tail),
            length: UInt32(truncatingIfNeeded: headCount &+ tailCount) | ItemRef.joinedBit)
    }

    /// Whether the item is in two pieces.
    @inline(__always) var isJoined: Bool { length & ItemRef.joinedBit != 0 }

    /// Bytes of the item, in one piece or two.
    @inline(__always) var itemBytes: Int { Int(length & ~ItemRef.joinedBit) }

    private var headCount: Int { Int(key & 0xFFFF) }

    private func head(_ base: UnsafeRawPointer) -> UnsafeRawPointer { base + Int(truncatingIfNeeded: key &>> 16) }

    /// Puts the item together at `target`, which has room for ``itemBytes``. `base` is that of the arena.
    @inline(__always)
    func join(_ base: UnsafeRawPointer, at target: UnsafeMutableRawPointer) {
        target.copyMemory(from: head(base), byteCount: headCount)
        (target + headCount).copyMemory(from: base + Int(offset), byteCount: itemBytes &- headCount)
    }

    /// Puts the item together at the end of its arena, and refers to it there.
    func madeWhole(in arena: inout RawBuffer) -> ItemRef {
        let count = itemBytes
        arena.reserve(count)
        join(UnsafeRawPointer(arena.base), at: arena.end)
        let whole = ItemRef(
            key: 0, offset: UInt32(truncatingIfNeeded: arena.count), length: UInt32(truncatingIfNeeded: count))
        arena.commit(count)
        return whole
    }

    /// Whether this item is not greater than another joined item; false when a look at the heads and, where those are
    /// equal, the tails does not tell.
    func isKnownNotToExceed(_ other: ItemRef, _ base: UnsafeRawPointer) -> Bool {
        guard isJoined, headCount == other.headCount else { return false }
        let order = Bytes.compare(head(base), headCount, other.head(base), headCount)
        if order != 0 { return order < 0 }
        let tails = Bytes.compare(
            base + Int(offset), itemBytes - headCount, base + Int(other.offset), other.itemBytes - headCount)
        return tails <= 0
    }
}
