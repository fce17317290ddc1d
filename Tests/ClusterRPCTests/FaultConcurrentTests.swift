// FaultConcurrentTests.swift - what bad clients get: bounded memory, a counter and a few log lines for each cause, while
// others are served.
//
// The clock of the log stands still, so a cause has exactly the lines of one second. What the server does every second is
// done by the tests where it matters.

import ClusterWire
import Glibc
import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import ClusterRPC

@Suite(.serialized) struct FaultConcurrentTests {
    private static let linesPerSecond = 5

    /// A packet goes through, with values that no other has.
    private func expectService(_ server: TestServer) throws {
        let good = try server.insert()
        try good.send(TestServer.packet(1_000_000, rows: 2))
        #expect(try good.receive(1) == [1])
        good.close()
        try Eventually.holds("the rows are stored") {
            server.storage.values.withLock { $0.contains(1_000_000) && $0.contains(1_000_001) }
        }
    }

    private func sizeField(_ bytes: Int) -> [UInt8] { withUnsafeBytes(of: UInt64(bytes).bigEndian) { Array($0) } }

    // MARK: handshakes and sizes

    @Test func aThousandConnectionsWithoutAHandshakeGoAfterASecond() throws {
        let server = try TestServer()
        let sockets = try (0..<1000).map { _ in try TestSocket(port: server.server.insertPort) }
        for socket in sockets { #expect(try socket.receiveAll() == []) }
        try Eventually.holds("all are counted") { server.metric("vm_rpc_handshake_errors_total") == 1000 }
        #expect(server.lines(with: "cannot perform vminsert handshake").count == Self.linesPerSecond)
        #expect(server.lines(with: "accepted vminsert conn").count == Self.linesPerSecond)
        #expect(server.metric("vm_rpc_memory_peak_bytes") < 1 << 20)
        try expectService(server)
        // The next line says how many were left out.
        server.logClock.advance(milliseconds: 1000)
        let late = try TestSocket(port: server.server.selectPort)
        try late.send(WirePort.vminsert.hello)
        #expect(try late.receiveAll() == [])
        try Eventually.holds("a line about it") {
            server.lines(with: "cannot perform vmselect handshake").count == 1
        }
        #expect(server.lines(with: "(995 similar lines were left out)").isEmpty == false)
        try server.stop()
        #expect(server.metric("vm_vminsert_conns") == 0)
    }

    @Test func oversizedPacketsEndTheirConnections() throws {
        let server = try TestServer()
        for _ in 0..<40 {
            let socket = try server.insert()
            try socket.send(sizeField(WireLimits.packetBytesMax + 1) + [1, 2, 3])
            #expect(try socket.receiveAll() == [])
        }
        try expectService(server)
        #expect(server.metric("vm_protoparser_parse_errors_total{type=\"clusternative\"}") == 40)
        #expect(server.metric("vm_vminsert_conn_errors_total") == 40)
        #expect(server.lines(with: "too big packet size").count == Self.linesPerSecond)
        #expect(server.metric("vm_rpc_memory_peak_bytes") < 1 << 20)
        try server.stop()
    }

    // MARK: compressed streams

    @Test func aBombIsUnpackedWithinTheBudget() throws {
        let server = try TestServer(memoryBytesMax: 150 << 20)
        var encoder = StreamEncoder(isCompressed: true)
        var bomb = RawBuffer()
        // No length of a name begins like this, so every packet is refused at its first row.
        let filler = [UInt8](repeating: 0xFF, count: 1 << 20)
        sizeField(100 << 20).withUnsafeBytes { encoder.append($0, to: &bomb) }
        for _ in 0..<100 { filler.withUnsafeBytes { encoder.append($0, to: &bomb) } }
        encoder.flush(to: &bomb)
        #expect(bomb.count < 1 << 20)
        let sockets = try (0..<4).map { _ in try server.insert(compressed: true) }
        for socket in sockets { try socket.send(bomb.array()) }
        for socket in sockets { #expect(try socket.receive(1) == [1]) }
        try server.stop()
        #expect(server.metric("vm_protoparser_parse_errors_total{type=\"clusternative\"}") == 4)
        #expect(server.metric("vm_rpc_acknowledged_packets_lost_total{reason=\"broken_framing\"}") == 4)
        #expect(server.metric("vm_rpc_memory_max_bytes") == 150 << 20)
        #expect(server.metric("vm_rpc_memory_peak_bytes") <= 150 << 20)
        #expect(server.metric("vm_rpc_memory_bytes") == 0)
    }

    @Test func aBombOfARequestIsGivenUpAtItsLimit() throws {
        let server = try TestServer()
        let socket = try TestSocket(port: server.server.selectPort)
        try socket.send(WirePort.vmselect.hello + [1] + Array("ok".utf8))
        #expect(try socket.receive(5) == Array("okok".utf8) + [1])
        var encoder = StreamEncoder(isCompressed: true)
        var bomb = RawBuffer()
        // Names without end, each as long as it may be.
        let name = [UInt8](repeating: 65, count: WireLimits.registeredNameBytesMax)
        var request = sizeField(22) + Array("registerMetricNames_v1".utf8) + [0, 0, 0, 60] + sizeField(1000)
        for _ in 0..<100 {
            request += sizeField(name.count) + name + sizeField(0)
            request.withUnsafeBytes { encoder.append($0, to: &bomb) }
            request = []
        }
        encoder.flush(to: &bomb)
        try? socket.send(bomb.array())
        #expect(try socket.receiveAll() == [])
        #expect(server.lines(with: "too big request").count == 1)
        #expect(server.metric("vm_vmselect_conn_errors_total") == 1)
        // The list of names is counted with the bytes.
        #expect(server.metric("vm_rpc_memory_peak_bytes") < 5 * WireLimits.requestBytesMax)
        try expectService(server)
        try server.stop()
        #expect(server.metric("vm_rpc_memory_bytes") == 0)
    }

    @Test func windowsAreGrantedWithinTheBudgetAndThoseThatWaitAreToldOf() throws {
        // The pool has 32 MiB, half of it for windows: three of 4.5 MiB fit.
        let server = try TestServer(memoryBytesMax: 1, workers: 1)
        let name = [UInt8](repeating: 65, count: 20)
        func packet(through encoder: inout StreamEncoder) -> [UInt8] {
            TestServer.packet(1, rows: 1, nameBytes: name.count, through: &encoder)
        }
        var sockets: [TestSocket] = []
        for _ in 0..<4 {
            let socket = try server.insert(compressed: true)
            var encoder = StreamEncoder(isCompressed: true, windowLog: 22)
            try socket.send(packet(through: &encoder))
            sockets.append(socket)
            if sockets.count < 4 { #expect(try socket.receive(1) == [1]) }
        }
        try Eventually.holds("one waits") { server.metric("vm_rpc_memory_waiting") == 1 }
        #expect(server.lines(with: "for its compressed stream").count == 1)
        try expectService(server)
        // When a stream ends the next one has its place.
        sockets[1].close()
        #expect(try sockets[3].receive(1) == [1])
        // A window above the limit is not made at all.
        let large = try server.insert(compressed: true)
        try large.send([0x28, 0xB5, 0x2F, 0xFD, 0, 0x70])  // 16 MiB
        #expect(try large.receiveAll() == [])
        #expect(server.lines(with: "the window of 16777216 bytes exceeds 8388608 bytes").count == 1)
        #expect(server.metric("vm_protoparser_read_errors_total{type=\"clusternative\"}") == 1)
        try server.stop()
        #expect(server.metric("vm_rpc_memory_bytes") == 0)
    }

    // MARK: slow ones

    @Test func sendersThatAnnounceMuchAndSendNothingHoldNothing() throws {
        let server = try TestServer(memoryBytesMax: 150 << 20)
        let idle = try (0..<50).map { number in
            // Half of them say that they compress.
            let socket = try server.insert(compressed: number % 2 == 0)
            try socket.send(number % 2 == 0 ? [0x28] : sizeField(100 << 20) + [1])
            return socket
        }
        let good = try server.insert()
        for number in 0..<5 {
            try good.send(TestServer.packet(number, rows: 20_000, nameBytes: 100))
            #expect(try good.receive(1) == [1])
        }
        #expect(server.metric("vm_rpc_memory_peak_bytes") < 32 << 20)
        withExtendedLifetime(idle) {}
        try server.stop()
        #expect(server.metric("vm_rpc_memory_bytes") == 0)
    }

    @Test func sendersThatKeepMemoryOthersWaitForAreClosed() throws {
        // The pool has 32 MiB: one packet fits, one goes on at the expense of the overdraft, the third waits.
        let server = try TestServer(memoryBytesMax: 1, hasTimer: false)
        let packet = TestServer.packet(0, rows: 30_000, nameBytes: 1000)
        #expect(packet.count > 30_000_000 && packet.count < 32 << 20)
        func begin(_ count: Int) throws -> TestSocket {
            let socket = try server.insert()
            try socket.send(Array(packet[..<count]))
            return socket
        }
        func used() -> Int { server.server.shared.budget.figures.used }
        let silent = try begin(packet.count - 100)
        try Eventually.holds("its packet is there") { used() >= packet.count - 100 }
        let silentBytes = used()
        let steady = try begin(10 << 20)
        try Eventually.holds("the overdraft is in use") { used() >= silentBytes + (10 << 20) }
        let third = Thread.start("third") { [packet] in
            do {
                let socket = try server.insert()
                try socket.send(packet)
                let answer = try socket.receive(1)
                server.lines.withLock { $0.append("third: \(answer)") }
            } catch { server.lines.withLock { $0.append("third: \(error)") } }
        }
        try Eventually.holds("the third waits") { server.metric("vm_rpc_memory_waiting") > 0 }
        // Nobody is closed before the time is over, and nobody who goes on.
        try server.passSeconds(8)
        #expect(server.metric("vm_rpc_slow_connections_closed_total") == 0)
        try steady.send(Array(packet[10 << 20..<12 << 20]))
        try Eventually.holds("the steady one has sent more") { used() >= silentBytes + (12 << 20) }
        try server.passSeconds(4)
        #expect(try silent.receiveAll() == [])
        #expect(server.metric("vm_rpc_slow_connections_closed_total") == 1)
        #expect(server.lines(with: "while others wait for memory").count == 1)
        // The steady one ends its packet; the third one gets what the others have given back.
        try steady.send(Array(packet[(12 << 20)...]))
        #expect(try steady.receive(1) == [1])
        third.join()
        #expect(server.lines(with: "third:") == ["third: [1]"])
        try server.stop()
        #expect(server.storage.values.withLock { $0.count } == 60_000)
        #expect(server.metric("vm_rpc_memory_bytes") == 0)
    }

    @Test func aClientThatReadsNoResponsesIsNotReadFrom() throws {
        let server = try TestServer(compressesResponses: false)
        let socket = try server.select(receiveBufferBytes: 4096)
        let request = sizeField(14) + Array("seriesCount_v2".utf8) + [0, 0, 0, 60] + sizeField(0)
        let text = "seriesCount_v2 needs a search, and this storage node does not search yet"
        let response = sizeField(text.utf8.count) + Array(text.utf8)
        // 4.8 MB of responses: more than the kernel keeps for a connection whose client takes nothing.
        let count = 60_000
        let sender = Thread.start("sender") {
            try? socket.send(Array(repeatElement(request, count: count).joined()))
        }
        try expectService(server)
        func answered() -> Int { server.metric("vm_vmselect_rpc_requests_total{name=\"series_count\"}") }
        var last = -1
        var looks = 0
        try Eventually.holds("the answers have stopped, or are complete", seconds: 300) {
            let now = answered()
            looks = now == last && now > 0 ? looks + 1 : 0
            last = now
            return looks == 300 || now == count
        }
        #expect(answered() < count, "all were answered")
        #expect(server.metric("vm_rpc_memory_peak_bytes") < 1 << 20)
        // All are answered once they are read.
        #expect(try socket.receive(count * response.count) == Array(repeatElement(response, count: count).joined()))
        sender.join()
        #expect(answered() == count)
        socket.closeWriteSide()
        #expect(try socket.receiveAll() == [])
        try server.stop()
    }

    @Test func resetsInTheMiddleGiveEverythingBack() throws {
        let server = try TestServer()
        let packet = TestServer.packet(0, rows: 2000, nameBytes: 500)
        for number in 0..<60 {
            let isCompressed = number % 3 == 0
            let socket = try server.insert(compressed: isCompressed)
            var encoder = StreamEncoder(isCompressed: true)
            let bytes =
                isCompressed ? TestServer.packet(0, rows: 2000, nameBytes: 500, through: &encoder) : packet
            try socket.send(Array(bytes[..<(bytes.count * (number + 1) / 61)]))
            if number % 2 == 0 { socket.reset() } else { socket.closeWriteSide() }
        }
        try expectService(server)
        try Eventually.holds("all are gone") { server.metric("vm_vminsert_conns") == 0 }
        try Eventually.holds("nothing is held") { server.metric("vm_rpc_memory_bytes") == 0 }
        #expect(server.metric("vm_protoparser_blocks_read_total{type=\"clusternative\"}") == 1)
        // And an idle server gives the chunks back, too.
        try server.passSeconds(3)
        #expect(server.server.shared.chunks.freeBytes == 0)
        try server.stop()
    }
}
