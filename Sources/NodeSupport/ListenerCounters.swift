// ListenerCounters.swift - what a listener counts, and the handler that counts it: `vm_tcplistener_*`.
//
// Threads: any; a handler belongs to the event loop of its connection.

import NIOCore
import StorageRuntime
import Synchronization

/// Counters of one listener and its connections.
public final class ListenerCounters: Sendable {
    let name: String
    let address: String
    /// Connections accepted.
    public let accepts = Atomic<UInt64>(0)
    /// Connections open now.
    public let connections = Atomic<Int>(0)
    /// Bytes and calls of reading.
    public let readBytes = Atomic<UInt64>(0), readCalls = Atomic<UInt64>(0)
    /// Bytes and calls of writing.
    public let writtenBytes = Atomic<UInt64>(0), writeCalls = Atomic<UInt64>(0)
    /// Reads and writes that took too long.
    public let readTimeouts = Atomic<UInt64>(0), writeTimeouts = Atomic<UInt64>(0)
    /// Failed accepts, reads and writes.
    public let acceptErrors = Atomic<UInt64>(0), readErrors = Atomic<UInt64>(0), writeErrors = Atomic<UInt64>(0)

    /// Counters of the listener `name` at the address as it was given.
    public init(name: String, address: String) {
        self.name = name
        self.address = address
    }

    /// The counters under their production names.
    public var metrics: [NodeMetric] {
        let labels = "name=\(MetricLabel.quoted(name)), addr=\(MetricLabel.quoted(address))"
        func error(_ type: String, _ value: UInt64) -> NodeMetric {
            NodeMetric("vm_tcplistener_errors_total{\(labels), type=\"\(type)\"}", value)
        }
        return [
            NodeMetric("vm_tcplistener_accepts_total{\(labels)}", accepts.load(ordering: .relaxed)),
            NodeMetric("vm_tcplistener_conns{\(labels)}", connections.load(ordering: .relaxed)),
            error("accept", acceptErrors.load(ordering: .relaxed)),
            // Closing a socket is not observed to fail: the event loop ignores what close() says.
            error("close", 0),
            error("read", readErrors.load(ordering: .relaxed)),
            error("write", writeErrors.load(ordering: .relaxed)),
            NodeMetric("vm_tcplistener_read_bytes_total{\(labels)}", readBytes.load(ordering: .relaxed)),
            NodeMetric("vm_tcplistener_read_calls_total{\(labels)}", readCalls.load(ordering: .relaxed)),
            NodeMetric("vm_tcplistener_read_timeouts_total{\(labels)}", readTimeouts.load(ordering: .relaxed)),
            NodeMetric("vm_tcplistener_write_calls_total{\(labels)}", writeCalls.load(ordering: .relaxed)),
            NodeMetric("vm_tcplistener_write_timeouts_total{\(labels)}", writeTimeouts.load(ordering: .relaxed)),
            NodeMetric("vm_tcplistener_written_bytes_total{\(labels)}", writtenBytes.load(ordering: .relaxed)),
        ]
    }
}

/// Counts the traffic of a connection. The first handler of its pipeline.
public final class TrafficMeter: ChannelDuplexHandler {
    /// Bytes from the socket.
    public typealias InboundIn = ByteBuffer
    /// The same bytes.
    public typealias InboundOut = ByteBuffer
    /// Bytes for the socket.
    public typealias OutboundIn = ByteBuffer
    /// The same bytes.
    public typealias OutboundOut = ByteBuffer

    private let counters: ListenerCounters
    private var isOpen = false

    /// A meter for one connection.
    public init(_ counters: ListenerCounters) { self.counters = counters }

    /// Counts the connection.
    public func channelActive(context: ChannelHandlerContext) {
        isOpen = true
        counters.accepts.wrappingAdd(1, ordering: .relaxed)
        counters.connections.wrappingAdd(1, ordering: .relaxed)
        context.fireChannelActive()
    }

    /// Counts the end of the connection.
    public func channelInactive(context: ChannelHandlerContext) {
        if isOpen { counters.connections.wrappingSubtract(1, ordering: .relaxed) }
        isOpen = false
        context.fireChannelInactive()
    }

    /// Counts what has come.
    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        counters.readCalls.wrappingAdd(1, ordering: .relaxed)
        counters.readBytes.wrappingAdd(UInt64(unwrapInboundIn(data).readableBytes), ordering: .relaxed)
        context.fireChannelRead(data)
    }

    /// Counts what is sent.
    public func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        counters.writeCalls.wrappingAdd(1, ordering: .relaxed)
        counters.writtenBytes.wrappingAdd(UInt64(unwrapOutboundIn(data).readableBytes), ordering: .relaxed)
        context.write(data, promise: promise)
    }

    /// Counts a failed read.
    public func errorCaught(context: ChannelHandlerContext, error: any Error) {
        counters.readErrors.wrappingAdd(1, ordering: .relaxed)
        context.fireErrorCaught(error)
    }
}
