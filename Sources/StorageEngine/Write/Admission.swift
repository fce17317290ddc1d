// Admission.swift - how many calls may run at once (docs/format/series-index.md, 6.1, 6.13; sample-store.md, 14.3).
//
// A call that finds no place waits for one. While calls that add rows wait, the searches pause: ingestion goes first. A call
// that has waited too long is refused.
//
// Threads: any.

import StorageRuntime

/// Places for calls of one kind.
final class Admission: @unchecked Sendable {
    struct Counters: Sendable {
        var current = 0
        var limitReached: UInt64 = 0, timeouts: UInt64 = 0, droppedRows: UInt64 = 0
    }

    let capacity: Int
    private let gate: PauseGate?
    private let clock: any StorageClock
    private let freed = Condition()
    private let lock = Lock()
    private var state = Counters()  // guarded by `lock`

    /// - Parameter gate: Closed while somebody waits; nil holds nobody back.
    init(capacity: Int, gate: PauseGate?, clock: any StorageClock) {
        self.capacity = capacity
        self.gate = gate
        self.clock = clock
    }

    var counters: Counters { lock.withLock { state } }

    /// Takes a place, waiting for it until a deadline. False when there was none.
    func enter(deadline: Deadline) -> Bool {
        let now = clock.monotonicNanoseconds
        return enter(
            waitNanoseconds: deadline.monotonicNanoseconds > now ? deadline.monotonicNanoseconds - now : 0)
    }

    /// Takes a place, waiting for it as long as is allowed. False when there was none for so long.
    func enter(waitNanoseconds: UInt64) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        if tryEnter() { return true }
        state.limitReached += 1
        let isIn = gate.map { gate in gate.whileClosed { wait(waitNanoseconds) } } ?? wait(waitNanoseconds)
        if !isIn { state.timeouts += 1 }
        return isIn
    }

    private func wait(_ nanoseconds: UInt64) -> Bool {
        let start = clock.monotonicNanoseconds
        var left = nanoseconds
        // The clock tells when others take the place each time; the waits are counted for a clock that stands still.
        while left > 0, clock.monotonicNanoseconds - start < nanoseconds {
            let step = min(left, 100_000_000)
            let wasWoken = freed.wait(lock, nanoseconds: step)
            if tryEnter() { return true }
            if !wasWoken { left -= step }
        }
        return false
    }

    /// Counts the rows of a call that was refused.
    func drop(rows: Int) { lock.withLock { state.droppedRows += UInt64(rows) } }

    /// Gives a place back.
    func leave() {
        lock.withLock { state.current -= 1 }
        freed.signal()
    }

    private func tryEnter() -> Bool {
        guard state.current < capacity else { return false }
        state.current += 1
        return true
    }
}
