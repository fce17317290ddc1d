// WriterAndItemTests.swift - written streams read back; item corpora have the shape they say.

import Foundation
import StorageBytes
import StorageRuntime
import Testing

@testable import Workloads

@Suite struct StreamWriterTests {
    /// The first rows of a stream.
    private func firstRows(_ plan: SeriesPlan) throws -> RowBatch {
        var stream = try RowStream(plan)
        var batch = RowBatch(capacity: 700)
        _ = stream.next(into: &batch)
        return batch
    }

    private func write(_ format: StreamFormat, _ batch: borrowing RowBatch) throws -> [UInt8] {
        var target = RawBuffer()
        let writer = StreamWriter(format)
        writer.begin(&target)
        try writer.append(batch, to: &target)
        return target.array()
    }

    @Test func rawRowsReadBack() throws {
        let batch = try firstRows(Catalogue.plan("k8s-pods"))
        let bytes = try write(.raw, batch)
        try bytes.withUnsafeBytes { buffer in
            var cursor = ByteCursor(buffer)
            #expect(Array(try cursor.readBytes(8)) == StreamWriter.rawMagic)
            for row in 0..<batch.count {
                let name = try cursor.readBytes(Int(try cursor.readBigEndian(UInt32.self)))
                #expect(Bytes.compare(name, batch.name(row)) == 0)
                #expect(Int64(bitPattern: try cursor.readBigEndian(UInt64.self)) == batch.timestampsMs[row])
                #expect(try cursor.readBigEndian(UInt64.self) == batch.values[row].bitPattern)
            }
            try cursor.finish()
        }
    }

    @Test(arguments: ["k8s-pods", "node-steady", "replay"])
    func expositionRowsReadBack(name: String) throws {
        let batch = try firstRows(Catalogue.plan(name))
        let page = try write(.exposition, batch)
        var row = 0
        try page.withUnsafeBytes { buffer in
            var parser = ExpositionParser(buffer)
            while case .sample(let name, let value, let timestampMs)? = try parser.next() {
                var raw = RawBuffer()
                raw.append([UInt8](repeating: 0, count: 8))
                RawName.append(key: [], value: Array(name), to: &raw)
                for index in 0..<parser.labelCount {
                    let label = parser.label(index)
                    RawName.append(key: Array(label.key), value: Array(label.value), to: &raw)
                }
                #expect(raw.array() == Array(batch.name(row)))
                #expect(timestampMs == batch.timestampsMs[row])
                #expect(value == batch.values[row] || value.isNaN && batch.values[row].isNaN)
                row += 1
            }
        }
        #expect(row == batch.count)
    }

    @Test func jsonLinesReadBack() throws {
        let batch = try firstRows(Catalogue.plan("churn-storm", ["tenants.count=3", "series=700"]))
        let text = try write(.jsonl, batch)
        let lines = text.split(separator: 0x0A)
        #expect(lines.count == batch.count)
        var accounts = Set<String>()
        for (row, line) in lines.enumerated() {
            let object = try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
            var metric = try #require(object["metric"] as? [String: String])
            if let account = metric.removeValue(forKey: "vm_account_id") { accounts.insert(account) }
            metric["vm_project_id"] = nil
            var expected = [String: String]()
            try RawName.forEachLabel(batch.name(row)) {
                expected[$0.isEmpty ? "__name__" : String(decoding: $0, as: UTF8.self)] = String(
                    decoding: $1, as: UTF8.self)
            }
            #expect(metric == expected)
            #expect(object["values"] as? [Double] == [batch.values[row]])
            #expect(object["timestamps"] as? [Int64] == [batch.timestampsMs[row]])
        }
        #expect(accounts.isSubset(of: ["1", "2"]))
    }

    @Test func specialValuesAndCharacters() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("special-\(UUID().uuidString).prom")
        defer { try? FileManager.default.removeItem(at: path) }
        try Data("a{b=\"q\\\"\\\\\\n\u{1}ä\"} NaN\nb +Inf\nc -Inf\nd -0.0\ne 0.1\n".utf8).write(to: path)
        let plan = try SeriesPlan(
            Profile.load(
                "replay", directory: Place.profiles,
                overrides: ["page=\(path.path)", "targets=1", "values.constant_gauges=1", "labels=0"]))
        let batch = try firstRows(plan)
        let page = try String(decoding: write(.exposition, batch), as: UTF8.self)
        #expect(
            page == "a{b=\"q\\\"\\\\\\n\u{1}ä\"} NaN 1640995800000\nb +Inf 1640995800000\nc -Inf 1640995800000\n"
                + "d -0.0 1640995800000\ne 0.1 1640995800000\n")
        let json = try String(decoding: write(.jsonl, batch), as: UTF8.self).split(separator: "\n")
        #expect(
            json[0]
                == "{\"metric\":{\"__name__\":\"a\",\"b\":\"q\\\"\\\\\\u000a\\u0001ä\"},\"values\":[null],\"timestamps\":[1640995800000]}"
        )
        #expect(json[1].contains("[\"Infinity\"]") && json[2].contains("[\"-Infinity\"]"))
    }
}

