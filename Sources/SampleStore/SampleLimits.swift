// SampleLimits.swift - the numbers of the format (docs/format/sample-store.md, 4, 5, 22).

/// Numbers that the format of sample parts fixes.
public enum SampleLimits {
    /// Most rows in a block that we write.
    public static let blockRowsMax = 8192
    /// Most rows in a block that a reader accepts.
    public static let decodedBlockRowsMax = 16384
    /// Values data of a block that is still as it was read: from here on no more rows are joined to it.
    static let blockBytesFull = 65536
    /// An index block is closed as soon as its headers take this many bytes.
    static let indexBlockBytesMin = 65536
    /// Timestamps data, values data, an index block as stored: more is corruption.
    static let storedBytesMax = 131_072
    /// An index block decompressed: what the reference writes stays below 64 KiB and one header; readers must not rely on
    /// that, but memory has to be bounded.
    static let indexBlockDecodedBytesMax = 1 << 20
    /// A payload with fewer bytes is stored plain.
    static let compressedPayloadBytesMin = 128
    /// A compressed payload above this share of the plain one is stored plain.
    static let compressedShareMax = 0.9
    /// Bytes that a metaindex may take, stored or decompressed: far above what the largest part has.
    static let metaindexBytesMax = 1 << 30

    /// The highest ZSTD level of timestamps and values data that the reference uses.
    public static let dataLevelMax = 5

    /// ZSTD level of timestamps and values data of a block with `rows` rows (3.2).
    static func dataLevel(rows: Int) -> Int {
        if rows <= 64 { return 1 }
        if rows <= 256 { return 2 }
        if rows <= 1024 { return 3 }
        return rows <= 4096 ? 4 : 5
    }

    /// ZSTD level of index and metaindex of a file part whose sources hold `rows` rows in `blocks` blocks (10.6).
    static func indexLevel(rows: UInt64, blocks: UInt64) -> Int {
        let average = blocks == 0 ? 0 : rows / blocks
        if average <= 200 { return -1 }
        if average <= 500 { return 1 }
        if average <= 1000 { return 2 }
        if average <= 2000 { return 3 }
        return average <= 4000 ? 4 : 5
    }

    /// ZSTD level of index and metaindex of a part in memory (10.6).
    static let memoryIndexLevel = -5
}
