// Table.swift - an ordered multiset of items in a directory (docs/format/mergeset-table.md).
//
//   add() -> shard: open run  --full, or time-->  sealed run (sorted, in memory, searchable)
//                                                    |  flush: all sealed runs are merged into one part
//                                                    v
//                                                 file part (durable)  --merge workers-->  larger file parts
//
// Threads. Public methods may be called from any thread, except close(), which is called once when nobody adds any more.
// Locks, in the order in which they may be taken while holding another:
//
//   flushLock      one flush at a time
//   snapshotLock   shared while parts are exchanged on disk, exclusive while a snapshot is linked
//   shard.lock     one shard's open run
//   state.lock     the published list and who is busy with what; held for list operations only
//
// Background work: a flusher and merge workers, run by the environment's scheduler. In deterministic mode they run inside
// add(), flush() and settle(), at the scheduler's checkpoints, in a fixed order.
//
// A flush or merge that fails (full disk, I/O error) leaves everything as it was and is tried again; add() reports the
// error once the memory for runs is used up. Only a commit whose outcome cannot be known stops the table.

import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization

/// A mergeset table.
public final class Table: @unchecked Sendable {
    let path: String
    let options: TableOptions
    let files: any FileSystem
    let environment: Environment
    let counters = TableCounters()
    let caches: PartCaches
    let searchGate: PauseGate
    let workerCount: Int
    /// Under which blocks of tag rows are compared while a part is written.
    let twinKey: FingerprintKey

    let shards: [Shard]
    private let nextShard = Atomic<Int>(0)
    let builders: BuilderPool
    /// Bytes at which a shard hands its run over.
    private let runBytes: Int
    /// Numbers of runs, in the order in which their first items were added.
    let nextRun = Atomic<UInt64>(0)
    /// Flushes whose items are not all durable yet: their numbers, and the number of the first run opened later. Guarded
    /// by ``flushLock``, as is the number of the latest.
    var unfinishedFlushes: [(number: UInt64, firstRunBehind: UInt64)] = []
    var flushNumber: UInt64 = 0

    let state: TableState
    let flushLock = Lock()
    let snapshotLock = SharedLock()
    let freeSpace: KnownFreeSpace
    private let directoryLock: any FileLock
    /// Numbers of new parts and transactions.
    let suffixes: UniqueIDs
    let isStopping = Atomic<Bool>(false)

    private var flusher: (any BackgroundTask)?  // set in init, used in close()
    private var mergers: [any BackgroundTask] = []

    // MARK: open

    /// Opens a table, which is created when the directory does not exist (docs/format/mergeset-table.md, 7.2).
    ///
    /// - Throws: `.locked` when it is open already, here or in another process; `.corrupted` when a transaction or a part
    ///   breaks the format; `.io`, `.noSpace`.
    public static func open(
        _ path: String, options: TableOptions = TableOptions(), files: any FileSystem, environment: Environment
    ) throws(StorageError) -> Table {
        let cleaned = Paths.clean(path)
        try files.makeDirectory(cleaned, parents: true)
        let lock = try files.lock(Paths.join(cleaned, "flock.lock"))
        do throws(StorageError) {
            try PartTransaction.recover(roots: [cleaned], allowsRemoval: false, on: files)
            let caches = PartCaches(
                dataBlockBytes: options.dataBlockCacheBytes, indexBlockBytes: options.indexBlockCacheBytes)
            let parts = try openParts(cleaned, files: files, caches: caches)
            return Table(cleaned, options, files, environment, lock, caches, parts)
        } catch {
            lock.release()
            throw error
        }
    }

    /// The flag that tells the reference that all rows have been offered for merging (7.5).
    static let convertedFlag = "converted-to-v1.28.0"
    static let ignoredDirectories: Set<String> = [
        PartTransaction.directoryName, PartTransaction.temporaryDirectoryName, "snapshots", "cache",
    ]

    private static func openParts(
        _ path: String, files: any FileSystem, caches: PartCaches
    ) throws(StorageError) -> [FilePart] {
        var parts: [FilePart] = []
        var hasFlag = false
        for entry in try files.list(path) {
            if entry.name == convertedFlag { hasFlag = true }
            if entry.kind == .file || ignoredDirectories.contains(entry.name) { continue }
            let directory = Paths.join(path, entry.name)
            if entry.kind == .directory, try files.list(directory).isEmpty {
                try files.removeAll(directory)
                continue
            }
            parts.append(try FilePart(path: directory, files: files, caches: caches))
        }
        if !hasFlag, parts.isEmpty { try files.writeAtomically(Array("ok".utf8), to: Paths.join(path, convertedFlag)) }
        return parts
    }

