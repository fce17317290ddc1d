// IngestCrew.swift - the threads that hand prepared rows to the engine.
//
//   driver:   rows of a round --> ingest(rows) ............................... returns when all are in
//   workers:  wait            --> claim 1000 rows, move the clock to them, AddRows, claim the next 1000 --> wait
//
// Whoever moves the clock past the next ten seconds lets the engine do what has come due, as a live node would: its own
// task looks at the clock once a real second, in which minutes of virtual time may pass.
//
// The threads live as long as the crew, since a round may be a few hundred microseconds of work. A round of a single
// batch is ingested by the driver itself: waking a thread would cost more than the batch. Deterministic runs have no
// other thread; after each batch their monotonic clock moves on as if 100,000 rows came in a second, and the scheduler
// gets its fixed point.
//
// Threads: one driver. `ingest` and `stop` are called by it alone.

import StorageEngine
import StorageRuntime
import Synchronization

/// Ingests rows with a fixed set of threads.
final class IngestCrew: @unchecked Sendable {
    private struct Job {
        var number = 0
        var rows: UnsafeBufferPointer<MetricRow> = UnsafeBufferPointer(start: nil, count: 0)
        var workersBusy = 0
        var stops = false
        var error: HarnessError?
        var cpuSeconds = 0.0
    }

    private let engine: StorageEngine
    private let clock: DrivenClock
    private let environment: Environment
    private let progress: Progress
    private let batchRows: Int
    /// When blocks are due, and how long they take; live mode only.
    let schedule: ArrivalSchedule
    let latency: LatencyRecorder?
    private let threadCount: Int
    private let lock = Lock()
    private let work = Condition()
    private let done = Condition()
    private var job = Job()  // under the lock
    private let nextRow = Atomic<Int>(0)
    private let dueMs = Atomic<Int64>(0)
    private let hasFailed = Atomic<Bool>(false)
    private var threads: [Thread] = []
    private var batchesSinceSample = 0

    /// Batches between two samples of the progress in deterministic mode.
    static let batchesPerSample = 50

    /// A crew that waits for work. Without threads (deterministic mode) the driver does it.
    init(
        engine: StorageEngine, clock: DrivenClock, environment: Environment, progress: Progress, threads: Int,
        batchRows: Int, schedule: ArrivalSchedule = ArrivalSchedule(rowsPerSecond: nil), latency: LatencyRecorder? = nil
    ) {
        self.engine = engine
        self.clock = clock
        self.environment = environment
        self.progress = progress
        self.batchRows = batchRows
        self.schedule = schedule
        self.latency = latency
        threadCount = environment.mode == .live ? threads : 0
        self.threads = (0..<threadCount).map { number in
            Thread.start("ingest-\(number)") { [unowned self] in self.serve(number) }
        }
    }

    /// Ends the threads. Nothing may be ingested afterwards.
    func stop() {
        lock.withLock { job.stops = true }
        work.broadcast()
        for thread in threads { thread.join() }
        threads = []
    }

    /// CPU seconds that the threads have spent in AddRows so far.
    var cpuSeconds: Double { lock.withLock { job.cpuSeconds } }

    /// Adds all rows; returns when the last AddRows call has.
    ///
    /// - Throws: `.interrupted`, or the first error of the engine.
    func ingest(_ rows: UnsafeBufferPointer<MetricRow>) throws(HarnessError) {
        guard !rows.isEmpty else { return }
        schedule.begin(now: WallClock.nanoseconds)
        defer { schedule.end(rows: rows.count, now: WallClock.nanoseconds) }
        if threadCount == 0 || rows.count <= batchRows {
            try ingestHere(rows)
        } else {
            nextRow.store(0, ordering: .relaxed)
            lock.lock()
            job.rows = rows
            job.number += 1
            job.workersBusy = threadCount
            work.broadcast()
            while job.workersBusy > 0 { done.wait(lock) }
            let error = job.error
            lock.unlock()
            if let error { throw error }
        }
        try Interrupt.check()
    }

    private func ingestHere(_ rows: UnsafeBufferPointer<MetricRow>) throws(HarnessError) {
        let start = CPUTime.ofThread()
        var first = 0
        while first < rows.count {
            try Interrupt.check()
            try add(rows, from: first, hint: 0)
            first += batchRows
            guard environment.mode == .deterministic else { continue }
            clock.advanceMonotonic(milliseconds: Int64(batchRows * 1000 / IngestPhase.virtualRowsPerSecond))
            environment.scheduler.checkpoint()
            batchesSinceSample += 1
            if batchesSinceSample == IngestCrew.batchesPerSample {
                batchesSinceSample = 0
                progress.sample()
            }
        }
        let cpu = CPUTime.ofThread() - start
        lock.withLock { job.cpuSeconds += cpu }
    }

    private func serve(_ number: Int) {
        var seen = 0
        while true {
            lock.lock()
            while job.number == seen && !job.stops { work.wait(lock) }
            let stops = job.stops
            seen = job.number
            let rows = job.rows
            lock.unlock()
            if stops { return }

            let start = CPUTime.ofThread()
            var failure: HarnessError?
            while !Interrupt.isRequested, !hasFailed.load(ordering: .relaxed) {
                let first = nextRow.wrappingAdd(batchRows, ordering: .relaxed).oldValue
                if first >= rows.count { break }
                do throws(HarnessError) { try add(rows, from: first, hint: number) } catch {
                    hasFailed.store(true, ordering: .relaxed)
                    failure = error
                }
            }
            let cpu = CPUTime.ofThread() - start
            lock.withLock {
                job.cpuSeconds += cpu
                if job.error == nil { job.error = failure }
                job.workersBusy -= 1
                if job.workersBusy == 0 { done.signal() }
            }
        }
    }

    private func add(_ rows: UnsafeBufferPointer<MetricRow>, from first: Int, hint: Int) throws(HarnessError) {
        let batch = UnsafeBufferPointer(rebasing: rows[first..<min(first + batchRows, rows.count)])
        let due = schedule.due(row: first)
        if let due { ArrivalSchedule.wait(until: due) }
        let start = latency == nil ? 0 : WallClock.nanoseconds
        let now = batch[batch.count - 1].timestampMs
        clock.raise(toUnixMilliseconds: now)
        let tasksDue = dueMs.load(ordering: .relaxed)
        do throws(StorageError) {
            if now >= tasksDue,
                dueMs.compareExchange(expected: tasksDue, desired: now + 10_000, ordering: .relaxed).exchanged
            {
                try engine.runDueTasks()
            }
            try engine.addRows(batch, hint: hint)
        } catch {
            throw HarnessError(error, while: "adding rows")
        }
        latency?.record(intended: due, start: start, end: WallClock.nanoseconds)
        progress.add(batch.count)
    }
}
