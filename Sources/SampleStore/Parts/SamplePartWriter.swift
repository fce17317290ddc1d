// SamplePartWriter.swift - writes a part: sorted blocks in, five durable files out
// (docs/format/sample-store.md, 5, 10.5, 12.1).
//
//   append(columns)   encoded        \    timestamps.bin   unless equal to what was written last
//   append(stored)    as it was read  >   values.bin
//                                         block header  ->  index block     ->  index.bin
//                                                           metaindex row   ->  metaindex.bin
//   finish()          all files and the directory synced, then min_dedup_interval; the caller makes it visible
//
// Sharing of timestamps: series that are scraped together have equal timestamps. The writer remembers the timestamps data
// it wrote last, and where; a block with equal bytes stores that place instead. A block without timestamps data ends the
// chain.
//
// Threads: one owner.

import Glibc
import StorageBytes
import StorageFiles
import StorageRuntime

/// The data files of a part.
enum SamplePartFile: String, CaseIterable {
    case timestamps = "timestamps.bin"
    case values = "values.bin"
    case index = "index.bin"
    case metaindex = "metaindex.bin"
}

/// A part being written into a directory that nobody reads yet.
public struct SamplePartWriter: ~Copyable {
    /// Where the part is written.
    public let directory: String
    private let files: any FileSystem
    private let level: Int
    private let dedupIntervalMs: Int64
    private let timestampsFile: FileWriter
    private let valuesFile: FileWriter
    private let indexFile: FileWriter
    private let metaindexFile: FileWriter

    private var encoder: IntegerArrayEncoder
    private var timestampsData = RawBuffer(capacity: 4096)
    private var valuesData = RawBuffer(capacity: 16 << 10)
    private var lastTimestamps = RawBuffer(capacity: 4096)
    private var lastTimestampsOffset: UInt64 = 0
    private var indexBlock = RawBuffer(capacity: SampleLimits.indexBlockBytesMin + SampleBlockHeader.storedBytes)
    /// Of the index block being filled; without headers while there is none.
    private var indexRow = SampleMetaindexRow(
        tsid: TSID(tenant: Tenant(bits: 0), metricGroupID: 0, jobID: 0, instanceID: 0, metricID: 0), headersCount: 0,
        minTimestamp: .max, maxTimestamp: .min, offset: 0, size: 0)
    private var metaindex = RawBuffer(capacity: 4096)
    private var stored = RawBuffer(capacity: 16 << 10)

    /// Rows and blocks written so far.
    public private(set) var totals = SampleTotals()
    /// Blocks that share the timestamps of the block before, and the bytes not written because of it.
    public private(set) var timestampsShared: UInt64 = 0, timestampsSavedBytes: UInt64 = 0

    /// Creates the directory and its files.
    ///
    /// - Parameters:
    ///   - directory: Does not exist; its parent does.
    ///   - level: ZSTD level of index and metaindex.
    ///   - dedupIntervalMs: The deduplication interval in force, 0 or more milliseconds; it is only noted.
    ///   - dataLevelMax: Highest level of zstd for timestamps and values. Merging full blocks that overlap takes 36 ns a
    ///     row with 5 (the reference's), 24 with 3 for 2 % more bytes, 13 with 1 for 4 % more (micro sample-merge).
    /// - Throws: `.alreadyExists` and what the file system throws.
    public init(
        directory: String, level: Int, dedupIntervalMs: Int64, dataLevelMax: Int = SampleLimits.dataLevelMax,
        files: any FileSystem
    ) throws(StorageError) {
        try files.makeDirectory(directory, parents: false)
        let timestampsOut = try files.create(Paths.join(directory, SamplePartFile.timestamps.rawValue))
        let valuesOut = try files.create(Paths.join(directory, SamplePartFile.values.rawValue))
        let indexOut = try files.create(Paths.join(directory, SamplePartFile.index.rawValue))
        let metaindexOut = try files.create(Paths.join(directory, SamplePartFile.metaindex.rawValue))
        self.directory = directory
        encoder = IntegerArrayEncoder(levelMax: dataLevelMax)
        self.files = files
        self.level = level
        self.dedupIntervalMs = dedupIntervalMs
        timestampsFile = FileWriter(timestampsOut)
        valuesFile = FileWriter(valuesOut, bufferBytes: 256 << 10)
        indexFile = FileWriter(indexOut, bufferBytes: 64 << 10)
        metaindexFile = FileWriter(metaindexOut, bufferBytes: 4096)
    }

    /// Appends a block of 1...``SampleLimits/blockRowsMax`` rows, encoding it.
    mutating func append(_ tsid: TSID, _ columns: borrowing SampleColumns) throws(StorageError) {
        try append(
            tsid, columns.timestamps, columns.values, columns.count, exponent: columns.exponent,
            precisionBits: columns.precisionBits)
    }

