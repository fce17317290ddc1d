// Node.swift - a storage node, from start to stop (docs/format/vmstorage-process.md, 3 and 4).
//
//   start   storage opened --> RPC ports --> HTTP port
//   stop    HTTP port --> RPC ports and connections, acknowledged packets stored --> storage closed
//
// So /health answers only while everything works, and the storage outlives everybody who uses it.
//
// Threads: any but an event loop's; `stop` once.

import AdminHTTP
import CJemalloc
import ClusterRPC
import Glibc
import NIOPosix
import NodeSupport
import SampleStore
import StorageEngine
import StorageFiles
import StorageRuntime

/// Why a node could not be started, or not be stopped in time. The message was logged.
struct NodeFailure: Error {
    let message: String
}

/// A running node.
public final class Node: @unchecked Sendable {
    /// Names and versions: the protocol's version is what dashboards look for.
    public static let version = "storage-node-0.1.0-v1.72.0-cluster"
    static let shortVersion = "v1.72.0-cluster"

    private let options: NodeOptions
    private let flags: FlagValues
    private let log: NodeLog
    private let writer: LogWriter
    let group: MultiThreadedEventLoopGroup
    let storage: NodeStorage
    let rpc: RPCServer
    private let http = Protected<AdminServer?>(nil)  // set in init, behind the RPC ports
    private let startNanoseconds = SystemClock().unixNanoseconds

    /// Opens the storage and the ports.
    ///
    /// - Throws: What was logged as FATAL; nothing is left open.
    init(
        _ options: NodeOptions, flags: FlagValues, log: NodeLog, writer: LogWriter,
        files: any FileSystem = RealFileSystem(), environment: Environment = .live()
    ) throws(NodeFailure) {
        self.options = options
        self.flags = flags
        self.log = log
        self.writer = writer
        storage = try Node.open(options, files, environment, log)
        group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, min(options.processors, 4)))
        do throws(StorageError) {
            rpc = try RPCServer(options: options.rpc, storage: storage, group: group, log: log)
        } catch {
            try? storage.close()
            try? group.syncShutdownGracefully()
            throw Node.serverFailure(options, "\(error)", log)
        }
        if !(1...64).contains(options.precisionBits) {
            abandon()
            throw Node.serverFailure(
                options, "-precisionBits must be in the range [1...64]; got \(options.precisionBits)", log)
        }
        do throws(StorageError) {
            let admin = try AdminServer(options: options.admin, backend: self, group: group, log: log)
            http.withLock { $0 = admin }
        } catch {
            abandon()
            throw Node.failure("cannot start http server at \(options.admin.address): \(error)", log)
        }
        log.info("starting http server at http://\(options.admin.address)/")
    }

    /// The HTTP port; nil while the node is being started.
    var admin: AdminServer? { http.withLock { $0 } }

    private static func open(
        _ options: NodeOptions, _ files: any FileSystem, _ environment: Environment, _ log: NodeLog
    ) throws(NodeFailure) -> NodeStorage {
        log.info("opening storage at \"\(options.dataPath)\" with -retentionPeriod=\(options.retentionText)")
        let start = SystemClock().monotonicNanoseconds
        do throws(StorageError) {
            let storage = try NodeStorage(options, files: files, environment: environment, log: log)
            let seconds = Double(SystemClock().monotonicNanoseconds - start) * 1e-9
            let samples = storage.engine.metrics.samples
            let sides = [samples?.small, samples?.big].compactMap { $0 }
            func sum(_ field: (SampleSideMetrics) -> UInt64) -> UInt64 { sides.reduce(0) { $0 + field($1) } }
            log.info(
                "successfully opened storage \"\(options.dataPath)\" in \(text(seconds)) seconds; "
                    + "partsCount: \(sum { $0.parts }); blocksCount: \(sum { $0.blocks }); rowsCount: \(sum { $0.rows }); "
                    + "sizeBytes: \(sum { $0.sizeBytes })")
            for part in storage.engine.damagedParts { log.error("a damaged part was set aside: \(part)") }
            return storage
        } catch {
            throw failure(
                "cannot open a storage at \(options.dataPath) with -retentionPeriod=\(options.retentionText): \(error)",
                log)
        }
    }

    private func abandon() {
        rpc.stop()
        try? storage.close()
        try? group.syncShutdownGracefully()
    }

    private static func serverFailure(
        _ options: NodeOptions, _ reason: String, _ log: NodeLog, line: UInt = #line
    ) -> NodeFailure {
        failure(
            "cannot create a server with vminsertAddr=\(options.rpc.insertAddress), "
                + "vmselectAddr=\(options.rpc.selectAddress): \(reason)", log, line: line)
    }

    /// - Parameter line: Where it happened, for the log.
    private static func failure(_ message: String, _ log: NodeLog, line: UInt = #line) -> NodeFailure {
        log.fatal(message, line: line)
        return NodeFailure(message: message)
    }

    /// Seconds with three decimals.
    static func text(_ seconds: Double) -> String {
        let thousandths = Int((seconds * 1000).rounded())
        let rest = String(thousandths % 1000)
        return "\(thousandths / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }

    /// Stops everything, in order. The storage is not closed when HTTP requests do not end in time: rows that are not
    /// flushed are lost then, and what is on disk stays consistent.
    func stop() throws(NodeFailure) {
        let address = options.admin.address
        var start = SystemClock().monotonicNanoseconds
        func seconds() -> String { Node.text(Double(SystemClock().monotonicNanoseconds - start) * 1e-9) }
        log.info("gracefully shutting down http service at \"\(address)\"")
        guard admin?.stop() ?? true else {
            throw Node.failure("cannot stop http service: requests are still running", log)
        }
        log.info("successfully shut down http service in \(seconds()) seconds")

        start = SystemClock().monotonicNanoseconds
        log.info("gracefully shutting down the service")
        rpc.stop()
        try? group.syncShutdownGracefully()
        log.info("successfully shut down the service in \(seconds()) seconds")

        start = SystemClock().monotonicNanoseconds
        log.info("gracefully closing the storage at \(options.dataPath)")
        do throws(StorageError) { try storage.close() } catch {
            throw Node.failure("cannot close the storage at \(options.dataPath) without losses: \(error)", log)
        }
        log.info("successfully closed the storage in \(seconds()) seconds")
        log.info("the storage node has been stopped")
    }
}

