// SampleReadBack.swift - asks the storage for the samples: are those of a random tenth of the series the ones that were sent,
// and what do all samples of all series amount to.
//
//   sent      the stream is prepared once more, step by step, and the rows of the sample are kept
//   found     search by TSID; blocks decoded; rows of a series in order of (timestamp, value)
//
// Storing is lossy where a value has too many digits (docs/format/sample-store.md, 2.4), and the rows of a block share one
// power of ten. A value counts as the one that was sent when it is the same to the bit, when it differs by less than 1e-12 of
// itself, or when its block has used up the digits of 64 bits and it differs by no more than a unit of the block.
//
// The digest of the store is the sum, modulo 2^64, of the XXH64 of each series' canonical name and rows: it depends neither
// on ids nor on the order in which anything happened.
//
// Threads: one.

import SampleStore
import SeriesIndex
import StorageBytes
import StorageEngine
import StorageRuntime

/// A row as it was sent, or found.
private struct PlainRow {
    var timestampMs: Int64
    var value: Double
    /// How far a value may be off.
    var tolerance = 0.0

    static func precedes(_ a: PlainRow, _ b: PlainRow) -> Bool {
        a.timestampMs != b.timestampMs ? a.timestampMs < b.timestampMs : a.value < b.value
    }
}

/// Reads samples through searches.
struct SampleReader: ~Copyable {
    private let engine: StorageEngine
    private var columns = SampleColumns()
    private var decoder = IntegerArrayDecoder()
    private var bits: [UInt64] = []
    private var rows: [PlainRow] = []

    /// Blocks and rows read so far.
    private(set) var blocksRead: UInt64 = 0, rowsRead: UInt64 = 0

    init(_ engine: StorageEngine) { self.engine = engine }

    /// Calls `body` with the name and the rows, in order, of each of the series that has rows between two moments.
    fileprivate mutating func forEachSeries(
        _ tsids: [TSID], minMs: Int64 = 0, maxMs: Int64 = .max,
        _ body: (TSID, UnsafeRawBufferPointer, [PlainRow]) throws(StorageError) -> Void
    ) throws(StorageError) {
        let search = try engine.search(tsids, minTimestampMs: minMs, maxTimestampMs: maxMs)
        var series: TSID?
        var name = RawBuffer()
        rows.removeAll(keepingCapacity: true)
        while try search.next() {
            if let last = series, last != search.header.tsid {
                try finish(last, name.bytes, body)
            }
            if series != search.header.tsid {
                series = search.header.tsid
                name.removeAll()
                name.append(search.metricName)
            }
            try append(try search.read())
        }
        if let series { try finish(series, name.bytes, body) }
    }

    /// Calls `body` with the name of the series, the timestamp and the value of each row.
    mutating func forEachRow(
        _ tsids: [TSID], _ body: (UnsafeRawBufferPointer, Int64, Double) -> Void
    ) throws(StorageError) {
        try forEachSeries(tsids) { (_, name, rows) throws(StorageError) in
            for row in rows { body(name, row.timestampMs, row.value) }
        }
    }

    private mutating func finish(
        _ series: TSID, _ name: UnsafeRawBufferPointer,
        _ body: (TSID, UnsafeRawBufferPointer, [PlainRow]) throws(StorageError) -> Void
    ) throws(StorageError) {
        rows.sort(by: PlainRow.precedes)
        try body(series, name, rows)
        rows.removeAll(keepingCapacity: true)
    }

