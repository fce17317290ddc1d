// Handshake.swift - the first bytes of a connection, on either side (docs/format/cluster-rpc.md, 2.2).
//
//   client -> server   hello, 11 bytes
//   server -> client   "ok"
//   client -> server   1 byte: my stream is compressed (not 0) or not (0)
//   server -> client   "ok", then 1 byte: my stream is compressed or not
//   client -> server   "ok"
//
// Both sides are machines without a socket: they take bytes from a cursor, exactly as many as the handshake has, and
// append what is to be sent. What stands behind in the cursor belongs to the stream.
//
// Threads: one owner at a time.

import StorageBytes

/// The server's half.
public struct ServerHandshake: Sendable {
    /// What is waited for.
    public enum Step: Sendable {
        /// The client's hello.
        case hello
        /// The client's flag.
        case flag
        /// The client's last "ok".
        case success
        /// Nothing: the streams begin.
        case done
    }

    /// What is waited for. The deadline of a read starts anew whenever this changes.
    public private(set) var step = Step.hello
    /// Whether the client will compress what it sends. Known when ``step`` is `done`.
    public private(set) var clientCompresses = false
    private let hello: [UInt8]
    private let serverCompresses: Bool

    /// A handshake on `port`; `serverCompresses` is announced to the client.
    public init(_ port: WirePort, serverCompresses: Bool) {
        hello = port.hello
        self.serverCompresses = serverCompresses
    }

    /// Takes the next message, if it is complete, and appends what is to be sent.
    ///
    /// - Returns: Whether a message was taken; false asks for more input, or tells that all is done.
    /// - Throws: `.handshake`: the connection has to be closed, and nothing more may be sent.
    public mutating func advance(
        _ input: inout ByteCursor, answer: inout RawBuffer
    ) throws(WireError) -> Bool {
        switch step {
        case .hello:
            guard let message = take(hello.count, &input) else { return false }
            guard message == hello else { throw mismatch("cannot read hello", message, hello) }
            answer.append(Self.success)
            step = .flag
        case .flag:
            guard let message = take(1, &input) else { return false }
            clientCompresses = message[0] != 0
            answer.append(Self.success)
            answer.append(serverCompresses ? 1 : 0)
            step = .success
        case .success:
            guard let message = take(2, &input) else { return false }
            guard message == Self.success else {
                throw mismatch("cannot read success response on isCompressed", message, Self.success)
            }
            step = .done
        case .done: return false
        }
        return true
    }

    /// What could not be read when the deadline has passed or the client has gone.
    public var missing: String {
        switch step {
        case .hello: "cannot read hello"
        case .flag: "cannot read isCompressed flag"
        case .success: "cannot read success response on isCompressed"
        case .done: "the handshake is complete"
        }
    }

    static let success = Array("ok".utf8)

    private func take(_ count: Int, _ input: inout ByteCursor) -> [UInt8]? {
        (try? input.readBytes(count)).map { [UInt8]($0) }
    }

    private func mismatch(_ what: String, _ got: [UInt8], _ want: [UInt8]) -> WireError {
        WireError(
            .handshake,
            "\(what): unexpected message obtained; got \(QuotedText.quote(got)); want \(QuotedText.quote(want))")
    }
}

/// The client's half.
public struct ClientHandshake: Sendable {
    /// Whether the server will compress what it sends. Known when ``isDone``.
    public private(set) var serverCompresses = false
    /// Whether the streams begin.
    public private(set) var isDone = false
    private let compresses: Bool
    private var isFlagSent = false

    /// A handshake on `port`, and the bytes that start it, which are appended to `output`.
    public init(_ port: WirePort, compresses: Bool, output: inout RawBuffer) {
        self.compresses = compresses
        output.append(port.hello)
    }

    /// Takes the next message of the server, if it is complete, and appends what is to be sent.
    ///
    /// - Returns: Whether a message was taken.
    /// - Throws: `.handshake` for anything but the expected bytes.
    public mutating func advance(
        _ input: inout ByteCursor, output: inout RawBuffer
    ) throws(WireError) -> Bool {
        guard !isDone, let message = try? input.readBytes(isFlagSent ? 3 : 2) else { return false }
        guard message.prefix(2).elementsEqual(ServerHandshake.success) else {
            throw WireError(.handshake, "the server answers \(QuotedText.quote(message)) to the handshake")
        }
        if isFlagSent {
            serverCompresses = message[2] != 0
            output.append(ServerHandshake.success)
            isDone = true
        } else {
            output.append(compresses ? 1 : 0)
            isFlagSent = true
        }
        return true
    }
}
