// Interrupt.swift - Ctrl-C and SIGTERM as a flag that the run looks at between its batches.
//
// The handler only stores to an atomic. The first signal asks the run to stop and tidy up; afterwards the default
// action is in force again, so a second one ends the process at once (what it leaves then is a temporary directory
// `*.tmp-PID`, never half a report).

import Glibc
import StorageRuntime
import Synchronization

/// Whether the user wants the run to end.
public enum Interrupt {
    private static let flag = Atomic<Bool>(false)

    /// From now on SIGINT and SIGTERM set the flag. Call it once, before threads start.
    public static func install() {
        flag.store(false, ordering: .relaxed)  // also initialises the static before a handler can touch it
        for number in [SIGINT, SIGTERM] {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { _ in Interrupt.request() }
            action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
            sigaction(number, &action, nil)
        }
    }

    /// Asks the run to end, as a signal would.
    public static func request() { flag.store(true, ordering: .relaxed) }

    /// Takes a request back (tests).
    public static func clear() { flag.store(false, ordering: .relaxed) }

    /// Tells whether the run has been asked to end.
    public static var isRequested: Bool { flag.load(ordering: .relaxed) }

    /// Throws ``HarnessError/interrupted`` when the run has been asked to end.
    public static func check() throws(HarnessError) {
        if isRequested { throw .interrupted }
    }
}
