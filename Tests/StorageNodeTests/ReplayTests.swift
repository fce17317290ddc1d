// ReplayTests.swift - recorded conversations of real vminserts against a node, byte for byte, and the probes.

import Glibc
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

    // MARK: probes

    /// Probes whose answers need a search. Of 36 and 38 the part without one is checked.
    static let needSearch: Set<Int> = [26, 29, 37, 39, 40, 41, 42, 43, 44, 45, 46, 47, 51]
    static let isPartly: Set<Int> = [36]
    /// Rows of the probe's own series, where they are not those of the text "stored afterwards".
    static let rowsWithoutText: [Int: Int] = [21: 1]

    @Test func probes() throws {
        let node = try TestNode(["-rpc.disableCompression"])
        let probes = try Golden.json("rpc/probes.json")["probes"].array
        #expect(probes.count == 52)
        var expectedRows = 0
        for (number, probe) in probes.enumerated() {
            try run(number, probe, node)
            expectedRows += try rowsOf(number, probe)
            try Eventually.holds("probe \(number): \(expectedRows) rows, there are \(node.rowsStored)") {
                node.rowsStored == UInt64(expectedRows)
            }
        }
        let metrics = node.node.storage.engine.metrics
        #expect(metrics.rowsNaN == 1)
        #expect(metrics.rowsTooOld == 1)
        #expect(metrics.rowsInvalidName == 2)
        let page = try String(decoding: node.http("GET", "/metrics").body, as: UTF8.self)
        // Probes 9, 13 and 14; probes 10, 11 and 22.
        #expect(page.contains("vm_protoparser_parse_errors_total{type=\"clusternative\"} 3\n"))
        #expect(page.contains("vm_protoparser_read_errors_total{type=\"clusternative\"} 3\n"))
        #expect(page.contains("vm_vminsert_conn_errors_total 4\n"))
        #expect(node.log(contains: "too big packet size: 104857601; shouldn't exceed 104857600"))
        #expect(node.log(contains: "unsupported rpcName: \"search_v3\""))
        try node.node.stop()
    }

    private func rowsOf(_ number: Int, _ probe: JSON) throws -> Int {
        guard probe["effect"].isPresent else { return Self.rowsWithoutText[number] ?? 0 }
        let words = try probe["effect"].string.split { " ;[]".contains($0) }
        return words.reduce(0) { $0 + ($1.hasPrefix("rows=") ? Int($1.dropFirst(5)) ?? 0 : 0) }
    }

    private func run(_ number: Int, _ probe: JSON, _ node: TestNode) throws {
        let isInsert = try probe["port"].string == "vminsert"
        let socket = try TestSocket(port: isInsert ? node.insertPort : node.selectPort)
        var expected = try probe["server_sends_hex"].bytes
        let closes = try probe["server_closes_connection"].string.hasPrefix("yes")
        for step in try probe["client_sends"].array {
            if step["send_hex"].isPresent {
                var bytes = try step["send_hex"].bytes
                // The second timestamp of this probe is ten days after its recording.
                if number == 18 { bytes = withFutureTimestamp(bytes) }
                let count = step["repeat"].isPresent ? try step["repeat"].int : 1
                // A server that has closed early makes sending fail; what counts is what it has sent.
                try? socket.send(Array(repeatElement(bytes, count: count).joined()))
            }
            if try step["then_close_write_side"].bool { socket.closeWriteSide() }
            // Probes 28 and 29 ask for a pause that lets their deadline pass.
            if number == 28 || number == 29, step["then_sleep_ms"].isPresent { pause(milliseconds: 3000) }
        }
        if Self.needSearch.contains(number) {
            let head = try socket.receive(5)
            #expect(head == Array(expected.prefix(5)), "probe \(number)")
            for _ in 0..<(number == 26 ? 2 : 1) {
                let text = try errorText(socket)
                #expect(
                    text.contains(number == 29 ? "deadline exceeded" : "needs a search"), "probe \(number): \(text)")
            }
            return
        }
        if Self.isPartly.contains(number) {
            expected.removeLast(16)
            #expect(try socket.receive(expected.count) == expected, "probe \(number)")
            #expect(try errorText(socket).contains("needs a search"))
            return
        }
        if closes {
            #expect(try socket.receiveAll() == expected, "probe \(number)")
            return
        }
        #expect(try socket.receive(expected.count) == expected, "probe \(number)")
        // Still open: the next message is answered, and by nothing else.
        let isPlain = !(20...21).contains(number)
        if isInsert, isPlain {
            try socket.send([UInt8](repeating: 0, count: 8))
            socket.closeWriteSide()
            #expect(try socket.receiveAll() == [1], "probe \(number)")
        }
    }

    private func errorText(_ socket: TestSocket) throws -> String {
        let count = try socket.receive(8).reduce(0) { $0 << 8 | Int($1) }
        return String(decoding: try socket.receive(min(count, 70_000)), as: UTF8.self)
    }

    /// The row of probe 18 that was ten days ahead of its recording gets a moment that is always ahead.
    private func withFutureTimestamp(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.count > 80 else { return bytes }
        var bytes = bytes
        bytes.replaceSubrange(64..<72, with: [0, 0, 0x7F, 0, 0, 0, 0, 0])
        return bytes
    }

    private func pause(milliseconds: UInt32) { usleep(milliseconds * 1000) }
}
