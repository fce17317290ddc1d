// IntegerArrayTests.swift - integer arrays as bytes: golden data both ways, all small arrays, random ones, broken bytes.

import CIntrinsics
import StorageBytes
import TestSupport
import Testing

@testable import SampleStore

private struct Encoded {
    var type: MarshalType
    var bytes: [UInt8]
}

private func encode(_ values: [Int64], precisionBits: Int = 64) -> Encoded {
    var encoder = IntegerArrayEncoder()
    var target = RawBuffer()
    target.append([0xAA])  // appended, not replaced
    let type = encoder.encode(values, values.count, precisionBits: precisionBits, into: &target)
    return Encoded(type: type, bytes: Array(target.array().dropFirst()))
}

private func decode(_ type: MarshalType, _ first: Int64, _ count: Int, _ bytes: [UInt8]) throws -> [Int64] {
    // Exactly as much memory as the bytes take, so that the address sanitizer sees reads behind them.
    let exact = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { exact.deallocate() }
    exact.copyBytes(from: bytes)
    var decoder = IntegerArrayDecoder()
    let target = UnsafeMutablePointer<Int64>.allocate(capacity: count)
    defer { target.deallocate() }
    try decoder.decode(type, first: first, count: count, UnsafeRawBufferPointer(exact), into: target)
    return Array(UnsafeBufferPointer(start: target, count: count))
}

private func inflate(_ bytes: [UInt8]) throws -> [UInt8] {
    var payload = RawBuffer()
    try bytes.withUnsafeBytes { _ = try Zstd.decompress($0, into: &payload, limitBytes: 1 << 20) }
    return payload.array()
}

private func plain(_ type: MarshalType) -> MarshalType {
    type == .zstdNearestDelta ? .nearestDelta : type == .zstdNearestDelta2 ? .nearestDelta2 : type
}

/// The varints of 3.3 in plain words.
private func varints(_ values: [Int64], order: Int) -> [UInt8] {
    var rest = zip(values.dropFirst(), values).map { $0 &- $1 }
    if order == 2 { rest = [rest[0]] + zip(rest.dropFirst(), rest).map { $0 &- $1 } }
    return rest.flatMap { value -> [UInt8] in
        var code = UInt64(bitPattern: (value << 1) ^ (value >> 63))
        var bytes: [UInt8] = []
        while code >= 128 {
            bytes.append(UInt8(code & 127) | 128)
            code >>= 7
        }
        return bytes + [UInt8(code)]
    }
}

@Suite struct IntegerArrayTests {
    @Test func goldenArrays() throws {
        for vector in try Golden.json("samples/int-arrays.json")["vectors"].array {
            let name = try vector["description"].string
            let values = try vector["values"].array.map { try $0.int64 }
            let bits = try vector["precision_bits"].int
            let wanted = MarshalType(rawValue: UInt8(try vector["marshal_type"].int))!
            let data = try vector["data_hex"].bytes
            let payload = try vector["payload_hex"].isPresent ? vector["payload_hex"].bytes : data
            let found = encode(values, precisionBits: bits)
            #expect(plain(found.type) == plain(wanted), "\(name)")
            let isZstd = found.type != plain(found.type)
            #expect(try (isZstd ? inflate(found.bytes) : found.bytes) == payload, "\(name)")
            if vector["zstd_size"].isPresent {
                // Near the border the version of zstd decides.
                let ratio = try vector["zstd_size"].double / Double(payload.count)
                if abs(ratio - 0.9) > 0.05 { #expect(found.type == wanted, "\(name): \(ratio)") }
            } else {
                #expect(found.type == wanted, "\(name)")
            }
            let decoded = try vector["decoded"].isPresent ? vector["decoded"].array.map { try $0.int64 } : values
            #expect(try decode(wanted, values[0], values.count, data) == decoded, "\(name)")
            #expect(try decode(found.type, values[0], values.count, found.bytes) == decoded, "\(name)")
        }
    }

    @Test func goldenDecoding() throws {
        for vector in try Golden.json("samples/int-array-decode.json")["vectors"].array {
            let name = try vector["description"].string
            let type = MarshalType(rawValue: UInt8(try vector["marshal_type"].int))
            let first = try vector["first_value"].int64
            let bytes = try vector["data_hex"].bytes
            let count = try vector["count"].int
            if try vector["result"].string == "ok" {
                let values = try vector["values"].array.map { try $0.int64 }
                #expect(try decode(type!, first, count, bytes) == values, "\(name)")
            } else if let type {
                #expect(throws: DecodeError.self, "\(name)") { try decode(type, first, count, bytes) }
            }
        }
    }

    @Test func nearestDeltaSteps() throws {
        for row in try Golden.json("samples/nearest-delta-step.json")["rows"].array {
            var state = NearestDelta(precisionBits: try row[2].int, zeros: try row[3].int)
            let delta = state.step(from: try row[1].int64, to: try row[0].int64)
            #expect(try delta == row[4].int64 && state.trailingZeros == row[5].int, "\(row)")
        }
    }

    @Test func timestampRepair() throws {
        for vector in try Golden.json("samples/ensure-non-decreasing.json")["vectors"].array {
            var values = try vector["in"].array.map { try $0.int64 }
            let (low, high) = (try vector["min"].int64, try vector["max"].int64)
            if try vector["result"].isPresent && vector["result"].string == "fatal" {
                #expect(throws: DecodeError.inconsistent) {
                    try IntegerArrayDecoder.repair(&values, values.count, min: low, max: high)
                }
            } else {
                try IntegerArrayDecoder.repair(&values, values.count, min: low, max: high)
                #expect(try values == vector["out"].array.map { try $0.int64 }, "\(vector)")
            }
        }
    }

