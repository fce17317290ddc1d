// MemorySize.swift - how much memory this process may use.

import Glibc

/// The memory of the machine.
public enum MemorySize {
    /// Bytes of physical memory, or the limit of the control group (version 2, then 1) if that is lower.
    public static func available() -> UInt64 {
        let pages = UInt64(max(0, sysconf(Int32(_SC_PHYS_PAGES))))
        let physical = pages * UInt64(max(0, sysconf(Int32(_SC_PAGESIZE))))
        for path in ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"] {
            // "max" is no number.
            if let limit = KernelFile.firstLine(path).flatMap({ UInt64($0) }) { return min(physical, limit) }
        }
        return physical
    }
}
