// InsertPool.swift - the workers that decode packets and add their rows.
//
//   connections --> | line | --> | queue, one place a worker | --> workers --> storage
//
// A packet that finds no place in the queue stands in line, and its connection is not read from until it has one: that is
// how a storage that cannot keep up slows its senders down. Everything that was submitted was acknowledged, so `finish`
// ends only when all of it was handed to the storage.
//
// A worker decodes up to 10 000 rows and adds them before it decodes more. Names are lent from the packet.
//
// Threads: any; `finish` once.

import ClusterWire
import NodeSupport
import StorageEngine
import StorageRuntime

/// Workers with a queue.
final class InsertPool: @unchecked Sendable {
    private struct Job {
        let packet: Packet
        let account: BudgetAccount
        let accepted: (@Sendable () -> Void)?
    }

    private let storage: any RPCStorage
    private let counters: RPCCounters
    private let budget: ByteBudget
    private let log: NodeLog
    private let lock = Lock()
    private let hasWork = Condition()
    private var queue: [Job] = []  // guarded by `lock`, as the next three
    private var line: [Job] = []
    private var isFinishing = false
    private let placesMax: Int
    private var threads: [Thread] = []  // set in init, used in finish

    init(workers: Int, storage: any RPCStorage, counters: RPCCounters, budget: ByteBudget, log: NodeLog) {
        self.storage = storage
        self.counters = counters
        self.budget = budget
        self.log = log
        placesMax = workers
        threads = (0..<workers).map { number in
            Thread.start("insert-\(number)") { self.work(number) }
        }
    }

    /// Takes over an acknowledged packet. Its account is closed when it is done.
    ///
    /// - Parameter accepted: Called once, from a worker, when the packet has got a place after waiting.
    /// - Returns: Whether it has a place at once; `accepted` is not called then.
    func submit(_ packet: Packet, _ account: BudgetAccount, accepted: @escaping @Sendable () -> Void) -> Bool {
        let isPlaced = lock.withLock {
            if queue.count < placesMax {
                queue.append(Job(packet: packet, account: account, accepted: nil))
                return true
            }
            line.append(Job(packet: packet, account: account, accepted: accepted))
            return false
        }
        if isPlaced { hasWork.signal() }
        return isPlaced
    }

    /// Waits until everything submitted is done, and ends the workers.
    func finish() {
        lock.withLock { isFinishing = true }
        hasWork.broadcast()
        for thread in threads { thread.join() }
        threads = []
    }

    private func work(_ number: Int) {
        let rows = UnsafeMutablePointer<MetricRow>.allocate(capacity: WireLimits.batchRowsMax)
        defer { rows.deallocate() }
        while let job = next() {
            process(job.packet, rows, number)
            // Whoever waits for the memory is to find it free.
            job.packet.giveBack()
            budget.close(job.account)
        }
    }

    private func next() -> Job? {
        lock.lock()
        while queue.isEmpty {
            if isFinishing {
                lock.unlock()
                return nil
            }
            hasWork.wait(lock)
        }
        let job = queue.removeFirst()
        var moved: Job?
        if !line.isEmpty {
            let first = line.removeFirst()
            moved = first
            queue.append(first)
        }
        lock.unlock()
        if let moved {
            hasWork.signal()
            moved.accepted?()
        }
        return job
    }

    private func process(_ packet: Packet, _ rows: UnsafeMutablePointer<MetricRow>, _ number: Int) {
        var decoder = RowDecoder(packet)
        while true {
            let count: Int
            do {
                count = try decoder.next(into: rows, rowsMax: WireLimits.batchRowsMax) { name, timestamp, value in
                    MetricRow(name: name, timestampMs: timestamp, value: value)
                }
            } catch {
                counters.parseErrors.wrappingAdd(1, ordering: .relaxed)
                counters.add(lostRows: 1, .brokenFraming)
                let left = decoder.remaining
                log.limited(
                    .error,
                    "cannot unmarshal MetricRow from clusternative block with size \(packet.count) "
                        + "(remaining \(left) bytes): \(error)")
                return
            }
            if count == 0 { break }
            counters.rowsRead.wrappingAdd(UInt64(count), ordering: .relaxed)
            do throws(StorageError) {
                try storage.addRows(UnsafeBufferPointer(start: rows, count: count), worker: number)
            } catch {
                counters.processErrors.wrappingAdd(1, ordering: .relaxed)
                counters.add(lostRows: count, LossReason(error))
                log.limited(
                    .error, "\(count) acknowledged rows were refused by the storage, or some of them: \(error)")
            }
        }
        if decoder.tooLongRows > 0 {
            let rows = decoder.tooLongRows
            counters.add(lostRows: rows, .tooLongName)
            log.limited(
                .warn, "\(rows) rows with names above \(WireLimits.rowNameBytesMax) bytes were passed over")
        }
    }
}
