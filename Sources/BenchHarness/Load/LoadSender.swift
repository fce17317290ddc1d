// LoadSender.swift - one thread's way to hand packets of rows over: through a socket as vminsert does, or straight to an
// engine in this process, for comparison.
//
// Threads: one owner.

import ClusterWire
import StorageBytes
import StorageEngine
import StorageRuntime

/// Rows of a packet: the rows of a round, from one on, over and over.
struct PacketRows {
    let round: UnsafeBufferPointer<MetricRow>
    /// First row, counted over all repetitions of the round.
    let first: Int
    let count: Int
    /// Unix milliseconds of all of them.
    let timestampMs: Int64

    @inline(__always) func forEach(_ body: (MetricRow) -> Void) {
        var place = first % round.count
        var repetition = Double(first / round.count)
        for _ in 0..<count {
            var row = round[place]
            row.timestampMs = timestampMs
            row.value += repetition
            body(row)
            place &+= 1
            if place == round.count {
                place = 0
                repetition += 1
            }
        }
    }
}

/// Takes packets.
protocol LoadSender: AnyObject {
    /// Hands a packet over and returns when it was taken.
    func send(_ rows: PacketRows) throws(HarnessError)
    /// Bytes sent so far.
    var bytesSent: UInt64 { get }
}

/// Sends packets as vminsert does: one at a time, waiting for the answer.
final class RPCSender: LoadSender {
    private let socket: WireSocket
    private var encoder: StreamEncoder
    private var writer = PacketWriter()
    private var output = RawBuffer()
    private(set) var bytesSent: UInt64 = 0

    init(_ address: NodeAddress, compresses: Bool, waitSeconds: Int = 60) throws(HarnessError) {
        socket = try WireSocket(address, waitSeconds: waitSeconds)
        encoder = StreamEncoder(isCompressed: compresses)
        var greeting = RawBuffer()
        var handshake = ClientHandshake(.vminsert, compresses: compresses, output: &greeting)
        var held: [UInt8] = []
        while true {
            try socket.send(greeting.bytes)
            greeting.removeAll()
            if handshake.isDone { break }
            let more = try socket.receive(64)
            if more.isEmpty { throw HarnessError(.inputOutput, "the node closes the connection in the handshake") }
            held += more
            let result = held.withUnsafeBytes { bytes -> Result<Int, WireError> in
                var cursor = ByteCursor(bytes)
                do throws(WireError) {
                    while try handshake.advance(&cursor, output: &greeting) {}
                    return .success(bytes.count - cursor.remaining)
                } catch { return .failure(error) }
            }
            switch result {
            case .success(let count): held.removeFirst(count)
            case .failure(let error): throw HarnessError(.inputOutput, error.message)
            }
        }
    }

    func send(_ rows: PacketRows) throws(HarnessError) {
        try sendWithoutAnswer(rows)
        try receiveAnswer()
    }

    /// Sends a packet. The next call is ``receiveAnswer()``.
    func sendWithoutAnswer(_ rows: PacketRows) throws(HarnessError) {
        encode(rows)
        try socket.send(output.bytes)
        bytesSent += UInt64(output.count)
    }

    /// Sends some bytes of a packet, never all. The connection is of no use any more.
    func sendPart(_ rows: PacketRows, share: Double) throws(HarnessError) {
        encode(rows)
        let count = min(output.count - 1, Int(Double(output.count) * share))
        try socket.send(UnsafeRawBufferPointer(rebasing: output.bytes[..<count]))
    }

    /// Sends bytes that are encoded already: the first packet of a connection. The next call is ``receiveAnswer()``.
    func sendEncoded(_ bytes: UnsafeRawBufferPointer) throws(HarnessError) {
        try socket.send(bytes)
        bytesSent += UInt64(bytes.count)
    }

    /// Waits for the answer to a packet.
    func receiveAnswer() throws(HarnessError) {
        let answer = try socket.receive(1)
        guard answer == [1] else {
            let what =
                answer == [2]
                ? "the node is read-only"
                : answer.isEmpty ? "the node has closed the connection" : "the node answers \(answer)"
            throw HarnessError(.inputOutput, what)
        }
    }

    private func encode(_ rows: PacketRows) {
        rows.forEach { writer.add(name: $0.name, timestampMs: $0.timestampMs, value: $0.value) }
        output.removeAll()
        writer.send(through: &encoder, to: &output)
    }
}

/// Adds packets to an engine, in batches as the node does.
final class EngineSender: LoadSender {
    private let engine: StorageEngine
    private let number: Int
    private let batch = UnsafeMutablePointer<MetricRow>.allocate(capacity: WireLimits.batchRowsMax)
    let bytesSent: UInt64 = 0

    init(_ engine: StorageEngine, number: Int) {
        self.engine = engine
        self.number = number
    }

    deinit { batch.deallocate() }

    func send(_ rows: PacketRows) throws(HarnessError) {
        var filled = 0
        var failure: StorageError?
        func flush() {
            if filled == 0 { return }
            do throws(StorageError) {
                try engine.addRows(UnsafeBufferPointer(start: batch, count: filled), hint: number)
            } catch { failure = failure ?? error }
            filled = 0
        }
        rows.forEach { row in
            (batch + filled).initialize(to: row)
            filled += 1
            if filled == WireLimits.batchRowsMax { flush() }
        }
        flush()
        if let failure { throw HarnessError(failure, while: "adding rows") }
    }
}
