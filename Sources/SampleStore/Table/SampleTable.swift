// SampleTable.swift - the samples of a storage: partitions of a month each (docs/format/sample-store.md, 7 to 14).
//
//   add() -> shard: arena of rows  --full-->  batches by month: series numbers, timestamps, values
//                                                |  conversion: a batch becomes one part in memory (searchable)
//                                                v
//                                             part in memory
//                                                |  flush: all parts in memory of a month become one file part (durable)
//                                                v
//                                             small part  --merge workers-->  larger small parts, big parts
//
// Rows of all months share the shards: a full arena is split by month, and usually holds one. A flush converts everything that
// waits in one go: what a row costs from there on depends on how many rows of its series come together.
//
// Threads. Public methods may be called from any thread, except close(), which is called once when nobody adds any more.
// Locks, in the order in which they may be taken while holding another:
//
//   flushLock         one flush or snapshot at a time
//   convertLock       one conversion at a time; guards the converter and the batches
//   snapshotLock      of a partition: shared while parts are exchanged on disk, exclusive while a snapshot is linked
//   shard.lock        one shard's arena
//   full, partitions, memory, state.lock     lists and sums; held for a few operations, one at a time
//
// Background work, run by the environment's scheduler: a flusher, workers for small and for big parts, the tasks that are due
// by the clock. In deterministic mode they run inside add(), flush() and settle(), at the scheduler's checkpoints.
//
// A flush or merge that fails (full disk, I/O error) leaves everything as it was and is tried again; add() reports the error
// once the memory for rows is used up. Only a commit whose outcome cannot be known stops the table. A part that a merge finds
// damaged is left out of merges from then on, reported, and kept: a search reads what can be read of it.

import StorageBytes
import StorageFiles
import StorageRuntime
import Synchronization

/// All samples of a storage.
public final class SampleTable: @unchecked Sendable {
    let path: String
    let options: SampleTableOptions
    let files: any FileSystem
    let environment: Environment
    let counters = SampleTableCounters()
    let opener: SamplePartitionOpener
    /// Where searches wait while a flushing thread helps with merging.
    public let searchGate: PauseGate
    /// Parts that were set aside when the table was opened.
    public let damagedParts: [DamagedPart]

    let workerCount: Int
    let smallPartBytesMax: UInt64
    /// Numbers of new parts and transactions.
    let suffixes: UniqueIDs

    let memory: SampleMemory
    let arenas: RowArenaPool
    let shards: [RowShard]
    private let nextShard = Atomic<Int>(0)
    /// Full arenas, oldest first.
    let full = Protected<[RowArena]>([])

    let flushLock = Lock()
    let convertLock = Lock()
    /// Guarded by ``convertLock``, like the batches.
    var converter = RowConverter()
    var batches = RowBatches()
    /// Rows added before the last sweep of the caches: when there are no more at the next one, the table is idle.
    let rowsAtSweep = Atomic<UInt64>(0)
    /// Bytes of rows at which a flush starts.
    let flushBytes: Int

    /// Ascending by month. Partitions that were dropped and still have files are in the second list.
    let partitions: Protected<SamplePartitions>
    let freeSpace: KnownFreeSpace
    let due = Protected(SampleDueTimes())
    let isStopping = Atomic<Bool>(false)
    /// Held shared by forced merges; closing waits for them.
    let forcedMerges = SharedLock()
    private let directoryLock: any FileLock

    private var flusher: (any BackgroundTask)?  // set in init, used in close()
    private var mergers: [any BackgroundTask] = []
    private var tasks: [any BackgroundTask] = []

    // MARK: open

    /// Opens the directory `data/` of a storage, which is created when it does not exist.
    ///
    /// - Parameter damagedDirectory: Where parts that do not open are set aside; on the same file system.
    /// - Throws: `.locked` when it is open already, here or in another process; `.corrupted` when a transaction or the name of
    ///   a partition breaks the format; `.io`, `.noSpace`.
    public static func open(
        _ directory: String, damagedDirectory: String, options: SampleTableOptions,
        files: any FileSystem,
        environment: Environment
    ) throws(StorageError) -> SampleTable {
        let cleaned = Paths.clean(directory)
        try files.makeDirectory(cleaned, parents: true)
        let lock = try files.lock(Paths.join(cleaned, "flock.lock"))
        do throws(StorageError) {
            let half = options.indexCacheBytes / 2
            let opener = SamplePartitionOpener(
                smallDirectory: Paths.join(cleaned, "small"), bigDirectory: Paths.join(cleaned, "big"),
                damagedDirectory: damagedDirectory, files: files,
                smallCache: IndexCacheBudget(bytesMax: half),
                bigCache: IndexCacheBudget(bytesMax: options.indexCacheBytes - half), log: options.log)
            var months: Set<SampleMonth> = []
            for side in [opener.smallDirectory, opener.bigDirectory] {
                try files.makeDirectory(side, parents: true)
                try files.makeDirectory(Paths.join(side, snapshotsName), parents: true)
                for entry in try files.list(side) where entry.kind != .file && entry.name != snapshotsName {
                    guard let month = SampleMonth(name: entry.name) else {
                        throw StorageError(
                            .corrupted, "not the name of a partition; YYYY_MM is expected",
                            path: Paths.join(side, entry.name))
                    }
                    months.insert(month)
                }
            }
            var damaged: [DamagedPart] = []
            var partitions: [SamplePartition] = []
            for month in months.sorted() { partitions.append(try opener.open(month, &damaged)) }
            return SampleTable(cleaned, options, opener, environment, lock, partitions, damaged)
        } catch {
            lock.release()
            throw error
        }
    }

