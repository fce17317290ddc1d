// NodeMetric.swift - one line of the metrics page (docs/format/vmstorage-process.md, 6.1).

/// A series and its value.
public struct NodeMetric: Sendable, Equatable {
    /// Name and labels, as printed.
    public var series: String
    /// The value.
    public var value: Double

    /// A metric with a value.
    public init(_ series: String, _ value: Double) {
        self.series = series
        self.value = value
    }

    /// A metric with a count.
    public init(_ series: String, _ value: some BinaryInteger) { self.init(series, Double(value)) }

    /// The value as text: whole numbers without an exponent, others in the shortest form that reads back.
    public var valueText: String {
        if value == value.rounded(), abs(value) < 9e15 { return String(Int64(value)) }
        return "\(value)"
    }
}
