// SampleColumns.swift - the rows of one block in memory: timestamps and integer values side by side.
//
//   timestamps   t0 | t1 | ... | room        Unix milliseconds, ascending
//   values       v0 | v1 | ... | room        value i is v_i * 10^exponent; four codes are special (DecimalCoding)
//
// Timestamps are trusted to ascend (a reader does not check it at 64 precision bits); everything here stays inside its
// memory when they do not.
//
// Threads: one owner. The memory is kept and grows.

import StorageBytes

/// Rows of a block.
public struct SampleColumns: ~Copyable {
    public private(set) var timestamps: UnsafeMutablePointer<Int64>
    public private(set) var values: UnsafeMutablePointer<Int64>
    private(set) var capacity: Int
    /// Rows.
    public internal(set) var count = 0
    /// The power of ten that the values are multiples of.
    public internal(set) var exponent: Int16 = 0
    /// How many bits of each number are kept when the rows are encoded.
    public internal(set) var precisionBits: UInt8 = 64

    /// Room for `capacity` rows.
    public init(capacity: Int = SampleLimits.blockRowsMax) {
        self.capacity = max(capacity, 1)
        timestamps = .allocate(capacity: self.capacity)
        values = .allocate(capacity: self.capacity)
        timestamps.initialize(repeating: 0, count: self.capacity)
        values.initialize(repeating: 0, count: self.capacity)
    }

    deinit {
        timestamps.deallocate()
        values.deallocate()
    }

    /// Makes room for `wanted` rows in all.
    mutating func reserve(_ wanted: Int) {
        if wanted > capacity { grow(wanted) }
    }

    private mutating func grow(_ wanted: Int) {
        var larger = SampleColumns(capacity: max(wanted, 2 * capacity))
        larger.timestamps.update(from: timestamps, count: count)
        larger.values.update(from: values, count: count)
        swap(&timestamps, &larger.timestamps)
        swap(&values, &larger.values)
        swap(&capacity, &larger.capacity)
    }

    /// Takes over rows.
    mutating func assign(
        _ timestamps: UnsafePointer<Int64>, _ values: UnsafePointer<Int64>, _ count: Int, exponent: Int16,
        precisionBits: UInt8
    ) {
        self.count = 0
        reserve(count)
        self.timestamps.update(from: timestamps, count: count)
        self.values.update(from: values, count: count)
        self.count = count
        self.exponent = exponent
        self.precisionBits = precisionBits
    }

    /// Decodes a block (3.5).
    ///
    /// - Throws: what the decoder throws; `.inconsistent` for inverted bounds at reduced precision. The columns are
    ///   undefined then.
    public mutating func decode(
        _ header: SampleBlockHeader, timestamps data: UnsafeRawBufferPointer, values valuesData: UnsafeRawBufferPointer,
        _ decoder: inout IntegerArrayDecoder
    ) throws(DecodeError) {
        count = 0
        let rows = Int(header.rowsCount)
        reserve(rows)
        try decoder.decode(
            header.timestampsType, first: header.minTimestamp, count: rows, data, into: timestamps)
        if header.precisionBits < 64 {
            try IntegerArrayDecoder.repair(
                timestamps, rows, min: header.minTimestamp, max: header.maxTimestamp)
        }
        try decoder.decode(header.valuesType, first: header.firstValue, count: rows, valuesData, into: values)
        count = rows
        exponent = header.exponent
        precisionBits = header.precisionBits
    }

    /// Drops the first `dropped` rows.
    mutating func removeFirst(_ dropped: Int) {
        precondition(dropped >= 0 && dropped <= count, "\(dropped) of \(count) rows")
        if dropped == 0 { return }
        timestamps.update(from: timestamps + dropped, count: count - dropped)
        values.update(from: values + dropped, count: count - dropped)
        count -= dropped
    }

    /// Rows at the beginning that are older than `deadline`.
    func rowsBefore(_ deadline: Int64) -> Int {
        var index = 0
        while index < count, timestamps[index] < deadline { index &+= 1 }
        return index
    }

    /// Keeps the first row of each interval (docs/format/sample-store.md, 13). Returns the number of rows dropped.
    ///
    /// - Parameter intervalMs: Milliseconds; 0 and below keeps everything.
    @discardableResult
    mutating func deduplicate(intervalMs: Int64) -> Int {
        let kept = SampleColumns.deduplicate(timestamps, values, count, intervalMs: intervalMs)
        let dropped = count - kept
        count = kept
        return dropped
    }

    /// As ``deduplicate(intervalMs:)`` on rows anywhere; returns how many stay, at the beginning.
    static func deduplicate(
        _ timestamps: UnsafeMutablePointer<Int64>, _ values: UnsafeMutablePointer<Int64>, _ count: Int,
        intervalMs: Int64
    ) -> Int {
        if intervalMs <= 0 || count < 2 { return count }
        var next = timestamps[0] &- timestamps[0] % intervalMs &+ intervalMs
        var kept = 1
        for index in 1..<count {
            let timestamp = timestamps[index]
            if timestamp < next { continue }
            timestamps[kept] = timestamp
            values[kept] = values[index]
            kept &+= 1
            next &+= intervalMs
            if timestamp >= next { next = timestamp &- timestamp % intervalMs &+ intervalMs }
        }
        return kept
    }
}
