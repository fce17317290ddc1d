// SamplePartitionState.swift - the published parts of a partition and who is busy with what. One lock, held for list
// operations only.
//
// A list is immutable: a change publishes a new one, so a search that holds one blocks nobody, and nothing that it sees goes
// away before it does.
//
// Threads: any.

import StorageRuntime

/// The parts of a partition at a moment.
final class SamplePartList: Sendable {
    /// Parts in memory, oldest first.
    let memory: [MemorySamplePart]
    /// File parts by side.
    let small: [FileSamplePart], big: [FileSamplePart]

    init(memory: [MemorySamplePart] = [], small: [FileSamplePart] = [], big: [FileSamplePart] = []) {
        self.memory = memory
        self.small = small
        self.big = big
    }

    var files: [FileSamplePart] { small + big }

    func side(_ side: SampleSide) -> [FileSamplePart] { side == .small ? small : big }

    func replacing(_ gone: Set<ObjectIdentifier>, by part: FileSamplePart?, _ side: SampleSide)
        -> SamplePartList
    {
        var small = small.filter { !gone.contains(ObjectIdentifier($0)) }
        var big = big.filter { !gone.contains(ObjectIdentifier($0)) }
        if let part {
            if side == .small { small.append(part) } else { big.append(part) }
        }
        return SamplePartList(
            memory: memory.filter { !gone.contains(ObjectIdentifier($0)) }, small: small, big: big)
    }
}

/// The mutable state of a partition.
final class SamplePartitionState: @unchecked Sendable {
    private let lock = Lock()
    private let changed = Condition()

    private var published: SamplePartList
    private var merging: Set<ObjectIdentifier> = []
    private var excluded: Set<ObjectIdentifier> = []
    private var mergesRunning = [0, 0]
    private var mergesArePaused = false
    private var dropped = false
    private var searches = 0
    private var largest: [Int]
    private var needsSpace = [false, false]
    private var quiet = [SampleQuietTime(), SampleQuietTime()]

    init(_ list: SamplePartList) {
        published = list
        largest = [list.small.count, list.big.count]
    }

    var list: SamplePartList { lock.withLock { published } }
    var isDropped: Bool { lock.withLock { dropped } }
    /// Parts found damaged by a merge.
    var excludedCount: Int { lock.withLock { excluded.count } }

    func activeMerges(_ side: SampleSide) -> Int { lock.withLock { mergesRunning[side.rawValue] } }
    func filePartsMax(_ side: SampleSide) -> Int { lock.withLock { largest[side.rawValue] } }
    func isShortOfSpace(_ side: SampleSide) -> Bool { lock.withLock { needsSpace[side.rawValue] } }

    /// Publishes a part in memory; false when the partition was dropped.
    func publishMemory(_ part: MemorySamplePart) -> Bool {
        lock.withLock {
            guard !dropped else { return false }
            published = SamplePartList(
                memory: published.memory + [part], small: published.small, big: published.big)
            return true
        }
    }

    /// A flush of parts in memory to a file begins; false when the partition was dropped.
    func beginFlush() -> Bool {
        lock.withLock {
            guard !dropped else { return false }
            mergesRunning[SampleSide.small.rawValue] += 1
            return true
        }
    }

    /// Replaces parts in memory by the file part that holds their rows, if there is one, or leaves them (nil).
    func endFlush(_ parts: [MemorySamplePart]?, _ part: FileSamplePart?) {
        lock.withLock {
            mergesRunning[SampleSide.small.rawValue] -= 1
            if let parts { replace(Set(parts.map { ObjectIdentifier($0) }), by: part, .small) }
        }
        changed.broadcast()
    }

    private func replace(_ gone: Set<ObjectIdentifier>, by part: FileSamplePart?, _ side: SampleSide) {
        published = published.replacing(gone, by: part, side)
        for side in SampleSide.allCases {
            largest[side.rawValue] = max(largest[side.rawValue], published.side(side).count)
        }
    }

    // MARK: merging

    /// A merge that was chosen: its sources are marked until it ends.
    struct Merge {
        var sources: [FileSamplePart]
        /// Where the new part goes.
        var side: SampleSide
    }

    /// Chooses parts of the small side and marks them; nil when there is nothing to merge. `choose` gets those that are not
    /// being merged and can be read.
    func beginSmallMerge(
        _ choose: ([SamplePartSelection.Candidate]) -> SamplePartSelection.SmallChoice
    ) -> Merge? {
        lock.withLock {
            guard !mergesArePaused, !dropped else { return nil }
            let choice = choose(candidates(published.small))
            needsSpace[SampleSide.big.rawValue] = choice.bigNeedsSpace
            if let needs = choice.smallNeedsSpace { needsSpace[SampleSide.small.rawValue] = needs }
            return mark(choice.indexes.map { published.small[$0] }, choice.side)
        }
    }

    /// Chooses parts of the big side and marks them.
    func beginBigMerge(_ choose: ([SamplePartSelection.Candidate]) -> SamplePartSelection.Choice)
        -> Merge?
    {
        lock.withLock {
            guard !mergesArePaused, !dropped else { return nil }
            let choice = choose(candidates(published.big))
            needsSpace[SampleSide.big.rawValue] = choice.needsSpace
            return mark(choice.indexes.map { published.big[$0] }, .big)
        }
    }

