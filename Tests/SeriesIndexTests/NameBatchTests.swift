// NameBatchTests.swift - rows ordered by canonical name, against sorting arrays.

import Mergeset
import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import SeriesIndex

@Suite struct NameBatchTests {
    private static let key: FingerprintKey = {
        var random = SplitMix64(seed: 8)
        return FingerprintKey { random.next() }
    }()

    /// What was appended: an entry a raw name, with its rows.
    private struct Entry {
        var name: [UInt8]
        var date: UInt64
        var rows: [Int]
    }

    private static func check(_ batch: borrowing NameBatch, _ entries: [Entry], _ context: String) {
        let grouped = Dictionary(grouping: entries.indices, by: { entries[$0].name })
        let names = grouped.keys.sorted(by: isSmaller)
        #expect(batch.nameCount == names.count, "\(context)")
        #expect(batch.rowCount == entries.reduce(0) { $0 + $1.rows.count }, "\(context)")
        guard batch.nameCount == names.count else { return }
        for (index, name) in names.enumerated() {
            let own = (grouped[name] ?? []).map { entries[$0] }
            var isRight = [UInt8](batch.name(index)) == name
            isRight = isRight && [UInt8](batch.key(index)) == [0] + name + [2]
            isRight = isRight && batch.date(index) == own[0].date
            isRight = isRight && batch.fingerprint(index) == name.withUnsafeBytes { key.fingerprint($0) }
            isRight =
                isRight && batch.tsid(index).tenant.bits == name.withUnsafeBytes { BigEndian.load64($0.baseAddress!) }
            isRight = isRight && batch.outcome(index) == .open
            var rows: [Int] = []
            var starts: [Int] = []
            batch.forEachRow(index) { row, startsRawName in
                rows.append(row)
                if startsRawName { starts.append(row) }
            }
            isRight = isRight && rows == own.flatMap(\.rows) && starts == own.map { $0.rows[0] }
            #expect(isRight, "\(context), name \(index)")
        }
    }

    private static func append(_ entries: [Entry], to batch: inout NameBatch) {
        for entry in entries {
            entry.name.withUnsafeBytes { batch.append($0, row: entry.rows[0], date: entry.date) }
            for row in entry.rows.dropFirst() { batch.appendAgain(row: row) }
        }
    }

    @Test func nothing() {
        var batch = NameBatch()
        batch.sort(Self.key)
        #expect(batch.nameCount == 0 && batch.rowCount == 0)
        batch.removeAll(rows: 100_000)
        batch.sort(Self.key)
        #expect(batch.nameCount == 0)
    }

    /// All lists of up to four entries over three names.
    @Test func allSmallBatches() {
        let tenant: [UInt8] = [0, 0, 0, 1, 0, 0, 0, 2]
        let names = [tenant + [1], tenant + [97, 1], tenant + [97, 1, 98, 1, 99, 1]]
        var batch = NameBatch()
        for count in 0...4 {
            for code in 0..<Int([1, 3, 9, 27, 81][count]) {
                for rowsEach in 1...2 {
                    var entries: [Entry] = []
                    var row = 0
                    var rest = code
                    for number in 0..<count {
                        entries.append(
                            Entry(name: names[rest % 3], date: UInt64(number), rows: Array(row..<(row + rowsEach))))
                        rest /= 3
                        row += rowsEach
                    }
                    batch.removeAll(rows: row)
                    Self.append(entries, to: &batch)
                    batch.sort(Self.key)
                    Self.check(batch, entries, "count \(count), code \(code)")
                }
            }
        }
    }

    /// Batches up to 8000 rows, one value used again and again.
    @Test(arguments: TestSeeds.thisRun) func randomBatches(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var batch = NameBatch()
        for (round, rowCount) in [1, 3, 40, 700, 3000, 8000, 9000, 5].enumerated() {
            let kinds = 1 + random.below(rowCount * 2)
            var entries: [Entry] = []
            var row = random.below(3)
            while row < rowCount {
                let number = random.below(kinds)
                var shape = SplitMix64(seed: Seeds.derive(seed, "name", number))
                let tenant: [UInt8] = [0, 0, 0, 0, 0, 0, 0, UInt8(shape.below(2))]
                let common = [UInt8](repeating: 120, count: [0, 5, 300][shape.below(3)])
                let rest = (0..<(1 + shape.below(24))).map { _ in UInt8(shape.below(5)) }
                let rows = Array(row..<min(row + 1 + (random.below(3) == 0 ? random.below(5) : 0), rowCount))
                entries.append(Entry(name: tenant + common + rest, date: UInt64(random.below(3)), rows: rows))
                row = rows.last! + 1 + (random.below(5) == 0 ? random.below(3) : 0)
            }
            batch.removeAll(rows: rowCount)
            Self.append(entries, to: &batch)
            batch.sort(Self.key)
            Self.check(batch, entries, "round \(round)")
        }
    }

    @Test func outcomesBelongToNames() throws {
        var batch = NameBatch()
        batch.removeAll(rows: 3)
        for (row, name) in ["b", "a", "b"].enumerated() {
            (try canonical(MetricName(name, []).raw)).withUnsafeBytes { batch.append($0, row: row, date: 5) }
        }
        batch.sort(Self.key)
        #expect(batch.nameCount == 2)
        let tsid = TSID(tenant: Tenant(bits: 0), metricGroupID: 1, jobID: 2, instanceID: 3, metricID: 4)
        batch.set(1, tsid, .created)
        #expect(batch.outcome(0) == .open && batch.outcome(1) == .created && batch.tsid(1) == tsid)
        batch.fail(0, StorageError(.noSpace, "first"))
        batch.fail(0, StorageError(.noSpace, "second"))
        #expect(batch.outcome(0) == .failed && batch.firstError?.message == "first")
        batch.removeAll(rows: 3)
        #expect(batch.firstError == nil && batch.nameCount == 0)
    }
}
