// TextBytes.swift - numbers and random characters written straight to memory. The callers have reserved the room.

import StorageRuntime

/// Decimal numbers.
enum Decimal {
    /// Writes `value` with at least `width` digits (at most 20 bytes); returns the length.
    static func write(_ value: UInt64, width: Int, to target: UnsafeMutableRawPointer) -> Int {
        var digits = 1
        var bound: UInt64 = 10
        while digits < 20, value >= bound {
            digits += 1
            let (next, overflow) = bound.multipliedReportingOverflow(by: 10)
            if overflow { break }
            bound = next
        }
        let length = max(digits, width)
        var rest = value
        var index = length - 1
        while index >= 0 {
            target.storeBytes(of: UInt8(truncatingIfNeeded: rest % 10) &+ 0x30, toByteOffset: index, as: UInt8.self)
            rest /= 10
            index -= 1
        }
        return length
    }
}

/// Random characters of fixed alphabets.
enum RandomText {
    /// `count` lowercase hexadecimal digits.
    static func hex(_ stream: inout SplitMix64, _ count: Int, to target: UnsafeMutableRawPointer) {
        var bits: UInt64 = 0
        for index in 0..<count {
            if index % 16 == 0 { bits = stream.next() }
            target.storeBytes(of: digit(UInt8(truncatingIfNeeded: bits & 15)), toByteOffset: index, as: UInt8.self)
            bits >>= 4
        }
    }

    /// `count` of the characters a-z and 0-9.
    static func alnum(_ stream: inout SplitMix64, _ count: Int, to target: UnsafeMutableRawPointer) {
        var bits: UInt64 = 0
        for index in 0..<count {
            if index % 8 == 0 { bits = stream.next() }
            // One byte scaled to 0..<36: the slight bias does not matter for label values.
            let drawn = UInt8(truncatingIfNeeded: (bits & 0xFF) * 36 >> 8)
            let byte = drawn < 26 ? UInt8(ascii: "a") + drawn : UInt8(ascii: "0") + drawn - 26
            target.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
            bits >>= 8
        }
    }

    /// The 36 characters of a version 4 UUID.
    static func uuid(_ stream: inout SplitMix64, to target: UnsafeMutableRawPointer) {
        var bits: UInt64 = 0
        var drawn = 0
        for index in 0..<36 {
            let byte: UInt8
            switch index {
            case 8, 13, 18, 23: byte = UInt8(ascii: "-")
            case 14: byte = UInt8(ascii: "4")
            default:
                if drawn % 16 == 0 { bits = stream.next() }
                var nibble = UInt8(truncatingIfNeeded: bits & 15)
                if index == 19 { nibble = 8 | nibble & 3 }
                byte = digit(nibble)
                bits >>= 4
                drawn += 1
            }
            target.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
        }
    }

    @inline(__always) private static func digit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? 0x30 &+ nibble : 0x57 &+ nibble
    }
}
