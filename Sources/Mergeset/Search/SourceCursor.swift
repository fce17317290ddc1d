// SourceCursor.swift - a position in one sorted source: a part on disk, through its caches, or a run in memory
// (docs/format/mergeset-table.md, 14.2).
//
//   metaindex row  ->  index block  ->  data block  ->  item          each step: last entry whose first item is < key
//
// Stepping back by one is needed because the key may lie inside the block before; if it does not, the next block's first
// item is the answer. A block that is at hand already is not asked for again.
//
// Threads: one owner.

import StorageBytes
import StorageRuntime

/// Lookups of a cursor in the block caches, added to the shared counters now and then.
struct CacheTally {
    var dataRequests: UInt64 = 0, dataMisses: UInt64 = 0
    var indexRequests: UInt64 = 0, indexMisses: UInt64 = 0
}

/// A position in a sorted source.
struct SourceCursor: ~Copyable {
    // Kept alive by the list of the cursor's view: no counting of references on the way.
    private let part: Unmanaged<FilePart>?
    private let run: Unmanaged<MemoryRun>?

    private var row = 0
    private var headers: IndexBlock?
    private var headersRow = -1
    private var number = 0
    private(set) var block: DataBlock?
    /// Position in the block or run, and the items there.
    var index = 0
    private(set) var count = 0
    private(set) var isExhausted = true

    init(_ part: FilePart) {
        self.part = .passUnretained(part)
        run = nil
    }

    init(_ run: MemoryRun) {
        part = nil
        self.run = .passUnretained(run)
    }

    /// The item at the position; there is one unless the source is exhausted.
    @inline(__always)
    var item: UnsafeRawBufferPointer {
        if let block { return block.items[index] }
        return run.unsafelyUnwrapped._withUnsafeGuaranteedRef { $0.item(index) }
    }

    /// Item `position` of the block or run at hand.
    @inline(__always)
    func item(at position: Int) -> UnsafeRawBufferPointer {
        if let block { return block.items[position] }
        return run.unsafelyUnwrapped._withUnsafeGuaranteedRef { $0.item(position) }
    }

    /// Moves to the first item that is not smaller than `key`.
    mutating func seek(_ key: UnsafeRawBufferPointer, _ tally: inout CacheTally) throws(StorageError) {
        if let run {
            (index, count) = run._withUnsafeGuaranteedRef { ($0.lowerBound(key), $0.count) }
            isExhausted = index == count
            return
        }
        let part = part.unsafelyUnwrapped.takeUnretainedValue()
        if Bytes.compare(key, part.lastItem) > 0 {
            isExhausted = true
            return
        }
        if Bytes.compare(key, part.firstItem) <= 0 {
            try load(row: 0, number: 0, mayEvict: true, &tally)
            index = 0
            isExhausted = false
            return
        }
        let foundRow = max(part.metaindex.lowerBound(key) - 1, 0)
        try loadHeaders(foundRow, &tally)
        let foundNumber = max(headers.unsafelyUnwrapped.lowerBound(key) - 1, 0)
        try load(row: foundRow, number: foundNumber, mayEvict: true, &tally)
        index = block.unsafelyUnwrapped.lowerBound(key)
        isExhausted = false
        if index == count { try nextBlock(&tally) }
    }

    /// Moves to the next item.
    @inline(__always)
    mutating func advance(_ tally: inout CacheTally) throws(StorageError) {
        index &+= 1
        if index < count { return }
        if run != nil {
            isExhausted = true
        } else {
            try nextBlock(&tally)
        }
    }

    private mutating func nextBlock(_ tally: inout CacheTally) throws(StorageError) {
        let part = part.unsafelyUnwrapped.takeUnretainedValue()
        try loadHeaders(row, &tally)
        var nextRow = row
        var nextNumber = number + 1
        if nextNumber == headers.unsafelyUnwrapped.count {
            nextRow += 1
            nextNumber = 0
            if nextRow == part.metaindex.count {
                isExhausted = true
                return
            }
            try loadHeaders(nextRow, &tally)
        }
        try load(row: nextRow, number: nextNumber, mayEvict: false, &tally)
        index = 0
        isExhausted = false
    }

    private mutating func loadHeaders(_ wanted: Int, _ tally: inout CacheTally) throws(StorageError) {
        if headersRow == wanted { return }
        var hit = false
        headers = try part.unsafelyUnwrapped.takeUnretainedValue().indexBlock(wanted, hit: &hit)
        headersRow = wanted
        tally.indexRequests &+= 1
        if !hit { tally.indexMisses &+= 1 }
    }

    private mutating func load(
        row wanted: Int, number wantedNumber: Int, mayEvict: Bool, _ tally: inout CacheTally
    ) throws(StorageError) {
        try loadHeaders(wanted, &tally)
        if block != nil, row == wanted, number == wantedNumber { return }
        var hit = false
        let loaded = try part.unsafelyUnwrapped.takeUnretainedValue().dataBlock(
            wanted, headers.unsafelyUnwrapped, wantedNumber, mayEvict: mayEvict, hit: &hit)
        tally.dataRequests &+= 1
        if !hit { tally.dataMisses &+= 1 }
        block = loaded
        row = wanted
        number = wantedNumber
        count = loaded.items.count
        index = 0
    }

    /// Adds what was counted to the shared counters.
    func publish(_ tally: CacheTally, to caches: PartCaches) {
        caches.dataBlocks.requests.wrappingAdd(tally.dataRequests, ordering: .relaxed)
        caches.dataBlocks.misses.wrappingAdd(tally.dataMisses, ordering: .relaxed)
        caches.indexBlocks.requests.wrappingAdd(tally.indexRequests, ordering: .relaxed)
        caches.indexBlocks.misses.wrappingAdd(tally.indexMisses, ordering: .relaxed)
    }
}
