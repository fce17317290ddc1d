// TestRows.swift - packets for a node, and what a node has stored: names and samples, read through the engine.

import SampleStore
import SeriesIndex
import StorageBytes
import StorageEngine
import StorageRuntime
import TestSupport

@testable import ClusterWire
@testable import StorageNode

/// A sample as it is stored.
struct TestSample: Equatable, Comparable, CustomStringConvertible {
    var timestampMs: Int64
    var bits: UInt64

    static func < (a: TestSample, b: TestSample) -> Bool { (a.timestampMs, a.bits) < (b.timestampMs, b.bits) }
    var description: String { "(\(timestampMs), \(String(bits, radix: 16)))" }
}

extension TestNode {
    /// A vminsert connection behind its handshake, uncompressed.
    func insertSocket() throws -> TestSocket {
        let socket = try TestSocket(port: insertPort)
        try socket.send(WirePort.vminsert.hello + [0] + Array("ok".utf8))
        guard try socket.receive(5) == Array("okok".utf8) + [0] else { throw TestSupportError("no handshake") }
        return socket
    }

    /// A packet with a row for each of the series `name{n="0"}`, `name{n="1"}` ..., all of one time and value.
    static func packet(_ name: String, series: Int, timestampMs: Int64, value: Double) -> [UInt8] {
        var writer = PacketWriter()
        for number in 0..<series {
            var raw = RawBuffer()
            raw.appendBigEndian(UInt64(0))
            for text in ["", name, "n", String(number)] {
                raw.appendBigEndian(UInt16(text.utf8.count))
                raw.append(Array(text.utf8))
            }
            writer.add(name: raw.bytes, timestampMs: timestampMs, value: value)
        }
        var encoder = StreamEncoder(isCompressed: false)
        var output = RawBuffer()
        writer.send(through: &encoder, to: &output)
        return output.array()
    }

    /// Everything that is stored: samples by canonical name. Flushes first.
    func stored() throws -> [[UInt8]: [TestSample]] {
        let engine = node.storage.engine
        try engine.makeSearchable()
        try engine.flush()
        var tsids: Set<TSID> = []
        var cursor = engine.currentTable.cursor()
        var key = RawBuffer()
        key.append(RowKind.idToTSID)
        try cursor.seek(key.bytes)
        while try cursor.next(), cursor.item[0] == RowKind.idToTSID {
            tsids.insert(try TSID(UnsafeRawBufferPointer(rebasing: cursor.item.suffix(TSID.storedBytes))))
        }
        var found: [[UInt8]: [TestSample]] = [:]
        var columns = SampleColumns()
        var decoder = IntegerArrayDecoder()
        for tenant in Set(tsids.map(\.tenant)) {
            let search = try engine.search(
                tsids.filter { $0.tenant == tenant }.sorted(), minTimestampMs: 0, maxTimestampMs: .max)
            while try search.next() {
                let block = try search.read()
                try columns.decode(block.header, timestamps: block.timestamps, values: block.values, &decoder)
                var bits = [UInt64](repeating: 0, count: columns.count)
                bits.withUnsafeMutableBufferPointer {
                    DecimalCoding.floats(
                        columns.values, columns.count, exponent: columns.exponent, into: $0.baseAddress!)
                }
                found[Array(search.metricName), default: []] += (0..<columns.count).map {
                    TestSample(timestampMs: columns.timestamps[$0], bits: bits[$0])
                }
            }
        }
        return found.mapValues { $0.sorted() }
    }
}