extension Node: AdminBackend {
    /// See ``AdminBackend``.
    public func createSnapshot() throws(StorageError) -> String { try storage.engine.createSnapshot() }

    /// See ``AdminBackend``.
    public func listSnapshots() throws(StorageError) -> [String] { try storage.engine.snapshots() }

    /// See ``AdminBackend``.
    public func deleteSnapshot(_ name: String) throws(StorageError) { try storage.engine.deleteSnapshot(name) }

    /// See ``AdminBackend``.
    public func forceFlush() throws(StorageError) { try storage.engine.makeSearchable() }

    /// See ``AdminBackend``.
    public func startForcedMerge(prefix: String) { storage.startForcedMerge(prefix: prefix) }

    /// See ``AdminBackend``.
    public func flagsPage() -> String { NodePages.flags(flags) }

    /// See ``AdminBackend``.
    public func metricsPage() -> String {
        let now = SystemClock().unixNanoseconds
        let application = [
            NodeMetric("vm_app_version{version=\"\(Node.version)\", short_version=\"\(Node.shortVersion)\"}", 1),
            NodeMetric("vm_allowed_memory_bytes", options.allowedMemoryBytes),
            NodeMetric("vm_available_memory_bytes", options.systemMemoryBytes),
            NodeMetric("vm_available_cpu_cores", options.processors),
            NodeMetric("vm_app_start_timestamp", startNanoseconds / 1_000_000_000),
            NodeMetric("vm_app_uptime_seconds", Double(now - min(now, startNanoseconds)) * 1e-9),
        ]
        let registered =
            NodePages.lines(of: storage.engine, path: options.dataPath) + rpc.metrics + (admin?.metrics ?? [])
            + writer.metrics + Node.heapMetrics()
        return NodePages.metrics(
            registered: registered, process: ProcessMetrics.lines(), application: application, flags: flags)
    }

    /// What the allocator says: bytes in use, and bytes of memory behind them.
    private static func heapMetrics() -> [NodeMetric] {
        var epoch: UInt64 = 1
        mallctl("epoch", nil, nil, &epoch, MemoryLayout<UInt64>.size)
        return ["allocated", "active", "resident", "retained"].compactMap { name in
            var value = 0
            var size = MemoryLayout<Int>.size
            guard mallctl("stats." + name, &value, &size, nil, 0) == 0 else { return nil }
            return NodeMetric("vm_heap_\(name)_bytes", value)
        }
    }
}
