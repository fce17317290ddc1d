// SampleDecoderProbes.swift - the decoders of this room as functions of bytes, for fuzzing.
//
// Each probe decodes its input as if it came from disk. Where the input is accepted, what must hold then is checked: a
// violation stops the process. The inputs of the fuzz targets `sample-*` in Tests/Fuzz are inputs of these functions.
//
// Threads: any.

import StorageBytes
import StorageRuntime

/// Entry points for fuzzing. Not for use in programs.
public enum SampleDecoderProbes {
    /// A block: one header, then timestamps data and values data of the sizes it announces (what lies behind is ignored).
    /// Returns the number of rows.
    public static func block(_ input: UnsafeRawBufferPointer) throws(DecodeError) -> Int {
        let header = try SampleBlockHeader(input)
        var cursor = ByteCursor(input)
        _ = try cursor.readBytes(SampleBlockHeader.storedBytes)
        let timestamps = try cursor.readBytes(Int(header.timestampsSize))
        let values = try cursor.readBytes(Int(header.valuesSize))
        var decoder = IntegerArrayDecoder()
        var columns = SampleColumns(capacity: 1)
        try columns.decode(header, timestamps: timestamps, values: values, &decoder)
        require(columns.count == Int(header.rowsCount), "another number of rows")
        if header.precisionBits < 64 {
            require(columns.timestamps[columns.count - 1] == header.maxTimestamp, "the last timestamp is another one")
            for index in 1..<max(columns.count, 1) {
                require(columns.timestamps[index] >= columns.timestamps[index - 1], "timestamps descend")
            }
        }
        try checkAgain(columns.timestamps, columns.count, &decoder)
        try checkAgain(columns.values, columns.count, &decoder)
        var bits = [UInt64](repeating: 0, count: columns.count)
        DecimalCoding.floats(columns.values, columns.count, exponent: columns.exponent, into: &bits)
        let before = columns.count
        require(before - columns.deduplicate(intervalMs: header.firstValue) == columns.count, "rows are lost")
        return before
    }

    /// An array whose bytes are not compressed: type, a byte that gives the length, first value (8 bytes), then its bytes.
    /// Mutations get through to the varints.
    public static func array(_ input: UnsafeRawBufferPointer) throws(DecodeError) -> Int {
        var cursor = ByteCursor(input)
        guard let type = MarshalType(rawValue: try cursor.readByte()) else { throw .unknownValue }
        let count = Int(try cursor.readByte()) + 1
        let first = try cursor.readSigned64()
        var decoder = IntegerArrayDecoder()
        let target = UnsafeMutablePointer<Int64>.allocate(capacity: count)
        defer { target.deallocate() }
        try decoder.decode(type, first: first, count: count, cursor.rest, into: target)
        require(target[0] == first, "another first value")
        try checkAgain(target, count, &decoder)
        return count
    }

    /// A block header. Returns the number of rows.
    public static func header(_ input: UnsafeRawBufferPointer) throws(DecodeError) -> Int {
        let header = try SampleBlockHeader(input)
        var again = RawBuffer()
        header.encode(into: &again)
        let stored = UnsafeRawBufferPointer(rebasing: input[..<SampleBlockHeader.storedBytes])
        require(Bytes.compare(again.bytes, stored) == 0, "a header changes when it is stored again")
        return Int(header.rowsCount)
    }

    /// A decompressed index block. Returns the number of headers.
    public static func indexBlock(_ input: UnsafeRawBufferPointer) throws(DecodeError) -> Int {
        let block = try SampleIndexBlock(input, count: input.count / SampleBlockHeader.storedBytes)
        for index in 0..<block.count {
            let found = block.lowerBound(block[index].tsid)
            require(found <= index && block[found].tsid == block[index].tsid, "a header is not found")
        }
        return block.count
    }

    /// A decompressed metaindex. Returns the number of rows.
    public static func metaindex(_ input: UnsafeRawBufferPointer) throws(DecodeError) -> Int {
        let metaindex = try SampleMetaindex(input)
        var again = RawBuffer()
        for (index, row) in metaindex.rows.enumerated() {
            row.encode(into: &again)
            require(metaindex.firstRow(mayHold: row.tsid) <= index, "a row is not found")
        }
        require(Bytes.compare(again.bytes, input) == 0, "rows change when they are stored again")
        return metaindex.rows.count
    }

    /// A part's name, a line feed, and the text of min_dedup_interval. Returns the number of rows.
    ///
    /// - Throws: `.corrupted`.
    public static func name(_ input: UnsafeRawBufferPointer) throws(StorageError) -> UInt64 {
        let lines = input.split(separator: 0x0A, maxSplits: 1, omittingEmptySubsequences: false)
        if lines.count > 1, let interval = DedupInterval.parse(lines[1]), interval >= 0 {
            require(
                DedupInterval.parse(DedupInterval.text(ms: interval).utf8) != nil, "an interval does not parse again")
        }
        let name = try SamplePartName(path: "/" + String(decoding: lines[0], as: UTF8.self))
        let again = SamplePartName(name.totals, number: 1)
        let second = try SamplePartName(path: "/" + again.text)
        require(second == again, "a name changes when it is written again")
        return name.totals.rows
    }

    /// The array survives being encoded and decoded again.
    private static func checkAgain(
        _ values: UnsafePointer<Int64>, _ count: Int, _ decoder: inout IntegerArrayDecoder
    ) throws(DecodeError) {
        var encoder = IntegerArrayEncoder()
        var bytes = RawBuffer()
        let type = encoder.encode(values, count, precisionBits: 64, into: &bytes)
        let target = UnsafeMutablePointer<Int64>.allocate(capacity: count)
        defer { target.deallocate() }
        try decoder.decode(type, first: values[0], count: count, bytes.bytes, into: target)
        for index in 0..<count { require(target[index] == values[index], "a value changes") }
    }

    private static func require(_ condition: Bool, _ message: @autoclosure () -> String) {
        if !condition { fatalError(message()) }
    }
}
