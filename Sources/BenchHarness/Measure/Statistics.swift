// Statistics.swift - order statistics of small samples.
//
// Percentiles are those of the sample itself (nearest rank), so every number printed was really measured.

/// Order statistics of a sample.
public struct Statistics: Sendable, Equatable {
    /// The sample in ascending order.
    public let sorted: [Double]

    /// The statistics of `values`, in any order.
    public init(_ values: some Sequence<Double>) { sorted = values.sorted() }

    /// Number of values.
    public var count: Int { sorted.count }
    /// The smallest value; 0 for an empty sample.
    public var min: Double { sorted.first ?? 0 }
    /// The greatest value; 0 for an empty sample.
    public var max: Double { sorted.last ?? 0 }
    /// The mean; 0 for an empty sample.
    public var mean: Double { sorted.isEmpty ? 0 : sorted.reduce(0, +) / Double(sorted.count) }
    /// The middle value, or the mean of the two middle ones; 0 for an empty sample.
    public var median: Double {
        guard !sorted.isEmpty else { return 0 }
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    /// The smallest value that at least `share` (0...1) of the sample does not exceed; 0 for an empty sample.
    public func percentile(_ share: Double) -> Double {
        guard !sorted.isEmpty else { return 0 }
        let rank = (share * Double(sorted.count)).rounded(.up)
        return sorted[Swift.min(Swift.max(Int(rank), 1), sorted.count) - 1]
    }
}
