// TableCursor.swift - walks the items of a table in order (docs/format/mergeset-table.md, 14.1).
//
// A cursor sees the list of parts of the moment it was made. The sources are kept in a binary heap by their current item.
// While one source is ahead, its items up to the head of the runner-up are delivered without asking the others: the
// common step is one addition and two loads.
//
// Equal items are delivered as often as they are stored; after a repeated seek the number of copies is not defined.
//
// A search can be long: it looks at its deadline, and waits at the table's gate, whenever it has read a block or made some
// thousands of steps. It holds no lock in between, so merges and flushes go on.
//
// Threads: one owner at a time; any number of cursors.

import StorageBytes
import StorageRuntime

/// A position in the items of a table.
public struct TableCursor: ~Copyable {
    @usableFromInline let state: UnsafeMutablePointer<CursorState>

    init(_ view: TableView, deadline: Deadline) {
        state = .allocate(capacity: 1)
        state.initialize(to: CursorState(view, deadline: deadline))
    }

    deinit {
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// The item delivered last. Valid until the next operation on the cursor.
    @inlinable public var item: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: state.pointee.itemStart, count: state.pointee.itemCount)
    }

    /// Positions before the first item that is not smaller than `key`. May be called any number of times, forward and
    /// backward; does nothing after an error.
    ///
    /// - Throws: `.corrupted`, `.io`, `.deadlineExceeded`: the cursor is dead then.
    public mutating func seek(_ key: UnsafeRawBufferPointer) throws(StorageError) { try state.pointee.seek(key) }

    /// Delivers the next item as ``item``; false at the end. Before any seek it delivers the first item of the table.
    @inlinable public mutating func next() throws(StorageError) -> Bool {
        let state = self.state
        let index = state.pointee.runIndex &+ 1
        if index < state.pointee.runEnd {
            state.pointee.runIndex = index
            let offsets = state.pointee.runOffsets + index
            let start = Int(offsets[0])
            state.pointee.itemStart = state.pointee.runBase + start
            state.pointee.itemCount = Int(offsets[1]) &- start
            return true
        }
        return try state.pointee.nextSlowly()
    }

    /// Seeks `prefix` and delivers the first item, if it starts with it. The next ``next()`` goes on behind that item.
    @inlinable public mutating func firstWithPrefix(_ prefix: UnsafeRawBufferPointer) throws(StorageError) -> Bool {
        try seek(prefix)
        guard try next() else { return false }
        return Bytes.starts(item, with: prefix)
    }

    /// Finds an item that starts with `prefix` and makes it ``item``: any one of them, so this is for prefixes behind which at
    /// most one is expected, or all are equally good. Much cheaper than ``firstWithPrefix(_:)`` in a table of many parts: one
    /// source after the other is asked, the largest part first and items in memory last, and the first that has an item
    /// ends the search; a source that has none is left without its items having been looked at. The cursor delivers
    /// nothing afterwards until it is sought again.
    ///
    /// - Returns: Whether there is one; false after an error, too.
    /// - Throws: `.corrupted`, `.io`, `.deadlineExceeded`: the cursor is dead then.
    public mutating func anyWithPrefix(_ prefix: UnsafeRawBufferPointer) throws(StorageError) -> Bool {
        try state.pointee.findAny(prefix)
    }

    /// Positions behind all items that start with the first `count` bytes of the item delivered last: the way to
    /// enumerate distinct prefixes without reading what they have in common. `count` is in `1...item.count`.
    public mutating func seekBehind(prefixOf count: Int) throws(StorageError) {
        precondition(count >= 1 && count <= item.count, "a prefix of \(count) bytes of an item of \(item.count)")
        var key = [UInt8](item[0..<count])
        while let last = key.last, last == 0xFF { key.removeLast() }
        guard !key.isEmpty else {
            state.pointee.exhaust()
            return
        }
        key[key.count - 1] += 1
        try key.withUnsafeBufferPointer { bytes throws(StorageError) in
            try state.pointee.seek(UnsafeRawBufferPointer(bytes))
        }
    }
}

/// What a cursor consists of. On the heap, so that stepping needs no exclusivity checks.
@usableFromInline struct CursorState: ~Copyable {
    // The item delivered last.
    @usableFromInline var itemStart: UnsafeRawPointer
    @usableFromInline var itemCount = 0
    // Items of the leading source that may be delivered at once: (runIndex, runEnd) in a data block.
    @usableFromInline var runIndex = 0
    @usableFromInline var runEnd = 0
    @usableFromInline var runBase: UnsafeRawPointer
    @usableFromInline var runOffsets: UnsafePointer<UInt32>

    private let view: TableView
    private let caches: PartCaches?
    private let sources: UnsafeMutablePointer<SourceCursor>
    private let sourceCount: Int
    // Sources with a current item; the smallest first.
    private let heap: UnsafeMutablePointer<Int>
    private var heapCount = 0
    private var isPositioned = false
    private var hasDelivered = false
    private var isDead = false
    private var tally = CacheTally()
    private let deadline: Deadline
    private var stepsToPause = CursorState.stepsPerPause

    private static let stepsPerPause = 4096
    private static let stepsPerSeek = 64

