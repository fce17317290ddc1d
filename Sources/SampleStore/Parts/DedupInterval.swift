// DedupInterval.swift - the file `min_dedup_interval` of a part (docs/format/sample-store.md, 5.4).
//
//   0s   500ms   1.5s   1m0s   24h0m0s        what is written
//   30   0.5                                  a plain number, in seconds, is read as well
//   1h-5m   2d   1w   1y   5i                 terms of other units, too

import StorageBytes
import StorageFiles
import StorageRuntime

/// The deduplication interval of a part as a text.
enum DedupInterval {
    static let fileName = "min_dedup_interval"
    /// Far above what can be a duration.
    private static let textBytesMax = 1024

    /// The text of an interval of 0 milliseconds or more.
    static func text(ms: Int64) -> String {
        precondition(ms >= 0, "an interval of \(ms) ms")
        if ms == 0 { return "0s" }
        if ms < 1000 { return "\(ms)ms" }
        var text = ""
        if ms >= 3_600_000 { text += "\(ms / 3_600_000)h" }
        if ms >= 60_000 { text += "\(ms / 60_000 % 60)m" }
        text += "\(ms / 1000 % 60)"
        if ms % 1000 > 0 {
            var digits = String(ms % 1000 + 1000).dropFirst()
            while digits.last == "0" { digits.removeLast() }
            text += "." + digits
        }
        return text + "s"
    }

    /// Milliseconds of a text; nil when it is none.
    static func parse(_ bytes: some Sequence<UInt8>) -> Int64? {
        let text = Array(bytes)
        if let seconds = number(text) { return milliseconds(seconds * 1000) }
        var position = 0
        var total = 0.0
        var isNegative = false
        func digits() -> Int {
            let start = position
            while position < text.count, text[position] >= UInt8(ascii: "0"), text[position] <= UInt8(ascii: "9") {
                position += 1
            }
            return position - start
        }
        while position < text.count {
            if text[position] == UInt8(ascii: "-") {
                isNegative = true
                position += 1
            }
            let start = position
            guard digits() > 0 else { return nil }
            if position < text.count, text[position] == UInt8(ascii: ".") {
                position += 1
                _ = digits()
            }
            guard let value = number(Array(text[start..<position])), let unit = unit(text, &position) else {
                return nil
            }
            total += (isNegative ? -value : value) * unit
        }
        return text.isEmpty ? nil : milliseconds(total)
    }

    /// Digits with at most one point among or behind them, a sign and an exponent.
    private static func number(_ text: [UInt8]) -> Double? {
        guard let first = text.first, first != UInt8(ascii: "+") else { return nil }
        for byte in text {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"),
                UInt8(ascii: "-"), UInt8(ascii: "+"):
                continue
            default: return nil
            }
        }
        var digits = String(decoding: text, as: UTF8.self)
        if digits.hasSuffix(".") { digits.removeLast() }
        return Double(digits)
    }

    /// Milliseconds of the unit at a position, which moves behind it.
    private static func unit(_ text: [UInt8], _ position: inout Int) -> Double? {
        guard position < text.count else { return nil }
        let letter = text[position]
        position += 1
        switch letter {
        case UInt8(ascii: "m"):
            guard position < text.count, text[position] == UInt8(ascii: "s") else { return 60_000 }
            position += 1
            return 1
        case UInt8(ascii: "s"): return 1000
        case UInt8(ascii: "h"): return 3_600_000
        case UInt8(ascii: "d"): return 86_400_000
        case UInt8(ascii: "w"): return 7 * 86_400_000
        case UInt8(ascii: "y"): return 365 * 86_400_000
        case UInt8(ascii: "i"): return 0
        default: return nil
        }
    }

    private static func milliseconds(_ value: Double) -> Int64? {
        value.magnitude < 0x1p62 ? Int64(value.rounded()) : nil
    }

    /// Reads the file of a part: 0 when there is none, `.corrupted` when it is not a duration.
    static func read(directory: String, on files: any FileSystem) throws(StorageError) -> Int64 {
        let path = Paths.join(directory, fileName)
        guard try files.kind(of: path) != nil else { return 0 }
        let text: RawBuffer
        do throws(StorageError) {
            text = try files.readAll(path, limitBytes: textBytesMax)
        } catch {
            guard error.kind == .limitExceeded else { throw error }
            throw StorageError(.corrupted, "not a duration: \(error.message)", path: path)
        }
        guard let interval = parse(text.bytes) else {
            throw StorageError(.corrupted, "not a duration", path: path, offset: 0)
        }
        return interval
    }
}
