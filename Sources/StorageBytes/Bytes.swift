// Bytes.swift - order, hashes and common prefixes of byte strings.
//
// Order everywhere is unsigned lexicographic; a proper prefix is smaller (docs/format/encoding-primitives.md, 1).

import CIntrinsics
import CXXHash
import Glibc

/// Functions on borrowed byte strings.
public enum Bytes {
    /// Negative, zero or positive as `a` is smaller than, equal to or greater than `b`.
    @inlinable public static func compare(
        _ a: UnsafeRawPointer, _ aCount: Int, _ b: UnsafeRawPointer, _ bCount: Int
    ) -> Int {
        let order = memcmp(a, b, Swift.min(aCount, bCount))
        return order != 0 ? Int(order) : aCount &- bCount
    }

    /// As ``compare(_:_:_:_:)`` on buffers.
    @inlinable public static func compare(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
        let common = Swift.min(a.count, b.count)
        if common > 0 {
            let order = memcmp(a.baseAddress.unsafelyUnwrapped, b.baseAddress.unsafelyUnwrapped, common)
            if order != 0 { return Int(order) }
        }
        return a.count &- b.count
    }

    /// Length of the longest common prefix, at most `count` bytes, all of which are readable in both.
    @inlinable public static func commonPrefix(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Int {
        ci_common_prefix(a.assumingMemoryBound(to: UInt8.self), b.assumingMemoryBound(to: UInt8.self), count)
    }

    /// Length of the longest common prefix of two buffers.
    @inlinable public static func commonPrefix(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
        let count = Swift.min(a.count, b.count)
        return count == 0 ? 0 : commonPrefix(a.baseAddress.unsafelyUnwrapped, b.baseAddress.unsafelyUnwrapped, count)
    }

    /// Tells whether `bytes` starts with `prefix`.
    @inlinable public static func starts(_ bytes: UnsafeRawBufferPointer, with prefix: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count >= prefix.count else { return false }
        guard prefix.count > 0 else { return true }
        return memcmp(bytes.baseAddress.unsafelyUnwrapped, prefix.baseAddress.unsafelyUnwrapped, prefix.count) == 0
    }

    /// The first 8 bytes as a big-endian number, padded with zeros: two strings whose keys differ are ordered as the
    /// keys; equal keys say nothing. `count` bytes are readable, 8 more when ``RawBuffer/slack`` is behind them.
    @inlinable public static func leadingKey(_ bytes: UnsafeRawPointer, _ count: Int) -> UInt64 {
        if count >= 8 { return BigEndian.load64(bytes) }
        var key: UInt64 = 0
        var index = 0
        while index < count {
            key |= UInt64(bytes.load(fromByteOffset: index, as: UInt8.self)) << UInt64(56 &- 8 &* index)
            index &+= 1
        }
        return key
    }
}

/// Hashes.
public enum Hash {
    /// XXH64 with seed 0: the hash of the on-disk ids (docs/format/encoding-primitives.md, 8).
    @inlinable public static func xxh64(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        cxx_xxh64(bytes.baseAddress, bytes.count)
    }

    /// XXH3 with a seed: for tables in memory; never stored.
    @inlinable public static func memory(_ bytes: UnsafeRawPointer, _ count: Int, seed: UInt64 = 0) -> UInt64 {
        cxx_xxh3(bytes, count, seed)
    }
}

/// A running XXH64 over many pieces: stream digests and store digests. One thread at a time.
public final class Digest {
    private let state: UnsafeMutableRawPointer

    /// The digest of nothing.
    public init() {
        guard let state = cxx_xxh64_create() else { fatalError("out of memory") }
        self.state = state
    }

    deinit { cxx_xxh64_free(state) }

    /// Adds bytes.
    public func add(_ bytes: UnsafeRawBufferPointer) { cxx_xxh64_update(state, bytes.baseAddress, bytes.count) }

    /// Adds a number as 8 bytes, big-endian.
    public func add(_ value: UInt64) {
        withUnsafeBytes(of: value.bigEndian) { add($0) }
    }

    /// Adds bytes preceded by their length as 4 bytes, big-endian: neighbours cannot melt into each other.
    public func addItem(_ bytes: UnsafeRawBufferPointer) {
        withUnsafeBytes(of: UInt32(bytes.count).bigEndian) { add($0) }
        add(bytes)
    }

    /// The hash of everything added so far.
    public var value: UInt64 { cxx_xxh64_digest(state) }
}

/// Hex strings (docs/format/encoding-primitives.md, 9 and 10).
public enum Hex {
    private static let lower = Array("0123456789abcdef".utf8)
    private static let upper = Array("0123456789ABCDEF".utf8)

    /// Two lowercase digits a byte.
    public static func encode(_ bytes: UnsafeRawBufferPointer) -> String {
        String(unsafeUninitializedCapacity: bytes.count * 2) { target in
            for (index, byte) in bytes.enumerated() {
                target[index * 2] = lower[Int(byte >> 4)]
                target[index * 2 + 1] = lower[Int(byte & 15)]
            }
            return bytes.count * 2
        }
    }

    /// Two lowercase digits a byte.
    public static func encode(_ bytes: [UInt8]) -> String { bytes.withUnsafeBytes { encode($0) } }

    /// Exactly 16 uppercase digits: part suffixes and transaction names.
    public static func name(_ value: UInt64) -> String {
        String(unsafeUninitializedCapacity: 16) { target in
            for index in 0..<16 { target[index] = upper[Int(value >> UInt64(60 - 4 * index) & 15)] }
            return 16
        }
    }

    /// The bytes of a hex string in either case; nil when it is not one.
    public static func decode(_ text: some StringProtocol) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count % 2 == 0 else { return nil }
        var bytes = [UInt8]()
        bytes.reserveCapacity(digits.count / 2)
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = value(digits[index]), let low = value(digits[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
