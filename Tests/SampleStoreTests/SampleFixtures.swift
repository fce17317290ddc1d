// SampleFixtures.swift - rows, parts and digests of the sample store's tests. The definitions of test series, input rows
// and digests are those of Tests/Golden/samples/README.md.

import Foundation
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport

@testable import SampleStore

enum Fixture {
    /// Test series `i`.
    static func series(_ i: Int) -> TSID {
        TSID(
            tenant: Tenant(accountID: 1, projectID: 2), metricGroupID: 0x1111_1111_1111_1111 + UInt64(i / 10), jobID: 7,
            instanceID: UInt32(i % 10), metricID: UInt64(1000 + i))
    }

    static func bytes(_ tsid: TSID) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 32)
        bytes.withUnsafeMutableBytes { tsid.store(at: $0.baseAddress!) }
        return bytes
    }

    /// The rows that an input description stands for.
    static func rows(_ input: JSON) throws -> [SampleRow] {
        var rows: [SampleRow] = []
        for run in try input["runs"].array {
            let (count, mod, div) = (try run["count"].int, try run["mod"].int64, try run["div"].int64)
            for i in 0..<Int64(count) {
                var x = try run["inc"].int64 * i
                if mod != 0 { x %= mod }
                rows.append(
                    SampleRow(
                        tsid: series(try run["series"].int),
                        timestampMs: try run["start"].int64 + run["step"].int64 * i,
                        value: Double(try run["base"].int64 + x) / Double(div == 0 ? 1 : div)))
            }
        }
        for point in try input["points"].array {
            rows.append(
                SampleRow(
                    tsid: series(try point["series"].int), timestampMs: try point["ts"].int64,
                    value: Double(bitPattern: UInt64(try point["bits"].string, radix: 16)!)))
        }
        for run in try input["splitmix"].array {
            var random = SplitMixBytes(seed: try run["seed"].uint64)
            for i in 0..<Int64(try run["count"].int) {
                rows.append(
                    SampleRow(
                        tsid: series(try run["series"].int),
                        timestampMs: try run["start"].int64 + run["step"].int64 * i,
                        value: Double(Int64(bitPattern: random.next()))))
            }
        }
        return rows
    }

    static func memoryPart(
        _ rows: [SampleRow], precisionBits: Int = 64, dedupIntervalMs: Int64 = 0
    ) -> MemorySamplePart? {
        var converter = RowConverter()
        return rows.withUnsafeBufferPointer {
            converter.convert($0, precisionBits: precisionBits, dedupIntervalMs: dedupIntervalMs)
        }
    }

    /// Writes the blocks of a part as they are, one after another.
    static func write(
        _ part: MemorySamplePart, on files: any FileSystem, at path: String, number: UInt64 = 1
    ) throws -> (part: FileSamplePart, shared: UInt64, savedBytes: UInt64) {
        var writer = try SamplePartWriter(
            directory: path, level: SampleLimits.memoryIndexLevel, dedupIntervalMs: 0, files: files)
        for block in part.blocks {
            try writer.append(
                block.tsid, part.timestamps + Int(block.start), part.values + Int(block.start), Int(block.count),
                exponent: block.exponent, precisionBits: block.precisionBits)
        }
        let opened = try finish(&writer, on: files, number: number)!
        return (opened, writer.timestampsShared, writer.timestampsSavedBytes)
    }

    /// Ends a part, renames it and opens it; nil when it is empty.
    static func finish(
        _ writer: inout SamplePartWriter, on files: any FileSystem, number: UInt64 = 1
    ) throws -> FileSamplePart? {
        guard let size = try writer.finish() else { return nil }
        let name = SamplePartName(writer.totals, number: number).text
        let path = Paths.join(Paths.parent(writer.directory), name)
        try files.rename(writer.directory, to: path)
        let part = try FileSamplePart(path: path, files: files, cache: IndexCacheBudget(bytesMax: 1 << 20))
        guard part.sizeBytes == size else { throw TestSupportError("\(part.sizeBytes) bytes, \(size) written") }
        return part
    }

    /// The files of a part's directory.
    static func files(_ path: String, on files: any FileSystem) throws -> [String: [UInt8]] {
        var contents: [String: [UInt8]] = [:]
        for entry in try files.list(path) {
            contents[entry.name] = try files.readAll(Paths.join(path, entry.name), limitBytes: 1 << 30).array()
        }
        return contents
    }

    /// The second reader's view of a part.
    static func plain(
        _ part: FileSamplePart, on files: any FileSystem, isCut: Bool = false
    ) throws -> PlainSamplePart {
        try PlainSamplePart(
            name: Paths.lastComponent(part.path), files: Self.files(part.path, on: files), isCut: isCut)
    }

    /// All rows, read as a merge does.
    static func streamRows(_ part: SamplePart) throws -> [PlainRow] {
        let source = part.source()
        var columns = SampleColumns()
        var decoder = IntegerArrayDecoder()
        var rows: [PlainRow] = []
        while try source.advance() {
            if let plain = source.current.pointee.columns {
                columns.assign(
                    plain.timestamps, plain.values, Int(source.header.rowsCount), exponent: source.header.exponent,
                    precisionBits: source.header.precisionBits)
            } else {
                try columns.decode(
                    source.header, timestamps: source.current.pointee.timestampsData,
                    values: source.current.pointee.valuesData, &decoder)
            }
            append(columns, source.header.tsid, to: &rows)
        }
        return rows
    }

    /// All rows of some series, read as a search does.
    static func searchRows(
        _ part: SamplePart, _ series: [TSID], min: Int64 = .min, max: Int64 = .max,
        each: (SampleBlockHeader, Int) -> Void = { _, _ in }
    ) throws -> [PlainRow] {
        let cursor = part.cursor(minTimestamp: min, maxTimestamp: max)
        var columns = SampleColumns()
        var decoder = IntegerArrayDecoder()
        var rows: [PlainRow] = []
        for tsid in series {
            try cursor.seek(tsid)
            while try cursor.next() {
                let stored = try cursor.read()
                try columns.decode(stored.header, timestamps: stored.timestamps, values: stored.values, &decoder)
                append(columns, stored.header.tsid, to: &rows)
                each(stored.header, rows.count)
            }
        }
        return rows
    }

    static func append(_ columns: borrowing SampleColumns, _ tsid: TSID, to rows: inout [PlainRow]) {
        var bits = [UInt64](repeating: 0, count: columns.count)
        DecimalCoding.floats(columns.values, columns.count, exponent: columns.exponent, into: &bits)
        let id = bytes(tsid)
        for index in 0..<columns.count {
            rows.append(PlainRow(tsid: id, timestamp: columns.timestamps[index], bits: bits[index]))
        }
    }

    /// The digest of rows, 64 hex digits.
    static func digest(_ rows: some Sequence<PlainRow>) -> String {
        var hash = SHA256()
        for row in rows {
            row.tsid.withUnsafeBytes { hash.update($0) }
            withUnsafeBytes(of: row.timestamp.bigEndian) { hash.update($0) }
            withUnsafeBytes(of: row.bits.bigEndian) { hash.update($0) }
        }
        return hash.hex
    }

    /// Merges parts into a file part; nil when nothing is left.
    static func merge(
        _ parts: [SamplePart], _ options: SampleMergeOptions, on files: any FileSystem, at path: String,
        number: UInt64 = 99
    ) throws -> (part: FileSamplePart?, counters: SampleMergeCounters, shared: UInt64, savedBytes: UInt64) {
        let sources = parts.map { $0.source() }
        var writer = try SamplePartWriter(
            directory: path, level: SampleMerger.indexLevel(sources), dedupIntervalMs: options.dedupIntervalMs,
            files: files)
        var merger = SampleMerger(sources, options)
        try merger.run(into: &writer)
        let part = try finish(&writer, on: files, number: number)
        return (part, merger.counters, writer.timestampsShared, writer.timestampsSavedBytes)
    }
}
