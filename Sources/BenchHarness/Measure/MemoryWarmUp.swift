// MemoryWarmUp.swift - makes the machine's memory be there before the clock starts.
//
// A virtual machine often gets its memory from the host page by page, when a page is touched for the first time since the
// machine was started. That costs the guest's CPU account milliseconds for each huge page (measured: 1.09 s for 512 MiB the
// first time, 0.04 s the second), and it would be charged to whatever runs first. So memory is mapped, touched and given
// back; the kernel hands out pages that were given back last before others.
//
// Threads: called by the thread that drives the run, before any other is started.

import Glibc

/// Touches memory ahead of a run.
enum MemoryWarmUp {
    private static let hugePages: Int32 = 14  // MADV_HUGEPAGE

    /// Touches `bytes` of fresh memory and gives them back. Nothing happens when they cannot be had.
    static func touch(bytes: Int) {
        guard bytes > 0 else { return }
        let address = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let address, address != MAP_FAILED else { return }
        defer { munmap(address, bytes) }
        madvise(address, bytes, hugePages)
        for offset in stride(from: 0, to: bytes, by: 4096) {
            address.storeBytes(of: 1, toByteOffset: offset, as: UInt8.self)
        }
    }
}
