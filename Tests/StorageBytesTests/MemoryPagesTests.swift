// MemoryPagesTests.swift - dropping pages touches nothing but whole units inside.

import StorageBytes
import Testing

@Suite struct MemoryPagesTests {
    @Test(arguments: [
        (0, 0), (1, 1), (10, 65536), (65536, 65536), (100, 200_000), (0, 1 << 20), (5000, 900_000), (9, -5),
    ])
    func bytesOutsideStay(start: Int, count: Int) {
        let size = 1 << 20
        let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 65536)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 7, count: size)
        MemoryPages.drop(memory + start, count)
        let bytes = UnsafeRawBufferPointer(start: memory, count: size)
        let dropped = start..<(start + max(count, 0))
        for index in bytes.indices where !dropped.contains(index) { #expect(bytes[index] == 7) }
        // What was dropped can be written again.
        memory.initializeMemory(as: UInt8.self, repeating: 8, count: size)
        #expect(bytes.allSatisfy { $0 == 8 })
    }

    @Test func aBufferThatIsGivenBackIsGone() {
        var buffer = RawBuffer(capacity: 1 << 20)
        for _ in 0..<1000 { buffer.append([UInt8](repeating: 3, count: 1000)) }
        buffer.giveBack()
        RawBuffer().giveBack()
    }
}