    private func candidates(_ parts: [FileSamplePart]) -> [SamplePartSelection.Candidate] {
        var candidates: [SamplePartSelection.Candidate] = []
        for (index, part) in parts.enumerated() where isFree(part) {
            candidates.append(
                SamplePartSelection.Candidate(
                    size: max(part.sizeBytes, 1), minTimestamp: part.totals.minTimestamp, index: index))
        }
        return candidates
    }

    private func isFree(_ part: FileSamplePart) -> Bool {
        !merging.contains(ObjectIdentifier(part)) && !excluded.contains(ObjectIdentifier(part))
    }

    private func mark(_ sources: [FileSamplePart], _ side: SampleSide) -> Merge? {
        guard !sources.isEmpty else { return nil }
        for part in sources { merging.insert(ObjectIdentifier(part)) }
        mergesRunning[side.rawValue] += 1
        return Merge(sources: sources, side: side)
    }

    /// Waits for the merges of file parts in progress, keeps others from starting, and marks all parts that can be read: small
    /// ones first. nil when the partition was dropped; otherwise ``endMergeOfAll()`` has to be called.
    func beginMergeOfAll() -> [FileSamplePart]? {
        lock.lock()
        defer { lock.unlock() }
        while mergesArePaused { changed.wait(lock) }
        mergesArePaused = true
        while !merging.isEmpty { changed.wait(lock) }
        guard !dropped else {
            mergesArePaused = false
            changed.broadcast()
            return nil
        }
        let parts = published.files.filter { isFree($0) }
        for part in parts { merging.insert(ObjectIdentifier(part)) }
        return parts
    }

    /// One of the merges of all parts begins or ends.
    func countForcedMerge(_ side: SampleSide, _ change: Int) {
        lock.withLock { mergesRunning[side.rawValue] += change }
    }

    /// Releases whatever is still marked and lets other merges start.
    func endMergeOfAll() {
        lock.withLock {
            merging = []
            mergesArePaused = false
        }
        changed.broadcast()
    }

    /// The sources of a merge are gone, on disk; `part` takes their place, if there is one.
    func exchange(_ sources: [FileSamplePart], by part: FileSamplePart?, _ side: SampleSide) {
        lock.withLock {
            let gone = Set(sources.map { ObjectIdentifier($0) })
            replace(gone, by: part, side)
            merging.subtract(gone)
        }
        changed.broadcast()
    }

    /// Ends a merge that was begun by a worker, after ``exchange(_:by:_:)`` if it succeeded.
    func endMerge(_ merge: Merge) {
        lock.withLock {
            merging.subtract(merge.sources.map { ObjectIdentifier($0) })
            mergesRunning[merge.side.rawValue] -= 1
        }
        changed.broadcast()
    }

    /// Leaves a part out of all merges from now on. Returns false when it was already.
    func exclude(_ part: FileSamplePart) -> Bool {
        lock.withLock { excluded.insert(ObjectIdentifier(part)).inserted }
    }

    /// Marks the parts that end before `deadline` and are not being merged.
    func beginRemoval(before deadline: Int64) -> [FileSamplePart] {
        lock.withLock {
            guard !mergesArePaused, !dropped else { return [] }
            let stale = published.files.filter {
                $0.totals.maxTimestamp < deadline && !merging.contains(ObjectIdentifier($0))
            }
            for part in stale { merging.insert(ObjectIdentifier(part)) }
            return stale
        }
    }

    /// Releases marked parts that stay.
    func release(_ parts: [FileSamplePart]) {
        lock.withLock { merging.subtract(parts.map { ObjectIdentifier($0) }) }
        changed.broadcast()
    }

    /// Waits until no merge and no flush is running.
    func waitForMerges() {
        lock.lock()
        defer { lock.unlock() }
        while mergesRunning[0] + mergesRunning[1] > 0 { changed.wait(lock) }
    }

    /// Asks the final-merge clock of a side; see ``SampleQuietTime``.
    func withQuietTime<Result>(_ side: SampleSide, _ body: (inout SampleQuietTime) -> Result)
        -> Result
    {
        lock.withLock { body(&quiet[side.rawValue]) }
    }

    // MARK: life

    /// A search takes the list and holds the partition until ``releaseSearch()``; nil when the partition was dropped.
    func beginSearch() -> SamplePartList? {
        lock.withLock {
            guard !dropped else { return nil }
            searches += 1
            return published
        }
    }

    func endSearch() { lock.withLock { searches -= 1 } }

    /// Searches that hold the partition.
    var searchCount: Int { lock.withLock { searches } }

    /// Keeps everything from starting, waits for what is running, and lets go of all parts, which are returned.
    func drop() -> SamplePartList {
        lock.lock()
        defer { lock.unlock() }
        dropped = true
        while mergesRunning[0] + mergesRunning[1] > 0 || !merging.isEmpty { changed.wait(lock) }
        let old = published
        published = SamplePartList()
        return old
    }
}

/// When a side of a partition has been quiet for so long that few parts are merged too (11.3).
struct SampleQuietTime: Sendable {
    private var last: UInt64?
    private(set) var isFinal = false

    /// A merge has succeeded.
    mutating func merged(_ now: UInt64) {
        last = now
        isFinal = false
    }

    /// Nothing was found to merge: switches to final mode when that has been so for longer than `delay`, in whole seconds and
    /// one more; 0 is never. Returns whether it is worth trying again at once.
    mutating func idle(_ now: UInt64, delay: UInt64) -> Bool {
        guard delay > 0, !isFinal else { return false }
        let wait = (delay / 1_000_000_000 + 1) * 1_000_000_000
        if let last, now &- last <= wait { return false }
        last = now
        isFinal = true
        return true
    }
}
