// SamplePartName.swift - what a part says about itself in the name of its directory
// (docs/format/sample-store.md, 5.1).
//
//   <rows>_<blocks>_<min>_<max>_<suffix>      674_7_20211121000000.000_20211121000959.000_000000000000000A

import StorageBytes
import StorageFiles
import StorageRuntime

/// Totals of a part.
public struct SampleTotals: Equatable, Sendable {
    /// Rows in all blocks.
    public var rows: UInt64 = 0
    /// Blocks.
    public var blocks: UInt64 = 0
    /// Smallest MinTimestamp of the blocks, Unix milliseconds.
    public var minTimestamp = Int64.max
    /// Largest MaxTimestamp of the blocks.
    public var maxTimestamp = Int64.min

    /// Of no blocks.
    public init() {}

    /// Adds a block.
    mutating func add(_ header: SampleBlockHeader) {
        rows &+= UInt64(header.rowsCount)
        blocks &+= 1
        minTimestamp = min(minTimestamp, header.minTimestamp)
        maxTimestamp = max(maxTimestamp, header.maxTimestamp)
    }

    /// Tells whether there may be rows between two timestamps, both included.
    public func overlaps(_ minTimestamp: Int64, _ maxTimestamp: Int64) -> Bool {
        self.maxTimestamp >= minTimestamp && self.minTimestamp <= maxTimestamp
    }
}

/// The name of a part's directory.
public struct SamplePartName: Equatable, Sendable {
    /// What the part holds.
    public let totals: SampleTotals
    /// What is behind the last `_`: 16 uppercase hex digits in names that we write, anything in others.
    public let suffix: String

    /// The name of a part with `totals`, written by merge number `number`.
    public init(_ totals: SampleTotals, number: UInt64) {
        self.totals = totals
        suffix = Hex.name(number)
    }

    /// The last component of `path` taken apart. `.corrupted` when it is not the name of a part.
    public init(path: String) throws(StorageError) {
        let name = Paths.lastComponent(path)
        let fields = name[...].utf8.split(separator: UInt8(ascii: "_"), omittingEmptySubsequences: false)
        guard fields.count == 5, let rows = SamplePartName.decimal(fields[0]),
            let blocks = SamplePartName.decimal(fields[1]), let min = CivilTime.parse(fields[2]),
            let max = CivilTime.parse(fields[3])
        else {
            throw StorageError(
                .corrupted, "not the name of a part; <rows>_<blocks>_<min>_<max>_<suffix> is expected", path: path)
        }
        guard rows > 0, blocks > 0, blocks <= rows, min <= max else {
            throw StorageError(.corrupted, "the name of the part is impossible", path: path)
        }
        var totals = SampleTotals()
        totals.rows = rows
        totals.blocks = blocks
        totals.minTimestamp = min
        totals.maxTimestamp = max
        self.totals = totals
        suffix = String(Substring(fields[4]))
    }

    /// The name.
    public var text: String {
        let min = CivilTime(timestampMs: totals.minTimestamp).text
        let max = CivilTime(timestampMs: totals.maxTimestamp).text
        return "\(totals.rows)_\(totals.blocks)_\(min)_\(max)_\(suffix)"
    }

    /// A plain decimal number: digits only.
    private static func decimal(_ text: Substring.UTF8View) -> UInt64? {
        guard !text.isEmpty else { return nil }
        var value: UInt64 = 0
        for byte in text {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
            if overflow || carry { return nil }
            value = sum
        }
        return value
    }
}
