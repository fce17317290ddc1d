// NodeStorage.swift - the engine as the ports see it: rows in, snapshots, flushes, forced merges.
//
// A forced merge runs on a thread of its own. Closing the engine ends it early; `close` waits for the threads.
//
// Threads: any; `close` once, when nothing else runs.

import ClusterRPC
import NodeSupport
import StorageEngine
import StorageFiles
import StorageRuntime

/// The storage of a node.
final class NodeStorage: RPCStorage {
    let engine: StorageEngine
    private let precisionBits: Int
    private let log: NodeLog
    private let merges = Protected<[Thread]>([])

    /// Opens the storage.
    init(
        _ options: NodeOptions, files: any FileSystem, environment: Environment, log: NodeLog
    ) throws(StorageError) {
        var storage = options.storage
        storage.log = { line in NodeStorage.pass(line, to: log) }
        engine = try StorageEngine.open(
            options.dataPath, options: storage, files: files, environment: environment)
        precisionBits = options.precisionBits
        self.log = log
    }

    /// Lines of the engine begin with their level, if it is not INFO.
    private static func pass(_ line: String, to log: NodeLog) {
        if line.hasPrefix("error: ") {
            log.error(String(line.dropFirst(7)))
        } else if line.hasPrefix("warn: ") {
            log.warn(String(line.dropFirst(6)))
        } else {
            log.info(line)
        }
    }

    var isReadOnly: Bool { engine.isReadOnly }

    func addRows(_ rows: UnsafeBufferPointer<MetricRow>, worker: Int) throws(StorageError) {
        try engine.addRows(rows, precisionBits: precisionBits, hint: worker)
    }

    func registerMetricNames(_ rows: UnsafeBufferPointer<MetricRow>) throws(StorageError) {
        try engine.registerMetricNames(rows)
    }

    /// Merges the partitions whose names start with `prefix`, beside the caller.
    func startForcedMerge(prefix: String) {
        let log = log
        let engine = engine
        let thread = Thread.start("force-merge") {
            log.info("forced merge for partition_prefix=\"\(prefix)\" has been started")
            let start = SystemClock().monotonicNanoseconds
            do throws(StorageError) {
                try engine.forceMerge(partitionPrefix: prefix)
                let seconds = Double(SystemClock().monotonicNanoseconds - start) * 1e-9
                log.info(
                    "forced merge for partition_prefix=\"\(prefix)\" has been finished in \(Node.text(seconds)) seconds"
                )
            } catch { log.warn("forced merge for partition_prefix=\"\(prefix)\" has ended early: \(error)") }
        }
        merges.withLock { $0.append(thread) }
    }

    /// Ends forced merges, makes everything durable and closes the storage.
    func close() throws(StorageError) {
        defer { for thread in merges.withLock({ $0 }) { thread.join() } }
        try engine.close()
    }
}
