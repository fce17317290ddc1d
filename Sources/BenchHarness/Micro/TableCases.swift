// TableCases.swift - micro seek (B10) and scan (B11): a table of 1 M items as the ingestion left it, warm. Items are
// either random with 18 to 25 bytes, or shaped like the tag rows of an index with 76 bytes on average.
//
// The table lies in a directory of its own that is removed with the last case. One thread adds the items in batches of
// 1000; then flush and pending merges. No forced merge: several parts are what searches meet in practice.

import Glibc
import Mergeset
import StorageBytes
import StorageFiles
import StorageRuntime
import Workloads

/// A table that lives as long as its cases.
final class MicroTable {
    let table: Table
    let corpus: ItemCorpus
    private let scratch: ScratchTable

    static let workloads = [ItemWorkload(.random), ItemWorkload(.indexShaped)]

    init(_ workload: ItemWorkload, items: Int, options: MicroOptions) throws(HarnessError) {
        let corpus = workload.corpus(items, seed: options.seed)
        scratch = try ScratchTable(workload.kind.rawValue, options) { table throws(StorageError) in
            for start in stride(from: 0, to: corpus.count, by: 1000) {
                try table.add { (writer: inout ItemWriter) throws(StorageError) in
                    for index in start..<min(start + 1000, corpus.count) { try writer.add(corpus.item(index)) }
                }
            }
            try table.flush()
            try table.settle()
        }
        table = scratch.table
        self.corpus = corpus
    }
}

/// Exact seeks for random items.
final class SeekCase: MicroCase {
    let name: String
    let unit = "seek"
    let group = "found"
    let operations: Int
    let budget: String? = "B10, ns/seek: reference 1,600-2,800, at least 600, aim 300"
    private let shared: MicroTable
    /// The keys in the order in which they are asked for: reading them is not what is measured.
    private var keys: RawBuffer
    private var ends: [Int] = []
    private var found: UInt64 = 0

    private init(_ shared: MicroTable, _ label: String, seeks: Int, seed: UInt64) {
        self.shared = shared
        operations = seeks
        var random = SplitMix64(seed: Seeds.derive(seed, "micro-seek"))
        keys = RawBuffer(capacity: seeks * 80)
        for _ in 0..<seeks {
            keys.append(shared.corpus.item(random.below(shared.corpus.count)))
            ends.append(keys.count)
        }
        name = "exact, \(label), " + TextFormat.many(Double(shared.table.metrics.parts), "part")
    }

    static func cases(_ options: MicroOptions) throws(HarnessError) -> [any MicroCase] {
        var cases: [any MicroCase] = []
        for workload in MicroTable.workloads {
            let table = try MicroTable(workload, items: options.scaled(1_000_000), options: options)
            cases.append(SeekCase(table, workload.name, seeks: options.scaled(200_000), seed: options.seed))
        }
        return cases
    }

    var counts: [(name: String, value: UInt64)] { [("found", found), ("parts", shared.table.metrics.parts)] }

    func run() throws(HarnessError) {
        found = 0
        do throws(StorageError) {
            var cursor = shared.table.cursor()
            var start = 0
            for end in ends {
                let key = UnsafeRawBufferPointer(start: keys.base + start, count: end &- start)
                if try cursor.firstWithPrefix(key) { found &+= 1 }
                start = end
            }
        } catch { throw HarnessError(error, while: "seeking") }
        guard found == operations else {
            throw HarnessError(.checkFailed, "\(operations - Int(found)) of \(operations) seeks found nothing")
        }
    }

    func digest() -> UInt64 { found }
}

/// Passes over all items; the consumer hashes the first 8 bytes of each.
final class ScanCase: MicroCase {
    let name: String
    let unit = "item"
    let group: String
    let operations: Int
    let budget: String? = "B11, ns/item: reference 18-25, at least 8, aim 4"
    private let shared: MicroTable
    private var checksum: UInt64 = 0
    private var items: UInt64 = 0

    private init(_ shared: MicroTable, _ label: String) {
        self.shared = shared
        group = label
        operations = Int(shared.table.metrics.items)
        name = "all items, \(label), " + TextFormat.many(Double(shared.table.metrics.parts), "part")
    }

    static func cases(_ options: MicroOptions) throws(HarnessError) -> [any MicroCase] {
        var cases: [any MicroCase] = []
        for workload in MicroTable.workloads {
            let table = try MicroTable(workload, items: options.scaled(1_000_000), options: options)
            cases.append(ScanCase(table, workload.name))
        }
        return cases
    }

    var counts: [(name: String, value: UInt64)] { [("items", items), ("parts", shared.table.metrics.parts)] }

    func run() throws(HarnessError) {
        checksum = 0
        items = 0
        var sum: UInt64 = 0
        var count: UInt64 = 0
        do throws(StorageError) {
            var cursor = shared.table.cursor()
            try cursor.seek(UnsafeRawBufferPointer(start: nil, count: 0))
            while try cursor.next() {
                let item = cursor.item
                sum = sum &+ SplitMix64.mix(Bytes.leadingKey(item.baseAddress.unsafelyUnwrapped, item.count))
                count &+= 1
            }
        } catch { throw HarnessError(error, while: "scanning") }
        checksum = sum
        items = count
    }

    func digest() -> UInt64 { checksum ^ SplitMix64.mix(items) }
}
