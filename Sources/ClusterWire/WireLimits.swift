// WireLimits.swift - the numbers of the protocol (docs/format/cluster-rpc.md).

/// Limits of what may be on the wire.
public enum WireLimits {
    /// Bytes of a packet of rows (4.1).
    public static let packetBytesMax = 104_857_600
    /// Rows that are handed to the storage at once (4.5).
    public static let batchRowsMax = 10_000
    /// Bytes of a raw metric name that a row may have. Longer ones cannot be stored, so such rows are passed over.
    public static let rowNameBytesMax = 1 << 20
    /// Seconds for each read and each write of the handshake (2.3).
    public static let handshakeSeconds = 1
    /// Seconds for writing an answer byte (4.4).
    public static let answerSeconds = 5
    /// Seconds for the arguments of a request, from the moment its name is complete (5.1).
    public static let argumentsSeconds = 5
    /// Largest window of a compressed stream that is accepted, in bytes (3.2 asks for 8 MiB).
    public static let windowBytesMax = 8 << 20

    /// Bytes of the name of a call (5.3).
    public static let callNameBytesMax = 128
    /// Bytes of a search query (5.3).
    public static let queryBytesMax = 1_048_576
    /// Bytes of the query of `deleteMetrics_v3` (5.3).
    public static let deleteQueryBytesMax = 65_536
    /// Bytes of a label name, a tag key and a prefix of tag values (5.3).
    public static let labelBytesMax = 16_384
    /// Names in one `registerMetricNames_v1`, and bytes of each (5.3).
    public static let registeredNamesMax = 1_048_576, registeredNameBytesMax = 1_048_576
    /// Bytes of a whole request. The reference has no such limit; its real clients stay far below.
    public static let requestBytesMax = 16 << 20
    /// Bytes of an error text in a response (5.2).
    public static let errorTextBytesMax = 65_536
}

/// The two ports of a storage node.
public enum WirePort: String, Sendable, CaseIterable {
    /// Packets of rows.
    case vminsert
    /// Requests and responses.
    case vmselect

    /// What a client says first: 11 bytes.
    public var hello: [UInt8] {
        switch self {
        case .vminsert: Array("vminsert.02".utf8)
        case .vmselect: Array("vmselect.01".utf8)
        }
    }
}

/// Why a connection cannot go on.
public struct WireError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What a caller can branch on.
    public enum Kind: Sendable {
        /// The handshake differs from what was expected.
        case handshake
        /// A size or count is above its limit.
        case tooBig
        /// The compressed stream is broken, or its window is too large.
        case badStream
        /// A request that cannot be parsed, or with an unknown name.
        case badRequest
        /// The stream ended inside a message.
        case unexpectedEnd
        /// The answer is none of the known ones (client side).
        case badAnswer
    }

    /// What a caller can branch on.
    public let kind: Kind
    /// A text for the log.
    public let message: String

    /// An error with a text.
    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// The text.
    public var description: String { message }
}
