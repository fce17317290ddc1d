// IngestPhase.swift - the timed part of a run without the engine: items, or the index items of new series, straight into
// a table; then the debt. What the table and the builders of items cost by themselves.
//
//   live            N threads take batches of 1000 rows from a shared counter, each with a workspace of its own
//   deterministic   one thread, the caller's; after each batch the virtual clock moves on as if 100,000 rows came in a
//                   second, and the scheduler gets its fixed point
//
// Between batches the threads look at the interrupt flag; the first error of any of them ends the phase.

import Mergeset
import StorageRuntime
import Synchronization

/// Puts the rows of a subject into a table.
struct IngestPhase {
    let subject: RunSubject
    let table: Table
    let environment: Environment
    let progress: Progress
    let threads: Int

    /// Rows between two looks at the interrupt flag.
    static let batchRows = 1000
    /// Rows that arrive in a virtual second.
    static let virtualRowsPerSecond = 100_000
    /// Samples of the progress that a deterministic run takes.
    static let deterministicSamples = 50

    /// Adds all rows.
    ///
    /// - Returns: CPU seconds of the ingest threads.
    /// - Throws: `.interrupted`, or the first error of the table.
    func run() throws(HarnessError) -> Double {
        progress.begin("ingest", total: subject.input.count, unit: subject.kind.rawValue, source: .table(table))
        return environment.mode == .live ? try runThreads() : try runDeterministic()
    }

    private func runThreads() throws(HarnessError) -> Double {
        let shared = Shared()
        let workers = (0..<threads).map { number in
            Thread.start("ingest-\(number)") { self.work(number, shared) }
        }
        for worker in workers { worker.join() }
        if let error = shared.state.withLock({ $0.error }) { throw error }
        try Interrupt.check()
        return shared.state.withLock { $0.cpuSeconds }
    }

    private final class Shared: Sendable {
        struct State {
            var error: HarnessError?
            var cpuSeconds = 0.0
        }
        let nextRow = Atomic<Int>(0)
        let hasFailed = Atomic<Bool>(false)
        let state = Protected(State())
    }

    private func work(_ number: Int, _ shared: Shared) {
        var ingest = IndexIngest(date: subject.date)
        while !Interrupt.isRequested, !shared.hasFailed.load(ordering: .relaxed) {
            let start = shared.nextRow.wrappingAdd(IngestPhase.batchRows, ordering: .relaxed).oldValue
            if start >= subject.input.count { break }
            do throws(HarnessError) { try addBatch(from: start, &ingest, hint: number) } catch {
                shared.hasFailed.store(true, ordering: .relaxed)
                shared.state.withLock { $0.error = $0.error ?? error }
            }
        }
        let cpu = CPUTime.ofThread()
        shared.state.withLock { $0.cpuSeconds += cpu }
    }

    private func runDeterministic() throws(HarnessError) -> Double {
        let start = CPUTime.ofThread()
        var ingest = IndexIngest(date: subject.date)
        let batches = (subject.input.count + IngestPhase.batchRows - 1) / IngestPhase.batchRows
        let sampleEvery = max(1, batches / IngestPhase.deterministicSamples)
        for batch in 0..<batches {
            try Interrupt.check()
            try addBatch(from: batch * IngestPhase.batchRows, &ingest, hint: 0)
            (environment.clock as? VirtualClock)?.advance(
                milliseconds: Int64(IngestPhase.batchRows * 1000 / IngestPhase.virtualRowsPerSecond))
            environment.scheduler.checkpoint()
            if (batch + 1) % sampleEvery == 0 { progress.sample() }
        }
        return CPUTime.ofThread() - start
    }

    private func addBatch(from start: Int, _ ingest: inout IndexIngest, hint: Int) throws(HarnessError) {
        let input = subject.input
        let end = min(start + IngestPhase.batchRows, input.count)
        do throws(StorageError) {
            switch subject.kind {
            case .series, .rows:
                try ingest.register({ input[$0] }, numbers: start..<end, to: table, hint: hint)
            case .items:
                try table.add(hint: hint) { (writer: inout ItemWriter) throws(StorageError) in
                    for row in start..<end { try writer.add(input[row]) }
                }
            }
        } catch { throw HarnessError(error, while: "adding rows \(start)..<\(end)") }
        progress.add(end - start)
    }

    /// Pays the debt: the last flush, then all merges that the policy wants.
    func payDebt() throws(HarnessError) {
        progress.begin("settle", total: 0, unit: subject.kind.rawValue, source: .table(table))
        do throws(StorageError) {
            try table.flush()
            if !Interrupt.isRequested { try table.settle() }
        } catch { throw HarnessError(error, while: "waiting for flushes and merges") }
        if environment.mode == .deterministic { progress.sample() }
        try Interrupt.check()
    }
}
