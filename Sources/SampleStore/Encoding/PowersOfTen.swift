// PowersOfTen.swift - the powers of ten of the format, as doubles and as integers.
//
// P(n) of docs/format/sample-store.md, 2.2, is one rounded multiplication or division of two table entries. For 169
// exponents it is not the double nearest to 10^n, and the difference is visible in stored values: nothing else may be
// used. The table is made once, from correctly rounded literals.
//
// Threads: any; immutable.

/// Powers of ten.
enum PowersOfTen {
    /// P(n); 0 below -323, infinity above 308.
    @inline(__always) static func double(_ exponent: Int) -> Double {
        if exponent > 308 { return .infinity }
        return exponent < -323 ? 0 : doubles[exponent &+ 323]
    }

    /// 10^n for n in 0...18.
    @inline(__always) static func integer(_ exponent: Int) -> Int64 {
        assert(exponent >= 0 && exponent <= 18)
        return integers[exponent]
    }

    /// (2^63 - 1) div 10^n for n in 0...18: the largest magnitude that can be multiplied by 10^n.
    @inline(__always) static func largestMultiplied(by exponent: Int) -> UInt64 {
        assert(exponent >= 0 && exponent <= 18)
        return limits[exponent]
    }

    nonisolated(unsafe) private static let doubles: UnsafePointer<Double> = {
        let small: [Double] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
            1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31,
        ]
        let large: [Double] = [1e0, 1e32, 1e64, 1e96, 1e128, 1e160, 1e192, 1e224, 1e256, 1e288]
        let tiny: [Double] = [
            1e0, 1e-32, 1e-64, 1e-96, 1e-128, 1e-160, 1e-192, 1e-224, 1e-256, 1e-288,
            Double(bitPattern: 2024),  // 1e-320, subnormal
        ]
        let table = UnsafeMutablePointer<Double>.allocate(capacity: 632)
        for exponent in -323 ... -1 {
            (table + exponent + 323).initialize(to: tiny[-exponent / 32] / small[-exponent % 32])
        }
        for exponent in 0...308 { (table + exponent + 323).initialize(to: large[exponent / 32] * small[exponent % 32]) }
        return UnsafePointer(table)
    }()

    nonisolated(unsafe) private static let integers: UnsafePointer<Int64> = {
        let table = UnsafeMutablePointer<Int64>.allocate(capacity: 19)
        var power: Int64 = 1
        for exponent in 0...18 {
            (table + exponent).initialize(to: power)
            power &*= 10
        }
        return UnsafePointer(table)
    }()

    nonisolated(unsafe) private static let limits: UnsafePointer<UInt64> = {
        let table = UnsafeMutablePointer<UInt64>.allocate(capacity: 19)
        for exponent in 0...18 { (table + exponent).initialize(to: UInt64(Int64.max / integers[exponent])) }
        return UnsafePointer(table)
    }()
}
