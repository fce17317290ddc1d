// QuotedText.swift - arbitrary bytes as quoted text for log lines and error texts, in the notation of the reference:
// printable characters as they are, the usual escapes, everything that is not valid UTF-8 as \xNN.

/// Bytes in quotes.
public enum QuotedText {
    /// `bytes` between double quotes.
    public static func quote(_ bytes: some Sequence<UInt8>) -> String {
        var text = "\""
        var decoder = UTF8()
        let all = Array(bytes)
        var index = 0
        while index < all.count {
            var rest = all[index...].makeIterator()
            guard case .scalarValue(let scalar) = decoder.decode(&rest) else {
                text += hex(all[index])
                index += 1
                decoder = UTF8()
                continue
            }
            append(scalar, to: &text)
            index += UTF8.width(scalar)
            decoder = UTF8()
        }
        return text + "\""
    }

    /// `text` between double quotes.
    public static func quote(_ text: String) -> String { quote(text.utf8) }

    private static func append(_ scalar: Unicode.Scalar, to text: inout String) {
        switch scalar {
        case "\"": text += "\\\""
        case "\\": text += "\\\\"
        case "\u{07}": text += "\\a"
        case "\u{08}": text += "\\b"
        case "\u{0C}": text += "\\f"
        case "\n": text += "\\n"
        case "\r": text += "\\r"
        case "\t": text += "\\t"
        case "\u{0B}": text += "\\v"
        default:
            if scalar.value < 0x20 || scalar.value == 0x7F {
                text += hex(UInt8(scalar.value))
            } else if scalar.value < 0x7F || !isInvisible(scalar) {
                text.unicodeScalars.append(scalar)
            } else {
                let digits = String(scalar.value, radix: 16)
                text +=
                    scalar.value < 0x10000
                    ? "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                    : "\\U" + String(repeating: "0", count: 8 - digits.count) + digits
            }
        }
    }

    private static func isInvisible(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            true
        default: false
        }
    }

    private static func hex(_ byte: UInt8) -> String { "\\x" + Hex.encode([byte]) }
}
