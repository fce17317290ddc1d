// PartList.swift - what a table consists of at a moment. Immutable: a change publishes a new list, so a search that holds
// one blocks nobody, and nothing that it sees goes away before it does.

import StorageRuntime

/// Sorted runs in memory and parts on disk.
final class PartList: Sendable {
    /// Sealed runs that are not durable yet, oldest first.
    let runs: [MemoryRun]
    /// Durable parts.
    let parts: [FilePart]
    /// The same, those with most items first: where something is most likely found.
    let partsBySize: [FilePart]

    init(runs: [MemoryRun], parts: [FilePart]) {
        self.runs = runs
        self.parts = parts
        partsBySize = parts.sorted { $0.metadata.itemsCount > $1.metadata.itemsCount }
    }

    /// The same with runs that can be searched.
    var withWholeRuns: PartList { runs.isEmpty ? self : PartList(runs: runs.map(\.whole), parts: parts) }
}

/// Which items a search sees.
public enum SearchScope: Sendable {
    /// Items in file parts: everything that a flush has reported.
    case durable
    /// Also items that are still in memory.
    case everything
}

/// The items of a table at one moment: as many cursors as wanted can be made from it. Merges and flushes go on; files and
/// memory of replaced parts stay until the last view or cursor lets go. Any thread.
public struct TableView: Sendable {
    let list: PartList
    let scope: SearchScope
    let clock: any StorageClock
    let gate: PauseGate

    /// Parts and runs that a cursor has to look at.
    public var sourceCount: Int { list.parts.count + (scope == .everything ? list.runs.count : 0) }

    /// A cursor over these items.
    public func cursor(deadline: Deadline = .never) -> TableCursor { TableCursor(self, deadline: deadline) }
}

/// A file part, as reports show it.
public struct PartInfo: Sendable, Equatable {
    /// Name of its directory.
    public var name: String
    /// Items and blocks in it, and the bytes of its four `.bin` files.
    public var items: UInt64, blocks: UInt64, sizeBytes: UInt64
}
