// InspectionRecord.swift - what `inspect` has found, as the values behind the report and the JSON.
//
// Bytes of files are exact. Bytes given to a namespace, a label or a day are shares of blocks: a block stores its items
// without what each has in common with the one before, then compresses; of its stored bytes each byte that prefix coding
// leaves gets an equal share, and one more for each item's lengths. The shares of a table add up to the exact total.

/// What was found in a directory.
public struct InspectionRecord: Codable, Sendable, Equatable {
    /// Changes when a field changes its meaning.
    public var schemaVersion = 1
    /// The directory as it was given.
    public var path = ""
    /// Tables of index items.
    public var indexTables: [IndexTableRecord] = []
    /// Months of samples; small and big parts of a month together.
    public var partitions: [PartitionRecord] = []
    /// Parts that could not be read; they are in no other figure.
    public var damaged: [DamagedPart] = []
    /// What the reader should know.
    public var notes: [String] = []

    /// Bytes of all index tables.
    public var indexBytes: UInt64 { indexTables.reduce(0) { $0 + $1.bytes } }
    /// Bytes of all samples.
    public var sampleBytes: UInt64 { partitions.reduce(0) { $0 + $1.bytes } }
}

/// A part that was left out.
public struct DamagedPart: Codable, Sendable, Equatable {
    /// The directory of the part.
    public var path: String
    /// File, place and reason.
    public var reason: String
}

/// One part of a list.
public struct PartLine: Codable, Sendable, Equatable {
    /// The name of its directory; of samples with `small/` or `big/` before it.
    public var name: String
    /// Items or rows.
    public var entries: UInt64
    /// Blocks.
    public var blocks: UInt64
    /// Bytes of its `.bin` files.
    public var bytes: UInt64
}

/// What a merge of all parts into one would leave.
public struct MergeOutcome: Codable, Sendable, Equatable {
    /// Items or rows of the one part.
    public var entries: UInt64
    /// Its blocks.
    public var blocks: UInt64
    /// Its bytes.
    public var bytes: UInt64
    /// Bytes that the parts take more today; negative when they take less (other levels of compression).
    public var savedBytes: Int64
}

/// Rows of one kind.
public struct NamespaceRecord: Codable, Sendable, Equatable {
    /// First byte of the rows, 0...6; 7 stands for everything else.
    public var namespace: Int
    /// Rows.
    public var items: UInt64 = 0
    /// Rows that differ.
    public var distinctItems: UInt64 = 0
    /// Ids in rows of tags.
    public var ids: UInt64 = 0
    /// Different tags in rows of tags.
    public var tags: UInt64 = 0
    /// Bytes of the rows as they are before any coding.
    public var rawBytes: UInt64 = 0
    /// Bytes that prefix coding leaves.
    public var keptBytes: UInt64 = 0
    /// Share of the stored bytes.
    public var compressedBytes: UInt64 = 0
}

/// A value of a label, and how many ids its rows list.
public struct ValueRecord: Codable, Sendable, Equatable {
    /// The value; bytes that are not UTF-8 are replaced.
    public var value: String
    /// Series that the rows of the value list, over all tenants' rows of this value's tenant.
    public var series: UInt64
    /// Bytes of these rows before any coding.
    public var rawBytes: UInt64
}

/// What a label costs. Bytes are shares of the stored bytes.
public struct LabelRecord: Codable, Sendable, Equatable {
    /// The label; `__name__` for the metric name.
    public var label: String
    /// All of the following together.
    public var compressedBytes: UInt64 = 0
    /// Rows tag -> ids, and those of the metric name together with the tag.
    public var tagBytes: UInt64 = 0, compositeBytes: UInt64 = 0
    /// The same for each day.
    public var dayTagBytes: UInt64 = 0, dayCompositeBytes: UInt64 = 0
    /// Its part of the names in the rows name -> TSID and id -> name.
    public var nameBytes: UInt64 = 0
    /// Rows of tags, composite and per day ones, too.
    public var rows: UInt64 = 0
    /// Different values (of a tenant each); from the rows that hold for all days.
    public var values: UInt64 = 0
    /// Ids that these rows list: series that have the label.
    public var series: UInt64 = 0
    /// The values with the most series.
    public var topValues: [ValueRecord] = []
}

