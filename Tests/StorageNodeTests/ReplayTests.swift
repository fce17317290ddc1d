// ReplayTests.swift - recorded conversations of real vminserts against a node, byte for byte.

import StorageBytes
import TestSupport
import Testing

@testable import ClusterWire
@testable import StorageNode

@Suite(.serialized) struct ReplayTests {
    @Test(arguments: ["vminsert_plain", "vminsert_compressed", "vminsert_pure_go_zstd"])
    func vminsertConversation(file: String) throws {
        let node = try TestNode()
        let json = try Golden.json("rpc/\(file).json")
        try replay(json, port: node.insertPort)
        // Every row of every packet is stored, except those that the fields say to be NaN or out of range: there is none.
        let rows = try json["exchanges"].array.flatMap { try $0["packets"].array }
            .reduce(0) { try $0 + rowCount(Array($1["packet_hex"].bytes.dropFirst(8))) }
        #expect(rows > 10)
        try Eventually.holds("\(rows) rows are stored, there are \(node.rowsStored)") {
            node.rowsStored == UInt64(rows)
        }
        try node.node.stop()
    }

    @Test func readOnlyConversation() throws {
        let node = try TestNode(["-storage.minFreeDiskSpaceBytes=1000000GiB"])
        try replay(try Golden.json("rpc/vminsert_readonly.json"), port: node.insertPort)
        let page = try String(decoding: node.http("GET", "/metrics").body, as: UTF8.self)
        #expect(page.contains("vm_protoparser_blocks_read_total{type=\"clusternative\"} 2\n"))
        #expect(page.contains("vm_protoparser_rows_read_total{type=\"clusternative\"} 0\n"))
        #expect(page.contains("vm_storage_is_read_only{path=\"\(node.directory.path)/data\"} 1\n"))
        #expect(node.rowsStored == 0)
        try node.node.stop()
    }

    /// Sends what the client sent and expects what the server answered, in the order of the recording.
    private func replay(_ json: JSON, port: Int) throws {
        let socket = try TestSocket(port: port)
        for part in try json["handshakes"].array + json["exchanges"].array {
            for chunk in try part["wire_chunks"].array {
                let bytes = try chunk["hex"].bytes
                if try chunk["dir"].string == "c2s" {
                    try socket.send(bytes)
                } else {
                    #expect(try socket.receive(bytes.count) == bytes)
                }
            }
        }
        // Nothing more comes: the stream ends between two packets.
        socket.closeWriteSide()
        #expect(try socket.receiveAll() == [])
    }

    private func rowCount(_ payload: [UInt8]) throws -> Int {
        let packet = payload.withUnsafeBytes { Packet(copying: $0) }
        var decoder = RowDecoder(packet)
        let rows = UnsafeMutablePointer<Int>.allocate(capacity: 10_000)
        defer { rows.deallocate() }
        return try decoder.next(into: rows, rowsMax: 10_000) { name, _, _ in name.count }
    }
}
