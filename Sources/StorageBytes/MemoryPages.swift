// MemoryPages.swift - memory that goes back to the system at once.
//
//   start                                                     start + count
//    | ... |  whole units of 64 KiB: pages dropped             | ... |
//
// An allocator keeps the pages of what was freed for a while, since new pages have to be cleared: right for buffers that come and
// go, wrong for many megabytes that nobody will want for long. Dropping the pages first makes the free an end: the address
// space stays with the allocator, the memory is the system's.
//
// Contract: the caller owns the bytes and reads none of them before it has written them again; what they hold is undefined
// afterwards. Threads: as for the memory itself.

import Glibc

/// Pages of memory.
public enum MemoryPages {
    /// Every page size that Linux knows for the machines we run on divides this.
    @usableFromInline static let unit = 65536

    /// Drops the pages of `count` bytes from `start` on, but for up to 64 KiB at either end. One system call; a kernel that
    /// does not know it leaves everything as it was.
    public static func drop(_ start: UnsafeMutableRawPointer, _ count: Int) {
        let first = (UInt(bitPattern: start) + UInt(unit) - 1) / UInt(unit) * UInt(unit)
        let end = (UInt(bitPattern: start) + UInt(max(count, 0))) / UInt(unit) * UInt(unit)
        guard first < end, let address = UnsafeMutableRawPointer(bitPattern: first) else { return }
        madvise(address, Int(end - first), Int32(MADV_DONTNEED))
    }
}
