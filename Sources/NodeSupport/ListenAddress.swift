// ListenAddress.swift - "host:port" as it stands in a flag.

/// Where to listen.
public struct ListenAddress: Sendable, Equatable {
    /// The text as it was given.
    public let text: String
    /// Name or address; empty is every interface.
    public let host: String
    /// 0 lets the system choose.
    public let port: Int

    /// An address out of `host:port`, `:port` or `[v6]:port`; nil when it is none.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
        } else if host.contains(":") {
            return nil
        }
        self.text = text
        self.host = host
        self.port = Int(port)
    }
}
