// JSON.swift - golden files as values that tests walk through.
//
// Every access that can fail throws with the path of the value, so that a wrong key reads as a failed test and not as
// a crash of the whole run: `try json["blocks"][3]["items_data"].bytes`.

import Foundation
import StorageBytes

/// A value of a JSON file. Numbers above 2^53 are decimal strings in golden files; ``int``, ``uint64`` and ``int64``
/// read both forms.
public struct JSON: Sendable {
    /// What the value is.
    public enum Content: Sendable {
        /// Nothing is there: `null`, or a key or index that does not exist.
        case missing
        /// `true` or `false`.
        case bool(Bool)
        /// A whole number.
        case integer(Int64)
        /// Any other number.
        case number(Double)
        /// A text.
        case string(String)
        /// A list.
        case array([JSON])
        /// Named values.
        case object([String: JSON])
    }

    /// What the value is.
    public let content: Content
    /// The way from the top of the file to this value, for messages.
    public let path: String

    /// A value at a place.
    public init(_ content: Content, path: String) {
        self.content = content
        self.path = path
    }

    /// The parsed text of a file. `path` is used in messages only.
    public init(parsing data: Data, path: String) throws {
        self = try JSONDecoder().decode(Tree.self, from: data).json(path)
    }

    /// The value of a key; missing when there is none.
    public subscript(key: String) -> JSON {
        if case .object(let members) = content, let value = members[key] { return value }
        return JSON(.missing, path: path + "." + key)
    }

    /// The value at an index; missing when there is none.
    public subscript(index: Int) -> JSON {
        if case .array(let values) = content, values.indices.contains(index) { return values[index] }
        return JSON(.missing, path: path + "[\(index)]")
    }

    /// Tells whether something is there.
    public var isPresent: Bool {
        if case .missing = content { return false }
        return true
    }

    /// The elements of a list; none when it is missing.
    public var array: [JSON] {
        get throws {
            switch content {
            case .array(let values): return values
            case .missing: return []
            default: throw mismatch("a list")
            }
        }
    }

    /// The named values of an object; none when it is missing.
    public var object: [String: JSON] {
        get throws {
            switch content {
            case .object(let members): return members
            case .missing: return [:]
            default: throw mismatch("an object")
            }
        }
    }

    /// A text.
    public var string: String {
        get throws {
            guard case .string(let text) = content else { throw mismatch("a text") }
            return text
        }
    }

    /// A truth value; false when it is missing.
    public var bool: Bool {
        get throws {
            switch content {
            case .bool(let value): return value
            case .missing: return false
            default: throw mismatch("true or false")
            }
        }
    }

    /// A whole number, as a number or as a decimal string.
    public var int: Int { get throws { try integer() } }

    /// A whole number, as a number or as a decimal string.
    public var uint64: UInt64 { get throws { try integer() } }

    /// A whole number, as a number or as a decimal string.
    public var int64: Int64 { get throws { try integer() } }

    /// A number with a fraction.
    public var double: Double {
        get throws {
            switch content {
            case .integer(let value): return Double(value)
            case .number(let value): return value
            default: throw mismatch("a number")
            }
        }
    }

    /// The bytes of a hex string.
    public var bytes: [UInt8] {
        get throws {
            guard case .string(let text) = content, let bytes = Hex.decode(text) else { throw mismatch("a hex string") }
            return bytes
        }
    }

    private func integer<Integer: FixedWidthInteger>() throws -> Integer {
        switch content {
        case .integer(let value):
            if let value = Integer(exactly: value) { return value }
        case .string(let text):
            if let value = Integer(text) { return value }
        default: break
        }
        throw mismatch("a whole number in the range of \(Integer.self)")
    }

    private func mismatch(_ wanted: String) -> TestSupportError {
        TestSupportError("\(path) is not \(wanted): \(String(describing: content).prefix(80))")
    }
}

/// What went wrong in a helper of the tests.
public struct TestSupportError: Error, CustomStringConvertible {
    /// What went wrong.
    public let description: String

    /// An error with a text.
    public init(_ description: String) { self.description = description }
}

/// The file as the decoder delivers it; the paths are added afterwards.
private indirect enum Tree: Decodable {
    case leaf(JSON.Content)
    case array([Tree])
    case object([String: Tree])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let text = try? container.decode(String.self) {
            self = .leaf(.string(text))
        } else if let members = try? container.decode([String: Tree].self) {
            self = .object(members)
        } else if let values = try? container.decode([Tree].self) {
            self = .array(values)
        } else if container.decodeNil() {
            self = .leaf(.missing)
        } else if let value = try? container.decode(Bool.self) {
            self = .leaf(.bool(value))
        } else if let value = try? container.decode(Int64.self) {
            self = .leaf(.integer(value))
        } else {
            self = .leaf(.number(try container.decode(Double.self)))
        }
    }

    func json(_ path: String) -> JSON {
        switch self {
        case .leaf(let content): JSON(content, path: path)
        case .array(let values):
            JSON(.array(values.enumerated().map { $1.json(path + "[\($0)]") }), path: path)
        case .object(let members):
            JSON(
                .object(Dictionary(uniqueKeysWithValues: members.map { ($0, $1.json(path + "." + $0)) })), path: path)
        }
    }
}
