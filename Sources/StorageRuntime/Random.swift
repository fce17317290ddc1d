// Random.swift - seeds and the streams that follow from them.

/// The splitmix64 stream of a seed: the project's one source of pseudo-random numbers. The same seed gives the same
/// numbers on every machine, in every version.
public struct SplitMix64: RandomNumberGenerator, Sendable {
    @usableFromInline var state: UInt64

    /// The stream of a seed.
    public init(seed: UInt64) { state = seed }

    /// The next 64 bits.
    @inlinable public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return SplitMix64.mix(state)
    }

    /// The output function of the stream: a bijection that spreads every input bit over all output bits.
    @inlinable public static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A number in `0..<bound`, by multiplication (bias below 2^-32 for bounds below 2^32). `bound` is positive.
    @inlinable public mutating func below(_ bound: Int) -> Int {
        Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(bound)).high)
    }

    /// A number in `0..<1` with 53 random bits.
    @inlinable public mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}

/// Derives independent seeds from one root.
public enum Seeds {
    /// The seed of the stream called `name` (and its `index`th worker) under `root`.
    public static func derive(_ root: UInt64, _ name: String, _ index: Int = 0) -> UInt64 {
        var seed = SplitMix64.mix(root &+ 0x9E37_79B9_7F4A_7C15)
        for byte in name.utf8 { seed = SplitMix64.mix(seed ^ UInt64(byte) &+ 0x9E37_79B9_7F4A_7C15) }
        return SplitMix64.mix(seed ^ UInt64(truncatingIfNeeded: index))
    }
}
