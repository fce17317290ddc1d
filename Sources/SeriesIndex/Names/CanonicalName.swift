// CanonicalName.swift - the workspace that turns raw metric names into canonical ones, one after the other.
//
//   canonical   | tenant 8 | esc(group) | 01 | esc(k1) | 01 | esc(v1) | 01 | esc(k2) | 01 | esc(v2) | 01 | ...
//               |          |<--- group ---->|<------- tag 0 ------->|<------- tag 1 ------->|
//
// A raw name (docs/format/series-index.md, 2.2) is walked once: each tag leaves a 24-byte slot with the leading number
// of its sort key and its place in the raw name. Slots that arrive in order stay as they are; others are sorted
// (CanonicalName+Sort.swift). Then the parts are copied to the output, eight bytes a step, with a check for the rare
// bytes that need an escape. Keys and values are never compared or copied before that.
//
// The bytes of a tag are exactly TAG(k,v) of the index rows, so rows are made by copying from here. Group and values
// can also be had unescaped, as the hashes of a TSID want them: these point into the raw name, which therefore has to
// stay alive and unchanged as long as they are used.
//
// Memory: three growing areas, kept from name to name; areas that one huge name has blown up are given back.
// Threads: one owner at a time.

import Mergeset
import StorageBytes

/// A tag on its way from the raw name to the canonical one.
struct TagSlot {
    /// Leading number of the sort key, see TagOrder.swift.
    var sortHead: UInt64
    /// Offset of the key in the source. The value follows behind two bytes of length.
    var keyOffset: UInt32
    var keyLength: UInt16
    var valueLength: UInt16
    /// The key has a sort position.
    var isSpecial: Bool

    /// Bytes of the sort key.
    @inline(__always) var sortLength: Int { isSpecial ? TagOrder.positionBytes : Int(keyLength) }
    /// Offset of the value in the source.
    @inline(__always) var valueOffset: Int { Int(keyOffset) &+ Int(keyLength) &+ 2 }
}

/// The place of a tag in the canonical bytes.
@frozen @usableFromInline struct TagSpan {
    /// First byte of the escaped key.
    @usableFromInline var offset: UInt32
    /// Bytes of the escaped key without its terminator.
    @usableFromInline var keyLength: UInt32
    /// Bytes of key, value and both terminators.
    @usableFromInline var length: UInt32
}

/// One metric name in canonical form, with the places of its parts. Reused from name to name; allocates only while it
/// grows.
public struct CanonicalName: ~Copyable, @unchecked Sendable {
    @usableFromInline var output: RawBuffer
    /// Names that do not come from the caller's raw bytes: a raw form of its own, or a group of several pieces.
    @usableFromInline var side: RawBuffer
    var slots: TagSlots
    @usableFromInline var spans: UnsafeMutablePointer<TagSpan>
    @usableFromInline var spanRoom: Int
    let special: UnsafePointer<SpecialKey>

    /// Where the slots point into.
    var source: UnsafeRawPointer
    var groupStart: UnsafeRawPointer
    var groupCount: Int
    /// Bytes of the escaped group and its terminator.
    @usableFromInline var groupLength: Int

    /// The tenant of the name.
    public private(set) var tenant: Tenant
    /// Number of tags, duplicates removed.
    public private(set) var tagCount: Int

    /// Bytes of the longest raw name that is read at all.
    public static let rawBytesMax = 1 << 30
    private static let keptBytesMax = 1 << 20

    /// A workspace that holds the empty name of tenant 0:0.
    public init() {
        output = RawBuffer(capacity: 2048)
        side = RawBuffer()
        slots = TagSlots()
        spanRoom = 64
        spans = .allocate(capacity: spanRoom)
        special = TagOrder.table
        source = UnsafeRawPointer(side.base)
        groupStart = source
        groupCount = 0
        groupLength = 0
        tenant = Tenant(bits: 0)
        tagCount = 0
        render(readableTo: source)
    }

