// StopConcurrentTests.swift - stopping a node in the middle of things: what was acknowledged is stored, and nothing is
// waited for that has no end.

import StorageRuntime
import Synchronization
import TestSupport
import Testing

@testable import SampleStore
@testable import StorageEngine
@testable import StorageNode

@Suite(.serialized) struct StopConcurrentTests {
    private static let timestampMs: Int64 = 1_642_464_000_000

    /// Stands for a forced merge of hours: it is held in the middle of a read until the storage is being closed.
    @Test func aForcedMergeIsEndedByTheStop() throws {
        let gate = ReadGate()
        let directory = try TemporaryDirectory()
        let node = try TestNode(directory: directory, files: gate.files)
        let series = 3000
        for step in 0..<4 {
            let socket = try node.insertSocket()
            let packet = TestNode.packet(
                "m", series: series, timestampMs: Self.timestampMs + Int64(step), value: Double(step))
            try socket.send(packet)
            #expect(try socket.receive(1) == [1])
            try Eventually.holds("the rows have arrived") { node.rowsStored == UInt64((step + 1) * series) }
            try node.node.storage.engine.flush()
        }
        let engine = node.node.storage.engine
        func parts() -> UInt64 { engine.metrics.samples.map { $0.small.parts + $0.big.parts } ?? 0 }
        let before = parts()
        #expect(before >= 2)
        gate.close()
        #expect(try node.http("GET", "/internal/force_merge").status == 200)
        try Eventually.holds("the merge reads") { gate.waitingCount > 0 }
        let page = try String(decoding: node.http("GET", "/metrics").body, as: UTF8.self)
        #expect(page.contains("vm_active_force_merges 1\n"))
        let stopper = Thread.start("stop") { try? node.node.stop() }
        // The order to stop has reached the merge before its read comes back.
        try Eventually.holds("the merge is told") {
            engine.samples?.partitions.withLock { $0.listed.allSatisfy(\.mergeStop.isSet) } ?? false
        }
        gate.open()
        stopper.join()
        #expect(node.log(contains: "forced merge for partition_prefix=\"\" has ended early"))
        #expect(node.log(contains: "the storage node has been stopped"))

        let again = try TestNode(directory: directory)
        #expect(again.node.storage.engine.damagedParts == [])
        let parts = again.node.storage.engine.metrics.samples.map { $0.small.parts + $0.big.parts } ?? 0
        #expect(parts >= before)
        let stored = try again.stored()
        #expect(stored.count == series)
        let expected = (0..<4).map {
            TestSample(timestampMs: Self.timestampMs + Int64($0), bits: Double($0).bitPattern)
        }
        #expect(stored.values.allSatisfy { $0 == expected })
        try again.node.stop()
    }

    @Test func fiftySendersLoseNothingThatWasAcknowledged() throws {
        let directory = try TemporaryDirectory()
        let node = try TestNode(directory: directory)
        let started = Atomic<Int>(0)
        let answered = Protected([Int](repeating: 0, count: 50))
        let sent = Protected([Int](repeating: 0, count: 50))
        let threads = (0..<50).map { number in
            Thread.start("sender-\(number)") {
                guard let socket = try? node.insertSocket() else { return }
                for step in 0... {
                    let packet = TestNode.packet(
                        "s\(number)", series: 20, timestampMs: Self.timestampMs + Int64(step), value: Double(step))
                    sent.withLock { $0[number] += 1 }
                    guard (try? socket.send(packet)) != nil, (try? socket.receive(1)) == [1] else { return }
                    answered.withLock { $0[number] += 1 }
                    if step == 0 { started.wrappingAdd(1, ordering: .relaxed) }
                }
            }
        }
        try Eventually.holds("all send") { started.load(ordering: .relaxed) == 50 }
        try node.node.stop()
        for thread in threads { thread.join() }
        #expect(node.log(contains: "the storage node has been stopped"))

        let again = try TestNode(directory: directory)
        let stored = try again.stored()
        #expect(stored.count == 1000)
        let (counts, most) = (answered.withLock { $0 }, sent.withLock { $0 })
        for number in 0..<50 {
            for series in 0..<20 {
                let text = "s\(number)\u{1}n\u{1}\(series)\u{1}"
                let samples = stored[[UInt8](repeating: 0, count: 8) + Array(text.utf8)] ?? []
                // The packet whose answer was cut off may be there or not.
                #expect(samples.count >= counts[number] && samples.count <= most[number], "\(text)")
                #expect(
                    samples
                        == (0..<samples.count).map {
                            TestSample(timestampMs: Self.timestampMs + Int64($0), bits: Double($0).bitPattern)
                        }, "\(text)")
            }
        }
        try again.node.stop()
    }

    /// Every answer that was begun is complete. Each client keeps its connection, so none can meet another test's node.
    @Test func requestsThatRunAreAnsweredBeforeTheStop() throws {
        let node = try TestNode()
        let insert = try node.insertSocket()
        try insert.send(TestNode.packet("m", series: 10, timestampMs: Self.timestampMs, value: 1))
        #expect(try insert.receive(1) == [1])
        let answered = Atomic<Int>(0)
        let broken = Protected<[String]>([])
        let request = Array("GET /snapshot/create HTTP/1.1\r\nHost: test\r\n\r\n".utf8)
        let threads = (0..<4).map { _ in
            Thread.start("snapshots") {
                guard let socket = try? TestSocket(port: node.node.admin?.port ?? 0) else { return }
                while (try? socket.send(request)) != nil {
                    var text = ""
                    while !text.hasSuffix("}"), let more = (try? socket.receiveSome(4096)) ?? nil {
                        text += String(decoding: more, as: UTF8.self)
                    }
                    if text.isEmpty { return }
                    guard text.hasPrefix("HTTP/1.1 200 OK\r\n"), text.hasSuffix("}") else {
                        return broken.withLock { $0.append(text) }
                    }
                    answered.wrappingAdd(1, ordering: .relaxed)
                }
            }
        }
        try Eventually.holds("snapshots are made") { answered.load(ordering: .relaxed) > 8 }
        try node.node.stop()
        for thread in threads { thread.join() }
        #expect(broken.withLock { $0 } == [])
    }
}
