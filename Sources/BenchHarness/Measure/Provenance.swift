// Provenance.swift - where and by what a run was made: enough to tell whether two runs may be compared. No host name,
// no user and no paths.

import Glibc

/// Machine, program and moment of a run.
public struct Provenance: Sendable, Equatable, Codable {
    /// Model of the processor.
    public var cpu = ""
    /// Processors that this process may use.
    public var cores = 0
    /// Physical memory of the machine.
    public var memoryBytes: UInt64 = 0
    /// System and release of the kernel.
    public var kernel = ""
    /// Architecture: `x86_64`, `aarch64`.
    public var architecture = ""
    /// Compiler the program was built with.
    public var toolchain = ""
    /// How it was built: `release` or `debug`.
    public var build = ""
    /// What the compilers were told, as far as the program can tell: optimisation, instruction set, sanitizers, injected faults.
    public var flags: String?
    /// Allocator the process runs on.
    public var allocator = ""
    /// Commit of the checkout the run was started in; `-dirty` when tracked files had been changed; nil outside one.
    public var commit: String?
    /// Load of the machine (one minute) at start and end.
    public var loadAtStart = 0.0, loadAtEnd = 0.0
    /// Start of the run, UTC.
    public var startedAt = ""
    /// Wall seconds of the whole run, generation and checks included.
    public var durationSeconds = 0.0

    /// Nothing known.
    public init() {}

    /// What can be known before a run.
    public static func atStart() -> Provenance {
        var provenance = Provenance()
        provenance.cpu = cpuModel()
        provenance.cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        provenance.memoryBytes =
            UInt64(max(0, sysconf(Int32(_SC_PHYS_PAGES)))) * UInt64(max(0, sysconf(Int32(_SC_PAGESIZE))))
        provenance.kernel = "Linux " + (ProcFile.text("/proc/sys/kernel/osrelease") ?? "unknown")
        provenance.architecture = architectureName
        provenance.toolchain = toolchainName
        provenance.build = buildName
        provenance.flags = BuildFlags.text
        provenance.allocator =
            "\(HeapStatistics.allocatorVersion()), \(AllocatorSettings.compiledIn), huge pages \(AllocatorSettings.hugePages)"
        provenance.commit = Checkout.commit()
        provenance.loadAtStart = rounded(MachineLoad.lastMinute())
        provenance.startedAt = TextFormat.utc(unixSeconds: WallClock.unixSeconds)
        return provenance
    }

    /// Fills in what is known only after a run.
    public mutating func finish(startNanoseconds: UInt64) {
        loadAtEnd = Provenance.rounded(MachineLoad.lastMinute())
        durationSeconds = WallClock.seconds(since: startNanoseconds)
    }

    private static func rounded(_ load: Double) -> Double { (load * 100).rounded() / 100 }

    private static func cpuModel() -> String {
        var model = "unknown"
        ProcFile.withContents("/proc/cpuinfo") { text in
            for line in text.split(separator: UInt8(ascii: "\n")) {
                let line = String(decoding: line, as: UTF8.self)
                guard line.hasPrefix("model name"), let colon = line.firstIndex(of: ":") else { continue }
                model = String(line[line.index(after: colon)...].drop { $0 == " " })
                return
            }
        }
        return model
    }

    private static var architectureName: String {
        #if arch(x86_64)
            "x86_64"
        #elseif arch(arm64)
            "aarch64"
        #else
            "unknown"
        #endif
    }

    // The language offers no version number at run time; conditions on the compiler are the next best thing.
    private static var toolchainName: String {
        #if compiler(>=6.5)
            "Swift 6.5 or later"
        #elseif compiler(>=6.4)
            "Swift 6.4"
        #elseif compiler(>=6.3.2)
            "Swift 6.3.2 or later"
        #elseif compiler(>=6.3.1)
            "Swift 6.3.1"
        #elseif compiler(>=6.3)
            "Swift 6.3"
        #else
            "Swift before 6.3"
        #endif
    }

    private static var buildName: String {
        #if DEBUG
            "debug"
        #else
            "release"
        #endif
    }
}

/// The version-control checkout that the current directory lies in.
enum Checkout {
    /// Its commit, twelve digits, with `-dirty` when tracked files were changed; nil outside a checkout.
    static func commit() -> String? {
        guard let commit = output("git rev-parse --short=12 HEAD 2>/dev/null"), !commit.isEmpty else { return nil }
        let changes = output("git status --porcelain --untracked-files=no 2>/dev/null")
        return changes?.isEmpty == true ? commit : commit + "-dirty"
    }

    /// The full commit that a name stands for; nil for a name that git does not know.
    static func resolve(_ name: String) -> String? {
        // The name goes through a shell: only what names of revisions consist of gets there.
        let allowed = "/._-~^@{}+"
        guard
            name.unicodeScalars.allSatisfy({
                $0.isASCII
                    && ($0.properties.isAlphabetic || ("0"..."9").contains($0) || allowed.unicodeScalars.contains($0))
            })
        else { return nil }
        guard let commit = output("git rev-parse --verify --quiet '\(name)^{commit}' 2>/dev/null"), !commit.isEmpty
        else { return nil }
        return commit
    }

    /// First 4 KiB of what a fixed command prints, without the last line end; nil when it fails.
    private static func output(_ command: String) -> String? {
        guard let pipe = popen(command, "r") else { return nil }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = fread(&bytes, 1, bytes.count, pipe)
        guard pclose(pipe) == 0 else { return nil }
        var text = String(decoding: bytes[..<count], as: UTF8.self)
        while text.utf8.last == UInt8(ascii: "\n") { text.removeLast() }
        return text
    }
}