    /// As differences behind a first value of zero.
    @Test func varintSequences() throws {
        for vector in try Golden.json("samples/varint-decode.json")["vectors"].array {
            let name = try vector["description"].string
            let count = try vector["count"].int + 1
            let bytes = try vector["hex"].bytes
            if try vector["error"].bool {
                #expect(throws: DecodeError.self, "\(name)") { try decode(.nearestDelta, 0, count, bytes) }
            } else if try !vector["tail_hex"].bytes.isEmpty {
                #expect(throws: DecodeError.trailingBytes, "\(name)") { try decode(.nearestDelta, 0, count, bytes) }
            } else {
                var sums: [Int64] = [0]
                for value in try vector["values"].array { sums.append(sums[sums.count - 1] &+ (try value.int64)) }
                #expect(try decode(.nearestDelta, 0, count, bytes) == sums, "\(name)")
            }
        }
    }

    @Test func allSmallArrays() throws {
        let alphabet: [Int64] = [0, 1, -1, 63, 64, -64, -65, 1000, 8191, 8192, .max, .min, .max - 1]
        func visit(_ values: [Int64]) throws {
            if !values.isEmpty { try roundTrip(values) }
            if values.count < 4 { for value in alphabet { try visit(values + [value]) } }
        }
        try visit([])
    }

    private func roundTrip(_ values: [Int64]) throws {
        let found = encode(values)
        let decoded = try decode(found.type, values[0], values.count, found.bytes)
        if decoded != values { Issue.record("\(values): \(found)") }
        if plain(found.type) == .nearestDelta || plain(found.type) == .nearestDelta2 {
            let payload = plain(found.type) == found.type ? found.bytes : try inflate(found.bytes)
            let expected = varints(values, order: plain(found.type) == .nearestDelta ? 1 : 2)
            if payload != expected { Issue.record("\(values): \(payload)") }
        }
    }

    /// Arrays whose differences take one byte, two bytes, or a mixture, in runs of random lengths.
    private func mixture(_ random: inout SplitMixBytes, _ count: Int) -> [Int64] {
        var values: [Int64] = [Int64(bitPattern: random.next()) >> Int64(random.next() % 64)]
        var delta: Int64 = 0
        let asCounter = random.next() % 2 == 0
        while values.count < count {
            let width = [5, 6, 7, 12, 13, 14, 20, 28, 35, 55, 56, 57, 62, 63, 64][Int(random.next() % 15)]
            for _ in 0..<Int(random.next() % 40) where values.count < count {
                let step = Int64(bitPattern: random.next()) >> Int64(64 - width)
                delta = asCounter ? delta &+ step : step
                values.append(values[values.count - 1] &+ delta)
            }
        }
        return values
    }

    @Test(arguments: TestSeeds.thisRun)
    func randomArrays(seed: UInt64) throws {
        var random = SplitMixBytes(seed: seed)
        for round in 0..<150 {
            let count = round < 140 ? Int(random.next() % 300) + 1 : 8192
            try roundTrip(mixture(&random, count))
        }
    }