    private init(
        _ path: String, _ options: TableOptions, _ files: any FileSystem, _ environment: Environment,
        _ lock: any FileLock, _ caches: PartCaches, _ parts: [FilePart]
    ) {
        self.path = path
        self.options = options
        self.files = files
        self.environment = environment
        self.caches = caches
        directoryLock = lock
        freeSpace = KnownFreeSpace(files, environment.clock)
        searchGate = options.searchGate ?? PauseGate()
        let processors = CPUCount.available()
        let shardCount = options.shardCount > 0 ? options.shardCount : processors
        workerCount = options.mergeWorkers > 0 ? options.mergeWorkers : max(1, processors / 2)
        twinKey = FingerprintKey(drawing: environment.secrets("block twins"))
        runBytes = min(options.runBytesMax, max(1 << 20, options.memoryBytesMax / (2 * shardCount)))
        // Only pages that were written count, so there is room for runs whose rows take more than was estimated.
        let arenas = ArenaPool(
            arenaBytes: 2 * runBytes - RawBuffer.slack,
            countMax: shardCount + options.memoryBytesMax * 3 / 2 / max(runBytes, 1) + 1)
        builders = BuilderPool(arenas: arenas)
        shards = (0..<shardCount).map { _ in Shard() }
        suffixes = UniqueIDs(start: environment.clock.unixNanoseconds)
        // The clock may have gone back, or stand still: names must not meet those that are there.
        for part in parts { if let suffix = UInt64(part.name.suffix(16), radix: 16) { suffixes.raise(above: suffix) } }
        state = TableState(PartList(runs: [], parts: parts))

        let table = Unowned(self)
        flusher = environment.scheduler.start("flusher") { table.value.flusherStep() }
        if options.mergesInBackground {
            mergers = (0..<workerCount).map { index in
                let worker = MergeWorker(environment.clock)
                return environment.scheduler.start("merger-\(index)") { table.value.mergerStep(worker) }
            }
        }
    }

    /// A reference that background tasks may hold without keeping the table alive; close() stops them before.
    private struct Unowned: @unchecked Sendable {
        unowned let value: Table
        init(_ value: Table) { self.value = value }
    }

    // MARK: add

    /// Adds a batch: everything that `body` writes becomes visible and durable together. When `body` throws, nothing of
    /// the batch is added.
    ///
    /// - Parameter hint: Which shard to take, modulo their number: the number of the calling thread keeps its tags
    ///   together. nil takes the next one.
    /// - Throws: What `body` threw; the error of the last flush when the memory for runs is used up and could not be
    ///   written (adding resumes as soon as a flush succeeds); `.closed`.
    public func add(
        hint: Int? = nil, _ body: (inout ItemWriter) throws(StorageError) -> Void
    ) throws(StorageError) {
        try checkIsOpen()
        try waitForRoom()
        let number = hint ?? nextShard.wrappingAdd(1, ordering: .relaxed).newValue
        let shard = shards[Int(UInt(bitPattern: number) % UInt(shards.count))]
        var refused: UInt64 = 0
        var full: RunBuilderBox?
        var ticket = 0
        shard.lock.lock()
        do throws(StorageError) {
            let box = shard.builder ?? builders.take()
            shard.builder = box
            let builder = box.pointer
            let wasEmpty = builder.pointee.isEmpty
            builder.pointee.beginBatch()
            do throws(StorageError) {
                try withUnsafeMutablePointer(to: &refused) { refused throws(StorageError) in
                    var writer = ItemWriter(builder: builder, gathers: options.gathersTagRows, refused: refused)
                    try body(&writer)
                }
            } catch {
                builder.pointee.rollBack()
                throw error
            }
            if wasEmpty {
                builder.pointee.openedAt = environment.clock.monotonicNanoseconds
                builder.pointee.number = nextRun.wrappingAdd(1, ordering: .relaxed).oldValue
            }
            let used = builder.pointee.usedBytes
            if used >= runBytes {
                full = box
                ticket = state.beginSeal(builder.pointee.number, bytes: used)
                shard.builder = nil
            }
        } catch {
            shard.lock.unlock()
            counters.itemsRefused.add(refused)
            throw error
        }
        shard.lock.unlock()
        if refused > 0 { counters.itemsRefused.add(refused) }
        if let full {
            if seal(full, ticket) >= options.memoryBytesMax { flusher?.wake() }
            environment.scheduler.checkpoint()
        }
    }

    /// Copies items into one batch.
    ///
    /// - Parameter isAllOrNothing: true refuses the whole batch when one item is too long; false refuses the items that
    ///   are, and adds the others.
    /// - Returns: The positions of the items that were refused.
    @discardableResult
    public func add(
        _ items: some Sequence<[UInt8]>, isAllOrNothing: Bool = false, hint: Int? = nil
    ) throws(StorageError) -> [Int] {
        var refused: [Int] = []
        try add(hint: hint) { writer throws(StorageError) in
            for (position, item) in items.enumerated() {
                do throws(StorageError) {
                    try item.withUnsafeBufferPointer { bytes throws(StorageError) in
                        try writer.add(UnsafeRawBufferPointer(bytes))
                    }
                } catch {
                    if isAllOrNothing { throw error.adding("item \(position) of the batch") }
                    refused.append(position)
                }
            }
        }
        return refused
    }

