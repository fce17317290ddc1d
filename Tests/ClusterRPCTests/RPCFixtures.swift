// RPCFixtures.swift - a server in this process over a storage that writes down what it gets.

import ClusterWire
import Glibc
import NIOCore
import NIOEmbedded
import NIOPosix
import NodeSupport
import StorageBytes
import StorageEngine
import StorageRuntime
import Synchronization
import TestSupport
import Testing

@testable import ClusterRPC

/// Keeps values of rows; can refuse them, and can be held.
final class RecordingStorage: RPCStorage {
    let values = Protected<[Double]>([])
    let names = Protected<[[UInt8]]>([])
    let readOnly = Atomic<Bool>(false)
    let isHeld = Atomic<Bool>(false)
    let failure = Protected<StorageError?>(nil)
    let calls = Atomic<Int>(0)

    var isReadOnly: Bool { readOnly.load(ordering: .relaxed) }

    func addRows(_ rows: UnsafeBufferPointer<MetricRow>, worker: Int) throws(StorageError) {
        calls.wrappingAdd(1, ordering: .relaxed)
        while isHeld.load(ordering: .relaxed) { usleep(500) }
        if let failure = failure.withLock({ $0 }) { throw failure }
        values.withLock { values in for row in rows { values.append(row.value) } }
    }

    func registerMetricNames(_ rows: UnsafeBufferPointer<MetricRow>) throws(StorageError) {
        names.withLock { names in for row in rows { names.append(Array(row.name)) } }
    }
}

final class TestServer: @unchecked Sendable {
    let storage = RecordingStorage()
    let server: RPCServer
    let lines = Protected<[String]>([])
    /// The clock of the log: it stands still, so every cause has its lines of one second until a test moves it.
    let logClock = VirtualClock(unixMilliseconds: 0)
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)

    init(
        memoryBytesMax: Int = 0, workers: Int = 2, hasTimer: Bool = true, compressesResponses: Bool = true
    ) throws {
        var options = RPCOptions()
        options.insertAddress = "127.0.0.1:0"
        options.selectAddress = "127.0.0.1:0"
        options.memoryBytesMax = memoryBytesMax
        options.workers = workers
        options.hasTimer = hasTimer
        options.compressesResponses = compressesResponses
        let lines = lines
        let log = NodeLog(clock: logClock) { level, _, text in lines.withLock { $0.append("\(level.name) \(text)") } }
        server = try RPCServer(options: options, storage: storage, group: group, log: log)
    }

    func stop() throws {
        server.stop()
        try group.syncShutdownGracefully()
    }

    /// Log lines with a text in them.
    func lines(with text: String) -> [String] { lines.withLock { $0.filter { $0.contains(text) } } }

    /// What the server does every second, so many times; it is done when this returns.
    func passSeconds(_ count: Int) throws {
        for _ in 0..<count { server.shared.lookAtMemory() }
        for loop in group.makeIterator() { try loop.submit {}.wait() }
    }

    func metric(_ series: String) -> Int {
        server.metrics.first { $0.series == series }.map { Int($0.value) } ?? -1
    }

    /// A connection behind its handshake.
    func insert(compressed: Bool = false) throws -> TestSocket {
        let socket = try TestSocket(port: server.insertPort)
        let flag: [UInt8] = [compressed ? 1 : 0]
        try socket.send(WirePort.vminsert.hello + flag + Array("ok".utf8))
        guard try socket.receive(5) == Array("okok".utf8) + [0] else { throw TestSupportError("no handshake") }
        return socket
    }

    func select(receiveBufferBytes: Int? = nil) throws -> TestSocket {
        let socket = try TestSocket(port: server.selectPort, receiveBufferBytes: receiveBufferBytes)
        try socket.send(WirePort.vmselect.hello + [0] + Array("ok".utf8))
        guard try socket.receive(5) == Array("okok".utf8) + [server.shared.compressesResponses ? 1 : 0] else {
            throw TestSupportError("no handshake")
        }
        return socket
    }

    /// The bytes of a packet with rows of one name, whose values count up from `first`.
    static func packet(_ first: Int, rows: Int, nameBytes: Int = 20) -> [UInt8] {
        var encoder = StreamEncoder(isCompressed: false)
        return packet(first, rows: rows, nameBytes: nameBytes, through: &encoder)
    }

    static func packet(
        _ first: Int, rows: Int, nameBytes: Int = 20, through encoder: inout StreamEncoder
    ) -> [UInt8] {
        var writer = PacketWriter()
        // Tenant 0:0, and a metric name of so many bytes.
        var raw = RawBuffer()
        raw.appendBigEndian(UInt64(0))
        raw.appendBigEndian(UInt16(0))
        raw.appendBigEndian(UInt16(nameBytes))
        raw.append([UInt8](repeating: 65, count: nameBytes))
        let name = raw.array()
        name.withUnsafeBytes { name in
            for row in 0..<rows { writer.add(name: name, timestampMs: 1_642_464_000_000, value: Double(first + row)) }
        }
        var output = RawBuffer()
        writer.send(through: &encoder, to: &output)
        return output.array()
    }
}

/// A connection behind its handshake, without a socket: the test is its peer and turns its event loop.
struct EmbeddedConnection {
    let storage = RecordingStorage()
    let lines = Protected<[String]>([])
    let shared: RPCShared
    let channel = EmbeddedChannel()
    private let pool = BudgetAccount(.message), overdraft = BudgetAccount(.message)

    /// - Parameter writes: Stands between the connection and the peer.
    init(_ port: WirePort = .vminsert, compressed: Bool = false, writes: (any ChannelOutboundHandler)? = nil) throws {
        let lines = lines
        shared = RPCShared(
            RPCOptions(), storage,
            NodeLog { level, _, text in lines.withLock { $0.append("\(level.name) \(text)") } })
        let handlers = channel.pipeline.syncOperations
        if let writes { try handlers.addHandler(writes) }
        switch port {
        case .vminsert: try handlers.addHandler(InsertConnection(shared))
        case .vmselect: try handlers.addHandler(SelectConnection(shared))
        }
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        try deliver(port.hello + [compressed ? 1 : 0] + Array("ok".utf8))
    }

    var budget: ByteBudget { shared.budget }

    func deliver(_ bytes: [UInt8]) throws {
        try channel.writeInbound(ByteBuffer(bytes: bytes))
        channel.embeddedEventLoop.run()
    }

    /// Takes the pool of the budget but for `left` bytes, and with `overdraft` what is kept for one packet.
    func fillBudget(left: Int = 0, overdraft hasOverdraft: Bool = false) {
        #expect(budget.take(budget.totalBytes - ByteBudget.overdraftBytes - budget.figures.used - left, for: pool) {})
        if hasOverdraft { #expect(budget.take(1, for: overdraft) {}) }
    }

    func release() {
        budget.close(overdraft)
        budget.close(pool)
        channel.embeddedEventLoop.run()
    }

    /// What the server does every second, so many times.
    func passSeconds(_ count: Int) {
        for _ in 0..<count {
            shared.lookAtMemory()
            channel.embeddedEventLoop.run()
        }
    }

    func end() {
        channel.embeddedEventLoop.run()
        _ = try? channel.finish(acceptAlreadyClosed: true)
        release()
        shared.pool.finish()
        shared.selects.finish()
        #expect(shared.input.bytes == 0)
        #expect(budget.figures.used == 0)
    }
}
