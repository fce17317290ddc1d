// IntegerArrayEncoder.swift - integer arrays become bytes (docs/format/sample-store.md, 3.2 to 3.4).
//
//   all equal                      const          no bytes
//   equal differences              delta const    one varint
//   looks like a counter           nearest delta2 varints of second differences
//   else                           nearest delta  varints of differences
//   and zstd around the varints where there are at least 128 bytes of them and it saves a tenth
//
// Timestamps and values are the same to this code. The first value travels in the block's header.
//
// Speed: eight differences at a time. Where all fit into seven bits, eight bytes go out as one word; otherwise each varint
// is spread over a word by three masks and two shifts, without a loop over its bytes.
//
// Threads: one owner; the buffers are kept.

import StorageBytes

/// How an integer array is stored (3.1).
public enum MarshalType: UInt8, Sendable {
    /// Passes as a header field, but no array can be stored like this.
    case invalid = 0
    /// ``nearestDelta2`` in a ZSTD frame.
    case zstdNearestDelta2 = 1
    /// Equal differences.
    case deltaConst = 2
    /// All elements are the first value.
    case const = 3
    /// ``nearestDelta`` in a ZSTD frame.
    case zstdNearestDelta = 4
    /// Second differences.
    case nearestDelta2 = 5
    /// Differences.
    case nearestDelta = 6
}

/// Encodes integer arrays.
public struct IntegerArrayEncoder: ~Copyable {
    private var payload = RawBuffer(capacity: 16 << 10)
    private let levelMax: Int

    /// An encoder with buffers of its own.
    ///
    /// - Parameter levelMax: Highest level of zstd. The level follows from the number of elements, as in the reference;
    ///   levels are free to choose, and readers do not notice.
    public init(levelMax: Int = SampleLimits.dataLevelMax) { self.levelMax = levelMax }

    /// Appends the bytes of an array to `target`. The first value is not in them.
    ///
    /// - Parameters:
    ///   - count: 1 or more.
    ///   - precisionBits: 1...64. Below 64 the decoded array differs; arrays with equal elements or differences do not.
    ///   - compressing: Whether zstd is tried; without, the bytes are larger and cost a tenth.
    public mutating func encode(
        _ values: UnsafePointer<Int64>, _ count: Int, precisionBits: Int, into target: inout RawBuffer,
        compressing: Bool = true
    ) -> MarshalType {
        precondition(count > 0 && precisionBits >= 1 && precisionBits <= 64, "\(count) values, \(precisionBits) bits")
        if count == 1 { return .const }
        let delta = values[1] &- values[0]
        var index = 2
        while index < count, values[index] &- values[index &- 1] == delta { index &+= 1 }
        if index == count {
            if delta == 0 { return .const }
            target.appendSignedVarint(delta)
            return .deltaConst
        }
        let isGauge = IntegerArrayEncoder.isGauge(values, count)
        payload.removeAll()
        payload.reserve((count &- 1) &* Varint.lengthMax)
        if precisionBits == 64 {
            if isGauge { appendDeltas(values, count) } else { appendDelta2s(values, count) }
        } else {
            NearestDelta.encode(
                values, count, order: isGauge ? 1 : 2,
                precisionBits: isGauge && precisionBits < 6 ? precisionBits &+ 2 : precisionBits, into: &payload)
        }
        if compressing, payload.count >= SampleLimits.compressedPayloadBytesMin {
            let before = target.count
            let stored = Zstd.compress(
                payload.bytes, level: min(SampleLimits.dataLevel(rows: count), levelMax), into: &target)
            if Double(stored) <= SampleLimits.compressedShareMax * Double(payload.count) {
                return isGauge ? .zstdNearestDelta : .zstdNearestDelta2
            }
            target.truncate(to: before)
        }
        target.append(payload.bytes)
        return isGauge ? .nearestDelta : .nearestDelta2
    }

