// IndexIngest.swift - registers series: from the raw name to the items in the table. The one place where the harness
// touches the write path, so this is what cpu_us_per_new_series measures.
//
//   raw name -> canonical name -> TSID -> rows (global, per day), written in place into a shard of the table; one add
//   call, and so one atomic batch, for up to a thousand series
//
// Metric ids follow from the number of the series alone, so the contents of the table, and with them the store digest,
// are the same in every mode and with any number of threads.
//
// Threads: one value a thread; tables take items from any number of them.

import Mergeset
import SeriesIndex
import StorageBytes
import StorageRuntime

/// What a thread needs to register one series after the other.
public struct IndexIngest: ~Copyable {
    /// The day the series are registered for; nil registers them globally only.
    public let date: UInt64?
    /// Metric id of series 0.
    public let firstMetricID: UInt64

    private var name = CanonicalName()
    private var items = ItemList()
    private var registrar = SeriesRegistrar()

    /// Metric ids of the harness start here: a nanosecond of 2022, as the node of that time would have given.
    public static let metricIDStart: UInt64 = 1_640_995_200_000_000_001

    /// A workspace for series of one day.
    public init(date: UInt64?, firstMetricID: UInt64 = IndexIngest.metricIDStart) {
        self.date = date
        self.firstMetricID = firstMetricID
    }

    /// Registers consecutive series as one batch: all of their items are added, or none.
    ///
    /// - Parameters:
    ///   - raw: The raw metric name of a series, by its number.
    ///   - numbers: Numbers of the series in the input; their metric ids follow from them.
    ///   - hint: Number of the thread.
    public mutating func register(
        _ raw: (Int) -> UnsafeRawBufferPointer, numbers: Range<Int>, to table: Table, hint: Int
    ) throws(StorageError) {
        let registration: TagRegistration = date.map { .globalAndDay($0) } ?? .global
        try table.add(hint: hint) { (writer: inout ItemWriter) throws(StorageError) in
            for number in numbers {
                try canonicalize(raw(number))
                let tsid = TSID(of: name, metricID: firstMetricID &+ UInt64(number))
                try registrar.add(name, tsid, registration: registration, to: &writer)
            }
        }
    }

    /// Makes the items of a series, each with a single id, and lends them in their order of creation.
    public mutating func withItems(
        _ raw: UnsafeRawBufferPointer, number: Int, _ body: (UnsafeRawBufferPointer) throws(StorageError) -> Void
    ) throws(StorageError) {
        try build(raw, number: number)
        for index in 0..<items.count { try body(items[index]) }
    }

    /// Appends `00 NAME 02` of a series to `key`: the prefix that its name row alone has.
    public mutating func appendNameKey(_ raw: UnsafeRawBufferPointer, to key: inout RawBuffer) throws(StorageError) {
        try canonicalize(raw)
        key.append(RowKind.nameToTSID)
        key.append(name.bytes)
        key.append(0x02)
    }

    /// Labels of a series, the name included.
    public mutating func labelCount(_ raw: UnsafeRawBufferPointer) throws(StorageError) -> Int {
        try canonicalize(raw)
        return name.tagCount + 1
    }

    private mutating func build(_ raw: UnsafeRawBufferPointer, number: Int) throws(StorageError) {
        try canonicalize(raw)
        let tsid = TSID(of: name, metricID: firstMetricID &+ UInt64(number))
        items.removeAll()
        try SeriesRows.appendGlobal(name, tsid, to: &items)
        if let date { try SeriesRows.appendPerDay(name, date: date, metricID: tsid.metricID, to: &items) }
    }

    private mutating func canonicalize(_ raw: UnsafeRawBufferPointer) throws(StorageError) {
        do { try name.canonicalize(raw: raw) } catch {
            throw StorageError(.invalidArgument, "a metric name of the input does not decode: \(error)")
        }
    }
}
