// SampleSupport.swift - rows read back through the search of a storage.

import SampleStore
import StorageBytes
import StorageRuntime
import Testing

@testable import StorageEngine

/// A row as it is stored: the bits of its value.
struct StoredRow: Hashable, Comparable, CustomStringConvertible {
    var timestampMs: Int64
    var bits: UInt64

    init(_ timestampMs: Int64, _ value: Double) {
        self.timestampMs = timestampMs
        bits = value.bitPattern
    }

    static func < (a: StoredRow, b: StoredRow) -> Bool { (a.timestampMs, a.bits) < (b.timestampMs, b.bits) }

    var description: String { "\(timestampMs): \(Double(bitPattern: bits))" }
}

/// What a search has delivered of a series.
struct FoundSeries: Equatable {
    var name: [UInt8]
    var rows: [StoredRow]
}

extension StorageSearch {
    /// Everything that is left, by TSID, rows in order; checks the promises about the order on the way.
    func collect() throws -> [TSID: FoundSeries] {
        var found: [TSID: FoundSeries] = [:]
        var columns = SampleColumns()
        var decoder = IntegerArrayDecoder()
        var last: (tsid: TSID, timestamp: Int64)?
        while try next() {
            let header = self.header
            if let last {
                #expect(last.tsid < header.tsid || last.tsid == header.tsid && last.timestamp <= header.minTimestamp)
                if last.tsid != header.tsid {
                    #expect(found[header.tsid] == nil, "blocks of a series are not adjacent")
                }
            }
            last = (header.tsid, header.minTimestamp)
            let block = try read()
            try columns.decode(block.header, timestamps: block.timestamps, values: block.values, &decoder)
            var bits = [UInt64](repeating: 0, count: columns.count)
            bits.withUnsafeMutableBufferPointer {
                DecimalCoding.floats(columns.values, columns.count, exponent: columns.exponent, into: $0.baseAddress!)
            }
            var series = found[header.tsid] ?? FoundSeries(name: Array(metricName), rows: [])
            #expect(series.name.elementsEqual(metricName))
            for index in 0..<columns.count {
                series.rows.append(StoredRow(columns.timestamps[index], Double(bitPattern: bits[index])))
            }
            found[header.tsid] = series
        }
        return found.mapValues { FoundSeries(name: $0.name, rows: $0.rows.sorted()) }
    }
}

extension StorageEngine {
    /// The rows of series in a range of time, by metric id.
    func rows(_ tsids: some Sequence<TSID>, _ minMs: Int64 = 0, _ maxMs: Int64 = .max) throws -> [UInt64: [StoredRow]] {
        let found = try search(Set(tsids).sorted(), minTimestampMs: minMs, maxTimestampMs: maxMs).collect()
        return Dictionary(uniqueKeysWithValues: found.map { ($0.key.metricID, $0.value.rows) })
    }
}

extension SampleRow {
    var stored: StoredRow { StoredRow(timestampMs, value) }
}

extension [SampleRow] {
    /// By metric id, in order.
    var byID: [UInt64: [StoredRow]] {
        Dictionary(grouping: self) { $0.tsid.metricID }.mapValues { $0.map(\.stored).sorted() }
    }
}
