// Listener.swift - a bound port and the connections that come in through it.
//
// Threads: `bind` and `close` may be called from any thread but an event loop's, since they wait.

import Glibc
import NIOCore
import NIOPosix
import StorageRuntime

/// A port that is listened to.
public final class Listener: Sendable {
    private let channel: any Channel
    /// The port that is bound.
    public let port: Int

    /// Binds a port and accepts connections.
    ///
    /// - Parameters:
    ///   - allowsTCP6: Off, only IPv4 is listened to.
    ///   - readsByItself: Off, handlers have to ask for each read: that is how they hold a sender back.
    ///   - input: Counts what connections hold of what they have read.
    ///   - setUp: Adds the handlers of a new connection, on its event loop.
    /// - Throws: `.io` when the port cannot be bound, `.invalidArgument` for an address that is none.
    public static func bind(
        _ text: String, group: any EventLoopGroup, allowsTCP6: Bool, counters: ListenerCounters,
        readsByItself: Bool, input: InputMemory, setUp: @escaping @Sendable (any Channel) throws -> Void
    ) throws(StorageError) -> Listener {
        guard let address = ListenAddress(text) else {
            throw StorageError(.invalidArgument, "\"\(text)\" is not an address of the form host:port")
        }
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptErrors(counters))
                }
            }
            .childChannelOption(.autoRead, value: readsByItself)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPIDLE)), value: 15)
            .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPINTVL)), value: 15)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.recvAllocator, value: InputAllocator(input))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(TrafficMeter(counters))
                    try setUp(channel)
                }
            }
        let host = address.host.isEmpty ? (allowsTCP6 ? "::" : "0.0.0.0") : address.host
        do {
            let channel = try bootstrap.bind(host: host, port: address.port).wait()
            return Listener(channel)
        } catch {
            guard let code = (error as? IOError)?.errnoCode else {
                throw StorageError(.io(errno: 0), "cannot listen at \(text): \(error)")
            }
            throw StorageError(.io(errno: code), "cannot listen at \(text): \(String(cString: strerror(code)))")
        }
    }

    private init(_ channel: any Channel) {
        self.channel = channel
        port = channel.localAddress?.port ?? 0
    }

    /// Stops accepting; connections that are open stay open.
    public func close() { try? channel.close().wait() }
}

/// Counts failed accepts. The event loop itself waits a second before it goes on, when descriptors run out.
private final class AcceptErrors: ChannelInboundHandler {
    typealias InboundIn = NIOAny
    private let counters: ListenerCounters

    init(_ counters: ListenerCounters) { self.counters = counters }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        counters.acceptErrors.wrappingAdd(1, ordering: .relaxed)
        context.fireErrorCaught(error)
    }
}
