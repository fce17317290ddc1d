// RowConverter.swift - rows as they arrived become a part in memory (docs/format/sample-store.md, 8.3).
//
//   1. number   each row gets the small number of its series (SeriesRanks) and moves to a batch: 16 bytes instead of 48
//   2. count    the rows of a batch by series; the counts in the order of TSIDs say where the rows of a series begin
//   3. scatter  timestamps and values go there in the order of arrival: a radix sort whose only digit is the rank of the series
//   4. sort     rows of a series that are not ascending are sorted by timestamp (rare)
//   5. convert  each run of up to 8192 rows of a series becomes a block: floats to integers, deduplication, in place
//
// Every step is stable: of rows with equal series and timestamp the one that came first stays first. The columns that step
// 3 fills are those of the part; nothing is copied again.
//
// Threads: one owner, of the converter and of its batches; tables and scratch space are kept from batch to batch.

import CIntrinsics
import StorageBytes

/// Rows that have the numbers of a converter, in pieces of three columns. A month has less than 2^32 milliseconds.
final class NumberedRows {
    /// Number of the series, milliseconds since ``base``, value as bits.
    struct Piece {
        var numbers: UnsafeMutablePointer<UInt32>
        var timestamps: UnsafeMutablePointer<UInt32>
        var values: UnsafeMutablePointer<Int64>
        var base: Int64 = 0
        var count = 0
        var capacity: Int

        /// The timestamp of a row.
        @inline(__always) func timestamp(_ index: Int) -> Int64 { base &+ Int64(timestamps[index]) }
    }

    static let rowBytes = 16
    /// Rows of a piece after the first one.
    static let pieceRows = 32768

    fileprivate(set) var pieces: [Piece] = []
    /// Rows in all pieces.
    fileprivate(set) var count = 0
    /// The timestamp that pieces begin with; nil when rows may lie anywhere, and each piece finds its own.
    let base: Int64?

    /// No rows yet. With a base, all must lie less than 2^32 milliseconds behind it.
    init(base: Int64? = nil) { self.base = base }

    deinit { for piece in pieces { NumberedRows.free(piece) } }

    fileprivate static func make(_ capacity: Int) -> Piece {
        Piece(
            numbers: .allocate(capacity: capacity), timestamps: .allocate(capacity: capacity),
            values: .allocate(capacity: capacity), capacity: capacity)
    }

    /// Frees a piece whose memory the allocator is not to keep.
    fileprivate static func giveBack(_ piece: Piece) {
        MemoryPages.drop(piece.numbers, piece.capacity * MemoryLayout<UInt32>.stride)
        MemoryPages.drop(piece.timestamps, piece.capacity * MemoryLayout<UInt32>.stride)
        MemoryPages.drop(piece.values, piece.capacity * MemoryLayout<Int64>.stride)
        free(piece)
    }

    fileprivate static func free(_ piece: Piece) {
        piece.numbers.deallocate()
        piece.timestamps.deallocate()
        piece.values.deallocate()
    }
}

/// Converts batches of rows, each into one part.
public struct RowConverter: ~Copyable {
    private var ranks = SeriesRanks()
    private var exponents: UnsafeMutablePointer<Int16>
    private var sorter = TimestampSorter()
    /// Memory of pieces that were converted.
    private var free: [NumberedRows.Piece] = []
    /// Series of the batches converted since the last ``trim()``.
    private var seriesConverted = 0
    /// Rows dropped by deduplication so far.
    public private(set) var rowsDeduplicated: UInt64 = 0

    /// Rows ahead for which memory is asked for.
    private static let prefetchDistance = 16
    /// Series the table may hold beyond twice those of the last batches.
    private static let spareSeries = 65536
    /// Pieces kept for batches to come: 16 MiB.
    private static let freePiecesMax = 32

    /// A converter that knows no series.
    public init() { exponents = .allocate(capacity: SampleLimits.blockRowsMax) }

    deinit {
        exponents.deallocate()
        for piece in free { NumberedRows.free(piece) }
    }

    /// Bytes that are kept between batches.
    public var memoryBytes: Int {
        ranks.memoryBytes + SampleLimits.blockRowsMax * 2
            + free.reduce(0) { $0 + $1.capacity * NumberedRows.rowBytes }
    }

    /// Converts rows; nil when there are none.
    ///
    /// - Parameters:
    ///   - rows: Fewer than 2^31, in any order. NaN only as the stale marker.
    ///   - precisionBits: 1...64, of all rows.
    ///   - dedupIntervalMs: Keeps the first row of each interval, per block; 0 keeps all.
    /// - Complexity: O(n) for known series whose rows come in order of time.
    public mutating func convert(
        _ rows: UnsafeBufferPointer<SampleRow>, precisionBits: Int, dedupIntervalMs: Int64
    ) -> MemorySamplePart? {
        let batch = NumberedRows()
        number(rows, into: batch)
        let part = convert(batch, precisionBits: precisionBits, dedupIntervalMs: dedupIntervalMs)
        trim()
        return part
    }

