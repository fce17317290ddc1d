// JSONReader.swift - just enough strict JSON (RFC 8259) to read metadata.json without Foundation.
//
// A pull reader: the caller walks through the text in its order and asks for what it expects; nothing is built for
// values that it skips. The grammar is checked everywhere, also in skipped values. As in the reference's parser, bytes
// that are not UTF-8 and lone surrogates become U+FFFD, and a key may occur twice (the caller decides which one wins).
//
// Bounds: the text is in memory already and limited by the caller; values nest at most `nestingMax` deep, so the
// recursion is bounded. Threads: one owner.

/// Why a JSON text cannot be read.
struct JSONError: Error, Equatable {
    /// What is wrong.
    let reason: String
    /// Where, as a byte position in the text.
    let offset: Int
}

/// Reads one JSON text from its beginning to its end.
struct JSONReader {
    /// Arrays and objects inside each other.
    static let nestingMax = 64

    private let bytes: [UInt8]
    private(set) var position = 0
    private var depth = 0

    /// A reader at the beginning of a text.
    init(_ bytes: [UInt8]) { self.bytes = bytes }

    // MARK: Values

    /// Reads an object, calling `body` with each key. `body` must read or skip exactly one value.
    mutating func object(
        _ body: (inout JSONReader, _ key: String) throws(JSONError) -> Void
    ) throws(JSONError) {
        try open("{", "an object")
        var isFirst = true
        while try !close("}", isFirst) {
            isFirst = false
            guard peek() == UInt8(ascii: "\"") else { throw failure("a key in quotes is expected") }
            let key = try string()
            skipSpace()
            guard take(":") else { throw failure("a colon is expected behind a key") }
            try body(&self, key)
        }
    }

    /// Reads a text and resolves its escapes.
    mutating func string() throws(JSONError) -> String {
        skipSpace()
        guard take("\"") else { throw failure("a string is expected") }
        var text: [UInt8] = []
        while let byte = peek() {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): try appendEscape(to: &text)
            case 0..<0x20: throw failure("a control character in a string", at: position - 1)
            default: text.append(byte)
            }
        }
        throw failure("the string does not end")
    }

    /// Reads a number without sign, fraction and exponent; `0...2^64-1`.
    mutating func unsigned() throws(JSONError) -> UInt64 {
        skipSpace()
        let start = position
        try skipNumber()
        var value: UInt64 = 0
        for digit in bytes[start..<position] {
            guard let digit = Self.digit(digit) else { throw failure("not an unsigned integer", at: start) }
            let (product, isTooBig) = value.multipliedReportingOverflow(by: 10)
            let (sum, carries) = product.addingReportingOverflow(UInt64(digit))
            if isTooBig || carries { throw failure("a number above 64 bits", at: start) }
            value = sum
        }
        return value
    }

    /// Reads `null` if that is what comes next.
    mutating func null() throws(JSONError) -> Bool {
        skipSpace()
        guard peek() == UInt8(ascii: "n") else { return false }
        try literal("null")
        return true
    }

    /// Reads any value and forgets it.
    mutating func skipValue() throws(JSONError) {
        skipSpace()
        switch peek() {
        case UInt8(ascii: "{"): try object { (reader, _) throws(JSONError) in try reader.skipValue() }
        case UInt8(ascii: "["): try skipArray()
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "t"): try literal("true")
        case UInt8(ascii: "f"): try literal("false")
        case UInt8(ascii: "n"): try literal("null")
        default: try skipNumber()
        }
    }

    /// Makes sure that only white space is left.
    mutating func end() throws(JSONError) {
        skipSpace()
        if position < bytes.count { throw failure("something is left behind the value") }
    }

    private mutating func skipArray() throws(JSONError) {
        try open("[", "an array")
        var isFirst = true
        while try !close("]", isFirst) {
            isFirst = false
            try skipValue()
        }
    }

    // MARK: Pieces

    private mutating func open(_ bracket: Unicode.Scalar, _ what: String) throws(JSONError) {
        skipSpace()
        guard take(bracket) else { throw failure("\(what) is expected") }
        depth += 1
        if depth > Self.nestingMax { throw failure("values nest deeper than \(Self.nestingMax)") }
    }

    /// Tells whether the bracket closes; otherwise stands at the next element, behind its comma.
    private mutating func close(_ bracket: Unicode.Scalar, _ isFirst: Bool) throws(JSONError) -> Bool {
        skipSpace()
        if take(bracket) {
            depth -= 1
            return true
        }
        if !isFirst {
            guard take(",") else { throw failure("a comma or \(bracket) is expected") }
            skipSpace()
        }
        return false
    }

    private mutating func literal(_ word: StaticString) throws(JSONError) {
        let start = position
        for index in 0..<word.utf8CodeUnitCount {
            guard peek() == word.utf8Start[index] else { throw failure("an unknown word", at: start) }
            position += 1
        }
    }

    private mutating func skipNumber() throws(JSONError) {
        let start = position
        _ = take("-")
        if !take("0") {
            guard skipDigits() else { throw failure("a value is expected", at: start) }
        }
        if take(".") {
            guard skipDigits() else { throw failure("digits are expected behind the point") }
        }
        if take("e") || take("E") {
            _ = take("+") || take("-")
            guard skipDigits() else { throw failure("digits are expected in the exponent") }
        }
    }

    private mutating func skipDigits() -> Bool {
        let start = position
        while let byte = peek(), Self.digit(byte) != nil { position += 1 }
        return position > start
    }

    private mutating func appendEscape(to text: inout [UInt8]) throws(JSONError) {
        guard let code = peek() else { throw failure("the string does not end") }
        position += 1
        switch code {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(code)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text.append(contentsOf: String(try escapedScalar()).utf8)
        default: throw failure("an unknown escape", at: position - 2)
        }
    }

    /// The scalar of `\uXXXX` or of a pair of surrogates; stands behind the first `\u`.
    private mutating func escapedScalar() throws(JSONError) -> Unicode.Scalar {
        let unit = try fourHexDigits()
        if let scalar = Unicode.Scalar(unit) { return scalar }
        // Half of a pair: the other half must follow, or it stands for nothing.
        let behind = position
        if unit < 0xDC00, take("\\"), take("u") {
            let low = try fourHexDigits()
            if 0xDC00...0xDFFF ~= low, let scalar = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)) {
                return scalar
            }
        }
        position = behind
        return "\u{FFFD}"
    }

    private mutating func fourHexDigits() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek(), let digit = Self.hexDigit(byte) else {
                throw failure("four hex digits are expected")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    private mutating func skipSpace() {
        while let byte = peek(), byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private func peek() -> UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func take(_ wanted: Unicode.Scalar) -> Bool {
        guard peek() == UInt8(ascii: wanted) else { return false }
        position += 1
        return true
    }

    private func failure(_ reason: String, at offset: Int? = nil) -> JSONError {
        JSONError(reason: reason, offset: offset ?? position)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte ? byte - UInt8(ascii: "0") : nil
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
