// FloodRun.swift - packets of the largest size over many connections at once, and what memory the node takes for them.
//
//   connections     | handshake |  all wait for each other  | the same packet | answer | next connection ...
//   this thread     base        |  resident memory every 20 ms                        | stored? | idle: given back?
//
// The packet is encoded once and is the first one of each connection, so the client needs it once, whatever the number of
// connections. With rows it holds as many rows of the profile as fit; without, it holds bytes that are no rows, so
// that only the ports of the node work and not its storage.
//
// The node's promise: resident memory, all of the process, is at most its byte budget (vm_rpc_memory_max_bytes) and
// something fixed above it.
//
// Threads: one per connection, and the caller.

import ClusterWire
import Glibc
import StorageBytes
import StorageEngine
import StorageRuntime
import Synchronization
import Workloads

/// Settings of a flood.
public struct FloodOptions: Sendable {
    /// The node's ports.
    public var address: NodeAddress, http: NodeAddress
    /// Connections at once, and how many each place has one after the other.
    public var connections = 200, repetitions = 1
    /// Bytes of the payload of a packet.
    public var packetBytes = FloodOptions.packetBytesMax
    /// The most that a packet may have.
    public static let packetBytesMax = WireLimits.packetBytesMax
    /// Whether packets hold rows.
    public var sendsRows = true
    /// Whether the streams are compressed.
    public var compresses = true
    /// Seconds of rest at the end, after which resident memory is looked at once more.
    public var idleSeconds = 15.0
    /// Root seed of the rows.
    public var seed: UInt64 = 42

    /// Settings for a node.
    public init(address: NodeAddress, http: NodeAddress) {
        self.address = address
        self.http = http
    }
}

/// What a flood has found. Bytes of memory are resident bytes of the node's process.
public struct FloodResult: Sendable {
    /// Packets answered with 01, and rows in them.
    public var packets = 0, rows = 0
    /// Bytes on the wire of one packet.
    public var wireBytes = 0
    /// Seconds until the last answer, and from there until all rows were decoded.
    public var seconds = 0.0, settleSeconds = 0.0
    /// CPU seconds of the node.
    public var nodeCPUSeconds = 0.0
    /// Before, the most on the way, and after a rest.
    public var baseBytes: UInt64 = 0, peakBytes: UInt64 = 0, idleBytes: UInt64 = 0
    /// The most without pages of files, as seen every 20 ms.
    public var anonymousPeakBytes: UInt64 = 0
    /// The node's byte budget, and the most that it counted against it.
    public var budgetBytes: UInt64 = 0, accountedPeakBytes: UInt64 = 0

    /// Resident bytes at the peak that are above the budget.
    public var aboveBudgetBytes: Int64 { Int64(peakBytes) - Int64(budgetBytes) }

    /// - Throws: `.checkFailed` when the peak is above the budget by more than `most` bytes.
    public func requireBudget(most: Int) throws(HarnessError) {
        guard aboveBudgetBytes > Int64(most) else { return }
        throw HarnessError(
            .checkFailed,
            "\(peakBytes) bytes were resident: \(aboveBudgetBytes) above the budget, \(most) are allowed")
    }
}

/// A flood of a node.
public final class FloodRun: Sendable {
    private let options: FloodOptions
    private static let waitSeconds = 300

    /// A flood.
    public init(_ options: FloodOptions) { self.options = options }

    /// A packet with its size in front, encoded as the first one of a stream.
    final class EncodedPacket: @unchecked Sendable {
        var bytes = RawBuffer()
        var rows = 0
    }

    private final class Shared: @unchecked Sendable {
        let packet: EncodedPacket
        let ready = Atomic<Int>(0), done = Atomic<Int>(0), answered = Atomic<Int>(0)
        let error = Protected<HarnessError?>(nil)

        init(_ packet: EncodedPacket) { self.packet = packet }
    }

