// CacheShard.swift - one shard of a MetricIDCache: a ring of chunks full of entries, and an index over them.
//
//   index    | tag u32 | position u32 | x a power of two, linear probing; position 0 = free
//              tag: the lower half of the id's hash, whose lowest bits are the place looked at first
//              position: chunk << 13 | offset / 8, plus 1
//   chunks   | address | used u32 | capacity u32 | x chunkCountMax
//   entry    | id u64 | read bit 31, replaced bit 30, length u32 | value | padding to 8 |      one behind another
//
// Entries are appended to the chunk that is written; when it is full, a new one is allocated while the budget lasts. After
// that the clock hand takes the next chunk in turn: entries that were read since the hand passed last are moved to its
// front, at most half of the chunk and with their mark taken away; the others go; the rest of the chunk is written anew. So
// making room costs one pass over a chunk for at least half a chunk of new entries, and an entry that is read now and
// then stays. An entry that was replaced by another value stays in its chunk, unreachable, until the hand comes by.
//
// The index doubles when three quarters of it are taken, and is then made anew from the entries, so that the old one is
// gone before the new one is there. Without room for that in the budget, entries of the size put lately decide: if more of
// them would fit with the larger index, chunks are given up for it; otherwise the hand throws out entries.
//
// A value that does not fit into a chunk (there are such in small caches only: a chunk is a sixteenth of the shard, at
// most 64 KiB) gets a chunk of its own, which goes as a whole.
//
// The budget is exact: index, table of chunks and chunks, as they were asked for from the allocator. Nothing but the table
// of chunks is reserved ahead.
//
// Contract: an entry is reached through its position only, and positions are those of entries that were written: a chunk is
// given up or overwritten only after its positions were removed from the index.
// Threads: one owner at a time (the lock of the shard).

import StorageBytes
import StorageRuntime

/// Entries of one shard. The hash of an id is given by the caller, the same one every time.
struct CacheShard: ~Copyable {
    private struct Slot {
        var tag: UInt32 = 0
        var position: UInt32 = 0
    }

    private struct Chunk {
        var base: UnsafeMutableRawPointer?
        var used: UInt32 = 0
        var capacity: UInt32 = 0
    }

    private static let headerBytes = 12
    private static let readBit: UInt32 = 1 << 31
    private static let replacedBit: UInt32 = 1 << 30
    private static let lengthMask: UInt32 = replacedBit - 1
    private static let offsetBits: UInt32 = 13
    private static let slotsMin = 16
    static let chunkBytesMax = 8 << Int(offsetBits)
    private static let chunkBytesMin = 1024
    /// Most bytes of a shard: what positions can tell apart, and a good deal less.
    static let bytesMaxMax = chunkBytesMax << 17
    /// Longest value that is taken.
    static let valueBytesMax = chunkBytesMax - 16

    private let bytesMax: Int
    private let chunkBytes: Int
    private var slots: UnsafeMutablePointer<Slot>?
    private var slotCount = 0
    private let chunks: UnsafeMutablePointer<Chunk>
    private let chunkCountMax: Int
    /// Places of `chunks` that were ever taken, and those among them without a chunk now.
    private var chunkCount = 0
    private var holes = 0
    /// The chunk that is written, or -1.
    private var writing = -1
    private var hand = 0
    /// The average size of the entries put lately, in 1/256 byte.
    private var averageSize = 0
    private var metrics = CacheMetrics()

    /// An empty shard. `bytesMax` is `0...bytesMaxMax`.
    init(bytesMax: Int) {
        assert(bytesMax >= 0 && bytesMax <= CacheShard.bytesMaxMax)
        self.bytesMax = bytesMax
        var chunkBytes = CacheShard.chunkBytesMin
        while chunkBytes < CacheShard.chunkBytesMax, chunkBytes * 32 <= bytesMax { chunkBytes *= 2 }
        self.chunkBytes = chunkBytes
        chunkCountMax = bytesMax / chunkBytes
        chunks = .allocate(capacity: chunkCountMax)
        chunks.initialize(repeating: Chunk(), count: chunkCountMax)
        metrics.bytes = UInt64(chunkCountMax * MemoryLayout<Chunk>.stride)
        metrics.bytesMax = UInt64(bytesMax)
    }

