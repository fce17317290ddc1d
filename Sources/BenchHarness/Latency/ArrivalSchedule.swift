// ArrivalSchedule.swift - when insert blocks should start: at a fixed rate, whether the engine is ready or not.
//
//   piece 1 (rows of a round)      |b0  b1  b2  b3  b4|      block k of a piece is due k x rows / rate after its start
//   rows are prepared, clock off                       ....
//   piece 2                                               |b0 ...   starts as late (or early) as piece 1 has ended
//
// The time in which the driver prepares rows is cut out of the schedule, a backlog is not: what one piece could not keep
// up with, the next one inherits. So a stall shows in the latency from the intended start of every block that waited for
// it, and not in that of the one block that met it.
//
// Threads: `begin` and `end` by the driver; between them the values are read by any thread.

import Glibc
import StorageRuntime

/// Due times of an open loop.
final class ArrivalSchedule: @unchecked Sendable {
    /// Rows a second; nil is a closed loop: everything is due at once.
    private(set) var rowsPerSecond: Double?
    private var start: UInt64 = 0
    /// Nanoseconds by which the last piece ended late (or, negative, early).
    private(set) var backlogNanoseconds: Int64 = 0
    /// The greatest backlog, in seconds, that was left at the end of a phase.
    private(set) var backlogSecondsMax = 0.0

    /// A schedule of a rate above 0.
    init(rowsPerSecond: Double?) { self.rowsPerSecond = rowsPerSecond }

    /// A phase ends, and another one with its own rate begins without a backlog.
    func restart(rowsPerSecond: Double?) {
        if self.rowsPerSecond != nil {
            backlogSecondsMax = max(backlogSecondsMax, Double(backlogNanoseconds) * 1e-9)
        }
        self.rowsPerSecond = rowsPerSecond
        backlogNanoseconds = 0
    }

    /// A piece begins; its first block is due now, or when the backlog says. `now` is of the ``WallClock``.
    func begin(now: UInt64) { start = UInt64(clamping: Int64(clamping: now) - backlogNanoseconds) }

    /// When the block that begins at `row` of the piece is due; nil in a closed loop.
    func due(row: Int) -> UInt64? {
        rowsPerSecond.map { start &+ UInt64(Double(row) / $0 * 1e9) }
    }

    /// A piece of `rows` rows has ended.
    func end(rows: Int, now: UInt64) {
        guard let due = due(row: rows) else { return }
        backlogNanoseconds = Int64(clamping: now) - Int64(clamping: due)
    }

    /// Sleeps until a moment of the ``WallClock``; at most 50 ms at a time, so that an interrupt is seen.
    static func wait(until due: UInt64) {
        while !Interrupt.isRequested {
            let now = WallClock.nanoseconds
            guard now < due else { return }
            let moment = min(due, now + 50_000_000)
            var time = timespec(tv_sec: Int(moment / 1_000_000_000), tv_nsec: Int(moment % 1_000_000_000))
            clock_nanosleep(CLOCK_MONOTONIC, Int32(TIMER_ABSTIME), &time, nil)
        }
    }
}
