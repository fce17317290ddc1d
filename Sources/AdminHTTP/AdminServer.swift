// AdminServer.swift - the HTTP port (docs/format/vmstorage-process.md, 2.1 and 4).
//
// Threads: any but an event loop's; one stops.

import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NodeSupport
import StorageRuntime
import Synchronization

/// The HTTP port, open.
public final class AdminServer: Sendable {
    final class Shared: Sendable {
        let options: AdminOptions
        let routes: AdminRoutes
        let hostName: String
        let threads = NIOThreadPool(numberOfThreads: 4)
        let connections = Protected<[ObjectIdentifier: AdminConnection]>([:])
        let running = Atomic<Int>(0)
        let isStopping = Atomic<Bool>(false)

        init(_ options: AdminOptions, _ routes: AdminRoutes) {
            self.options = options
            self.routes = routes
            var name = [CChar](repeating: 0, count: 256)
            gethostname(&name, name.count - 1)
            hostName = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    static let headNanoseconds: Int64 = 5_000_000_000

    private let shared: Shared
    private let listener: Listener
    private let traffic: ListenerCounters
    private let log: NodeLog

    /// Opens the port on the threads of `group`, which outlives the server.
    ///
    /// - Throws: `.io`, `.invalidArgument` when the port cannot be bound.
    public init(
        options: AdminOptions, backend: any AdminBackend, group: any EventLoopGroup, log: NodeLog
    ) throws(StorageError) {
        let shared = Shared(options, AdminRoutes(options: options, backend: backend, log: log))
        traffic = ListenerCounters(name: "http", address: options.address)
        listener = try Listener.bind(
            options.address, group: group, allowsTCP6: options.allowsTCP6, counters: traffic, readsByItself: true,
            input: InputMemory(bytesMax: .max)
        ) { channel in
            try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                withPipeliningAssistance: true, withErrorHandling: true)
            try channel.pipeline.syncOperations.addHandler(AdminConnection(shared, channel.eventLoop))
        }
        shared.threads.start()
        self.shared = shared
        self.log = log
    }

    /// The port that is bound.
    public var port: Int { listener.port }

    /// Counters and gauges under their production names.
    public var metrics: [NodeMetric] { shared.routes.counters.metrics + traffic.metrics }

    /// Stops: serves on for the delay, with `/health` saying so; then closes the port and idle connections, and waits for
    /// running requests as long as is allowed.
    ///
    /// - Returns: Whether all running requests have ended in time. It may be called again when they have not.
    public func stop() -> Bool {
        let clock = SystemClock()
        let delay = UInt64(max(0, shared.options.shutdownDelayNanoseconds))
        shared.routes.announceStop(atMonotonicNanoseconds: clock.monotonicNanoseconds + delay)
        if delay > 0 {
            log.info("waiting for \(delay / 1_000_000) ms before shutdown of http server")
            usleep(UInt32(min(delay / 1000, UInt64(UInt32.max))))
        }
        shared.isStopping.store(true, ordering: .relaxed)
        listener.close()
        let limit = clock.monotonicNanoseconds + UInt64(max(0, shared.options.shutdownNanosecondsMax))
        while true {
            let open = shared.connections.withLock { Array($0.values) }
            if open.isEmpty { break }
            for connection in open { connection.closeWhenIdle() }
            if clock.monotonicNanoseconds > limit { return shared.running.load(ordering: .relaxed) == 0 }
            usleep(5000)
        }
        try? shared.threads.syncShutdownGracefully()
        return true
    }
}
