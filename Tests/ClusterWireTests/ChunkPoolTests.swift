// ChunkPoolTests.swift - the memory of packets: kept for the next one, within a limit, and given back when it is not needed.

import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import ClusterWire

@Suite struct ChunkPoolTests {
    @Test func theSmallestChunkThatFits() {
        for (count, size) in [
            (0, ChunkPool.Size.small), (16_352, .small), (16_353, .middle), (65_504, .middle), (65_505, .large),
            (262_112, .large), (1 << 30, .large),
        ] { #expect(ChunkPool.Size.fitting(count) == size, "\(count)") }
        #expect(ChunkPool.Size.allCases.map(\.bytes) == [16 << 10, 64 << 10, 256 << 10])
    }

    @Test(arguments: TestSeeds.thisRun) func takenChunksAreApartAndFreeOnesAreBounded(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let limit = 1 << 20
        let pool = ChunkPool(freeBytesMax: limit)
        var taken: [(memory: UnsafeMutableRawPointer, size: ChunkPool.Size, mark: UInt64)] = []
        for step in 0..<2000 {
            if random.below(2) == 0, taken.count < 40 {
                let size = ChunkPool.Size.allCases[random.below(3)]
                let memory = pool.take(size)
                let mark = random.next()
                // The first and the last word, slack included.
                memory.storeBytes(of: mark, as: UInt64.self)
                memory.storeBytes(of: mark, toByteOffset: size.bytes - 8, as: UInt64.self)
                taken.append((memory, size, mark))
            } else if !taken.isEmpty {
                let chunk = taken.remove(at: random.below(taken.count))
                #expect(chunk.memory.load(as: UInt64.self) == chunk.mark)
                #expect(chunk.memory.load(fromByteOffset: chunk.size.bytes - 8, as: UInt64.self) == chunk.mark)
                pool.give(chunk.memory, chunk.size)
            }
            if random.below(100) == 0 { pool.trim() }
            let free = pool.freeBytes
            #expect(free >= 0 && free <= limit, "step \(step)")
        }
        for chunk in taken { pool.give(chunk.memory, chunk.size) }
        // What was not needed between two calls goes; what was, stays.
        pool.trim()
        pool.trim()
        #expect(pool.freeBytes == 0)
    }

    @Test func trimKeepsWhatWasNeeded() {
        let pool = ChunkPool()
        let chunks = (0..<4).map { _ in pool.take(.middle) }
        for chunk in chunks { pool.give(chunk, .middle) }
        pool.trim()  // begins to watch
        // Two at a time are in use again and again.
        for _ in 0..<3 {
            let pair = (pool.take(.middle), pool.take(.middle))
            pool.give(pair.0, .middle)
            pool.give(pair.1, .middle)
        }
        pool.trim()
        #expect(pool.freeBytes == 2 * ChunkPool.Size.middle.bytes)
        pool.trim()
        #expect(pool.freeBytes == 0)
    }

    @Test func packetsTakeTheirChunksFromThePoolAndGiveThemBack() throws {
        let pool = ChunkPool()
        for count in [1, 16_352, 16_353, 81_856, 81_857, 344_000, 1_000_000] {
            var reader = PacketReader(StreamDecoder(isCompressed: false), pool: pool)
            var wire = RawBuffer()
            wire.appendBigEndian(UInt64(count))
            let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            wire.append(payload)
            var cursor = ByteCursor(wire.bytes)
            var granted = 0
            var packet: Packet?
            while packet == nil {
                switch try reader.advance(&cursor) {
                case .needsMemory(let bytes):
                    granted += bytes
                    reader.grantMemory(bytes)
                case .packet(let complete): packet = complete
                case .needsInput:
                    Issue.record("\(count) bytes are all there")
                    return
                case .hasWorked: break
                }
            }
            #expect(packet?.payload() == payload)
            #expect(packet?.memoryBytes == granted)
            #expect(granted >= count && granted <= count + ChunkPool.Size.large.bytes)
        }
        // The last packet had one small chunk, a middle one and four large ones; the third one had two small ones.
        #expect(pool.freeBytes == (2 * 16 + 64 + 4 * 256) << 10)
    }
}
