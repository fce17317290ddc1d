// RPCServer.swift - the two RPC ports of a storage node (docs/format/cluster-rpc.md).
//
//   start   workers, then the vminsert port, then the vmselect port
//   stop    ports closed, connections closed at once, acknowledged packets stored, workers ended
//
// Who waits for whom: a connection waits for memory (ByteBudget), for its answer to be taken by the kernel, for a place in
// the queue (InsertPool); a worker waits for the storage; nobody waits for a connection except `stop`.
//
// Threads: any but an event loop's; `stop` once.

import ClusterWire
import NIOCore
import NIOPosix
import NodeSupport
import StorageRuntime
import Synchronization

/// Settings of the RPC ports.
public struct RPCOptions: Sendable {
    /// Where vminsert and vmselect connect: `host:port`.
    public var insertAddress = ":8400", selectAddress = ":8401"
    /// Whether IPv6 is listened to as well.
    public var allowsTCP6 = false
    /// Whether responses to vmselect are compressed.
    public var compressesResponses = true
    /// Memory for what connections have sent, all together: packets, requests, windows of streams, bytes
    /// not decoded yet, and what the storage makes of them. At least 142 MiB beside ``storageBytes``.
    public var memoryBytesMax = 256 << 20
    /// The part of ``memoryBytesMax`` that belongs to the storage: rows that were added and are not in parts yet. It is kept
    /// free at all times: packets would have filled it before the first of them is added.
    public var storageBytes = 0
    /// Threads that decode and add rows; 0 means one a CPU.
    public var workers = 0
    /// Says whether the time that a request was granted is over.
    public var clock: any StorageClock = SystemClock()
    /// Off in tests that do themselves what happens every second.
    var hasTimer = true

    /// The defaults.
    public init() {}
}

/// What all connections share.
final class RPCShared: @unchecked Sendable {
    let storage: any RPCStorage
    let log: NodeLog
    let counters = RPCCounters()
    let budget: ByteBudget
    let input: InputMemory
    private let storageBytes: Int
    let chunks = ChunkPool()
    let pool: InsertPool
    let selects: SelectService
    let compressesResponses: Bool
    private let insertTraffic: ListenerCounters, selectTraffic: ListenerCounters
    private let stopping = Atomic<Bool>(false)
    private let open = Protected<[ObjectIdentifier: WireConnection]>([:])
    private let clock: any StorageClock

    init(_ options: RPCOptions, _ storage: any RPCStorage, _ log: NodeLog) {
        self.storage = storage
        self.log = log
        clock = options.clock
        compressesResponses = options.compressesResponses
        insertTraffic = ListenerCounters(name: "vminsert", address: options.insertAddress)
        selectTraffic = ListenerCounters(name: "vmselect", address: options.selectAddress)
        input = InputMemory(bytesMax: min(16 << 20, max(8 << 20, options.memoryBytesMax / 16)))
        storageBytes = max(0, options.storageBytes)
        budget = ByteBudget(totalBytes: options.memoryBytesMax - input.bytesMax - storageBytes)
        let workers = options.workers > 0 ? options.workers : CPUCount.available()
        pool = InsertPool(workers: workers, storage: storage, counters: counters, budget: budget, log: log)
        let clock = clock
        selects = SelectService(
            storage: storage, counters: counters, nowSeconds: { clock.unixNanoseconds / 1_000_000_000 })
    }

    var isStopping: Bool { stopping.load(ordering: .relaxed) }

    var nowSeconds: UInt64 { clock.unixNanoseconds / 1_000_000_000 }

    func traffic(_ port: WirePort) -> ListenerCounters { port == .vminsert ? insertTraffic : selectTraffic }

    /// Takes a new connection in; false while the server stops.
    func register(_ connection: WireConnection) -> Bool {
        let isIn = open.withLock { open in
            if isStopping { return false }
            open[ObjectIdentifier(connection)] = connection
            return true
        }
        if isIn { count(connection.port, 1) }
        return isIn
    }

    func unregister(_ connection: WireConnection) {
        let wasIn = open.withLock { $0.removeValue(forKey: ObjectIdentifier(connection)) != nil }
        if wasIn { count(connection.port, -1) }
    }

