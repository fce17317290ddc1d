// AdminHTTPTests.swift - routes without sockets, and the port: forms, gzip, bodies that are too long, the stop.

import Glibc
import NIOPosix
import NodeSupport
import StorageRuntime
import Synchronization
import TestSupport
import Testing

@testable import AdminHTTP

private final class FakeNode: AdminBackend {
    let names = Protected<[String]>([])
    let pages = Atomic<Int>(0)
    let fails = Atomic<Bool>(false)
    let blocks = Atomic<Bool>(false)
    let flushes = Atomic<Int>(0)
    let merges = Protected<[String]>([])

    private func check() throws(StorageError) {
        if fails.load(ordering: .relaxed) { throw StorageError(.noSpace, "the disk is \"full\"") }
    }

    func createSnapshot() throws(StorageError) -> String {
        try check()
        return names.withLock { names in
            names.append("20220118123456-0000000\(names.count)")
            return names[names.count - 1]
        }
    }

    func listSnapshots() throws(StorageError) -> [String] {
        try check()
        return names.withLock { $0 }
    }

    func deleteSnapshot(_ name: String) throws(StorageError) {
        try check()
        names.withLock { $0.removeAll { $0 == name } }
    }

    func forceFlush() throws(StorageError) {
        flushes.wrappingAdd(1, ordering: .relaxed)
        while blocks.load(ordering: .relaxed) { usleep(1000) }
        try check()
    }

    func startForcedMerge(prefix: String) { merges.withLock { $0.append(prefix) } }

    func metricsPage() -> String { "page \(pages.wrappingAdd(1, ordering: .relaxed).newValue)\n" }

    func flagsPage() -> String { "-a=\"b\"\n" }
}

@Suite struct AdminRoutesTests {
    private func answer(_ routes: AdminRoutes, _ uri: String, method: String = "GET", form: String = "") -> String {
        let response = routes.answer(
            AdminRequest(method: method, uri: uri, form: form, remoteAddress: "1.2.3.4:5"))
        return "\(response.status) " + String(decoding: response.body, as: UTF8.self)
    }

    @Test func keysAreCheckedBeforeAnythingIsDone() {
        let node = FakeNode()
        var options = AdminOptions()
        options.snapshotAuthKey = "s"
        options.forceFlushAuthKey = "f"
        options.forceMergeAuthKey = "m"
        let routes = AdminRoutes(options: options, backend: node, log: .silent)
        for uri in [
            "/snapshot/create", "/snapshot/create?authKey=", "/snapshot/create?authKey=S",
            "/snapshot/delete_all?authKey=ss",
            "/snapshot?authKey=f", "/internal/force_flush?authKey=s", "/internal/force_merge?authKey=f",
        ] {
            let text = answer(routes, uri)
            #expect(text.hasPrefix("400 remoteAddr: \"1.2.3.4:5\"; requestURI: \(uri); invalid authKey"), "\(text)")
        }
        #expect(node.names.withLock { $0 } == [])
        #expect(node.flushes.load(ordering: .relaxed) == 0)
        #expect(node.merges.withLock { $0 } == [])
        #expect(answer(routes, "/snapshot/create?authKey=s").hasPrefix("200 {\"status\":\"ok\",\"snapshot\":\"2022"))
        #expect(answer(routes, "/internal/force_merge?authKey=m&partition_prefix=2022%5F01") == "200 ")
        #expect(node.merges.withLock { $0 } == ["2022_01"])
    }

