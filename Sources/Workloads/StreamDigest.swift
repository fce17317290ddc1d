// StreamDigest.swift - one number for a whole stream of rows.
//
// XXH64 over, per row in order: length of the raw name (u32), the raw name, the timestamp (64 bits), the bits of the
// value (64 bits); numbers big-endian. Two runs with the same digest were fed the same rows.

import StorageBytes
import StorageRuntime

/// A running digest of rows. One thread at a time.
public struct StreamDigest {
    private let digest = Digest()
    /// Rows added.
    public private(set) var rows = 0

    /// The digest of no rows.
    public init() {}

    /// Adds the rows of a batch that has names.
    public mutating func add(_ batch: borrowing RowBatch) {
        for row in 0..<batch.count {
            digest.addItem(batch.name(row))
            digest.add(UInt64(bitPattern: batch.timestampsMs[row]))
            digest.add(batch.values[row].bitPattern)
        }
        rows += batch.count
    }

    /// The digest of the rows added so far.
    public var value: UInt64 { digest.value }

    /// The digest of all rows of a plan, generated for the purpose.
    public static func of(_ plan: SeriesPlan) throws(StorageError) -> UInt64 {
        var stream = try RowStream(plan)
        var batch = RowBatch()
        var digest = StreamDigest()
        while stream.next(into: &batch) { digest.add(batch) }
        return digest.value
    }
}
