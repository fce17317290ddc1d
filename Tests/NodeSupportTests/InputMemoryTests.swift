// InputMemoryTests.swift - sizes of reads: they follow the sender, and are small when memory is short.

import NIOCore
import Testing

@testable import NodeSupport

@Suite struct InputMemoryTests {
    private func size(_ allocator: InputAllocator) -> Int {
        allocator.buffer(allocator: ByteBufferAllocator()).capacity
    }

    @Test func readsFollowTheSender() {
        let memory = InputMemory(bytesMax: 1 << 20)
        var allocator = InputAllocator(memory)
        #expect(size(allocator) == 2048)
        for expected in [4096, 8192, 16_384, 32_768, 65_536, 65_536] {
            // A new buffer every time: nobody keeps it.
            let isNew = allocator.record(actualReadBytes: size(allocator))
            #expect(isNew)
            #expect(size(allocator) == expected)
        }
        _ = allocator.record(actualReadBytes: 40_000)
        #expect(size(allocator) == 65_536)
        for expected in [32_768, 16_384, 8192, 4096, 2048, 2048] {
            let isNew = allocator.record(actualReadBytes: 100)
            #expect(isNew)
            #expect(size(allocator) == expected)
        }
        #expect(allocator.nextBufferSize() == nil)
    }

    @Test func readsAreSmallWhenMemoryIsShort() {
        let memory = InputMemory(bytesMax: 100_000)
        var allocator = InputAllocator(memory)
        for _ in 0..<6 { _ = allocator.record(actualReadBytes: 65_536) }
        memory.add(99_999)
        #expect(size(allocator) == 65_536)
        memory.add(1)
        #expect(memory.isShort)
        #expect(size(allocator) == 2048)
        memory.add(-100_000)
        #expect(size(allocator) == 65_536)
        #expect(memory.bytes == 0)
        #expect(memory.bytesPeak == 100_000)
    }
}