    private mutating func append(_ block: StoredSampleBlock) throws(StorageError) {
        do {
            try columns.decode(block.header, timestamps: block.timestamps, values: block.values, &decoder)
        } catch {
            throw StorageError(.corrupted, "a block that a search has found does not decode: \(error)")
        }
        let count = columns.count
        if bits.count < count { bits = [UInt64](repeating: 0, count: max(count, SampleLimits.blockRowsMax)) }
        bits.withUnsafeMutableBufferPointer {
            DecimalCoding.floats(columns.values, count, exponent: columns.exponent, into: $0.baseAddress!)
        }
        var greatest: UInt64 = 0
        for index in 0..<count { greatest = max(greatest, columns.values[index].magnitude) }
        var unit = 0.0
        if greatest >= 1_000_000_000_000_000 {
            unit = 1
            for _ in 0..<abs(Int(columns.exponent)) { unit = columns.exponent < 0 ? unit / 10 : unit * 10 }
        }
        for index in 0..<count {
            rows.append(
                PlainRow(
                    timestampMs: columns.timestamps[index], value: Double(bitPattern: bits[index]), tolerance: unit))
        }
        blocksRead &+= 1
        rowsRead &+= UInt64(count)
    }
}

/// What the samples of a storage amount to.
struct SampleContents {
    var digest: UInt64 = 0
    var series: UInt64 = 0, rows: UInt64 = 0, blocks: UInt64 = 0
    var seconds = 0.0

    /// Reads all samples.
    static func read(_ engine: StorageEngine) throws(StorageError) -> SampleContents {
        var contents = SampleContents()
        let tsids = try SeriesTSIDs.all(engine)
        let start = WallClock.nanoseconds
        var reader = SampleReader(engine)
        var bytes = RawBuffer(capacity: 1 << 16)
        try reader.forEachSeries(tsids) { (_, name, rows) throws(StorageError) in
            bytes.removeAll()
            bytes.appendBigEndian(UInt32(name.count))
            bytes.append(name)
            for row in rows {
                bytes.appendBigEndian(UInt64(bitPattern: row.timestampMs))
                bytes.appendBigEndian(row.value.bitPattern)
            }
            contents.digest &+= Hash.xxh64(bytes.bytes)
            contents.series += 1
        }
        contents.seconds = WallClock.seconds(since: start)
        contents.rows = reader.rowsRead
        contents.blocks = reader.blocksRead
        return contents
    }
}

/// TSIDs out of the index tables.
enum SeriesTSIDs {
    /// Of all series that are not deleted, ascending.
    static func all(_ engine: StorageEngine) throws(StorageError) -> [TSID] {
        var found: Set<TSID> = []
        var key = RawBuffer(capacity: 1)
        key.append(RowKind.idToTSID)
        for table in [engine.previousTable, engine.currentTable] {
            var cursor = table.cursor()
            try cursor.seek(key.bytes)
            while try cursor.next(), cursor.item.first == RowKind.idToTSID {
                let rest = UnsafeRawBufferPointer(rebasing: cursor.item.suffix(TSID.storedBytes))
                if let tsid = try? TSID(rest) { found.insert(tsid) }
            }
        }
        return found.sorted()
    }

    /// Of raw names; those without a TSID are left out. With them the position of the name.
    static func find(
        _ names: [UnsafeRawBufferPointer], _ engine: StorageEngine
    ) throws(StorageError) -> [(tsid: TSID, position: Int)] {
        var name = CanonicalName()
        var found: [(tsid: TSID, position: Int)] = []
        let tables = [engine.currentTable, engine.previousTable]
        var key = RawBuffer(capacity: 1024)
        for (position, raw) in names.enumerated() {
            do { try name.canonicalize(raw: raw) } catch { continue }
            key.removeAll()
            key.append(RowKind.nameToTSID)
            key.append(name.bytes)
            key.append(0x02)
            for table in tables {
                var cursor = table.cursor()
                guard try cursor.anyWithPrefix(key.bytes) else { continue }
                let rest = UnsafeRawBufferPointer(rebasing: cursor.item[key.count...])
                if rest.count == TSID.storedBytes, let tsid = try? TSID(rest) { found.append((tsid, position)) }
                break
            }
        }
        return found
    }
}

/// Result of comparing what was found with what was sent.
public struct SampleReadBack: Sendable, Equatable {
    /// Series and rows that were compared, and rows that are missing, too many, or have another value.
    public var series: UInt64 = 0, rows: UInt64 = 0, wrong: UInt64 = 0
    /// The first of them, for people.
    public var firstWrong: String?