    static let snapshotsName = "snapshots"

    private init(
        _ path: String, _ options: SampleTableOptions, _ opener: SamplePartitionOpener,
        _ environment: Environment,
        _ lock: any FileLock, _ partitions: [SamplePartition], _ damaged: [DamagedPart]
    ) {
        self.path = path
        self.options = options
        self.opener = opener
        self.environment = environment
        files = opener.files
        directoryLock = lock
        damagedParts = damaged
        searchGate = options.searchGate ?? PauseGate()
        // A deterministic run does not depend on the machine.
        let processors = environment.mode == .deterministic ? 2 : CPUCount.available()
        workerCount = options.mergeWorkers > 0 ? options.mergeWorkers : (processors + 1) / 2
        smallPartBytesMax =
            options.smallPartBytesMax
            ?? (environment.mode == .deterministic
                ? SamplePolicy.smallPartBytesDeterministic
                : max(SamplePolicy.smallPartBytesMin, MemorySize.available() / 5 * 2 / 15))
        suffixes = UniqueIDs(start: environment.clock.unixNanoseconds)
        // The clock may have gone back, or stand still: names must not meet those that are there.
        for part in partitions.flatMap(\.state.list.files) {
            if part.name.suffix.utf8.count == 16, let suffix = UInt64(part.name.suffix, radix: 16) {
                suffixes.raise(above: suffix)
            }
        }
        memory = SampleMemory(environment.clock)
        // While a batch is converted, its rows are there twice.
        flushBytes = options.memoryBytesMax / 8 * 5
        let shardCount = options.shardCount > 0 ? options.shardCount : processors
        shards = (0..<shardCount).map { _ in RowShard() }
        let rowBytes = MemoryLayout<SampleRow>.stride
        let arenaRows = min(max(options.memoryBytesMax / rowBytes / 8, 64), RowArena.capacityMax)
        arenas = RowArenaPool(arenaRows: arenaRows, countMax: 2 * shardCount + 2)
        self.partitions = Protected(SamplePartitions(listed: partitions))
        freeSpace = KnownFreeSpace(opener.files, environment.clock)
        let now = environment.clock.monotonicNanoseconds
        due.withLock { $0.start(now) }

        let table = Reference(self)
        let scheduler = environment.scheduler
        flusher = scheduler.start("sample-flusher") { table.value?.flusherStep() ?? .whenWoken }
        if options.mergesInBackground {
            for side in SampleSide.allCases {
                for index in 0..<workerCount {
                    mergers.append(
                        scheduler.start("sample-\(side.name)-\(index)") { table.value?.mergerStep(side) ?? .whenWoken })
                }
            }
        }
        if options.tasksInBackground {
            tasks = [
                scheduler.start("sample-tasks") { table.value?.tasksStep() ?? .whenWoken },
                scheduler.start("sample-dedup") { table.value?.finalDedupStep() ?? .whenWoken },
            ]
        }
    }

    /// A reference that background tasks may hold without keeping the table alive.
    private final class Reference: @unchecked Sendable {
        private(set) weak var value: SampleTable?
        init(_ value: SampleTable) { self.value = value }
    }

    // MARK: add

