// CPUCount.swift - how many processors this process may use.

import Glibc

/// The processors of the machine.
public enum CPUCount {
    /// Processors that this process may use: the cgroup's quota rounded to the nearest integer, at least 1, at most the
    /// number of processors online.
    public static func available() -> Int {
        let online = max(Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))), 1)
        guard let quota = cgroupQuota() else { return online }
        return min(max(Int(quota.rounded()), 1), online)
    }

    /// The quota of the control group (version 2, then 1) in processors; nil when there is none.
    private static func cgroupQuota() -> Double? {
        if let text = KernelFile.firstLine("/sys/fs/cgroup/cpu.max") {
            let fields = text.split(separator: " ")
            if fields.count == 2, let quota = Double(fields[0]), let period = Double(fields[1]), period > 0 {
                return quota / period
            }
            return nil
        }
        guard let quota = KernelFile.firstLine("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").flatMap({ Double($0) }),
            quota > 0,
            let period = KernelFile.firstLine("/sys/fs/cgroup/cpu/cpu.cfs_period_us").flatMap({ Double($0) }),
            period > 0
        else { return nil }
        return quota / period
    }
}

/// Small files in which the kernel tells about itself.
enum KernelFile {
    /// The first line, up to 127 bytes, without its end; nil when there is no such file.
    static func firstLine(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 128)
        guard fgets(&line, Int32(line.count), file) != nil else { return nil }
        let bytes = line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
