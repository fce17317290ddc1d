// HeapStatistics.swift - what jemalloc says about the heap of this process.
//
// jemalloc caches its statistics; writing its epoch refreshes them. The counts of allocations are exact for the calling
// thread after its cache was flushed, and for threads that have ended; threads that are running may still hold a few
// uncounted ones in their caches. Deterministic runs have one thread, so there the count repeats to the digit.

import CJemalloc

/// The heap at one moment.
public struct HeapStatistics: Sendable, Equatable {
    /// Bytes in live allocations, rounded to size classes.
    public var allocatedBytes: UInt64 = 0
    /// Bytes in pages that hold live allocations.
    public var activeBytes: UInt64 = 0
    /// Bytes of the allocator's own records.
    public var metadataBytes: UInt64 = 0
    /// Bytes in physical pages mapped by the allocator.
    public var residentBytes: UInt64 = 0
    /// Bytes of address space kept but given back to the system.
    public var retainedBytes: UInt64 = 0

    /// Share of active pages that no live allocation uses.
    public var fragmentation: Double {
        activeBytes == 0 ? 0 : 1 - Double(allocatedBytes) / Double(activeBytes)
    }

    /// Reads all of them; zeros when the process runs on another allocator.
    public static func now() -> HeapStatistics {
        refresh()
        var heap = HeapStatistics()
        heap.allocatedBytes = number("stats.allocated") ?? 0
        heap.activeBytes = number("stats.active") ?? 0
        heap.metadataBytes = number("stats.metadata") ?? 0
        heap.residentBytes = number("stats.resident") ?? 0
        heap.retainedBytes = number("stats.retained") ?? 0
        return heap
    }

    /// Allocations made by the process so far (threads that run now may be behind by what their caches hold).
    public static func allocationCount() -> UInt64 {
        _ = mallctl("thread.tcache.flush", nil, nil, nil, 0)
        refresh()
        // 4096 stands for the sum over all arenas. Requests, not `nmalloc`: that one counts the refills of thread caches,
        // in batches of up to 64 for a single small allocation.
        return (number("stats.arenas.4096.small.nrequests") ?? 0) + (number("stats.arenas.4096.large.nrequests") ?? 0)
    }

    /// Version of the allocator, without its commit: `jemalloc 5.3.0`.
    public static func allocatorVersion() -> String {
        var text: UnsafePointer<CChar>?
        var size = MemoryLayout<UnsafePointer<CChar>?>.size
        guard mallctl("version", &text, &size, nil, 0) == 0, let text else { return "unknown" }
        return "jemalloc " + (String(cString: text).split(separator: "-").first.map(String.init) ?? "")
    }

    private static func refresh() {
        var epoch: UInt64 = 1
        _ = mallctl("epoch", nil, nil, &epoch, MemoryLayout<UInt64>.size)
    }

    private static func number(_ name: String) -> UInt64? {
        var value: UInt64 = 0
        var size = MemoryLayout<UInt64>.size
        return mallctl(name, &value, &size, nil, 0) == 0 ? value : nil
    }
}
