// HashTests.swift - XXH64 against the golden vectors, the running digest against the hash of the whole, hex strings.

import StorageBytes
import TestSupport
import Testing

@Suite struct HashTests {
    private func xxh64(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { Hash.xxh64($0) } }

    @Test func xxh64OfTheGoldenInputs() throws {
        let vectors = try Golden.json("mergeset/xxhash64.json")["vectors"].array
        #expect(!vectors.isEmpty)
        for vector in vectors {
            let hash = xxh64(try vector["input"].bytes)
            #expect(try hash == vector["hash"].uint64)
            #expect(try UInt64(UInt32(truncatingIfNeeded: hash)) == vector["low32"].uint64)
            #expect(try Hex.name(hash).lowercased() == vector["hash_hex"].string)
        }
    }

    @Test(arguments: TestSeeds.thisRun) func digestDoesNotDependOnThePieces(seed: UInt64) {
        var stream = SplitMixBytes(seed: seed)
        for _ in 0..<50 {
            let bytes = SplitMixBytes.first(Int(stream.next() % 300), seed: stream.next())
            let digest = Digest()
            var rest = bytes[...]
            while !rest.isEmpty {
                let piece = rest.prefix(1 + Int(stream.next() % 70))
                piece.withUnsafeBytes { digest.add($0) }
                rest = rest.dropFirst(piece.count)
            }
            #expect(digest.value == xxh64(bytes))
            #expect(digest.value == xxh64(bytes), "reading the value does not end the digest")
        }
    }

    @Test func digestOfNumbersAndItems() {
        let digest = Digest()
        digest.add(0x0102_0304_0506_0708)
        [0xAA, 0xBB].withUnsafeBytes { (bytes: UnsafeRawBufferPointer) in
            digest.addItem(UnsafeRawBufferPointer(rebasing: bytes.prefix(0)))
        }
        [UInt8(0xAA), 0xBB].withUnsafeBytes { digest.addItem($0) }
        #expect(digest.value == xxh64([1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0xAA, 0xBB]))

        func itemsDigest(_ items: [[UInt8]]) -> UInt64 {
            let digest = Digest()
            for item in items { item.withUnsafeBytes { digest.addItem($0) } }
            return digest.value
        }
        #expect(itemsDigest([[1], [2, 3]]) != itemsDigest([[1, 2], [3]]))
        #expect(itemsDigest([[], [1]]) != itemsDigest([[1], []]))
    }

    @Test func memoryHashDependsOnTheSeedAndOnEveryByte() {
        var bytes = SplitMixBytes.first(100, seed: 7)
        func hash(_ bytes: [UInt8], _ seed: UInt64) -> UInt64 {
            bytes.withUnsafeBytes { Hash.memory($0.baseAddress!, $0.count, seed: seed) }
        }
        let before = hash(bytes, 1)
        #expect(before == hash(bytes, 1))
        #expect(before != hash(bytes, 2))
        for index in bytes.indices {
            bytes[index] ^= 1
            #expect(hash(bytes, 1) != before, "byte \(index)")
            bytes[index] ^= 1
        }
    }

    @Test func hexStrings() {
        let all = [UInt8](0...255)
        #expect(Hex.encode(all).hasPrefix("000102") && Hex.encode(all).hasSuffix("fdfeff"))
        #expect(Hex.decode(Hex.encode(all)) == all)
        #expect(Hex.decode(Hex.encode(all).uppercased()) == all)
        #expect(Hex.decode("") == [])
        for broken in ["0", "0g", "g0", "0x", "0 ", "\u{e9}0", "000"] {
            #expect(Hex.decode(broken) == nil, "\(broken)")
        }
        #expect(Hex.name(0) == "0000000000000000")
        #expect(Hex.name(0x18E9_E5D1_E063_DF88) == "18E9E5D1E063DF88")
        #expect(Hex.name(.max) == "FFFFFFFFFFFFFFFF")
    }
}
