// LatencyFiles.swift - latency.hgrm and latency.hlog, for the tools of HdrHistogram (plotter, log readers and analyzers).
//
//   latency.hgrm   the percentile distribution as text, one after the other; values in milliseconds
//   latency.hlog   log format 1.3: one line a phase, Tag=PHASE-START, with the histogram in the V2 encoding:
//
//     i32 cookie 1c849314 | i32 length | zlib( i32 cookie 1c849313 | i32 bytes of counts | i32 0 | i32 digits |
//                                              i64 lowest | i64 highest | f64 1.0 | counts ), then Base64
//     counts: ZigZag LEB128, at most 9 bytes; a negative number -n stands for n classes without a value
//     zlib:   stored blocks (a few hundred bytes are not worth a compressor), Adler-32 behind them
//
// All numbers are big-endian. Pure functions.

import FoundationEssentials
import Histogram

/// Files for the tools of HdrHistogram.
enum LatencyFiles {
    /// latency.hgrm: each distribution behind a line that names it.
    static func hgrm(_ records: [LatencyRecord]) -> String {
        var text = ""
        for record in records {
            text += "# \(record.isOfSearches ? "" : "insert blocks, ")\(record.title); milliseconds\n"
            record.histogram().outputPercentileDistribution(
                to: &text, outputValueUnitScalingRatio: 1e6, percentileTicksPerHalfDistance: 5)
            text += "\n"
        }
        return text
    }

    /// latency.hlog. `unixSeconds` is the start of the ingest.
    static func hlog(_ records: [LatencyRecord], unixSeconds: Int64) -> String {
        var text = "#[Histogram log format version 1.3]\n"
        text += "#[StartTime: \(unixSeconds).000 (seconds since epoch), \(TextFormat.utc(unixSeconds: unixSeconds))]\n"
        text += "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n"
        for record in records {
            text += "Tag=\(record.tag)," + TextFormat.fixed(record.startSeconds, 3) + ","
            text += TextFormat.fixed(record.endSeconds - record.startSeconds, 3) + ","
            text += TextFormat.fixed(record.maxUs / 1000, 3) + ","
            text += Data(compressed(record)).base64EncodedString() + "\n"
        }
        return text
    }

    /// The histogram in the compressed V2 encoding.
    static func compressed(_ record: LatencyRecord) -> [UInt8] {
        let body = zlibStored(encoded(record))
        return bigEndian(UInt32(0x1c84_9314)) + bigEndian(UInt32(body.count)) + body
    }

    /// The histogram in the V2 encoding.
    static func encoded(_ record: LatencyRecord) -> [UInt8] {
        var counts: [UInt8] = []
        var next = 0
        for (value, count) in zip(record.valuesNs, record.counts) where count > 0 {
            let index = classIndex(min(value, LatencyRecorder.nanosecondsMax))
            if index > next { appendZigZag(-Int64(index - next), to: &counts) }
            appendZigZag(Int64(clamping: count), to: &counts)
            next = index + 1
        }
        var bytes = bigEndian(UInt32(0x1c84_9313)) + bigEndian(UInt32(counts.count))
        bytes += bigEndian(UInt32(0)) + bigEndian(UInt32(3))
        bytes += bigEndian(UInt64(1)) + bigEndian(LatencyRecorder.nanosecondsMax)
        bytes += bigEndian((1.0).bitPattern)
        return bytes + counts
    }

    /// Number of a value's class with three digits: 2048 classes up to 2047, then 1024 for each doubling.
    static func classIndex(_ value: UInt64) -> Int {
        let bucket = 64 - 11 - (value | 2047).leadingZeroBitCount
        return bucket << 10 + Int(value >> UInt64(bucket))
    }

    private static func appendZigZag(_ value: Int64, to bytes: inout [UInt8]) {
        var rest = UInt64(bitPattern: (value << 1) ^ (value >> 63))
        for _ in 0..<8 {
            if rest < 0x80 { return bytes.append(UInt8(rest)) }
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    /// A zlib stream of stored blocks.
    static func zlibStored(_ bytes: [UInt8]) -> [UInt8] {
        var stream: [UInt8] = [0x78, 0x01]
        var start = 0
        repeat {
            let count = min(65_535, bytes.count - start)
            stream.append(start + count == bytes.count ? 1 : 0)
            for part in [UInt16(count), ~UInt16(count)] {
                stream.append(UInt8(truncatingIfNeeded: part))
                stream.append(UInt8(truncatingIfNeeded: part >> 8))
            }
            stream += bytes[start..<start + count]
            start += count
        } while start < bytes.count
        var a: UInt32 = 1
        var b: UInt32 = 0
        for byte in bytes {
            a = (a + UInt32(byte)) % 65_521
            b = (b + a) % 65_521
        }
        return stream + bigEndian(b << 16 | a)
    }

    private static func bigEndian<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }
}
