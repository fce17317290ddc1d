// UnaskedBytesTests.swift - bytes that come although nobody asked for them: NIO delivers what the kernel still has of a
// sender that has closed its side. Here a channel without a socket delivers them.

import ClusterWire
import NIOCore
import NIOEmbedded
import NodeSupport
import StorageRuntime
import TestSupport
import Testing

@testable import ClusterRPC

@Suite struct UnaskedBytesTests {
    /// A vminsert connection behind its handshake, none of whose packets gets memory until `release` is called.
    private struct Stuck {
        let storage = RecordingStorage()
        let lines = Protected<[String]>([])
        let shared: RPCShared
        let channel = EmbeddedChannel()
        private let pool = BudgetAccount(.message), overdraft = BudgetAccount(.message)

        init() throws {
            let lines = lines
            shared = RPCShared(
                RPCOptions(), storage,
                NodeLog { level, _, text in lines.withLock { $0.append("\(level.name) \(text)") } })
            #expect(shared.budget.take(shared.budget.totalBytes - ByteBudget.overdraftBytes, for: pool) {})
            #expect(shared.budget.take(1, for: overdraft) {})
            try channel.pipeline.syncOperations.addHandler(InsertConnection(shared))
            try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
            try deliver(WirePort.vminsert.hello + [0] + Array("ok".utf8))
        }

        func deliver(_ bytes: [UInt8]) throws {
            try channel.writeInbound(ByteBuffer(bytes: bytes))
            channel.embeddedEventLoop.run()
        }

        func release() {
            shared.budget.close(overdraft)
            shared.budget.close(pool)
            channel.embeddedEventLoop.run()
        }

        func end() {
            channel.embeddedEventLoop.run()
            _ = try? channel.finish(acceptAlreadyClosed: true)
            shared.pool.finish()
            shared.selects.finish()
        }
    }

    @Test func aFewAreKeptAndUsedLater() throws {
        let stuck = try Stuck()
        let packet = TestServer.packet(3, rows: 5000, nameBytes: 100)
        #expect(packet.count < WireConnection.unaskedBytesMax)
        for start in stride(from: 0, to: packet.count, by: 50_000) {
            try stuck.deliver(Array(packet[start..<min(start + 50_000, packet.count)]))
        }
        #expect(stuck.shared.budget.figures.waiting == 1)
        #expect(stuck.shared.input.bytes >= packet.count)
        #expect(stuck.channel.isActive)
        stuck.release()
        #expect(stuck.shared.input.bytes == 0)
        stuck.end()
        #expect(stuck.storage.values.withLock { $0.count } == 5000)
        #expect(stuck.shared.budget.figures.used == 0)
    }

    @Test func manyEndTheConnection() throws {
        let stuck = try Stuck()
        let piece = [UInt8](repeating: 1, count: 60_000)
        try stuck.deliver([0, 0, 0, 0, 5, 0, 0, 0])  // 80 MiB
        var delivered = 0
        while stuck.channel.isActive, delivered < 10 << 20 {
            try? stuck.deliver(piece)
            delivered += piece.count
        }
        #expect(delivered > WireConnection.unaskedBytesMax && delivered < WireConnection.unaskedBytesMax + 120_000)
        #expect(stuck.lines.withLock { $0.count { $0.contains("has closed its side") } } == 1)
        #expect(stuck.shared.input.bytes == 0)
        #expect(stuck.shared.input.bytesPeak <= 2 * WireConnection.unaskedBytesMax)
        #expect(stuck.shared.counters.readErrors.load(ordering: .relaxed) == 1)
        stuck.release()
        stuck.end()
        #expect(stuck.shared.budget.figures.used == 0)
    }

    @Test func fewerWhenMemoryIsShort() throws {
        let stuck = try Stuck()
        try stuck.deliver([0, 0, 0, 0, 5, 0, 0, 0])
        try stuck.deliver([UInt8](repeating: 1, count: 40_000))
        #expect(stuck.channel.isActive)
        stuck.shared.input.add(stuck.shared.input.bytesMax)
        try? stuck.deliver([UInt8](repeating: 1, count: 40_000))
        #expect(!stuck.channel.isActive)
        stuck.shared.input.add(-stuck.shared.input.bytesMax)
        #expect(stuck.shared.input.bytes == 0)
        stuck.release()
        stuck.end()
    }
}