    init(_ view: TableView, deadline: Deadline) {
        self.view = view
        self.deadline = deadline
        let parts = view.list.partsBySize
        let runs = view.scope == .everything ? view.list.runs : []
        sourceCount = parts.count + runs.count
        sources = .allocate(capacity: max(sourceCount, 1))
        heap = .allocate(capacity: max(sourceCount, 1))
        for index in 0..<parts.count { (sources + index).initialize(to: SourceCursor(parts[index])) }
        for index in 0..<runs.count { (sources + parts.count + index).initialize(to: SourceCursor(runs[index])) }
        caches = parts.first?.caches
        itemStart = UnsafeRawPointer(heap)
        runBase = UnsafeRawPointer(heap)
        runOffsets = UnsafePointer(UnsafeRawPointer(heap).assumingMemoryBound(to: UInt32.self))
    }

    deinit {
        publishTally()
        sources.deinitialize(count: sourceCount)
        sources.deallocate()
        heap.deallocate()
    }

    private func publishTally() {
        guard let caches, sourceCount > 0 else { return }
        sources[0].publish(tally, to: caches)
    }

    /// Nothing more is delivered until the next seek.
    mutating func exhaust() {
        heapCount = 0
        isPositioned = true
        hasDelivered = false
        runIndex = 0
        runEnd = 0
    }

    mutating func seek(_ key: UnsafeRawBufferPointer) throws(StorageError) {
        guard !isDead else { return }
        exhaust()
        do throws(StorageError) {
            try pause(CursorState.stepsPerSeek)
            for index in 0..<sourceCount {
                try sources[index].seek(key, &tally)
                if !sources[index].isExhausted {
                    heap[heapCount] = index
                    heapCount += 1
                    siftUp(heapCount - 1)
                }
            }
        } catch {
            die()
            throw error
        }
    }

    mutating func findAny(_ prefix: UnsafeRawBufferPointer) throws(StorageError) -> Bool {
        guard !isDead else { return false }
        exhaust()
        do throws(StorageError) {
            try pause(CursorState.stepsPerSeek)
            for index in 0..<sourceCount where try sources[index].seek(prefix: prefix, &tally) {
                let item = sources[index].item
                itemStart = item.baseAddress ?? UnsafeRawPointer(heap)
                itemCount = item.count
                return true
            }
        } catch {
            die()
            throw error
        }
        return false
    }

    private mutating func die() {
        isDead = true
        exhaust()
    }

    @usableFromInline mutating func nextSlowly() throws(StorageError) -> Bool {
        guard !isDead else { return false }
        if !isPositioned { try seek(UnsafeRawBufferPointer(start: nil, count: 0)) }
        do throws(StorageError) {
            if hasDelivered, heapCount > 0 {
                let top = heap[0]
                if runEnd > 0 { sources[top].index = runEnd - 1 }
                try pause(1 + runEnd)
                runEnd = 0
                try sources[top].advance(&tally)
                if sources[top].isExhausted {
                    heapCount -= 1
                    heap[0] = heap[heapCount]
                }
                siftDown()
            }
        } catch {
            die()
            throw error
        }
        guard heapCount > 0 else {
            hasDelivered = false
            runEnd = 0
            return false
        }
        hasDelivered = true
        deliver()
        return true
    }

    /// Makes the head of the heap the item, and finds out how far its source is ahead of the others.
    private mutating func deliver() {
        let top = heap[0]
        let item = sources[top].item
        itemStart = item.baseAddress.unsafelyUnwrapped
        itemCount = item.count
        guard sources[top].isInBlock else { return }
        runIndex = sources[top].index
        runBase = sources[top].base
        runOffsets = sources[top].offsets
        let count = sources[top].count
        guard heapCount > 1 else {
            runEnd = count
            return
        }
        var second = heap[1]
        if heapCount > 2, isSmaller(heap[2], second) { second = heap[2] }
        let bound = sources[second].item
        if Bytes.compare(sources[top].item(at: count &- 1), bound) <= 0 {
            runEnd = count
            return
        }
        // Gallop: runs are short where sources interleave.
        var low = runIndex &+ 1
        var step = 1
        var high = low
        while high < count, Bytes.compare(sources[top].item(at: high), bound) <= 0 {
            low = high &+ 1
            high = low &+ step
            step &*= 2
        }
        high = min(high, count)
        while low < high {
            let middle = (low &+ high) >> 1
            if Bytes.compare(sources[top].item(at: middle), bound) <= 0 { low = middle &+ 1 } else { high = middle }
        }
        runEnd = low
    }

    // MARK: heap

    @inline(__always)
    private func isSmaller(_ a: Int, _ b: Int) -> Bool { Bytes.compare(sources[a].item, sources[b].item) < 0 }

    private mutating func siftUp(_ start: Int) {
        var position = start
        while position > 0 {
            let parent = (position - 1) >> 1
            guard isSmaller(heap[position], heap[parent]) else { return }
            swap(&heap[position], &heap[parent])
            position = parent
        }
    }

    private mutating func siftDown() {
        var position = 0
        while true {
            var child = 2 * position + 1
            guard child < heapCount else { return }
            if child + 1 < heapCount, isSmaller(heap[child + 1], heap[child]) { child += 1 }
            guard isSmaller(heap[child], heap[position]) else { return }
            swap(&heap[position], &heap[child])
            position = child
        }
    }

    // MARK: deadline and pauses

    private mutating func pause(_ steps: Int) throws(StorageError) {
        stepsToPause -= steps
        guard stepsToPause <= 0 else { return }
        stepsToPause = CursorState.stepsPerPause
        view.gate.pass()
        publishTally()
        tally = CacheTally()
        guard !deadline.hasPassed(view.clock) else {
            throw StorageError(.deadlineExceeded, "the search took longer than it was given")
        }
    }
}
