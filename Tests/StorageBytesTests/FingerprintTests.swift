// FingerprintTests.swift - fingerprints against a slow form written from the definition in Fingerprint.swift, and what
// must change them.

import StorageBytes
import TestSupport
import Testing

/// The definition, with 128-bit integers and without any cleverness.
private struct PlainFingerprint {
    private let words: [UInt64]
    private let prime: UInt128 = (1 << 61) - 1

    init(_ key: FingerprintKey) {
        let bytes = key.storedBytes
        words = stride(from: 0, to: bytes.count, by: 8).map { start in
            bytes[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    func callAsFunction(_ bytes: [UInt8]) -> Fingerprint {
        Fingerprint(
            high: half(bytes, coefficients: [1, 1, 1, 1], key: 176, fold: 192),
            low: half(bytes, coefficients: [0, 1, 2, 3], key: 184, fold: 196))
    }

    private func half(_ bytes: [UInt8], coefficients: [UInt128], key: Int, fold: Int) -> UInt64 {
        var sums: [UInt128] = []
        var start = 0
        repeat {
            let end = min(start + 1024, bytes.count)
            var sum: UInt128 = 0
            for (group, pairs) in groups(bytes, start, end).enumerated() {
                for (place, pair) in pairs {
                    let a = pair.0 &+ words[8 * group + 2 * place]
                    let b = pair.1 &+ words[8 * group + 2 * place + 1]
                    sum = sum &+ coefficients[place] &* (UInt128(a) * UInt128(b))
                }
            }
            sums.append(sum)
            start = end
        } while start < bytes.count
        var input = sums[0]
        if sums.count > 1 {
            input = 0
            for sum in sums {
                let pieces = [sum & ((1 << 60) - 1), sum >> 60 & ((1 << 60) - 1), sum >> 120]
                input = input * UInt128(words[fold]) % prime
                for index in 0..<3 { input = (input + pieces[index] * UInt128(words[fold + 1 + index])) % prime }
            }
        }
        let keys = (0..<4).map { UInt128(words[key + 4 + $0]) << 64 | UInt128(words[key + $0]) }
        let linear = (input & UInt128(UInt64.max)) &* keys[0] &+ (input >> 64) &* keys[1]
        let value = UInt64((linear &+ UInt128(bytes.count) &* keys[2] &+ keys[3]) >> 64)
        let mixed = (value ^ value >> 32) &* 0xD6E8_FEB8_6659_FD93
        return mixed ^ mixed >> 32
    }

    /// The groups: pairs by place, the parity at place 3.
    private func groups(_ bytes: [UInt8], _ start: Int, _ end: Int) -> [[Int: (UInt64, UInt64)]] {
        let pairs = pairs(bytes, start, end)
        let hasTail = (end - start) % 16 != 0 && bytes.count >= 16
        var groups: [[Int: (UInt64, UInt64)]] = []
        for (index, pair) in pairs.enumerated() {
            if index % 3 == 0 { groups.append([:]) }
            groups[groups.count - 1][hasTail && index == pairs.count - 1 ? 2 : index % 3] = pair
        }
        for index in groups.indices {
            groups[index][3] = groups[index].values.reduce((0, 0)) { ($0.0 ^ $1.0, $0.1 ^ $1.1) }
        }
        return groups
    }

    private func pairs(_ bytes: [UInt8], _ start: Int, _ end: Int) -> [(UInt64, UInt64)] {
        func word(_ range: Range<Int>) -> UInt64 { bytes[range].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        let count = bytes.count
        switch count {
        case 0: return [(0, 0)]
        case 1...3: return [(UInt64(bytes[0]) + UInt64(bytes[count / 2]) << 8 + UInt64(bytes[count - 1]) << 16, 0)]
        case 4...7: return [(word(0..<4), word(count - 4..<count))]
        case 8...15: return [(word(0..<8), word(count - 8..<count))]
        default: break
        }
        var result = [(UInt64, UInt64)]()
        var place = start
        while end - place >= 16 {
            result.append((word(place..<place + 8), word(place + 8..<place + 16)))
            place += 16
        }
        if place < end { result.append((word(count - 16..<count - 8), word(count - 8..<count))) }
        return result
    }
}

@Suite struct FingerprintTests {
    private func key(_ seed: UInt64) -> FingerprintKey {
        var stream = SplitMixBytes(seed: seed)
        return FingerprintKey { stream.next() }
    }

    private func fingerprint(_ key: FingerprintKey, _ bytes: [UInt8]) -> Fingerprint {
        bytes.withUnsafeBytes { key.fingerprint($0) }
    }

    @Test(arguments: TestSeeds.thisRun) func agreesWithTheDefinition(seed: UInt64) {
        let key = key(seed)
        let plain = PlainFingerprint(key)
        for count in 0...300 {
            let bytes = SplitMixBytes.first(count, seed: seed &+ UInt64(count))
            #expect(fingerprint(key, bytes) == plain(bytes), "\(count) bytes")
        }
        var stream = SplitMixBytes(seed: seed)
        let edges = [1008, 1023, 1024, 1025, 1039, 1040, 2047, 2048, 2049, 65535, 65536, 65537, 70 << 10]
        for count in edges + (0..<20).map({ _ in Int(stream.next() % (70 << 10)) }) {
            let bytes = SplitMixBytes.first(count, seed: stream.next())
            #expect(fingerprint(key, bytes) == plain(bytes), "\(count) bytes")
        }
        for byte in [UInt8(0), 0xFF] {
            for count in [1, 16, 1000, 3000] {
                let bytes = [UInt8](repeating: byte, count: count)
                #expect(fingerprint(key, bytes) == plain(bytes), "\(count) times \(byte)")
            }
        }
    }

    /// Neither the place in memory nor the bytes around matter; and an empty buffer may have no address.
    @Test func dependsOnTheBytesOnly() {
        let key = key(1)
        #expect(key.fingerprint(UnsafeRawBufferPointer(start: nil, count: 0)) == fingerprint(key, []))
        let bytes = SplitMixBytes.first(100, seed: 5)
        for count in [3, 7, 15, 60, 100] {
            for offset in 0..<16 {
                let around = [UInt8](repeating: UInt8(offset), count: offset) + bytes.prefix(count) + [7, 7, 7]
                around.withUnsafeBytes {
                    let inner = UnsafeRawBufferPointer(rebasing: $0[offset..<offset + count])
                    #expect(key.fingerprint(inner) == fingerprint(key, Array(bytes.prefix(count))))
                }
            }
        }
    }

    @Test func everyBitChangesBothHalves() {
        let key = key(2)
        for count in 0...300 {
            var bytes = SplitMixBytes.first(count, seed: UInt64(count))
            let before = fingerprint(key, bytes)
            for index in 0..<count {
                for bit in 0..<8 {
                    bytes[index] ^= 1 << UInt8(bit)
                    let after = fingerprint(key, bytes)
                    if after.high == before.high || after.low == before.low {
                        Issue.record("bit \(bit) of byte \(index) of \(count)")
                    }
                    bytes[index] ^= 1 << UInt8(bit)
                }
            }
        }
    }

    @Test func zerosAtTheEndChangeBothHalves() {
        let key = key(3)
        for fill in [UInt8(0), 1] {
            var halves = Set<UInt64>()
            var bytes = [UInt8](repeating: fill, count: 3)
            for _ in 0..<2200 {
                let fingerprint = fingerprint(key, bytes)
                #expect(halves.insert(fingerprint.high).inserted && halves.insert(fingerprint.low).inserted)
                bytes.append(0)
            }
        }
    }

    /// All strings of 0...2 bytes, all of up to 14 over two letters, all counters of a name: no half occurs twice.
    @Test func shortStringsDoNotCollide() {
        let key = key(4)
        var strings = Set<[UInt8]>([[]])
        for first in 0...255 {
            strings.insert([UInt8(first)])
            for second in 0...255 { strings.insert([UInt8(first), UInt8(second)]) }
        }
        for count in 3...14 {
            for mask in 0..<(1 << count) { strings.insert((0..<count).map { UInt8(mask >> $0 & 1) }) }
        }
        for number in 0..<50_000 {
            strings.insert([UInt8](text: "container_cpu_usage_seconds_total{pod=\"a-\(number)\"}"))
        }
        var high = Set<UInt64>()
        var low = Set<UInt64>()
        for string in strings {
            let fingerprint = fingerprint(key, string)
            high.insert(fingerprint.high)
            low.insert(fingerprint.low)
        }
        #expect(high.count == strings.count)
        #expect(low.count == strings.count)
    }

    /// Names with a counter fill the buckets of a table as random numbers would (chi squared of 1024 buckets).
    @Test(arguments: TestSeeds.thisRun) func namesSpreadEvenly(seed: UInt64) {
        let key = key(seed)
        var counts = [[Double]](repeating: [Double](repeating: 0, count: 1024), count: 4)
        let names = 65_536
        for number in 0..<names {
            let fingerprint = fingerprint(
                key, [UInt8](text: "requests_total{instance=\"10.0.0.1:9100\",n=\"\(number)\"}"))
            counts[0][Int(fingerprint.high >> 54)] += 1
            counts[1][Int(fingerprint.high & 1023)] += 1
            counts[2][Int(fingerprint.low >> 54)] += 1
            counts[3][Int(fingerprint.low & 1023)] += 1
        }
        let expected = Double(names) / 1024
        for place in 0..<4 {
            let chi = counts[place].reduce(0) { $0 + ($1 - expected) * ($1 - expected) / expected }
            #expect(chi > 700 && chi < 1400, "1023 expected, deviation 45")
        }
    }

    @Test func keysAreStoredAndDiffer() throws {
        let first = key(5)
        let bytes = first.storedBytes
        #expect(bytes.count == FingerprintKey.storedBytesCount)
        let name = [UInt8](text: "up")
        let second = try #require(bytes.withUnsafeBytes { FingerprintKey(storedBytes: $0) })
        #expect(fingerprint(first, name) == fingerprint(second, name))
        #expect(second.storedBytes == bytes)
        #expect(fingerprint(first, name) != fingerprint(key(6), name))
        for count in [0, 1, bytes.count - 1] {
            #expect(bytes.prefix(count).withUnsafeBytes { FingerprintKey(storedBytes: $0) } == nil)
        }
        #expect((bytes + [0]).withUnsafeBytes { FingerprintKey(storedBytes: $0) } == nil)
        // The keys of the polynomials are below the prime.
        for word in 192..<200 {
            var broken = bytes
            broken.replaceSubrange(8 * word..<8 * word + 8, with: [0x1F] + [UInt8](repeating: 0xFF, count: 7))
            #expect(broken.withUnsafeBytes { FingerprintKey(storedBytes: $0) } == nil, "word \(word)")
        }
        // A source that gives only such words at first is asked again.
        var drawn = 0
        let stubborn = FingerprintKey {
            drawn += 1
            return drawn % 2 == 0 ? UInt64(drawn) : .max
        }
        #expect(drawn == 192 + 2 * 8)
        #expect(stubborn.storedBytes.withUnsafeBytes { FingerprintKey(storedBytes: $0) } != nil)
    }
}