    /// Runs.
    ///
    /// - Throws: `.inputOutput` when the node does not answer, or is not on this machine; `.checkFailed` when it has not
    ///   decoded all rows it has acknowledged; `.interrupted`.
    public func run(_ profile: Profile) throws(HarnessError) -> FloodResult {
        let probe = NodeProbe(rpc: options.address, http: options.http)
        guard let base = probe.memory, let budget = probe.metrics()["vm_rpc_memory_max_bytes"] else {
            throw HarnessError(
                .inputOutput,
                "no node answers at http://\(options.http)/metrics, or it does not run on this machine: its memory cannot be seen"
            )
        }
        let packet = options.sendsRows ? try packetWithRows(profile) : packetWithoutRows()
        var result = FloodResult()
        result.baseBytes = base.bytes
        result.budgetBytes = UInt64(budget)
        result.wireBytes = packet.bytes.count
        let rowsBefore = FloodRun.rowsRead(probe)
        let cpuBefore = probe.cpuSeconds ?? 0
        let shared = Shared(packet)
        let threads = (0..<options.connections).map { number in
            Thread.start("flood-\(number)") { self.drive(shared) }
        }
        let start = WallClock.nanoseconds
        while shared.done.load(ordering: .acquiring) < options.connections {
            result.anonymousPeakBytes = max(result.anonymousPeakBytes, probe.anonymousBytes ?? 0)
            usleep(20_000)
        }
        for thread in threads { thread.join() }
        result.seconds = WallClock.seconds(since: start)
        if let error = shared.error.withLock({ $0 }) { throw error }
        try Interrupt.check()
        result.packets = shared.answered.load(ordering: .relaxed)
        result.rows = result.packets * packet.rows

        // Answers come before the rows are decoded.
        let settleStart = WallClock.nanoseconds
        while FloodRun.rowsRead(probe) - rowsBefore < result.rows {
            result.anonymousPeakBytes = max(result.anonymousPeakBytes, probe.anonymousBytes ?? 0)
            guard WallClock.seconds(since: settleStart) < Double(FloodRun.waitSeconds) else {
                throw HarnessError(
                    .checkFailed,
                    "\(result.rows) rows were acknowledged, \(FloodRun.rowsRead(probe) - rowsBefore) decoded")
            }
            usleep(200_000)
        }
        result.settleSeconds = WallClock.seconds(since: settleStart)
        result.nodeCPUSeconds = (probe.cpuSeconds ?? 0) - cpuBefore
        usleep(UInt32(options.idleSeconds * 1e6))
        result.accountedPeakBytes = UInt64(probe.metrics()["vm_rpc_memory_peak_bytes"] ?? 0)
        result.peakBytes = probe.memory?.peakBytes ?? 0
        result.idleBytes = probe.memory?.bytes ?? 0
        return result
    }

    private static func rowsRead(_ probe: NodeProbe) -> Int {
        Int(probe.metrics()["vm_protoparser_rows_read_total{type=\"clusternative\"}"] ?? 0)
    }

    // MARK: the packet

    func packetWithRows(_ profile: Profile) throws(HarnessError) -> EncodedPacket {
        let feed = try RoundFeed.firstRound(of: profile, seed: options.seed)
        let packet = EncodedPacket()
        var writer = PacketWriter()
        let now = SystemClock().unixMilliseconds
        withExtendedLifetime(feed) {
            while true {
                let row = feed.rows[packet.rows % feed.count]
                guard writer.count + row.name.count + Varint.lengthMax + 16 <= options.packetBytes else { return }
                // A millisecond a round, so that no two rows of a series have the same time.
                writer.add(
                    name: row.name, timestampMs: now - Int64(packet.rows / feed.count), value: row.value)
                packet.rows += 1
            }
        }
        var encoder = StreamEncoder(isCompressed: options.compresses)
        writer.send(through: &encoder, to: &packet.bytes)
        return packet
    }

    func packetWithoutRows() -> EncodedPacket {
        let packet = EncodedPacket()
        var encoder = StreamEncoder(isCompressed: options.compresses)
        withUnsafeBytes(of: UInt64(options.packetBytes).bigEndian) { encoder.append($0, to: &packet.bytes) }
        // No row begins like this: the packet is given up at its first byte, when it is complete.
        let filler = [UInt8](repeating: 0xFF, count: 1 << 20)
        var left = options.packetBytes
        while left > 0 {
            let count = min(left, filler.count)
            filler[..<count].withUnsafeBytes { encoder.append($0, to: &packet.bytes) }
            left -= count
        }
        encoder.flush(to: &packet.bytes)
        return packet
    }

    // MARK: connections

    private func drive(_ shared: Shared) {
        do throws(HarnessError) {
            for repetition in 0..<options.repetitions {
                let sender = try RPCSender(
                    options.address, compresses: options.compresses, waitSeconds: FloodRun.waitSeconds)
                if repetition == 0 {
                    shared.ready.wrappingAdd(1, ordering: .relaxed)
                    while shared.ready.load(ordering: .relaxed) < options.connections, !Interrupt.isRequested,
                        shared.error.withLock({ $0 == nil })
                    {
                        usleep(1000)
                    }
                }
                try sender.sendEncoded(shared.packet.bytes.bytes)
                try sender.receiveAnswer()
                shared.answered.wrappingAdd(1, ordering: .relaxed)
                if Interrupt.isRequested { break }
            }
        } catch { shared.error.withLock { $0 = $0 ?? error } }
        shared.done.wrappingAdd(1, ordering: .releasing)
    }
}
