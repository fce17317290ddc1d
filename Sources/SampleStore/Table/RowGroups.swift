// RowGroups.swift - which rows are converted together: those of one month with the same precision bits.
//
//   arena of one month       its rows, where they are
//   arena of several months  | rows of month 0 | rows of month 1 | ...     moved once, into a spare arena, in order of arrival
//
// Groups come in the order of their months, then bits; rows of a group in the order of the arenas.
//
// Threads: one owner. The pieces point into the arenas, which must be kept until they are converted.

import StorageBytes

/// Rows to be converted, by month and precision bits.
struct RowGroups {
    /// Rows of one month.
    struct Group {
        let month: SampleMonth
        let precisionBits: Int
        var pieces: [UnsafeBufferPointer<SampleRow>] = []
        var count: Int { pieces.reduce(0) { $0 + $1.count } }
    }

    private(set) var groups: [Group] = []
    /// Arenas that rows were moved to: the caller's to give back.
    private(set) var spare: [RowArena] = []
    private var places: [Key: Int] = [:]

    private struct Key: Hashable {
        let month: SampleMonth
        let precisionBits: Int
    }

    /// Groups the rows of arenas.
    init(_ arenas: [RowArena], pool: RowArenaPool) {
        var month: SampleMonth?
        for arena in arenas where arena.count > 0 {
            let first = month.flatMap { $0.contains(arena.minTimestamp) ? $0 : nil }
            let found = first ?? SampleMonth(timestampMs: arena.minTimestamp)
            month = found
            if found.contains(arena.maxTimestamp) {
                add(arena.buffer, found, arena.precisionBits)
            } else {
                split(arena, pool)
            }
        }
        groups.sort { ($0.month.startMs, $0.precisionBits) < ($1.month.startMs, $1.precisionBits) }
    }

    private mutating func add(
        _ piece: UnsafeBufferPointer<SampleRow>, _ month: SampleMonth, _ precisionBits: Int
    ) {
        let key = Key(month: month, precisionBits: precisionBits)
        if let place = places[key] {
            groups[place].pieces.append(piece)
        } else {
            places[key] = groups.count
            groups.append(Group(month: month, precisionBits: precisionBits, pieces: [piece]))
        }
    }

    private mutating func split(_ arena: RowArena, _ pool: RowArenaPool) {
        var months: [SampleMonth] = []
        var counts: [Int] = []
        let moved = pool.take()
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: arena.count) { numbers in
            let numbers = numbers.baseAddress.unsafelyUnwrapped
            var last = -1
            for index in 0..<arena.count {
                let timestamp = arena.rows[index].timestampMs
                if last < 0 || !months[last].contains(timestamp) {
                    // Few months: an arena has at most 32768 rows, and backfill is usually of one month after another.
                    last = months.firstIndex { $0.contains(timestamp) } ?? months.count
                    if last == months.count {
                        months.append(SampleMonth(timestampMs: timestamp))
                        counts.append(0)
                    }
                }
                counts[last] &+= 1
                (numbers + index).initialize(to: UInt16(truncatingIfNeeded: last))
            }
            var places = [Int](repeating: 0, count: counts.count)
            for index in places.indices.dropFirst() {
                places[index] = places[index - 1] + counts[index - 1]
            }
            places.withUnsafeMutableBufferPointer {
                moved.fill(from: arena, numbers: numbers, places: $0.baseAddress.unsafelyUnwrapped)
            }
        }
        spare.append(moved)
        var start = 0
        for (month, count) in zip(months, counts) {
            add(UnsafeBufferPointer(start: moved.rows + start, count: count), month, arena.precisionBits)
            start += count
        }
    }
}

/// Numbered rows that wait to be converted, a batch for each month and precision bits. One owner.
struct RowBatches {
    /// Rows of one month.
    struct Entry {
        let month: SampleMonth
        let precisionBits: Int
        let rows: NumberedRows
    }

    /// Ascending by month, then bits.
    private(set) var entries: [Entry] = []

    /// The batch of a month, which is made if need be.
    mutating func batch(_ month: SampleMonth, _ precisionBits: Int) -> NumberedRows {
        func isBefore(_ entry: Entry) -> Bool {
            (entry.month.startMs, entry.precisionBits) < (month.startMs, precisionBits)
        }
        let place = entries.firstIndex { !isBefore($0) } ?? entries.count
        if place < entries.count, entries[place].month == month,
            entries[place].precisionBits == precisionBits
        {
            return entries[place].rows
        }
        // Before the first year and after the last one, a "month" is longer than 2^32 ms.
        let isMonth = UInt64(bitPattern: month.endMs &- month.startMs) <= UInt64(UInt32.max)
        let rows = NumberedRows(base: isMonth ? month.startMs : nil)
        let entry = Entry(month: month, precisionBits: precisionBits, rows: rows)
        entries.insert(entry, at: place)
        return entry.rows
    }

    /// Forgets all batches.
    mutating func removeAll() { entries = [] }
}

extension NumberedRows {
    /// Tells whether a row lies in a range of time.
    func hasTimestamp(in range: ClosedRange<Int64>) -> Bool {
        pieces.contains { piece in (0..<piece.count).contains { range.contains(piece.timestamp($0)) } }
    }
}
