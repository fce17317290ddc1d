// DurationHistogram.swift - a histogram of durations as the metrics page prints it (docs/format/vmstorage-process.md, 6.1).
//
//   0...1e-9 | 18 buckets a decade from 1e-9 to 1e18 | 1e18...+Inf       lower bound exclusive, upper bound inclusive
//
// Only buckets that hold something are kept and printed. Threads: any.

import Glibc
import StorageRuntime

/// Counts durations in buckets.
public final class DurationHistogram: Sendable {
    private struct State {
        var buckets: [Int: UInt64] = [:]
        var sum = 0.0
        var count: UInt64 = 0
    }

    private let name: String
    private let labels: String
    private let state = Protected(State())
    private static let perDecade = 18, decadeMin = -9, decadeMax = 18

    /// A histogram; `labels` as they stand between the braces, may be empty.
    public init(_ name: String, labels: String = "") {
        self.name = name
        self.labels = labels
    }

    /// Runs `body` and counts how long it took.
    public func measure<Result>(_ body: () -> Result) -> Result {
        let start = SystemClock().monotonicNanoseconds
        defer { add(seconds: Double(SystemClock().monotonicNanoseconds - start) * 1e-9) }
        return body()
    }

    /// Counts a duration.
    public func add(seconds: Double) {
        let bucket = DurationHistogram.bucket(seconds)
        state.withLock { state in
            state.buckets[bucket, default: 0] += 1
            state.sum += seconds
            state.count += 1
        }
    }

    /// 0 is the bucket up to 1e-9, then 1, 2, ...
    static func bucket(_ value: Double) -> Int {
        guard value > 1e-9 else { return 0 }
        let place = (log10(value) - Double(decadeMin)) * Double(perDecade)
        let last = (decadeMax - decadeMin) * perDecade
        return place > Double(last) ? last + 1 : max(1, Int(place.rounded(.up)))
    }

    private static func bound(_ bucket: Int) -> String {
        let value = pow(10, Double(decadeMin) + Double(bucket) / Double(perDecade))
        var text = [CChar](repeating: 0, count: 32)
        _ = withVaList([value]) { vsnprintf(&text, text.count, "%.3e", $0) }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The lines of the histogram; none while it is empty.
    public var metrics: [NodeMetric] {
        let state = state.withLock { $0 }
        guard state.count > 0 else { return [] }
        let last = (DurationHistogram.decadeMax - DurationHistogram.decadeMin) * DurationHistogram.perDecade + 1
        let before = labels.isEmpty ? "" : labels + ","
        let own = labels.isEmpty ? "" : "{\(labels)}"
        var metrics = state.buckets.sorted { $0.key < $1.key }.map { bucket, count in
            let low = bucket == 0 ? "0" : DurationHistogram.bound(bucket - 1)
            let high = bucket == last ? "+Inf" : DurationHistogram.bound(bucket)
            return NodeMetric("\(name)_bucket{\(before)vmrange=\"\(low)...\(high)\"}", count)
        }
        metrics.append(NodeMetric(name + "_sum" + own, state.sum))
        metrics.append(NodeMetric(name + "_count" + own, state.count))
        return metrics
    }
}
