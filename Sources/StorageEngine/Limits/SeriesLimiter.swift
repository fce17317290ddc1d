// SeriesLimiter.swift - how many different series may get rows within an hour or a day
// (docs/format/series-index.md, 6.11).
//
// A Bloom filter: 16 bits an item, four probes. Probe i of a series is bit
//
//   xxh64(8 bytes little-endian of metricID + i) mod (64 * words)          words = ceil(16 * max / 64)
//
// and the number of additions that set a bit is counted. A series whose four bits are set passes. Another one passes,
// and sets its bits, while the count is below the limit. So more series than the limit may pass, those that the filter
// takes for known ones, and never fewer. Since the probes of a series are those of its neighbours, one further, series 1
// to 3 look known once 0 and 4 were added: ids that arrive in ascending order are counted one by one, ids in another
// order may pass at up to four times the limit. At the end of each period, counted from the making of the limiter, the
// filter is emptied. Nothing is stored.
//
// Threads: any. A series that is known, which nearly every row is, takes four loads and no lock. Everything else
// happens under a lock. The lock-free path may meet another thread that empties the filter: that thread puts the new end
// of the period in place before it clears the first bit, so a reader that saw any cleared bit, or one set after that,
// sees the new end too when it looks again, and starts over under the lock.

import StorageBytes
import StorageRuntime
import Synchronization

/// Refuses series beyond a limit, within a period. Any thread.
final class SeriesLimiter: @unchecked Sendable {
    /// Most series a limiter can be made for: 8 GiB of filter.
    static let limitMax = 1 << 32

    /// Series that may pass within a period.
    let limit: Int
    private let clock: any StorageClock
    private let start: UInt64
    private let period: UInt64

    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let wordCount: Int
    /// The first moment of the next period, on the monotonic clock.
    private let periodEnd: Atomic<UInt64>
    private let lock = Lock()
    /// Additions that set a bit in this period. Under `lock`.
    private var additions = 0

    /// A limiter that has seen nothing; its first period starts now.
    ///
    /// - Parameters:
    ///   - limit: Series a period, `1...limitMax`; takes 2 bytes each.
    ///   - periodNanoseconds: Length of a period, above 0.
    init(limit: Int, periodNanoseconds: UInt64, clock: any StorageClock) {
        precondition(limit >= 1 && limit <= SeriesLimiter.limitMax, "a limit of \(limit) series")
        precondition(periodNanoseconds > 0, "a period of no time")
        self.limit = limit
        self.clock = clock
        start = clock.monotonicNanoseconds
        period = periodNanoseconds
        wordCount = (limit * 16 + 63) / 64
        words = .allocate(capacity: wordCount)
        for index in 0..<wordCount { (words + index).initialize(to: Atomic(0)) }
        periodEnd = Atomic(start.addingReportingOverflow(period).overflow ? .max : start + period)
    }

    /// A limiter of so many series in so many hours; nil when any number is allowed.
    static func make(_ limit: Int, hours: UInt64, clock: any StorageClock) -> SeriesLimiter? {
        guard limit > 0 else { return nil }
        return SeriesLimiter(
            limit: min(limit, limitMax), periodNanoseconds: hours * 3_600_000_000_000, clock: clock)
    }

    deinit {
        words.deinitialize(count: wordCount)
        words.deallocate()
    }

    /// Bytes of the filter; they never change.
    var memoryBytes: Int { wordCount * 8 }

    /// Additions in this period: different series, less those that the filter took for known ones.
    var count: Int {
        lock.withLock {
            startPeriodIfDue(clock.monotonicNanoseconds)
            return additions
        }
    }

    /// Tells whether rows of a series may pass, and remembers the series if so. Reads the clock.
    func add(_ metricID: UInt64) -> Bool { add(metricID, nowNanoseconds: clock.monotonicNanoseconds) }

    /// As ``add(_:)`` for callers that have read the monotonic clock for many rows. A moment of a period that is over
    /// counts as now.
    func add(_ metricID: UInt64, nowNanoseconds now: UInt64) -> Bool {
        let probes = probes(of: metricID)
        let end = periodEnd.load(ordering: .acquiring)
        if now < end, areSet(probes), periodEnd.load(ordering: .relaxed) == end { return true }
        lock.lock()
        defer { lock.unlock() }
        startPeriodIfDue(now)
        if areSet(probes) { return true }
        if additions >= limit { return false }
        for index in 0..<4 {
            words[Int(probes[index] &>> 6)].bitwiseOr(1 &<< (probes[index] & 63), ordering: .releasing)
        }
        additions += 1
        return true
    }

    /// The numbers of the four bits of a series.
    private func probes(of metricID: UInt64) -> SIMD4<UInt64> {
        var probes = SIMD4<UInt64>()
        for index in 0..<4 {
            let hash = withUnsafeBytes(of: (metricID &+ UInt64(index)).littleEndian) { Hash.xxh64($0) }
            probes[index] = hash % UInt64(wordCount * 64)
        }
        return probes
    }

    private func areSet(_ probes: SIMD4<UInt64>) -> Bool {
        for index in 0..<4 {
            let word = words[Int(probes[index] &>> 6)].load(ordering: .acquiring)
            if word &>> (probes[index] & 63) & 1 == 0 { return false }
        }
        return true
    }

    /// Empties the filter when the period is over. The caller holds the lock.
    private func startPeriodIfDue(_ now: UInt64) {
        guard now >= periodEnd.load(ordering: .relaxed), periodEnd.load(ordering: .relaxed) != .max else { return }
        let (length, overflow) = ((now - start) / period).addingReportingOverflow(1)
        let (span, spanOverflow) = length.multipliedReportingOverflow(by: period)
        let (end, endOverflow) = start.addingReportingOverflow(span)
        periodEnd.store(overflow || spanOverflow || endOverflow ? .max : end, ordering: .releasing)
        for index in 0..<wordCount { words[index].store(0, ordering: .releasing) }
        additions = 0
    }
}
