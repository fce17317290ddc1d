// RoundFeed.swift - the rows of a profile, a round at a time, ready for the engine before the clock of the round starts.
//
//   RowStream (numbers, times, values)  +  SeriesPool (names)  ->  rows   MetricRow x series, in the order of the round
//                                                                 numbers UInt32 x series, the series of each row
//
// Rows point to the names of the pool, which live as long as the run. A round visits the series in the order of the
// scrape, or in one fixed permutation of it. What was prepared is digested on the way. All memory is mapped apart and counted, and so is the CPU of preparing.
//
// Threads: one owner; the rows may be read by any thread until the next round is prepared.

import StorageBytes
import StorageEngine
import StorageRuntime
import Workloads

/// The series of a profile: their names, made ahead, and the plan that their rows follow.
final class RowSource: Sendable {
    let plan: SeriesPlan
    let pool: SeriesPool

    init(_ plan: SeriesPlan, _ pool: SeriesPool) {
        self.plan = plan
        self.pool = pool
    }

    var profile: Profile { plan.profile }
}

/// The order in which a round visits the series.
public enum RowOrder: String, Sendable, CaseIterable {
    /// Target by target, as scraped.
    case scrape
    /// One permutation for all rounds.
    case shuffled
}

/// Prepares rounds.
struct RoundFeed: ~Copyable {
    private let source: RowSource
    private var stream: RowStream
    private var batch = RowBatch(capacity: RoundFeed.pieceRows)
    private let rowArena: MappedArena
    private let numberArena: MappedArena
    /// The permutation, when there is one.
    private let placeArena: MappedArena
    private let isShuffled: Bool
    private let order: RowOrder
    private let seed: UInt64
    /// What was prepared so far.
    private(set) var log: [Step]
    private let digest = Digest()
    static let pieceRows = 4096
    /// Rows of a round: the active series.
    let roundRows: Int
    /// Most rows that ``repeatLast(rounds:stepMs:)`` can prepare at once.
    let rowsMax: Int

    /// A step of a feed: what it takes to prepare the same rows once more.
    enum Step {
        /// ``next()``.
        case next
        /// ``repeatLast(rounds:startMs:stepMs:)``.
        case again(rounds: Int, startMs: Int64, stepMs: Int64)
    }

    /// Round that is prepared; -1 before the first.
    private(set) var round = -1
    /// Rows that are prepared, and how many of them begin a series.
    private(set) var count = 0, newSeries = 0
    /// Earliest and latest timestamp of the prepared rows.
    private(set) var firstMs: Int64 = 0, lastMs: Int64 = 0
    /// CPU seconds of preparing so far.
    private(set) var cpuSeconds = 0.0

    /// A feed before its first round.
    ///
    /// - Parameter rowsMax: Room for repeated rounds; at least one round always fits.
    init(_ source: RowSource, order: RowOrder, seed: UInt64, rowsMax: Int = 0) throws(StorageError) {
        let roundRows = source.profile.roundRows
        let rowsMax = max(roundRows, rowsMax)
        let isShuffled = order == .shuffled
        let stream = try RowStream(source.plan, includesNames: false)
        let rowArena = try MappedArena(bytes: rowsMax * MemoryLayout<MetricRow>.stride)
        let numberArena = try MappedArena(bytes: roundRows * 4)
        let placeArena = try RoundFeed.permutation(isShuffled ? roundRows : 0, seed: seed)
        self.roundRows = roundRows
        self.rowsMax = rowsMax
        self.order = order
        self.seed = seed
        log = []
        // Most runs stay within this; a longer one allocates.
        log.reserveCapacity(source.profile.rounds + 1024)
        self.isShuffled = isShuffled
        self.stream = stream
        self.rowArena = rowArena
        self.numberArena = numberArena
        self.placeArena = placeArena
        self.source = source
        for index in 0..<source.pool.count { digest.addItem(source.pool.name(index)) }
    }

    /// XXH64 over the names of all series, then over the columns of each piece of up to 4096 rows of a round: numbers of
    /// series, timestamps, values. Independent of the order in which the rounds visit the series.
    var streamDigest: UInt64 { digest.value }

    /// Bytes mapped by the feed.
    var bytesMapped: Int { stream.bytesMapped + rowArena.count + numberArena.count + placeArena.count }

    /// The prepared rows.
    var rows: UnsafeBufferPointer<MetricRow> { UnsafeBufferPointer(start: UnsafePointer(rowStart), count: count) }

