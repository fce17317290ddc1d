// UnaskedBytesTests.swift - bytes that come although nobody asked for them: NIO delivers what the kernel still has of a
// sender that has closed its side. Here a channel without a socket delivers them.

import ClusterWire
import Testing

@testable import ClusterRPC

@Suite struct UnaskedBytesTests {
    /// A vminsert connection none of whose packets gets memory until `release` is called.
    private func stuckConnection() throws -> EmbeddedConnection {
        let stuck = try EmbeddedConnection()
        stuck.fillBudget(overdraft: true)
        return stuck
    }

    @Test func aFewAreKeptAndUsedLater() throws {
        let stuck = try stuckConnection()
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
        let stuck = try stuckConnection()
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
        let stuck = try stuckConnection()
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
