// WireSocket.swift - a plain TCP connection of the load client: blocking, with a limit for every wait.
//
// Threads: one owner.

import Glibc

/// Where a node listens.
public struct NodeAddress: Sendable, Equatable, CustomStringConvertible {
    /// Name or address.
    public var host: String
    /// Port.
    public var port: Int

    /// `host:port`.
    public var description: String { "\(host):\(port)" }

    /// An address out of `host:port`; nil when it is none.
    public init?(_ text: some StringProtocol) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0,
            colon != text.startIndex
        else { return nil }
        host = String(text[..<colon])
        self.port = Int(port)
    }

    /// Whether the node runs on this machine, as far as the name tells.
    public var isLocal: Bool { host == "localhost" || host.hasPrefix("127.") }
}

/// A connection.
final class WireSocket {
    private var descriptor: Int32 = -1

    /// Connects.
    ///
    /// - Parameter waitSeconds: How long a single send or receive may take.
    init(_ address: NodeAddress, waitSeconds: Int = 60) throws(HarnessError) {
        var hints = addrinfo()
        hints.ai_family = AF_INET
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(address.host, String(address.port), &hints, &list) == 0, let list else {
            throw HarnessError(.badInput, "\(address): the name is not known")
        }
        defer { freeaddrinfo(list) }
        descriptor = socket(list.pointee.ai_family, list.pointee.ai_socktype, 0)
        guard descriptor >= 0, connect(descriptor, list.pointee.ai_addr, list.pointee.ai_addrlen) == 0 else {
            throw HarnessError(.inputOutput, "cannot connect to \(address): \(String(cString: strerror(errno)))")
        }
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        var limit = timeval(tv_sec: waitSeconds, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Sends all bytes.
    func send(_ bytes: UnsafeRawBufferPointer) throws(HarnessError) {
        var sent = 0
        while sent < bytes.count {
            let count = Glibc.send(
                descriptor, bytes.baseAddress.unsafelyUnwrapped + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw HarnessError(.inputOutput, "sending to the node: \(String(cString: strerror(errno)))")
            }
            sent += count
        }
    }

    /// Up to `count` bytes; none when the node has closed the connection.
    func receive(_ count: Int) throws(HarnessError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        while true {
            let got = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, count, 0) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else {
                throw HarnessError(.inputOutput, "receiving from the node: \(String(cString: strerror(errno)))")
            }
            return Array(bytes[..<got])
        }
    }
}
