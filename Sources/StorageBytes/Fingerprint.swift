// Fingerprint.swift - 128 bits that stand for a byte string, under a secret key.
//
// Tables that would keep long names keep fingerprints instead. For that, two different strings must not have the same
// fingerprint, whoever chose them. The hash is universal: the bound below holds for every pair of strings that was
// chosen without knowing the key, and rests on no assumption about the strings. (XXH3 and the like promise nothing
// against somebody who wants collisions.)
//
//   blocks    the string is cut into blocks of 1024 bytes, the last one being shorter; an empty string is one block
//   words     a block is a sequence of pairs of 64-bit words: its full 16 bytes and, where some are left, the last 16
//             bytes of the string once more from their beginning, overlapping what came before. Strings shorter than 16
//             bytes are one pair: first and last 8 bytes (8...15), first and last 4 (4...7), bytes 0, n/2 and n-1 (1...3).
//             Two strings of one length that differ have a pair that differs, in the same place.
//   NH        sum of (a + k[2i]) * (b + k[2i+1]) over the pairs, factors modulo 2^64, sum modulo 2^128; twice, the second
//             time with k from two words on (the Toeplitz construction)
//   fold      each of the two sums goes through an own polynomial modulo p = 2^61 - 1, with keys x, c1...c4:
//             carry := carry * x + s0 * c1 + s1 * c2 + s2 * c3, s0...s2 being 60, 60 and 8 bits of the sum; the length of
//             the string times c4 is added at the last block
//   finish    the two 61-bit values are spread over 64 bits each by a bijection of both, so that tables may use any bits
//
// Bound. Let two strings be different. Different lengths: their fingerprints agree only if c4 of either half has one
// certain value: p^-1 for each half, independently. Same length, m blocks: take a block that differs. NH under uniform
// keys gives equal sums for it with probability at most 2^-64 in each half, and at most 2^-128 in both (Black et al.,
// UMAC, 1999: theorems on NH and on Toeplitz NH). Where the sums differ, some piece does; the block's contribution is
// equal with probability 1/p; where contributions differ, the polynomials in x, of degree below m, agree in at most m - 1
// points of p. So half h agrees with probability at most e = m/p when the sums differ, the fold keys of the halves being
// independent of everything else, and both agree with probability at most 2^-128 + 2 * 2^-64 * e + e^2:
//
//   up to 1 KiB (m = 1)     2^-121.6
//   64 KiB (m = 64)         2^-109.9
//   n names of up to 1 KiB kept and l looked up, at most n * l pairs: 10^8 and 10^15 give 2^-45.2, about 1 in 4 * 10^13;
//   were all of them 64 KiB long: 2^-33.5
//
// The key must be drawn from a source that cannot be guessed for the bound to mean anything against an adversary; a seed
// of 64 bits has only 2^64 keys, which is enough for deterministic runs. Fingerprints must not be shown to those who
// choose the strings. They depend on the byte order of the machine.
//
// Threads: a key is immutable. Nothing is read outside of the string.

import CIntrinsics

/// A byte string under a ``FingerprintKey``. Its bits look random to whoever does not know the key.
@frozen public struct Fingerprint: Hashable, Sendable {
    /// The first and the second half. Equal strings have equal halves; of different strings neither half is equal, but
    /// for less than 2^-60 (names up to 1 KiB).
    public var high: UInt64, low: UInt64

    /// A fingerprint known from elsewhere.
    @inlinable public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

/// The secret under which fingerprints are made: 140 words.
public final class FingerprintKey: @unchecked Sendable {
    /// Bytes of ``storedBytes``.
    public static let storedBytesCount = wordCount * 8

    @usableFromInline static let blockBytes = 1024
    /// Words of the NH key: a block, and the shift of the second pass.
    @usableFromInline static let nhWords = blockBytes / 8 + 2
    /// x and c1...c4 of a half.
    @usableFromInline static let foldWords = 5
    private static let wordCount = nhWords + 2 * foldWords
    private static let prime: UInt64 = (1 << 61) - 1

    /// `wordCount` words; written by the initialisers only.
    @usableFromInline let words: UnsafeMutablePointer<UInt64>

    /// A key of about 140 numbers from `next`, which returns uniformly distributed numbers that nobody can guess.
    public init(drawing next: () -> UInt64) {
        words = .allocate(capacity: FingerprintKey.wordCount)
        for index in 0..<FingerprintKey.wordCount {
            var word = next()
            if index >= FingerprintKey.nhWords {
                // Uniform below the prime: 61 bits, drawn again in the one case of 2^61 that is not below it.
                word &= FingerprintKey.prime
                while word == FingerprintKey.prime { word = next() & FingerprintKey.prime }
            }
            words[index] = word
        }
    }