    // MARK: numbering

    /// Appends rows to a batch of this converter.
    mutating func number(_ rows: UnsafeBufferPointer<SampleRow>, into batch: NumberedRows) {
        guard let start = rows.baseAddress else { return }
        var done = 0
        while done < rows.count {
            let last = batch.pieces.count - 1
            var added = 0
            if last >= 0 {
                added = min(rows.count - done, batch.pieces[last].capacity - batch.pieces[last].count)
                if batch.base == nil {
                    added = RowConverter.nearRows(start + done, added, base: batch.pieces[last].base).count
                }
            }
            if added == 0 {
                var wanted = last < 0 ? min(rows.count, NumberedRows.pieceRows) : NumberedRows.pieceRows
                var base = batch.base
                if base == nil {
                    let near = RowConverter.nearRows(start + done, min(rows.count - done, NumberedRows.pieceRows))
                    base = near.min
                    wanted = near.count
                }
                // Batches of few rows (many months at a time) begin small.
                var piece =
                    wanted == NumberedRows.pieceRows
                    ? free.popLast() ?? NumberedRows.make(wanted) : NumberedRows.make(wanted)
                piece.base = base ?? 0
                batch.pieces.append(piece)
                continue
            }
            number(start + done, added, rows.count - done, batch.pieces[last])
            batch.pieces[last].count += added
            batch.count += added
            done += added
        }
    }

    /// How many of the first rows have timestamps that one piece can hold, and the least of these; with `base`, a piece
    /// that begins there. At least one row when there are any and no base is given.
    private static func nearRows(
        _ rows: UnsafePointer<SampleRow>, _ count: Int, base: Int64? = nil
    ) -> (count: Int, min: Int64) {
        var (least, greatest) = (base ?? .max, base ?? .min)
        for index in 0..<count {
            let timestamp = rows[index].timestampMs
            if let base, timestamp < base { return (index, base) }
            let (first, last) = (Swift.min(least, timestamp), Swift.max(greatest, timestamp))
            if UInt64(bitPattern: last &- first) > UInt64(UInt32.max) { return (index, least) }
            (least, greatest) = (first, last)
        }
        return (count, least)
    }

    /// Fills the next `count` places of a piece; `known` rows can be read.
    private mutating func number(
        _ rows: UnsafePointer<SampleRow>, _ count: Int, _ known: Int, _ piece: NumberedRows.Piece
    ) {
        let (numbers, timestamps, values) = (
            piece.numbers + piece.count, piece.timestamps + piece.count, piece.values + piece.count
        )
        let base = piece.base
        var far: UInt64 = 0
        var last = rows[0].tsid.metricID
        var lastNumber = ranks.number(of: rows[0].tsid)
        let prefetched = known &- RowConverter.prefetchDistance
        for index in 0..<count {
            if index < prefetched {
                ranks.prefetch(rows[index &+ RowConverter.prefetchDistance].tsid.metricID)
            }
            let metricID = rows[index].tsid.metricID
            if metricID != last {
                lastNumber = ranks.number(of: rows[index].tsid)
                last = metricID
            }
            (numbers + index).initialize(to: UInt32(truncatingIfNeeded: lastNumber))
            let offset = UInt64(bitPattern: rows[index].timestampMs &- base)
            far |= offset
            (timestamps + index).initialize(to: UInt32(truncatingIfNeeded: offset))
            (values + index).initialize(to: Int64(bitPattern: rows[index].value.bitPattern))
        }
        precondition(far &>> 32 == 0, "a row is more than 2^32 ms away from the start of its month")
    }

    /// Forgets the series when many more are known than the batches since the last call had. Numbers lose their meaning, so
    /// there must be no batch that is still to be converted.
    mutating func trim() {
        if ranks.count > 2 * seriesConverted + RowConverter.spareSeries { ranks.removeAll() }
        seriesConverted = 0
    }

    /// Gives back the memory of converted batches and of the table of series: no batch may wait to be converted.
    mutating func giveBackMemory() {
        for piece in free { NumberedRows.giveBack(piece) }
        free = []
        ranks = SeriesRanks()
    }

    // MARK: converting

