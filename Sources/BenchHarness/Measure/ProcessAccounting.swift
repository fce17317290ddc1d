// ProcessAccounting.swift - what the kernel says about this process: CPU time, memory, bytes moved, load.
//
// CPU comes from getrusage (user + system of all threads, ended ones included) and, for the generator, from the clock
// of the calling thread. The files under /proc are read with plain system calls into a fixed buffer, so that sampling
// a running engine costs a few microseconds. Where /proc is missing the values are zero.

import Glibc

/// CPU time of the process, all threads.
public struct CPUTime: Sendable, Equatable {
    /// Seconds in the program and in the kernel.
    public var user = 0.0, system = 0.0
    /// User plus system.
    public var total: Double { user + system }

    /// No time.
    public init() {}

    /// CPU time used by the process so far.
    public static func ofProcess() -> CPUTime {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        var time = CPUTime()
        time.user = seconds(usage.ru_utime)
        time.system = seconds(usage.ru_stime)
        return time
    }

    /// CPU seconds used by the calling thread so far.
    public static func ofThread() -> Double { clock(CLOCK_THREAD_CPUTIME_ID) }

    static func - (a: CPUTime, b: CPUTime) -> CPUTime {
        var difference = CPUTime()
        difference.user = a.user - b.user
        difference.system = a.system - b.system
        return difference
    }

    static func + (a: CPUTime, b: CPUTime) -> CPUTime {
        var sum = CPUTime()
        sum.user = a.user + b.user
        sum.system = a.system + b.system
        return sum
    }

    private static func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) * 1e-6 }

    private static func clock(_ id: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(id, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}

/// The wall clock of the measurements: monotonic, whatever clock the engine lives by.
public enum WallClock {
    /// Nanoseconds since some moment in the past.
    public static var nanoseconds: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    /// Seconds since 1970 UTC.
    public static var unixSeconds: Int64 { Int64(time(nil)) }

    /// Seconds since `start`, which came from ``nanoseconds``.
    public static func seconds(since start: UInt64) -> Double { Double(nanoseconds &- start) * 1e-9 }
}

/// Resident memory of the process.
public struct ResidentMemory: Sendable, Equatable {
    /// Bytes resident now, and the most since the start or the last ``resetPeak()``.
    public var bytes: UInt64 = 0, peakBytes: UInt64 = 0

    /// Reads both values of this process.
    public static func now() -> ResidentMemory { of("/proc/self/status") }

    /// Reads both values out of the status file of a process.
    static func of(_ path: String) -> ResidentMemory {
        var memory = ResidentMemory()
        ProcFile.withContents(path) { text in
            memory.bytes = (ProcFile.number(after: "VmRSS:", in: text) ?? 0) * 1024
            memory.peakBytes = (ProcFile.number(after: "VmHWM:", in: text) ?? 0) * 1024
        }
        return memory
    }

    /// Starts the peak anew at what is resident now. Returns false where the kernel does not allow it; the peak then
    /// covers the whole life of the process.
    @discardableResult
    public static func resetPeak() -> Bool {
        let file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return write(file, "5", 1) == 1
    }
}

/// Bytes that the process has moved, by the kernel's account.
public struct KernelIO: Sendable, Equatable {
    /// Bytes really fetched from and sent to the device.
    public var readBytes: UInt64 = 0, writtenBytes: UInt64 = 0
    /// Calls that read and wrote.
    public var readCalls: UInt64 = 0, writeCalls: UInt64 = 0

    /// Reads the account.
    public static func now() -> KernelIO {
        var account = KernelIO()
        ProcFile.withContents("/proc/self/io") { text in
            account.readBytes = ProcFile.number(after: "\nread_bytes:", in: text) ?? 0
            account.writtenBytes = ProcFile.number(after: "\nwrite_bytes:", in: text) ?? 0
            account.readCalls = ProcFile.number(after: "syscr:", in: text) ?? 0
            account.writeCalls = ProcFile.number(after: "syscw:", in: text) ?? 0
        }
        return account
    }
}

/// Load of the machine.
public enum MachineLoad {
    /// Mean number of runnable threads over the last minute.
    public static func lastMinute() -> Double {
        var load = 0.0
        return getloadavg(&load, 1) == 1 ? load : 0
    }
}

/// Small files of the kernel.
enum ProcFile {
    /// Lends up to 16 KiB of a file's contents; does nothing when it cannot be read.
    static func withContents(_ path: String, _ body: (UnsafeRawBufferPointer) -> Void) {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        defer { close(file) }
        withUnsafeTemporaryAllocation(byteCount: 16_384, alignment: 8) { buffer in
            var filled = 0
            while filled < buffer.count {
                let count = read(file, buffer.baseAddress! + filled, buffer.count - filled)
                if count <= 0 { break }
                filled += count
            }
            body(UnsafeRawBufferPointer(rebasing: buffer[..<filled]))
        }
    }

    /// The whole number behind the first occurrence of `label`.
    static func number(after label: StaticString, in text: UnsafeRawBufferPointer) -> UInt64? {
        let length = label.utf8CodeUnitCount
        guard let start = text.baseAddress, text.count >= length else { return nil }
        var position = 0
        while memcmp(start + position, label.utf8Start, length) != 0 {
            position += 1
            if position + length > text.count { return nil }
        }
        position += length
        while position < text.count, text[position] == UInt8(ascii: " ") || text[position] == UInt8(ascii: "\t") {
            position += 1
        }
        var value: UInt64?
        while position < text.count, text[position] >= UInt8(ascii: "0"), text[position] <= UInt8(ascii: "9") {
            value = (value ?? 0) &* 10 &+ UInt64(text[position] - UInt8(ascii: "0"))
            position += 1
        }
        return value
    }

    /// The contents as text, trimmed of the line end.
    static func text(_ path: String) -> String? {
        var text: String?
        withContents(path) { text = String(decoding: $0, as: UTF8.self) }
        while text?.utf8.last == UInt8(ascii: "\n") { text?.removeLast() }
        return text
    }
}
