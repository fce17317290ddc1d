// IntegerArrayDecoder.swift - bytes become integer arrays (docs/format/sample-store.md, 3.5).
//
// The payload of a block is one varint for each row but the first. Three ways through it, chosen by looking at the next
// eight bytes, as all differences of a block tend to be of one size:
//
//   8 one-byte varints    undo zigzag in all bytes of the word at once; the running sums of eight (offset) 7-bit numbers
//                         fit into 16 bits each, so one multiplication adds them up; then one addition a value
//   4 two-byte varints    the same with 14-bit numbers
//   a mixture             64 bytes are decoded and added up by a function in C (CIntrinsics, varints.c)
//
// The last bytes of the payload, and varints that break a rule, go through the checked cursor.
//
// Offsets: a zigzag number of n bits stands for -2^(n-1)...2^(n-1)-1. Adding 2^(n-1) makes it non-negative, so sums never
// borrow from their neighbours; k * 2^(n-1) is taken off the k-th sum.
//
// Memory: `target` has room for `count` values; what is announced is checked before anything is written behind it.
// Threads: one owner; the buffers are kept.

import CIntrinsics
import StorageBytes

/// Decodes integer arrays.
public struct IntegerArrayDecoder: ~Copyable {
    private var payload = RawBuffer()

    /// A decoder with buffers of its own.
    public init() {}

    /// Decodes an array.
    ///
    /// - Parameters:
    ///   - type: How it is stored, as the header says.
    ///   - first: Its first value.
    ///   - count: Its length, 1...``SampleLimits/decodedBlockRowsMax``.
    ///   - bytes: All of its bytes.
    ///   - target: Room for `count` values; undefined after an error.
    /// - Throws: `.truncated`, `.overlongVarint`, `.trailingBytes`, `.badFrame`, `.outOfRange` (a frame that holds more
    ///   than `count` varints can take), `.unknownValue` for the type, `.inconsistent` for second differences of one
    ///   value.
    public mutating func decode(
        _ type: MarshalType, first: Int64, count: Int, _ bytes: UnsafeRawBufferPointer,
        into target: UnsafeMutablePointer<Int64>
    ) throws(DecodeError) {
        precondition(count > 0 && count <= SampleLimits.decodedBlockRowsMax, "an array of \(count) values")
        switch type {
        case .const:
            guard bytes.count == 0 else { throw .trailingBytes }
            target.update(repeating: first, count: count)
        case .deltaConst:
            var cursor = ByteCursor(bytes)
            let delta = try cursor.readSignedVarint()
            try cursor.finish()
            var value = first
            for index in 0..<count {
                target[index] = value
                value &+= delta
            }
        case .nearestDelta: try sumDeltas(bytes, first, count, target)
        case .nearestDelta2: try sumDelta2s(bytes, first, count, target)
        case .zstdNearestDelta:
            try decompress(bytes, count)
            try sumDeltas(payload.bytes, first, count, target)
        case .zstdNearestDelta2:
            try decompress(bytes, count)
            try sumDelta2s(payload.bytes, first, count, target)
        case .invalid: throw .unknownValue
        }
    }

    private mutating func decompress(_ bytes: UnsafeRawBufferPointer, _ count: Int) throws(DecodeError) {
        payload.removeAll()
        try Zstd.decompress(bytes, into: &payload, limitBytes: count * Varint.lengthMax)
    }

    private static let moreBits: UInt64 = 0x8080_8080_8080_8080
    private static let moreBitsOfPairs: UInt64 = 0x0080_0080_0080_0080
    private static let lanes: UInt64 = 0x0001_0001_0001_0001
    /// Bytes that must be there for unpacking a mixture.
    private static let mixtureBytes = 72

    /// Eight one-byte varints as numbers that are 64 too large.
    @inline(__always) private static func offsetBytes(_ word: UInt64) -> UInt64 {
        let signs = word & 0x0101_0101_0101_0101
        let halves = (word &>> 1) & 0x3F3F_3F3F_3F3F_3F3F
        return halves ^ ((signs &<< 7) &- signs) ^ 0x4040_4040_4040_4040
    }

    /// Four two-byte varints as numbers in lanes of 16 bits that are 8192 too large.
    @inline(__always) private static func offsetPairs(_ word: UInt64) -> UInt64 {
        let codes = (word & 0x007F_007F_007F_007F) | ((word & 0x7F00_7F00_7F00_7F00) &>> 1)
        let signs = codes & lanes
        let halves = (codes &>> 1) & 0x1FFF_1FFF_1FFF_1FFF
        return halves ^ ((signs &<< 14) &- signs) ^ 0x2000_2000_2000_2000
    }

