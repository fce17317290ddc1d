// MappedArena.swift - memory of the generator, taken from the kernel and not from the allocator.
//
//   base                                   base + count
//    | pages, zero until they are written   |
//
// What the generator holds must not count as memory of the engine: it is mapped apart, its size is known to the byte
// and the harness subtracts it (bench-harness.md, 2.1, `peak_memory_bytes`).
//
// Contract: the arena owns the mapping; pointers into it die with it. Threads: one owner at a time; read-only sharing
// is safe once it has been filled.

import Glibc
import StorageRuntime

/// An anonymous private mapping with one owner.
public struct MappedArena: ~Copyable, @unchecked Sendable {
    /// The first byte; page-aligned.
    public let base: UnsafeMutableRawPointer
    /// Bytes mapped: a multiple of the page size, at least one page.
    public let count: Int

    /// Maps at least `bytes` zero bytes.
    ///
    /// - Throws: `.io` when there is no memory for them, `.limitExceeded` for a size that cannot be.
    public init(bytes: Int) throws(StorageError) {
        (base, count) = try MappedArena.map(bytes)
    }

    private static func map(_ bytes: Int) throws(StorageError) -> (UnsafeMutableRawPointer, Int) {
        let page = 4096
        guard bytes >= 0, bytes <= Int.max - page else {
            throw StorageError(.limitExceeded, "a mapping of \(bytes) bytes")
        }
        let count = max(page, (bytes + page - 1) / page * page)
        let address = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let address, address != MAP_FAILED else {
            throw StorageError(.io(errno: errno), "the generator cannot map \(bytes) bytes; choose fewer series")
        }
        return (address, count)
    }

    deinit { munmap(base, count) }
}