    private func count(_ port: WirePort, _ change: Int) {
        switch port {
        case .vminsert: counters.insertConnections.wrappingAdd(change, ordering: .relaxed)
        case .vmselect: counters.selectConnections.wrappingAdd(change, ordering: .relaxed)
        }
    }

    /// No further connection is taken in; those that are open.
    func beginStopping() -> [WireConnection] {
        open.withLock { open in
            stopping.store(true, ordering: .relaxed)
            return Array(open.values)
        }
    }

    /// Called every second.
    func lookAtMemory() {
        chunks.trim()
        guard budget.isTight else { return }
        for connection in open.withLock({ Array($0.values) }) {
            connection.onLoop { $0.checkPace() }
        }
    }

    var metrics: [NodeMetric] {
        let memory = budget.figures
        return counters.metrics + insertTraffic.metrics + selectTraffic.metrics + [
            NodeMetric("vm_rpc_memory_bytes", memory.used + input.bytes),
            NodeMetric("vm_rpc_memory_peak_bytes", memory.usedMax + input.bytesPeak),
            NodeMetric("vm_rpc_memory_max_bytes", budget.totalBytes + input.bytesMax + storageBytes),
            NodeMetric("vm_rpc_memory_storage_bytes", storageBytes),
            NodeMetric("vm_rpc_memory_waiting", memory.waiting),
            NodeMetric("vm_rpc_memory_waits_total", memory.waits),
        ]
    }
}

/// The RPC ports, open.
public final class RPCServer: @unchecked Sendable {
    let shared: RPCShared
    private let group: any EventLoopGroup
    private let insertListener: Listener, selectListener: Listener
    private let memoryCheck: RepeatedTask?
    private let options: RPCOptions

    /// Opens both ports on the threads of `group`, which outlives the server.
    ///
    /// - Throws: `.io`, `.invalidArgument` when a port cannot be bound; nothing is left open then.
    public init(
        options: RPCOptions, storage: any RPCStorage, group: any EventLoopGroup, log: NodeLog
    ) throws(StorageError) {
        let shared = RPCShared(options, storage, log)
        var insert: Listener?
        do throws(StorageError) {
            let insertListener = try Listener.bind(
                options.insertAddress, group: group, allowsTCP6: options.allowsTCP6,
                counters: shared.traffic(.vminsert), readsByItself: false, input: shared.input
            ) { try $0.pipeline.syncOperations.addHandler(InsertConnection(shared)) }
            insert = insertListener
            selectListener = try Listener.bind(
                options.selectAddress, group: group, allowsTCP6: options.allowsTCP6,
                counters: shared.traffic(.vmselect), readsByItself: false, input: shared.input
            ) { try $0.pipeline.syncOperations.addHandler(SelectConnection(shared)) }
            self.insertListener = insertListener
        } catch {
            insert?.close()
            shared.pool.finish()
            shared.selects.finish()
            throw error
        }
        self.shared = shared
        self.group = group
        self.options = options
        log.info("accepting vminsert conns at \(options.insertAddress)")
        log.info("accepting vmselect conns at \(options.selectAddress)")
        memoryCheck =
            options.hasTimer
            ? group.next().scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
                shared.lookAtMemory()
            } : nil
    }

    /// The ports that are bound.
    public var insertPort: Int { insertListener.port }
    /// The ports that are bound.
    public var selectPort: Int { selectListener.port }

    /// Counters and gauges under their production names.
    public var metrics: [NodeMetric] { shared.metrics }

    /// Closes the ports and all connections, and returns when everything acknowledged was handed to the storage.
    public func stop() {
        let connections = shared.beginStopping()
        memoryCheck?.cancel()
        insertListener.close()
        selectListener.close()
        let closed = connections.map { connection in
            let promise = group.next().makePromise(of: Void.self)
            connection.closeForStop(promise)
            return promise.futureResult
        }
        for future in closed { try? future.wait() }
        shared.pool.finish()
        shared.selects.finish()
    }
}

extension WireConnection {
    /// Closes the connection; the promise is kept when its last event was handled.
    fileprivate func closeForStop(_ promise: EventLoopPromise<Void>) {
        guard let loop = loop else { return promise.succeed(()) }
        loop.execute {
            self.close()
            // Answers that were written before have been handled by now: a loop runs its tasks in order.
            loop.execute { promise.succeed(()) }
        }
    }
}