    /// Waits while the runs in memory take half as much again as they should. Throws the flusher's error when it cannot write.
    private func waitForRoom() throws(StorageError) {
        let limit = options.memoryBytesMax + options.memoryBytesMax / 2
        guard state.pendingBytes >= limit || state.hasFailed else { return }
        if let error = state.fatalError { throw error }
        guard state.pendingBytes >= limit else { return }
        let start = environment.clock.monotonicNanoseconds
        counters.stalls.add()
        defer { counters.stallNanoseconds.add(environment.clock.monotonicNanoseconds - start) }
        if environment.scheduler.hasThreads {
            try state.waitForRoom(limit) { flusher?.wake() }
        } else {
            flusher?.wake()
            environment.scheduler.checkpoint()
            if state.pendingBytes >= limit, let error = state.flushError { throw error }
        }
    }

    /// Sorts a builder's run, publishes it, and keeps the builder's memory. Returns the bytes of all runs in memory.
    @discardableResult
    func seal(_ box: RunBuilderBox, _ ticket: Int) -> Int {
        let run = box.pointer.pointee.seal(pool: builders.arenas)
        builders.put(box)
        if let run {
            counters.runsSealed.add()
            counters.itemsAdded.add(UInt64(run.count))
            counters.bytesAdded.add(run.itemBytes)
            counters.normalisedItemsAdded.add(run.normalisedItems)
            counters.normalisedBytesAdded.add(run.normalisedBytes)
        }
        return state.endSeal(ticket, run)
    }

    /// Seals the open runs of all shards, and waits for those being sealed by others.
    func sealAll() {
        for shard in shards {
            shard.lock.lock()
            guard let box = shard.builder, !box.pointer.pointee.isEmpty else {
                shard.lock.unlock()
                continue
            }
            let ticket = state.beginSeal(box.pointer.pointee.number, bytes: box.pointer.pointee.usedBytes)
            shard.builder = nil
            shard.lock.unlock()
            seal(box, ticket)
        }
        state.waitForSeals()
    }

    // MARK: search

    /// The items that are visible now.
    ///
    /// - Parameter scope: `.everything` also shows items in memory; the open runs are sealed for that.
    public func view(_ scope: SearchScope = .durable) -> TableView {
        if scope == .everything { sealAll() }
        var list = state.list
        if scope == .everything { list = list.withWholeRuns }
        return TableView(list: list, scope: scope, clock: environment.clock, gate: searchGate)
    }

    /// A cursor over the items that are visible now.
    public func cursor(_ scope: SearchScope = .durable, deadline: Deadline = .never) -> TableCursor {
        view(scope).cursor(deadline: deadline)
    }

    /// Gives back the memory kept for the runs to come, and keeps none for them any more: for a table that will hardly be
    /// added to.
    public func giveBackMemory() { builders.retire() }

    // MARK: metrics

    /// The file parts, in the order of the list.
    public var parts: [PartInfo] {
        state.list.parts.map {
            PartInfo(
                name: $0.name, items: $0.metadata.itemsCount, blocks: $0.metadata.blocksCount, sizeBytes: $0.sizeBytes)
        }
    }

    /// Counters and gauges. Items in open runs count as pending in normalised form.
    public var metrics: TableMetrics {
        var metrics = TableMetrics()
        counters.fill(&metrics)
        let list = state.list
        for part in list.parts {
            metrics.blocks += part.metadata.blocksCount
            metrics.items += part.metadata.itemsCount
            metrics.sizeBytes += part.sizeBytes
        }
        metrics.parts = UInt64(list.parts.count)
        metrics.partsMax = UInt64(state.partsMax)
        metrics.activeMerges = UInt64(state.activeMerges)
        for run in list.runs {
            metrics.pendingItems += UInt64(run.count)
            metrics.pendingBytes += UInt64(run.memoryBytes)
        }
        for shard in shards {
            shard.lock.withLock {
                guard let box = shard.builder else { return }
                metrics.pendingItems += box.pointer.pointee.normalisedItems
                metrics.pendingBytes += UInt64(box.pointer.pointee.usedBytes)
            }
        }
        metrics.keptBytes = UInt64(builders.arenas.waitingBytes)
        metrics.dataBlockCache = caches.dataBlocks.metrics
        metrics.indexBlockCache = caches.indexBlocks.metrics
        return metrics
    }

    // MARK: close

    /// Makes everything durable, stops the background work and gives the directory back. Merges in progress are
    /// abandoned. Cursors that are still open keep what they see. Call it once, when nobody adds any more.
    ///
    /// - Throws: The error of the last flush; the table is closed all the same, and what could not be written is lost.
    public func close() throws(StorageError) {
        guard !isStopping.exchange(true, ordering: .relaxed) else { return }
        for task in mergers { task.stop() }
        flusher?.stop()
        defer {
            state.drop()
            directoryLock.release()
        }
        try flushEverything()
    }

    /// Throws `.closed` when ``close()`` was called: the directory may belong to somebody else by now.
    func checkIsOpen() throws(StorageError) {
        if isStopping.load(ordering: .relaxed) { throw StorageError(.closed, "the table is closed", path: path) }
    }

    func wakeMergers() {
        for task in mergers { task.wake() }
    }
}
