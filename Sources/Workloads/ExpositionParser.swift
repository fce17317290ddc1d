// ExpositionParser.swift - reads pages in the Prometheus text format 0.0.4 and in OpenMetrics 1.0.
//
//   # HELP name text          # TYPE name type          # UNIT name unit (OpenMetrics)          # EOF (OpenMetrics)
//   name{key="value",key="value"} number [timestamp] [# {exemplar} number [timestamp]]
//
//   0.0.4        blanks and tabs between all tokens, trailing comma, blank lines, comments; timestamps in integer ms;
//                each line ends with a line feed
//   OpenMetrics  single spaces only, no blank lines, no comments; timestamps in seconds; exemplars; ends with # EOF;
//                the lines of a metric family stand together
//
// The parser walks over borrowed bytes one line at a time and hands out pointers into them; only escaped label values
// are copied, to a buffer that the next line reuses. Every byte is looked at before it is believed: wrong input gives
// an ExpositionError with line, column and what was expected. Lines are bounded, recursion there is none.
//
// What HELP and TYPE lines say about order is checked (one per family, before its samples). Histograms and summaries
// are not interpreted: each of their lines is one series, as in storage.

import Glibc
import StorageBytes

/// Which of the formats a page is in.
public enum ExpositionFormat: Sendable {
    /// Prometheus text format 0.0.4.
    case prometheus
    /// OpenMetrics 1.0.
    case openMetrics

    /// OpenMetrics when the last line is `# EOF`, else Prometheus.
    public static func detect(_ page: UnsafeRawBufferPointer) -> ExpositionFormat {
        var end = page.count
        if end > 0, page[end - 1] == 0x0A { end -= 1 }
        let marker = "# EOF".utf8
        guard end >= marker.count, page[(end - marker.count)..<end].elementsEqual(marker) else { return .prometheus }
        return end == marker.count || page[end - marker.count - 1] == 0x0A ? .openMetrics : .prometheus
    }
}

/// A line of a page that says something. Pointers are valid until the parser's next call.
public enum ExpositionEvent {
    /// A sample; its labels are in the parser.
    case sample(name: UnsafeRawBufferPointer, value: Double, timestampMs: Int64?)
    /// `# TYPE`.
    case type(name: UnsafeRawBufferPointer, type: String)
    /// `# HELP`; the text is unescaped.
    case help(name: UnsafeRawBufferPointer, text: UnsafeRawBufferPointer)
    /// `# UNIT`.
    case unit(name: UnsafeRawBufferPointer, unit: UnsafeRawBufferPointer)
}

/// A parser over one page. One thread at a time; the page must outlive it.
public struct ExpositionParser: ~Copyable {
    struct Label {
        var key: UnsafeRawBufferPointer
        var value: UnsafeRawBufferPointer
    }

    /// Longest line in bytes that a parser accepts unless told otherwise.
    public static let lineBytesMax = 1 << 20

    /// Labels of a sample that a parser accepts.
    public static let labelsMax = 1000

    /// The page's format.
    public let format: ExpositionFormat
    /// Line of the last event, from 1.
    public private(set) var line = 0

    private let page: UnsafeRawBufferPointer
    private let lineBytesMax: Int
    private var position = 0
    private var hasEnded = false
    var cursor: LineCursor
    var labels: [Label] = []
    var exemplarLabels: [Label] = []
    var scratch = RawBuffer()
    private var families: FamilyOrder

    /// A parser of `page`; the format is detected unless it is given.
    public init(
        _ page: UnsafeRawBufferPointer, format: ExpositionFormat? = nil,
        lineBytesMax: Int = ExpositionParser.lineBytesMax
    ) {
        let known = format ?? .detect(page)
        self.format = known
        self.page = page
        self.lineBytesMax = lineBytesMax
        cursor = LineCursor(UnsafeRawBufferPointer(start: nil, count: 0), line: 0)
        families = FamilyOrder(format: known)
    }

    /// Labels of the last sample.
    public var labelCount: Int { labels.count }