    deinit {
        for index in 0..<chunkCount { chunks[index].base?.deallocate() }
        chunks.deallocate()
        slots?.deallocate()
    }

    /// Counters and gauges.
    var snapshot: CacheMetrics { metrics }

    private var bytes: Int { Int(metrics.bytes) }
    private var entryCount: Int { Int(metrics.entries) }

    private static func entryBytes(_ valueCount: Int) -> Int { (headerBytes + valueCount + 7) & ~7 }

    // MARK: entries

    /// Appends the value of an id to `buffer`; false when there is none.
    mutating func get(_ id: UInt64, hash: UInt64, into buffer: inout RawBuffer) -> Bool {
        metrics.requests &+= 1
        guard let slot = find(id, hash) else {
            metrics.misses &+= 1
            return false
        }
        let entry = entry(at: slot)
        let word = entry.load(fromByteOffset: 8, as: UInt32.self)
        if word & CacheShard.readBit == 0 {
            entry.storeBytes(of: word | CacheShard.readBit, toByteOffset: 8, as: UInt32.self)
        }
        let length = Int(word & CacheShard.lengthMask)
        buffer.append(UnsafeRawBufferPointer(start: entry + CacheShard.headerBytes, count: length))
        return true
    }

    /// Keeps a value in place of the one that the id has.
    mutating func put(_ id: UInt64, hash: UInt64, _ value: UnsafeRawBufferPointer) {
        if let slot = find(id, hash) {
            let entry = entry(at: slot)
            let word = entry.load(fromByteOffset: 8, as: UInt32.self)
            if Int(word & CacheShard.lengthMask) == value.count {
                CacheShard.copy(value, to: entry)
                return
            }
            entry.storeBytes(of: word | CacheShard.replacedBit, toByteOffset: 8, as: UInt32.self)
            removeSlot(slot)
        }
        let size = CacheShard.entryBytes(value.count)
        guard value.count <= CacheShard.valueBytesMax, makeIndexRoom(size), let position = makeRoom(size) else {
            metrics.refusals &+= 1
            return
        }
        let entry = address(position)
        entry.storeBytes(of: id, as: UInt64.self)
        entry.storeBytes(of: UInt32(value.count), toByteOffset: 8, as: UInt32.self)
        CacheShard.copy(value, to: entry)
        addSlot(Slot(tag: UInt32(truncatingIfNeeded: hash), position: position))
        metrics.entries &+= 1
    }

    /// Gives all memory back.
    mutating func removeAll() {
        for index in 0..<chunkCount { chunks[index].base?.deallocate() }
        chunks.update(repeating: Chunk(), count: chunkCount)
        slots?.deallocate()
        slots = nil
        slotCount = 0
        chunkCount = 0
        holes = 0
        writing = -1
        hand = 0
        averageSize = 0
        metrics.entries = 0
        metrics.bytes = UInt64(chunkCountMax * MemoryLayout<Chunk>.stride)
    }

    private static func copy(_ value: UnsafeRawBufferPointer, to entry: UnsafeMutableRawPointer) {
        guard let start = value.baseAddress else { return }
        (entry + headerBytes).copyMemory(from: start, byteCount: value.count)
    }

    private func address(_ position: UInt32) -> UnsafeMutableRawPointer {
        let place = position &- 1
        let offset = Int(place & (1 << CacheShard.offsetBits &- 1)) &* 8
        return chunks[Int(place &>> CacheShard.offsetBits)].base.unsafelyUnwrapped + offset
    }

    private static func position(_ chunk: Int, _ offset: Int) -> UInt32 {
        UInt32(chunk) &<< offsetBits &+ UInt32(offset / 8) &+ 1
    }

