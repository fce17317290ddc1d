// TestSocket.swift - a TCP client of the tests: blocking, and everything it waits for ends after a while.

import Glibc

/// One connection to 127.0.0.1. One thread at a time sends, and one receives.
public final class TestSocket: @unchecked Sendable {
    private var descriptor: Int32
    private static let waitMillisecondsMax: Int32 = 30_000

    /// Connects, with a buffer of about so many bytes for what is received.
    public init(port: Int, receiveBufferBytes: Int? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        if let receiveBufferBytes {
            var bytes = Int32(receiveBufferBytes)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(4))
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            let code = errno
            Glibc.close(descriptor)
            descriptor = -1
            throw TestSupportError("connect to port \(port): errno \(code)")
        }
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(4))
    }

    deinit { close() }

    /// Closes the connection.
    public func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }

    /// Closes the connection with a reset.
    public func reset() {
        var value = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    /// Says that nothing more will be sent.
    public func closeWriteSide() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Sends all bytes. Throws when the other side has gone.
    public func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { throw TestSupportError("send: errno \(errno)") }
            sent += count
        }
    }

    /// Exactly so many bytes; fewer when the other side ends before.
    public func receive(_ count: Int) throws -> [UInt8] {
        var received: [UInt8] = []
        while received.count < count {
            guard let more = try receiveSome(count - received.count) else { break }
            received += more
        }
        return received
    }

    /// Everything until the other side ends.
    public func receiveAll() throws -> [UInt8] {
        var received: [UInt8] = []
        while let more = try receiveSome(65_536) { received += more }
        return received
    }

    /// Up to `count` bytes; nil when the other side has ended.
    public func receiveSome(_ count: Int) throws -> [UInt8]? {
        var event = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&event, 1, TestSocket.waitMillisecondsMax) > 0 else {
            throw TestSupportError("nothing was received in \(TestSocket.waitMillisecondsMax) ms")
        }
        var bytes = [UInt8](repeating: 0, count: count)
        let got = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress!, count, 0) }
        // A reset is an end, too.
        return got > 0 ? Array(bytes[..<got]) : nil
    }
}

/// Waits for things that other threads do.
public enum Eventually {
    /// Waits until `condition` holds.
    ///
    /// - Parameter seconds: How long that may take on a slow machine, under a sanitizer.
    /// - Throws: When it has not come true by then.
    public static func holds(_ what: String, seconds: Int = 30, _ condition: () throws -> Bool) throws {
        let start = time(nil)
        while time(nil) <= start + seconds {
            if try condition() { return }
            usleep(1000)
        }
        throw TestSupportError("after \(seconds) seconds: \(what)")
    }
}
