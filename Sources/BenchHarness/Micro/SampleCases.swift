// SampleCases.swift - micro samples (B18): blocks of 8192 samples without zstd, and rows on their way to blocks.
//
//   counter      grows by 0 to 50: second differences of one byte
//   gauge        walks by up to 40: differences of one byte
//   wide gauge   walks by up to 5000: differences of two bytes, mostly
//   mixture      differences of one to four bytes in no order
//   timestamps   every 15 s with a jitter of some milliseconds
//   regular      every 15 s
//
// Decoding gives integers again, with all checks. Rows: a scrape of 50 k series in the order of their ids, and in no order.

import SampleStore
import StorageBytes
import StorageRuntime

/// What the cases work on.
struct SampleInput {
    let label: String
    let values: [Int64]

    static let rows = SampleLimits.blockRowsMax

    static func all(seed: UInt64) -> [SampleInput] {
        var random = SplitMix64(seed: seed)
        func walk(_ step: (inout SplitMix64) -> Int64) -> [Int64] {
            var value: Int64 = 1_000_000
            return (0..<rows).map { _ in
                value &+= step(&random)
                return value
            }
        }
        let regular = (0..<rows).map { (row: Int) -> Int64 in 1_700_000_000_000 + 15000 * Int64(row) }
        let jittered = regular.map { $0 + Int64(random.next() % 20) }
        return [
            SampleInput(label: "counter", values: walk { Int64($0.next() % 51) }),
            SampleInput(label: "gauge", values: walk { Int64($0.next() % 81) - 40 }),
            SampleInput(label: "wide gauge", values: walk { Int64($0.next() % 10001) - 5000 }),
            SampleInput(
                label: "mixture", values: walk { Int64(bitPattern: $0.next()) >> Int64(38 + $0.next() % 22) }),
            SampleInput(label: "timestamps", values: jittered),
            SampleInput(label: "regular", values: regular),
        ]
    }

    static func cases(_ options: MicroOptions) throws(HarnessError) -> [any MicroCase] {
        let blocks = options.scaled(200)
        let codec = all(seed: options.seed).flatMap { input -> [any MicroCase] in
            [
                SampleCodecCase(input, encodes: true, blocks: blocks),
                SampleCodecCase(input, encodes: false, blocks: blocks),
            ]
        }
        return codec + [
            RowConversionCase("ids ascending", options, shuffled: false),
            RowConversionCase("in no order", options, shuffled: true),
        ]
    }
}

/// Encodes or decodes one array again and again.
final class SampleCodecCase: MicroCase {
    let name: String
    let unit = "value"
    let group: String
    let budget: String?
    private let encodes: Bool
    private let blocks: Int
    private let input: SampleInput
    private var encoder = IntegerArrayEncoder()
    private var decoder = IntegerArrayDecoder()
    private var bytes = RawBuffer()
    private let type: MarshalType
    private var decoded: [Int64]

    init(_ input: SampleInput, encodes: Bool, blocks: Int) {
        self.input = input
        self.encodes = encodes
        self.blocks = blocks
        name = (encodes ? "encode, " : "decode, ") + input.label
        group = name
        budget = encodes ? nil : "B18, ns/value of decoding a block of 8192 rows: at least 1.5, aim 0.8"
        decoded = Array(repeating: 0, count: input.values.count)
        type = encoder.encode(
            input.values, input.values.count, precisionBits: 64, into: &bytes, compressing: false)
    }

    var operations: Int { blocks * input.values.count }

    var counts: [(name: String, value: UInt64)] { [("bytes", UInt64(bytes.count))] }

    func run() throws(HarnessError) {
        do throws(DecodeError) {
            for _ in 0..<blocks {
                if encodes {
                    bytes.removeAll()
                    _ = encoder.encode(
                        input.values, input.values.count, precisionBits: 64, into: &bytes, compressing: false)
                } else {
                    try decoder.decode(
                        type, first: input.values[0], count: decoded.count, bytes.bytes, into: &decoded)
                }
            }
        } catch { throw HarnessError(.checkFailed, "an array that was just encoded does not decode: \(error)") }
        if !encodes, decoded != input.values { throw HarnessError(.checkFailed, "\(name): other values came out") }
    }

    func digest() -> UInt64 { Hash.xxh64(bytes.bytes) }
}

/// Converts a scrape of many series, one row of each.
final class RowConversionCase: MicroCase {
    let name: String
    let unit = "row"
    let group: String
    private var rows: [SampleRow] = []
    private var converter = RowConverter()
    private var part: MemorySamplePart?

    init(_ label: String, _ options: MicroOptions, shuffled: Bool) {
        name = "rows to blocks, " + label
        group = name
        let count = options.scaled(50_000)
        var random = SplitMix64(seed: options.seed)
        for index in 0..<count {
            let tsid = TSID(
                tenant: Tenant(accountID: 0, projectID: 0), metricGroupID: UInt64(index / 100) &* 0x9E37_79B9,
                jobID: UInt32(index % 7), instanceID: UInt32(index % 100), metricID: 1 << 60 + UInt64(index))
            let timestamp = 1_700_000_000_000 + Int64(random.next() % 10000)
            rows.append(SampleRow(tsid: tsid, timestampMs: timestamp, value: Double(random.next() % 100_000) / 100))
        }
        if shuffled {
            for index in stride(from: count - 1, to: 0, by: -1) {
                rows.swapAt(index, Int(random.next() % UInt64(index + 1)))
            }
        }
    }

    var operations: Int { rows.count }

    func run() throws(HarnessError) {
        part = nil
        part = rows.withUnsafeBufferPointer { converter.convert($0, precisionBits: 64, dedupIntervalMs: 0) }
    }

    func digest() -> UInt64 {
        guard let source = part?.source() else { return 0 }
        let digest = Digest()
        while (try? source.advance()) == true {
            digest.add(source.header.tsid.metricID)
            digest.add(UInt64(bitPattern: source.header.minTimestamp))
            digest.add(UInt64(bitPattern: source.header.firstValue))
        }
        return digest.value
    }
}
