// SourceCursor.swift - a position in one sorted source: a part on disk, through its caches, or a run in memory
// (docs/format/mergeset-table.md, 14.2).
//
//   metaindex row  ->  index block  ->  data block  ->  item          each step: last entry whose first item is < key
//
// Stepping back by one is needed because the key may lie inside the block before; if it does not, the next block's first
// item is the answer. A block that is at hand already is not asked for again.
//
// References are counted by hand: a cursor owns one index block and one data block, which may be thrown out of the cache at
// any time, and nothing else; where the items of the block lie is noted beside it. The part and the run are kept by the
// view.
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
    /// Owned.
    private var headers: Unmanaged<IndexBlock>?
    private var headersRow = -1
    private var number = 0
    /// Owned.
    private var block: Unmanaged<DataBlock>?
    /// Items of the block: item k is `base[offsets[k] ..< offsets[k + 1]]`. Meaningless without a block.
    private(set) var base = UnsafeRawPointer(bitPattern: 1).unsafelyUnwrapped
    private(set) var offsets = UnsafePointer<UInt32>(bitPattern: 4).unsafelyUnwrapped
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

    deinit {
        headers?.release()
        block?.release()
    }

    /// Whether the position is in a block, whose items lie at ``base``.
    @inline(__always)
    var isInBlock: Bool { block != nil }

    /// The item at the position; there is one unless the source is exhausted.
    @inline(__always)
    var item: UnsafeRawBufferPointer { item(at: index) }

    /// Item `position` of the block or run at hand.
    @inline(__always)
    func item(at position: Int) -> UnsafeRawBufferPointer {
        guard block == nil else {
            let start = Int(offsets[position])
            return UnsafeRawBufferPointer(start: base + start, count: Int(offsets[position &+ 1]) &- start)
        }
        return run.unsafelyUnwrapped._withUnsafeGuaranteedRef { $0.item(position) }
    }

    /// Moves to the first item that is not smaller than `key`.
    mutating func seek(_ key: UnsafeRawBufferPointer, _ tally: inout CacheTally) throws(StorageError) {
        _ = try place(key, &tally)
    }

    /// Moves to the first item that is not smaller than `prefix`; whether it starts with it.
    mutating func seek(prefix: UnsafeRawBufferPointer, _ tally: inout CacheTally) throws(StorageError) -> Bool {
        // What is known without looking at the item is enough almost always.
        let shared = try place(prefix, &tally)
        if isExhausted { return false }
        return shared >= 0 ? shared == prefix.count : Bytes.starts(item, with: prefix)
    }

    /// Moves to the first item that is not smaller than `key`. Returns the bytes that they share; -1 when that did not come
    /// out.
    @inline(__always)
    private mutating func place(_ key: UnsafeRawBufferPointer, _ tally: inout CacheTally) throws(StorageError) -> Int {
        guard let part else {
            (index, count) = run.unsafelyUnwrapped._withUnsafeGuaranteedRef { ($0.lowerBound(key), $0.count) }
            isExhausted = index == count
            return -1
        }
        isExhausted = part._withUnsafeGuaranteedRef { Bytes.compare(key, $0.lastItem) > 0 }
        if isExhausted { return -1 }
        // What the key shares with the first item of a block is known from the level above.
        let rowPlace = part._withUnsafeGuaranteedRef { $0.metaindex.place(key) }
        let foundRow = max(rowPlace.index &- 1, 0)
        try loadHeaders(foundRow, &tally)
        let headerPlace = headers.unsafelyUnwrapped._withUnsafeGuaranteedRef {
            $0.place(key, sharedWithFirst: rowPlace.sharedWithPrevious)
        }
        try load(row: foundRow, number: max(headerPlace.index &- 1, 0), mayEvict: true, &tally)
        let itemPlace = block.unsafelyUnwrapped._withUnsafeGuaranteedRef {
            $0.place(key, sharedWithFirst: headerPlace.sharedWithPrevious)
        }
        index = itemPlace.index
        if index < count { return itemPlace.sharedWithNext }
        try nextBlock(&tally)
        return -1
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
        try loadHeaders(row, &tally)
        var nextRow = row
        var nextNumber = number + 1
        if nextNumber == headers.unsafelyUnwrapped._withUnsafeGuaranteedRef({ $0.count }) {
            nextRow += 1
            nextNumber = 0
            if nextRow == part.unsafelyUnwrapped._withUnsafeGuaranteedRef({ $0.metaindex.count }) {
                isExhausted = true
                return
            }
            try loadHeaders(nextRow, &tally)
        }
        try load(row: nextRow, number: nextNumber, mayEvict: false, &tally)
        index = 0
        isExhausted = false
    }

    @inline(__always)
    private mutating func loadHeaders(_ wanted: Int, _ tally: inout CacheTally) throws(StorageError) {
        if headersRow == wanted { return }
        tally.indexRequests &+= 1
        let part = part.unsafelyUnwrapped
        var loaded = part._withUnsafeGuaranteedRef { $0.cachedIndexBlock(wanted) }
        if loaded == nil {
            tally.indexMisses &+= 1
            loaded = .passRetained(try part.takeUnretainedValue().readIndexBlock(wanted))
        }
        headers?.release()
        headers = loaded
        headersRow = wanted
    }

    /// Makes a block the one at hand. Its index block has to be at hand.
    @inline(__always)
    private mutating func load(
        row wanted: Int, number wantedNumber: Int, mayEvict: Bool, _ tally: inout CacheTally
    ) throws(StorageError) {
        assert(headersRow == wanted)
        if block != nil, row == wanted, number == wantedNumber { return }
        tally.dataRequests &+= 1
        let part = part.unsafelyUnwrapped
        var loaded = part._withUnsafeGuaranteedRef { $0.cachedDataBlock(wanted, wantedNumber) }
        if loaded == nil {
            tally.dataMisses &+= 1
            loaded = .passRetained(
                try part.takeUnretainedValue().readDataBlock(
                    wanted, headers.unsafelyUnwrapped.takeUnretainedValue(), wantedNumber, mayEvict: mayEvict))
        }
        block?.release()
        block = loaded
        (base, offsets, count) = loaded.unsafelyUnwrapped._withUnsafeGuaranteedRef {
            (UnsafeRawPointer($0.items.data.base), UnsafePointer($0.items.offsets), $0.items.count)
        }
        index = 0
        row = wanted
        number = wantedNumber
    }

    /// Adds what was counted to the shared counters.
    func publish(_ tally: CacheTally, to caches: PartCaches) {
        caches.dataBlocks.requests.wrappingAdd(tally.dataRequests, ordering: .relaxed)
        caches.dataBlocks.misses.wrappingAdd(tally.dataMisses, ordering: .relaxed)
        caches.indexBlocks.requests.wrappingAdd(tally.indexRequests, ordering: .relaxed)
        caches.indexBlocks.misses.wrappingAdd(tally.indexMisses, ordering: .relaxed)
    }
}
