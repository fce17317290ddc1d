// RowArena.swift - where rows wait until they are converted.
//
//   rows   | row 0 | row 1 | ... | room |      48 bytes each, one allocation
//
// Shards append in place and hand full arenas over by pointer; a pool keeps the memory of those that were converted. All
// rows of an arena have the same precision bits. The range of timestamps tells without another look whether all of them
// belong to one partition.
//
// Threads: an arena has one owner (a shard's lock, the list of full arenas, the converter); the pool is for any thread.

import StorageBytes
import StorageRuntime

/// Rows that arrived one after another.
final class RowArena: @unchecked Sendable {
    /// Most rows of an arena: 1.5 MiB.
    static let capacityMax = 32768

    let rows: UnsafeMutablePointer<SampleRow>
    let capacity: Int
    private(set) var count = 0
    private(set) var minTimestamp = Int64.max
    private(set) var maxTimestamp = Int64.min
    /// Of all rows.
    private(set) var precisionBits = 64

    /// An empty arena with room for `capacity` rows, 1...``capacityMax``.
    init(capacity: Int) {
        precondition(capacity > 0 && capacity <= RowArena.capacityMax, "an arena of \(capacity) rows")
        self.capacity = capacity
        rows = .allocate(capacity: capacity)
    }

    deinit { rows.deallocate() }

    /// Gives the pages of an empty arena back to the system.
    func dropPages() {
        assert(count == 0)
        MemoryPages.drop(rows, capacity * MemoryLayout<SampleRow>.stride)
    }

    var bytes: Int { count * MemoryLayout<SampleRow>.stride }

    var room: Int { capacity - count }

    var buffer: UnsafeBufferPointer<SampleRow> { UnsafeBufferPointer(start: rows, count: count) }

    func removeAll() {
        count = 0
        minTimestamp = .max
        maxTimestamp = .min
    }

    /// Appends rows that fit.
    func append(_ source: UnsafePointer<SampleRow>, _ added: Int, precisionBits: Int) {
        precondition(added <= room, "\(added) rows, room for \(room)")
        assert(count == 0 || precisionBits == self.precisionBits)
        self.precisionBits = precisionBits
        var (least, greatest) = (minTimestamp, maxTimestamp)
        for index in 0..<added {
            let timestamp = source[index].timestampMs
            if timestamp < least { least = timestamp }
            if timestamp > greatest { greatest = timestamp }
        }
        (minTimestamp, maxTimestamp) = (least, greatest)
        (rows + count).initialize(from: source, count: added)
        count += added
    }

    /// Replaces the contents by the rows of another arena in another order: row `i` goes to `places[numbers[i]]`, which
    /// moves on.
    func fill(from other: RowArena, numbers: UnsafePointer<UInt16>, places: UnsafeMutablePointer<Int>) {
        count = other.count
        (minTimestamp, maxTimestamp) = (other.minTimestamp, other.maxTimestamp)
        precisionBits = other.precisionBits
        for index in 0..<count {
            let number = Int(numbers[index])
            let place = places[number]
            places[number] = place &+ 1
            (rows + place).initialize(to: other.rows[index])
        }
    }
}

/// The memory of arenas that are not in use.
final class RowArenaPool: Sendable {
    private let free = Protected<[RowArena]>([])
    private let countMax: Int
    private let arenaRows: Int

    /// A pool of arenas for `arenaRows` rows each, that keeps at most `countMax`.
    init(arenaRows: Int, countMax: Int) {
        self.arenaRows = arenaRows
        self.countMax = countMax
    }

    func take() -> RowArena { free.withLock { $0.popLast() } ?? RowArena(capacity: arenaRows) }

    func put(_ arena: RowArena) {
        arena.removeAll()
        free.withLock { if $0.count < countMax { $0.append(arena) } }
    }

    /// Gives the memory back.
    func empty() {
        let old = free.withLock { list in
            let old = list
            list = []
            return old
        }
        for arena in old { arena.dropPages() }
    }

    /// Bytes of the arenas kept.
    var bytes: Int { free.withLock { $0.count } * arenaRows * MemoryLayout<SampleRow>.stride }
}

/// One of the places where added rows are collected, and its lock: held while a batch is copied, and for nothing else.
final class RowShard: @unchecked Sendable {
    let lock = Lock()
    /// Guarded by ``lock``; nil while no row waits here.
    var arena: RowArena?
}
