// WireScript.swift - runs the machines of the wire over bytes that come in pieces.

import StorageBytes

@testable import ClusterWire

enum WireScript {
    struct Row: Equatable {
        var name: [UInt8]
        var timestamp: Int64
        var bits: UInt64
    }

    struct Served {
        var handshakeAnswer: [UInt8] = []
        var packets: [[UInt8]] = []
        var isBetweenPackets = false
    }

    /// A server that is given `input` in pieces, and grants all memory.
    static func runServer(_ port: WirePort, input: [UInt8], piece: Int) throws -> Served {
        var served = Served()
        var handshake = ServerHandshake(port, serverCompresses: false)
        var reader: PacketReader?
        var held: [UInt8] = []
        var answer = RawBuffer()
        for start in stride(from: 0, to: input.count, by: max(1, piece)) {
            held += input[start..<min(start + piece, input.count)]
            let consumed = try held.withUnsafeBytes { bytes in
                var cursor = ByteCursor(bytes)
                while try handshake.advance(&cursor, answer: &answer) {}
                if handshake.step == .done {
                    if reader == nil {
                        reader = PacketReader(StreamDecoder(isCompressed: handshake.clientCompresses))
                    }
                    served.packets += try packets(&reader!, &cursor)
                }
                return bytes.count - cursor.remaining
            }
            held.removeFirst(consumed)
        }
        served.handshakeAnswer = answer.array()
        served.isBetweenPackets = reader?.isBetweenPackets ?? false
        return served
    }

    /// Packets, each with its size field, that `cursor` completes.
    static func packets(
        _ reader: inout PacketReader, _ cursor: inout ByteCursor, workBytesMax: Int = 1 << 20
    ) throws -> [[UInt8]] {
        var packets: [[UInt8]] = []
        while true {
            switch try reader.advance(&cursor, workBytesMax: workBytesMax) {
            case .needsInput: return packets
            case .needsMemory(let bytes): reader.grantMemory(bytes)
            case .hasWorked: break
            case .packet(let packet):
                var whole = RawBuffer()
                whole.appendBigEndian(UInt64(packet.count))
                whole.append(packet.payload())
                packets.append(whole.array())
            }
        }
    }

    /// All rows of a payload.
    static func rows(_ payload: [UInt8], chunkBytes: Int? = nil, batch: Int = 10_000) throws -> [Row] {
        let packet = payload.withUnsafeBytes { Packet(copying: $0, chunkBytes: chunkBytes) }
        var decoder = RowDecoder(packet)
        let batchRows = UnsafeMutablePointer<Row>.allocate(capacity: batch)
        defer { batchRows.deallocate() }
        var rows: [Row] = []
        while true {
            let count = try decoder.next(into: batchRows, rowsMax: batch) {
                Row(name: Array($0), timestamp: $1, bits: $2.bitPattern)
            }
            rows += UnsafeMutableBufferPointer(start: batchRows, count: count)
            batchRows.deinitialize(count: count)
            if count == 0 { return rows }
        }
    }

    /// The requests of a stream that is given in pieces.
    static func requests(_ input: [UInt8], piece: Int, isCompressed: Bool = false) throws -> [SelectRequest] {
        var reader = SelectReader(StreamDecoder(isCompressed: isCompressed))
        var requests: [SelectRequest] = []
        for start in stride(from: 0, to: input.count, by: max(1, piece)) {
            try input[start..<min(start + piece, input.count)].withUnsafeBytes { bytes in
                var cursor = ByteCursor(bytes)
                while true {
                    switch try reader.advance(&cursor) {
                    case .needsInput: return
                    case .needsMemory(let bytes): reader.grantMemory(bytes)
                    case .request(let request): requests.append(request)
                    }
                }
            }
        }
        return requests
    }
}
