// RPCServerConcurrentTests.swift - the ports under good and bad clients.

import ClusterWire
import Glibc
import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import ClusterRPC

@Suite(.serialized) struct RPCServerConcurrentTests {
    @Test(arguments: TestSeeds.thisRun) func everyAcknowledgedRowArrivesFromManyConnections(seed: UInt64) throws {
        let server = try TestServer()
        let failures = Protected<[String]>([])
        let threads = (0..<6).map { number in
            Thread.start("client") {
                do {
                    var random = SplitMix64(seed: Seeds.derive(seed, "client", number))
                    let compressed = number % 2 == 0
                    let socket = try server.insert(compressed: compressed)
                    var encoder = StreamEncoder(isCompressed: compressed)
                    var sent = 0
                    for _ in 0..<8 {
                        let rows = random.below(3) == 0 ? random.below(15_000) : random.below(30)
                        let bytes = TestServer.packet(number * 1_000_000 + sent, rows: rows, through: &encoder)
                        sent += rows
                        var place = 0
                        while place < bytes.count {
                            let end = min(bytes.count, place + 1 + random.below(90_000))
                            try socket.send(Array(bytes[place..<end]))
                            place = end
                        }
                        guard try socket.receive(1) == [1] else { throw TestSupportError("no answer") }
                    }
                    socket.close()
                    let count = sent
                    failures.withLock { $0.append("sent \(number) \(count)") }
                } catch { failures.withLock { $0.append("\(error)") } }
            }
        }
        for thread in threads { thread.join() }
        // Stopping stores what was acknowledged.
        try server.stop()
        var expected: [Double] = []
        for line in failures.withLock({ $0 }) {
            let words = line.split(separator: " ")
            guard words.count == 3, words[0] == "sent", let number = Int(words[1]), let count = Int(words[2]) else {
                Issue.record("\(line)")
                continue
            }
            expected += (0..<count).map { Double(number * 1_000_000 + $0) }
        }
        #expect(server.storage.values.withLock { $0.sorted() } == expected.sorted())
        #expect(server.metric("vm_rpc_memory_bytes") == 0)
    }

    @Test func acknowledgedPacketsAreStoredWhenTheConnectionAndTheServerEnd() throws {
        let server = try TestServer(workers: 1)
        server.storage.isHeld.store(true, ordering: .relaxed)
        // One packet is being added, one has a place in the queue, one stands in line: all are acknowledged.
        let sockets = try (0..<3).map { number in
            let socket = try server.insert()
            try socket.send(TestServer.packet(number * 10, rows: 10))
            #expect(try socket.receive(1) == [1])
            return socket
        }
        for socket in sockets { socket.reset() }
        let stopper = Thread.start("stop") { try? server.stop() }
        server.storage.isHeld.store(false, ordering: .relaxed)
        stopper.join()
        #expect(server.storage.values.withLock { $0.sorted() } == (0..<30).map(Double.init))
    }

    @Test func aFullQueueHoldsTheNextAnswersBack() throws {
        let server = try TestServer(workers: 1)
        server.storage.isHeld.store(true, ordering: .relaxed)
        let socket = try server.insert()
        // In the storage, in the queue, in line: three answers; the fourth packet is not even read.
        for number in 0..<5 { try socket.send(TestServer.packet(number, rows: 1)) }
        #expect(try socket.receive(3) == [1, 1, 1])
        try Eventually.holds("three packets were read") {
            server.metric("vm_protoparser_blocks_read_total{type=\"clusternative\"}") == 3
        }
        server.storage.isHeld.store(false, ordering: .relaxed)
        #expect(try socket.receive(2) == [1, 1])
        try server.stop()
        #expect(server.storage.values.withLock { $0.sorted() } == [0, 1, 2, 3, 4])
    }

    @Test func whatWasAcknowledgedAndRefusedIsCountedByReason() throws {
        let server = try TestServer()
        server.storage.failure.withLock { $0 = StorageError(.overloaded, "too many") }
        let socket = try server.insert()
        try socket.send(TestServer.packet(0, rows: 7))
        #expect(try socket.receive(1) == [1])
        try Eventually.holds("seven rows are lost") {
            server.metric("vm_rpc_acknowledged_rows_lost_total{reason=\"overloaded\"}") == 7
        }
        #expect(server.metric("vm_protoparser_process_errors_total{type=\"clusternative\"}") == 1)
        #expect(server.lines.withLock { $0.contains { $0.contains("7 acknowledged rows were refused") } })
        try server.stop()
    }

    // MARK: bad clients

