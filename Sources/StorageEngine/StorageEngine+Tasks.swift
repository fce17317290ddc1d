// StorageEngine+Tasks.swift - what is done by the clock.
//
//   hour sets          10 s     docs/format/series-index.md, 6.9
//   next-day set       11 s     the same
//   free space         30 s     docs/format/sample-store.md, 19
//   cache expiry       by the caches themselves
//   index rotation     once a retention period, docs/format/series-index.md, 5.2
//
// A background task looks once a second in live mode; otherwise runDueTasks() does. Retention, stale parts and final
// deduplication of the samples are tasks of the SampleTable.
//
// Threads: any; whoever comes second finds the work being done.

import SeriesIndex
import StorageFiles
import StorageRuntime
import Synchronization

/// When what is due next, Unix milliseconds.
struct DueTasks {
    var hourUpdateMs: Int64, nextDayUpdateMs: Int64, freeSpaceMs: Int64
    var rotationMs: Int64

    init(nowMs: Int64, retentionMs: Int64) {
        hourUpdateMs = nowMs
        nextDayUpdateMs = nowMs
        freeSpaceMs = nowMs
        rotationMs = SeriesIndex.nextRotationMs(nowMs: nowMs, retentionMs: retentionMs)
    }

    /// Whether something that was done last at `last` is due again; then it counts as done.
    static func take(_ last: inout Int64, everyMs: Int64, nowMs: Int64) -> Bool {
        // A clock that was set back makes everything due.
        guard nowMs - last >= everyMs || nowMs < last else { return false }
        last = nowMs
        return true
    }
}

extension StorageEngine {
    /// A reference that the background task may hold; close() stops it before the engine dies.
    private struct Unowned: @unchecked Sendable {
        unowned let value: StorageEngine
        init(_ value: StorageEngine) { self.value = value }
    }

    func startBackgroundWork() {
        guard environment.scheduler.hasThreads else { return }
        let engine = Unowned(self)
        updates = environment.scheduler.start("updates") {
            engine.value.runDueTasksBeside()
            return .after(nanoseconds: 1_000_000_000)
        }
    }

    /// Runs the background work that is due by the clock: hour sets, next-day set, free space, expiry in caches, rotation,
    /// and the tasks of the sample table. It runs by itself in live mode; a driver that moves a virtual clock calls this
    /// after moving it.
    ///
    /// - Throws: Errors of a rotation; it is tried again a minute later.
    public func runDueTasks() throws(StorageError) {
        try runOwnDueTasks()
        // With threads the table has a task of its own.
        if !environment.scheduler.hasThreads, !isClosed.load(ordering: .relaxed) { samples?.runDueTasks() }
    }

    private func runOwnDueTasks() throws(StorageError) {
        guard dueTasksLock.tryLock() else { return }
        defer { dueTasksLock.unlock() }
        guard !isClosed.load(ordering: .relaxed) else { return }
        let nowMs = environment.clock.unixMilliseconds
        let (hour, nextDay, freeSpace, rotation) = due.withLock { due in
            (
                DueTasks.take(&due.hourUpdateMs, everyMs: 10_000, nowMs: nowMs),
                DueTasks.take(&due.nextDayUpdateMs, everyMs: 11_000, nowMs: nowMs),
                DueTasks.take(&due.freeSpaceMs, everyMs: 30_000, nowMs: nowMs), nowMs >= due.rotationMs
            )
        }
        if hour { active.updateHours(DateMath.hour(timestampMs: nowMs)) }
        if nextDay { active.updateNextDay(today: DateMath.date(timestampMs: nowMs)) }
        if freeSpace { space.look() }
        tsidCache.tick(nowNanoseconds: environment.clock.unixNanoseconds)
        if rotation {
            due.withLock { $0.rotationMs = nowMs + 60_000 }
            try rotateIndex()
            due.withLock {
                $0.rotationMs = SeriesIndex.nextRotationMs(nowMs: nowMs, retentionMs: options.retentionMs)
            }
        }
    }

    /// The engine's own part of ``runDueTasks()``, for callers that go on whatever happens.
    func runDueTasksBeside() {
        do throws(StorageError) { try runOwnDueTasks() } catch {
            options.log?("error: a background update has failed and will be tried again: \(error)")
        }
    }

    /// When the index is rotated next, in Unix milliseconds.
    public var nextRotationMs: Int64 { due.withLock { $0.rotationMs } }

    /// Starts a new index table now (docs/format/series-index.md, 5.2).
    public func rotateIndex() throws(StorageError) {
        try checkIsOpen()
        try index.rotate { tsidCache.reset() }
        raiseSearchVersion()
    }

    /// Looks at the free space now, and takes the consequences.
    public func checkFreeSpace() { space.look() }

    /// Whether rows are refused because the disk is nearly full (docs/format/sample-store.md, 19).
    public var isReadOnly: Bool { space.isReadOnly }
}
