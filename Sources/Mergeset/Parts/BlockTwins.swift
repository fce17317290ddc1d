// BlockTwins.swift - blocks of per-day tag rows that are stored like blocks of global tag rows of the same part.
//
// A new series gets the same tag rows twice: without a day (kind 1) and for its day (kind 6). In the part of a flush, and
// in merges of such parts, one sequence of rows is therefore the other with eight more bytes at the beginning of each row:
//
//   kind 1   | 01 | tenant |     | tag | ids |         payload of a block: what its items do not share with the item before
//   kind 6   | 06 | tenant | day | tag | ids |         the same payload, when the rows are the same
//
// First item and common prefix stand in the block header, so equal payloads mean equal bytes in items.bin and lens.bin. The
// writer remembers the payloads of the blocks of kind 1 by their fingerprints, and copies what it has stored instead of
// compressing the same payload once more.
//
//   places   fingerprints of (items payload, lens payload) -> where the block lies in the two files
//
// Two different payloads of 64 KiB have one fingerprint with a probability below 2^-109 (Fingerprint.swift); both payloads
// must agree. The number of blocks remembered is bounded.
//
// Threads: one owner.

import StorageBytes
import StorageFiles
import StorageRuntime

/// The stored blocks of global tag rows in a part that is being written.
struct BlockTwins: ~Copyable {
    /// Where a block lies in the files of the part.
    struct Place {
        var itemsOffset: Int, lensOffset: Int
        var itemsSize: Int, lensSize: Int
    }

    private struct Payloads: Hashable {
        var items: Fingerprint, lens: Fingerprint
    }

    /// About 4 GiB of rows; the memory for them is 6 MiB.
    private static let placesMax = 1 << 16

    private let key: FingerprintKey
    private var places: [Payloads: Place] = [:]
    /// The files of the part, opened for reading once something is found.
    private var items: (any ReadableFile)?
    private var lens: (any ReadableFile)?

    /// No blocks.
    init(key: FingerprintKey) { self.key = key }

    /// Remembers a block that has been stored.
    mutating func add(_ block: inout BlockEncoder, _ place: Place) {
        guard places.count < BlockTwins.placesMax else { return }
        places[payloads(&block)] = place
    }

    /// Where a block with the payloads of this one is stored; nil when there is none.
    func find(_ block: inout BlockEncoder) -> Place? {
        if places.isEmpty { return nil }
        return places[payloads(&block)]
    }

    private func payloads(_ block: inout BlockEncoder) -> Payloads {
        let key = self.key
        return block.withPayloads { Payloads(items: key.fingerprint($0), lens: key.fingerprint($1)) }
    }

    /// Appends what is stored at a place to `items` and `lens`.
    ///
    /// - Throws: `.io`, `.notFound`; what the writers throw, which are flushed at the first call.
    mutating func read(
        _ place: Place, _ itemsFile: FileWriter, _ lensFile: FileWriter, _ files: any FileSystem,
        items itemsData: inout RawBuffer, lens lensData: inout RawBuffer
    ) throws(StorageError) {
        if items == nil {
            // Rows of kind 6 come behind all rows of kind 1: whatever is found is written now.
            try itemsFile.flush()
            try lensFile.flush()
            items = try files.open(itemsFile.path)
            lens = try files.open(lensFile.path)
        }
        try BlockTwins.read(items, place.itemsOffset, place.itemsSize, &itemsData)
        try BlockTwins.read(lens, place.lensOffset, place.lensSize, &lensData)
    }

    private static func read(
        _ file: (any ReadableFile)?, _ offset: Int, _ size: Int, _ target: inout RawBuffer
    ) throws(StorageError) {
        target.reserve(size)
        try file?.read(at: offset, into: UnsafeMutableRawBufferPointer(start: target.end, count: size))
        target.commit(size)
    }
}
