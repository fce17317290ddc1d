// DecimalTests.swift - floats and decimals against golden data, and rules that hold for all values.

import TestSupport
import Testing

@testable import SampleStore

private func bits(_ json: JSON) throws -> UInt64 {
    guard let value = UInt64(try json.string, radix: 16) else { throw TestSupportError("\(json.path): not bits") }
    return value
}

private func toIntegers(_ floats: [UInt64]) -> (values: [Int64], exponent: Int16) {
    var values = floats.map { Int64(bitPattern: $0) }
    var exponents = [Int16](repeating: 0, count: floats.count)
    let exponent = values.withUnsafeMutableBufferPointer { values -> Int16 in
        guard let base = values.baseAddress else { return 0 }
        return DecimalCoding.integers(base, values.count, into: base, exponents: &exponents)
    }
    return (values, exponent)
}

private func toFloats(_ values: [Int64], _ exponent: Int16) -> [UInt64] {
    var floats = [UInt64](repeating: 0, count: values.count)
    DecimalCoding.floats(values, values.count, exponent: exponent, into: &floats)
    return floats
}

@Suite struct DecimalTests {
    @Test func powersOfTen() throws {
        let rows = try Golden.json("samples/decimal-pow10.json")["rows"].array
        #expect(rows.count > 600)
        for row in rows {
            let exponent = try row[0].int
            #expect(try PowersOfTen.double(exponent).bitPattern == bits(row[1]), "10^\(exponent)")
        }
    }

    @Test func singleValues() throws {
        let rows = try Golden.json("samples/decimal-scalar.json")["rows"].array
        #expect(rows.count > 2000)
        for row in rows {
            let input = try bits(row[0])
            let (value, exponent) = DecimalCoding.decimal(bits: input)
            #expect(try value == row[1].int64 && Int(exponent) == row[2].int, "\(row)")
            #expect(try toFloats([value], exponent) == [bits(row[3])], "\(row)")
        }
    }

    @Test func howOftenAValueCanBeMultiplied() throws {
        for row in try Golden.json("samples/decimal-max-up.json")["rows"].array {
            #expect(try Int(DecimalCoding.multiplicationsMax(row[0].int64)) == row[1].int, "\(row)")
        }
    }

    @Test func multiplicationsMatchTheirDefinition() {
        var candidates: [Int64] = []
        for shift in 0..<63 { for delta in [-1, 0, 1] as [Int64] { candidates.append((1 << shift) + delta) } }
        var power: Int64 = 1
        for _ in 0..<18 {
            power *= 10
            for delta in -1...1 { candidates += [power + Int64(delta), Int64.max / power + Int64(delta)] }
        }
        for value in candidates + candidates.map({ -$0 }) where value != 0 && !DecimalCoding.isSpecial(value) {
            var count = 0
            var limit = UInt64(Int64.max)
            while count < 18, value.magnitude <= limit / 10 {
                limit /= 10
                count += 1
            }
            #expect(Int(DecimalCoding.multiplicationsMax(value)) == count, "\(value)")
        }
    }

    @Test func blocks() throws {
        for vector in try Golden.json("samples/decimal-block.json")["vectors"].array {
            let name = try vector["description"].string
            let input = try vector["in"].array.map(bits)
            let (values, exponent) = toIntegers(input)
            #expect(try values == vector["v"].array.map { try $0.int64 }, "\(name)")
            #expect(try Int(exponent) == vector["e"].int, "\(name)")
            #expect(try toFloats(values, exponent) == vector["out"].array.map(bits))
        }
    }

    @Test func decoding() throws {
        for vector in try Golden.json("samples/decimal-to-float.json")["vectors"].array {
            let name = try vector["description"].string
            let values = try vector["v"].array.map { try $0.int64 }
            let floats = toFloats(values, Int16(try vector["e"].int))
            for (found, expected) in zip(floats, try vector["out"].array.map(bits)) {
                // The sign of the NaN of 0 * Inf is the processor's.
                let bothNaN = Double(bitPattern: found).isNaN && Double(bitPattern: expected).isNaN
                let isStale = expected == DecimalCoding.staleMarkerBits
                #expect(found == expected || (bothNaN && !isStale), "\(name)")
            }
        }
    }

