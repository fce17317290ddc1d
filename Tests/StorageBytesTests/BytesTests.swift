// BytesTests.swift - order, common prefixes and leading keys against plain models on arrays.

import CIntrinsics
import StorageBytes
import TestSupport
import Testing

@Suite struct BytesTests {
    /// Byte strings over a small alphabet, so that equal beginnings and proper prefixes are frequent.
    private func randomString(_ stream: inout SplitMixBytes, countMax: UInt64) -> [UInt8] {
        let alphabet: [UInt8] = [0x00, 0x01, 0x61, 0xFF]
        return (0..<Int(stream.next() % (countMax + 1))).map { _ in alphabet[Int(stream.next() % 4)] }
    }

    private func modelPrefix(_ a: [UInt8], _ b: [UInt8]) -> Int { zip(a, b).prefix { $0 == $1 }.count }

    private func sign(_ value: Int) -> Int { value.signum() }

    private func modelOrder(_ a: [UInt8], _ b: [UInt8]) -> Int { a == b ? 0 : isSmaller(a, b) ? -1 : 1 }

    /// Every length, every place of the first difference, at every alignment of 16, in memory that ends right behind
    /// the strings (so that the address sanitizer sees a read behind them).
    @Test func commonPrefixOfEveryLengthAndMismatch() {
        for count in 0...80 {
            for shift in count % 16 == 0 ? Array(0..<16) : [0, 3] {
                let a = UnsafeMutableRawBufferPointer.allocate(byteCount: shift + count, alignment: 16)
                let b = UnsafeMutableRawBufferPointer.allocate(byteCount: shift + count, alignment: 16)
                defer {
                    a.deallocate()
                    b.deallocate()
                }
                for index in 0..<(shift + count) { a[index] = UInt8(truncatingIfNeeded: index &* 37) }
                for mismatch in 0...count {
                    b.copyMemory(from: UnsafeRawBufferPointer(a))
                    // Later differences must not hide the first one.
                    for index in stride(from: mismatch, to: count, by: 5) { b[shift + index] ^= 0x80 }
                    let x = UnsafeRawPointer(a.baseAddress! + shift)
                    let y = UnsafeRawPointer(b.baseAddress! + shift)
                    let (p, q) = (x.assumingMemoryBound(to: UInt8.self), y.assumingMemoryBound(to: UInt8.self))
                    let results = [
                        Int(ci_common_prefix(p, q, count)), Int(ci_common_prefix_portable(p, q, count)),
                        Bytes.commonPrefix(x, y, count),
                    ]
                    if results != [mismatch, mismatch, mismatch] {
                        Issue.record("\(count) bytes, first difference at \(mismatch), shift \(shift): \(results)")
                    }
                }
            }
        }
    }

    @Test(arguments: TestSeeds.thisRun) func randomStringsAgreeWithTheModels(seed: UInt64) {
        var stream = SplitMixBytes(seed: seed)
        for _ in 0..<3000 {
            let shared = randomString(&stream, countMax: 40)
            let a = shared + randomString(&stream, countMax: 20)
            let b = shared + randomString(&stream, countMax: 20)
            a.withUnsafeBytes { x in
                b.withUnsafeBytes { y in
                    #expect(Bytes.commonPrefix(x, y) == modelPrefix(a, b), "\(a.hex) \(b.hex)")
                    #expect(sign(Bytes.compare(x, y)) == modelOrder(a, b), "\(a.hex) \(b.hex)")
                    if let p = x.baseAddress, let q = y.baseAddress {
                        #expect(sign(Bytes.compare(p, x.count, q, y.count)) == modelOrder(a, b), "\(a.hex) \(b.hex)")
                    }
                    #expect(Bytes.starts(x, with: y) == a.starts(with: b), "\(a.hex) \(b.hex)")
                }
            }
        }
    }

    /// All strings of up to four bytes over a small alphabet, each against each.
    @Test func orderAndPrefixOfAllSmallStrings() {
        var strings: [[UInt8]] = [[]]
        var longest = strings
        for _ in 0..<3 {
            longest = longest.flatMap { string in [0x00, 0x61, 0xFF].map { string + [$0] } }
            strings += longest
        }
        for a in strings {
            for b in strings {
                a.withUnsafeBytes { x in
                    b.withUnsafeBytes { y in
                        if sign(Bytes.compare(x, y)) != modelOrder(a, b)
                            || Bytes.commonPrefix(x, y) != modelPrefix(a, b)
                            || Bytes.starts(x, with: y) != a.starts(with: b)
                        {
                            Issue.record("\(a.hex) \(b.hex)")
                        }
                    }
                }
            }
        }
    }

    @Test(arguments: TestSeeds.thisRun) func leadingKeyOrdersAsTheStrings(seed: UInt64) {
        var stream = SplitMixBytes(seed: seed)
        func key(_ bytes: [UInt8]) -> UInt64 {
            var buffer = RawBuffer()  // its slack stands for the bytes behind an item in an arena
            buffer.append(bytes)
            return Bytes.leadingKey(buffer.base, bytes.count)
        }
        for _ in 0..<3000 {
            let a = randomString(&stream, countMax: 12)
            let b = randomString(&stream, countMax: 12)
            let model = (a + [UInt8](repeating: 0, count: 8)).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
            #expect(key(a) == model, "\(a.hex)")
            if key(a) != key(b) { #expect((key(a) < key(b)) == isSmaller(a, b), "\(a.hex) \(b.hex)") }
        }
    }
}
