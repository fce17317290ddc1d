// IntegerCodingTests.swift - integers and length-prefixed bytes against the golden encodings, and against each other.

import StorageBytes
import TestSupport
import Testing

@Suite struct IntegerCodingTests {
    private let golden: JSON

    init() throws { golden = try Golden.json("mergeset/primitives.json") }

    /// What `write` puts into an empty buffer.
    private func written(_ write: (inout RawBuffer) -> Void) -> [UInt8] {
        var buffer = RawBuffer()
        write(&buffer)
        return buffer.array()
    }

    /// Reads from a copy of `bytes`; nil when the cursor throws, and then it must not have moved.
    private func read<Value>(_ bytes: [UInt8], _ body: (inout ByteCursor) throws(DecodeError) -> Value) -> (
        Value, [UInt8]
    )? {
        bytes.withUnsafeBytes { raw in
            var cursor = ByteCursor(raw)
            do throws(DecodeError) {
                let value = try body(&cursor)
                return (value, [UInt8](cursor.rest))
            } catch {
                #expect(cursor.remaining == bytes.count, "a failed read moved the cursor")
                return nil
            }
        }
    }

    @Test func unsignedIntegers() throws {
        let entries = try golden["unsigned"].array
        #expect(!entries.isEmpty)
        for entry in entries {
            let value = try entry["value"].uint64
            if entry["uint16"].isPresent {
                let bytes = try entry["uint16"].bytes
                #expect(written { $0.appendBigEndian(UInt16(value)) } == bytes)
                #expect(
                    read(bytes) { cursor throws(DecodeError) in try cursor.readBigEndian(UInt16.self) }?.0
                        == UInt16(value))
            }
            if entry["uint32"].isPresent {
                let bytes = try entry["uint32"].bytes
                #expect(written { $0.appendBigEndian(UInt32(value)) } == bytes)
                #expect(
                    read(bytes) { cursor throws(DecodeError) in try cursor.readBigEndian(UInt32.self) }?.0
                        == UInt32(value))
            }
            let fixed = try entry["uint64"].bytes
            #expect(written { $0.appendBigEndian(value) } == fixed)
            #expect(read(fixed) { cursor throws(DecodeError) in try cursor.readBigEndian(UInt64.self) }?.0 == value)
            let varint = try entry["varuint64"].bytes
            #expect(written { $0.appendVarint(value) } == varint)
            #expect(Varint.length(value) == varint.count)
            #expect(read(varint) { cursor throws(DecodeError) in try cursor.readVarint() }?.0 == value)
        }
    }

    @Test func signedIntegers() throws {
        let entries = try golden["signed"].array
        #expect(!entries.isEmpty)
        for entry in entries {
            let value = try entry["value"].int64
            if entry["int16"].isPresent {
                let bytes = try entry["int16"].bytes
                #expect(written { $0.appendBigEndian(ZigZag.encode(Int16(value))) } == bytes)
                let decoded = read(bytes) { cursor throws(DecodeError) in try cursor.readBigEndian(UInt16.self) }?.0
                #expect(decoded.map { ZigZag.decode($0) } == Int16(value))
            }
            let fixed = try entry["int64"].bytes
            #expect(written { $0.appendBigEndian(ZigZag.encode(value)) } == fixed)
            #expect(read(fixed) { cursor throws(DecodeError) in try cursor.readSigned64() }?.0 == value)
            let varint = try entry["varint64"].bytes
            #expect(written { $0.appendSignedVarint(value) } == varint)
            #expect(read(varint) { cursor throws(DecodeError) in try cursor.readSignedVarint() }?.0 == value)
        }
    }

    @Test func sequences() throws {
        for entry in try golden["varuint64_sequences"].array {
            let bytes = try entry["hex"].bytes
            let values = try entry["values"].array.map { try $0.uint64 }
            #expect(written { buffer in for value in values { buffer.appendVarint(value) } } == bytes)
            let decoded = read(bytes) { cursor throws(DecodeError) in
                var decoded = [UInt64]()
                for _ in values { decoded.append(try cursor.readVarint()) }
                try cursor.finish()
                return decoded
            }
            #expect(decoded?.0 == values)
        }
        for entry in try golden["varint64_sequences"].array {
            let bytes = try entry["hex"].bytes
            let values = try entry["values"].array.map { try $0.int64 }
            #expect(written { buffer in for value in values { buffer.appendSignedVarint(value) } } == bytes)
            let decoded = read(bytes) { cursor throws(DecodeError) in
                var decoded = [Int64]()
                for _ in values { decoded.append(try cursor.readSignedVarint()) }
                try cursor.finish()
                return decoded
            }
            #expect(decoded?.0 == values)
        }
    }

    @Test func unusualAndBrokenVarints() throws {
        let entries = try golden["varint_decode"].array
        #expect(!entries.isEmpty)
        for entry in entries {
            let bytes = try entry["hex"].bytes
            let unsigned = read(bytes) { cursor throws(DecodeError) in try cursor.readVarint() }
            let signed = read(bytes) { cursor throws(DecodeError) in try cursor.readSignedVarint() }
            if entry["error"].isPresent {
                #expect(unsigned == nil && signed == nil, "\(bytes.hex)")
            } else {
                #expect(try unsigned?.0 == entry["varuint64"].uint64, "\(bytes.hex)")
                #expect(try signed?.0 == entry["varint64"].int64, "\(bytes.hex)")
                #expect(try unsigned?.1 == entry["tail"].bytes && signed?.1 == entry["tail"].bytes, "\(bytes.hex)")
            }
        }
    }

    @Test func prefixedBytes() throws {
        for entry in try golden["bytes"].array {
            let content = try entry["bytes"].bytes
            let encoded = try entry["hex"].bytes
            #expect(written { buffer in content.withUnsafeBytes { buffer.appendPrefixed($0) } } == encoded)
        }
        for entry in try golden["bytes_decode"].array {
            let encoded = try entry["hex"].bytes
            let decoded = read(encoded) { cursor throws(DecodeError) in [UInt8](try cursor.readPrefixed()) }
            if entry["error"].isPresent {
                #expect(decoded == nil, "\(encoded.hex)")
            } else {
                #expect(try decoded?.0 == entry["bytes"].bytes, "\(encoded.hex)")
                #expect(try decoded?.1 == entry["tail"].bytes, "\(encoded.hex)")
            }
        }
    }

    @Test func everyTruncationIsReported() {
        let full = written { buffer in
            buffer.appendBigEndian(UInt64.max)
            buffer.appendVarint(.max)
            [1, 2, 3].withUnsafeBytes { buffer.appendPrefixed($0) }
        }
        for count in 0..<full.count {
            let decoded = read(Array(full[..<count])) { cursor throws(DecodeError) -> Int in
                let start = cursor
                do throws(DecodeError) {
                    _ = try cursor.readBigEndian(UInt64.self)
                    _ = try cursor.readVarint()
                    return try cursor.readPrefixed().count
                } catch {
                    cursor = start
                    throw error
                }
            }
            #expect(decoded == nil, "\(count) of \(full.count) bytes")
        }
    }

    @Test func varintLengthAtEveryBitWidth() {
        for bits in 0..<64 {
            for value in [UInt64(1) << bits, (UInt64(1) << bits) - 1, (UInt64(1) << bits) + 1] {
                let bytes = written { $0.appendVarint(value) }
                #expect(bytes.count == Varint.length(value), "\(value)")
                #expect(read(bytes) { cursor throws(DecodeError) in try cursor.readVarint() }?.0 == value)
            }
        }
        #expect(Varint.length(.max) == Varint.lengthMax)
    }

    @Test(arguments: TestSeeds.thisRun) func randomValuesSurvive(seed: UInt64) {
        var stream = SplitMixBytes(seed: seed)
        for _ in 0..<2000 {
            let value = stream.next() >> (stream.next() % 64)
            let signed = Int64(bitPattern: value)
            #expect(
                read(written { $0.appendVarint(value) }) { cursor throws(DecodeError) in try cursor.readVarint() }?.0
                    == value)
            #expect(ZigZag.decode(ZigZag.encode(signed)) == signed)
            #expect(
                read(written { $0.appendSignedVarint(signed) }) { cursor throws(DecodeError) in
                    try cursor.readSignedVarint()
                }?.0
                    == signed)
        }
    }

    @Test(arguments: TestSeeds.thisRun) func fixedWidthKeepsTheOrder(seed: UInt64) {
        var stream = SplitMixBytes(seed: seed)
        for _ in 0..<500 {
            let a = stream.next() >> (stream.next() % 64)
            let b = stream.next() >> (stream.next() % 64)
            let (x, y) = (written { $0.appendBigEndian(a) }, written { $0.appendBigEndian(b) })
            #expect(isSmaller(x, y) == (a < b))
            #expect(x.withUnsafeBytes { BigEndian.load64($0.baseAddress!) } == a)
        }
    }

    @Test func zigzagOf16BitsIsABijection() {
        var seen = Set<UInt16>()
        for value in Int16.min...Int16.max {
            let code = ZigZag.encode(value)
            seen.insert(code)
            if ZigZag.decode(code) != value { Issue.record("\(value)") }
        }
        #expect(seen.count == 65536)
        #expect([0, -1, 1, -2].map { ZigZag.encode(Int16($0)) } == [0, 1, 2, 3])
    }

    @Test func bigEndianStoresAreTheirLoads() {
        var bytes = [UInt8](repeating: 0, count: 16)
        bytes.withUnsafeMutableBytes { raw in
            BigEndian.store64(0x0102_0304_0506_0708, at: raw.baseAddress! + 1)
            BigEndian.store32(0x0A0B_0C0D, at: raw.baseAddress! + 11)
            #expect(BigEndian.load64(raw.baseAddress! + 1) == 0x0102_0304_0506_0708)
            #expect(BigEndian.load32(raw.baseAddress! + 11) == 0x0A0B_0C0D)
        }
        #expect(bytes == [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x0A, 0x0B, 0x0C, 0x0D, 0])
    }
}
