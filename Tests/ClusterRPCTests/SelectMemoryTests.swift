// SelectMemoryTests.swift - memory of requests that do not come to their end.

import ClusterWire
import StorageBytes
import Testing

@testable import ClusterRPC

@Suite struct SelectMemoryTests {
    private final class Ready: @unchecked Sendable { var count = 0 }

    @Test func oneByteDoesNotKeepTheReserveForEver() throws {
        let silent = try EmbeddedConnection(.vmselect)
        silent.fillBudget()
        try silent.deliver([0])
        let other = BudgetAccount(.message), ready = Ready()
        #expect(!silent.budget.take(1, for: other) { ready.count += 1 })
        silent.passSeconds(WireConnection.paceSecondsMax)
        #expect(silent.channel.isActive)
        #expect(ready.count == 0)
        silent.passSeconds(1)
        #expect(!silent.channel.isActive)
        #expect(ready.count == 1)
        #expect(silent.shared.counters.slowConnectionsClosed.load(ordering: .relaxed) == 1)
        silent.budget.close(other)
        silent.end()
    }

    @Test func whoeverHoldsNothingMayBeSilent() throws {
        let silent = try EmbeddedConnection(.vmselect)
        silent.fillBudget(overdraft: true)
        let other = BudgetAccount(.message)
        #expect(!silent.budget.take(1, for: other) {})
        silent.passSeconds(3 * WireConnection.paceSecondsMax)
        #expect(silent.channel.isActive)
        // Nor is one closed that waits itself.
        try silent.deliver([0])
        silent.passSeconds(3 * WireConnection.paceSecondsMax)
        #expect(silent.channel.isActive)
        silent.budget.close(other)
        silent.end()
    }

    @Test func aCompressedStreamWithoutABytePutsTheMemoryBack() throws {
        let silent = try EmbeddedConnection(.vmselect, compressed: true)
        var encoder = StreamEncoder(isCompressed: true)
        var frame = RawBuffer()
        let request =
            withUnsafeBytes(of: UInt64(14).bigEndian) { Array($0) } + Array("seriesCount_v2".utf8)
        request.withUnsafeBytes { encoder.append($0, to: &frame) }
        encoder.flush(to: &frame)
        // The window takes 1 MiB; then the pool has 4 KiB, and the head of a block brings no byte.
        silent.fillBudget(left: (1 << 20) + 4096)
        let filled = silent.budget.figures.used
        try silent.deliver(Array(frame.array()[..<7]))
        #expect(silent.budget.figures.used > filled)
        let window = silent.budget.figures.used
        #expect(window == filled + (1 << 20))
        #expect(silent.budget.figures.waiting == 0)
        try silent.deliver(Array(frame.array()[7...]))
        #expect(silent.budget.figures.used == window + 4096)
        silent.end()
    }
}