    /// Nothing compared.
    public init() {}

    /// One in how many series is compared, as long as these have no more than so many rows in all.
    static let fraction = 10
    static let rowsMax = 8_000_000

    /// Compares a random tenth of the series (fewer where that would be millions of rows).
    ///
    /// - Parameter sent: A feed of the same stream before its first round; `steps` are those it has made.
    static func check(
        _ source: RowSource, steps: [RoundFeed.Step], sent: consuming RoundFeed, seed: UInt64,
        in engine: StorageEngine
    ) throws(StorageError) -> SampleReadBack {
        var result = SampleReadBack()
        let rowsInAll = steps.reduce(0) { sum, step in
            switch step {
            case .next: sum + source.profile.roundRows
            case .again(let rounds, _, _): sum + rounds * source.profile.roundRows
            }
        }
        let fraction = UInt64(max(SampleReadBack.fraction, rowsInAll / rowsMax + 1))
        let salt = Seeds.derive(seed, "rows read back")
        var slots = [Int32](repeating: -1, count: source.pool.count)
        var names: [UnsafeRawBufferPointer] = []
        for number in 0..<source.pool.count where SplitMix64.mix(salt &+ UInt64(number)) % fraction == 0 {
            slots[number] = Int32(names.count)
            names.append(source.pool.name(number))
        }
        if names.isEmpty, source.pool.count > 0 {
            slots[0] = 0
            names.append(source.pool.name(0))
        }
        var expected = [[PlainRow]](repeating: [], count: names.count)
        for step in steps {
            sent.make(step)
            let numbers = sent.numbers
            for (index, row) in sent.rows.enumerated() {
                let slot = slots[Int(numbers[index % numbers.count])]
                if slot >= 0 {
                    expected[Int(slot)].append(PlainRow(timestampMs: row.timestampMs, value: row.value))
                }
            }
        }
        let found = try SeriesTSIDs.find(names, engine).sorted { $0.tsid < $1.tsid }
        var positions: [TSID: Int] = [:]
        for item in found { positions[item.tsid] = item.position }
        var isThere = [Bool](repeating: false, count: names.count)
        var reader = SampleReader(engine)
        try reader.forEachSeries(found.map(\.tsid)) { (tsid, _, rows) throws(StorageError) in
            guard let position = positions[tsid] else { return result.note("a series nobody asked for: \(tsid)") }
            isThere[position] = true
            result.compare(expected[position], rows, tsid)
        }
        for position in names.indices where !isThere[position] {
            result.compare(expected[position], [], nil)
        }
        return result
    }

    private mutating func compare(_ sent: [PlainRow], _ found: [PlainRow], _ tsid: TSID?) {
        let sent = sent.sorted(by: PlainRow.precedes)
        series += 1
        rows += UInt64(sent.count)
        guard sent.count == found.count else {
            let difference = abs(sent.count - found.count)
            return note(
                "series \(tsid.map { "\($0.metricID)" } ?? "that was not found"): \(found.count) rows of \(sent.count)",
                count: UInt64(max(difference, 1)))
        }
        for (a, b) in zip(sent, found)
        where a.timestampMs != b.timestampMs || !SampleReadBack.isSame(a.value, b.value, b.tolerance) {
            note(
                "series \(tsid?.metricID ?? 0): sent \(a.value) at \(a.timestampMs), found \(b.value) at \(b.timestampMs)"
            )
        }
    }

    private static func isSame(_ sent: Double, _ found: Double, _ unit: Double) -> Bool {
        if sent.bitPattern == found.bitPattern || sent == found { return true }
        return abs(sent - found) <= max(abs(sent) * 1e-12, unit)
    }

    private mutating func note(_ text: String, count: UInt64 = 1) {
        wrong += count
        if firstWrong == nil { firstWrong = text }
    }
}
