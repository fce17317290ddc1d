// SelectService.swift - answers requests of the vmselect port.
//
// Only registerMetricNames_v1 needs no search. All other calls are read completely and answered by an error text that says
// so; the connection stays usable.
//
// Threads: `answer` from any thread; calls run on two threads of their own.

import ClusterWire
import NIOPosix
import StorageBytes
import StorageEngine
import StorageRuntime

/// Answers requests.
final class SelectService: Sendable {
    private let storage: any RPCStorage
    private let counters: RPCCounters
    private let nowSeconds: @Sendable () -> UInt64
    private let threads = NIOThreadPool(numberOfThreads: 2)

    init(storage: any RPCStorage, counters: RPCCounters, nowSeconds: @escaping @Sendable () -> UInt64) {
        self.storage = storage
        self.counters = counters
        self.nowSeconds = nowSeconds
        threads.start()
    }

    /// Answers a request that was begun to be read at `readAtSeconds`, by calling `reply` with the plain bytes once.
    func answer(
        _ request: SelectRequest, readAtSeconds: UInt64, reply: @escaping @Sendable ([UInt8]) -> Void
    ) {
        counters.add(request.call)
        threads.submit { state in
            guard case .active = state else {
                request.giveBack()
                return reply([])
            }
            var response = RawBuffer()
            self.run(request, readAtSeconds, &response)
            // Whoever waits for the memory is to find it free when the budget hears of it.
            request.giveBack()
            reply(response.array())
        }
    }

    /// Ends the threads after the calls that are running.
    func finish() { try? threads.syncShutdownGracefully() }

    private func run(_ request: SelectRequest, _ readAtSeconds: UInt64, _ response: inout RawBuffer) {
        guard nowSeconds() <= readAtSeconds + UInt64(request.timeoutSeconds) else {
            return SelectResponse.error(
                "cannot execute request in \(request.timeoutSeconds) seconds: deadline exceeded", to: &response)
        }
        guard request.call == .registerMetricNames else {
            return SelectResponse.error(
                "\(request.call.rawValue) needs a search, and this storage node does not search yet", to: &response)
        }
        if let failure = register(request) {
            SelectResponse.error("cannot register the metric because " + failure, to: &response)
        } else {
            SelectResponse.success(to: &response)
        }
    }

    /// Registers the names up to the first malformed one; what is wrong, if anything is.
    private func register(_ request: SelectRequest) -> String? {
        let bytes = request.bytes
        var rows: [MetricRow] = []
        rows.reserveCapacity(min(request.names.count, WireLimits.batchRowsMax))
        var problem: String?
        for name in request.names {
            let raw = UnsafeRawBufferPointer(rebasing: bytes[name.start..<name.start + name.count])
            problem = RawNameCheck.problem(of: raw)
            if problem != nil { break }
            rows.append(MetricRow(name: raw, timestampMs: name.timestampMs, value: 0))
            if rows.count == WireLimits.batchRowsMax {
                if let failure = register(&rows) { return failure }
            }
        }
        return register(&rows) ?? problem
    }

    private func register(_ rows: inout [MetricRow]) -> String? {
        defer { rows.removeAll(keepingCapacity: true) }
        do throws(StorageError) {
            try rows.withUnsafeBufferPointer { (rows) throws(StorageError) in
                try storage.registerMetricNames(rows)
            }
            return nil
        } catch { return error.description }
    }
}
