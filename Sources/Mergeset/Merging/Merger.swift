// Merger.swift - merges sorted sources, comparing little.
//
// A tree of losers: each inner node holds the source that lost there, the overall winner is the smallest head. What a
// node knows of a head is relative to the item delivered last:
//
//   shared   bytes the head shares with that item          the head with more shared bytes is smaller
//   key      the 8 bytes behind them, big-endian           among equally many, the smaller key is smaller
//
// So most comparisons look at two integers and no item. Where both are equal, the bytes behind the key are compared and
// the loser learns how much it shares with the winner; the winner's own number stays, since both are relative to the same
// item. When a source moves on, its new head's number is relative to the item just delivered, as are all the losers on
// its way up: they lost to that item. (Offset-value coding, here with an 8-byte window.)
//
// The number of the winner is how much the delivered item shares with the one before: what block encoding needs, for
// nothing.
//
// Threads: one owner.

import StorageBytes
import StorageRuntime

/// A merge of sorted sources.
struct Merger: ~Copyable {
    private let sources: UnsafeMutablePointer<MergeSource>
    private let sourceCount: Int
    private let nodes: UnsafeMutablePointer<Node>
    private var winner: Node
    private var isStarted = false

    private struct Node {
        var key: UInt64
        /// -1 for a source without a head: it loses against all.
        var shared: Int32
        var source: Int32
    }

    /// A merge of runs and parts, at least one in all.
    ///
    /// - Parameter twins: Where the per-day tag rows of each part lie, to leave them out; nil leaves nothing out.
    init(runs: [MemoryRun], parts: [FilePart], leavingOut twins: [DayTwins]? = nil) throws(StorageError) {
        let total = runs.count + parts.count
        precondition(total > 0, "a merge without sources")
        precondition(
            twins == nil || twins?.count == parts.count, "twins of \(twins?.count ?? 0) parts of \(parts.count)")
        sources = .allocate(capacity: total)
        var filled = 0
        for run in runs {
            (sources + filled).initialize(to: MergeSource(run))
            filled += 1
        }
        nodes = .allocate(capacity: total)
        nodes.initialize(repeating: Node(key: 0, shared: -1, source: -1), count: total)
        winner = Node(key: 0, shared: -1, source: 0)
        do throws(StorageError) {
            for (index, part) in parts.enumerated() {
                (sources + filled).initialize(to: try MergeSource(part, leavingOut: twins?[index]))
                filled += 1
            }
        } catch {
            // The struct is not whole yet, so its deinit does not run.
            sources.deinitialize(count: filled)
            sources.deallocate()
            nodes.deallocate()
            throw error
        }
        sourceCount = total
        build()
    }

    deinit {
        sources.deinitialize(count: sourceCount)
        sources.deallocate()
        nodes.deallocate()
    }

    /// The item delivered last.
    var item: UnsafeRawPointer { sources[Int(winner.source)].item }
    /// Its length.
    var length: Int { sources[Int(winner.source)].length }
    /// Bytes it shares with the item delivered before; 0 for the first and behind a block passed on.
    var shared: Int { Int(winner.shared) }
    /// The source it came from; changes when the merge switches sources.
    var source: Int { Int(winner.source) }

    /// Delivers the next item; false at the end.
    @inline(__always)
    mutating func next() throws(StorageError) -> Bool {
        if isStarted {
            try sources[Int(winner.source)].advance()
            replay(Int(winner.source))
        } else {
            isStarted = true
        }
        return winner.shared >= 0
    }

    // MARK: tree

    /// Plays all matches anew; all heads are looked at from their beginning.
    private mutating func build() {
        // Matches are played from the leaves up: leaf i has the parent (i + sourceCount) / 2.
        withUnsafeTemporaryAllocation(of: Node.self, capacity: 2 * sourceCount) { winners in
            for index in 0..<sourceCount { winners[sourceCount + index] = head(index, shared: 0) }
            var position = sourceCount - 1
            while position >= 1 {
                var a = winners[2 * position]
                var b = winners[2 * position + 1]
                play(&a, against: &b)
                winners[position] = a
                nodes[position] = b
                position -= 1
            }
            winner = winners[1]
        }
    }

    /// A node for the head of a source that shares `shared` bytes with the item delivered last.
    @inline(__always)
    private func head(_ index: Int, shared: Int) -> Node {
        let source = sources + index
        guard !source.pointee.isExhausted else { return Node(key: .max, shared: -1, source: Int32(index)) }
        return Node(key: key(index, shared), shared: Int32(truncatingIfNeeded: shared), source: Int32(index))
    }

