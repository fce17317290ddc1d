// SampleSearch.swift - blocks of many series out of all parts of a table, in order (docs/format/sample-store.md, 14).
//
//   for each series    every part's cursor turns to it; those that have a block wait in a heap:
//
//     heap   (MinTimestamp, cursor) | ...     the root is the next block; its cursor moves on and sinks
//
// Series come one after another, so blocks of a series are adjacent, whatever parts they are in; within a series the heap
// merges the parts. Most parts hold most series, so nothing would be gained by keeping cursors of different series in it.
//
// The search holds the lists that were current when it was made: parts merged away meanwhile stay readable.
//
// Threads: one owner.

import StorageBytes
import StorageRuntime
import Synchronization

/// A search in a table of samples. One owner; keeps parts alive.
public final class SampleSearch {
    private struct Entry {
        var minTimestamp: Int64
        var cursor: Int

        @inline(__always) static func < (a: Entry, b: Entry) -> Bool {
            (a.minTimestamp, a.cursor) < (b.minTimestamp, b.cursor)
        }
    }

    private let clock: any StorageClock
    private let gate: PauseGate
    private let deadline: Deadline
    private let counters: SampleTableCounters
    private let held: [SamplePartitionState]
    private let heldParts: (small: Int, big: Int)
    private let parts: [SamplePart]
    private let cursors: [SampleCursor]

    private let tsids: [TSID]
    private var nextSeries = 0
    private var heap: [Entry] = []
    /// The block reached is that of the root; it has not been left yet.
    private var isAtBlock = false
    private var stepsLeft = 0

    init(
        _ table: SampleTable, _ tsids: [TSID], minTimestamp: Int64, maxTimestamp: Int64,
        deadline: Deadline
    ) {
        clock = table.environment.clock
        gate = table.searchGate
        counters = table.counters
        self.tsids = tsids
        self.deadline = deadline
        var held: [SamplePartitionState] = []
        var parts: [SamplePart] = []
        var counts = (small: 0, big: 0)
        if !tsids.isEmpty, minTimestamp <= maxTimestamp {
            for partition in table.partitions.withLock({ $0.listed })
            where partition.month.overlaps(minTimestamp, maxTimestamp) {
                guard let list = partition.state.beginSearch() else { continue }
                held.append(partition.state)
                let wanted = { (part: SamplePart) in part.totals.overlaps(minTimestamp, maxTimestamp) }
                let small = (list.memory as [SamplePart] + list.small).filter(wanted)
                let big = list.big.filter(wanted)
                counts.small += small.count
                counts.big += big.count
                parts += small + big
            }
        }
        self.held = held
        self.parts = parts
        heldParts = counts
        counters.small.searchReferences.wrappingAdd(counts.small, ordering: .relaxed)
        counters.big.searchReferences.wrappingAdd(counts.big, ordering: .relaxed)
        cursors = parts.map { $0.cursor(minTimestamp: minTimestamp, maxTimestamp: maxTimestamp) }
        heap.reserveCapacity(cursors.count)
    }

    deinit {
        counters.small.searchReferences.wrappingSubtract(heldParts.small, ordering: .relaxed)
        counters.big.searchReferences.wrappingSubtract(heldParts.big, ordering: .relaxed)
        for state in held { state.endSearch() }
    }

    /// Moves to the next block, in the order (TSID, MinTimestamp): blocks of a series are adjacent, blocks with equal keys in
    /// any order. False when there are no more.
    ///
    /// - Throws: `.deadlineExceeded`, `.corrupted` with the file of a part, `.io`. The search is over then.
    public func next() throws(StorageError) -> Bool {
        do throws(StorageError) {
            if isAtBlock {
                isAtBlock = false
                try advanceRoot()
            }
            while heap.isEmpty {
                guard nextSeries < tsids.count else { return false }
                try turn(to: tsids[nextSeries])
            }
            try step()
            isAtBlock = true
            return true
        } catch {
            nextSeries = tsids.count
            heap = []
            throw error
        }
    }

    /// The block reached by ``next()``. Of a part in memory, offsets, sizes and types are those of no data until it is read.
    public var header: SampleBlockHeader {
        precondition(isAtBlock, "no block was reached")
        return cursors[heap[0].cursor].header
    }

    /// The part that holds the block reached: its path, nil when it is in memory.
    public var partPath: String? {
        precondition(isAtBlock, "no block was reached")
        return (parts[heap[0].cursor] as? FileSamplePart)?.path
    }

    /// The bytes of the block reached by ``next()``; valid until the next call. They are not decoded.
    ///
    /// - Throws: `.corrupted`, `.io`.
    public func read() throws(StorageError) -> StoredSampleBlock {
        precondition(isAtBlock, "no block was reached")
        return try cursors[heap[0].cursor].read()
    }

    /// Before every so many blocks or series, starting with the first: the deadline, and the gate of urgent merges.
    @inline(__always) private func step() throws(StorageError) {
        if stepsLeft == 0 {
            try pause()
            stepsLeft = SamplePolicy.searchStep
        }
        stepsLeft &-= 1
    }

    private func pause() throws(StorageError) {
        gate.pass()
        if deadline.hasPassed(clock) {
            throw StorageError(
                .deadlineExceeded, "the deadline of a search of \(tsids.count) series has passed")
        }
    }

    /// Turns all cursors to a series and puts those that have a block into the heap.
    private func turn(to tsid: TSID) throws(StorageError) {
        let series = nextSeries
        nextSeries += 1
        if series > 0 {
            assert(!(tsid < tsids[series - 1]), "series are not ascending")
            if tsids[series - 1].metricID == tsid.metricID { return }
        }
        try step()
        for index in cursors.indices {
            let cursor = cursors[index]
            try cursor.seek(tsid)
            if try cursor.next() { push(Entry(minTimestamp: cursor.header.minTimestamp, cursor: index)) }
        }
    }

    /// Moves the cursor at the root to its next block.
    private func advanceRoot() throws(StorageError) {
        let index = heap[0].cursor
        if try cursors[index].next() {
            heap[0].minTimestamp = cursors[index].header.minTimestamp
        } else {
            let last = heap.removeLast()
            if heap.isEmpty { return }
            heap[0] = last
        }
        sink()
    }

    // MARK: heap

    private func push(_ entry: Entry) {
        heap.append(entry)
        var place = heap.count - 1
        while place > 0 {
            let parent = (place - 1) / 2
            guard heap[place] < heap[parent] else { return }
            heap.swapAt(place, parent)
            place = parent
        }
    }

    private func sink() {
        var place = 0
        while true {
            var least = place
            let (left, right) = (2 * place + 1, 2 * place + 2)
            if left < heap.count, heap[left] < heap[least] { least = left }
            if right < heap.count, heap[right] < heap[least] { least = right }
            if least == place { return }
            heap.swapAt(place, least)
            place = least
        }
    }
}
