// Golden.swift - reading the golden files of the index (Tests/Golden/index), and byte strings for tests.

import Foundation
import SeriesIndex
import StorageBytes

/// The golden files of the index.
enum Golden {
    /// The object in a file of Tests/Golden/index.
    static func load(_ name: String, file: String = #filePath) throws -> [String: Any] {
        let folder = URL(fileURLWithPath: file).deletingLastPathComponent().deletingLastPathComponent()
        let data = try Data(contentsOf: folder.appendingPathComponent("Golden/index/\(name).json"))
        guard let object = try JSONSerialization.jsonObject(with: data) as? [String: Any] else {
            throw GoldenError(what: "\(name) is not an object")
        }
        return object
    }

    /// The list of objects under `key` in a file.
    static func list(_ name: String, _ key: String = "vectors") throws -> [Vector] {
        guard let list = try load(name)[key] as? [[String: Any]] else { throw GoldenError(what: "\(name): \(key)") }
        return list.map(Vector.init)
    }
}

struct GoldenError: Error {
    var what: String
}

/// One object of a golden file.
struct Vector {
    var fields: [String: Any]

    var name: String { fields["name"] as? String ?? "?" }
    var isError: Bool { fields["error"] != nil }

    func text(_ key: String) throws -> String {
        guard let text = fields[key] as? String else { throw GoldenError(what: "\(name): no \(key)") }
        return text
    }
    func number(_ key: String) throws -> Int {
        guard let number = fields[key] as? NSNumber else { throw GoldenError(what: "\(name): no \(key)") }
        return number.intValue
    }
    func hex(_ key: String) throws -> [UInt8] {
        guard let bytes = Hex.decode(try text(key)) else { throw GoldenError(what: "\(name): \(key) is no hex") }
        return bytes
    }
    func hexNumber(_ key: String) throws -> UInt64 {
        guard let value = UInt64(try text(key), radix: 16) else { throw GoldenError(what: "\(name): \(key)") }
        return value
    }
    func decimal(_ key: String) throws -> UInt64 {
        guard let value = UInt64(try text(key)) else { throw GoldenError(what: "\(name): \(key)") }
        return value
    }
    func hexList(_ key: String) throws -> [[UInt8]] {
        guard let list = fields[key] as? [String] else { throw GoldenError(what: "\(name): no \(key)") }
        return try list.map {
            guard let bytes = Hex.decode($0) else { throw GoldenError(what: "\(name): \(key)") }
            return bytes
        }
    }
    func list(_ key: String) throws -> [Vector] {
        guard let list = fields[key] as? [[String: Any]] else { throw GoldenError(what: "\(name): no \(key)") }
        return list.map(Vector.init)
    }
    /// A `{ "hex": ..., "text": ... }` object.
    func bytes(_ key: String) throws -> [UInt8] {
        guard let object = fields[key] as? [String: Any] else { throw GoldenError(what: "\(name): no \(key)") }
        return try Vector(fields: object).hex("hex")
    }
    var tenant: Tenant {
        get throws {
            Tenant(accountID: UInt32(try number("accountID")), projectID: UInt32(try number("projectID")))
        }
    }
    func tags(_ key: String) throws -> [MetricName.Tag] {
        try list(key).map { MetricName.Tag(key: try $0.bytes("key"), value: try $0.bytes("value")) }
    }
}

extension MetricName {
    /// A name from strings, for readable tests.
    init(_ group: String, _ tags: [(String, String)], tenant: Tenant = Tenant(bits: 0)) {
        self.init(
            tenant: tenant, group: Array(group.utf8),
            tags: tags.map { Tag(key: Array($0.0.utf8), value: Array($0.1.utf8)) })
    }

    /// The raw form of the fields as they are, group first.
    var raw: [UInt8] {
        var raw = RawBuffer()
        raw.appendBigEndian(tenant.bits)
        for tag in [Tag(key: [], value: group)] + tags {
            raw.appendBigEndian(UInt16(tag.key.count))
            raw.append(tag.key)
            raw.appendBigEndian(UInt16(tag.value.count))
            raw.append(tag.value)
        }
        return raw.array()
    }

    /// The stored form of the fields as they are.
    var canonical: [UInt8] {
        var canonical = RawBuffer()
        appendCanonical(to: &canonical)
        return canonical.array()
    }

    /// The tags in canonical order, by the words of docs/format/series-index.md, 2.5.
    var sorted: MetricName {
        var result = self
        let keyed = tags.enumerated().map { (MetricName.sortKey($0.element.key), $0.offset, $0.element) }
        let ordered = keyed.sorted { a, b in
            if a.0 == b.0 { return a.1 < b.1 }
            return a.0.lexicographicallyPrecedes(b.0)
        }
        result.tags = []
        for (_, _, tag) in ordered {
            if result.tags.last?.key == tag.key { result.tags.removeLast() }
            result.tags.append(tag)
        }
        return result
    }

    static let specialKeys: [String: [UInt8]] = [
        "namespace": [0, 0, 0x00], "ns": [0, 0, 0x01], "datacenter": [0, 0, 0x08], "dc": [0, 0, 0x09],
        "environment": [0, 0, 0x0C], "env": [0, 0, 0x0D], "cluster": [0, 0, 0x10], "service": [0, 0, 0x18],
        "job": [0, 0, 0x20], "model": [0, 0, 0x28], "type": [0, 0, 0x30], "sensor_type": [0, 0, 0x38],
        "SensorType": [0, 0, 0x38], "db": [0, 0, 0x40], "instance": [0, 1, 0x00], "host": [0, 1, 0x08],
        "server": [0, 1, 0x10], "pod": [0, 1, 0x18], "node": [0, 1, 0x20], "device": [0, 1, 0x28],
        "tenant": [0, 1, 0x30], "client": [0, 1, 0x38], "name": [0, 1, 0x40], "measurement": [0, 1, 0x48],
    ]

    /// The special keys in both spellings.
    private static let positions: [[UInt8]: [UInt8]] = {
        var all: [[UInt8]: [UInt8]] = [:]
        for (key, position) in specialKeys {
            all[Array(key.utf8)] = position
            all[Array((key.prefix(1).uppercased() + key.dropFirst()).utf8)] = position
        }
        return all
    }()

    private static func sortKey(_ key: [UInt8]) -> [UInt8] { positions[key] ?? key }
}
