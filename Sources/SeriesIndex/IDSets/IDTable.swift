// IDTable.swift - the chunks of a set by their number (id >> 16): an open hash table with linear probing.
//
//   entries  | number u64 | word of the chunk u64 | x capacity (a power of two); word 0 = free
//
// Why a hash: ids are dense, so a set of 5 M ids in a few ranges has about 80 chunks, whose numbers are consecutive.
// Multiplying by the golden ratio spreads consecutive numbers evenly, so that nearly every chunk stands where it is
// looked for first; several ranges, one id far away or 100 k ids far apart from each other cost the same constant
// time, and the table grows with the number of ids and not with the distances between them. Only who wants the ids in
// order sorts the chunk numbers first.
//
// Ids that come from damaged or forged files could all be meant for one place. When a new chunk ends up more than
// `probesMax` entries from its place, the table takes another multiplier (a fixed sequence, so that runs repeat) and
// puts all entries anew, a few times at most.
//
// Contract: a table that more than one set holds is not changed. It owns one reference to each of its chunks.
// Threads: one owner while it is changed, any thread after that.
// The fields are not visible to inlined code of other rooms: the compiler can prove then that accesses to them do not
// overlap, which would be checked at every access otherwise (four fifths of the time of an insertion).

import StorageRuntime

/// A place of the table.
@frozen @usableFromInline
struct IDEntry {
    @usableFromInline var number: UInt64
    @usableFromInline var chunk: IDChunk

    @inlinable init(number: UInt64, chunk: IDChunk) {
        self.number = number
        self.chunk = chunk
    }
}

/// The chunks of a set, and how many ids they hold.
@usableFromInline
final class IDTable: @unchecked Sendable {
    private(set) var entries: UnsafeMutablePointer<IDEntry>
    /// Entries, free ones included, less one.
    private(set) var mask: Int
    /// How far the product of number and multiplier is shifted down to give the place.
    private(set) var shift: UInt64
    private(set) var multiplier: UInt64 = 0x9E37_79B9_7F4A_7C15
    /// Times that the multiplier was changed.
    private(set) var reseeds = 0
    /// Chunks in the table.
    private(set) var chunkCount = 0
    /// Ids in all chunks. Kept by those who change chunks.
    var count = 0

    /// The table of all empty sets.
    static let empty = IDTable()

    private static let probesMax = 1024
    private static let capacityMin = 4

    init(room: Int = 0) {
        var capacity = IDTable.capacityMin
        while room * 4 > capacity * 3 { capacity *= 2 }
        entries = IDTable.makeEntries(capacity)
        mask = capacity - 1
        shift = UInt64(64 - capacity.trailingZeroBitCount)
    }

    /// A copy that shares all chunks.
    init(copying other: IDTable) {
        let capacity = other.mask + 1
        entries = .allocate(capacity: capacity)
        entries.initialize(from: other.entries, count: capacity)
        mask = other.mask
        shift = other.shift
        multiplier = other.multiplier
        reseeds = other.reseeds
        chunkCount = other.chunkCount
        count = other.count
        for index in 0..<capacity { entries[index].chunk.retain() }
    }

    deinit {
        for index in 0...mask { entries[index].chunk.release() }
        entries.deallocate()
    }

    private static func makeEntries(_ capacity: Int) -> UnsafeMutablePointer<IDEntry> {
        let entries = UnsafeMutablePointer<IDEntry>.allocate(capacity: capacity)
        entries.initialize(repeating: IDEntry(number: 0, chunk: .empty), count: capacity)
        return entries
    }

    private func place(_ number: UInt64) -> Int { Int(truncatingIfNeeded: (number &* multiplier) &>> shift) }

    /// The index of a chunk's entry, or nil.
    func find(_ number: UInt64) -> Int? {
        var index = place(number)
        while !entries[index].chunk.isEmpty {
            if entries[index].number == number { return index }
            index = (index &+ 1) & mask
        }
        return nil
    }