    /// A gauge goes down often, or far (3.2, step 3).
    private static func isGauge(_ values: UnsafePointer<Int64>, _ count: Int) -> Bool {
        if values[0] < 0 { return true }
        var resets = 0
        var previous = values[0]
        for index in 1..<count {
            let value = values[index]
            if value < previous {
                if value < 0 || value > previous &>> 3 { return true }
                resets &+= 1
            }
            previous = value
        }
        return resets > 2 && resets > count &>> 3
    }

    // MARK: varints

    /// The payload has room for all of them.
    private mutating func appendDeltas(_ values: UnsafePointer<Int64>, _ count: Int) {
        let start = payload.end
        var target = start
        var index = 1
        var group = InlineArray<8, UInt64>(repeating: 0)
        while index &+ 8 <= count {
            var all: UInt64 = 0
            for place in 0..<8 {
                let here = values + (index &+ place)
                let code = ZigZag.encode(here[0] &- here[-1])
                group[place] = code
                all |= code
            }
            target = IntegerArrayEncoder.store(group, all, at: target)
            index &+= 8
        }
        while index < count {
            target = IntegerArrayEncoder.store(ZigZag.encode(values[index] &- values[index &- 1]), at: target)
            index &+= 1
        }
        payload.commit(target - start)
    }

    private mutating func appendDelta2s(_ values: UnsafePointer<Int64>, _ count: Int) {
        let start = payload.end
        var target = IntegerArrayEncoder.store(ZigZag.encode(values[1] &- values[0]), at: start)
        var index = 2
        var group = InlineArray<8, UInt64>(repeating: 0)
        while index &+ 8 <= count {
            var all: UInt64 = 0
            for place in 0..<8 {
                let here = values + (index &+ place)
                let code = ZigZag.encode(here[0] &- here[-1] &- (here[-1] &- here[-2]))
                group[place] = code
                all |= code
            }
            target = IntegerArrayEncoder.store(group, all, at: target)
            index &+= 8
        }
        while index < count {
            let here = values + index
            target = IntegerArrayEncoder.store(
                ZigZag.encode(here[0] &- here[-1] &- (here[-1] &- here[-2])), at: target)
            index &+= 1
        }
        payload.commit(target - start)
    }

    /// Eight varints; `all` is the union of their bits.
    @inline(__always) private static func store(
        _ group: InlineArray<8, UInt64>, _ all: UInt64, at start: UnsafeMutableRawPointer
    ) -> UnsafeMutableRawPointer {
        var target = start
        if all < 0x80 {
            var word: UInt64 = 0
            for place in 0..<8 { word |= group[place] &<< UInt64(8 &* place) }
            target.storeBytes(of: word.littleEndian, as: UInt64.self)
            return target + 8
        }
        if all < 1 &<< 56 {
            for place in 0..<8 { target = storeSpread(group[place], at: target) }
            return target
        }
        for place in 0..<8 { target = store(group[place], at: target) }
        return target
    }

    @inline(__always) private static func store(
        _ code: UInt64, at target: UnsafeMutableRawPointer
    ) -> UnsafeMutableRawPointer {
        if code < 1 &<< 56 { return storeSpread(code, at: target) }
        return target + Varint.store(code, at: target)
    }

    /// A varint of up to 56 bits. Eight bytes are written, of which those behind the varint are overwritten later.
    @inline(__always) private static func storeSpread(
        _ code: UInt64, at target: UnsafeMutableRawPointer
    ) -> UnsafeMutableRawPointer {
        let length = Varint.length(code)
        var word = (code & 0x0FFF_FFFF) | ((code & 0x00FF_FFFF_F000_0000) &<< 4)
        word = (word & 0x0000_3FFF_0000_3FFF) | ((word & 0x0FFF_C000_0FFF_C000) &<< 2)
        word = (word & 0x007F_007F_007F_007F) | ((word & 0x3F80_3F80_3F80_3F80) &<< 1)
        // "More follows" in every byte but the last.
        word |= 0x8080_8080_8080_8080 & ((1 &<< UInt64(truncatingIfNeeded: 8 &* (length &- 1))) &- 1)
        target.storeBytes(of: word.littleEndian, as: UInt64.self)
        return target + length
    }
}
