// AdminMessages.swift - a request as the routes see it, and the answer. No sockets. Threads: plain values.

import StorageBytes

/// A request.
public struct AdminRequest: Sendable {
    /// GET, POST, ...
    public var method: String
    /// Path and query as sent.
    public var uri: String
    /// The path, decoded.
    public let path: String
    /// Arguments of the query and of a form body: the first value counts.
    public let arguments: [(name: String, value: String)]
    /// `ip:port` of the client.
    public var remoteAddress: String
    /// Header `X-Forwarded-For`.
    public var forwardedFor: String?
    /// Whether the client takes gzip.
    public var acceptsGzip: Bool

    /// A request; `form` is the body if it is a form.
    public init(
        method: String, uri: String, form: String = "", remoteAddress: String = "?", forwardedFor: String? = nil,
        acceptsGzip: Bool = false
    ) {
        self.method = method
        self.remoteAddress = remoteAddress
        self.forwardedFor = forwardedFor
        self.acceptsGzip = acceptsGzip
        let parts = uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = URLText.decode(parts.first ?? "", plusIsSpace: false)
        let query = parts.count > 1 ? parts[1] : ""
        arguments = URLText.arguments(query) + URLText.arguments(form[...])
        // Error texts show the arguments of a form as if they had come in the query.
        self.uri = form.isEmpty ? uri : uri + (parts.count > 1 ? "&" : "?") + form
    }

    /// The first value of an argument; empty when it is not there.
    public func argument(_ name: String) -> String { arguments.first { $0.name == name }?.value ?? "" }
}

/// An answer.
public struct AdminResponse: Sendable, Equatable {
    /// Status code.
    public var status = 200
    /// Content type; nil for none.
    public var contentType: String?
    /// Whether the browser must not guess the type.
    public var isNosniff = false
    /// The body.
    public var body: [UInt8] = []

    /// An answer without a body.
    public init(status: Int = 200) { self.status = status }

    /// A plain text.
    public static func text(_ text: String, status: Int = 200) -> AdminResponse {
        var response = AdminResponse(status: status)
        response.contentType = "text/plain; charset=utf-8"
        response.body = Array(text.utf8)
        return response
    }

    /// JSON.
    public static func json(_ text: String, status: Int = 200) -> AdminResponse {
        var response = AdminResponse(status: status)
        response.contentType = "application/json"
        response.body = Array(text.utf8)
        return response
    }
}

/// Percent-encoding.
enum URLText {
    /// `a=b&c=d` as pairs, decoded.
    static func arguments(_ text: Substring) -> [(name: String, value: String)] {
        text.split(separator: "&").map { pair in
            let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (
                decode(halves.first ?? "", plusIsSpace: true),
                halves.count > 1 ? decode(halves[1], plusIsSpace: true) : ""
            )
        }
    }

    /// The text without percent-encoding. Broken encodings stay as they are.
    static func decode(_ text: Substring, plusIsSpace: Bool) -> String {
        let bytes = Array(text.utf8)
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "%"), index + 2 < bytes.count,
                let value = Hex.decode(String(decoding: bytes[index + 1...index + 2], as: UTF8.self))
            {
                decoded.append(value[0])
                index += 3
                continue
            }
            decoded.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            index += 1
        }
        return String(decoding: decoded, as: UTF8.self)
    }
}
