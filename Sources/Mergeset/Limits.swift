// Limits.swift - the numbers of the formats and of the merge policy (docs/format/mergeset-table.md, 21).

#if INJECT_FAULTS
    import StorageRuntime
#endif

/// Numbers that the formats fix.
public enum Limits {
    /// Longest item, and most bytes of items in a block.
    public static let itemBytesMax = 65536
    /// Most bytes of items in a block that we write; a single item may fill it.
    public static let blockBytesMax = 65536
    /// An index block is closed as soon as its headers take this many bytes.
    public static let indexBlockBytesMin = 65536
    /// Items data of a block, as stored: more is corruption.
    public static let itemsDataBytesMax = 131_072
    /// Lengths data of a block, as stored: more is corruption.
    public static let lensDataBytesMax = 1_048_576
    /// An index block, as stored: more is corruption.
    public static let indexBlockStoredBytesMax = 131_072
    /// An index block, decompressed: below 64 KiB plus one header, which has at most twice 64 KiB and some bytes (4.2).
    static let indexBlockDecodedBytesMax = 256 << 10
    /// Headers in an index block: 29 bytes and two empty strings each.
    static let indexBlockHeadersMax = indexBlockDecodedBytesMax / 31
    /// Items in a block that we write: as many as plain lengths data can hold.
    static let blockItemsMax = lensDataBytesMax / 8
    /// A block whose items, without the common prefix, have fewer bytes is stored plain.
    #if INJECT_FAULTS
        static let compressedBlockBytesMin = InjectedFault.active == .noCompression ? Int.max : 64
    #else
        static let compressedBlockBytesMin = 64
    #endif
    /// A compressed block that is not smaller than this part of its items is stored plain.
    static let compressedShareMax = 0.9
    /// Decoded payloads that a reader accepts. A block holds at most 64 KiB of items when the reference or we wrote
    /// it; readers must not rely on that, but memory has to be bounded: 64 MiB.
    static let decodedBytesMax = 64 << 20
    /// Items that a reader accepts in a block: each takes at least two bytes of lengths payload.
    static let decodedItemsMax = decodedBytesMax / 2

    /// Metric ids in a tag row at which the reference stops merging it with others.
    public static let rowIDsFull = 64
    /// Most metric ids in a tag row that we write, as in the reference (63 + 63).
    public static let rowIDsMax = 126
}

/// Numbers of the merge policy, which are free to change.
enum MergePolicy {
    /// Parts of a regular merge.
    #if INJECT_FAULTS
        static let partsMax = InjectedFault.active == .mergeWidth ? 4 : 15
    #else
        static let partsMax = 15
    #endif
    /// Regular merges begin when the table has more parts than this: a search looks at every part, and below this number
    /// merging earlier only means writing everything once more. Final merges of an idle table know no such limit.
    static let partsKept = 15
    /// Smallest number of parts of a final merge.
    static let finalPartsMin = 2
    /// The output of a merge is at least this many times its biggest source.
    static let multiplierMin = 1.7
    /// Parts this many times as big as the next smaller one are not merged with the smaller ones while these gain enough.
    static let sizeGap: UInt64 = 3
    /// A merge of small parts alone is at least this many times its biggest source: what is gained by less does not last.
    static let smallPartsGainMin = 3.0
    /// Where a table has too many parts, the smallest of them are merged alone while that takes no more than one in so many of the
    /// bytes of the merge that gains most, ...
    static let cheapShare: UInt64 = 50
    /// ... and no more than so many times the bytes of the smallest one: no part is written much more often than merges by
    /// size would.
    static let cheapRatioMax: UInt64 = 32
    /// Largest output of a merge.
    static let outputBytesMax: UInt64 = 400_000_000_000
    /// Parts at which the flushing thread helps with merging.
    static let assistedPartsMin = 512
    /// A table that has merged nothing for this long starts final merges.
    static let idleNanosecondsMax: UInt64 = 30_000_000_000
}
