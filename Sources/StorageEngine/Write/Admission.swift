// Admission.swift - how many AddRows calls may run at once (docs/format/series-index.md, 6.1, 6.13).
//
// A call that finds no place waits for one, and while anybody waits the searches pause: ingestion goes first. A call that
// has waited too long is refused with all its rows.
//
// Threads: any.

import StorageRuntime

/// Places for calls that add rows.
final class Admission: @unchecked Sendable {
    struct Counters: Sendable {
        var current = 0
        var limitReached: UInt64 = 0, timeouts: UInt64 = 0, droppedRows: UInt64 = 0
    }

    let capacity: Int
    private let waitNanoseconds: UInt64
    private let gate: PauseGate
    private let clock: any StorageClock
    private let freed = Condition()
    private let lock = Lock()
    private var state = Counters()  // guarded by `lock`

    init(capacity: Int, waitNanoseconds: UInt64, gate: PauseGate, clock: any StorageClock) {
        self.capacity = capacity
        self.waitNanoseconds = waitNanoseconds
        self.gate = gate
        self.clock = clock
    }

    var counters: Counters { lock.withLock { state } }

    /// Takes a place, waiting for it as long as is allowed.
    ///
    /// - Throws: `.overloaded` when there was none for so long; `rows` count as dropped.
    func enter(rows: Int) throws(StorageError) {
        lock.lock()
        defer { lock.unlock() }
        if tryEnter() { return }
        state.limitReached += 1
        let start = clock.monotonicNanoseconds
        let isIn = gate.whileClosed {
            var left = waitNanoseconds
            // The clock tells when others take the place each time; the waits are counted for a clock that stands still.
            while left > 0, clock.monotonicNanoseconds - start < waitNanoseconds {
                let step = min(left, 100_000_000)
                let wasWoken = freed.wait(lock, nanoseconds: step)
                if tryEnter() { return true }
                if !wasWoken { left -= step }
            }
            return false
        }
        if isIn { return }
        state.timeouts += 1
        state.droppedRows += UInt64(rows)
        throw StorageError(
            .overloaded,
            "cannot add \(rows) rows to storage in \(waitNanoseconds / 1_000_000_000)s, since it is overloaded with "
                + "\(capacity) concurrent writers; add more CPUs or reduce load")
    }

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
