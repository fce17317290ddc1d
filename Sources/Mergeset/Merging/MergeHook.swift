// MergeHook.swift - what may happen to items between the merge and the part (docs/format/mergeset-table.md, 13).
//
// A hook sees the merged items one by one, in order, and writes what shall be kept, in order. Three hooks:
//
//   PassThrough        writes every item
//   TagRowMerger       unites rows of one tag as they stream by, across blocks (the default of an index)
//   BlockwiseTagRows   the reference's algorithm: collects a block, rewrites it, writes it as one block

import StorageBytes
import StorageRuntime

/// A stage between a merge and the part being written. One owner; not shared between merges.
protocol MergeHook: ~Copyable {
    /// Whether blocks that no other source overlaps may be passed on as they are stored.
    static var allowsStoredBlocks: Bool { get }
    /// Whether rows of one tag may be united.
    static var unitesTagRows: Bool { get }

    /// Takes the next item.
    ///
    /// - Parameter shared: Bytes it shares with the item taken before, exactly; 0 for the first.
    mutating func take(
        _ item: UnsafeRawPointer, _ length: Int, sharing shared: Int, into writer: inout PartWriter
    ) throws(StorageError)

    /// Whether all that is held back is smaller than an item, which shares `shared` bytes with the item taken last: a
    /// stored block that starts with it may be passed on then.
    func mayPassOn(_ item: UnsafeRawPointer, _ length: Int, sharing shared: Int) -> Bool

    /// Writes what is still held back: at the end, and before a block is passed on.
    mutating func drain(into writer: inout PartWriter) throws(StorageError)
}

extension MergeHook where Self: ~Copyable {
    static var unitesTagRows: Bool { false }
    func mayPassOn(_ item: UnsafeRawPointer, _ length: Int, sharing shared: Int) -> Bool { true }
}

/// Writes every item.
struct PassThrough: MergeHook {
    static var allowsStoredBlocks: Bool { true }

    /// A value without storage has one address for all threads, which the thread sanitizer takes for a race.
    private let place: UInt8 = 0

    @inline(__always)
    mutating func take(
        _ item: UnsafeRawPointer, _ length: Int, sharing shared: Int, into writer: inout PartWriter
    ) throws(StorageError) {
        try writer.append(item, length, sharing: shared)
    }

    mutating func drain(into writer: inout PartWriter) {}
}

/// Runs a merge to its end.
enum MergeLoop {
    /// Blocks smaller than this, as they are stored and as items, are not worth keeping apart: they are merged into full
    /// ones.
    private static let storedBytesMin = 2048
    private static let itemBytesMin = Limits.blockBytesMax / 2
    /// A block being filled is always ended early for a stored block when it has at least this many bytes.
    private static let openBytesMin = Limits.blockBytesMax / 2
    /// Blocks passed on for which one with fewer bytes may be ended early: without that, a stretch of blocks that nothing
    /// overlaps would be decoded from one end to the other, because the block before it is never full where one of them
    /// starts. A merge begins with the right to end two, and saves no more than four.
    private static let passedOnPerShortBlock = 8

    /// The error of a merge that is cancelled.
    static var abandoned: StorageError { StorageError(.closed, "the merge was abandoned") }

    /// Merges all sources into the part being written.
    ///
    /// - Parameters:
    ///   - keepsStoredBlocks: Whether blocks may be passed on as they are stored.
    ///   - isCancelled: Asked now and then; true abandons the merge with `.closed`.
    /// - Returns: The number of items that came from the sources.
    static func run<Hook: MergeHook & ~Copyable>(
        _ merger: inout Merger, through hook: inout Hook, into writer: inout PartWriter, keepsStoredBlocks: Bool,
        isCancelled: () -> Bool
    ) throws(StorageError) -> UInt64 {
        var taken: UInt64 = 0
        let keepsStoredBlocks = keepsStoredBlocks && Hook.allowsStoredBlocks
        var saved = 2 * passedOnPerShortBlock
        while try merger.next() {
            if taken & 0xFFF == 0, isCancelled() { throw abandoned }
            if keepsStoredBlocks, merger.isAtSeparateBlock(unitingTagRows: Hook.unitesTagRows) {
                let header = merger.storedHeader
                let open = writer.openBlockBytes
                let isShort = open > 0 && open < openBytesMin
                let isWorthIt =
                    header.itemsSize &+ header.lensSize >= storedBytesMin
                    || Int(header.itemsCount) &* merger.length >= itemBytesMin
                if isWorthIt, !isShort || saved >= passedOnPerShortBlock,
                    hook.mayPassOn(merger.item, merger.length, sharing: merger.shared)
                {
                    saved = min(saved - (isShort ? passedOnPerShortBlock : 0) + 1, 4 * passedOnPerShortBlock)
                    try hook.drain(into: &writer)
                    try merger.passOnBlock(to: &writer)
                    taken &+= UInt64(header.itemsCount)
                    continue
                }
            }
            try hook.take(merger.item, merger.length, sharing: merger.shared, into: &writer)
            taken &+= 1
        }
        try hook.drain(into: &writer)
        return taken
    }
}