    /// Converts a batch, which is empty afterwards; nil when it was.
    mutating func convert(
        _ batch: NumberedRows, precisionBits: Int, dedupIntervalMs: Int64
    ) -> MemorySamplePart? {
        precondition(precisionBits >= 1 && precisionBits <= 64, "\(precisionBits) precision bits")
        let count = batch.count
        precondition(count < Int(Int32.max), "\(count) rows at once")
        guard count > 0 else { return nil }
        ranks.sortNewSeries()
        for piece in batch.pieces { countRows(piece.numbers, piece.count) }
        let timestamps = UnsafeMutablePointer<Int64>.allocate(capacity: count)
        let values = UnsafeMutablePointer<Int64>.allocate(capacity: count)
        let (blocksMax, seriesCount) = placeSeries()
        seriesConverted += seriesCount
        for piece in batch.pieces { scatter(piece, timestamps, values) }
        for piece in batch.pieces {
            if piece.capacity == NumberedRows.pieceRows, free.count < RowConverter.freePiecesMax {
                var piece = piece
                piece.count = 0
                free.append(piece)
            } else {
                NumberedRows.free(piece)
            }
        }
        batch.pieces = []
        batch.count = 0
        let blocks = UnsafeMutableBufferPointer<MemorySamplePart.Block>.allocate(capacity: blocksMax)
        let blocksCount = makeBlocks(
            blocks, timestamps, values, precisionBits: precisionBits, dedupIntervalMs: dedupIntervalMs)
        return MemorySamplePart(
            taking: UnsafeMutableBufferPointer(start: blocks.baseAddress, count: blocksCount),
            timestamps: timestamps,
            values: values, capacity: count)
    }

    private func countRows(_ numbers: UnsafePointer<UInt32>, _ count: Int) {
        for index in 0..<count { ranks.counts[Int(numbers[index])] &+= 1 }
    }

    /// Turns counts into places. Returns how many blocks there can be, and how many series have rows.
    private func placeSeries() -> (blocks: Int, series: Int) {
        var place: UInt32 = 0
        var blocks = 0
        var series = 0
        let prefetched = ranks.count &- RowConverter.prefetchDistance
        for rank in 0..<ranks.count {
            if rank < prefetched {
                ci_prefetch(ranks.counts + Int(ranks.order[rank &+ RowConverter.prefetchDistance]))
            }
            let number = Int(ranks.order[rank])
            let count = ranks.counts[number]
            ranks.counts[number] = place
            place &+= count
            if count > 0 {
                series &+= 1
                blocks &+= (Int(count) &+ SampleLimits.blockRowsMax &- 1) / SampleLimits.blockRowsMax
            }
        }
        return (blocks, series)
    }

    private func scatter(
        _ piece: NumberedRows.Piece, _ timestamps: UnsafeMutablePointer<Int64>,
        _ values: UnsafeMutablePointer<Int64>
    ) {
        let (numbers, fromTimestamps, fromValues) = (piece.numbers, piece.timestamps, piece.values)
        let base = piece.base
        // First the places of later rows, then, of those a bit nearer, the memory at these places.
        let far = 2 &* RowConverter.prefetchDistance
        for index in 0..<piece.count {
            if index &+ far < piece.count {
                ci_prefetch(ranks.counts + Int(numbers[index &+ far]))
                let place = Int(ranks.counts[Int(numbers[index &+ RowConverter.prefetchDistance])])
                ci_prefetch(timestamps + place)
                ci_prefetch(values + place)
            }
            let number = Int(numbers[index])
            let place = Int(ranks.counts[number])
            ranks.counts[number] = UInt32(truncatingIfNeeded: place &+ 1)
            (timestamps + place).initialize(to: base &+ Int64(fromTimestamps[index]))
            (values + place).initialize(to: fromValues[index])
        }
    }

    /// Makes blocks of the runs of rows. `counts` are where runs end, and become zero. Returns the number of blocks.
    private mutating func makeBlocks(
        _ blocks: UnsafeMutableBufferPointer<MemorySamplePart.Block>,
        _ timestamps: UnsafeMutablePointer<Int64>,
        _ values: UnsafeMutablePointer<Int64>, precisionBits: Int, dedupIntervalMs: Int64
    ) -> Int {
        var blocksCount = 0
        var next = 0  // first row not in a block
        var target = 0  // where it goes: before `next` once rows have been dropped
        let prefetched = ranks.count &- RowConverter.prefetchDistance
        for rank in 0..<ranks.count {
            if rank < prefetched {
                let ahead = Int(ranks.order[rank &+ RowConverter.prefetchDistance])
                ci_prefetch(ranks.counts + ahead)
                ci_prefetch(ranks.tsids + ahead)
            }
            let number = Int(ranks.order[rank])
            let end = Int(ranks.counts[number])
            ranks.counts[number] = 0
            if end == next { continue }
            sorter.sort(timestamps + next, values + next, end &- next)
            while next < end {
                let count = min(end &- next, SampleLimits.blockRowsMax)
                let exponent = DecimalCoding.integers(
                    values + next, count, into: values + next, exponents: exponents)
                let kept = SampleColumns.deduplicate(
                    timestamps + next, values + next, count, intervalMs: dedupIntervalMs)
                if target < next {
                    (timestamps + target).update(from: timestamps + next, count: kept)
                    (values + target).update(from: values + next, count: kept)
                }
                blocks.initializeElement(
                    at: blocksCount,
                    to: MemorySamplePart.Block(
                        tsid: ranks.tsids[number], start: UInt32(truncatingIfNeeded: target),
                        count: UInt32(truncatingIfNeeded: kept), exponent: exponent,
                        precisionBits: UInt8(truncatingIfNeeded: precisionBits)))
                rowsDeduplicated &+= UInt64(count &- kept)
                blocksCount &+= 1
                next &+= count
                target &+= kept
            }
        }
        return blocksCount
    }
}

