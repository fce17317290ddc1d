// MetricName+Text.swift - names for people: logs and error texts (docs/format/series-index.md, 2.8).
//
//   AccountID=7, ProjectID=42, http_requests_total{job="api",instance="host-1:8080"}
//
// Group and keys are written as they are. Values are quoted as a Go string literal: printable characters as they are,
// `\a \b \f \n \r \t \v \\ \"`, `\xNN` for other ASCII and for bytes that are not UTF-8, `\uNNNN` and `\UNNNNNNNN` for
// characters that do not print (all but letters, marks, numbers, punctuation and symbols).

extension MetricName: CustomStringConvertible {
    /// The string form as bytes; not UTF-8 where the group or a key is not.
    public var text: [UInt8] {
        var text = Array("AccountID=\(tenant.accountID), ProjectID=\(tenant.projectID), ".utf8)
        text += group
        text.append(UInt8(ascii: "{"))
        for (index, tag) in tags.enumerated() {
            if index > 0 { text.append(UInt8(ascii: ",")) }
            text += tag.key
            text += "=\"".utf8
            MetricName.appendQuoted(tag.value, to: &text)
            text.append(UInt8(ascii: "\""))
        }
        text.append(UInt8(ascii: "}"))
        return text
    }

    /// ``text`` as a string; bytes that are not UTF-8 become U+FFFD.
    public var description: String { String(decoding: text, as: UTF8.self) }

    private static func appendQuoted(_ value: [UInt8], to text: inout [UInt8]) {
        var index = 0
        while index < value.count {
            let byte = value[index]
            if byte < 0x80 {
                appendQuoted(ascii: byte, to: &text)
                index += 1
            } else if let (scalar, length) = decodeScalar(value, at: index) {
                if prints(scalar) {
                    text += value[index..<(index + length)]
                } else if scalar.value < 0x1_0000 {
                    appendHex("\\u", scalar.value, digits: 4, to: &text)
                } else {
                    appendHex("\\U", scalar.value, digits: 8, to: &text)
                }
                index += length
            } else {
                appendHex("\\x", UInt32(byte), digits: 2, to: &text)
                index += 1
            }
        }
    }

    private static func appendQuoted(ascii byte: UInt8, to text: inout [UInt8]) {
        switch byte {
        case 0x07: text += "\\a".utf8
        case 0x08: text += "\\b".utf8
        case 0x09: text += "\\t".utf8
        case 0x0A: text += "\\n".utf8
        case 0x0B: text += "\\v".utf8
        case 0x0C: text += "\\f".utf8
        case 0x0D: text += "\\r".utf8
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
        case 0x20..<0x7F: text.append(byte)
        default: appendHex("\\x", UInt32(byte), digits: 2, to: &text)
        }
    }

    private static func appendHex(_ prefix: String, _ value: UInt32, digits: Int, to text: inout [UInt8]) {
        text += prefix.utf8
        let hex = String(value, radix: 16)
        text += repeatElement(UInt8(ascii: "0"), count: digits - hex.utf8.count)
        text += hex.utf8
    }

    /// The character that starts at `index`, and its bytes; nil where the bytes are not UTF-8.
    private static func decodeScalar(_ bytes: [UInt8], at index: Int) -> (Unicode.Scalar, Int)? {
        let lead = bytes[index]
        let length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0
        guard length > 0, lead < 0xF5, index + length <= bytes.count else { return nil }
        var value = UInt32(lead) & (0x7F >> UInt32(length))
        for byte in bytes[(index + 1)..<(index + length)] {
            guard byte & 0xC0 == 0x80 else { return nil }
            value = value << 6 | UInt32(byte & 0x3F)
        }
        let smallest: UInt32 = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x1_0000
        guard value >= smallest, let scalar = Unicode.Scalar(value) else { return nil }
        return (scalar, length)
    }

    private static func prints(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .spaceSeparator, .lineSeparator,
            .paragraphSeparator:
            false
        default: true
        }
    }
}