    /// Key and unescaped value of a label of the last sample, `0..<labelCount`; valid until the next call.
    public func label(_ index: Int) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        (labels[index].key, labels[index].value)
    }

    /// The next line that says something; nil at the end of the page. After an error the parser must not be used.
    public mutating func next() throws(ExpositionError) -> ExpositionEvent? {
        while try nextLine() {
            if format == .prometheus { cursor.skipBlanks() }
            if cursor.isAtEnd {
                guard format == .prometheus else { throw cursor.error("expected a sample or '#', found an empty line") }
                continue
            }
            if cursor.peek == UInt8(ascii: "#") {
                if let event = try readComment() { return event }
                continue
            }
            return try readSample()
        }
        return nil
    }

    /// Moves to the next line; false at the end of the page.
    private mutating func nextLine() throws(ExpositionError) -> Bool {
        guard position < page.count else {
            if format == .openMetrics && !hasEnded {
                throw ExpositionError(line: line + 1, column: 1, message: "expected '# EOF', found the end of the page")
            }
            return false
        }
        line += 1
        if hasEnded {
            throw ExpositionError(line: line, column: 1, message: "expected the end of the page behind '# EOF'")
        }
        let start = page.baseAddress.unsafelyUnwrapped + position
        let window = min(page.count - position, lineBytesMax + 1)
        let bytes: UnsafeRawBufferPointer
        if let feed = memchr(start, 0x0A, window) {
            bytes = UnsafeRawBufferPointer(start: start, count: UnsafeRawPointer(feed) - start)
            position += bytes.count + 1
        } else if window > lineBytesMax {
            throw ExpositionError(
                line: line, column: 1, message: "expected a line of at most \(lineBytesMax) bytes, found a longer one")
        } else {
            bytes = UnsafeRawBufferPointer(start: start, count: window)
            position = page.count
            // Only the marker of OpenMetrics may stand without its line feed: anything else was cut off.
            guard format == .openMetrics, bytes.elementsEqual("# EOF".utf8) else {
                throw ExpositionError(
                    line: line, column: window + 1,
                    message: "expected a line feed, found the end of the page (the page is cut off)")
            }
        }
        cursor = LineCursor(bytes, line: line)
        labels.removeAll(keepingCapacity: true)
        exemplarLabels.removeAll(keepingCapacity: true)
        scratch.removeAll()
        // Unescaped text is never longer than the line, so the buffer does not move while pointers into it are held.
        scratch.reserve(bytes.count)
        return true
    }

    // MARK: Comments

    private mutating func readComment() throws(ExpositionError) -> ExpositionEvent? {
        let hash = cursor
        cursor.skip()
        if format == .openMetrics {
            if cursor.rest.elementsEqual(" EOF".utf8) {
                hasEnded = true
                return nil
            }
            try cursor.expectSpace()
        } else {
            cursor.skipBlanks()
        }
        let keyword = cursor.token()
        let isUnit = keyword.elementsEqual("UNIT".utf8) && format == .openMetrics
        let isType = keyword.elementsEqual("TYPE".utf8)
        guard isUnit || isType || keyword.elementsEqual("HELP".utf8) else {
            if format == .prometheus { return nil }
            throw hash.error("expected '# HELP', '# TYPE', '# UNIT' or '# EOF', found another comment")
        }
        try separator("a metric name")
        let name = try metricName()
        if isType {
            try separator("a type")
            let place = cursor
            let token = cursor.token()
            let types =
                format == .prometheus
                ? ["counter", "gauge", "histogram", "summary", "untyped"]
                : [
                    "counter", "gauge", "histogram", "gaugehistogram", "stateset", "info", "summary", "unknown",
                ]
            guard let type = types.first(where: { token.elementsEqual($0.utf8) }) else {
                throw place.error("expected a type (\(types.joined(separator: ", "))), found \(place.found())")
            }
            try endOfLine()
            try families.metadata(.type(type), name, place)
            return .type(name: name, type: type)
        }
        let place = cursor
        if !cursor.isAtEnd {
            // In OpenMetrics one space, and whatever follows is the text, which may be empty.
            if format == .openMetrics {
                try cursor.expect(0x20, "a space and the text")
            } else {
                try separator("the text")
            }
        }
        if isUnit {
            let unit = cursor.token()
            try endOfLine()
            try families.metadata(.unit, name, place)
            return .unit(name: name, unit: unit)
        }
        let text = try unescape(cursor.rest, allowsQuote: format == .openMetrics)
        try families.metadata(.help, name, place)
        return .help(name: name, text: text)
    }

    /// Blanks between two words: at least one, in OpenMetrics exactly one space.
    private mutating func separator(_ next: String) throws(ExpositionError) {
        if format == .openMetrics { return try cursor.expectSpace() }
        guard cursor.isAtBlank else { throw cursor.error("expected a blank and \(next), found \(cursor.found())") }
        cursor.skipBlanks()
    }

    private mutating func endOfLine() throws(ExpositionError) {
        if format == .prometheus { cursor.skipBlanks() }
        guard cursor.isAtEnd else { throw cursor.error("expected the end of the line, found \(cursor.found())") }
    }

    private mutating func unescape(
        _ bytes: UnsafeRawBufferPointer, allowsQuote: Bool
    ) throws(ExpositionError) -> UnsafeRawBufferPointer {
        let valid = ExpositionSyntax.validUTF8(bytes)
        guard valid == bytes.count else { throw cursor.error("expected UTF-8 text", offset: valid) }
        let first = scratch.count
        var index = 0
        while index < bytes.count {
            var byte = bytes[index]
            if byte == UInt8(ascii: "\\") {
                let code = index + 1 < bytes.count ? bytes[index + 1] : 0
                switch code {
                case UInt8(ascii: "\\"): (byte, index) = (code, index + 1)
                case UInt8(ascii: "n"): (byte, index) = (0x0A, index + 1)
                case UInt8(ascii: "\"") where allowsQuote: (byte, index) = (code, index + 1)
                default:
                    guard format == .openMetrics else {
                        throw cursor.error("expected '\\\\' or '\\n' as escape", offset: index)
                    }
                }
            }
            scratch.append(byte)
            index += 1
        }
        return UnsafeRawBufferPointer(start: scratch.base + first, count: scratch.count - first)
    }

    // MARK: Samples

    private mutating func metricName() throws(ExpositionError) -> UnsafeRawBufferPointer {
        let place = cursor
        let name = cursor.name(allowsColon: true)
        guard name.count > 0 else { throw place.error("expected a metric name, found \(place.found())") }
        return name
    }

    private mutating func readSample() throws(ExpositionError) -> ExpositionEvent {
        let place = cursor
        let name = try metricName()
        if format == .prometheus { cursor.skipBlanks() }
        let hasLabels = cursor.peek == UInt8(ascii: "{")
        if hasLabels { try readLabels(exemplar: false) }
        // `name{...}5` is a sample in 0.0.4; `name5` never is.
        if format == .openMetrics { try cursor.expectSpace() } else { cursor.skipBlanks() }
        let value = try number("a value")
        var timestampMs: Int64?
        if format == .prometheus {
            cursor.skipBlanks()
            if !cursor.isAtEnd {
                let place = cursor
                guard let parsed = ExpositionSyntax.integer(cursor.token()) else {
                    throw place.error(
                        "expected a timestamp in integer milliseconds or the end of the line, found \(place.found())")
                }
                timestampMs = parsed
            }
        } else if !cursor.isAtEnd {
            try cursor.expectSpace()
            if cursor.peek != UInt8(ascii: "#") {
                timestampMs = try seconds()
                if !cursor.isAtEnd { try cursor.expectSpace() }
            }
            if cursor.peek == UInt8(ascii: "#") { try readExemplar(name) }
        }
        try endOfLine()
        try families.sample(name, place)
        return .sample(name: name, value: value, timestampMs: timestampMs)
    }

    private mutating func number(_ what: String) throws(ExpositionError) -> Double {
        let place = cursor
        guard let value = ExpositionSyntax.number(cursor.token(), allowsHex: format == .prometheus) else {
            throw place.error("expected \(what) (a number that a 64-bit float can hold), found \(place.found())")
        }
        return value
    }

    private mutating func seconds() throws(ExpositionError) -> Int64 {
        let place = cursor
        let value = try number("a timestamp in seconds")
        guard value.isFinite, abs(value) < 9e15 else {
            throw place.error("expected a timestamp in seconds, found \(place.found())")
        }
        return Int64((value * 1000).rounded())
    }

    private mutating func readExemplar(_ name: UnsafeRawBufferPointer) throws(ExpositionError) {
        let place = cursor
        let isAllowed = ["_total", "_bucket"].contains { name.suffix($0.utf8.count).elementsEqual($0.utf8) }
        guard isAllowed else {
            throw place.error("expected the end of the line: only _total and _bucket samples have exemplars")
        }
        cursor.skip()
        try cursor.expectSpace()
        guard cursor.peek == UInt8(ascii: "{") else {
            throw cursor.error("expected '{' of the exemplar's labels, found \(cursor.found())")
        }
        try readLabels(exemplar: true)
        var characters = 0
        for label in exemplarLabels {
            for byte in label.key where byte & 0xC0 != 0x80 { characters += 1 }
            for byte in label.value where byte & 0xC0 != 0x80 { characters += 1 }
        }
        guard characters <= 128 else {
            throw place.error("expected at most 128 characters in an exemplar's labels, found \(characters)")
        }
        try cursor.expectSpace()
        _ = try number("the exemplar's value")
        if !cursor.isAtEnd {
            try cursor.expectSpace()
            _ = try seconds()
        }
    }

    private mutating func readLabels(exemplar: Bool) throws(ExpositionError) {
        let isLoose = format == .prometheus
        cursor.skip()
        if isLoose { cursor.skipBlanks() }
        if cursor.peek == UInt8(ascii: "}") { return cursor.skip() }
        while true {
            let place = cursor
            let key = cursor.name(allowsColon: false)
            guard key.count > 0 else { throw place.error("expected a label name or '}', found \(place.found())") }
            guard !key.elementsEqual("__name__".utf8) else {
                throw place.error("expected another label name: __name__ is the metric name itself")
            }
            for other in exemplar ? exemplarLabels : labels where Bytes.compare(other.key, key) == 0 {
                throw place.error(
                    "expected distinct label names, found '\(String(decoding: key, as: UTF8.self))' twice")
            }
            guard (exemplar ? exemplarLabels.count : labels.count) < ExpositionParser.labelsMax else {
                throw place.error("expected at most \(ExpositionParser.labelsMax) labels")
            }
            if isLoose { cursor.skipBlanks() }
            try cursor.expect(UInt8(ascii: "="), "'=' behind the label name")
            if isLoose { cursor.skipBlanks() }
            try cursor.expect(UInt8(ascii: "\""), "'\"' before the label value")
            let raw = try cursor.untilQuote()
            let label = Label(key: key, value: try labelValue(raw))
            if exemplar { exemplarLabels.append(label) } else { labels.append(label) }
            try cursor.expect(UInt8(ascii: "\""), "'\"' behind the label value")
            if isLoose { cursor.skipBlanks() }
            if cursor.peek == UInt8(ascii: ",") {
                cursor.skip()
                if isLoose { cursor.skipBlanks() }
                // A comma may end the list in 0.0.4.
                if isLoose && cursor.peek == UInt8(ascii: "}") { break }
                continue
            }
            guard cursor.peek == UInt8(ascii: "}") else {
                throw cursor.error("expected ',' or '}' behind the label value, found \(cursor.found())")
            }
            break
        }
        cursor.skip()
    }

    private mutating func labelValue(
        _ raw: UnsafeRawBufferPointer
    ) throws(ExpositionError) -> UnsafeRawBufferPointer {
        // Errors are counted from the value's first byte.
        let behind = cursor
        cursor.moveBack(raw.count)
        if raw.contains(UInt8(ascii: "\\")) {
            let text = try unescapeValue(raw)
            cursor = behind
            return text
        }
        let valid = ExpositionSyntax.validUTF8(raw)
        guard valid == raw.count else { throw cursor.error("expected UTF-8 in the label value", offset: valid) }
        cursor = behind
        return raw
    }

    private mutating func unescapeValue(
        _ raw: UnsafeRawBufferPointer
    ) throws(ExpositionError) -> UnsafeRawBufferPointer {
        if format == .prometheus {
            var index = 0
            while index < raw.count {
                if raw[index] == UInt8(ascii: "\\") {
                    let code = index + 1 < raw.count ? raw[index + 1] : 0
                    guard code == UInt8(ascii: "\\") || code == UInt8(ascii: "n") || code == UInt8(ascii: "\"") else {
                        throw cursor.error("expected '\\\\', '\\\"' or '\\n' as escape", offset: index)
                    }
                    index += 1
                }
                index += 1
            }
        }
        return try unescape(raw, allowsQuote: true)
    }
}