@Suite struct ItemWorkloadTests {
    static let all = ItemWorkload.Kind.allCases.flatMap { kind in
        ItemWorkload.Length.allCases.map { ItemWorkload(kind, $0) }
    }

    private func items(_ corpus: borrowing ItemCorpus) -> [[UInt8]] {
        var result = [[UInt8]]()
        for index in 0..<corpus.count { result.append(Array(corpus.item(index))) }
        return result
    }

    private func digest(_ workload: ItemWorkload, _ count: Int, seed: UInt64 = 42) -> UInt64 {
        let digest = Digest()
        let corpus = workload.corpus(count, seed: seed)
        for index in 0..<corpus.count { digest.addItem(corpus.item(index)) }
        return digest.value
    }

    /// 2000 items, seed 42.
    static let digests: [String: UInt64] = [
        "duplicates-90:long": 0xC57F5857C94EC56B,
        "duplicates-90:short": 0xD4BD93F9A46ABC88,
        "index-shaped": 0xEF71A32D3FB18727,
        "random:long": 0xE5E187BCD4666DFB,
        "random:short": 0x03768C271EE1FDA8,
        "shared-prefix:long": 0xE55A5ADE37428B34,
        "shared-prefix:short": 0x0173A61166EDE820,
        "sorted:long": 0xF0FBB4FF25E12CBD,
        "sorted:short": 0x633C81A3F95399CB,
    ]

    @Test(arguments: all)
    func corporaAreFixed(workload: ItemWorkload) {
        let value = digest(workload, 2000)
        #expect(
            ItemWorkloadTests.digests[workload.name] == value,
            "\"\(workload.name)\": 0x\(String(value, radix: 16, uppercase: true)),")
        #expect(digest(workload, 2000) == value)
        #expect(digest(workload, 2000, seed: 43) != value)
        #expect(workload.corpus(0).count == 0 && workload.corpus(1).count == 1)
    }

    @Test(arguments: all)
    func lengthsAndOrderAreAsNamed(workload: ItemWorkload) throws {
        let corpus = workload.corpus(5000)
        let items = items(corpus)
        #expect(items.count == 5000 && corpus.totalBytes == items.reduce(0) { $0 + $1.count })
        if workload.kind != .indexShaped {
            let range = workload.length == .short ? 18...25 : 400...400
            #expect(items.allSatisfy { range.contains($0.count) })
            if workload.length == .short { #expect(Set(items.map(\.count)).count == 8) }
        }
        let distinct = Set(items).count
        let isSorted = zip(items, items.dropFirst()).allSatisfy { !$1.lexicographicallyPrecedes($0) }
        switch workload.kind {
        case .random: #expect(distinct == 5000 && !isSorted)
        case .sorted: #expect(distinct == 5000 && isSorted)
        case .duplicates: #expect((450...500).contains(distinct) && !isSorted)
        case .sharedPrefix:
            let prefix = items[0].prefix(workload.length == .short ? 12 : 360)
            #expect(items.allSatisfy { $0.starts(with: prefix) } && !isSorted && distinct > 4990)
        case .indexShaped:
            let mean = Double(corpus.totalBytes) / 5000
            #expect(abs(mean - 76) < 4, "\(mean)")
            #expect(distinct == 5000 && !isSorted && items.allSatisfy { $0[0] == 1 || $0[0] == 6 })
        }
        #expect(try ItemWorkload.named(workload.name).kind == workload.kind)
    }

    @Test func unknownNamesListTheKnownOnes() {
        #expect(
            problem { _ = try ItemWorkload.named("radnom") }.contains("random, sorted, duplicates-90, shared-prefix"))
        #expect(problem { _ = try ItemWorkload.named("random:huge") }.contains("unknown item workload"))
    }
}
