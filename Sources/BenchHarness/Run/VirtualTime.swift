// VirtualTime.swift - moves the clock of a run from round to round, and lets the engine do what has come due on the way.
//
//   round r ............ | end + 11 s | ... hour - 5 s | hour + 11 s ... | round r + 1
//                          due          due              due              due
//
// A live node updates its hour sets every 10 s and its next-day set every 11 s. Between rounds nothing arrives, so only
// the first update after a round, those around a change of the hour, and the last one before the next round can differ
// from doing nothing: these are made. A gap of more than two days is jumped over.
//
// Threads: the driver of the run.

import StorageEngine
import StorageRuntime

/// The clock of a run and the events that hang on it.
struct VirtualTime {
    let clock: DrivenClock
    let engine: StorageEngine
    let environment: Environment
    /// Moments at which a new index table is started, Unix milliseconds, ascending.
    var rotations: [Int64]

    /// What an update may be late after the rows that it is about.
    static let updateMs: Int64 = 11_000
    static let hourMs: Int64 = 3_600_000
    static let gapMs: Int64 = 2 * 86_400_000

    /// Moves the clock to `moment`; events on the way happen at their time.
    mutating func move(to moment: Int64) throws(HarnessError) {
        try pass(to: min(clock.unixMilliseconds + VirtualTime.updateMs, moment))
        if moment - clock.unixMilliseconds <= VirtualTime.gapMs {
            var hour = clock.unixMilliseconds / VirtualTime.hourMs * VirtualTime.hourMs + VirtualTime.hourMs
            while hour <= moment {
                try pass(to: hour - 5000)
                try pass(to: min(hour + VirtualTime.updateMs, moment))
                hour += VirtualTime.hourMs
            }
        }
        try pass(to: moment)
    }

    /// Moves the clock to `moment`, through the rotations before it.
    private mutating func pass(to moment: Int64) throws(HarnessError) {
        while let rotation = rotations.first, rotation <= moment {
            rotations.removeFirst()
            clock.raise(toUnixMilliseconds: rotation)
            try runDueTasks()
            try HarnessError.wrapping("starting a new index table") { () throws(StorageError) in
                try engine.rotateIndex()
            }
        }
        guard moment > clock.unixMilliseconds else { return }
        clock.raise(toUnixMilliseconds: moment)
        try runDueTasks()
    }

    private func runDueTasks() throws(HarnessError) {
        try HarnessError.wrapping("running what is due") { () throws(StorageError) in try engine.runDueTasks() }
        environment.scheduler.checkpoint()
        try Interrupt.check()
    }
}
