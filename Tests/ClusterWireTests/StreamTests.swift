// StreamTests.swift - the compressed direction: any cutting, several frames, windows, broken bytes; memory is asked for.

import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import ClusterWire

@Suite struct StreamTests {
    /// Messages of random lengths, some of them compressible, some empty.
    private func messages(_ random: inout SplitMix64, count: Int) -> [[UInt8]] {
        (0..<count).map { _ in
            let length = random.below(4) == 0 ? random.below(300_000) : random.below(200)
            let isRepetitive = random.below(2) == 0
            return (0..<length).map { UInt8(truncatingIfNeeded: isRepetitive ? UInt64($0 % 31) : random.next()) }
        }
    }

    private func encode(_ messages: [[UInt8]], isCompressed: Bool, windowLog: Int = 19) -> [[UInt8]] {
        var encoder = StreamEncoder(isCompressed: isCompressed, windowLog: windowLog)
        return messages.map { message in
            var output = RawBuffer()
            message.withUnsafeBytes { encoder.append($0, to: &output) }
            encoder.flush(to: &output)
            return output.array()
        }
    }

    @Test(arguments: TestSeeds.thisRun) func randomMessagesComeOutAfterEachFlush(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for isCompressed in [false, true] {
            let sent = messages(&random, count: 30)
            var decoder = StreamDecoder(isCompressed: isCompressed)
            for (message, wire) in zip(sent, encode(sent, isCompressed: isCompressed)) {
                var received: [UInt8] = []
                var place = 0
                // Input in random pieces, output into random targets; after the last piece everything must be there.
                while place < wire.count {
                    let piece = wire[place..<min(wire.count, place + 1 + random.below(70_000))]
                    place = piece.endIndex
                    try piece.withUnsafeBytes { bytes in
                        var cursor = ByteCursor(bytes)
                        var isMore = true
                        while isMore {
                            var target = [UInt8](repeating: 0, count: 1 + random.below(100_000))
                            let room = target.count
                            let count = try target.withUnsafeMutableBytes { try decoder.read(&cursor, into: $0) }
                            received += target[..<count]
                            isMore = count == room || decoder.memoryWantedBytes > 0
                            if decoder.memoryWantedBytes > 0 { decoder.grantMemory() }
                        }
                        #expect(cursor.remaining == 0)
                    }
                }
                try #require(received == message)
            }
            let (used, granted) = (decoder.contextBytes, decoder.memoryBytes)
            #expect(used <= granted)
        }
    }

    @Test func nothingIsAllocatedBeforeItIsGranted() throws {
        for windowLog in [10, 19, 22, 23] {
            let wire = encode([[UInt8](repeating: 7, count: 400_000)], isCompressed: true, windowLog: windowLog)[0]
            var decoder = StreamDecoder(isCompressed: true)
            let before = decoder.contextBytes
            var target = [UInt8](repeating: 0, count: 500_000)
            try wire.withUnsafeBytes { bytes in
                var cursor = ByteCursor(bytes)
                for _ in 0..<3 {
                    let count = try target.withUnsafeMutableBytes { try decoder.read(&cursor, into: $0) }
                    #expect(count == 0)
                    let (wanted, used) = (decoder.memoryWantedBytes, decoder.contextBytes)
                    #expect(wanted == 1 << windowLog + StreamDecoder.contextBytes)
                    #expect(used == before)
                }
                decoder.grantMemory()
                let count = try target.withUnsafeMutableBytes { try decoder.read(&cursor, into: $0) }
                #expect(count == 400_000)
            }
            let (used, granted) = (decoder.contextBytes, decoder.memoryBytes)
            #expect(used <= granted, "window 2^\(windowLog)")
        }
    }

    @Test func windowsAboveTheLimitAreRefused() {
        let wire = encode([[1, 2, 3]], isCompressed: true, windowLog: 24)[0]
        #expect(throws: WireError.self) { try decodeAll(wire) }
        // A single segment of 2^40 bytes.
        let single: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0xE0, 0, 0, 0, 0, 0, 1, 0, 0]
        #expect(throws: WireError.self) { try decodeAll(single) }
    }

    @Test func framesFollowEachOtherAndSkippableOnesAreSkipped() throws {
        var blob = RawBuffer()
        let text = Array("first frame, first frame, first frame".utf8)
        text.withUnsafeBytes { _ = Zstd.compress($0, level: 1, into: &blob) }
        let skippable: [UInt8] = [0x5A, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 9, 9, 9]
        let wire = skippable + blob.array() + skippable + blob.array()
        #expect(try decodeAll(wire) == text + text)
        #expect(try decodeAll(wire, piece: 1) == text + text)
    }

    @Test(arguments: TestSeeds.thisRun) func brokenStreamsEndInAnErrorOrInBytes(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var refused = 0
        for _ in 0..<80 {
            var wire = encode(messages(&random, count: 2), isCompressed: true).flatMap { $0 }
            for _ in 0...random.below(3) { wire[random.below(min(wire.count, 400))] = UInt8(random.below(256)) }
            do { _ = try decodeAll(wire) } catch { refused += 1 }
        }
        #expect(refused > 10)
    }

    /// At most 64 MiB of what comes out.
    private func decodeAll(_ wire: [UInt8], piece: Int = .max) throws -> [UInt8] {
        var decoder = StreamDecoder(isCompressed: true)
        var received: [UInt8] = []
        var target = [UInt8](repeating: 0, count: 100_000)
        var place = 0
        while place < wire.count {
            let end = place + min(piece, wire.count - place)
            try wire[place..<end].withUnsafeBytes { bytes in
                var cursor = ByteCursor(bytes)
                while received.count < 64 << 20 {
                    let count = try target.withUnsafeMutableBytes { try decoder.read(&cursor, into: $0) }
                    received += target[..<count]
                    if decoder.memoryWantedBytes > 0 {
                        decoder.grantMemory()
                    } else if count < target.count {
                        break
                    }
                }
            }
            place = end
        }
        return received
    }
}
