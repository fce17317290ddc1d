// ReplayPage.swift - the series of a recorded exposition page, as every target of a replay has them.
//
// Each sample line becomes one series: its name and labels by the rules of the writer of raw names
// (docs/format/series-index.md, 2.3), its value as the value that the replay starts from. Timestamps are dropped: the
// profile says when rows come.

import StorageBytes
import StorageRuntime

/// A recorded page. Immutable.
public final class ReplayPage: Sendable {
    /// A sample of the page.
    public struct Series: Sendable {
        /// Metric name.
        public let name: String
        /// Labels in the page's order, empty values left out.
        public let labels: [(key: [UInt8], value: [UInt8])]
        /// The sample's value.
        public let value: Double
        /// From the TYPE line, or from the ending of the name.
        public let kind: Profile.ValueKind
    }

    /// Labels per series that the writer of raw names keeps, the metric name included.
    public static let labelsMax = 30
    static let labelKeyBytesMax = 256
    static let labelValueBytesMax = 16_384
    static let pageBytesMax = 256 << 20

    /// Where the page came from.
    public let path: String
    /// The page's format.
    public let format: ExpositionFormat
    /// The page's series, in its order.
    public let series: [Series]
    /// Series that lost labels because they had too many.
    public let truncatedSeries: Int

    /// Reads a page of at most 256 MiB. Errors name the line.
    public convenience init(path: String) throws(StorageError) {
        let bytes = try InputFile.read(path, bytesMax: ReplayPage.pageBytesMax)
        try self.init(bytes.bytes, path: path)
    }

    /// Parses a page; `path` is for messages.
    public init(_ page: UnsafeRawBufferPointer, path: String) throws(StorageError) {
        var parser = ExpositionParser(page)
        var series = [Series]()
        var truncated = 0
        var types = [String: String]()
        var firstLines = [[UInt8]: Int]()
        do throws(ExpositionError) {
            while let event = try parser.next() {
                switch event {
                case .help, .unit: break
                case .type(let name, let type): types[String(decoding: name, as: UTF8.self)] = type
                case .sample(let bytes, let value, _):
                    let name = String(decoding: bytes, as: UTF8.self)
                    var labels = [(key: [UInt8], value: [UInt8])]()
                    // The position counts every label, the metric name (position 0) and empty values included.
                    if parser.labelCount + 1 > ReplayPage.labelsMax { truncated += 1 }
                    for index in 0..<min(parser.labelCount, ReplayPage.labelsMax - 1) {
                        let label = parser.label(index)
                        if label.value.isEmpty { continue }
                        labels.append(
                            (
                                Array(label.key.prefix(ReplayPage.labelKeyBytesMax)),
                                Array(label.value.prefix(ReplayPage.labelValueBytesMax))
                            ))
                    }
                    let identity =
                        Array(bytes) + [0]
                        + labels.sorted { $0.key.lexicographicallyPrecedes($1.key) }.flatMap {
                            RawName.length($0.key.count) + $0.key + RawName.length($0.value.count) + $0.value
                        }
                    if let first = firstLines.updateValue(parser.line, forKey: identity) {
                        throw ExpositionError(
                            line: parser.line, column: 1,
                            message: "expected each series once, found the one of line \(first) again")
                    }
                    series.append(Series(name: name, labels: labels, value: value, kind: Self.kind(name, types)))
                }
            }
        } catch {
            throw StorageError(.invalidArgument, "\(error)", path: path)
        }
        guard !series.isEmpty else {
            throw StorageError(.invalidArgument, "the page has no samples: expected at least one", path: path)
        }
        guard series.count <= Profile.ownSeriesMax else {
            throw StorageError(
                .limitExceeded, "the page has \(series.count) series: expected at most \(Profile.ownSeriesMax)",
                path: path)
        }
        self.path = path
        format = parser.format
        self.series = series
        truncatedSeries = truncated
    }

    private static func kind(_ name: String, _ types: [String: String]) -> Profile.ValueKind {
        switch types[name] {
        case "counter": return .counter
        case "gauge", "stateset", "info": return .gauge
        default: break
        }
        return Profile.looksLikeCounter(name) ? .counter : .gauge
    }
}