    @inline(__always)
    private func key(_ index: Int, _ depth: Int) -> UInt64 {
        let left = sources[index].length &- depth
        let address = sources[index].item + depth
        if left >= 8 { return BigEndian.load64(address) }
        if left <= 0 { return 0 }
        return BigEndian.load64(address) & ~(UInt64.max &>> UInt64(truncatingIfNeeded: left &* 8))
    }

    @inline(__always)
    private mutating func replay(_ index: Int) {
        var current = head(index, shared: sources[index].shared)
        var position = (index &+ sourceCount) >> 1
        while position >= 1 {
            play(&current, against: &nodes[position])
            position >>= 1
        }
        winner = current
    }

    /// Leaves the smaller of two heads in `a`, and the other, relative to the smaller, in `b`.
    @inline(__always)
    private func play(_ a: inout Node, against b: inout Node) {
        if a.shared != b.shared {
            if b.shared > a.shared { swap(&a, &b) }
            return
        }
        if a.key != b.key {
            if b.key < a.key { swap(&a, &b) }
            // The heads differ inside the key, or where one of them ends.
            let same = (a.key ^ b.key).leadingZeroBitCount >> 3
            if same > 0, b.shared >= 0 { learn(&b, a, Int(b.shared) &+ same) }
            return
        }
        if a.shared >= 0 { playBehindKey(&a, &b) }
    }

    /// `b` shares up to `limit` bytes with `a`, unless one of them ends before.
    @inline(__always)
    private func learn(_ b: inout Node, _ a: Node, _ limit: Int) {
        let depth = Swift.min(limit, Swift.min(sources[Int(a.source)].length, sources[Int(b.source)].length))
        b.shared = Int32(truncatingIfNeeded: depth)
        b.key = key(Int(b.source), depth)
    }

    @inline(never)
    private func playBehindKey(_ a: inout Node, _ b: inout Node) {
        let depth = Int(a.shared)
        let aLength = sources[Int(a.source)].length
        let bLength = sources[Int(b.source)].length
        let aItem = sources[Int(a.source)].item
        let bItem = sources[Int(b.source)].item
        let common = Swift.min(aLength, bLength)
        let same = depth &+ Bytes.commonPrefix(aItem + depth, bItem + depth, Swift.max(common &- depth, 0))
        let bIsSmaller: Bool
        if same == common {
            // One is a prefix of the other, or they are equal; the earlier source goes first then.
            bIsSmaller = bLength < aLength || (bLength == aLength && b.source < a.source)
        } else {
            bIsSmaller =
                bItem.load(fromByteOffset: same, as: UInt8.self) < aItem.load(fromByteOffset: same, as: UInt8.self)
        }
        if bIsSmaller { swap(&a, &b) }
        b.shared = Int32(truncatingIfNeeded: same)
        b.key = key(Int(b.source), same)
    }

    // MARK: passing on whole blocks

    /// Whether the item delivered last starts a stored block that no head of another source overlaps.
    ///
    /// - Parameter unitingTagRows: Whether rows behind the block may be united with each other. A row with the tag and
    ///   the first id of the block's last one counts as overlapping then: united with the next rows it could become
    ///   smaller than that.
    func isAtSeparateBlock(unitingTagRows: Bool) -> Bool {
        let index = Int(winner.source)
        guard sources[index].isAtStoredBlock else { return false }
        return sources[index].withUpperBound { bound in
            guard let bound else { return false }
            var position = (index &+ sourceCount) >> 1
            while position >= 1 {
                let other = nodes[position]
                if other.shared >= 0 {
                    let source = Int(other.source)
                    let head = UnsafeRawBufferPointer(start: sources[source].item, count: sources[source].length)
                    if Bytes.compare(bound, head) > 0 { return false }
                    if unitingTagRows, Merger.haveSameFirstID(bound, head) { return false }
                }
                position >>= 1
            }
            return true
        }
    }

    /// Whether two rows have one tag and the same first id.
    private static func haveSameFirstID(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
        guard let kind = a.first, kind == TagRow.globalKind || kind == TagRow.perDayKind, b.first == kind,
            let row = try? TagRow(a), b.count >= row.prefixLength + 8
        else { return false }
        let count = row.prefixLength + 8
        return Bytes.compare(
            UnsafeRawBufferPointer(rebasing: a[..<count]), UnsafeRawBufferPointer(rebasing: b[..<count])) == 0
    }

    /// Header of the block that the item delivered last starts.
    var storedHeader: BlockHeader { sources[Int(winner.source)].storedHeader }

    /// Passes on the block that starts with the item delivered last. The next call of ``next()`` delivers what follows.
    mutating func passOnBlock(to writer: inout PartWriter) throws(StorageError) {
        try sources[Int(winner.source)].passOn(to: &writer)
        // The last item of the block is not known, so nothing is known relative to it.
        build()
        isStarted = false
    }
}
