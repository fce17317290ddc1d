// NameSeekCase.swift - micro names: what registering a series costs in a warm table of 14 parts whose items are long, as
// names of many labels are: whether there is an item with a prefix of about 500 bytes. Each name is in one part only, and
// the parts overlap everywhere.
//
// Two ways of asking: a seek in all parts, which finds the first item, and a visit of one part after the other, which
// ends at any item. Both are asked for names that are there and for names that are not.

import Glibc
import Mergeset
import StorageBytes
import StorageFiles
import StorageRuntime

/// Lookups of names.
final class NameSeekCase: MicroCase {
    let name: String
    let unit = "lookup"
    let group: String
    let operations: Int
    private let shared: ScratchTable
    private let asksForAny: Bool
    private let names: [UInt64]
    private var found: UInt64 = 0

    /// A table of names that lives as long as its cases.
    private static func nameTable(
        parts: Int, namesPerPart: Int, options: MicroOptions
    ) throws(HarnessError) -> ScratchTable {
        try ScratchTable("names", options) { table throws(StorageError) in
            for part in 0..<parts {
                try table.add { (writer: inout ItemWriter) throws(StorageError) in
                    for index in 0..<namesPerPart {
                        try withPrefix(UInt64(part * namesPerPart + index)) { (bytes) throws(StorageError) in
                            var item = [UInt8](bytes)
                            item.append(contentsOf: [UInt8](repeating: 7, count: 24))
                            try item.withUnsafeBufferPointer { (item) throws(StorageError) in
                                try writer.add(UnsafeRawBufferPointer(item))
                            }
                        }
                    }
                }
                try table.flush()
            }
        }
    }

    /// A name of about 500 bytes between its marks; what tells it from others stands at three places.
    private static func withPrefix(
        _ number: UInt64, _ body: (UnsafeRawBufferPointer) throws(StorageError) -> Void
    ) throws(StorageError) {
        let hash = SplitMix64.mix(number &+ 1)
        var bytes: [UInt8] = [0]
        bytes.append(contentsOf: "container_network_receive_bytes_total\u{1}cluster\u{1}production-\(hash % 7)".utf8)
        bytes.append(contentsOf: String(repeating: "\u{1}some_label\u{1}its usual value", count: 8).utf8)
        bytes.append(contentsOf: "\u{1}namespace\u{1}team-\(hash % 61)\u{1}pod\u{1}server-\(hash)".utf8)
        bytes.append(contentsOf: String(repeating: "\u{1}behind\u{1}the same for all", count: 5).utf8)
        bytes.append(2)
        try bytes.withUnsafeBufferPointer { (buffer) throws(StorageError) in
            try body(UnsafeRawBufferPointer(buffer))
        }
    }

    private init(_ shared: ScratchTable, _ label: String, names: [UInt64], asksForAny: Bool) {
        self.shared = shared
        self.names = names
        self.asksForAny = asksForAny
        operations = names.count
        group = label
        name =
            (asksForAny ? "any, " : "first, ") + label + ", "
            + TextFormat.many(Double(shared.table.metrics.parts), "part")
    }

    static func cases(_ options: MicroOptions) throws(HarnessError) -> [any MicroCase] {
        let parts = 14
        let namesPerPart = options.scaled(12_000)
        let table = try nameTable(parts: parts, namesPerPart: namesPerPart, options: options)
        var random = SplitMix64(seed: Seeds.derive(options.seed, "micro-lookup"))
        let count = options.scaled(50_000)
        let known = (0..<count).map { _ in UInt64(random.below(parts * namesPerPart)) }
        let new = (0..<count).map { UInt64(parts * namesPerPart + $0) }
        return [("known names", known), ("new names", new)].flatMap { (label, names) -> [any MicroCase] in
            [false, true].map { NameSeekCase(table, label, names: names, asksForAny: $0) }
        }
    }

    var counts: [(name: String, value: UInt64)] { [("found", found), ("parts", shared.table.metrics.parts)] }

    /// The names in the order in which they are asked for: making them is not what is measured.
    private var keys = RawBuffer()
    private var ends: [Int] = []

    func prepare() throws(HarnessError) {
        guard ends.isEmpty else { return }
        do throws(StorageError) {
            for name in names {
                try NameSeekCase.withPrefix(name) { (bytes) throws(StorageError) in keys.append(bytes) }
                ends.append(keys.count)
            }
        } catch { throw HarnessError(error, while: "making names") }
    }

    func run() throws(HarnessError) {
        found = 0
        do throws(StorageError) {
            var cursor = shared.table.cursor()
            var start = 0
            for end in ends {
                let key = UnsafeRawBufferPointer(start: keys.base + start, count: end &- start)
                if try asksForAny ? cursor.anyWithPrefix(key) : cursor.firstWithPrefix(key) { found &+= 1 }
                start = end
            }
        } catch { throw HarnessError(error, while: "looking up") }
    }

    func digest() -> UInt64 { found }
}
