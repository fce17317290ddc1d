// DecimalCoding.swift - floats as integers with a power of ten (docs/format/sample-store.md, 2).
//
//   one value     float -> (v, e) with value ~ v * 10^e        the shortest decimal that the rules of the format find
//   a block       floats -> integers with one common exponent: the smallest one, unless a large value needs room
//   two blocks    the same for two blocks that are about to be joined ("calibration")
//
// Four integers stand for infinities and the stale marker. All the rules decide bytes on disk, so they are followed to
// the bit, with their accidents: plain IEEE double arithmetic in the given order, no fused multiply-add, exponents that
// wrap as 16-bit integers (a block of special values only gets -1024 that way). NaNs other than the stale marker never
// get here; they would become some number.
//
// The stale marker is a signalling NaN: it is moved as bits and never touched by arithmetic.
//
// Threads: any. Pointers belong to the caller.

/// Conversion between floats and decimals.
public enum DecimalCoding {
    /// +Inf.
    public static let positiveInfinity = Int64.max
    /// -Inf.
    public static let negativeInfinity = Int64.min
    /// The stale marker.
    public static let staleMarker = Int64.max - 1
    /// Bits of the stale marker as a float.
    public static let staleMarkerBits: UInt64 = 0x7FF0_0000_0000_0002

    /// Tells whether an integer stands for an infinity or the stale marker.
    @inlinable @inline(__always) static func isSpecial(_ value: Int64) -> Bool {
        // 2^63-2, 2^63-1 and -2^63 are neighbours modulo 2^64.
        UInt64(bitPattern: value &- 0x7FFF_FFFF_FFFF_FFFE) <= 2
    }

    // MARK: one value

    /// A float, given by its bits, as v * 10^exponent (2.3).
    @inline(__always) static func decimal(bits: UInt64) -> (value: Int64, exponent: Int16) {
        let float = Double(bitPattern: bits)
        // NaNs fail both comparisons.
        if float > 0, float < .infinity { return positive(float) }
        if float < 0, float > -.infinity {
            let (value, exponent) = positive(-float)
            return (0 &- value, exponent)
        }
        return special(bits)
    }

    private static func special(_ bits: UInt64) -> (value: Int64, exponent: Int16) {
        switch bits {
        case staleMarkerBits: (staleMarker, 0)
        case Double.infinity.bitPattern: (positiveInfinity, 0)
        case (-Double.infinity).bitPattern: (negativeInfinity, 0)
        default: (0, 0)
        }
    }

    /// The decimal of a positive finite float.
    @inline(__always) private static func positive(_ float: Double) -> (value: Int64, exponent: Int16) {
        if float < 0x1p63 {
            let truncated = Int64(float)
            if Double(truncated) == float { return integer(UInt64(truncated)) }
        } else if float < 0x1p64 {
            return integer(UInt64(float))  // every double of this size is an integer
        }
        return fraction(float)
    }

    /// 2.3, path A. The result is below 2^63: what is larger loses digits first.
    @inline(__always) private static func integer(_ start: UInt64) -> (value: Int64, exponent: Int16) {
        if start < 1 &<< 55, start % 10 != 0 { return (Int64(start), 0) }
        return roundInteger(start)
    }

    private static func roundInteger(_ start: UInt64) -> (value: Int64, exponent: Int16) {
        var value = start
        var exponent: Int16 = 0
        while value >= 1 &<< 55 {
            value /= 10
            exponent &+= 1
        }
        while value != 0 {
            let (quotient, remainder) = value.quotientAndRemainder(dividingBy: 10)
            if remainder != 0 { break }
            value = quotient
            exponent &+= 1
        }
        return (Int64(value), exponent)
    }

    /// ln 2 / ln 10 as the format has it.
    private static let decimalsOfBinary = Double(bitPattern: 0x3FD3_4413_509F_79FF)

    /// 2.3, path B.
    private static func fraction(_ start: Double) -> (value: Int64, exponent: Int16) {
        var float = start
        var exponent = 0
        var limit = 1e12
        if float > 1e6 || float < 1e-6 {
            if float > 1e6 { limit = 1e15 }
            let binary = Swift.min(Swift.max(Int(float.exponent) &+ 1, -1022), 1023)
            exponent = Int(Double(binary) * decimalsOfBinary)
            float *= PowersOfTen.double(0 &- exponent)
        }
        while float < limit {
            let whole = float.rounded(.towardZero)
            let rest = float - whole
            if rest * limit < whole {
                float = whole
                break
            }
            if (1 - rest) * limit < whole {
                float = whole + 1
                break
            }
            float *= 100
            exponent &-= 2
        }
        // Below 1e15 * 100 after the loop; the largest doubles end at about 1.8e15 without it.
        var value = UInt64(float)
        if value % 10 == 0 {
            value /= 10
            exponent &+= 1
        }
        return (Int64(Swift.min(value, UInt64(staleMarker) - 1)), Int16(truncatingIfNeeded: exponent))
    }

    // MARK: a block

    /// How many times an integer can be multiplied by ten: 1024 for zero and specials (2.5, step 5).
    @inline(__always) static func multiplicationsMax(_ value: Int64) -> Int16 {
        if value == 0 || isSpecial(value) { return 1024 }
        let magnitude = value.magnitude
        // From the free bits, 1233 / 4096 being a little less than log10 2: right, or one too few.
        var count = ((magnitude.leadingZeroBitCount &- 1) &* 1233) &>> 12
        if count < 18, magnitude <= PowersOfTen.largestMultiplied(by: count &+ 1) { count &+= 1 }
        return Int16(truncatingIfNeeded: count)
    }

