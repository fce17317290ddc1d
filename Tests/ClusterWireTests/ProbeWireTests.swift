// ProbeWireTests.swift - the recorded probes without sockets: the server's machines over the client's bytes, whole and byte
// by byte. What only a clock ends is left to ProbeTests of StorageNode.

import StorageBytes
import TestSupport
import Testing

@testable import ClusterWire

@Suite struct ProbeWireTests {
    /// What came of a probe.
    private struct Outcome: Equatable {
        var handshake: [UInt8] = []
        var isHandshakeDone = false
        var packets = 0, requests = 0
        /// The text that ends the connection.
        var error: String?
    }

    private func run(_ port: WirePort, _ input: [UInt8], piece: Int, ends: Bool) -> Outcome {
        var outcome = Outcome()
        var handshake = ServerHandshake(port, serverCompresses: false)
        var packets = PacketReader(StreamDecoder(isCompressed: false))
        var requests = SelectReader(StreamDecoder(isCompressed: false))
        var answer = RawBuffer()
        var held: [UInt8] = []
        do {
            for start in stride(from: 0, to: input.count, by: piece) {
                held += input[start..<min(start + piece, input.count)]
                let used = try held.withUnsafeBytes { bytes in
                    var cursor = ByteCursor(bytes)
                    while try handshake.advance(&cursor, answer: &answer) {}
                    guard handshake.step == .done else { return bytes.count - cursor.remaining }
                    if !outcome.isHandshakeDone {
                        outcome.isHandshakeDone = true
                        packets = PacketReader(StreamDecoder(isCompressed: handshake.clientCompresses))
                        requests = SelectReader(StreamDecoder(isCompressed: handshake.clientCompresses))
                    }
                    switch port {
                    case .vminsert: outcome.packets += try WireScript.packets(&packets, &cursor).count
                    case .vmselect: outcome.requests += try count(&requests, &cursor)
                    }
                    return bytes.count - cursor.remaining
                }
                held.removeFirst(used)
            }
            if ends {
                switch port {
                case .vminsert where !packets.isBetweenPackets: throw packets.missing
                case .vmselect where !requests.isBetweenRequests: throw requests.missing("unexpected EOF")
                default: break
                }
            }
        } catch { outcome.error = "\(error)" }
        outcome.handshake = answer.array()
        return outcome
    }

    private func count(_ reader: inout SelectReader, _ cursor: inout ByteCursor) throws -> Int {
        var count = 0
        while true {
            switch try reader.advance(&cursor) {
            case .needsInput: return count
            case .needsMemory(let bytes): reader.grantMemory(bytes)
            case .request: count += 1
            }
        }
    }

    @Test(arguments: 0..<52) func probe(_ number: Int) throws {
        let probe = try Golden.json("rpc/probes.json")["probes"].array[number]
        let port: WirePort = try probe["port"].string == "vminsert" ? .vminsert : .vmselect
        var input: [UInt8] = []
        var ends = false
        for step in try probe["client_sends"].array {
            if step["send_hex"].isPresent {
                let count = step["repeat"].isPresent ? try step["repeat"].int : 1
                input += Array(repeatElement(try step["send_hex"].bytes, count: count).joined())
            }
            let closes = try step["then_close_write_side"].bool
            ends = ends || closes
        }
        let outcome = run(port, input, piece: max(1, input.count), ends: ends)
        if input.count < 10_000 { #expect(run(port, input, piece: 1, ends: ends) == outcome) }

        let sends = try probe["server_sends_hex"].bytes
        let log = probe["server_log_lines"].isPresent ? try probe["server_log_lines"].string : ""
        let isLeftToAClock = log.contains("i/o timeout")
        let isClosed = try probe["server_closes_connection"].string.hasPrefix("yes")
        if outcome.isHandshakeDone {
            #expect(outcome.handshake == Array(sends.prefix(5)))
        } else {
            #expect(outcome.handshake == sends)
        }
        if isClosed, !isLeftToAClock {
            // An end between two messages needs no error.
            #expect((outcome.error != nil) == log.hasPrefix("error: "))
        } else {
            #expect(outcome.error == nil)
        }
        switch port {
        case .vminsert: #expect(outcome.packets == max(0, sends.count - 5))
        case .vmselect: #expect((outcome.requests > 0) == (sends.count > 5))
        }
    }
}
