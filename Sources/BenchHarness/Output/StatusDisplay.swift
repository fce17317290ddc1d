// StatusDisplay.swift - tells on standard error what a run is doing: one block that is redrawn on a terminal, a plain
// line every few seconds elsewhere, nothing when the user wants quiet. Standard output is left to the report.

import Glibc
import StorageRuntime

/// What there is to tell.
public struct StatusSnapshot: Sendable, Equatable {
    /// Phase of the run.
    public var phase: String
    /// Units done and to be done in this phase; a total of 0 is unknown.
    public var done: UInt64, total: UInt64
    /// What the units are.
    public var unit: String
    /// Seconds since the start of the ingest.
    public var elapsedSeconds = 0.0
    /// The latest interval of this phase.
    public var interval: IntervalRecord?

    /// A snapshot of a phase.
    public init(phase: String, done: UInt64, total: UInt64, unit: String) {
        self.phase = phase
        self.done = done
        self.total = total
        self.unit = unit
    }

    /// The block of a terminal: always three lines.
    public func block() -> [String] {
        var first = TextFormat.left(phase, 10) + " "
        if total > 0 {
            let share = min(1, Double(done) / Double(total))
            let filled = Int(share * 24)
            first += "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: 24 - filled) + "] "
            first += TextFormat.right(TextFormat.fixed(share * 100, 0), 3) + " %  "
            first += TextFormat.count(Double(done)) + " of " + TextFormat.count(Double(total)) + " " + unit
        }
        var second = "           "
        var third = "           "
        if let interval {
            second += TextFormat.count(interval.perSecond) + " \(unit)/s, "
            second += TextFormat.count(interval.itemsPerSecond) + " items/s, "
            second += TextFormat.seconds(elapsedSeconds)
            if interval.perSecond > 0, total > done {
                second += ", " + TextFormat.seconds(Double(total - done) / interval.perSecond) + " to go"
            }
            third += "parts \(interval.parts), pending " + TextFormat.bytes(Double(interval.pendingBytes))
            third += ", merges \(interval.activeMerges) running \(interval.merges) done, rss "
            third += TextFormat.bytes(Double(interval.rssBytes))
        }
        return [first, second, third]
    }

    /// The plain line.
    public func line() -> String {
        var text = phase
        if total > 0 { text += ": \(done) of \(total) \(unit)" }
        if let interval {
            if interval.perSecond > 0 { text += ", " + TextFormat.count(interval.perSecond) + "/s" }
            text += ", parts \(interval.parts), pending " + TextFormat.bytes(Double(interval.pendingBytes))
            text += ", rss " + TextFormat.bytes(Double(interval.rssBytes))
        }
        return text
    }
}

/// Writes the status. Safe to call from any thread.
public final class StatusDisplay: @unchecked Sendable {
    /// How to tell.
    public enum Style: Sendable {
        /// A block that is redrawn.
        case terminal
        /// A line every few seconds.
        case plain
        /// Nothing.
        case quiet

        /// The style that suits standard error.
        public static func automatic(quiet: Bool) -> Style {
            if quiet { return .quiet }
            return isatty(STDERR_FILENO) == 1 ? .terminal : .plain
        }
    }

    private let style: Style
    private let write: @Sendable (String) -> Void
    private let lock = Lock()
    private var drawnLines = 0
    private var lastPhase = ""
    private var lastNanoseconds: UInt64 = 0

    /// Seconds between two plain lines of one phase.
    static let plainSeconds = 5.0

    /// A display of a style; `write` receives the text, standard error unless a test wants it.
    public init(style: Style, write: @escaping @Sendable (String) -> Void = StatusDisplay.writeError) {
        self.style = style
        self.write = write
    }

    /// Shows a snapshot, or leaves it when it is too early for another plain line.
    public func show(_ snapshot: StatusSnapshot) {
        // Before the first phase there is nothing to tell.
        guard !snapshot.phase.isEmpty else { return }
        lock.withLock {
            switch style {
            case .quiet: return
            case .terminal:
                var text = up()
                let lines = snapshot.block()
                for line in lines { text += "\u{1B}[2K" + line + "\n" }
                drawnLines = lines.count
                write(text)
            case .plain:
                let now = WallClock.nanoseconds
                guard
                    snapshot.phase != lastPhase
                        || Double(now &- lastNanoseconds) * 1e-9 >= StatusDisplay.plainSeconds
                else { return }
                lastPhase = snapshot.phase
                lastNanoseconds = now
                write(snapshot.line() + "\n")
            }
        }
    }

    /// Removes the block from the terminal.
    public func clear() {
        lock.withLock {
            guard drawnLines > 0 else { return }
            var text = up()
            for _ in 0..<drawnLines { text += "\u{1B}[2K\n" }
            write(text + up())
            drawnLines = 0
        }
    }

    private func up() -> String { drawnLines > 0 ? "\u{1B}[\(drawnLines)A\r" : "" }

    /// Writes text to standard error.
    public static let writeError: @Sendable (String) -> Void = { text in writeAll(STDERR_FILENO, Array(text.utf8)) }

    /// Writes text to standard output.
    public static func writeOutput(_ text: String) { writeAll(STDOUT_FILENO, Array(text.utf8)) }

    /// Writes bytes to standard output.
    public static func writeOutput(_ bytes: UnsafeRawBufferPointer) { writeAll(STDOUT_FILENO, bytes) }

    private static func writeAll(_ file: Int32, _ bytes: [UInt8]) { bytes.withUnsafeBytes { writeAll(file, $0) } }

    private static func writeAll(_ file: Int32, _ bytes: UnsafeRawBufferPointer) {
        var start = 0
        while start < bytes.count {
            let count = Glibc.write(file, bytes.baseAddress.unsafelyUnwrapped + start, bytes.count - start)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return }  // nobody reads any more
            start += count
        }
    }
}
