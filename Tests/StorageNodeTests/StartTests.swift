// StartTests.swift - what a node says when it cannot start, and how it shares out its memory.

import Glibc
import NodeSupport
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import StorageNode

@Suite struct StartTests {
    /// Starts a node that cannot start, and returns the reason. It is one line, and nothing stays locked or bound.
    private func failure(
        _ flags: [String], directory: TemporaryDirectory? = nil, files: any FileSystem = RealFileSystem()
    ) throws -> String {
        do {
            let node = try TestNode(flags, directory: directory, files: files)
            try node.node.stop()
            throw TestSupportError("the node has started with \(flags)")
        } catch let error as NodeFailure {
            #expect(!error.message.contains("\n"))
            return error.message
        }
    }

    @Test func aDataPathThatIsNoDirectory() throws {
        let directory = try TemporaryDirectory()
        let files = RealFileSystem()
        let path = directory.path + "/data"
        let file = try files.create(path)
        try file.close()
        for (bad, reason) in [(path, "File exists"), (path + "/sub", "Not a directory")] {
            let message = try failure(["-storageDataPath=\(bad)"], directory: directory)
            #expect(message.hasPrefix("cannot open a storage at \(bad)"))
            #expect(message.contains(reason))
        }
    }

    @Test(arguments: [EACCES, EROFS, ENOSPC]) func aDirectoryThatCannotBeWritten(_ code: Int32) throws {
        let rules = [
            FaultRule.on(.makeDirectory, .create, .write, .lock, pathContaining: "data", error: .io(errno: code))
        ]
        let files = SimulatedFileSystem(faults: FaultPlan(rules: rules))
        let message = try failure(["-storageDataPath=/data"], files: files)
        #expect(message.hasPrefix("cannot open a storage at /data with -retentionPeriod=100y: /data"))
        #expect(message.contains("errno \(code)") || message.contains(String(cString: strerror(code))))
    }

    @Test func aDirectoryThatAnotherNodeHasLocked() throws {
        let directory = try TemporaryDirectory()
        let first = try TestNode(directory: directory)
        let message = try failure([], directory: directory)
        #expect(message.contains("/data/flock.lock: locked by another process"))
        #expect(message.contains("(process \(getpid()))"))
        try first.node.stop()
        try TestNode(directory: directory).node.stop()
    }

    @Test func portsInUse() throws {
        let directory = try TemporaryDirectory()
        let first = try TestNode()
        let ports = [
            "vminsertAddr": first.insertPort, "vmselectAddr": first.selectPort,
            "httpListenAddr": first.node.admin?.port ?? 0,
        ]
        for (flag, port) in ports {
            // The directory has been given back by the start that failed before.
            let message = try failure(["-\(flag)=127.0.0.1:\(port)"], directory: directory)
            #expect(message.contains("cannot listen at 127.0.0.1:\(port): Address already in use"))
            #expect(message.hasPrefix("cannot start http server") == (flag == "httpListenAddr"))
        }
        #expect(try first.http("GET", "/health").status == 200)
        try first.node.stop()
        try TestNode(directory: directory).node.stop()
    }

    /// What the kernel knows of the TCP connections of this machine.
    private static func connections() -> String {
        guard let file = fopen("/proc/net/tcp", "r") else { return "" }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = fread(&piece, 1, piece.count, file)
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += piece[..<count]
        }
    }

    /// A peer that vanishes without a word is found by the kernel, if it is told to look.
    @Test func silentConnectionsAreProbed() throws {
        let node = try TestNode()
        let socket = try node.insertSocket()
        let ports = [node.insertPort, node.node.admin?.port ?? 0]
        let other = try TestSocket(port: ports[1])
        for port in ports {
            // Fields: number, local and remote address, state (01 is open), queues, timer (02 is keepalive) and its ticks.
            let digits = String(port, radix: 16, uppercase: true)
            let end = ":" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
            try Eventually.holds("port \(port) has an open connection that is probed") {
                return Self.connections().split(separator: "\n").contains { line in
                    let fields = line.split(separator: " ")
                    guard fields.count > 5, fields[1].hasSuffix(end), fields[3] == "01" else { return false }
                    let timer = fields[5].split(separator: ":")
                    // In hundredths of a second.
                    return timer[0] == "02" && (UInt64(timer[1], radix: 16) ?? .max) <= 1500
                }
            }
        }
        socket.close()
        other.close()
        try node.node.stop()
    }

    /// Packets may fill all that is for connections before the first row of them is added, so what the storage takes for rows
    /// on their way to a part is kept free.
    @Test(arguments: [
        // The least of everything; samples and index follow the memory, then only the index; both at their most; an eighth of
        // the memory is more than the least; and the most that is taken.
        ("1MB", 50_331_648 + 19_500_000, 0), ("512MiB", 50_331_648 + 20_132_658, 0),
        ("1GiB", 100_663_296 + 40_265_317, 0), ("1500MiB", 144_000_000 + 58_982_400, 0), ("2GiB", 222_000_000, 0),
        ("14GB", 222_000_000, 1_750_000_000), ("100GB", 222_000_000, 4 << 30),
    ]) func memoryIsSharedOut(_ allowed: String, _ storageBytes: Int, _ allBytes: Int) throws {
        guard
            case .values(let flags) = FlagParser.parse(
                ["-memory.allowedBytes=\(allowed)"], environment: { _ in nil })
        else { throw TestSupportError("the flag is wrong") }
        let options = try NodeOptions(flags, environment: { _ in nil })
        #expect(options.rpc.storageBytes == storageBytes)
        #expect(options.rpc.memoryBytesMax == (allBytes > 0 ? allBytes : (192 << 20) + storageBytes))
    }

    @Test func theMetricsPageTellsOfAllShares() throws {
        let node = try TestNode()
        let page = try String(decoding: node.http("GET", "/metrics").body, as: UTF8.self)
        func value(_ name: String) -> Int? {
            page.split(separator: "\n").first { $0.hasPrefix(name + " ") }
                .flatMap { Int($0.dropFirst(name.utf8.count + 1)) }
        }
        // 256 MB are allowed: the least of everything.
        let storage = 3 * (16 << 20) + 13_000_000 * 3 / 2
        #expect(value("vm_rpc_memory_storage_bytes") == storage)
        #expect(value("vm_rpc_memory_max_bytes") == (192 << 20) + storage)
        try node.node.stop()
    }
}
