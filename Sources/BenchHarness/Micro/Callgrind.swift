// Callgrind.swift - switches valgrind's counting on for measured regions. Outside valgrind a call costs a few
// instructions and does nothing.

import CIntrinsics

/// Client requests of callgrind.
enum Callgrind {
    /// Counts instructions from here on, from 0.
    static func start() { ci_callgrind_start() }
    /// Goes on counting.
    static func resume() { ci_callgrind_resume() }
    /// Stops counting.
    static func stop() { ci_callgrind_stop() }
}
