// MemorySamplePart.swift - a part that is not on disk yet: plain columns (docs/format/sample-store.md, 8.3).
//
//   blocks       TSID | first row | rows | exponent | precision bits       ordered by (TSID, MinTimestamp)
//   timestamps   all rows of block 0 | all rows of block 1 | ...           8 bytes a row
//   values       the same                                                  8 bytes a row
//
// Why plain and not encoded as on disk: such a part lives for a few seconds and is read once, by the merge that writes it
// to a file. Encoding, compressing and decoding it for that would cost more than everything else that happens to a row,
// and at one or two rows a block there is nothing to gain: a header alone takes 89 bytes, a block here 48 and 16 a row.
// A search that wants the bytes of a block gets them encoded at that moment.
//
// Threads: immutable once made; shared.

import StorageBytes
import StorageRuntime

/// A part in memory.
public final class MemorySamplePart: SamplePart, @unchecked Sendable {
    /// A block.
    struct Block {
        var tsid: TSID
        /// Its rows in the columns.
        var start: UInt32, count: UInt32
        var exponent: Int16
        var precisionBits: UInt8
    }

    let blocks: UnsafeMutableBufferPointer<Block>
    let timestamps: UnsafeMutablePointer<Int64>
    let values: UnsafeMutablePointer<Int64>

    /// Takes over memory that was allocated for it. There is at least one block, and none is empty.
    init(
        taking blocks: UnsafeMutableBufferPointer<Block>, timestamps: UnsafeMutablePointer<Int64>,
        values: UnsafeMutablePointer<Int64>, capacity: Int
    ) {
        self.blocks = blocks
        self.timestamps = timestamps
        self.values = values
        var totals = SampleTotals()
        totals.blocks = UInt64(blocks.count)
        for block in blocks {
            totals.rows &+= UInt64(block.count)
            totals.minTimestamp = min(totals.minTimestamp, timestamps[Int(block.start)])
            totals.maxTimestamp = max(totals.maxTimestamp, timestamps[Int(block.start &+ block.count &- 1)])
        }
        super.init(
            totals: totals, sizeBytes: UInt64(capacity * 16 + blocks.count * MemoryLayout<Block>.stride),
            dedupIntervalMs: 0)
    }

    deinit {
        blocks.deallocate()
        timestamps.deallocate()
        values.deallocate()
    }

    /// The header of a block, as far as it is known without encoding it: sizes, offsets and types are those of no data.
    func header(_ number: Int) -> SampleBlockHeader {
        let block = blocks[number]
        let first = Int(block.start)
        var header = SampleBlockHeader(tsid: block.tsid)
        header.minTimestamp = timestamps[first]
        header.maxTimestamp = timestamps[first + Int(block.count) - 1]
        header.firstValue = values[first]
        header.rowsCount = block.count
        header.exponent = block.exponent
        header.precisionBits = block.precisionBits
        return header
    }

    public override func cursor(minTimestamp: Int64, maxTimestamp: Int64) -> SampleCursor {
        MemorySampleCursor(self, minTimestamp: minTimestamp, maxTimestamp: maxTimestamp)
    }

    public override func source() -> SampleSource { MemorySampleSource(self) }
}

/// Finds blocks in a part in memory.
final class MemorySampleCursor: SampleCursor {
    private let part: MemorySamplePart
    private var wanted: UInt64?
    private var position = 0
    private var encoder = IntegerArrayEncoder()
    private var timestampsData = RawBuffer()
    private var valuesData = RawBuffer()

    init(_ part: MemorySamplePart, minTimestamp: Int64, maxTimestamp: Int64) {
        self.part = part
        super.init(minTimestamp: minTimestamp, maxTimestamp: maxTimestamp)
    }

    override func seek(_ tsid: TSID) throws(StorageError) {
        var first = 0
        var length = part.blocks.count
        while length > 0 {
            let half = length / 2
            if part.blocks[first + half].tsid < tsid {
                first += half + 1
                length -= half + 1
            } else {
                length = half
            }
        }
        position = first
        wanted = tsid.metricID
    }

    override func next() throws(StorageError) -> Bool {
        while let wanted, position < part.blocks.count, part.blocks[position].tsid.metricID == wanted {
            let found = part.header(position)
            position += 1
            if found.overlaps(minTimestamp, maxTimestamp) {
                header = found
                return true
            }
        }
        wanted = nil
        return false
    }

    override func read() throws(StorageError) -> StoredSampleBlock {
        let block = part.blocks[position - 1]
        let (start, count, bits) = (Int(block.start), Int(block.count), Int(block.precisionBits))
        timestampsData.removeAll()
        valuesData.removeAll()
        // Not compressed: the bytes live as long as one answer takes.
        header.timestampsType = encoder.encode(
            part.timestamps + start, count, precisionBits: bits, into: &timestampsData, compressing: false)
        header.valuesType = encoder.encode(
            part.values + start, count, precisionBits: bits, into: &valuesData, compressing: false)
        header.timestampsSize = UInt32(timestampsData.count)
        header.valuesSize = UInt32(valuesData.count)
        return StoredSampleBlock(header: header, timestamps: timestampsData.bytes, values: valuesData.bytes)
    }
}
