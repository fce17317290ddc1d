// GoldenConversationTests.swift - recorded conversations of real vminserts, byte for byte, at the level of messages.

import StorageBytes
import TestSupport
import Testing

@testable import ClusterWire

@Suite struct GoldenConversationTests {
    static let files = ["vminsert_plain", "vminsert_compressed", "vminsert_pure_go_zstd", "vminsert_readonly"]

    /// The stream of a direction: its chunks in the handshake, then those of the exchanges.
    static func stream(_ json: JSON, _ direction: String) throws -> [UInt8] {
        var bytes: [UInt8] = []
        for part in try json["handshakes"].array + json["exchanges"].array {
            for chunk in try part["wire_chunks"].array where try chunk["dir"].string == direction {
                bytes += try chunk["hex"].bytes
            }
        }
        return bytes
    }

    /// The packets of an exchange. Where the file does not repeat them, the plain stream is one packet.
    static func packets(of exchange: JSON) throws -> [[UInt8]] {
        if exchange["packets"].isPresent { return try exchange["packets"].array.map { try $0["packet_hex"].bytes } }
        var bytes: [UInt8] = []
        for chunk in try exchange["wire_chunks"].array where try chunk["dir"].string == "c2s" {
            bytes += try chunk["hex"].bytes
        }
        return [bytes]
    }

    static func packets(_ json: JSON) throws -> [[UInt8]] { try json["exchanges"].array.flatMap(packets(of:)) }

    @Test(arguments: files) func serverReadsTheClientsStream(file: String) throws {
        let json = try Golden.json("rpc/\(file).json")
        let packets = try Self.packets(json)
        #expect(packets.count > 0)
        let sent = try Self.stream(json, "c2s")
        let answered = try Self.stream(json, "s2c")
        // All at once, then torn into pieces of 1, 7 and 1000 bytes.
        for piece in [sent.count, 1, 7, 1000] {
            let server = try WireScript.runServer(.vminsert, input: sent, piece: piece)
            #expect(server.packets == packets, "pieces of \(piece) bytes")
            #expect(server.handshakeAnswer == Array(answered.prefix(5)))
        }
        // One answer byte for each packet.
        #expect(answered.count == 5 + packets.count)
    }

    @Test(arguments: ["vminsert_plain", "vminsert_readonly"]) func clientSendsTheSameBytes(file: String) throws {
        let json = try Golden.json("rpc/\(file).json")
        let sent = try Self.stream(json, "c2s")
        var output = RawBuffer()
        var handshake = ClientHandshake(.vminsert, compresses: false, output: &output)
        let answered = try Self.stream(json, "s2c")
        try answered.withUnsafeBytes { bytes in
            var cursor = ByteCursor(bytes)
            while try handshake.advance(&cursor, output: &output) {}
            #expect(handshake.isDone)
            #expect(!handshake.serverCompresses)
        }
        var encoder = StreamEncoder(isCompressed: false)
        var writer = PacketWriter()
        for exchange in try json["exchanges"].array {
            for packet in try Self.packets(of: exchange) {
                for row in try WireScript.rows(Array(packet.dropFirst(8))) {
                    row.name.withUnsafeBytes {
                        writer.add(name: $0, timestampMs: row.timestamp, value: Double(bitPattern: row.bits))
                    }
                }
                writer.send(through: &encoder, to: &output)
            }
        }
        #expect(output.array() == sent)
    }

    @Test func rowsOfPayloads() throws {
        for entry in try Golden.json("rpc/metric_rows.json")["cases"].array {
            let payload = try entry["payload_hex"].bytes
            let expected = try entry["rows_decoded_before_the_end_or_error"].array.map {
                WireScript.Row(
                    name: try $0["metric_name_raw_hex"].bytes, timestamp: try $0["timestamp"].int64,
                    bits: try #require(UInt64($0["value_bits_hex"].string, radix: 16)))
            }
            let description = try entry["description"].string
            for chunk in [nil, 1, 5, 40] {
                if try entry["error"].bool {
                    #expect(throws: DecodeError.self, "\(description)") {
                        try WireScript.rows(payload, chunkBytes: chunk)
                    }
                } else {
                    #expect(try WireScript.rows(payload, chunkBytes: chunk) == expected, "\(description)")
                }
            }
        }
    }

    @Test func searchQueries() throws {
        var good = 0
        for entry in try Golden.json("rpc/search_query.json")["cases"].array {
            let description = try entry["description"].string
            let bytes = try entry["hex"].bytes
            let query = bytes.withUnsafeBytes { try? SearchQuery(decoding: $0) }
            // The decoder of the reference hands the rest back, and the server then refuses the request for it.
            let isRefused = try entry["error"].bool || description.hasPrefix("trailing byte")
            #expect((query == nil) == isRefused, "\(description)")
            guard let query else { continue }
            good += 1
            var encoded = RawBuffer()
            query.encode(to: &encoded)
            // Over-long numbers are accepted and written short.
            #expect(encoded.count <= bytes.count)
            let again = try SearchQuery(decoding: encoded.bytes)
            #expect(again == query, "\(description)")
        }
        #expect(good > 0)
    }

    @Test(arguments: ["vmselect_compressed", "vmselect_plain", "vmselect_limits"])
    func requestsOfRealClients(file: String) throws {
        var calls = Set<SelectCall>()
        for exchange in try Golden.json("rpc/\(file).json")["exchanges"].array {
            for rpc in try exchange["rpcs"].array {
                let bytes = try rpc["request_hex"].bytes
                for piece in [bytes.count, 1] {
                    let requests = try WireScript.requests(bytes, piece: piece)
                    #expect(requests.count == 1)
                    let request = try #require(requests.first)
                    calls.insert(request.call)
                    #expect(request.bytes.count == bytes.count)
                }
            }
        }
        #expect(calls.count > 1)
        if file == "vmselect_compressed" { #expect(calls == Set(SelectCall.allCases)) }
    }
}