    /// The chunk with a number; an empty one when there is none.
    func chunk(_ number: UInt64) -> IDChunk { find(number).map { entries[$0].chunk } ?? .empty }

    /// Adds a chunk that is not empty under a number that the table does not have, and takes over its reference.
    func add(_ number: UInt64, _ chunk: IDChunk) {
        assert(!chunk.isEmpty)
        if (chunkCount + 1) * 4 > (mask + 1) * 3 { rebuild(capacity: (mask + 1) * 2) }
        chunkCount += 1
        let probes = place(IDEntry(number: number, chunk: chunk))
        if probes > IDTable.probesMax, reseeds < 8 {
            reseeds += 1
            multiplier = SplitMix64.mix(UInt64(reseeds)) | 1
            rebuild(capacity: mask + 1)
        }
    }

    /// Puts an entry at its place; returns how far from the first choice it is.
    private func place(_ entry: IDEntry) -> Int {
        var index = place(entry.number)
        var probes = 0
        while !entries[index].chunk.isEmpty {
            index = (index &+ 1) & mask
            probes &+= 1
        }
        entries[index] = entry
        return probes
    }

    private func rebuild(capacity: Int) {
        let (old, oldMask) = (entries, mask)
        entries = IDTable.makeEntries(capacity)
        mask = capacity - 1
        shift = UInt64(64 - capacity.trailingZeroBitCount)
        for index in 0...oldMask where !old[index].chunk.isEmpty { _ = place(old[index]) }
        old.deallocate()
    }

    /// Takes out the entry at `index`, whose chunk's reference is the caller's (or gone) already, and closes the gap.
    func removeEntry(at index: Int) {
        var gap = index
        var next = (gap &+ 1) & mask
        while !entries[next].chunk.isEmpty {
            // An entry may move into the gap unless its first choice lies behind the gap.
            let distance = (next &- place(entries[next].number)) & mask
            if distance >= (next &- gap) & mask {
                entries[gap] = entries[next]
                gap = next
            }
            next = (next &+ 1) & mask
        }
        entries[gap].chunk = .empty
        chunkCount -= 1
    }

    /// Changes a chunk, adding or removing it as needed, and keeps ``count``.
    @inline(__always)
    func update<Result>(_ number: UInt64, _ body: (inout IDChunk) -> Result) -> Result {
        guard let index = find(number) else {
            var chunk = IDChunk.empty
            let result = body(&chunk)
            if !chunk.isEmpty {
                count += chunk.count
                add(number, chunk)
            }
            return result
        }
        let before = entries[index].chunk.count
        let result = body(&entries[index].chunk)
        count += entries[index].chunk.count - before
        if entries[index].chunk.isEmpty { removeEntry(at: index) }
        return result
    }

    /// Calls `body` with every chunk, in no order.
    @inline(__always)
    func forEachChunk<Failure: Error>(_ body: (UInt64, IDChunk) throws(Failure) -> Void) throws(Failure) {
        for index in 0...mask where !entries[index].chunk.isEmpty {
            try body(entries[index].number, entries[index].chunk)
        }
    }

    /// The entries by ascending number. The chunks stay those of the table.
    @usableFromInline func sorted() -> [IDEntry] {
        var result: [IDEntry] = []
        result.reserveCapacity(chunkCount)
        forEachChunk { (number, chunk) throws(Never) in result.append(IDEntry(number: number, chunk: chunk)) }
        if result.count > 1 { result.sort { $0.number < $1.number } }
        return result
    }

    /// Bytes of the table and of its chunks.
    var memoryBytes: Int {
        var bytes = IDTable.objectBytes + (mask + 1) * MemoryLayout<IDEntry>.stride
        forEachChunk { (_, chunk) throws(Never) in bytes += chunk.memoryBytes }
        return bytes
    }

    /// Bytes of the object itself: its header and the fields above.
    private static let objectBytes = 16 + 7 * 8
}
