// ProcessMetrics.swift - what the kernel says about this process (docs/format/vmstorage-process.md, 6.4). Threads: any.

import Glibc
import NodeSupport

enum ProcessMetrics {
    /// The `process_*` lines, in the order of the page. Files that cannot be read leave their lines out.
    static func lines() -> [NodeMetric] {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let user = seconds(usage.ru_utime)
        let system = seconds(usage.ru_stime)
        var lines = [
            NodeMetric("process_cpu_seconds_system_total", system),
            NodeMetric("process_cpu_seconds_total", user + system),
            NodeMetric("process_cpu_seconds_user_total", user),
            NodeMetric("process_major_pagefaults_total", usage.ru_majflt),
            NodeMetric("process_minor_pagefaults_total", usage.ru_minflt),
        ]
        let status = fields("/proc/self/status")
        func memory(_ name: String, _ key: String) {
            if let kilobytes = status[key] { lines.append(NodeMetric(name, kilobytes * 1024)) }
        }
        if let threads = status["Threads"] { lines.append(NodeMetric("process_num_threads", threads)) }
        memory("process_resident_memory_bytes", "VmRSS")
        if let start = startSeconds() { lines.append(NodeMetric("process_start_time_seconds", start)) }
        memory("process_virtual_memory_bytes", "VmSize")
        memory("process_virtual_memory_peak_bytes", "VmPeak")
        memory("process_resident_memory_peak_bytes", "VmHWM")
        memory("process_resident_memory_anon_bytes", "RssAnon")
        memory("process_resident_memory_file_bytes", "RssFile")
        memory("process_resident_memory_shared_bytes", "RssShmem")
        let io = fields("/proc/self/io")
        for (name, key) in [
            ("io_read_bytes_total", "rchar"), ("io_written_bytes_total", "wchar"),
            ("io_read_syscalls_total", "syscr"), ("io_write_syscalls_total", "syscw"),
            ("io_storage_read_bytes_total", "read_bytes"), ("io_storage_written_bytes_total", "write_bytes"),
        ] {
            if let value = io[key] { lines.append(NodeMetric("process_" + name, value)) }
        }
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            lines.append(NodeMetric("process_max_fds", limit.rlim_cur))
        }
        if let open = countDescriptors() { lines.append(NodeMetric("process_open_fds", open)) }
        return lines
    }

    private static func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) * 1e-6 }

    /// `name: number ...` lines of a small file.
    private static func fields(_ path: String) -> [String: UInt64] {
        var fields: [String: UInt64] = [:]
        for line in text(path).split(separator: "\n") {
            let halves = line.split(separator: ":", maxSplits: 1)
            guard halves.count == 2, let number = halves[1].split(whereSeparator: { $0 == " " || $0 == "\t" }).first,
                let value = UInt64(number)
            else { continue }
            fields[String(halves[0])] = value
        }
        return fields
    }

    private static func startSeconds() -> UInt64? {
        // The command in parentheses may have spaces in it.
        guard let rest = text("/proc/self/stat").split(separator: ")").last else { return nil }
        let fields = rest.split(separator: " ")
        let boot = text("/proc/stat").split(separator: "\n").first { $0.hasPrefix("btime ") }
        guard fields.count > 19, let ticks = UInt64(fields[19]), let boot, let base = UInt64(boot.dropFirst(6)) else {
            return nil
        }
        return base + ticks / UInt64(max(1, sysconf(Int32(_SC_CLK_TCK))))
    }

    private static func countDescriptors() -> Int? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        return max(0, count - 3)  // ".", ".." and the directory itself
    }

    /// Up to 64 KiB of a file; empty when it cannot be read.
    private static func text(_ path: String) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return "" }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        var filled = 0
        while filled < bytes.count {
            let count = bytes.withUnsafeMutableBytes { read(file, $0.baseAddress! + filled, $0.count - filled) }
            if count <= 0 { break }
            filled += count
        }
        return String(decoding: bytes[..<filled], as: UTF8.self)
    }
}
