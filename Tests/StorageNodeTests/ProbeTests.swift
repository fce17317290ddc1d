// ProbeTests.swift - the 52 recorded probes (Tests/Golden/rpc/probes.json), each against a node of its own on loopback ports.
//
// Of each one is checked: every byte that the server sends, whether it closes the connection, which rows are stored
// afterwards with names, times and values, and whether the log has a line of the recorded kind. Those whose answers need a search
// are named in docs/node.md; of them the wire behaviour is checked, and that the answer says so.

import SeriesIndex
import StorageBytes
import TestSupport
import Testing

@testable import StorageNode

@Suite struct ProbeTests {
    /// Probes whose answers need a search.
    static let needSearch: Set<Int> = [26, 29, 37, 39, 40, 41, 42, 43, 44, 45, 46, 47, 51]
    /// Probes with two requests, of which only the second one needs a search.
    static let needSearchInPart: Set<Int> = [36]

    static func all() throws -> [JSON] { try Golden.json("rpc/probes.json")["probes"].array }

    /// docs/node.md has a table with number and description of every probe that waits for searches.
    @Test func documentedOnesAreThose() throws {
        let probes = try Self.all()
        #expect(probes.count == 52)
        let text = try Golden.text(ofRepository: "docs/node.md")
        var documented: [Int: String] = [:]
        for line in text.split(separator: "\n") {
            let cells = line.split(separator: "|").map { $0.drop { $0 == " " } }
            guard cells.count == 2, let number = Int(cells[0].prefix { $0 != " " }) else { continue }
            var name = String(cells[1])
            while name.last == " " { name.removeLast() }
            documented[number] = name
        }
        #expect(Set(documented.keys) == Self.needSearch.union(Self.needSearchInPart))
        for (number, name) in documented { #expect(try probes[number]["description"].string == name) }
    }

    @Test(arguments: 0..<52) func probe(_ number: Int) throws {
        let probe = try Self.all()[number]
        let node = try TestNode(["-rpc.disableCompression"])
        try converse(number, probe, node)
        let expected = try storedRows(number, probe)
        let count = expected.values.reduce(0) { $0 + $1.count }
        try Eventually.holds("\(count) rows are stored") { node.rowsStored == UInt64(count) }
        let stored = try node.stored()
        #expect(stored == expected)
        // Stopping waits for everything that was acknowledged: nothing comes after it.
        try node.node.stop()
        #expect(node.rowsStored == UInt64(count))
        try checkLog(number, probe, node)
        try checkCounters(number, node)
    }

    // MARK: conversation

    private func converse(_ number: Int, _ probe: JSON, _ node: TestNode) throws {
        let isInsert = try probe["port"].string == "vminsert"
        let socket = try TestSocket(port: isInsert ? node.insertPort : node.selectPort)
        var sent = 0
        for step in try probe["client_sends"].array {
            if step["send_hex"].isPresent {
                var bytes = try step["send_hex"].bytes
                if number == 18 { bytes = withFutureTimestamp(bytes) }
                let count = step["repeat"].isPresent ? try step["repeat"].int : 1
                // A server that has closed early makes sending fail; what counts is what it has sent.
                try? socket.send(Array(repeatElement(bytes, count: count).joined()))
                sent += bytes.count * count
            }
            if try step["then_close_write_side"].bool { socket.closeWriteSide() }
            // Of the recorded pauses only those matter that let a deadline of 0 seconds pass: "by the end of this second".
            if number == 28 || number == 29, step["then_sleep_ms"].isPresent {
                // The server has looked at its clock when it has the name of the call.
                try Eventually.holds("all is read") {
                    let read = node.node.rpc.metrics.first {
                        $0.series.hasPrefix("vm_tcplistener_read_bytes_total") && $0.series.contains("vmselect")
                    }
                    return read.map { Int($0.value) } == sent
                }
                // Bytes are used up in the turn of the event loop in which they are read.
                for loop in node.node.group.makeIterator() { try loop.submit {}.wait() }
                node.rpcClock.advance(milliseconds: 2000)
            }
        }
        var expected = try probe["server_sends_hex"].bytes
        if Self.needSearch.contains(number) {
            #expect(try socket.receive(5) == Array(expected.prefix(5)))
            for _ in 0..<(number == 26 ? 2 : 1) {
                let text = try errorText(socket)
                #expect(text.contains(number == 29 ? "deadline exceeded" : "needs a search"), "\(text)")
            }
            return try expectOpen(socket, isInsert)
        }
        if Self.needSearchInPart.contains(number) {
            // The answer of seriesCount_v2: no error, and a number.
            expected.removeLast(16)
            #expect(try socket.receive(expected.count) == expected)
            #expect(try errorText(socket).contains("needs a search"))
            return try expectOpen(socket, isInsert)
        }
        if try probe["server_closes_connection"].string.hasPrefix("yes") {
            #expect(try socket.receiveAll() == expected)
            return
        }
        #expect(try socket.receive(expected.count) == expected)
        // The streams of 20 and 21 are compressed: nothing can be added to them here.
        if !(20...21).contains(number) { try expectOpen(socket, isInsert) }
    }

    /// The next message is answered, and by nothing else.
    private func expectOpen(_ socket: TestSocket, _ isInsert: Bool) throws {
        if isInsert {
            try socket.send([UInt8](repeating: 0, count: 8))
            socket.closeWriteSide()
            #expect(try socket.receiveAll() == [1])
        } else {
            socket.closeWriteSide()
            #expect(try socket.receiveAll() == [])
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

    // MARK: what is stored

    /// The rows of the text "stored afterwards", by canonical name. Probe 21 has none: it is the row of probe 20.
    private func storedRows(_ number: Int, _ probe: JSON) throws -> [[UInt8]: [TestSample]] {
        if number == 21 {
            return [
                canonical("p_frames", [("n", "1")]): [TestSample(timestampMs: 1_642_464_000_000, bits: 1.0.bitPattern)]
            ]
        }
        guard probe["effect"].isPresent else { return [:] }
        let effect = try probe["effect"].string
        guard effect.hasPrefix("stored afterwards: ["), let end = effect.firstRange(of: "]") else { return [:] }
        var rows: [[UInt8]: [TestSample]] = [:]
        for block in effect[..<end.lowerBound].dropFirst(20).split(separator: "; ") {
            let words = block.split(separator: " ")
            guard words.count > 4, let brace = words[2].firstIndex(of: "{") else {
                throw TestSupportError("not understood: \(block.prefix(100))")
            }
            // Labels are written as key="value", with commas between them.
            let labels = words[2][brace...].dropFirst().dropLast().split(separator: ",").map { label in
                let sides = label.split(separator: "=", maxSplits: 1)
                return (String(sides[0]), String(sides[1].dropFirst().dropLast()))
            }
            let name = canonical(String(words[2][..<brace]), labels)
            guard let count = Int(words[3].dropFirst(5)) else {
                throw TestSupportError("no count: \(block.prefix(100))")
            }
            var samples: [TestSample] = []
            for (time, bits) in zip(words.dropFirst(4), words.dropFirst(5)) where time.hasPrefix("(") {
                guard let timestamp = Int64(time.dropFirst().prefix { $0 != "," }),
                    let pattern = UInt64(bits.dropFirst(5).dropLast(), radix: 16)
                else { throw TestSupportError("not understood: \(time) \(bits)") }
                samples.append(TestSample(timestampMs: timestamp, bits: pattern))
            }
            // Long blocks were recorded with their first rows only; they are all alike.
            while samples.count < count { samples.append(samples[0]) }
            rows[name, default: []] += samples
        }
        return rows.mapValues { $0.sorted() }
    }

    /// Labels are given in canonical order.
    private func canonical(_ group: String, _ labels: [(String, String)]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 8) + Array(group.utf8) + [1]
        for (key, value) in labels {
            bytes += Array(key.utf8) + [1] + Array(value.utf8) + [1]
        }
        return bytes
    }

    // MARK: log and counters

    /// Lines in words of our own.
    static let ownWords: [Int: String] = [
        2: #"error: cannot perform vminsert handshake with client "PEER": cannot read hello: i/o timeout"#,
        3: #"error: cannot perform vmselect handshake with client "PEER": cannot read hello: i/o timeout"#,
        4: #"error: cannot perform vminsert handshake with client "PEER": cannot read isCompressed flag: i/o timeout"#,
        11: "error: cannot process vminsert conn from PEER: cannot read packet size: unexpected EOF; read only 4 bytes",
        13: "error: cannot unmarshal MetricRow from clusternative block with size 123 (remaining 39 bytes): "
            + "the bytes end inside a value",
        14: "error: cannot unmarshal MetricRow from clusternative block with size 360048 (remaining 5 bytes): "
            + "the bytes end inside a value",
        15: "warn: cannot unmarshal a raw metric name of 24 bytes: the bytes end inside a value",
        16: "warn: cannot unmarshal a raw metric name of 5 bytes: the bytes end inside a value",
        18:
            "warn: cannot insert row with too small timestamp -5 outside the retention; minimum allowed timestamp is 0; "
            + "probably you need updating -retentionPeriod command-line flag; "
            + "metricName: AccountID=0, ProjectID=0, p_range{}",
        22: "error: cannot process vminsert conn from PEER: cannot decompress data: Unknown frame descriptor",
        27: selectError + #"cannot read the arguments of "seriesCount_v2": i/o timeout"#,
        30: selectError + "cannot unmarshal SearchQuery: a field has an unknown value",
        31: selectError + "cannot unmarshal SearchQuery: bytes are left behind the last value",
        48: selectError + #"cannot read the arguments of "seriesCount_v2": unexpected EOF"#,
        50: selectError + #"cannot read the arguments of "seriesCount_v2": unexpected EOF"#,
    ]
    private static let selectError = "error: cannot process vmselect conn PEER: cannot process vmselect request: "

    /// A line of the same level with the same text behind the peer's address where the reference has one, and none where it
    /// has none.
    private func checkLog(_ number: Int, _ probe: JSON, _ node: TestNode) throws {
        let bad = node.lines.withLock { $0.filter { $0.hasPrefix("error: ") || $0.hasPrefix("warn: ") } }
        let recorded = probe["server_log_lines"].isPresent ? try probe["server_log_lines"].string : ""
        guard !recorded.isEmpty else {
            #expect(bad == [])
            return
        }
        #expect(bad.map(withoutPeer) == [Self.ownWords[number] ?? withoutPeer(recorded)])
        #expect(bad.first?.prefix { $0 != ":" } == recorded.prefix { $0 != ":" })
    }

    /// A line without the address of the client, and without what the reference says of its socket and its clock.
    private func withoutPeer(_ line: String) -> String {
        line.replacing(#/CLIENT_ADDR|127\.0\.0\.1:[0-9]+/#, with: "PEER")
            .replacing(#/read tcp4 SERVER_ADDR->PEER: /#, with: "")
            .replacing(#/cannot read data in [0-9.]+ seconds: /#, with: "")
    }

    private func checkCounters(_ number: Int, _ node: TestNode) throws {
        let metrics = node.node.storage.engine.metrics
        #expect(metrics.rowsNaN == (number == 17 ? 1 : 0))
        #expect(metrics.rowsTooOld == (number == 18 ? 1 : 0))
        #expect(metrics.rowsTooNew == (number == 18 ? 1 : 0))
        // 36 is a request to register one, which gets an error text.
        #expect(metrics.rowsInvalidName == ([15, 16].contains(number) ? 1 : 0))
        func count(_ series: String) -> Double { node.node.rpc.metrics.first { $0.series == series }?.value ?? -1 }
        #expect(count("vm_rpc_handshake_errors_total") == ((0...5).contains(number) ? 1 : 0))
        let type = "{type=\"clusternative\"}"
        #expect(count("vm_protoparser_parse_errors_total" + type) == ([9, 13, 14].contains(number) ? 1 : 0))
        #expect(count("vm_protoparser_read_errors_total" + type) == ([10, 11, 22].contains(number) ? 1 : 0))
        #expect(count("vm_vminsert_conn_errors_total") == ([9, 10, 11, 22].contains(number) ? 1 : 0))
        let selectErrors: Set<Int> = [23, 24, 25, 27, 30, 31, 32, 33, 34, 35, 48, 50]
        #expect(count("vm_vmselect_conn_errors_total") == (selectErrors.contains(number) ? 1 : 0))
        #expect(count("vm_rpc_memory_bytes") == 0)
    }
}