    /// The key that ``storedBytes`` was taken from; nil when the bytes cannot be a key.
    public init?(storedBytes: UnsafeRawBufferPointer) {
        guard storedBytes.count == FingerprintKey.storedBytesCount, let start = storedBytes.baseAddress else {
            return nil
        }
        for index in FingerprintKey.nhWords..<FingerprintKey.wordCount
        where BigEndian.load64(start + 8 * index) >= FingerprintKey.prime { return nil }
        words = .allocate(capacity: FingerprintKey.wordCount)
        for index in 0..<FingerprintKey.wordCount { words[index] = BigEndian.load64(start + 8 * index) }
    }

    deinit { words.deallocate() }

    /// The key as bytes, to be kept as safe as what it protects.
    public var storedBytes: [UInt8] {
        var bytes = RawBuffer(capacity: FingerprintKey.storedBytesCount)
        for index in 0..<FingerprintKey.wordCount { bytes.appendBigEndian(words[index]) }
        return bytes.array()
    }

    /// The fingerprint of a byte string of any length: about 2 multiplications for each 8 bytes, and 10 more.
    @inlinable public func fingerprint(_ bytes: UnsafeRawBufferPointer) -> Fingerprint {
        guard let start = bytes.baseAddress else { return fingerprint(of: 0, 0, length: 0) }
        let length = bytes.count
        if length < 16 { return fingerprintOfShort(start, length) }
        if length > FingerprintKey.blockBytes { return fingerprintOfLong(start, length) }
        let tail = length & 15 == 0 ? nil : start + (length &- 16)
        let sums = ci_nh(start, length >> 4, tail, words)
        let fold = words + FingerprintKey.nhWords
        return FingerprintKey.finish(
            ci_fold61(0, sums.low1, sums.high1, UInt64(length), fold),
            ci_fold61(0, sums.low2, sums.high2, UInt64(length), fold + FingerprintKey.foldWords))
    }

    /// Strings of 0...15 bytes.
    @usableFromInline func fingerprintOfShort(_ start: UnsafeRawPointer, _ length: Int) -> Fingerprint {
        if length >= 8 {
            return fingerprint(
                of: start.loadUnaligned(as: UInt64.self),
                start.loadUnaligned(fromByteOffset: length &- 8, as: UInt64.self), length: length)
        }
        if length >= 4 {
            return fingerprint(
                of: UInt64(start.loadUnaligned(as: UInt32.self)),
                UInt64(start.loadUnaligned(fromByteOffset: length &- 4, as: UInt32.self)), length: length)
        }
        if length == 0 { return fingerprint(of: 0, 0, length: 0) }
        let first = start.load(as: UInt8.self)
        let middle = start.load(fromByteOffset: length >> 1, as: UInt8.self)
        let last = start.load(fromByteOffset: length &- 1, as: UInt8.self)
        return fingerprint(of: UInt64(first) | UInt64(middle) << 8 | UInt64(last) << 16, 0, length: length)
    }

    /// One pair of words.
    @usableFromInline func fingerprint(of a: UInt64, _ b: UInt64, length: Int) -> Fingerprint {
        let sums = withUnsafeBytes(of: (a, b)) {
            ci_nh($0.baseAddress.unsafelyUnwrapped, 1, nil, words)
        }
        let fold = words + FingerprintKey.nhWords
        return FingerprintKey.finish(
            ci_fold61(0, sums.low1, sums.high1, UInt64(length), fold),
            ci_fold61(0, sums.low2, sums.high2, UInt64(length), fold + FingerprintKey.foldWords))
    }

    /// Strings of more than one block.
    @usableFromInline func fingerprintOfLong(_ start: UnsafeRawPointer, _ length: Int) -> Fingerprint {
        let fold = words + FingerprintKey.nhWords
        var carry1: UInt64 = 0
        var carry2: UInt64 = 0
        var offset = 0
        while true {
            let rest = length &- offset
            let isLast = rest <= FingerprintKey.blockBytes
            let count = isLast ? rest : FingerprintKey.blockBytes
            let tail = count & 15 == 0 ? nil : start + (length &- 16)
            let sums = ci_nh(start + offset, count >> 4, tail, words)
            let last = isLast ? UInt64(length) : 0
            carry1 = ci_fold61(carry1, sums.low1, sums.high1, last, fold)
            carry2 = ci_fold61(carry2, sums.low2, sums.high2, last, fold + FingerprintKey.foldWords)
            if isLast { return FingerprintKey.finish(carry1, carry2) }
            offset &+= FingerprintKey.blockBytes
        }
    }

    /// A bijection of two numbers below 2^61 and its images: each half takes three bits of the other one, then its bits
    /// are mixed. (Names that differ in a counter make arithmetic progressions before this.)
    @inlinable @inline(__always) static func finish(_ first: UInt64, _ second: UInt64) -> Fingerprint {
        Fingerprint(high: mix(first | second << 61), low: mix(second | first << 61))
    }

    /// A bijection that spreads every bit (the output function of splitmix64).
    @inlinable @inline(__always) static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