/// Rows of one day.
public struct DayRecord: Codable, Sendable, Equatable {
    /// Days since 1970-01-01.
    public var date: UInt64
    /// Series that are registered for the day.
    public var series: UInt64 = 0
    /// Rows of the day.
    public var items: UInt64 = 0
    /// Share of the stored bytes.
    public var compressedBytes: UInt64 = 0
}

/// What was found in a table of index items.
public struct IndexTableRecord: Codable, Sendable, Equatable {
    /// The directory.
    public var path = ""
    /// Whether all items are rows of a series index.
    public var isSeriesIndex = true
    /// Readable parts.
    public var parts: [PartLine] = []
    /// Transactions that the next open of the table finishes.
    public var pendingTransactions = 0
    /// Items and blocks of all parts.
    public var items: UInt64 = 0, blocks: UInt64 = 0
    /// Index blocks.
    public var indexBlocks: UInt64 = 0
    /// Bytes of all `.bin` files.
    public var bytes: UInt64 = 0
    /// Bytes of `items.bin`, of `lens.bin`, and of `index.bin` with `metaindex.bin`.
    public var itemsFileBytes: UInt64 = 0, lensFileBytes: UInt64 = 0, headerFilesBytes: UInt64 = 0
    /// Bytes of the items before any coding, and those that prefix coding leaves.
    public var rawBytes: UInt64 = 0, keptBytes: UInt64 = 0
    /// Blocks whose items have up to a quarter, half, three quarters, and more of 64 KiB.
    public var blockFill: [UInt64] = [0, 0, 0, 0]
    /// Blocks that are stored without compression.
    public var plainBlocks: UInt64 = 0
    /// Series (ids with a name), tenants that have any, and ids that were deleted.
    public var series: UInt64 = 0, tenants: UInt64 = 0, deletedSeries: UInt64 = 0
    /// The kinds of rows that occur.
    public var namespaces: [NamespaceRecord] = []
    /// Labels, the most expensive first; those behind the limit are added up as `(others)`.
    public var labels: [LabelRecord] = []
    /// Days, ascending.
    public var days: [DayRecord] = []
    /// Items that are there once more, byte by byte, and their bytes before any coding.
    public var duplicateItems: UInt64 = 0, duplicateBytes: UInt64 = 0
    /// What a forced merge would leave.
    public var merged: MergeOutcome?
}

/// What was found in a month of samples.
public struct PartitionRecord: Codable, Sendable, Equatable {
    /// The month, `2021_11`, or the directory of a single part.
    public var name = ""
    /// Readable parts.
    public var parts: [PartLine] = []
    /// Transactions that the next open finishes.
    public var pendingTransactions = 0
    /// Rows and blocks of all parts.
    public var rows: UInt64 = 0, blocks: UInt64 = 0
    /// Series that have rows.
    public var series: UInt64 = 0
    /// First and last timestamp, Unix milliseconds.
    public var minTimestamp: Int64 = 0, maxTimestamp: Int64 = 0
    /// Bytes of all `.bin` files.
    public var bytes: UInt64 = 0
    /// Bytes of `timestamps.bin`, of `values.bin`, and of `index.bin` with `metaindex.bin`.
    public var timestampsBytes: UInt64 = 0, valuesBytes: UInt64 = 0, headerFilesBytes: UInt64 = 0
    /// Blocks that share the timestamps of the block before.
    public var blocksSharingTimestamps: UInt64 = 0
    /// Blocks by the way their timestamps and their values are stored.
    public var timestampsTypes: [String: UInt64] = [:], valuesTypes: [String: UInt64] = [:]
    /// Blocks with up to 64, 1024, 8191 and 8192 or more rows.
    public var blockFill: [UInt64] = [0, 0, 0, 0]
    /// Rows of a series in a millisecond that has another row of it.
    public var duplicateRows: UInt64 = 0
    /// What a forced merge would leave.
    public var merged: MergeOutcome?

    /// Bytes for each row.
    public var bytesPerSample: Double { Double(bytes) / Double(max(1, rows)) }
}
