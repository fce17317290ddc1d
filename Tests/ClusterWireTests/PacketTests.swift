// PacketTests.swift - packets and rows: every small cutting, random ones against a plain model, sizes at the limits.

import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import ClusterWire

@Suite struct PacketTests {
    private func payload(_ rows: [WireScript.Row]) -> [UInt8] {
        var bytes = RawBuffer()
        for row in rows {
            row.name.withUnsafeBytes { bytes.appendPrefixed($0) }
            bytes.appendBigEndian(UInt64(bitPattern: row.timestamp))
            bytes.appendBigEndian(row.bits)
        }
        return bytes.array()
    }

    private func rows(_ random: inout SplitMix64, count: Int, nameMax: Int) -> [WireScript.Row] {
        (0..<count).map { _ in
            WireScript.Row(
                name: (0..<random.below(nameMax + 1)).map { _ in UInt8(random.below(256)) },
                timestamp: Int64(bitPattern: random.next()), bits: random.next())
        }
    }

    @Test func everyCuttingOfASmallPayload() throws {
        let expected = [
            WireScript.Row(name: Array(0..<11), timestamp: -1, bits: 7),
            WireScript.Row(name: [], timestamp: 5, bits: .max),
            WireScript.Row(name: Array(repeating: 3, count: 130), timestamp: .min, bits: 0),
        ]
        let bytes = payload(expected)
        for chunk in 1...bytes.count {
            for batch in 1...4 {
                #expect(try WireScript.rows(bytes, chunkBytes: chunk, batch: batch) == expected)
            }
        }
        // Cut anywhere but behind a row, it is broken.
        let ends = Set([0, 28, 45, bytes.count])
        for end in 0...bytes.count {
            let cut = Array(bytes[..<end])
            for chunk in [nil, 3, 16] {
                if ends.contains(end) {
                    #expect(
                        try WireScript.rows(cut, chunkBytes: chunk).count
                            == [0, 28, 45, bytes.count].firstIndex(of: end))
                } else {
                    #expect(throws: DecodeError.self) { try WireScript.rows(cut, chunkBytes: chunk) }
                }
            }
        }
    }

    @Test(arguments: TestSeeds.thisRun) func randomPacketsThroughBothStreams(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for isCompressed in [false, true] {
            var encoder = StreamEncoder(isCompressed: isCompressed)
            var writer = PacketWriter()
            var wire = RawBuffer()
            var expected: [[WireScript.Row]] = []
            for _ in 0..<12 {
                let count = random.below(5) == 0 ? random.below(8000) : random.below(20)
                let batch = rows(&random, count: count, nameMax: random.below(4) == 0 ? 40_000 / max(count, 1) : 200)
                for row in batch {
                    row.name.withUnsafeBytes {
                        writer.add(name: $0, timestampMs: row.timestamp, value: Double(bitPattern: row.bits))
                    }
                }
                expected.append(batch)
                writer.send(through: &encoder, to: &wire)
            }
            var reader = PacketReader(StreamDecoder(isCompressed: isCompressed))
            var packets: [[UInt8]] = []
            let bytes = wire.array()
            var place = 0
            while place < bytes.count {
                let end = min(bytes.count, place + 1 + random.below(100_000))
                try bytes[place..<end].withUnsafeBytes {
                    var cursor = ByteCursor($0)
                    packets += try WireScript.packets(&reader, &cursor, workBytesMax: 1 + random.below(50_000))
                }
                place = end
            }
            let isBetween = reader.isBetweenPackets
            #expect(isBetween)
            try #require(packets.count == expected.count)
            for (packet, batch) in zip(packets, expected) {
                let payload = Array(packet.dropFirst(8))
                try #require(WireScript.rows(payload) == batch)
                try #require(WireScript.rows(payload, chunkBytes: 1 + random.below(500), batch: 50) == batch)
            }
        }
    }

    @Test func sizesAtTheLimit() throws {
        func size(_ value: UInt64) throws -> PacketReader.Progress {
            var reader = PacketReader(StreamDecoder(isCompressed: false))
            var bytes = RawBuffer()
            bytes.appendBigEndian(value)
            var cursor = ByteCursor(bytes.bytes)
            return try reader.advance(&cursor)
        }
        guard case .needsInput = try size(104_857_600) else {
            Issue.record("memory for bytes that have not come")
            return
        }
        guard case .packet(let empty) = try size(0) else {
            Issue.record("an empty packet is complete")
            return
        }
        #expect(empty.count == 0)
        for value in [104_857_601, UInt64(Int64.max), .max] {
            #expect(throws: WireError.self) { _ = try size(value) }
        }
    }

    @Test func memoryFollowsTheBytesThatHaveCome() throws {
        var reader = PacketReader(StreamDecoder(isCompressed: false))
        var bytes = RawBuffer()
        bytes.appendBigEndian(UInt64(50 << 20))
        bytes.append([UInt8](repeating: 1, count: 300_000))
        var cursor = ByteCursor(bytes.bytes)
        var granted = 0
        loop: while true {
            switch try reader.advance(&cursor) {
            case .needsMemory(let wanted):
                granted += wanted
                reader.grantMemory(wanted)
            case .needsInput: break loop
            case .hasWorked: break
            case .packet: Issue.record("the packet is not complete")
            }
        }
        let (memory, begun, isBetween) = (reader.packetMemoryBytes, reader.begun, reader.isBetweenPackets)
        #expect(memory == granted)
        #expect(granted < 300_000 + ChunkPool.Size.large.bytes)
        #expect(begun == (50 << 20, 300_000))
        #expect(!isBetween)
    }

    @Test func rowsThatNobodyCanStoreArePassedOver() throws {
        let long = WireScript.Row(
            name: Array(repeating: 1, count: WireLimits.rowNameBytesMax + 1), timestamp: 1, bits: 1)
        let short = WireScript.Row(name: [1, 2, 3], timestamp: 2, bits: 2)
        let packet = payload([short, long, short]).withUnsafeBytes { Packet(copying: $0) }
        var decoder = RowDecoder(packet)
        let rows = UnsafeMutablePointer<Int64>.allocate(capacity: 10)
        defer { rows.deallocate() }
        let count = try decoder.next(into: rows, rowsMax: 10) { _, timestamp, _ in timestamp }
        #expect(Array(UnsafeBufferPointer(start: rows, count: count)) == [2, 2])
        let (tooLong, remaining) = (decoder.tooLongRows, decoder.remaining)
        #expect(tooLong == 1)
        #expect(remaining == 0)
    }
}