    /// Converts a block of floats to integers with one exponent (2.5).
    ///
    /// - Parameters:
    ///   - bits: The bits of `count` floats. May be the same memory as `values`.
    ///   - values: Room for `count` integers.
    ///   - exponents: Room for `count` numbers; scratch.
    /// - Returns: The common exponent; 0 for an empty block.
    static func integers(
        _ bits: UnsafePointer<Int64>, _ count: Int, into values: UnsafeMutablePointer<Int64>,
        exponents: UnsafeMutablePointer<Int16>
    ) -> Int16 {
        if count == 0 { return 0 }
        if wholeNumbers(bits, count, into: values) { return 0 }
        var smallest = Int16.max
        for index in 0..<count {
            let (value, exponent) = decimal(bits: UInt64(bitPattern: bits[index]))
            values[index] = value
            exponents[index] = exponent
            if exponent < smallest, !isSpecial(value) { smallest = exponent }
        }
        var down: Int16 = 0
        for index in 0..<count {
            let up = exponents[index] &- smallest
            if up != 0 { down = Swift.max(down, up &- multiplicationsMax(values[index])) }
        }
        let common = smallest &+ down
        for index in 0..<count where !isSpecial(values[index]) {
            values[index] = scaled(values[index], Int(exponents[index]) &- Int(common))
        }
        return common
    }

    /// The usual block: whole numbers below 2^53, at least one of which does not end in zero, or is zero. Their common
    /// exponent is 0 and the integers are what they are; false, and nothing promised about `values`, for other blocks.
    @inline(__always) private static func wholeNumbers(
        _ bits: UnsafePointer<Int64>, _ count: Int, into values: UnsafeMutablePointer<Int64>
    ) -> Bool {
        // `values` may overlay `bits`: look before writing.
        var hasExponentZero = false
        for index in 0..<count {
            let float = Double(bitPattern: UInt64(bitPattern: bits[index]))
            guard float.magnitude < 0x1p53 else { return false }  // NaNs fail, too
            let whole = Int64(float)
            guard Double(whole) == float else { return false }
            if !hasExponentZero { hasExponentZero = whole == 0 || whole % 10 != 0 }
        }
        guard hasExponentZero else { return false }
        for index in 0..<count { values[index] = Int64(Double(bitPattern: UInt64(bitPattern: bits[index]))) }
        return true
    }

    /// An ordinary value times a power of ten; divisions truncate toward zero. Multiplications stay in range: the caller
    /// has made sure of that for all values but zero.
    @inline(__always) private static func scaled(_ value: Int64, _ exponent: Int) -> Int64 {
        if exponent == 0 || value == 0 { return value }
        if exponent > 0 { return value &* PowersOfTen.integer(Swift.min(exponent, 18)) }
        return exponent < -18 ? 0 : value / PowersOfTen.integer(0 &- exponent)
    }

    /// Converts integers with a common exponent to floats, as bits (2.6).
    ///
    /// - Parameter bits: Room for `count` floats.
    public static func floats(
        _ values: UnsafePointer<Int64>, _ count: Int, exponent: Int16, into bits: UnsafeMutablePointer<UInt64>
    ) {
        // Zeros are zeros whatever the exponent is; it matters only where zero times infinity would come out.
        var allZero = true
        for index in 0..<count where values[index] != 0 {
            allZero = false
            break
        }
        // In 16 bits: -32768 stays negative, and everything becomes infinite.
        let power = PowersOfTen.double(Int(exponent < 0 ? 0 &- exponent : exponent))
        for index in 0..<count {
            let value = values[index]
            if isSpecial(value) {
                bits[index] = specialBits(value)
            } else if exponent == 0 || allZero {
                bits[index] = Double(value).bitPattern
            } else if exponent < 0 {
                bits[index] = (Double(value) / power).bitPattern
            } else {
                bits[index] = (Double(value) * power).bitPattern
            }
        }
    }

    private static func specialBits(_ value: Int64) -> UInt64 {
        switch value {
        case positiveInfinity: Double.infinity.bitPattern
        case negativeInfinity: (-Double.infinity).bitPattern
        default: staleMarkerBits
        }
    }

    // MARK: two blocks

    /// Brings two blocks to a common exponent, changing them in place (2.7). Returns it.
    static func calibrate(
        _ a: UnsafeMutablePointer<Int64>, _ aCount: Int, _ aExponent: Int16,
        _ b: UnsafeMutablePointer<Int64>, _ bCount: Int, _ bExponent: Int16
    ) -> Int16 {
        if aExponent == bExponent || bCount == 0 { return aExponent }
        if aCount == 0 { return bExponent }
        if aExponent < bExponent { return calibrate(b, bCount, bExponent, a, aCount, aExponent) }
        let difference = Int(aExponent) &- Int(bExponent)
        var down = 0
        for index in 0..<aCount { down = Swift.max(down, difference &- Int(multiplicationsMax(a[index]))) }
        let up = difference &- down
        if up > 0 {
            for index in 0..<aCount where !isSpecial(a[index]) { a[index] = scaled(a[index], up) }
        }
        if down > 0 {
            for index in 0..<bCount where !isSpecial(b[index]) { b[index] = scaled(b[index], 0 &- down) }
        }
        return Int16(truncatingIfNeeded: Int(bExponent) &+ down)
    }
}
