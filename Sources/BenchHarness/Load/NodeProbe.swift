// NodeProbe.swift - what is seen of a node from outside: its CPU and memory when it runs on this machine, and its pages.
//
// The process is found by the inode of its listening socket: /proc/net/tcp has it by port, /proc/<pid>/fd by process. CPU is
// the kernel's clock of that process, in nanoseconds.
//
// Threads: one owner.

import Glibc
import StorageBytes

/// A node that is looked at.
struct NodeProbe {
    /// Its process, when it runs here and could be found.
    let pid: pid_t?
    /// Its HTTP port, when it answers.
    let http: NodeAddress?

    init(rpc: NodeAddress, http: NodeAddress?) {
        pid = rpc.isLocal ? NodeProbe.process(listeningAt: rpc.port) : nil
        self.http = http.flatMap { (try? NodeProbe.get("/health", $0)) == "OK" ? $0 : nil }
    }

    /// CPU seconds of the process so far; nil when it is not known.
    var cpuSeconds: Double? {
        guard let pid else { return nil }
        var clock = clockid_t()
        var time = timespec()
        guard clock_getcpuclockid(pid, &clock) == 0, clock_gettime(clock, &time) == 0 else { return nil }
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    /// Resident memory now, and the most so far.
    var memory: ResidentMemory? {
        guard let pid else { return nil }
        return ResidentMemory.of("/proc/\(pid)/status")
    }

    /// Resident bytes that are no part of a file.
    var anonymousBytes: UInt64? {
        guard let pid else { return nil }
        var bytes: UInt64?
        ProcFile.withContents("/proc/\(pid)/status") { text in
            bytes = ProcFile.number(after: "RssAnon:", in: text).map { $0 * 1024 }
        }
        return bytes
    }

    /// The values of the metrics page by name and labels; empty when there is none.
    func metrics() -> [String: Double] {
        guard let http, let page = try? NodeProbe.get("/metrics", http) else { return [:] }
        var values: [String: Double] = [:]
        for line in page.split(separator: "\n") {
            guard let space = line.lastIndex(of: " ") else { continue }
            values[String(line[..<space])] = Double(line[line.index(after: space)...])
        }
        return values
    }

    /// Calls a path; false when that did not work.
    @discardableResult
    func call(_ path: String) -> Bool { http.map { (try? NodeProbe.get(path, $0)) != nil } ?? false }

    /// The body of a GET.
    private static func get(_ path: String, _ address: NodeAddress) throws(HarnessError) -> String {
        let socket = try WireSocket(address)
        var request = RawBuffer()
        request.append(Array("GET \(path) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n\r\n".utf8))
        try socket.send(request.bytes)
        var answer: [UInt8] = []
        while true {
            let more = try socket.receive(65_536)
            if more.isEmpty { break }
            answer += more
        }
        let text = String(decoding: answer, as: UTF8.self)
        guard text.hasPrefix("HTTP/1.1 200"), let end = text.firstRange(of: "\r\n\r\n") else {
            throw HarnessError(.inputOutput, "\(address)\(path): \(text.prefix(100))")
        }
        return String(text[end.upperBound...])
    }

    /// The process that listens at a TCP port of this machine.
    private static func process(listeningAt port: Int) -> pid_t? {
        guard let inode = inode(listeningAt: port), let directory = opendir("/proc") else { return nil }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            guard let pid = pid_t(name(entry)) else { continue }
            if hasSocket(pid, inode) { return pid }
        }
        return nil
    }

    private static func hasSocket(_ pid: pid_t, _ inode: String) -> Bool {
        guard let directory = opendir("/proc/\(pid)/fd") else { return false }
        defer { closedir(directory) }
        var target = [CChar](repeating: 0, count: 64)
        while let entry = readdir(directory) {
            let count = readlink("/proc/\(pid)/fd/\(name(entry))", &target, target.count - 1)
            guard count > 0 else { continue }
            let text = String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if text == "socket:[\(inode)]" { return true }
        }
        return false
    }

    /// Inode of the socket that listens at a port, over IPv4 or IPv6.
    private static func inode(listeningAt port: Int) -> String? {
        for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
            guard let file = fopen(path, "r") else { continue }
            defer { fclose(file) }
            var line = [CChar](repeating: 0, count: 512)
            while fgets(&line, Int32(line.count), file) != nil {
                let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                let fields = text.split(separator: " ")
                // 0A is LISTEN.
                guard fields.count > 9, fields[3] == "0A", let colon = fields[1].lastIndex(of: ":"),
                    Int(fields[1][fields[1].index(after: colon)...], radix: 16) == port
                else { continue }
                return String(fields[9])
            }
        }
        return nil
    }

    private static func name(_ entry: UnsafeMutablePointer<dirent>) -> String {
        withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
    }
}