    /// Any type, any precision: what is encoded decodes, and const and delta const stay exact.
    @Test(arguments: TestSeeds.thisRun)
    func reducedPrecision(seed: UInt64) throws {
        var random = SplitMixBytes(seed: seed)
        for _ in 0..<200 {
            let values = mixture(&random, Int(random.next() % 60) + 1)
            let bits = Int(random.next() % 63) + 1
            let found = encode(values, precisionBits: bits)
            let decoded = try decode(found.type, values[0], values.count, found.bytes)
            #expect(decoded.count == values.count && decoded[0] == values[0])
            if found.type == .const || found.type == .deltaConst { #expect(decoded == values) }
        }
    }

    @Test(arguments: TestSeeds.thisRun)
    func brokenBytesAreRefusedOrDecode(seed: UInt64) throws {
        var random = SplitMixBytes(seed: seed)
        for _ in 0..<400 {
            let values = mixture(&random, Int(random.next() % 200) + 1)
            var found = encode(values)
            for _ in 0...Int(random.next() % 3) {
                switch random.next() % 4 {
                case 0 where !found.bytes.isEmpty:
                    found.bytes[Int(random.next() % UInt64(found.bytes.count))] ^= UInt8(1 << (random.next() % 8))
                case 1 where !found.bytes.isEmpty: found.bytes.removeLast()
                case 2: found.bytes.append(UInt8(random.next() & 255))
                default: found.type = MarshalType(rawValue: UInt8(random.next() % 7))!
                }
            }
            let count = random.next() % 4 == 0 ? Int(random.next() % 16384) + 1 : values.count
            _ = try? decode(found.type, values[0], count, found.bytes)
        }
    }

    @Test func wrongCountsAreRefused() throws {
        for (type, order) in [(MarshalType.nearestDelta, 1), (.nearestDelta2, 2)] {
            let values = (0..<100).map { Int64($0 * $0 * 37 % 1009) }
            let bytes = varints(values, order: order)
            #expect(try decode(type, values[0], 100, bytes) == values)
            #expect(throws: DecodeError.truncated) { try decode(type, values[0], 101, bytes) }
            #expect(throws: DecodeError.trailingBytes) { try decode(type, values[0], 99, bytes) }
            let zstd: MarshalType = order == 1 ? .zstdNearestDelta : .zstdNearestDelta2
            #expect(throws: DecodeError.truncated) { try decode(zstd, 0, 2, []) }
            #expect(throws: DecodeError.badFrame) { try decode(zstd, 0, 2, [1, 2, 3]) }
        }
        #expect(try decode(.zstdNearestDelta, 7, 1, []) == [7])
        #expect(throws: DecodeError.inconsistent) { try decode(.nearestDelta2, 7, 1, []) }
    }

    @Test(arguments: TestSeeds.thisRun)
    func bothFormsOfAddingUpAgree(seed: UInt64) {
        var random = SplitMixBytes(seed: seed)
        for round in 0..<2000 {
            let sparse = random.next() % 4
            var bytes = (0..<72).map { _ -> UInt8 in
                let byte = UInt8(random.next() & 255)
                return random.next() % 4 < sparse ? byte | 0x80 : byte
            }
            if random.next() % 8 == 0 { for index in 0..<Int(random.next() % 14) { bytes[index] |= 0x80 } }
            let order = Int32(round % 2 + 1)
            var first = [Int64](repeating: 0, count: 64)
            var second = first
            var firstSums = [Int64(bitPattern: random.next()), Int64(bitPattern: random.next())]
            var secondSums = firstSums
            var (sum, delta) = (firstSums[0], firstSums[1])
            let a = ci_sum_varints(bytes, &first, order, &firstSums)
            let b = ci_sum_varints_portable(bytes, &second, order, &secondSums)
            #expect(a.values == b.values && a.bytes == b.bytes && first == second && firstSums == secondSums)
            var expected: [Int64] = []
            bytes.withUnsafeBytes { bytes in
                var cursor = ByteCursor(UnsafeRawBufferPointer(rebasing: bytes[..<64]))
                while let value = try? cursor.readSignedVarint() {
                    if order == 2 { delta &+= value }
                    sum &+= order == 2 ? delta : value
                    expected.append(sum)
                }
                #expect(64 - cursor.remaining == Int(a.bytes))
            }
            #expect(Array(first.prefix(Int(a.values))) == expected && firstSums == [sum, delta])
        }
    }
}