    // MARK: index

    private func slot(_ index: Int) -> Slot { slots.unsafelyUnwrapped[index] }

    private func entry(at index: Int) -> UnsafeMutableRawPointer { address(slot(index).position) }

    private func find(_ id: UInt64, _ hash: UInt64) -> Int? {
        guard let slots else { return nil }
        let tag = UInt32(truncatingIfNeeded: hash)
        let mask = slotCount &- 1
        var index = Int(tag) & mask
        while slots[index].position != 0 {
            if slots[index].tag == tag, address(slots[index].position).load(as: UInt64.self) == id { return index }
            index = (index &+ 1) & mask
        }
        return nil
    }

    /// The slot that leads to an entry that was not replaced.
    private func findSlot(of position: UInt32, id: UInt64) -> Int {
        let slots = slots.unsafelyUnwrapped
        let mask = slotCount &- 1
        var index = Int(CacheShard.tag(id)) & mask
        while slots[index].position != position {
            assert(slots[index].position != 0, "an entry of id \(id) is not in the index")
            index = (index &+ 1) & mask
        }
        return index
    }

    private static func tag(_ id: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: MetricIDCache.hash(id)) }

    private func addSlot(_ new: Slot) {
        let slots = slots.unsafelyUnwrapped
        let mask = slotCount &- 1
        var index = Int(new.tag) & mask
        while slots[index].position != 0 { index = (index &+ 1) & mask }
        slots[index] = new
    }

    /// Takes a slot out and closes the gap.
    private mutating func removeSlot(_ removed: Int) {
        let slots = slots.unsafelyUnwrapped
        let mask = slotCount &- 1
        var gap = removed
        var next = (gap &+ 1) & mask
        while slots[next].position != 0 {
            // A slot may move into the gap unless the place it belongs to lies behind the gap.
            if (next &- Int(slots[next].tag)) & mask >= (next &- gap) & mask {
                slots[gap] = slots[next]
                gap = next
            }
            next = (next &+ 1) & mask
        }
        slots[gap] = Slot()
        metrics.entries &-= 1
    }

    /// Makes sure that the index can take one more entry, of `size` bytes. False when the budget is too small for that.
    private mutating func makeIndexRoom(_ size: Int) -> Bool {
        averageSize += averageSize == 0 ? size * 256 : size - averageSize / 256
        while (entryCount + 1) * 4 > slotCount * 3 {
            let wanted = max(slotCount * 2, CacheShard.slotsMin)
            let added = (wanted - slotCount) * MemoryLayout<Slot>.stride
            if bytes + added <= bytesMax {
                growIndex(to: wanted)
                metrics.bytes &+= UInt64(added)
                return true
            }
            guard let next = nextChunk() else { return false }
            let left = bytesMax - fixedBytes - added
            let growthPays = left > 0 && left / max(averageSize / 256, 1) > slotCount * 3 / 4
            if growthPays || Int(chunks[next].capacity) != chunkBytes {
                free(next)
            } else {
                empty(next, keptMax: chunkBytes / 2)
                writing = next
            }
        }
        return true
    }

    private mutating func growIndex(to count: Int) {
        slots?.deallocate()
        let new = UnsafeMutablePointer<Slot>.allocate(capacity: count)
        new.initialize(repeating: Slot(), count: count)
        slots = new
        slotCount = count
        for index in 0..<chunkCount {
            guard let base = chunks[index].base else { continue }
            var offset = 0
            while offset < Int(chunks[index].used) {
                let id = (base + offset).load(as: UInt64.self)
                let word = (base + offset).load(fromByteOffset: 8, as: UInt32.self)
                if word & CacheShard.replacedBit == 0 {
                    addSlot(Slot(tag: CacheShard.tag(id), position: CacheShard.position(index, offset)))
                }
                offset &+= CacheShard.entryBytes(Int(word & CacheShard.lengthMask))
            }
        }
    }

    /// Bytes that are not chunks.
    private var fixedBytes: Int {
        chunkCountMax * MemoryLayout<Chunk>.stride + slotCount * MemoryLayout<Slot>.stride
    }

    // MARK: chunks

    /// Takes room for an entry of `size` bytes; nil when the budget is too small for it.
    private mutating func makeRoom(_ size: Int) -> UInt32? {
        if writing >= 0, Int(chunks[writing].used) + size <= Int(chunks[writing].capacity) {
            return take(size, writing)
        }
        let capacity = max(chunkBytes, size)
        if fixedBytes + capacity > bytesMax { return nil }
        while true {
            if bytes + capacity <= bytesMax, let index = freePlace() {
                chunks[index] = Chunk(
                    base: .allocate(byteCount: capacity, alignment: 16), used: 0, capacity: UInt32(capacity))
                metrics.bytes &+= UInt64(capacity)
                if capacity == chunkBytes { writing = index }
                return take(size, index)
            }
            guard let oldest = nextChunk() else { return nil }
            if capacity == chunkBytes, Int(chunks[oldest].capacity) == chunkBytes {
                empty(oldest, keptMax: min(chunkBytes / 2, chunkBytes - size))
                writing = oldest
                return take(size, oldest)
            }
            free(oldest)
        }
    }

    /// Takes `size` bytes at the end of a chunk, which has them.
    private func take(_ size: Int, _ index: Int) -> UInt32 {
        let offset = chunks[index].used
        // Not `+=`: built for the thread sanitizer, the compiler (6.3) stops at that.
        chunks[index].used = offset + UInt32(size)
        return CacheShard.position(index, Int(offset))
    }

    /// A place of the table of chunks that has none.
    private mutating func freePlace() -> Int? {
        if holes > 0 {
            for index in 0..<chunkCount where chunks[index].base == nil {
                holes -= 1
                return index
            }
        }
        if chunkCount == chunkCountMax { return nil }
        chunkCount += 1
        return chunkCount - 1
    }

    /// The chunk under the hand, which moves on; the one that is written only when there is no other. Nil without
    /// chunks.
    private mutating func nextChunk() -> Int? {
        for _ in 0..<chunkCount {
            let index = hand < chunkCount ? hand : 0
            hand = index + 1
            if chunks[index].base != nil, index != writing { return index }
        }
        return writing >= 0 ? writing : nil
    }

    /// Empties a chunk but for entries that were read, which are moved to its front as long as they take at most
    /// `keptMax` bytes.
    private mutating func empty(_ index: Int, keptMax: Int) {
        let base = chunks[index].base.unsafelyUnwrapped
        let used = Int(chunks[index].used)
        var kept = 0
        var offset = 0
        while offset < used {
            let entry = base + offset
            let word = entry.load(fromByteOffset: 8, as: UInt32.self)
            let size = CacheShard.entryBytes(Int(word & CacheShard.lengthMask))
            if word & CacheShard.replacedBit == 0 {
                let slot = findSlot(of: CacheShard.position(index, offset), id: entry.load(as: UInt64.self))
                if word & CacheShard.readBit != 0, kept + size <= keptMax {
                    entry.storeBytes(of: word & ~CacheShard.readBit, toByteOffset: 8, as: UInt32.self)
                    // Towards the front: the regions may overlap, which copyMemory allows.
                    if kept != offset { (base + kept).copyMemory(from: entry, byteCount: size) }
                    slots.unsafelyUnwrapped[slot].position = CacheShard.position(index, kept)
                    kept &+= size
                } else {
                    removeSlot(slot)
                    metrics.evictions &+= 1
                }
            }
            offset &+= size
        }
        chunks[index].used = UInt32(kept)
    }

    /// Gives a chunk and its entries up.
    private mutating func free(_ index: Int) {
        empty(index, keptMax: 0)
        chunks[index].base?.deallocate()
        metrics.bytes &-= UInt64(chunks[index].capacity)
        chunks[index] = Chunk()
        holes += 1
        if writing == index { writing = -1 }
    }
}
