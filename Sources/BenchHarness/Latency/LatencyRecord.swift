// LatencyRecord.swift - the latencies of one phase as they stand in run.json: percentiles for people and programs, and the
// counts of the histogram, from which latency.hgrm and latency.hlog are made again.

import Histogram

/// Latencies of the insert blocks of a phase, or of its searches.
public struct LatencyRecord: Sendable, Equatable, Codable {
    /// Where a latency begins.
    public enum Start: String, Sendable, Codable {
        /// When the block should have started, by the rate of an open loop.
        case intended
        /// When it was handed to AddRows.
        case actual
    }

    /// One percentile.
    public struct Point: Sendable, Equatable, Codable {
        /// Share of the blocks, percent.
        public var percentile: Double
        /// Latency that they do not exceed, microseconds, three significant digits.
        public var us: Double
    }

    /// Phase of the run: `new`, `rounds`, `known`, `paced`, `searched` or `new day`; of searches `searches` (beside rows) or
    /// `searches alone`.
    public var phase: String
    /// Where the latencies begin.
    public var from: Start
    /// First and last moment of the phase, seconds since the start of the ingest.
    public var startSeconds: Double, endSeconds: Double
    /// Number of blocks.
    public var count: UInt64
    /// Mean and greatest latency, microseconds.
    public var meanUs: Double, maxUs: Double
    /// p50, p90, p99, p99.9, p99.99.
    public var percentiles: [Point]
    /// The histogram: latencies in nanoseconds (the greatest of each class, ascending) and how many blocks had them.
    public var valuesNs: [UInt64], counts: [UInt64]

    /// The percentiles that are reported.
    static let reported = [50, 90, 99, 99.9, 99.99]

    init(phase: String, from: Start, startSeconds: Double, endSeconds: Double, _ histogram: LatencyHistogram) {
        self.phase = phase
        self.from = from
        self.startSeconds = startSeconds
        self.endSeconds = endSeconds
        count = histogram.totalCount
        meanUs = histogram.mean / 1000
        maxUs = Double(histogram.max) / 1000
        percentiles = []
        valuesNs = []
        counts = []
        for value in histogram.recordedValues() {
            valuesNs.append(value.value)
            counts.append(UInt64(value.count))
        }
        percentiles = LatencyRecord.reported.map { Point(percentile: $0, us: rank($0)) }
    }

    /// Microseconds that a share of the blocks does not exceed: the class in which the nearest rank lies.
    private func rank(_ percentile: Double) -> Double {
        // 99.9 % of 1000 is 999, whatever the last bit of the product says.
        let rank = max(1, (percentile / 100 * Double(count) - 1e-6).rounded(.up))
        var seen = 0.0
        for (value, count) in zip(valuesNs, counts) {
            seen += Double(count)
            if seen >= rank { return Double(value) / 1000 }
        }
        return maxUs
    }

    /// The histogram that the counts describe. Counts that do not fit are cut off, so that a damaged file cannot trap.
    func histogram() -> LatencyHistogram {
        var histogram = LatencyRecorder.histogram()
        for (value, count) in zip(valuesNs, counts) {
            _ = histogram.record(min(value, LatencyRecorder.nanosecondsMax), count: UInt32(clamping: count))
        }
        return histogram
    }

    /// The latency that a share of the blocks does not exceed, microseconds; nil when it is not one of the reported.
    public func us(atPercentile percentile: Double) -> Double? {
        percentiles.first { $0.percentile == percentile }?.us
    }

    /// Name of the series in files and legends: `rounds, from the intended start`.
    var title: String { "\(phase), from the \(from.rawValue) start" }
    /// Whether these are searches, and not insert blocks.
    var isOfSearches: Bool { phase.hasPrefix("searches") }
    /// The same as one word: `rounds-intended`.
    var tag: String { String(phase.map { $0 == " " ? "-" : $0 }) + "-" + from.rawValue }
}
