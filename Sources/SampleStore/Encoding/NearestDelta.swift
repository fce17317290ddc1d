// NearestDelta.swift - differences with fewer than 64 precision bits (docs/format/sample-store.md, 3.4).
//
// The encoder clears low bits of each difference, as far as the precision allows, and goes on from the value that the
// decoder will have, so that errors do not add up. How many bits are cleared ("trailing zeros") changes only slowly from
// one value to the next, because that is what makes the result compress.
//
// Rarely used (64 bits are the default): written for clarity, not for speed.

import StorageBytes

/// The encoder's state: how many low bits it clears at present.
struct NearestDelta {
    private let precisionBits: UInt8
    private var zeros: UInt8

    /// The state before the first difference; `start` is a[0] for differences, a[1] for second differences.
    init(precisionBits: Int, start: Int64) {
        self.precisionBits = UInt8(precisionBits)
        let width = NearestDelta.width(start)
        zeros = width > self.precisionBits ? width - self.precisionBits : 0
    }

    /// The state with a given number of zeros: for tests.
    init(precisionBits: Int, zeros: Int) {
        self.precisionBits = UInt8(precisionBits)
        self.zeros = UInt8(zeros)
    }

    /// Low bits that would be cleared now.
    var trailingZeros: Int { Int(zeros) }

    /// The difference that takes a decoder from `previous` near to `next`.
    mutating func step(from previous: Int64, to next: Int64) -> Int64 {
        let difference = next &- previous
        let width = NearestDelta.width(next)
        if difference == 0 || width <= precisionBits {
            zeros = zeros == 0 ? 0 : zeros - 1
            return difference
        }
        let wanted = width - precisionBits
        if wanted > zeros &+ 4 {
            zeros &+= 2
            return difference
        }
        if wanted &+ 4 < zeros {
            zeros &-= 2
            return difference
        }
        zeros = wanted
        let cleared = Int64(bitPattern: (difference.magnitude >> UInt64(wanted)) << UInt64(wanted))
        return difference < 0 ? 0 &- cleared : cleared
    }

    /// Bits of the magnitude, 0...64.
    private static func width(_ value: Int64) -> UInt8 { UInt8(64 - value.magnitude.leadingZeroBitCount) }

    /// Appends the varints of nearest delta (`order` 1) or nearest delta2 (`order` 2, at least two values).
    static func encode(
        _ values: UnsafePointer<Int64>, _ count: Int, order: Int, precisionBits: Int, into target: inout RawBuffer
    ) {
        if order == 1 {
            var state = NearestDelta(precisionBits: precisionBits, start: values[0])
            var current = values[0]
            for index in 1..<max(count, 1) {
                let delta = state.step(from: current, to: values[index])
                current &+= delta
                target.appendSignedVarint(delta)
            }
            return
        }
        var delta = values[1] &- values[0]
        target.appendSignedVarint(delta)
        var state = NearestDelta(precisionBits: precisionBits, start: values[1])
        var current = values[1]
        for index in 2..<max(count, 2) {
            let change = state.step(from: delta, to: values[index] &- current)
            delta &+= change
            current &+= delta
            target.appendSignedVarint(change)
        }
    }
}
