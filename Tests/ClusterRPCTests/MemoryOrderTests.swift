// MemoryOrderTests.swift - memory is given back before the budget hears of it: whoever waits for the bytes finds them free.

import ClusterWire
import NIOCore
import NodeSupport
import StorageBytes
import StorageRuntime
import Testing

@testable import ClusterRPC

@Suite struct MemoryOrderTests {
    /// Waits for memory, and writes down how many bytes of chunks are free when it gets it.
    private final class Successor: Sendable {
        let freeBytes = Protected<Int?>(nil)
        private let account = BudgetAccount(.message)

        init(_ budget: ByteBudget, _ chunks: ChunkPool) {
            let freeBytes = freeBytes
            #expect(!budget.take(1, for: account) { freeBytes.withLock { $0 = chunks.freeBytes } })
        }

        func expect(_ bytes: Int, _ budget: ByteBudget) {
            #expect(freeBytes.withLock { $0 } == bytes)
            budget.close(account)
        }
    }

    // 20 000 bytes lie in a chunk of 16 KiB and one of 16 KiB.
    private static let chunkBytes = 32_768
    private static var packet: [UInt8] { TestServer.packet(0, rows: 100, nameBytes: 170) }

    @Test func afterTheRowsAreAdded() throws {
        let budget = ByteBudget(totalBytes: 0), chunks = ChunkPool(), storage = RecordingStorage()
        let log = NodeLog { _, _, _ in }
        let pool = InsertPool(workers: 1, storage: storage, counters: RPCCounters(), budget: budget, log: log)
        var reader = PacketReader(StreamDecoder(isCompressed: false), pool: chunks)
        var packet: Packet?
        try Self.packet.withUnsafeBytes { bytes in
            var cursor = ByteCursor(bytes)
            while packet == nil {
                switch try reader.advance(&cursor) {
                case .packet(let complete): packet = complete
                case .needsMemory(let bytes): reader.grantMemory(bytes)
                default: break
                }
            }
        }
        let account = BudgetAccount(.message), other = BudgetAccount(.message)
        #expect(budget.take(budget.totalBytes - ByteBudget.overdraftBytes, for: other) {})
        #expect(budget.take(Self.chunkBytes, for: account) {})
        let successor = Successor(budget, chunks)
        // The caller keeps its reference: the memory goes nevertheless.
        #expect(pool.submit(try #require(packet), account) {})
        pool.finish()
        #expect(storage.values.withLock { $0.count } == 100)
        successor.expect(Self.chunkBytes, budget)
        budget.close(other)
        #expect(budget.figures.used == 0)
    }

    private enum End: CaseIterable { case readOnly, answerFails, closed }

    @Test(arguments: [0, 1, 2]) func withoutAnAnswerOrRows(_ number: Int) throws {
        let end = End.allCases[number]
        let writes = FailingWrites(.writeFailsFirst)
        let connection = try EmbeddedConnection(writes: writes)
        connection.storage.readOnly.store(end == .readOnly, ordering: .relaxed)
        connection.fillBudget()
        let packet = Self.packet
        try connection.deliver(Array(packet[..<18_000]))
        let successor = Successor(connection.budget, connection.shared.chunks)
        writes.isFailing = end == .answerFails
        if end == .closed {
            _ = try? connection.channel.finish(acceptAlreadyClosed: true)
        } else {
            try connection.deliver(Array(packet[18_000...]))
        }
        successor.expect(Self.chunkBytes, connection.budget)
        connection.end()
    }
}