    @Test func failuresOfTheStorage() {
        let node = FakeNode()
        node.fails.store(true, ordering: .relaxed)
        let routes = AdminRoutes(options: AdminOptions(), backend: node, log: .silent)
        #expect(
            answer(routes, "/snapshot/create")
                == #"500 {"status":"error","msg":"cannot create snapshot: the disk is \"full\""}"#)
        #expect(
            answer(routes, "/snapshot/list").hasPrefix("500 {\"status\":\"error\",\"msg\":\"cannot list snapshots: "))
        #expect(answer(routes, "/internal/force_flush").hasPrefix("500 "))
        for name in [
            "", "x", "..%2Ffoo", "20220118123456-", "20220118123456-g", "2022011812345-00", "20220118123456-00%0A",
        ] {
            #expect(answer(routes, "/snapshot/delete?snapshot=\(name)").contains("invalid snapshotName"), "\(name)")
        }
    }

    @Test func thePageIsMadeOnceASecond() {
        let clock = VirtualClock(unixMilliseconds: 1)
        let routes = AdminRoutes(options: AdminOptions(), backend: FakeNode(), log: .silent, clock: clock)
        #expect(answer(routes, "/metrics") == "200 page 1\n")
        clock.advance(milliseconds: 999)
        #expect(answer(routes, "/metrics") == "200 page 1\n")
        clock.advance(milliseconds: 1)
        #expect(answer(routes, "/metrics") == "200 page 2\n")
    }

    @Test func healthDuringTheStop() {
        let clock = VirtualClock(unixMilliseconds: 0)
        let routes = AdminRoutes(options: AdminOptions(), backend: FakeNode(), log: .silent, clock: clock)
        #expect(answer(routes, "/health") == "200 OK")
        routes.announceStop(atMonotonicNanoseconds: 1_234_000_000)
        #expect(
            answer(routes, "/health") == "503 The server is in delayed shutdown mode, which will end in 1.234s\n")
    }

    @Test func oddPaths() {
        let routes = AdminRoutes(options: AdminOptions(), backend: FakeNode(), log: .silent)
        for uri in ["", "//", "/%", "/%zz", "/\u{1}", "/metrics/", "*", "/snapshotx", "?authKey"] {
            let text = answer(routes, uri, method: "POST")
            #expect(text.hasPrefix("400 "), "\(uri): \(text)")
        }
    }
}

@Suite struct AdminServerConcurrentTests {
    private func open(_ node: FakeNode, stopMs: Int64 = 7000) throws -> (AdminServer, MultiThreadedEventLoopGroup) {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var options = AdminOptions()
        options.address = "127.0.0.1:0"
        options.shutdownNanosecondsMax = stopMs * 1_000_000
        return (try AdminServer(options: options, backend: node, group: group, log: .silent), group)
    }

    @Test func requestsOfOneConnection() throws {
        let (server, group) = try open(FakeNode())
        let socket = try TestSocket(port: server.port)
        // Two at once; the answers come in order.
        try socket.send(
            Array(
                "GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".utf8
            ))
        let text = String(decoding: try socket.receiveAll(), as: UTF8.self)
        let first = try #require(text.firstRange(of: "HTTP/1.1 200 OK"))
        let second = try #require(text.firstRange(of: "HTTP/1.1 204 No Content"))
        #expect(first.lowerBound < second.lowerBound)
        #expect(server.stop())
        try group.syncShutdownGracefully()
    }

    @Test func badInputEndsTheConnectionOnly() throws {
        let (server, group) = try open(FakeNode())
        for input in ["\u{0}\u{1}garbage\r\n\r\n", "GET\r\n\r\n", String(repeating: "A", count: 200_000)] {
            let socket = try TestSocket(port: server.port)
            try? socket.send(Array(input.utf8))
            socket.closeWriteSide()
            _ = try socket.receiveAll()
        }
        let long = try TestSocket(port: server.port)
        try? long.send(
            Array("POST /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2000000\r\n\r\n".utf8))
        try? long.send([UInt8](repeating: 65, count: 2_000_000))
        #expect(String(decoding: try long.receiveAll(), as: UTF8.self).hasPrefix("HTTP/1.1 413 "))
        let good = try TestSocket(port: server.port)
        try good.send(Array("GET /health HTTP/1.0\r\n\r\n".utf8))
        #expect(String(decoding: try good.receiveAll(), as: UTF8.self).hasSuffix("\r\n\r\nOK"))
        #expect(server.stop())
        try group.syncShutdownGracefully()
    }

    @Test func theStopWaitsForRunningRequestsAsLongAsAllowed() throws {
        let node = FakeNode()
        node.blocks.store(true, ordering: .relaxed)
        let (server, group) = try open(node, stopMs: 100)
        let socket = try TestSocket(port: server.port)
        try socket.send(Array("GET /internal/force_flush HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
        try Eventually.holds("the request is running") { node.flushes.load(ordering: .relaxed) == 1 }
        let idle = try TestSocket(port: server.port)
        #expect(!server.stop())
        #expect(try idle.receiveAll() == [])
        node.blocks.store(false, ordering: .relaxed)
        #expect(String(decoding: try socket.receiveAll(), as: UTF8.self).hasPrefix("HTTP/1.1 200 OK"))
        #expect(server.stop())
        try group.syncShutdownGracefully()
    }
}
