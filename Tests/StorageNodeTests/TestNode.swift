// TestNode.swift - a node in this process, on ports of its own choice, in a directory of its own.

import NodeSupport
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport

@testable import StorageNode

final class TestNode: @unchecked Sendable {
    let directory: TemporaryDirectory
    let node: Node
    let lines = Protected<[String]>([])
    /// The clock of the deadlines of requests: it moves only when a test moves it.
    let rpcClock = VirtualClock(unixMilliseconds: 1_642_464_000_000)

    /// A node with further flags. All samples of the golden data are of 2022, so retention is long.
    init(
        _ flags: [String] = [], directory: TemporaryDirectory? = nil, files: any FileSystem = RealFileSystem()
    ) throws {
        let directory = try directory ?? TemporaryDirectory()
        let arguments = [
            "-storageDataPath=\(directory.path)/data", "-retentionPeriod=100y", "-vminsertAddr=127.0.0.1:0",
            "-vmselectAddr=127.0.0.1:0", "-httpListenAddr=127.0.0.1:0", "-memory.allowedBytes=256MB",
        ]
        guard case .values(let values) = FlagParser.parse(arguments + flags, environment: { _ in nil }) else {
            throw TestSupportError("the flags are wrong: \(flags)")
        }
        var options = try NodeOptions(values, environment: { _ in nil })
        options.rpc.clock = rpcClock
        let lines = lines
        let writer = LogWriter(try LogSettings(values), version: "test")
        let log = NodeLog { level, _, text in lines.withLock { $0.append("\(level.name): \(text)") } }
        self.directory = directory
        node = try Node(options, flags: values, log: log, writer: writer, files: files)
    }

    var insertPort: Int { node.rpc.insertPort }
    var selectPort: Int { node.rpc.selectPort }

    /// Rows that have arrived in the sample table.
    var rowsStored: UInt64 { node.storage.engine.metrics.samples?.rowsAdded ?? 0 }

    func log(contains text: String) -> Bool { lines.withLock { $0.contains { $0.contains(text) } } }

    /// One request on a connection of its own: status, headers (names in lower case), body.
    func http(
        _ method: String, _ target: String, headers: [String: String] = [:], body: String = ""
    ) throws -> (status: Int, headers: [String: String], body: [UInt8]) {
        let socket = try TestSocket(port: node.admin?.port ?? 0)
        var request = "\(method) \(target) HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
        for (name, value) in headers { request += "\(name): \(value)\r\n" }
        if !body.isEmpty {
            request += "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: \(body.utf8.count)\r\n"
        }
        try socket.send(Array((request + "\r\n" + body).utf8))
        let bytes = try socket.receiveAll()
        let end = try TestNode.endOfHead(bytes)
        let lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n").map(String.init)
        guard let first = lines.first, let status = Int(first.split(separator: " ")[1]) else {
            throw TestSupportError("no status line: \(lines)")
        }
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            fields[line[..<colon].lowercased()] = line[line.index(after: colon)...].drop { $0 == " " }.description
        }
        return (status, fields, Array(bytes[(end + 4)...]))
    }

    private static func endOfHead(_ bytes: [UInt8]) throws -> Int {
        for index in 0..<max(0, bytes.count - 3) where bytes[index..<index + 4].elementsEqual([13, 10, 13, 10]) {
            return index
        }
        throw TestSupportError("no head in an answer of \(bytes.count) bytes")
    }
}