    /// Numbers of the series of the latest round, in the order of its rows.
    var numbers: UnsafeBufferPointer<UInt32> {
        UnsafeBufferPointer(start: UnsafePointer(numberStart), count: round < 0 ? 0 : roundRows)
    }

    private var rowStart: UnsafeMutablePointer<MetricRow> { rowArena.base.assumingMemoryBound(to: MetricRow.self) }
    private var numberStart: UnsafeMutablePointer<UInt32> { numberArena.base.assumingMemoryBound(to: UInt32.self) }

    /// Prepares the next round of the profile; false when there is none.
    mutating func next() -> Bool {
        let start = CPUTime.ofThread()
        defer { cpuSeconds += CPUTime.ofThread() - start }
        let nameBase = source.pool.base
        let nameStarts = source.pool.nameStarts
        let places = placeArena.base.assumingMemoryBound(to: UInt32.self)
        var filled = 0
        while filled < roundRows {
            // Behind the last round everything stays as it was left.
            guard stream.next(into: &batch) else { return false }
            if filled == 0 {
                newSeries = 0
                firstMs = .max
                lastMs = .min
            }
            for row in 0..<batch.count {
                let place = isShuffled ? Int(places[filled &+ row]) : filled &+ row
                let number = batch.series[row]
                let first = Int(nameStarts[Int(number)])
                let name = UnsafeRawBufferPointer(
                    start: nameBase + first, count: Int(nameStarts[Int(number) &+ 1]) &- first)
                (rowStart + place).initialize(
                    to: MetricRow(name: name, timestampMs: batch.timestampsMs[row], value: batch.values[row]))
                numberStart[place] = number
                newSeries &+= Int(batch.isNew[row])
                firstMs = min(firstMs, batch.timestampsMs[row])
                lastMs = max(lastMs, batch.timestampsMs[row])
            }
            digest.add(UnsafeRawBufferPointer(start: batch.series, count: batch.count * 4))
            digest.add(UnsafeRawBufferPointer(start: batch.timestampsMs, count: batch.count * 8))
            digest.add(UnsafeRawBufferPointer(start: batch.values, count: batch.count * 8))
            filled += batch.count
            round = batch.round
        }
        count = filled
        log.append(.next)
        return true
    }

    /// A feed of the same stream before its first round.
    func fresh() throws(StorageError) -> RoundFeed {
        try RoundFeed(source, order: order, seed: seed, rowsMax: rowsMax)
    }

    /// Makes a step that another feed of the same stream has made.
    mutating func make(_ step: Step) {
        switch step {
        case .next: _ = next()
        case .again(let rounds, let startMs, let stepMs):
            repeatLast(rounds: rounds, startMs: startMs, stepMs: stepMs)
        }
    }

    /// Prepares the rows of the latest round again, `rounds` times, from `startMs` on and `stepMs` apart; each series
    /// keeps its place. At most ``rowsMax`` rows.
    mutating func repeatLast(rounds: Int, startMs: Int64, stepMs: Int64) {
        precondition(round >= 0 && rounds > 0 && rounds * roundRows <= rowsMax, "\(rounds) rounds of \(roundRows) rows")
        let start = CPUTime.ofThread()
        defer { cpuSeconds += CPUTime.ofThread() - start }
        newSeries = 0
        log.append(.again(rounds: rounds, startMs: startMs, stepMs: stepMs))
        for repetition in 0..<rounds {
            let moment = startMs &+ Int64(repetition) &* stepMs
            for row in 0..<roundRows {
                var copy = rowStart[row]
                copy.timestampMs = moment &+ Int64(row) &* stepMs / Int64(roundRows)
                copy.value += 1
                (rowStart + (repetition &* roundRows &+ row)).initialize(to: copy)
            }
        }
        count = rounds * roundRows
        firstMs = startMs
        lastMs = rowStart[count - 1].timestampMs
    }

    /// 0..<count in random order, as UInt32.
    private static func permutation(_ count: Int, seed: UInt64) throws(StorageError) -> MappedArena {
        let arena = try MappedArena(bytes: count * 4)
        let places = arena.base.assumingMemoryBound(to: UInt32.self)
        var random = SplitMix64(seed: Seeds.derive(seed, "row order"))
        for index in 0..<count {
            let other = random.below(index + 1)
            places[index] = places[other]
            places[other] = UInt32(index)
        }
        return arena
    }
}
