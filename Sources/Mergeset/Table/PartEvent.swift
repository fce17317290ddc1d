// PartEvent.swift - what a table tells about a part that it has just made: from what, when, how large. For reports that show
// when merges ran and what they were made from; nothing in the table depends on it.
//
// Threads: ``TableOptions/onPartWritten`` is called by the thread that flushed or merged, possibly several at once, with
// the flush lock held after a flush. It must be quick, and must not call the table.

/// A part that was written.
public struct PartEvent: Sendable, Equatable {
    /// Directory of the table.
    public let table: String
    /// Name of the part: its directory in the table.
    public let part: String
    /// Names of the parts it replaces; empty for a flush of runs in memory.
    public let sources: [String]
    /// Start of the work and the moment when the part could be searched, on the environment's monotonic clock.
    public let startNanoseconds: UInt64, endNanoseconds: UInt64
    /// Items of the part, and bytes of its four `.bin` files.
    public let items: UInt64, bytes: UInt64

    /// Whether it was flushed from memory, not merged.
    public var isFlush: Bool { sources.isEmpty }

    /// An event; tables make them, and tests.
    public init(
        table: String, part: String, sources: [String], startNanoseconds: UInt64, endNanoseconds: UInt64,
        items: UInt64, bytes: UInt64
    ) {
        self.table = table
        self.part = part
        self.sources = sources
        self.startNanoseconds = startNanoseconds
        self.endNanoseconds = endNanoseconds
        self.items = items
        self.bytes = bytes
    }
}

extension Table {
    /// Tells about a part, if anybody listens.
    func tell(_ result: PartWriter.Result, _ part: String, from sources: [FilePart], since start: UInt64) {
        guard let tell = options.onPartWritten else { return }
        tell(
            PartEvent(
                table: path, part: part, sources: sources.map(\.name), startNanoseconds: start,
                endNanoseconds: environment.clock.monotonicNanoseconds, items: result.metadata.itemsCount,
                bytes: result.fileBytes))
    }
}
