// ArenaPool.swift - the memory of runs, from one run to the next: its pages are mapped already, and clearing new ones would cost
// a fifth of what a new series costs.
//
//   take() --> in use: open runs, sealed runs, runs being flushed --> put() --> waiting --trim()--> given back to the system
//
// How many are kept is not a setting but what was needed: no more than have been in use at once since the last trim but one.
// A table trims once a flush, so under a steady load, which needs as many from flush to flush, nothing is given back, and the
// second flush after a burst leaves what the load since then needs. A flush that leaves nothing behind shows that nobody is
// adding at the moment: it leaves one arena, for a trickle, and a table that nobody adds to soon keeps none but
// those of shards whose first batch was refused. What is
// given back goes to the system and not to the allocator, which would keep it for seconds.
//
// Threads: any. One lock, taken a few times for each run; arenas are given back outside of it.

import StorageBytes
import StorageRuntime

/// Arenas whose run has died, kept for the next runs.
final class ArenaPool: Sendable {
    private let capacity: Int
    private let countMax: Int

    private final class Box: @unchecked Sendable {
        private var buffer: RawBuffer?
        init(_ buffer: consuming RawBuffer) { self.buffer = consume buffer }
        func take() -> RawBuffer? { buffer.take() }
        func giveBack() { if let buffer = buffer.take() { buffer.giveBack() } }
    }

    private struct State: Sendable {
        var waiting: [Box] = []
        var inUse = 0
        /// Most in use since the last trim, and between that and the one before.
        var most = 0, mostBefore = 0
        /// Most bytes that a run has put into an arena.
        var filledBytesMax = 0
        var isRetired = false
    }
    private let state = Protected(State())

    /// A pool of arenas of `arenaBytes` bytes, of which no more than `countMax` wait.
    init(arenaBytes: Int, countMax: Int) {
        capacity = arenaBytes
        self.countMax = countMax
    }

    /// An empty arena.
    func take() -> RawBuffer {
        let box = state.withLock { state in
            state.inUse += 1
            state.most = max(state.most, state.inUse)
            return state.waiting.popLast()
        }
        if let box, let buffer = box.take() { return buffer }
        return RawBuffer(capacity: capacity)
    }

    /// Takes back an arena that ``take()`` gave. One that has grown far beyond the pool's size is given up.
    func put(_ buffer: consuming RawBuffer) {
        let filled = buffer.count
        let fits = buffer.capacity >= capacity && buffer.capacity <= capacity * 2
        buffer.removeAll()
        let box = Box(buffer)
        let isKept = state.withLock { state in
            state.inUse -= 1
            state.filledBytesMax = max(state.filledBytesMax, filled)
            guard fits, !state.isRetired, state.waiting.count < countMax else { return false }
            state.waiting.append(box)
            return true
        }
        if !isKept { box.giveBack() }
    }

    /// Gives back what is more than was needed since the trim before the last one, and what is more than `waitingMax`.
    func trim(waitingMax: Int = .max) {
        let surplus = state.withLock { state in
            let kept = min(max(state.most, state.mostBefore) - state.inUse, waitingMax)
            state.mostBefore = state.most
            state.most = state.inUse
            let count = max(0, state.waiting.count - max(kept, 0))
            // Those that wait longest.
            let surplus = Array(state.waiting.prefix(count))
            state.waiting.removeFirst(count)
            return surplus
        }
        for box in surplus { box.giveBack() }
    }

    /// Gives back all arenas that wait, and keeps none from now on.
    func retire() {
        let waiting = state.withLock { state in
            let waiting = state.waiting
            state.waiting = []
            state.isRetired = true
            return waiting
        }
        for box in waiting { box.giveBack() }
    }

    /// Arenas that wait, and those in use.
    struct Counts: Equatable {
        var waiting = 0, inUse = 0
    }

    var counts: Counts { state.withLock { Counts(waiting: $0.waiting.count, inUse: $0.inUse) } }

    /// Bytes of memory that waiting arenas take at most: no run has touched more.
    var waitingBytes: Int { state.withLock { $0.waiting.count * min($0.filledBytesMax, capacity * 2) } }
}
