// Fingerprint.swift - 128 bits that stand for a byte string, under a secret key.
//
// Tables that would keep long names keep fingerprints instead. For that, two different strings must not have the same
// fingerprint, whoever chose them. The hash is universal: the bound below holds for every pair of strings that was
// chosen without knowing the key, and rests on no assumption about the strings. (XXH3 and the like promise nothing
// against somebody who wants collisions.)
//
//   blocks    the string is cut into blocks of 1024 bytes, the last one being shorter; an empty string is one block
//   pairs     a block is a sequence of pairs of 64-bit words: its full 16 bytes and, where some are left, a tail: the last 16
//             bytes of the string, overlapping what came before. A string shorter than 16 bytes is one pair: first and
//             last 8 bytes (8...15), first and last 4 (4...7), bytes 0, n/2 and n-1 (1...3). Two strings of one length
//             that differ have a pair that differs, in the same place.
//   groups    three pairs are a group, with a fourth pair for parity: the words of the three xored. The pairs that are left
//             over are the first and second pair of a last group, the tail is its third; it has a parity, too.
//   NH        each pair (a, b) of a group has two key words of its own: (a + k) * (b + l), factors modulo 2^64. The products
//             of the first, second, third and fourth pairs are summed up to s0...s3 modulo 2^128. Of a block remain
//             s0 + s1 + s2 + s3 for the one half of the fingerprint and s1 + 2 s2 + 3 s3 for the other. That is 4
//             multiplications for 48 bytes, where two passes of NH would take 6.
//   halves    upper 64 bits of low * K1 + high * K2 + length * K3 + K4 modulo 2^128, where low and high are the words of the
//             block's sum and the keys are 128-bit numbers
//   longer    of several blocks, a polynomial modulo p = 2^61 - 1 takes the place of low, and 0 that of high: carry :=
//             carry * x + p0 * c1 + p1 * c2 + p2 * c3, where p0...p2 are 60, 60 and 8 bits of a block's sum
//   finish    a bijection mixes the bits of each half, so that tables may use any of them
//
// Bound. Let two strings be different.
//   Different lengths: `length` differs, and multilinear hashing with keys of twice the width is strongly universal
//   (Lemire and Kaser, 2014): each half agrees with probability 2^-64, the halves independently, 2^-128 together.
//   Same length, one block: some group has a pair that differs; then its parity differs, too, or another pair does: at least
//   two of four. NH under uniform keys makes the difference of such a product any given number with probability at most
//   2^-64 (Black et al., UMAC, 1999), for each of the two independently. For both halves' sums to agree, the two differences
//   u and v of places i < j must satisfy u + v = c and i u + j v = d, so (j - i) v = d - i c, which has at most two solutions
//   as j - i is 1, 2 or 3: probability at most 2^-127. One half's sums agree with probability at most 2^-63. Where sums
//   differ, halves agree with probability 2^-64. Together at most 2^-127 + 2 * 2^-63 * 2^-64 + 2^-128 < 2^-125.
//   Same length, m blocks: take a block that differs. Where its sums differ, its contributions to the polynomial are equal
//   with probability 1/p; where those differ, the polynomials, of degree below m, agree in at most m - 1 points: half h
//   agrees with probability at most e = m / p + 2^-64, and both with at most 2^-127 + 2 * 2^-63 * e + e^2.
//
//   up to 1 KiB (m = 1)     2^-125
//   64 KiB (m = 64)         2^-109.9
//   n names of up to 1 KiB kept and l looked up, at most n * l pairs: 10^8 and 10^15 give 2^-48, about 1 in 3 * 10^14; were
//   all of them 64 KiB long: 2^-33
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
    /// for less than 2^-62 (names up to 1 KiB).
    public var high: UInt64, low: UInt64

    /// A fingerprint known from elsewhere.
    @inlinable public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

/// The secret under which fingerprints are made: 200 words.
public final class FingerprintKey: @unchecked Sendable {
    /// Bytes of ``storedBytes``.
    public static let storedBytesCount = wordCount * 8

    @usableFromInline static let blockBytes = 1024
    /// Where the keys of the halves begin: behind the NH key of 21 groups and a begun one.
    @usableFromInline static let halves = 22 * 8
    /// K1...K4, lower halves and upper halves, of one half of the fingerprint.
    @usableFromInline static let halfWords = 8
    /// Where the keys of the polynomials begin.
    @usableFromInline static let folds = halves + 2 * halfWords
    /// x and c1...c3 of one half.
    @usableFromInline static let foldWords = 4
    private static let wordCount = folds + 2 * foldWords
    private static let prime: UInt64 = (1 << 61) - 1

    /// `wordCount` words; written by the initialisers only.
    @usableFromInline let words: UnsafeMutablePointer<UInt64>

    /// A key of about 200 numbers from `next`, which returns uniformly distributed numbers that nobody can guess.
    public init(drawing next: () -> UInt64) {
        words = .allocate(capacity: FingerprintKey.wordCount)
        for index in 0..<FingerprintKey.wordCount {
            var word = next()
            if index >= FingerprintKey.folds {
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
        for index in FingerprintKey.folds..<FingerprintKey.wordCount
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

    /// The fingerprint of a byte string of any length: about 4 multiplications for 48 bytes, and 14 more.
    @inlinable public func fingerprint(_ bytes: UnsafeRawBufferPointer) -> Fingerprint {
        guard let start = bytes.baseAddress else { return fingerprint(of: 0, 0, length: 0) }
        let length = bytes.count
        if length < 16 { return fingerprintOfShort(start, length) }
        if length > FingerprintKey.blockBytes { return fingerprintOfLong(start, length) }
        let tail = length & 15 == 0 ? nil : start + (length &- 16)
        let sums = ci_nh(start, length >> 4, tail, words)
        return finish(sums, length)
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
        return finish(sums, length)
    }

    /// Strings of more than one block.
    @usableFromInline func fingerprintOfLong(_ start: UnsafeRawPointer, _ length: Int) -> Fingerprint {
        let fold = words + FingerprintKey.folds
        var carry1: UInt64 = 0
        var carry2: UInt64 = 0
        var offset = 0
        while true {
            let count = min(length &- offset, FingerprintKey.blockBytes)
            let tail = count & 15 == 0 ? nil : start + (length &- 16)
            let sums = ci_nh(start + offset, count >> 4, tail, words)
            carry1 = ci_fold61(carry1, sums.low1, sums.high1, fold)
            carry2 = ci_fold61(carry2, sums.low2, sums.high2, fold + FingerprintKey.foldWords)
            offset &+= count
            if offset == length {
                return finish(ci_nh_sums(low1: carry1, high1: 0, low2: carry2, high2: 0), length)
            }
        }
    }

    /// The halves, from the sums of the only block, or from the polynomials.
    @inlinable @inline(__always) func finish(_ sums: ci_nh_sums, _ length: Int) -> Fingerprint {
        let key = words + FingerprintKey.halves
        let count = UInt64(truncatingIfNeeded: length)
        return Fingerprint(
            high: FingerprintKey.mix(ci_multilinear(sums.low1, sums.high1, count, key)),
            low: FingerprintKey.mix(ci_multilinear(sums.low2, sums.high2, count, key + FingerprintKey.halfWords)))
    }

    /// A bijection. Names that differ in a counter give arithmetic progressions before this.
    @inlinable @inline(__always) static func mix(_ value: UInt64) -> UInt64 {
        let z = (value ^ (value >> 32)) &* 0xD6E8_FEB8_6659_FD93
        return z ^ (z >> 32)
    }
}
