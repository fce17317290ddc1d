// HarnessError.swift - how a command of the harness ends when it does not end well.
//
//   0  pass                       64  wrong use of the command line
//   2  regression                 65  a profile or an input file cannot be used
//   3  inconclusive               66  two sides cannot be compared, or there is no baseline
//   4  improvements to lock in    69  a tool that is needed is missing (valgrind, objcopy, git, swift)
//                                 70  the engine gave a wrong answer (read-back or digest check failed)
//                                 73  an output directory or file cannot be made
//                                 74  reading or writing failed
//                                 75  somebody else holds the data directory
//                                130  interrupted by a signal
//
// Codes 2, 3 and 4 are verdicts and belong to comparing; everything from 64 on means that there is no verdict.

import StorageRuntime

/// Exit codes of the harness.
public enum ExitStatus: Int32, Sendable, CaseIterable {
    /// The command did what it was asked for.
    case pass = 0
    /// A comparison found a regression.
    case regression = 2
    /// A comparison found nothing but inconclusive figures.
    case inconclusive = 3
    /// A comparison found improvements that the thresholds do not hold yet.
    case improvements = 4
    /// Wrong use of the command line.
    case usage = 64
    /// A profile or an input file cannot be used.
    case badInput = 65
    /// The two sides of a comparison do not belong together, or there is no baseline.
    case notComparable = 66
    /// A program that is needed is not installed.
    case unavailable = 69
    /// A check inside the run failed: the engine gave a wrong answer.
    case checkFailed = 70
    /// An output directory or file cannot be made.
    case cannotCreate = 73
    /// Reading or writing failed.
    case inputOutput = 74
    /// The data directory is in use.
    case locked = 75
    /// Ended by a signal.
    case interrupted = 130
}

/// One clear line for the user, and the code the process ends with.
public struct HarnessError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The code the process ends with.
    public var status: ExitStatus
    /// What went wrong and what to do about it, in one line without a full stop.
    public var message: String

    /// An error with its line.
    public init(_ status: ExitStatus, _ message: String) {
        self.status = status
        self.message = message
    }

    /// An error of the storage, with the code that suits its kind.
    public init(_ error: StorageError, while doing: String) {
        switch error.kind {
        case .corrupted: status = .checkFailed
        case .locked: status = .locked
        case .invalidArgument: status = .usage
        default: status = .inputOutput
        }
        message = doing + ": " + error.description
    }

    /// The end of a run that was interrupted.
    public static let interrupted = HarnessError(.interrupted, "interrupted: no report written, temporary data removed")

    public var description: String { message }
}

extension HarnessError {
    /// Runs `body` and turns an error of the storage into one of the harness.
    @inline(__always)
    static func wrapping<Result: ~Copyable>(
        _ doing: @autoclosure () -> String, _ body: () throws(StorageError) -> Result
    ) throws(HarnessError) -> Result {
        do { return try body() } catch { throw HarnessError(error, while: doing()) }
    }
}
