// RawBufferTests.swift - the growing buffer against an array that does the same.

import StorageBytes
import TestSupport
import Testing

@Suite struct RawBufferTests {
    @Test(arguments: TestSeeds.thisRun) func growsLikeAnArray(seed: UInt64) {
        var stream = SplitMixBytes(seed: seed)
        var buffer = RawBuffer(capacity: Int(stream.next() % 100))
        var model = [UInt8]()
        for _ in 0..<2000 {
            switch stream.next() % 16 {
            case 0..<6:
                let bytes = SplitMixBytes.first(Int(stream.next() % 200), seed: stream.next())
                buffer.append(bytes)
                model += bytes
            case 6..<12:
                let byte = UInt8(truncatingIfNeeded: stream.next())
                buffer.append(byte)
                model.append(byte)
            case 12:
                let extra = Int(stream.next() % 500)
                buffer.reserve(extra)
                #expect(buffer.capacity >= buffer.count + extra)
            case 13:
                let value = UInt32(truncatingIfNeeded: stream.next())
                buffer.appendBigEndian(value)
                model += withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) }
            case 14:
                let count = Int(stream.next() % UInt64(model.count + 1))
                buffer.truncate(to: count)
                model.removeLast(model.count - count)
            default:
                if stream.next() % 50 == 0 {
                    let capacity = buffer.capacity
                    buffer.removeAll()
                    model.removeAll()
                    #expect(buffer.capacity == capacity, "removeAll keeps the memory")
                }
            }
            #expect(buffer.count == model.count && buffer.capacity >= buffer.count)
        }
        #expect(buffer.array() == model)
        #expect(buffer.end == buffer.base + model.count)
        #expect(RawBuffer(copying: buffer.bytes).array() == model)
    }

    @Test func growthIsAmortised() {
        var buffer = RawBuffer()
        var moves = 0
        var base = buffer.base
        for index in 0..<1_000_000 {
            buffer.append(UInt8(truncatingIfNeeded: index))
            if buffer.base != base {
                moves += 1
                base = buffer.base
            }
        }
        #expect(moves <= 15)
        #expect(buffer.count == 1_000_000)
        #expect(buffer.bytes[999_999] == UInt8(truncatingIfNeeded: 999_999))
    }

    @Test func slackBehindTheCapacityIsWritable() {
        let buffer = RawBuffer(capacity: 5)
        (buffer.base + buffer.capacity).initializeMemory(as: UInt8.self, repeating: 1, count: RawBuffer.slack)
        let count = buffer.count
        #expect(count == 0)
    }

    @Test func emptyBuffersAreFine() {
        var buffer = RawBuffer()
        buffer.append(UnsafeRawBufferPointer(start: nil, count: 0))
        buffer.append([])
        buffer.truncate(to: 0)
        #expect(buffer.array().isEmpty)
        #expect(RawBuffer(copying: UnsafeRawBufferPointer(start: nil, count: 0)).count == 0)
    }

    @Test func truncateBehindTheEndStops() async {
        await #expect(processExitsWith: .failure) {
            var buffer = RawBuffer(capacity: 10)
            buffer.truncate(to: 1)
        }
    }
}
