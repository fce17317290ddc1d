// Golden.swift - where the golden data is and how it is read. Tests/Golden/*/README.md says what each file holds.

import Foundation
import StorageBytes

/// Files under Tests/Golden. Paths are relative to it: `mergeset/blocks.json`.
public enum Golden {
    /// The directory Tests/Golden of this checkout.
    public static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Golden").path

    /// The absolute path of a golden file or directory.
    public static func path(_ relative: String) -> String { root + "/" + relative }

    /// The bytes of a golden file.
    public static func bytes(_ relative: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: path(relative))))
    }

    /// A golden JSON file.
    public static func json(_ relative: String) throws -> JSON {
        try JSON(parsing: Data(contentsOf: URL(fileURLWithPath: path(relative))), path: relative)
    }

    /// A text file of this checkout, for tests that hold documentation to the code. The path is relative to its root.
    public static func text(ofRepository path: String) throws -> String {
        try String(contentsOf: URL(fileURLWithPath: root + "/../../" + path), encoding: .utf8)
    }

    /// Copies a golden table directory to `target`, which does not exist yet, and puts the absolute path of `target`
    /// for `{TABLE}` in its transaction files. Golden directories are never opened in place: opening modifies them.
    public static func copyTable(_ relative: String, to target: String) throws {
        let files = FileManager.default
        try files.copyItem(atPath: path(relative), toPath: target)
        let transactions = target + "/txn"
        for name in (try? files.contentsOfDirectory(atPath: transactions)) ?? [] {
            let file = URL(fileURLWithPath: transactions + "/" + name)
            let text = try String(contentsOf: file, encoding: .utf8)
            try text.replacingOccurrences(of: "{TABLE}", with: target).write(
                to: file, atomically: false, encoding: .utf8)
        }
    }

    /// The bytes that a golden item stands for: a hex string, or a generator object as the README of the mergeset data
    /// describes them (`repeat`, `splitmix`, `concat`).
    public static func item(_ json: JSON) throws -> [UInt8] {
        guard case .object = json.content else { return try json.bytes }
        if json["repeat"].isPresent {
            return [UInt8](repeating: try json["repeat"].bytes[0], count: try json["len"].int)
        }
        if json["splitmix"].isPresent {
            return SplitMixBytes.first(try json["len"].int, seed: try json["splitmix"].uint64)
        }
        guard json["concat"].isPresent else { throw TestSupportError("\(json.path): unknown generator") }
        return try json["concat"].array.flatMap { try item($0) }
    }

    /// All items of a list of hex strings and generator objects, in its order.
    public static func items(_ json: JSON) throws -> [[UInt8]] { try json.array.map { try item($0) } }
}

extension [UInt8] {
    /// Two lowercase digits a byte.
    public var hex: String { Hex.encode(self) }

    /// The bytes of a hex string; nil when it is not one.
    public init?(hex: String) {
        guard let bytes = Hex.decode(hex) else { return nil }
        self = bytes
    }

    /// The UTF-8 bytes of a text.
    public init(text: String) { self = Array(text.utf8) }
}

/// The bytewise order of items, in terms of the C library only: the model against which the engine is tested.
public func isSmaller(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    let order = a.withUnsafeBytes { x in
        b.withUnsafeBytes { y in
            guard let p = x.baseAddress, let q = y.baseAddress else { return Int32(0) }
            return memcmp(p, q, min(a.count, b.count))
        }
    }
    return order != 0 ? order < 0 : a.count < b.count
}
