// FileSamplePart.swift - an open part on disk (docs/format/sample-store.md, 5, 6.1, 6.2).
//
//   <rows>_<blocks>_<min>_<max>_<suffix>/  timestamps.bin  values.bin  index.bin  metaindex.bin  min_dedup_interval
//
// Opening checks the name, min_dedup_interval and the metaindex, and that the other files exist; it does not read them.
// Searches read index blocks (cached, decoded) and the data of blocks by place; whatever a place in the part says is
// checked against the size of the file first. Merges read all files from beginning to end (Merging/FilePartStream.swift).
//
// The directory of a part that was merged away is removed at once; its open files stay readable as long as the part is
// referenced.
//
// Threads: any; a cursor has one owner.

import StorageBytes
import StorageFiles
import StorageRuntime

/// A part in a directory.
public final class FileSamplePart: SamplePart, @unchecked Sendable {
    /// The directory.
    public let path: String
    /// Its name taken apart.
    public let name: SamplePartName
    let metaindex: SampleMetaindex
    let timestamps: any ReadableFile
    let values: any ReadableFile
    let index: any ReadableFile
    private let cache: IndexBlockCache

    /// Opens a part.
    ///
    /// - Throws: `.corrupted` with file and reason when name, min_dedup_interval or metaindex break the format;
    ///   `.notFound` when a file is missing; `.io`.
    public init(path: String, files: any FileSystem, cache budget: IndexCacheBudget) throws(StorageError) {
        self.path = path
        name = try SamplePartName(path: path)
        let interval = try DedupInterval.read(directory: path, on: files)
        timestamps = try files.open(Paths.join(path, SamplePartFile.timestamps.rawValue))
        values = try files.open(Paths.join(path, SamplePartFile.values.rawValue))
        index = try files.open(Paths.join(path, SamplePartFile.index.rawValue))
        let metaindexPath = Paths.join(path, SamplePartFile.metaindex.rawValue)
        let stored = try files.readAll(metaindexPath, limitBytes: SampleLimits.metaindexBytesMax)
        do throws(DecodeError) {
            var payload = RawBuffer()
            // A row takes 64 bytes and stands for a frame of more than 16.
            let limit = min(max(1 << 20, 4 * index.sizeBytes), SampleLimits.metaindexBytesMax)
            try Zstd.decompress(stored.bytes, into: &payload, limitBytes: limit)
            metaindex = try SampleMetaindex(payload.bytes)
        } catch {
            throw StorageError(.corrupted, "the metaindex does not decode: \(error)", path: metaindexPath, offset: 0)
        }
        cache = IndexBlockCache(count: metaindex.rows.count, budget: budget)
        super.init(
            totals: name.totals,
            sizeBytes: UInt64(stored.count + timestamps.sizeBytes + values.sizeBytes + index.sizeBytes),
            dedupIntervalMs: interval)
    }

    public override func cursor(minTimestamp: Int64, maxTimestamp: Int64) -> SampleCursor {
        FileSampleCursor(self, minTimestamp: minTimestamp, maxTimestamp: maxTimestamp)
    }

    public override func source() -> SampleSource { FileSampleSource(self) }

    /// Throws out cached index blocks that were not used since the last sweep.
    public func sweepCache() { cache.sweep() }

    /// Index block `row`, from the cache or from the file.
    func indexBlock(_ row: Int) throws(StorageError) -> SampleIndexBlock {
        if let block = cache.get(row) { return block }
        let place = metaindex.rows[row]
        var stored = RawBuffer()
        try FileSamplePart.read(index, place.offset, Int(place.size), into: &stored)
        let block: SampleIndexBlock
        do throws(DecodeError) {
            var payload = RawBuffer()
            try Zstd.decompress(
                stored.bytes, into: &payload, limitBytes: SampleLimits.indexBlockDecodedBytesMax)
            block = try SampleIndexBlock(payload.bytes, count: Int(place.headersCount))
        } catch {
            throw StorageError(
                .corrupted, "index block \(row) does not decode: \(error)", path: index.path,
                offset: Int(clamping: place.offset))
        }
        cache.put(row, block)
        return block
    }

    /// Reads a piece of a file whose place came from the part itself, replacing what `target` held.
    static func read(
        _ file: any ReadableFile, _ offset: UInt64, _ size: Int, into target: inout RawBuffer
    ) throws(StorageError) {
        target.removeAll()
        guard offset <= UInt64(file.sizeBytes), size <= file.sizeBytes - Int(offset) else {
            throw StorageError(
                .corrupted, "\(size) bytes are announced here, the file has \(file.sizeBytes)", path: file.path,
                offset: Int(clamping: offset))
        }
        guard size > 0 else { return }
        target.reserve(size)
        try file.read(at: Int(offset), into: UnsafeMutableRawBufferPointer(start: target.end, count: size))
        target.commit(size)
    }

    /// The error for a block whose data does not decode.
    func undecodable(_ header: SampleBlockHeader, _ reason: DecodeError) -> StorageError {
        StorageError(
            .corrupted,
            "a block of \(header.rowsCount) rows (timestamps at \(header.timestampsOffset)) does not decode: \(reason)",
            path: values.path, offset: Int(clamping: header.valuesOffset))
    }
}

/// Finds blocks in a file part.
final class FileSampleCursor: SampleCursor {
    private let part: FileSamplePart
    private var wanted: TSID?
    private var row = 0
    private var block: SampleIndexBlock?
    private var blockRow = -1
    private var position = 0
    private var timestampsData = RawBuffer()
    private var valuesData = RawBuffer()

    init(_ part: FileSamplePart, minTimestamp: Int64, maxTimestamp: Int64) {
        self.part = part
        super.init(minTimestamp: minTimestamp, maxTimestamp: maxTimestamp)
    }

    override func seek(_ tsid: TSID) throws(StorageError) {
        wanted = tsid
        row = part.metaindex.firstRow(mayHold: tsid)
        position = -1  // not looked up in the block of this row yet
    }

    override func next() throws(StorageError) -> Bool {
        guard let wanted else { return false }
        let rows = part.metaindex.rows
        while row < rows.count, rows[row].tsid <= wanted {
            guard rows[row].overlaps(minTimestamp, maxTimestamp) else {
                row += 1
                position = -1
                continue
            }
            let headers: SampleIndexBlock
            if let block, blockRow == row {
                headers = block
            } else {
                headers = try part.indexBlock(row)
                block = headers
                blockRow = row
            }
            if position < 0 { position = headers.lowerBound(wanted) }
            while position < headers.count {
                let found = headers[position]
                if found.tsid.metricID != wanted.metricID {
                    self.wanted = nil
                    return false
                }
                // No end at the first MinTimestamp behind the range: a merge that cuts rows past retention may write a
                // block that starts behind the next one.
                position += 1
                if found.overlaps(minTimestamp, maxTimestamp) {
                    header = found
                    return true
                }
            }
            row += 1
            position = -1
        }
        return false
    }

    override func read() throws(StorageError) -> StoredSampleBlock {
        try FileSamplePart.read(
            part.timestamps, header.timestampsOffset, Int(header.timestampsSize), into: &timestampsData)
        try FileSamplePart.read(part.values, header.valuesOffset, Int(header.valuesSize), into: &valuesData)
        return StoredSampleBlock(header: header, timestamps: timestampsData.bytes, values: valuesData.bytes)
    }
}