    @Test(arguments: TestSeeds.thisRun) func randomBytesEndTheirConnectionsOnly(seed: UInt64) throws {
        let server = try TestServer()
        var random = SplitMix64(seed: seed)
        for round in 0..<60 {
            let port = round % 2 == 0 ? server.server.insertPort : server.server.selectPort
            let socket = try TestSocket(port: port)
            let hello = round % 2 == 0 ? WirePort.vminsert.hello : WirePort.vmselect.hello
            // Half of them behind a good handshake, some compressed.
            if round % 4 >= 2 { try? socket.send(hello + [UInt8(random.below(2))] + Array("ok".utf8)) }
            try? socket.send((0..<random.below(3000)).map { _ in UInt8(random.below(256)) })
            socket.closeWriteSide()
            _ = try socket.receiveAll()
        }
        let good = try server.insert()
        try good.send(TestServer.packet(0, rows: 3))
        #expect(try good.receive(1) == [1])
        try Eventually.holds("all others are gone") { server.metric("vm_vminsert_conns") == 1 }
        try server.stop()
        #expect(server.metric("vm_vminsert_conns") == 0)
        #expect(server.metric("vm_rpc_memory_bytes") == 0)
        #expect(server.storage.values.withLock { $0.suffix(3) } == [0, 1, 2])
    }

    @Test func whenMemoryIsShortOneAfterTheOtherGetsThrough() throws {
        // The pool has 32 MiB; six packets of 20 MiB are begun at once and none fits beside another.
        let server = try TestServer(memoryBytesMax: 1)
        let packet = TestServer.packet(0, rows: 20_000, nameBytes: 1000)
        #expect(packet.count > 20_000_000)
        let failures = Protected<[String]>([])
        let threads = (0..<6).map { _ in
            Thread.start("client") {
                do {
                    let socket = try server.insert()
                    for piece in 0..<20 {
                        try socket.send(Array(packet[piece * packet.count / 20..<(piece + 1) * packet.count / 20]))
                    }
                    guard try socket.receive(1) == [1] else { throw TestSupportError("no answer") }
                } catch { failures.withLock { $0.append("\(error)") } }
            }
        }
        for thread in threads { thread.join() }
        try server.stop()
        #expect(failures.withLock { $0 } == [])
        #expect(server.storage.values.withLock { $0.count } == 120_000)
        #expect(server.metric("vm_rpc_memory_peak_bytes") <= server.metric("vm_rpc_memory_max_bytes"))
    }

    @Test func readOnlyIsAnsweredAndNothingIsStored() throws {
        let server = try TestServer()
        server.storage.readOnly.store(true, ordering: .relaxed)
        let socket = try server.insert()
        try socket.send(TestServer.packet(0, rows: 5))
        #expect(try socket.receive(1) == [2])
        server.storage.readOnly.store(false, ordering: .relaxed)
        try socket.send(TestServer.packet(5, rows: 5))
        #expect(try socket.receive(1) == [1])
        try server.stop()
        #expect(server.storage.values.withLock { $0 } == [5, 6, 7, 8, 9])
    }

    // MARK: vmselect

    @Test func allCallsAreReadCompletelyAndAnswered() throws {
        let server = try TestServer()
        let socket = try server.select()
        var decoder = StreamDecoder(isCompressed: true)
        var held: [UInt8] = []
        func receive(_ count: Int) throws -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: count)
            var filled = 0
            while filled < count {
                let taken = try held.withUnsafeBytes { input in
                    var cursor = ByteCursor(input)
                    try bytes.withUnsafeMutableBytes { target in
                        let room = UnsafeMutableRawBufferPointer(rebasing: target[filled...])
                        filled += try decoder.read(&cursor, into: room)
                    }
                    return input.count - cursor.remaining
                }
                held.removeFirst(taken)
                if decoder.memoryWantedBytes > 0 {
                    decoder.grantMemory()
                } else if filled < count {
                    guard let more = try socket.receiveSome(65_536) else {
                        throw TestSupportError("the server has closed")
                    }
                    held += more
                }
            }
            return bytes
        }
        var calls = Set<String>()
        for exchange in try Golden.json("rpc/vmselect_compressed.json")["exchanges"].array {
            for rpc in try exchange["rpcs"].array {
                let request = try rpc["request_hex"].bytes
                try socket.send(request)
                let name = String(decoding: request[8..<8 + Int(request[7])], as: UTF8.self)
                calls.insert(name)
                let count = try receive(8).reduce(0) { $0 << 8 | Int($1) }
                let text = String(decoding: try receive(count), as: UTF8.self)
                #expect(
                    text
                        == (name == "registerMetricNames_v1"
                            ? "" : "\(name) needs a search, and this storage node does not search yet"))
            }
        }
        #expect(calls.count == SelectCall.allCases.count)
        #expect(server.storage.names.withLock { $0.count } > 0)
        for call in SelectCall.allCases {
            #expect(server.metric("vm_vmselect_rpc_requests_total{name=\"\(call.metricName)\"}") > 0)
        }
        try server.stop()
    }
}
