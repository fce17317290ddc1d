// JSONText.swift - text as a string of JSON (RFC 8259, 7). For log lines in the notation of the reference see QuotedText: its
// escapes \a, \v and \x are none of JSON. Threads: plain values.

/// Text in JSON.
public enum JSONText {
    /// `text` between double quotes. Complexity: linear.
    public static func quote(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\t": quoted += "\\t"
            case "\r": quoted += "\\r"
            default:
                if scalar.value < 0x20 {
                    let digits = String(scalar.value, radix: 16)
                    quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                } else {
                    quoted.unicodeScalars.append(scalar)
                }
            }
        }
        return quoted + "\""
    }
}
