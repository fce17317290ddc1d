// SingleNodePartWriter.swift - a part of samples whose TSIDs have no tenant, made of stored blocks.
//
//   as docs/format/sample-store.md, 5, with 24 bytes of TSID: block headers of 81 bytes, rows of the metaindex of 56
//
// Data of blocks is not touched. Timestamps that a block shares with the one before are shared in the copy.
//
// Threads: one owner.

import SampleStore
import StorageBytes
import StorageFiles
import StorageRuntime

/// Writes a part in the single-node form.
struct SingleNodePartWriter: ~Copyable {
    private static let headerBytes = SampleBlockHeader.storedBytes - Tenant.storedBytes
    private static let indexBlockBytesMin = 65_536
    private static let level = 1

    private let directory: String
    private let files: any FileSystem
    private let timestamps: FileWriter, values: FileWriter, index: FileWriter, metaindex: FileWriter
    private(set) var totals = SampleTotals()

    private var block = RawBuffer()
    private var rows = RawBuffer()
    private var stored = RawBuffer()
    /// Of the index block being filled: its first TSID, number of headers, bounds of time.
    private var first: TSID?
    private var headers: UInt32 = 0
    private var minTimestamp = Int64.max, maxTimestamp = Int64.min
    /// Where the timestamps of the block before lie in the source, and here.
    private var lastSource: UInt64?, lastTarget: UInt64 = 0

    init(directory: String, files: any FileSystem) throws(StorageError) {
        try files.makeDirectory(directory, parents: false)
        let timestamps = try files.create(Paths.join(directory, "timestamps.bin"))
        let values = try files.create(Paths.join(directory, "values.bin"))
        let index = try files.create(Paths.join(directory, "index.bin"))
        let metaindex = try files.create(Paths.join(directory, "metaindex.bin"))
        self.directory = directory
        self.files = files
        self.timestamps = FileWriter(timestamps)
        self.values = FileWriter(values)
        self.index = FileWriter(index)
        self.metaindex = FileWriter(metaindex)
    }

    mutating func append(_ source: StoredSampleBlock) throws(StorageError) {
        var header = source.header
        let shares = header.timestampsSize > 0 && lastSource == header.timestampsOffset
        if !shares {
            lastTarget = UInt64(timestamps.offset)
            try timestamps.append(source.timestamps)
        }
        lastSource = header.timestampsSize > 0 ? header.timestampsOffset : nil
        header.timestampsOffset = lastTarget
        header.valuesOffset = UInt64(values.offset)
        try values.append(source.values)

        stored.removeAll()
        header.encode(into: &stored)
        block.append(UnsafeRawBufferPointer(rebasing: stored.bytes[Tenant.storedBytes...]))
        if first == nil { first = header.tsid }
        headers += 1
        minTimestamp = min(minTimestamp, header.minTimestamp)
        maxTimestamp = max(maxTimestamp, header.maxTimestamp)
        totals.rows += UInt64(header.rowsCount)
        totals.blocks += 1
        totals.minTimestamp = min(totals.minTimestamp, header.minTimestamp)
        totals.maxTimestamp = max(totals.maxTimestamp, header.maxTimestamp)
        if block.count >= SingleNodePartWriter.indexBlockBytesMin { try closeIndexBlock() }
    }

    private mutating func closeIndexBlock() throws(StorageError) {
        guard let tsid = first else { return }
        stored.removeAll()
        Zstd.compress(block.bytes, level: SingleNodePartWriter.level, into: &stored)
        let start = rows.count
        rows.reserve(TSID.storedBytes)
        tsid.store(at: rows.end)
        rows.commit(TSID.storedBytes)
        // The tenant leads the TSID: move the rest over it.
        (rows.base + start).copyMemory(
            from: rows.base + start + Tenant.storedBytes, byteCount: TSID.storedBytes - Tenant.storedBytes)
        rows.truncate(to: start + TSID.storedBytes - Tenant.storedBytes)
        rows.appendBigEndian(headers)
        rows.appendBigEndian(ZigZag.encode(minTimestamp))
        rows.appendBigEndian(ZigZag.encode(maxTimestamp))
        rows.appendBigEndian(UInt64(index.offset))
        rows.appendBigEndian(UInt32(stored.count))
        try index.append(stored.bytes)
        block.removeAll()
        first = nil
        headers = 0
        minTimestamp = .max
        maxTimestamp = .min
    }

    /// Ends the part; false when it has no blocks.
    mutating func finish() throws(StorageError) -> Bool {
        guard totals.blocks > 0 else { return false }
        try closeIndexBlock()
        stored.removeAll()
        Zstd.compress(rows.bytes, level: SingleNodePartWriter.level, into: &stored)
        try metaindex.append(stored.bytes)
        for file in [timestamps, values, index, metaindex] { try file.close() }
        try files.writeAtomically(Array("0s".utf8), to: Paths.join(directory, "min_dedup_interval"))
        return true
    }
}