    /// Adds rows that the caller has checked (16): no NaN but the stale marker, timestamps within the limits. They become
    /// searchable and durable within ``SampleTableOptions/flushIntervalNanoseconds`` or so. Rows that have no partition when
    /// they are converted, and are outside of the limits then, are skipped and counted.
    ///
    /// - Parameters:
    ///   - precisionBits: 1...64, how many bits of a value are kept.
    ///   - hint: Which shard to take, modulo their number; a thread that adds much passes its own number. nil takes the next.
    /// - Throws: The error of the last flush when the memory for rows is used up and could not be written (adding resumes as
    ///   soon as a flush succeeds); `.closed`. No row of the call was added then.
    /// - Complexity: One copy of the rows; no allocation once the arenas are there.
    public func add(
        _ rows: UnsafeBufferPointer<SampleRow>, precisionBits: Int, hint: Int? = nil
    ) throws(StorageError) {
        precondition(precisionBits >= 1 && precisionBits <= 64, "\(precisionBits) precision bits")
        try checkIsOpen()
        guard rows.count > 0, let start = rows.baseAddress else { return }
        try waitForRoom()
        let number = hint ?? nextShard.wrappingAdd(1, ordering: .relaxed).newValue
        let shard = shards[Int(UInt(bitPattern: number) % UInt(shards.count))]
        shard.lock.lock()
        // Under the shard's lock: a flush that does not count these rows as waiting does not find them in the shard, either.
        let waiting = memory.add(rows: rows.count, bytes: rows.count * MemoryLayout<SampleRow>.stride)
        let hasFilled = append(start, rows.count, precisionBits, to: shard)
        shard.lock.unlock()
        counters.rowsAdded.add(UInt64(rows.count))
        if hasFilled { numberFullArenas() }
        if waiting >= flushBytes, memory.bytes >= flushBytes {
            flusher?.wake()
            environment.scheduler.checkpoint()
        }
    }

    /// Appends rows to the arena of a shard, whose lock the caller holds. Arenas that are full, or hold rows of other
    /// precision bits, go to the list: under the lock, so that a flush misses no row of a call that has returned. Returns
    /// whether there are such.
    private func append(
        _ rows: UnsafePointer<SampleRow>, _ count: Int, _ precisionBits: Int, to shard: RowShard
    ) -> Bool {
        var done = 0
        var hasFilled = false
        while done < count {
            if let arena = shard.arena, arena.room == 0 || arena.precisionBits != precisionBits {
                full.withLock { $0.append(arena) }
                shard.arena = nil
                hasFilled = true
            }
            let arena = shard.arena ?? arenas.take()
            shard.arena = arena
            let fitting = min(arena.room, count - done)
            arena.append(rows + done, fitting, precisionBits: precisionBits)
            done += fitting
        }
        return hasFilled
    }

    /// Waits while half as much again waits to be written as should. Throws the flusher's error when it cannot write.
    private func waitForRoom() throws(StorageError) {
        let limit = options.memoryBytesMax + options.memoryBytesMax / 2
        try memory.checkCanWrite()
        guard memory.bytes >= limit else { return }
        numberFullArenas()
        guard memory.bytes >= limit else { return }
        let start = environment.clock.monotonicNanoseconds
        counters.stalls.add()
        defer { counters.stallNanoseconds.add(environment.clock.monotonicNanoseconds - start) }
        if environment.scheduler.hasThreads {
            try memory.waitForRoom(limit) { flusher?.wake() }
        } else {
            flusher?.wake()
            environment.scheduler.checkpoint()
            if memory.bytes >= limit, let error = memory.flushError { throw error }
        }
    }

    // MARK: search

    /// Searches blocks of `tsids`, in ascending order, with rows between two timestamps, both included. Sees what was
    /// searchable at the time of the call. Rows past retention are not looked for; whole blocks are returned, so some may be
    /// in them.
    public func search(
        _ tsids: [TSID], minTimestamp: Int64, maxTimestamp: Int64, deadline: Deadline = .never
    ) -> SampleSearch {
        SampleSearch(
            self, tsids, minTimestamp: max(minTimestamp, retentionStart(wholeSeconds: true)),
            maxTimestamp: maxTimestamp,
            deadline: deadline)
    }

    /// The oldest timestamp within retention.
    func retentionStart(wholeSeconds: Bool = false) -> Int64 {
        let now = environment.clock.unixMilliseconds
        let (start, overflow) = (wholeSeconds ? now / 1000 * 1000 : now).subtractingReportingOverflow(
            options.retentionMs)
        return overflow ? .min : start
    }

    // MARK: close

    /// Makes everything durable, stops the background work and gives the directory back. Merges in progress, forced ones too,
    /// are abandoned.
    /// Searches that are still open keep what they see. Call it once, when nobody adds any more.
    ///
    /// - Throws: The error of the last flush; the table is closed all the same, and what could not be written is lost.
    public func close() throws(StorageError) {
        guard !isStopping.exchange(true, ordering: .relaxed) else { return }
        for partition in partitions.withLock({ $0.listed }) { partition.mergeStop.set() }
        for task in tasks + mergers { task.stop() }
        flusher?.stop()
        forcedMerges.withExclusive {}
        defer {
            for partition in partitions.withLock({ $0.listed }) { _ = partition.state.drop() }
            partitions.withLock { $0 = SamplePartitions() }
            directoryLock.release()
        }
        removeDropped(evenIfHeld: true)
        try flushEverything()
    }

    /// Throws `.closed` when ``close()`` was called: the directory may belong to somebody else by now.
    func checkIsOpen() throws(StorageError) {
        if isStopping.load(ordering: .relaxed) {
            throw StorageError(.closed, "the table is closed", path: path)
        }
    }

    func wakeMergers() {
        for task in mergers { task.wake() }
    }
}