/// Sorts the rows of one series by timestamp, stably.
struct TimestampSorter: ~Copyable {
    private var timestamps: UnsafeMutablePointer<Int64>
    private var values: UnsafeMutablePointer<Int64>
    private var capacity = 0

    /// Up to here by insertion, beyond by counting digits.
    static let insertionMax = 48

    init() {
        timestamps = .allocate(capacity: 1)
        values = .allocate(capacity: 1)
    }

    deinit {
        timestamps.deallocate()
        values.deallocate()
    }

    /// Sorts two columns by the first one.
    @inline(__always) mutating func sort(
        _ timestamps: UnsafeMutablePointer<Int64>, _ values: UnsafeMutablePointer<Int64>, _ count: Int
    ) {
        var index = 1
        while index < count, timestamps[index] >= timestamps[index &- 1] { index &+= 1 }
        if index < count { sortUnsorted(timestamps, values, count) }
    }

    private mutating func sortUnsorted(
        _ timestamps: UnsafeMutablePointer<Int64>, _ values: UnsafeMutablePointer<Int64>, _ count: Int
    ) {
        if count <= TimestampSorter.insertionMax {
            TimestampSorter.insertion(timestamps, values, count)
        } else {
            radix(timestamps, values, count)
        }
    }

    private static func insertion(
        _ timestamps: UnsafeMutablePointer<Int64>, _ values: UnsafeMutablePointer<Int64>, _ count: Int
    ) {
        for index in 1..<count {
            let (timestamp, value) = (timestamps[index], values[index])
            var hole = index
            while hole > 0, timestamps[hole &- 1] > timestamp {
                timestamps[hole] = timestamps[hole &- 1]
                values[hole] = values[hole &- 1]
                hole &-= 1
            }
            timestamps[hole] = timestamp
            values[hole] = value
        }
    }

    /// Least significant digit first, 8 bits each; digits that all rows share are skipped.
    private mutating func radix(
        _ timestamps: UnsafeMutablePointer<Int64>, _ values: UnsafeMutablePointer<Int64>, _ count: Int
    ) {
        if capacity < count {
            self.timestamps.deallocate()
            self.values.deallocate()
            capacity = max(count, 2 * capacity)
            self.timestamps = .allocate(capacity: capacity)
            self.values = .allocate(capacity: capacity)
        }
        // The order of signed numbers is that of unsigned ones counted from the smallest.
        var smallest = timestamps[0]
        for index in 1..<count { smallest = min(smallest, timestamps[index]) }
        var different: UInt64 = 0
        let base = timestamps[0] &- smallest
        for index in 1..<count {
            different |= UInt64(bitPattern: (timestamps[index] &- smallest) ^ base)
        }
        var (from, to) = ((timestamps, values), (self.timestamps, self.values))
        withUnsafeTemporaryAllocation(of: Int.self, capacity: 257) { places in
            let places = places.baseAddress.unsafelyUnwrapped
            var shift: UInt64 = 0
            while shift < 64 {
                defer { shift &+= 8 }
                if (different &>> shift) & 0xFF == 0 { continue }
                places.initialize(repeating: 0, count: 257)
                for index in 0..<count {
                    places[TimestampSorter.digit(from.0[index] &- smallest, shift) &+ 1] &+= 1
                }
                for value in 1..<257 { places[value] &+= places[value &- 1] }
                for index in 0..<count {
                    let digit = TimestampSorter.digit(from.0[index] &- smallest, shift)
                    let place = places[digit]
                    places[digit] = place &+ 1
                    (to.0 + place).initialize(to: from.0[index])
                    (to.1 + place).initialize(to: from.1[index])
                }
                swap(&from, &to)
            }
        }
        if from.0 != timestamps {
            timestamps.update(from: from.0, count: count)
            values.update(from: from.1, count: count)
        }
    }

    @inline(__always) private static func digit(_ value: Int64, _ shift: UInt64) -> Int {
        Int(truncatingIfNeeded: (UInt64(bitPattern: value) &>> shift) & 0xFF)
    }
}
