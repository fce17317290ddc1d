// NodeLog.swift - log lines of the node: who writes one says level and text; where they go is the process's business.
//
// Lines that outsiders can cause go through `limited`: at most some lines a second for each cause, and the next line of
// the cause says how many were left out. There are as many causes as places in the code, so the memory is bounded.
//
// Threads: any.

import StorageRuntime

/// How grave a line is.
public enum LogLevel: Int, Sendable, CaseIterable, Comparable {
    /// Something happened as it should.
    case info
    /// Something is odd; service goes on.
    case warn
    /// Something failed; service goes on.
    case error
    /// The process ends.
    case fatal
    /// The process ends because of a defect.
    case panic

    /// Lower-case name, as in the lines.
    public var name: String {
        switch self {
        case .info: "info"
        case .warn: "warn"
        case .error: "error"
        case .fatal: "fatal"
        case .panic: "panic"
        }
    }

    /// Order of gravity.
    public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}

/// Writes log lines.
public final class NodeLog: Sendable {
    /// Receives level, place in the code, and text. Any thread.
    public typealias Sink = @Sendable (LogLevel, String, String) -> Void

    private struct Cause {
        var second: UInt64 = 0
        var lines = 0
        var leftOut = 0
    }

    private let sink: Sink
    private let clock: any StorageClock
    private let causes = Protected<[String: Cause]>([:])
    private let linesPerSecondMax: Int

    /// A log that hands its lines to `sink`.
    public init(
        clock: any StorageClock = SystemClock(), linesPerSecondMax: Int = 5, _ sink: @escaping Sink
    ) {
        self.clock = clock
        self.linesPerSecondMax = linesPerSecondMax
        self.sink = sink
    }

    /// A log that forgets everything.
    public static let silent = NodeLog { _, _, _ in }

    /// A line at INFO.
    public func info(_ message: String, file: StaticString = #fileID, line: UInt = #line) {
        sink(.info, "\(file):\(line)", message)
    }

    /// A line at WARN.
    public func warn(_ message: String, file: StaticString = #fileID, line: UInt = #line) {
        sink(.warn, "\(file):\(line)", message)
    }

    /// A line at ERROR.
    public func error(_ message: String, file: StaticString = #fileID, line: UInt = #line) {
        sink(.error, "\(file):\(line)", message)
    }

    /// A line at FATAL. The caller ends the process.
    public func fatal(_ message: String, file: StaticString = #fileID, line: UInt = #line) {
        sink(.fatal, "\(file):\(line)", message)
    }

    /// A line that outsiders can cause: a few a second for each place in the code.
    public func limited(
        _ level: LogLevel, _ message: @autoclosure () -> String, file: StaticString = #fileID, line: UInt = #line
    ) {
        let place = "\(file):\(line)"
        let second = clock.monotonicNanoseconds / 1_000_000_000
        let leftOut: Int? = causes.withLock { causes in
            var cause = causes[place] ?? Cause()
            defer { causes[place] = cause }
            if cause.second != second || cause.lines == 0 {
                let before = cause.leftOut
                cause = Cause(second: second, lines: 1)
                return before
            }
            guard cause.lines < linesPerSecondMax else {
                cause.leftOut += 1
                return nil
            }
            cause.lines += 1
            return 0
        }
        guard let leftOut else { return }
        sink(level, place, leftOut == 0 ? message() : message() + " (\(leftOut) similar lines were left out)")
    }
}
