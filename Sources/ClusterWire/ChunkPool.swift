// ChunkPool.swift - the memory in which packets are gathered.
//
//   three sizes     16 KiB | 64 KiB | 256 KiB, each with 32 bytes of slack inside its last bytes
//   free chunks     a stack for each size, all together at most `freeBytesMax`; what is above goes back to the kernel
//
// Chunks are mapped by themselves. They are filled on one thread and freed on another, hundreds of MiB of them come and go,
// and an allocator keeps for every thread what it may want again: that would be memory outside of every budget. What a
// budget counts for a chunk is exactly what the chunk takes.
//
// `trim` gives back what was not needed since the last call, so an idle process holds nothing.
//
// Contract: a chunk belongs to the taker until it is given back. Threads: any.

import Glibc
import StorageBytes
import StorageRuntime

/// Chunks of memory for packets.
public final class ChunkPool: @unchecked Sendable {
    /// Bytes of a chunk, slack included.
    enum Size: Int, CaseIterable {
        case small, middle, large

        var bytes: Int { 16_384 << (2 * rawValue) }
        /// Bytes that may be used.
        var capacity: Int { bytes - RawBuffer.slack }

        /// The smallest one with room for `count` bytes, or the largest.
        static func fitting(_ count: Int) -> Size {
            count <= Size.small.capacity ? .small : count <= Size.middle.capacity ? .middle : .large
        }
    }

    private struct Stack {
        var free: [UnsafeMutableRawPointer] = []
        /// The fewest that were free since the last trim: so many were not needed.
        var leastFree = 0
    }

    private let lock = Lock()
    private var stacks = Size.allCases.map { _ in Stack() }  // guarded by `lock`, as the next one
    private var heldBytes = 0
    private let freeBytesMax: Int

    /// A pool without chunks, which keeps up to `freeBytesMax` bytes of free ones.
    public init(freeBytesMax: Int = 16 << 20) { self.freeBytesMax = freeBytesMax }

    deinit {
        for size in Size.allCases { for chunk in stacks[size.rawValue].free { munmap(chunk, size.bytes) } }
    }

    /// Bytes of chunks that are free and kept.
    public var freeBytes: Int { lock.withLock { heldBytes } }

    func take(_ size: Size) -> UnsafeMutableRawPointer {
        let kept: UnsafeMutableRawPointer? = lock.withLock {
            let place = size.rawValue
            guard let chunk = stacks[place].free.popLast() else { return nil }
            stacks[place].leastFree = min(stacks[place].leastFree, stacks[place].free.count)
            heldBytes -= size.bytes
            return chunk
        }
        if let kept { return kept }
        // The bytes that are waiting for it will fill most of a large chunk; the others may be filled slowly.
        let populate = size == .large ? MAP_POPULATE : 0
        let chunk = mmap(nil, size.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | populate, -1, 0)
        guard let chunk, chunk != MAP_FAILED else { fatalError("mmap: no memory for a packet, errno \(errno)") }
        return chunk
    }

    func give(_ chunk: UnsafeMutableRawPointer, _ size: Size) {
        let isKept = lock.withLock {
            guard heldBytes + size.bytes <= freeBytesMax else { return false }
            stacks[size.rawValue].free.append(chunk)
            heldBytes += size.bytes
            return true
        }
        if !isKept { munmap(chunk, size.bytes) }
    }

    /// Gives the kernel back what was not needed since the last call.
    public func trim() {
        for size in Size.allCases {
            let idle: [UnsafeMutableRawPointer] = lock.withLock {
                let place = size.rawValue
                let count = stacks[place].leastFree
                // The bottom of the stack: the top is warm.
                let idle = Array(stacks[place].free.prefix(count))
                stacks[place].free.removeFirst(count)
                heldBytes -= count * size.bytes
                stacks[place].leastFree = stacks[place].free.count
                return idle
            }
            for chunk in idle { munmap(chunk, size.bytes) }
        }
    }
}