    @inline(__always) private static func sumMixture(
        _ address: UnsafeRawPointer, order: Int32, _ target: UnsafeMutablePointer<Int64>,
        _ sum: inout Int64, _ delta: inout Int64
    ) -> ci_summed {
        var sums = (sum, delta)
        let read = withUnsafeMutableBytes(of: &sums) { sums in
            ci_sum_varints(
                address.assumingMemoryBound(to: UInt8.self), target, order,
                sums.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: Int64.self))
        }
        (sum, delta) = sums
        return read
    }

    private func sumDeltas(
        _ bytes: UnsafeRawBufferPointer, _ first: Int64, _ count: Int, _ target: UnsafeMutablePointer<Int64>
    ) throws(DecodeError) {
        var cursor = ByteCursor(bytes)
        var sum = first
        var unused: Int64 = 0
        target[0] = first
        var next = target + 1
        let end = target + count
        var address = cursor.position
        while end - next >= 8, cursor.end - address >= 8 {
            let word = UInt64(littleEndian: address.loadUnaligned(as: UInt64.self))
            let more = word & IntegerArrayDecoder.moreBits
            if more == 0 {
                let codes = IntegerArrayDecoder.offsetBytes(word)
                let odd = (codes &>> 8) & 0x00FF_00FF_00FF_00FF
                let pairs = (codes & 0x00FF_00FF_00FF_00FF) &+ odd
                let sums = pairs &* IntegerArrayDecoder.lanes  // up to and with the odd ones
                let before = sums &- odd  // up to and with the even ones
                for lane in 0..<4 {
                    let shift = UInt64(16 &* lane)
                    next[2 &* lane] =
                        sum &+ Int64(truncatingIfNeeded: (before &>> shift) & 0xFFFF) &- Int64(128 &* lane &+ 64)
                    next[2 &* lane &+ 1] =
                        sum &+ Int64(truncatingIfNeeded: (sums &>> shift) & 0xFFFF) &- Int64(128 &* lane &+ 128)
                }
                sum = sum &+ Int64(truncatingIfNeeded: sums &>> 48) &- 512
                next += 8
                address += 8
            } else if more == IntegerArrayDecoder.moreBitsOfPairs {
                let sums = IntegerArrayDecoder.offsetPairs(word) &* IntegerArrayDecoder.lanes
                for lane in 0..<4 {
                    next[lane] =
                        sum &+ Int64(truncatingIfNeeded: (sums &>> UInt64(16 &* lane)) & 0xFFFF)
                        &- Int64(8192 &* (lane &+ 1))
                }
                sum = sum &+ Int64(truncatingIfNeeded: sums &>> 48) &- 32768
                next += 4
                address += 8
            } else {
                guard cursor.end - address >= IntegerArrayDecoder.mixtureBytes, end - next >= 64 else { break }
                let read = IntegerArrayDecoder.sumMixture(address, order: 1, next, &sum, &unused)
                if read.values == 0 { break }
                next += Int(read.values)
                address += Int(read.bytes)
            }
        }
        cursor.move(to: address)
        while next < end {
            sum &+= try cursor.readSignedVarint()
            next.pointee = sum
            next += 1
        }
        try cursor.finish()
    }

    private func sumDelta2s(
        _ bytes: UnsafeRawBufferPointer, _ first: Int64, _ count: Int, _ target: UnsafeMutablePointer<Int64>
    ) throws(DecodeError) {
        guard count >= 2 else { throw .inconsistent }
        var cursor = ByteCursor(bytes)
        var delta: Int64 = 0
        var value = first
        target[0] = first
        var next = target + 1
        let end = target + count
        var address = cursor.position
        while end - next >= 8, cursor.end - address >= 8 {
            let word = UInt64(littleEndian: address.loadUnaligned(as: UInt64.self))
            let more = word & IntegerArrayDecoder.moreBits
            if more == 0 {
                let codes = IntegerArrayDecoder.offsetBytes(word)
                for place in 0..<8 {
                    let code = Int64(truncatingIfNeeded: (codes &>> UInt64(8 &* place)) & 0xFF)
                    delta &+= code &- 64
                    value &+= delta
                    next[place] = value
                }
                next += 8
                address += 8
            } else if more == IntegerArrayDecoder.moreBitsOfPairs {
                let codes = IntegerArrayDecoder.offsetPairs(word)
                for place in 0..<4 {
                    let code = Int64(truncatingIfNeeded: (codes &>> UInt64(16 &* place)) & 0xFFFF)
                    delta &+= code &- 8192
                    value &+= delta
                    next[place] = value
                }
                next += 4
                address += 8
            } else {
                guard cursor.end - address >= IntegerArrayDecoder.mixtureBytes, end - next >= 64 else { break }
                let read = IntegerArrayDecoder.sumMixture(address, order: 2, next, &value, &delta)
                if read.values == 0 { break }
                next += Int(read.values)
                address += Int(read.bytes)
            }
        }
        cursor.move(to: address)
        while next < end {
            delta &+= try cursor.readSignedVarint()
            value &+= delta
            next.pointee = value
            next += 1
        }
        try cursor.finish()
    }

    // MARK: timestamps

    /// Makes decoded timestamps of reduced precision ascending again and puts them between the bounds that the header
    /// gives. Throws `.inconsistent` when the bounds are inverted.
    static func repair(
        _ timestamps: UnsafeMutablePointer<Int64>, _ count: Int, min: Int64, max: Int64
    ) throws(DecodeError) {
        guard min <= max else { throw .inconsistent }
        guard count > 0 else { return }
        timestamps[0] = min
        for index in 1..<Swift.max(count, 1) where timestamps[index] < timestamps[index - 1] {
            timestamps[index] = timestamps[index - 1]
        }
        guard timestamps[count - 1] != max else { return }
        timestamps[count - 1] = max
        var index = count - 2
        while index >= 0, timestamps[index] > max {
            timestamps[index] = max
            index -= 1
        }
    }
}
