// SampleBlockHeader.swift - what is known about a block without reading it (docs/format/sample-store.md, 4.1).
//
//   offset 0   TSID                    32 bytes      56  timestamps offset   u64      80  rows              u32
//         32   MinTimestamp  i64 zigzag              64  values offset       u64      84  exponent          i16 zigzag
//         40   MaxTimestamp  i64 zigzag              72  timestamps size     u32      86  timestamps type   u8
//         48   FirstValue    i64 zigzag              76  values size         u32      87  values type       u8
//                                                                                     88  precision bits    u8
//
// Threads: a plain value.

import StorageBytes

/// The header of a block of samples.
public struct SampleBlockHeader: Equatable, Sendable {
    /// The series.
    public var tsid: TSID
    /// First timestamp, Unix milliseconds; also the first element of the timestamps array.
    public var minTimestamp: Int64
    /// Last timestamp.
    public var maxTimestamp: Int64
    /// First element of the values array.
    public var firstValue: Int64
    /// Place of the timestamps data in `timestamps.bin`.
    public var timestampsOffset: UInt64
    /// Place of the values data in `values.bin`.
    public var valuesOffset: UInt64
    /// Bytes of timestamps data.
    public var timestampsSize: UInt32
    /// Bytes of values data.
    public var valuesSize: UInt32
    /// Rows, 1 or more.
    public var rowsCount: UInt32
    /// The power of ten that the values are multiples of.
    public var exponent: Int16
    /// How the timestamps are stored.
    public var timestampsType: MarshalType
    /// How the values are stored.
    public var valuesType: MarshalType
    /// How many bits of each number are kept, 1...64.
    public var precisionBits: UInt8

    /// Bytes of the stored form.
    public static let storedBytes = 89

    /// A header of a block without data, whose fields are filled in later.
    init(tsid: TSID) {
        self.tsid = tsid
        minTimestamp = 0
        maxTimestamp = 0
        firstValue = 0
        timestampsOffset = 0
        valuesOffset = 0
        timestampsSize = 0
        valuesSize = 0
        rowsCount = 1
        exponent = 0
        timestampsType = .const
        valuesType = .const
        precisionBits = 64
    }

    /// Reads the stored form from the first 89 of `bytes`; what follows is not looked at.
    ///
    /// - Throws: `.truncated`; `.outOfRange` for the number of rows, the precision bits or a size; `.unknownValue` for a
    ///   marshal type.
    public init(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) {
        guard bytes.count >= SampleBlockHeader.storedBytes, let start = bytes.baseAddress else { throw .truncated }
        guard let timestampsType = MarshalType(rawValue: start.load(fromByteOffset: 86, as: UInt8.self)),
            let valuesType = MarshalType(rawValue: start.load(fromByteOffset: 87, as: UInt8.self))
        else { throw .unknownValue }
        tsid = TSID(loading: start)
        minTimestamp = ZigZag.decode(BigEndian.load64(start + 32))
        maxTimestamp = ZigZag.decode(BigEndian.load64(start + 40))
        firstValue = ZigZag.decode(BigEndian.load64(start + 48))
        timestampsOffset = BigEndian.load64(start + 56)
        valuesOffset = BigEndian.load64(start + 64)
        timestampsSize = BigEndian.load32(start + 72)
        valuesSize = BigEndian.load32(start + 76)
        rowsCount = BigEndian.load32(start + 80)
        exponent = ZigZag.decode(UInt16(bigEndian: start.loadUnaligned(fromByteOffset: 84, as: UInt16.self)))
        self.timestampsType = timestampsType
        self.valuesType = valuesType
        precisionBits = start.load(fromByteOffset: 88, as: UInt8.self)
        guard rowsCount > 0, rowsCount <= SampleLimits.decodedBlockRowsMax, precisionBits > 0, precisionBits <= 64,
            timestampsSize <= SampleLimits.storedBytesMax, valuesSize <= SampleLimits.storedBytesMax
        else { throw .outOfRange }
    }

    /// Appends the stored form.
    public func encode(into target: inout RawBuffer) {
        target.reserve(SampleBlockHeader.storedBytes)
        let start = target.end
        tsid.store(at: start)
        BigEndian.store64(ZigZag.encode(minTimestamp), at: start + 32)
        BigEndian.store64(ZigZag.encode(maxTimestamp), at: start + 40)
        BigEndian.store64(ZigZag.encode(firstValue), at: start + 48)
        BigEndian.store64(timestampsOffset, at: start + 56)
        BigEndian.store64(valuesOffset, at: start + 64)
        BigEndian.store32(timestampsSize, at: start + 72)
        BigEndian.store32(valuesSize, at: start + 76)
        BigEndian.store32(rowsCount, at: start + 80)
        start.storeBytes(of: ZigZag.encode(exponent).bigEndian, toByteOffset: 84, as: UInt16.self)
        start.storeBytes(of: timestampsType.rawValue, toByteOffset: 86, as: UInt8.self)
        start.storeBytes(of: valuesType.rawValue, toByteOffset: 87, as: UInt8.self)
        start.storeBytes(of: precisionBits, toByteOffset: 88, as: UInt8.self)
        target.commit(SampleBlockHeader.storedBytes)
    }

    /// Tells whether the block may have rows between two timestamps, both included.
    @inline(__always) func overlaps(_ minTimestamp: Int64, _ maxTimestamp: Int64) -> Bool {
        self.maxTimestamp >= minTimestamp && self.minTimestamp <= maxTimestamp
    }
}