    /// As ``append(_:_:)``, for rows anywhere.
    mutating func append(
        _ tsid: TSID, _ timestamps: UnsafePointer<Int64>, _ values: UnsafePointer<Int64>, _ count: Int,
        exponent: Int16, precisionBits: UInt8
    ) throws(StorageError) {
        precondition(count > 0 && count <= SampleLimits.blockRowsMax, "a block of \(count) rows")
        timestampsData.removeAll()
        valuesData.removeAll()
        var header = SampleBlockHeader(tsid: tsid)
        header.minTimestamp = timestamps[0]
        header.maxTimestamp = timestamps[count - 1]
        header.firstValue = values[0]
        header.rowsCount = UInt32(count)
        header.exponent = exponent
        header.precisionBits = precisionBits
        header.valuesType = encoder.encode(values, count, precisionBits: Int(precisionBits), into: &valuesData)
        header.timestampsType = encoder.encode(
            timestamps, count, precisionBits: Int(precisionBits), into: &timestampsData)
        try write(&header, timestampsData.bytes, valuesData.bytes)
    }

    /// Appends a block with its data as a source stored it. The offsets of `header` are not looked at.
    mutating func append(
        stored header: SampleBlockHeader, timestamps: UnsafeRawBufferPointer, values: UnsafeRawBufferPointer
    ) throws(StorageError) {
        var header = header
        try write(&header, timestamps, values)
    }

    private mutating func write(
        _ header: inout SampleBlockHeader, _ timestamps: UnsafeRawBufferPointer, _ values: UnsafeRawBufferPointer
    ) throws(StorageError) {
        header.timestampsSize = UInt32(timestamps.count)
        header.valuesSize = UInt32(values.count)
        if isLastTimestamps(timestamps) {
            header.timestampsOffset = lastTimestampsOffset
            timestampsShared &+= 1
            timestampsSavedBytes &+= UInt64(timestamps.count)
        } else {
            lastTimestampsOffset = UInt64(timestampsFile.offset)
            header.timestampsOffset = lastTimestampsOffset
            try timestampsFile.append(timestamps)
            lastTimestamps.removeAll()
            lastTimestamps.append(timestamps)
        }
        header.valuesOffset = UInt64(valuesFile.offset)
        try valuesFile.append(values)
        totals.add(header)
        try addToIndex(header)
    }

    @inline(__always) private func isLastTimestamps(_ timestamps: UnsafeRawBufferPointer) -> Bool {
        guard timestamps.count > 0, timestamps.count == lastTimestamps.count else { return false }
        return memcmp(timestamps.baseAddress.unsafelyUnwrapped, lastTimestamps.base, timestamps.count) == 0
    }

    private mutating func addToIndex(_ header: SampleBlockHeader) throws(StorageError) {
        if indexRow.headersCount == 0 {
            indexRow.tsid = header.tsid
            indexRow.minTimestamp = header.minTimestamp
            indexRow.maxTimestamp = header.maxTimestamp
        } else {
            if header.minTimestamp < indexRow.minTimestamp { indexRow.minTimestamp = header.minTimestamp }
            if header.maxTimestamp > indexRow.maxTimestamp { indexRow.maxTimestamp = header.maxTimestamp }
        }
        indexRow.headersCount &+= 1
        header.encode(into: &indexBlock)
        if indexBlock.count >= SampleLimits.indexBlockBytesMin { try closeIndexBlock() }
    }

    private mutating func closeIndexBlock() throws(StorageError) {
        guard indexRow.headersCount > 0 else { return }
        stored.removeAll()
        // At most 65593 bytes go in, so the frame stays below what readers accept.
        Zstd.compress(indexBlock.bytes, level: level, into: &stored)
        indexRow.offset = UInt64(indexFile.offset)
        indexRow.size = UInt32(stored.count)
        try indexFile.append(stored.bytes)
        indexRow.encode(into: &metaindex)
        indexBlock.removeAll()
        indexRow.headersCount = 0
    }

    /// Ends the part: all files written and synced, then the directory, then `min_dedup_interval`.
    ///
    /// - Returns: Bytes of the four `.bin` files; nil when there were no blocks: the directory is of no use then, and the
    ///   caller removes it, as after an error.
    public mutating func finish() throws(StorageError) -> UInt64? {
        guard totals.blocks > 0 else { return nil }
        try closeIndexBlock()
        stored.removeAll()
        Zstd.compress(metaindex.bytes, level: level, into: &stored)
        try metaindexFile.append(stored.bytes)
        try timestampsFile.close()
        try valuesFile.close()
        try indexFile.close()
        try metaindexFile.close()
        try files.sync(directory)
        try files.writeAtomically(
            Array(DedupInterval.text(ms: dedupIntervalMs).utf8), to: Paths.join(directory, DedupInterval.fileName))
        return UInt64(timestampsFile.offset + valuesFile.offset + indexFile.offset + metaindexFile.offset)
    }
}