    deinit { spans.deallocate() }

    // MARK: The result

    /// The canonical name with its tenant. Valid until the next name.
    @inlinable public var bytes: UnsafeRawBufferPointer { output.bytes }

    /// Bytes of the canonical name with its tenant.
    @inlinable public var count: Int { output.count }

    /// The escaped group with its terminator.
    @inlinable public var escapedGroup: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: output.base + Tenant.storedBytes, count: groupLength)
    }

    /// The group as the source has it. Valid as long as the source is.
    public var group: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: groupStart, count: groupCount) }

    /// TAG(k,v) of a tag in canonical order: escaped key, 01, escaped value, 01. `index` is in `0..<tagCount`.
    @inlinable public func tag(_ index: Int) -> UnsafeRawBufferPointer {
        assert(index >= 0 && index < tagCount)
        return UnsafeRawBufferPointer(start: output.base + Int(spans[index].offset), count: Int(spans[index].length))
    }

    /// Bytes of the escaped key of a tag, without its terminator.
    @inlinable public func keyLength(_ index: Int) -> Int {
        assert(index >= 0 && index < tagCount)
        return Int(spans[index].keyLength)
    }

    /// The unescaped key of a tag. Valid as long as the source is.
    public func key(_ index: Int) -> UnsafeRawBufferPointer {
        precondition(index >= 0 && index < tagCount, "tag \(index) of \(tagCount)")
        let slot = slots.base[index]
        return UnsafeRawBufferPointer(start: source + Int(slot.keyOffset), count: Int(slot.keyLength))
    }

    /// The unescaped value of a tag. Valid as long as the source is.
    public func value(_ index: Int) -> UnsafeRawBufferPointer {
        precondition(index >= 0 && index < tagCount, "tag \(index) of \(tagCount)")
        let slot = slots.base[index]
        return UnsafeRawBufferPointer(start: source + slot.valueOffset, count: Int(slot.valueLength))
    }

    // MARK: From raw names

    /// Takes a raw name and makes its canonical form (docs/format/series-index.md, 2.5 and 2.6).
    ///
    /// - Parameter raw: Stays alive and unchanged while ``group``, ``key(_:)`` and ``value(_:)`` are used;
    ///   ``bytes`` and ``tag(_:)`` do not need it.
    /// - Throws: `.truncated` when a tenant, a length or the bytes it announces are cut; `.outOfRange` above
    ///   ``rawBytesMax``. The workspace is empty then: no bytes, no group, no tags.
    /// - Complexity: linear while the tags arrive nearly in order, else insertion sort up to 32 tags and merge sort
    ///   above. No allocation unless the name is longer than all before it.
    public mutating func canonicalize(raw: UnsafeRawBufferPointer) throws(DecodeError) {
        clear()
        guard raw.count >= Tenant.storedBytes, let start = raw.baseAddress else { throw .truncated }
        guard raw.count <= CanonicalName.rawBytesMax else { throw .outOfRange }
        let end = start + raw.count
        let special = self.special
        source = start
        tenant = Tenant(bits: BigEndian.load64(start))
        groupStart = start
        groupCount = 0

        var slot = slots.base
        var room = slots.room
        var count = 0
        var isSorted = true
        var previous: UInt64 = 0
        var address = start + Tenant.storedBytes
        while address < end {
            guard end - address >= 2 else { throw fail(.truncated) }
            let keyLength = loadLength(address)
            let key = address + 2
            guard end - key >= keyLength &+ 2 else { throw fail(.truncated) }
            let value = key + keyLength + 2
            let valueLength = loadLength(value - 2)
            guard end - value >= valueLength else { throw fail(.truncated) }
            address = value + valueLength
            if keyLength == 0 {
                groupStart = value
                groupCount = valueLength
                continue
            }
            let head = leadingNumber(key, keyLength, readableTo: end)
            if head == TagOrder.literalName, keyLength == 8 {
                extendGroup(value, valueLength)
                continue
            }
            if count == room {
                slots.grow(used: count)
                slot = slots.base + count
                room = slots.room
            }
            let position = TagOrder.position(leading: head, key, keyLength, in: special)
            let sortHead = position ?? head
            slot.pointee = TagSlot(
                sortHead: sortHead, keyOffset: UInt32(truncatingIfNeeded: key - start),
                keyLength: UInt16(truncatingIfNeeded: keyLength), valueLength: UInt16(truncatingIfNeeded: valueLength),
                isSpecial: position != nil)
            if sortHead <= previous, count > 0 { isSorted = false }
            previous = sortHead
            slot += 1
            count &+= 1
        }
        tagCount = isSorted ? count : slots.sort(count, source: start)
        render(readableTo: end)
    }

    // MARK: From canonical names

    /// Takes a canonical name: a name found in the index, say. Order and uniqueness of its tags are taken as they are
    /// (docs/format/series-index.md, 2.7); a lone 02 is read as itself and escaped in ``bytes``.
    ///
    /// `canonical` is copied and need not stay alive.
    /// - Throws: `.truncated` without a tenant, `.missingTerminator` and `.badEscape` for broken parts, `.outOfRange`
    ///   when a key or value has more than 65535 bytes, which no raw name can hold. The workspace then holds a name
    ///   without tags and of no further meaning.
    public mutating func load(canonical: UnsafeRawBufferPointer) throws(DecodeError) {
        clear()
        guard canonical.count <= CanonicalName.rawBytesMax else { throw .outOfRange }
        var reader = try CanonicalNameReader(canonical)
        // The parts go to the side buffer in raw form; each grows by two bytes of length and loses its terminator.
        side.removeAll()
        side.reserve(2 * canonical.count + 16)
        source = UnsafeRawPointer(side.base)
        tenant = reader.tenant
        side.appendBigEndian(tenant.bits)
        let group = UnsafeRawPointer(side.end)
        let groupCount = try TagEscape.unescape(reader.escapedGroup, at: side.end)
        side.commit(groupCount)

        var count = 0
        while let tag = try reader.next() {
            if count == slots.room { slots.grow(used: count) }
            let key = try appendPart(tag.key)
            let value = try appendPart(tag.value)
            slots.base[count] = TagSlot(
                sortHead: 0, keyOffset: UInt32(truncatingIfNeeded: key.offset),
                keyLength: UInt16(truncatingIfNeeded: key.count), valueLength: UInt16(truncatingIfNeeded: value.count),
                isSpecial: false)
            count &+= 1
        }
        groupStart = group
        self.groupCount = groupCount
        tagCount = count
        render(readableTo: UnsafeRawPointer(side.end))
    }

    /// Appends an unescaped part behind its length to the side buffer, which has room.
    private mutating func appendPart(
        _ escaped: UnsafeRawBufferPointer
    ) throws(DecodeError) -> (offset: Int, count: Int) {
        let offset = side.count + 2
        let count = try TagEscape.unescape(escaped, at: side.base + offset)
        guard count <= Int(UInt16.max) else { throw .outOfRange }
        side.appendBigEndian(UInt16(count))
        side.commit(count)
        return (offset, count)
    }

    // MARK: Steps

    @inline(__always) private func loadLength(_ address: UnsafeRawPointer) -> Int {
        Int(UInt16(bigEndian: address.loadUnaligned(as: UInt16.self)))
    }

    /// The first eight bytes of a key, big-endian, zeros behind a shorter key. `length` is positive.
    @inline(__always) private func leadingNumber(
        _ key: UnsafeRawPointer, _ length: Int, readableTo end: UnsafeRawPointer
    ) -> UInt64 {
        if length >= 8 { return BigEndian.load64(key) }
        if end - key >= 8 { return BigEndian.load64(key) & (~0 &<< UInt64(64 &- 8 &* length)) }
        return Bytes.leadingKey(key, length)
    }

    /// Appends the value of a literal `__name__` to the group (docs/format/series-index.md, 2.6, step 3).
    @inline(never) private mutating func extendGroup(_ value: UnsafeRawPointer, _ count: Int) {
        if groupCount == 0 {
            groupStart = value
            groupCount = count
            return
        }
        let extended: Int
        if groupStart == UnsafeRawPointer(side.base), side.count == groupCount {
            side.reserve(count)
            extended = 0
        } else {
            side.removeAll()
            side.reserve(groupCount + count)
            extended = groupCount
        }
        if extended > 0 { side.append(UnsafeRawBufferPointer(start: groupStart, count: extended)) }
        side.append(UnsafeRawBufferPointer(start: value, count: count))
        groupStart = UnsafeRawPointer(side.base)
        groupCount = side.count
    }

    /// Writes the canonical bytes of the parts that the slots name. Nothing is read at or behind `end` from the source.
    private mutating func render(readableTo end: UnsafeRawPointer) {
        let count = tagCount
        if count > spanRoom { growSpans(2 * count) }
        // Escapes at most double a part, and each part gets one byte more; a raw name has two more bytes a part.
        let sourceCount = Swift.max(end - source, 0)
        output.reserve(2 &* sourceCount &+ 2 &* groupCount &+ 2 &* Tenant.storedBytes &+ TagEscape.storeSlack)
        let base = output.base
        let source = self.source
        BigEndian.store64(tenant.bits, at: base)
        var target = base + Tenant.storedBytes
        let groupEnd = groupStart + groupCount
        let groupIsInside = groupStart >= source && groupEnd <= end
        target += TagEscape.store(groupStart, groupCount, readableTo: groupIsInside ? end : groupEnd, at: target)
        target = terminate(target)
        groupLength = target - base &- Tenant.storedBytes
        var slot = UnsafePointer(slots.base)
        var span = spans
        for _ in 0..<count {
            let tagStart = target
            let key = source + Int(slot.pointee.keyOffset)
            let keyLength = TagEscape.store(key, Int(slot.pointee.keyLength), readableTo: end, at: target)
            target = terminate(target + keyLength)
            let value = source + slot.pointee.valueOffset
            target += TagEscape.store(value, Int(slot.pointee.valueLength), readableTo: end, at: target)
            target = terminate(target)
            span.pointee = TagSpan(
                offset: UInt32(truncatingIfNeeded: tagStart - base), keyLength: UInt32(truncatingIfNeeded: keyLength),
                length: UInt32(truncatingIfNeeded: target - tagStart))
            slot += 1
            span += 1
        }
        output.commit(target - base)
    }

    @inline(__always) private func terminate(_ target: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        target.storeBytes(of: TagEscape.terminator, as: UInt8.self)
        return target + 1
    }

    @inline(never) private mutating func growSpans(_ room: Int) {
        spans.deallocate()
        spanRoom = room
        spans = .allocate(capacity: spanRoom)
    }

    /// Forgets the name before, and gives back what a huge one has left behind. The output has more than twice the
    /// bytes of the source, so its size tells about the other areas too.
    @inline(__always) private mutating func clear() {
        if output.capacity > CanonicalName.keptBytesMax { giveBack() }
        output.removeAll()
        tagCount = 0
        groupLength = 0
        groupCount = 0
        groupStart = UnsafeRawPointer(side.base)
    }

    /// Empties the workspace in the middle of a broken raw name.
    @inline(never) private mutating func fail(_ error: DecodeError) -> DecodeError {
        clear()
        return error
    }

    @inline(never) private mutating func giveBack() {
        output = RawBuffer(capacity: 2048)
        side = RawBuffer()
        slots = TagSlots()
        growSpans(64)
    }
}
