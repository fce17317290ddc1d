// ZstdTests.swift - blobs of the reference and of the project's own writer, broken blobs, and limits.

import Dispatch
import StorageBytes
import TestSupport
import Testing

@Suite struct ZstdTests {
    private let golden: JSON
    /// More than any golden payload.
    private let generous = 1 << 20

    init() throws { golden = try Golden.json("mergeset/zstd.json") }

    /// The payload of a blob, decompressed behind bytes that are already in the target and must stay.
    private func decompress(_ blob: [UInt8], limitBytes: Int) throws(DecodeError) -> [UInt8] {
        let before: [UInt8] = [0xDE, 0xAD]
        var target = RawBuffer()
        target.append(before)
        let result: Result<Int, DecodeError> = blob.withUnsafeBytes { bytes in
            do throws(DecodeError) {
                return .success(try Zstd.decompress(bytes, into: &target, limitBytes: limitBytes))
            } catch { return .failure(error) }
        }
        let contents = target.array()
        #expect(Array(contents.prefix(2)) == before)
        if case .failure = result {
            #expect(contents == before, "a failed call leaves what was there, and nothing else")
        }
        let count = try result.get()
        #expect(contents.count == 2 + count)
        return Array(contents.dropFirst(2))
    }

    private func compress(_ payload: [UInt8], level: Int) -> [UInt8] {
        var target = RawBuffer()
        let written = payload.withUnsafeBytes { Zstd.compress($0, level: level, into: &target) }
        let blob = target.array()
        #expect(written == blob.count)
        return blob
    }

    private func payload(_ entry: JSON) throws -> [UInt8] {
        let repeated = entry["payload_repeat"]
        guard repeated.isPresent else { return try entry["payload"].bytes }
        return [UInt8](repeating: try repeated["byte"].bytes[0], count: try repeated["count"].int)
    }

    @Test func blobsOfTheReference() throws {
        for entry in try golden["compress"].array {
            let payload = try payload(entry)
            let decoded = try decompress(try entry["compressed"].bytes, limitBytes: payload.count)
            #expect(decoded == payload, "\(entry.path)")
        }
    }

    @Test func acceptedBlobs() throws {
        for entry in try golden["accept"].array {
            let payload = try payload(entry)
            do {
                let decoded = try decompress(try entry["blob"].bytes, limitBytes: generous)
                #expect(decoded == payload, "\(entry.path)")
            } catch let error as DecodeError {
                #expect(try entry["optional"].bool, "\(entry.path): \(error)")
            }
        }
    }

    @Test func rejectedBlobs() throws {
        let entries = try golden["reject"].array
        #expect(!entries.isEmpty)
        for entry in entries {
            let blob = try entry["blob"].bytes
            #expect(throws: DecodeError.self, "\(entry.path)") { try decompress(blob, limitBytes: generous) }
        }
    }

    @Test func ownBlobsHaveTheFrameTheFormatAsksFor() throws {
        for level in [-5, Zstd.lightLevel, 1, 3, 5] {
            #expect(compress([], level: level).isEmpty)
            for entry in try golden["compress"].array {
                let payload = try payload(entry)
                let blob = compress(payload, level: level)
                #expect(try decompress(blob, limitBytes: payload.count) == payload)
                guard !payload.isEmpty else { continue }
                #expect(Array(blob.prefix(4)) == [0x28, 0xB5, 0x2F, 0xFD])
                let descriptor = blob[4]
                #expect(descriptor >> 6 != 0 || descriptor & 0x20 != 0, "content size is in the header")
                #expect(descriptor & 0x04 == 0, "no checksum")
                #expect(descriptor & 0x03 == 0, "no dictionary")
            }
        }
    }

    @Test func limitIsExact() throws {
        let payload = SplitMixBytes.first(5000, seed: 1)
        let blob = compress(payload, level: 1)
        #expect(try decompress(blob, limitBytes: 5000) == payload)
        #expect(throws: DecodeError.outOfRange) { try decompress(blob, limitBytes: 4999) }
        #expect(throws: DecodeError.outOfRange) { try decompress(blob, limitBytes: 0) }
        #expect(try decompress([], limitBytes: 0).isEmpty)
    }

    @Test func limitHoldsForFramesWithoutSize() throws {
        let entries = try golden["accept"].array.filter { try $0["description"].string.contains("no content size") }
        #expect(entries.count == 2)
        for entry in entries {
            let blob = try entry["blob"].bytes
            let payload = try payload(entry)
            #expect(try decompress(blob, limitBytes: payload.count) == payload)
            #expect(throws: DecodeError.outOfRange) { try decompress(blob, limitBytes: payload.count - 1) }
            for count in 1..<blob.count {
                #expect(throws: DecodeError.self, "\(count) bytes") {
                    try decompress(Array(blob.prefix(count)), limitBytes: generous)
                }
            }
        }
    }

    /// A header that announces 2^63 bytes must not lead to an allocation.
    @Test func hugeAnnouncementsAreRefused() {
        let header: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0xE0]
        for size in [UInt64(1) << 63, UInt64.max - 2, UInt64(generous) + 1] {
            let blob = header + withUnsafeBytes(of: size.littleEndian) { [UInt8]($0) } + [1, 0, 0]
            #expect(throws: DecodeError.outOfRange) { try decompress(blob, limitBytes: generous) }
        }
    }

    @Test(arguments: TestSeeds.thisRun) func mutatedBlobsNeverPassTheLimit(seed: UInt64) throws {
        var stream = SplitMixBytes(seed: seed)
        let blobs = try golden["compress"].array.map { try $0["compressed"].bytes }.filter { !$0.isEmpty }
        for _ in 0..<2000 {
            var blob = blobs[Int(stream.next() % UInt64(blobs.count))]
            for _ in 0...(stream.next() % 3) {
                blob[Int(stream.next() % UInt64(blob.count))] = UInt8(truncatingIfNeeded: stream.next())
            }
            if stream.next() % 4 == 0 { blob.removeLast(Int(stream.next() % UInt64(blob.count))) }
            if let payload = try? decompress(blob, limitBytes: 70_000) { #expect(payload.count <= 70_000) }
        }
    }

    /// Contexts belong to threads: many threads at once give what one gives.
    @Test func concurrentCallsDoNotDisturbEachOther() {
        let payloads = (0..<64).map { seed in
            (0..<40).flatMap { _ in SplitMixBytes.first(50, seed: UInt64(seed)) }
        }
        let expected = payloads.map { compress($0, level: 3) }
        DispatchQueue.concurrentPerform(iterations: 64) { index in
            for _ in 0..<20 {
                var blob = RawBuffer()
                var payload = RawBuffer()
                payloads[index].withUnsafeBytes { _ = Zstd.compress($0, level: 3, into: &blob) }
                let count = try? Zstd.decompress(blob.bytes, into: &payload, limitBytes: 4000)
                if blob.array() != expected[index] || payload.array() != payloads[index] || count != 2000 {
                    Issue.record("payload \(index)")
                }
            }
        }
    }

    @Test func countersCountCallsAndBytes() throws {
        let before = Zstd.counters
        let payload = SplitMixBytes.first(1000, seed: 3)
        let blob = compress(payload, level: 1)
        _ = try decompress(blob, limitBytes: 1000)
        let after = Zstd.counters  // other tests may run at the same time and add to them
        #expect(after.compressCalls >= before.compressCalls + 1)
        #expect(after.decompressCalls >= before.decompressCalls + 1)
        #expect(after.originalBytes >= before.originalBytes + 1000)
        #expect(after.compressedBytes >= before.compressedBytes + UInt64(blob.count))
    }
}
