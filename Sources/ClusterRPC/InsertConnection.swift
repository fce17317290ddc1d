// InsertConnection.swift - a connection of vminsert (docs/format/cluster-rpc.md, 4).
//
//   size, payload --> read-only? --> 02: dropped
//                        |
//                        +--> 01 --> the kernel has the answer --> the pool has a place --> next packet
//
// A packet whose answer could not be written is dropped, since its sender will send it again; one whose answer was
// written is stored, whatever happens to the connection.
//
// Threads: the event loop of the connection.

import ClusterWire
import StorageBytes
import Synchronization

/// A vminsert connection.
final class InsertConnection: WireConnection, @unchecked Sendable {
    private var reader: PacketReader
    private var window = BudgetAccount(.window)
    private var account = BudgetAccount(.message)
    private var isAsking = false  // for memory
    private var wanted = 0
    private var paceSeconds = 0
    private var paceMark = 0

    /// A sender that keeps memory others wait for has to send this much, or all of its packet, in `paceSecondsMax`.
    static let paceBytes = 1 << 20

    init(_ shared: RPCShared) {
        reader = PacketReader(StreamDecoder(isCompressed: false), pool: shared.chunks)
        super.init(shared, .vminsert, serverCompresses: false)
    }

    override func begin(clientCompresses: Bool) {
        reader = PacketReader(StreamDecoder(isCompressed: clientCompresses), pool: shared.chunks)
    }

    override func advance(_ input: inout ByteCursor) throws(WireError) -> Outcome {
        switch try reader.advance(&input) {
        case .needsInput: return .needsInput
        case .hasWorked: return .again
        case .needsMemory(let bytes): return ask(bytes)
        case .packet(let packet): return answer(packet)
        }
    }

    private func ask(_ bytes: Int) -> Outcome {
        let account = reader.isWindowWanted ? window : account
        let isTaken = shared.budget.take(bytes, for: account) { [self] in
            onLoop { _ in self.granted(bytes) }
        }
        if isTaken {
            reader.grantMemory(bytes)
            return .goesOn
        }
        isAsking = true
        if reader.isWindowWanted { sayThatWindowWaits(bytes, window) }
        return .waits
    }

    private func granted(_ bytes: Int) {
        guard !isClosed else { return }
        isAsking = false
        paceSeconds = 0
        reader.grantMemory(bytes)
        resume()
    }

    private func answer(_ packet: Packet) -> Outcome {
        shared.counters.packetsRead.wrappingAdd(1, ordering: .relaxed)
        let held = account
        account = BudgetAccount(.message)
        paceSeconds = 0
        let isRefused = shared.storage.isReadOnly
        let hasRows = packet.count > 0
        withUnsafeBytes(of: UInt8(isRefused ? 2 : 1)) { byte in
            // A packet that is refused, or whose answer cannot be written, ends with its ticket: the closure is released.
            let ticket = PacketTicket(packet, held, shared.budget)
            send(byte, seconds: WireLimits.answerSeconds) { connection in
                guard !isRefused, hasRows else { return connection.resume() }
                let (packet, account) = ticket.redeem()
                let shared = connection.shared
                if shared.pool.submit(packet, account, accepted: { connection.resumeLater() }) { connection.resume() }
            }
        }
        return .waits
    }

    override var missing: WireError? { reader.isBetweenPackets ? nil : reader.missing }

    override func count(_ error: WireError) {
        switch error.kind {
        case .tooBig: shared.counters.parseErrors.wrappingAdd(1, ordering: .relaxed)
        case .badStream, .unexpectedEnd: shared.counters.readErrors.wrappingAdd(1, ordering: .relaxed)
        default: break
        }
    }

    override func end() {
        // The memory first: whoever waits for it is to find it free.
        reader = PacketReader(StreamDecoder(isCompressed: false), pool: shared.chunks)
        shared.budget.close(account)
        shared.budget.close(window)
    }

    override func checkPace() {
        // Who waits for a window may do so for ever: not with the memory of a packet.
        guard !isClosed, !isAsking || reader.isWindowWanted, reader.packetMemoryBytes > 0 else {
            paceSeconds = 0
            return
        }
        if paceSeconds == 0 { paceMark = reader.begun.filled }
        paceSeconds += 1
        guard paceSeconds > WireConnection.paceSecondsMax else { return }
        paceSeconds = 0
        let (count, filled) = reader.begun
        if filled - paceMark < InsertConnection.paceBytes {
            shared.counters.slowConnectionsClosed.wrappingAdd(1, ordering: .relaxed)
            fail(
                WireError(
                    .unexpectedEnd,
                    "the packet of \(count) bytes has grown by \(filled - paceMark) bytes in "
                        + "\(WireConnection.paceSecondsMax) seconds, while others wait for memory"))
        }
    }
}

/// A packet between its answer and the pool: gives the memory back when it is never redeemed.
private final class PacketTicket: @unchecked Sendable {
    private let packet: Packet
    private let account: BudgetAccount
    private let budget: ByteBudget
    private var isRedeemed = false  // touched on the event loop only, and in deinit

    init(_ packet: Packet, _ account: BudgetAccount, _ budget: ByteBudget) {
        self.packet = packet
        self.account = account
        self.budget = budget
    }

    func redeem() -> (Packet, BudgetAccount) {
        isRedeemed = true
        return (packet, account)
    }

    deinit {
        if isRedeemed { return }
        packet.giveBack()
        budget.close(account)
    }
}
