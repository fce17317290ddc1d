// DecodeError.swift - why bytes do not decode. One byte wide, thrown by hot decoders without allocating; the layer that
// knows the file turns it into a StorageError with the place.

/// Why bytes do not decode.
public enum DecodeError: UInt8, Error, Sendable, CustomStringConvertible {
    /// The bytes end inside a value.
    case truncated
    /// A variable-length integer has more than ten bytes.
    case overlongVarint
    /// Bytes are left behind the last value.
    case trailingBytes
    /// A length or count is beyond what the format allows.
    case outOfRange
    /// Items or headers are not in ascending order.
    case unsorted
    /// A tag or an enumeration has a value that the format does not know.
    case unknownValue
    /// A compressed frame is broken.
    case badFrame
    /// A lower-level structure contradicts an upper one.
    case inconsistent
    /// An escape character is followed by something else than an escape code.
    case badEscape
    /// A terminator is missing.
    case missingTerminator

    /// A few words for a message.
    public var description: String {
        switch self {
        case .truncated: "the bytes end inside a value"
        case .overlongVarint: "a variable-length integer is longer than ten bytes"
        case .trailingBytes: "bytes are left behind the last value"
        case .outOfRange: "a length or count is out of its range"
        case .unsorted: "the order is not ascending"
        case .unknownValue: "a field has an unknown value"
        case .badFrame: "the compressed frame is broken"
        case .inconsistent: "two fields contradict each other"
        case .badEscape: "an escape character is followed by an unknown code"
        case .missingTerminator: "the terminator is missing"
        }
    }
}
