// ExpositionSyntax.swift - the words of the exposition formats: names, numbers, errors with their place.

/// What is wrong in an exposition page, with the place.
public struct ExpositionError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Line, from 1.
    public let line: Int
    /// Byte in the line, from 1.
    public let column: Int
    /// What should be there and what is.
    public let message: String

    /// One line.
    public var description: String { "line \(line), column \(column): \(message)" }
}

/// Character classes and numbers of the formats.
enum ExpositionSyntax {
    @inline(__always) static func isNameStart(_ byte: UInt8) -> Bool {
        (byte | 0x20) &- 0x61 < 26 || byte == UInt8(ascii: "_")
    }

    @inline(__always) static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    /// `[a-zA-Z_][a-zA-Z0-9_]*`
    static func isLabelName(_ text: String) -> Bool {
        guard let first = text.utf8.first, isNameStart(first) else { return false }
        return text.utf8.allSatisfy { isNameStart($0) || isDigit($0) }
    }

    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`
    static func isMetricName(_ text: String) -> Bool {
        guard let first = text.utf8.first, isNameStart(first) || first == UInt8(ascii: ":") else { return false }
        return text.utf8.allSatisfy { isNameStart($0) || isDigit($0) || $0 == UInt8(ascii: ":") }
    }

    /// A number: decimal with optional fraction and exponent, `inf`, `infinity` or `nan` in any case, each with a sign
    /// (no sign before `nan`); with `allowsHex` also hexadecimal floating point. nil when it is none, or too large.
    static func number(_ bytes: UnsafeRawBufferPointer, allowsHex: Bool) -> Double? {
        guard bytes.count > 0, bytes.count <= 400 else { return nil }
        var index = 0
        let isSigned = bytes[0] == UInt8(ascii: "-") || bytes[0] == UInt8(ascii: "+")
        if isSigned { index = 1 }
        guard index < bytes.count else { return nil }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[index...])
        if isWord(rest, "inf") || isWord(rest, "infinity") {
            return bytes[0] == UInt8(ascii: "-") ? -.infinity : .infinity
        }
        if isWord(rest, "nan") { return isSigned ? nil : .nan }
        let isHex = rest.count > 2 && rest[0] == 0x30 && rest[1] | 0x20 == UInt8(ascii: "x")
        if isHex && !allowsHex { return nil }
        guard isHex ? isHexadecimal(rest) : isDecimal(rest) else { return nil }
        // The grammar has been checked: the library sees digits, sign, point and exponent only.
        guard let value = Double(String(decoding: bytes, as: UTF8.self)), value.isFinite else { return nil }
        return value
    }

    private static func isWord(_ bytes: UnsafeRawBufferPointer, _ word: StaticString) -> Bool {
        guard bytes.count == word.utf8CodeUnitCount else { return false }
        for index in 0..<bytes.count where bytes[index] | 0x20 != word.utf8Start[index] { return false }
        return true
    }

    private static func isDecimal(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        var digits = 0
        while index < bytes.count, isDigit(bytes[index]) { (index, digits) = (index + 1, digits + 1) }
        if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
            index += 1
            while index < bytes.count, isDigit(bytes[index]) { (index, digits) = (index + 1, digits + 1) }
        }
        return digits > 0 && isExponent(bytes, index, "e")
    }

    private static func isHexadecimal(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 2
        var digits = 0
        func isHexDigit(_ byte: UInt8) -> Bool { isDigit(byte) || (byte | 0x20) &- 0x61 < 6 }
        while index < bytes.count, isHexDigit(bytes[index]) { (index, digits) = (index + 1, digits + 1) }
        if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
            index += 1
            while index < bytes.count, isHexDigit(bytes[index]) { (index, digits) = (index + 1, digits + 1) }
        }
        // The exponent is required: without it the text would be an integer.
        return digits > 0 && index < bytes.count && isExponent(bytes, index, "p")
    }

    private static func isExponent(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ letter: Unicode.Scalar) -> Bool {
        if start == bytes.count { return true }
        guard bytes[start] | 0x20 == UInt8(ascii: letter) else { return false }
        var index = start + 1
        if index < bytes.count, bytes[index] == UInt8(ascii: "-") || bytes[index] == UInt8(ascii: "+") { index += 1 }
        let first = index
        while index < bytes.count, isDigit(bytes[index]) { index += 1 }
        return index == bytes.count && index > first
    }

    /// An integer of the range of Int64.
    static func integer(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        guard bytes.count > 0, bytes.count <= 20 else { return nil }
        var index = bytes[0] == UInt8(ascii: "-") || bytes[0] == UInt8(ascii: "+") ? 1 : 0
        let isNegative = bytes[0] == UInt8(ascii: "-")
        guard index < bytes.count else { return nil }
        var value: Int64 = 0
        while index < bytes.count {
            guard isDigit(bytes[index]) else { return nil }
            let digit = Int64(bytes[index] - 0x30)
            let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
            let (next, second) =
                isNegative
                ? scaled.subtractingReportingOverflow(digit) : scaled.addingReportingOverflow(digit)
            if overflow || second { return nil }
            value = next
            index += 1
        }
        return value
    }

    /// Length of the valid UTF-8 at the start of `bytes`; equals the count when all of it is valid.
    static func validUTF8(_ bytes: UnsafeRawBufferPointer) -> Int {
        var index = 0
        while index < bytes.count {
            let lead = bytes[index]
            if lead < 0x80 {
                index += 1
                continue
            }
            let length: Int
            var lowest: UInt8 = 0x80
            var highest: UInt8 = 0xBF
            switch lead {
            case 0xC2...0xDF: length = 2
            case 0xE0...0xEF:
                length = 3
                // No over-long forms, no surrogates.
                if lead == 0xE0 { lowest = 0xA0 }
                if lead == 0xED { highest = 0x9F }
            case 0xF0...0xF4:
                length = 4
                if lead == 0xF0 { lowest = 0x90 }
                if lead == 0xF4 { highest = 0x8F }
            default: return index
            }
            guard index + length <= bytes.count, bytes[index + 1] >= lowest, bytes[index + 1] <= highest else {
                return index
            }
            for next in 2..<max(2, length) where bytes[index + next] & 0xC0 != 0x80 { return index }
            index += length
        }
        return index
    }
}
