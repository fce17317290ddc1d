// CompositeStart.swift - since when rows with composite keys can be relied on (docs/format/series-index.md, 4.7).
//
//   <storage>/metadata/minTimestampForCompositeIndex    8 bytes: the timestamp in milliseconds, zigzag, big-endian
//
// Threads: called while the storage is being opened.

import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime

/// The file with the first timestamp that composite rows cover.
enum CompositeStart {
    static let fileBytes = 8

    /// Reads the timestamp. Where the file is missing or has another length it is written: 0 for a new storage, two days
    /// from now for one that others may have filled without composite rows.
    ///
    /// - Parameter indexExisted: Whether there was a directory of index tables before this open.
    static func read(
        storage: String, indexExisted: Bool, nowMs: Int64, files: any FileSystem
    ) throws(StorageError) -> Int64 {
        let directory = Paths.join(storage, "metadata")
        let path = Paths.join(directory, "minTimestampForCompositeIndex")
        try files.makeDirectory(directory, parents: true)
        if try files.kind(of: path) != nil, try files.size(of: path) == fileBytes {
            let bytes = try files.readAll(path, limitBytes: fileBytes)
            return ZigZag.decode(BigEndian.load64(bytes.base))
        }
        let start: Int64 = indexExisted ? DateMath.startMs(date: DateMath.date(timestampMs: nowMs) + 2) : 0
        var bytes = RawBuffer(capacity: fileBytes)
        bytes.appendBigEndian(ZigZag.encode(start))
        try files.replaceAtomically(bytes.bytes, at: path)
        return start
    }
}