    @Test func calibration() throws {
        for vector in try Golden.json("samples/decimal-calibrate.json")["vectors"].array {
            let name = try vector["description"].string
            var a = try vector["a"].array.map { try $0.int64 }
            var b = try vector["b"].array.map { try $0.int64 }
            let exponent = DecimalCoding.calibrate(
                &a, a.count, Int16(try vector["ae"].int), &b, b.count, Int16(try vector["be"].int))
            #expect(try a == vector["a_out"].array.map { try $0.int64 }, "\(name)")
            #expect(try b == vector["b_out"].array.map { try $0.int64 }, "\(name)")
            #expect(try Int(exponent) == vector["e"].int, "\(name)")
        }
    }

    /// The short way for whole numbers gives what the general rules give.
    @Test(arguments: TestSeeds.thisRun)
    func wholeNumbersTakeTheGeneralRules(seed: UInt64) {
        var random = SplitMixBytes(seed: seed)
        for _ in 0..<300 {
            let count = Int(random.next() % 6) + 1
            let width = random.next() % 56
            let floats = (0..<count).map { _ -> UInt64 in
                let magnitude = Double(random.next() & ((1 << width) - 1))
                let value = random.next() % 3 == 0 ? magnitude * 10 : magnitude
                return (random.next() % 2 == 0 ? value : -value).bitPattern
            }
            let (values, exponent) = toIntegers(floats)
            let (expected, expectedExponent) = general(floats)
            #expect(values == expected && exponent == expectedExponent, "\(floats)")
        }
    }

    /// 2.5 in plain words.
    private func general(_ floats: [UInt64]) -> ([Int64], Int16) {
        let pairs = floats.map { DecimalCoding.decimal(bits: $0) }
        var smallest = Int16.max
        for (value, exponent) in pairs where !DecimalCoding.isSpecial(value) { smallest = min(smallest, exponent) }
        var down: Int16 = 0
        for (value, exponent) in pairs {
            down = max(down, (exponent &- smallest) &- DecimalCoding.multiplicationsMax(value))
        }
        let common = smallest &+ down
        let values = pairs.map { (value, exponent) -> Int64 in
            if DecimalCoding.isSpecial(value) { return value }
            var result = value
            var left = Int(exponent) - Int(common)
            while left > 0, result != 0 { (result, left) = (result * 10, left - 1) }
            while left < 0, result != 0 { (result, left) = (result / 10, left + 1) }
            return result
        }
        return (values, common)
    }

    @Test(arguments: TestSeeds.thisRun)
    func randomBlocksFollowTheGeneralRules(seed: UInt64) {
        var random = SplitMixBytes(seed: seed)
        let special: [UInt64] = [
            DecimalCoding.staleMarkerBits, Double.infinity.bitPattern, (-Double.infinity).bitPattern, 0,
            (-0.0).bitPattern, 1.0.bitPattern, Double.leastNonzeroMagnitude.bitPattern,
            Double.greatestFiniteMagnitude.bitPattern, 0x1p63.bitPattern, 0x1p64.bitPattern, 0x1p55.bitPattern,
        ]
        for _ in 0..<500 {
            let floats = (0..<Int(random.next() % 5 + 1)).map { _ -> UInt64 in
                switch random.next() % 4 {
                case 0: return special[Int(random.next() % UInt64(special.count))]
                case 1: return (Double(random.next() % 1_000_000) / 100).bitPattern
                case 2: return (Double(Int64(bitPattern: random.next())) / 1e4).bitPattern
                default:
                    let any = random.next()
                    return Double(bitPattern: any).isNaN ? 0 : any
                }
            }
            let (values, exponent) = toIntegers(floats)
            let (expected, expectedExponent) = general(floats)
            #expect(values == expected && exponent == expectedExponent, "\(floats)")
        }
    }

    /// 2.4: whole numbers below 2^55 and decimals of ten digits come back as they were.
    @Test(arguments: TestSeeds.thisRun)
    func shortDecimalsAreExact(seed: UInt64) {
        var random = SplitMixBytes(seed: seed)
        for _ in 0..<2000 {
            let whole = Double(Int64(bitPattern: random.next()) >> 9)
            let short = Double(random.next() % 10_000_000_000) / [10, 100, 1000, 1e4][Int(random.next() % 4)]
            for value in [whole, short < 1e6 ? short : 0.5] {
                let (integer, exponent) = DecimalCoding.decimal(bits: value.bitPattern)
                #expect(toFloats([integer], exponent) == [(value + 0).bitPattern], "\(value)")
            }
        }
    }
}
