// FailingWriteTests.swift - answers that cannot be written: the socket has gone, and the channel says so in the middle of the
// step that wanted to answer.

import ClusterWire
import NIOCore
import Testing

@testable import ClusterRPC

/// Fails every write and closes the channel, from the moment it is told to.
final class FailingWrites: ChannelOutboundHandler, @unchecked Sendable {
    typealias OutboundIn = ByteBuffer
    enum Order: CaseIterable { case writeFailsFirst, channelClosesFirst }

    private let order: Order
    var isFailing = false

    init(_ order: Order) { self.order = order }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard isFailing else { return context.write(data, promise: promise) }
        if order == .writeFailsFirst { promise?.fail(ChannelError.ioOnClosedChannel) }
        context.close(promise: nil)
        if order == .channelClosesFirst { promise?.fail(ChannelError.ioOnClosedChannel) }
    }
}

@Suite struct FailingWriteTests {
    @Test(arguments: FailingWrites.Order.allCases, [false, true])
    func thePacketIsDroppedAndNothingIsHeld(order: FailingWrites.Order, isReadOnly: Bool) throws {
        let writes = FailingWrites(order)
        let connection = try EmbeddedConnection(writes: writes)
        connection.storage.readOnly.store(isReadOnly, ordering: .relaxed)
        writes.isFailing = true
        // What comes behind the packet is in the same buffer.
        let packet = TestServer.packet(1, rows: 10)
        try connection.deliver(packet + packet)
        #expect(!connection.channel.isActive)
        #expect(connection.shared.input.bytes == 0)
        #expect(connection.budget.figures.used == 0)
        connection.end()
        #expect(connection.storage.values.withLock { $0 } == [])
        #expect(connection.shared.counters.insertConnections.load(ordering: .relaxed) == 0)
    }

    @Test(arguments: FailingWrites.Order.allCases, [WirePort.vminsert, .vmselect])
    func handshakesEndQuietly(order: FailingWrites.Order, port: WirePort) throws {
        let writes = FailingWrites(order)
        writes.isFailing = true
        let connection = try EmbeddedConnection(port, writes: writes)
        #expect(!connection.channel.isActive)
        connection.end()
        // A peer that has gone is no error.
        let errors = connection.shared.counters.handshakeErrors.load(ordering: .relaxed)
        #expect(errors == (order == .writeFailsFirst ? 1 : 0))
    }
}
