// LineCursor.swift - a position in one line of an exposition page, and the order of metric families.

import StorageBytes

/// Moves through the bytes of one line (without its line feed) and never leaves them.
struct LineCursor {
    private let bytes: UnsafeRawBufferPointer
    private var index = 0
    private let line: Int

    init(_ bytes: UnsafeRawBufferPointer, line: Int) {
        self.bytes = bytes
        self.line = line
    }

    var isAtEnd: Bool { index == bytes.count }
    /// The next byte; 0 at the end (a zero byte is no token of the formats, so the two need not be told apart).
    var peek: UInt8 { index < bytes.count ? bytes[index] : 0 }
    var isAtBlank: Bool { peek == 0x20 || peek == 0x09 }
    var rest: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[index...]) }

    mutating func skip() { index = min(index + 1, bytes.count) }

    mutating func moveBack(_ count: Int) { index = max(0, index - count) }

    mutating func skipBlanks() { while isAtBlank { index += 1 } }

    /// The bytes up to the next blank or the end.
    mutating func token() -> UnsafeRawBufferPointer {
        let start = index
        while index < bytes.count, !isAtBlank { index += 1 }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<index])
    }

    /// The longest name from here on; empty when there is none.
    mutating func name(allowsColon: Bool) -> UnsafeRawBufferPointer {
        let start = index
        while index < bytes.count {
            let byte = bytes[index]
            let isColon = allowsColon && byte == UInt8(ascii: ":")
            guard ExpositionSyntax.isNameStart(byte) || isColon || (index > start && ExpositionSyntax.isDigit(byte))
            else { break }
            index += 1
        }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<index])
    }

    /// The bytes up to the quote that ends a label value; the cursor stands on the quote, or at the end without one.
    mutating func untilQuote() throws(ExpositionError) -> UnsafeRawBufferPointer {
        let start = index
        while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
            index += bytes[index] == UInt8(ascii: "\\") && index + 1 < bytes.count ? 2 : 1
        }
        guard index < bytes.count else {
            throw error("expected '\"' behind the label value, found the end of the line")
        }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<index])
    }

    mutating func expect(_ byte: UInt8, _ what: String) throws(ExpositionError) {
        guard index < bytes.count, bytes[index] == byte else { throw error("expected \(what), found \(found())") }
        index += 1
    }

    mutating func expectSpace() throws(ExpositionError) {
        guard peek == 0x20, index + 1 < bytes.count, bytes[index + 1] != 0x20, bytes[index + 1] != 0x09 else {
            throw error("expected a single space and a word, found \(found())")
        }
        index += 1
    }

    func error(_ message: String, offset: Int = 0) -> ExpositionError {
        ExpositionError(line: line, column: index + offset + 1, message: message)
    }

    /// What stands here, for messages.
    func found() -> String {
        guard index < bytes.count else { return "the end of the line" }
        var copy = self
        let token = copy.token()
        if token.isEmpty { return peek == 0x20 ? "a space" : "a tab" }
        let shown = String(decoding: token.prefix(40), as: UTF8.self).unicodeScalars
        var text = ""
        for scalar in shown {
            if scalar.value < 0x20 || scalar.value == 0x7F || scalar.value == 0xFFFD {
                text +=
                    "\\x"
                    + String(scalar.value == 0xFFFD ? UInt32(token.first { $0 >= 0x80 } ?? 0) : scalar.value, radix: 16)
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return "'" + text + (token.count > 40 ? "...'" : "'")
    }
}

/// Checks that each family is described once, before its samples, and (OpenMetrics) that its lines stand together.
struct FamilyOrder {
    enum Metadata { case help, type(String), unit }

    private struct Known {
        var help = false, type = false, unit = false
        var sampled = false
    }

    private let format: ExpositionFormat
    private var known: [String: Known] = [:]
    private var current = ""
    private var lastSample: [UInt8] = []
    private static let suffixes = ["_total", "_created", "_bucket", "_sum", "_count", "_gcount", "_gsum", "_info"]

    init(format: ExpositionFormat) { self.format = format }

    mutating func metadata(
        _ line: Metadata, _ name: UnsafeRawBufferPointer, _ place: LineCursor
    ) throws(ExpositionError) {
        let family = String(decoding: name, as: UTF8.self)
        lastSample = []
        var entry = known[family] ?? Known()
        let word: String
        let isSecond: Bool
        switch line {
        case .help: (word, isSecond, entry.help) = ("HELP", entry.help, true)
        case .type: (word, isSecond, entry.type) = ("TYPE", entry.type, true)
        case .unit: (word, isSecond, entry.unit) = ("UNIT", entry.unit, true)
        }
        if isSecond { throw place.error("expected one \(word) line for a metric, found a second one for '\(family)'") }
        var sampled = entry.sampled
        if format == .prometheus, case .type(let type) = line {
            // In 0.0.4 the samples were filed under their own names.
            let parts =
                type == "histogram" ? ["_bucket", "_sum", "_count"] : type == "summary" ? ["_sum", "_count"] : []
            for part in parts where known[family + part]?.sampled == true { sampled = true }
        }
        if sampled, format == .openMetrics || word == "TYPE" {
            throw place.error("expected the \(word) line of '\(family)' before its first sample")
        }
        if format == .openMetrics, family != current, known[family] != nil {
            throw place.error("expected the lines of '\(family)' in one group, found others between them")
        }
        current = family
        known[family] = entry
    }

    mutating func sample(_ name: UnsafeRawBufferPointer, _ place: LineCursor) throws(ExpositionError) {
        // Samples of one name mostly follow each other: looked up once.
        if lastSample.elementsEqual(name) { return }
        lastSample = Array(name)
        var family = String(decoding: name, as: UTF8.self)
        if format == .openMetrics {
            if family != current, known[current] != nil, family.hasPrefix(current),
                FamilyOrder.suffixes.contains(String(family.dropFirst(current.count)))
            {
                family = current
            } else if family != current, known[family] != nil {
                throw place.error("expected the lines of '\(family)' in one group, found others between them")
            }
            current = family
        }
        known[family, default: Known()].sampled = true
    }
}
