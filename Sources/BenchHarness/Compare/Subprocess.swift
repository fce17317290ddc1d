// Subprocess.swift - runs another program and waits for it.
//
// The environment is exactly what is given; nothing is inherited, so that two runs of one program start from the same
// bytes. Both outputs go to files: a pipe would have to be drained while waiting. The child belongs to the process group
// of the harness, so Ctrl-C ends both; the harness then notices its own signal.
//
// Threads: one owner; while it waits, one thread watches for an interrupt. No shell is involved: arguments are taken as they are.

import CIntrinsics
import Glibc
import StorageFiles
import StorageRuntime

/// A program to be run once.
struct Subprocess {
    /// Path of the program; without a slash it is looked up in the PATH of its environment.
    var program: String
    /// Its arguments, the name of the program not among them.
    var arguments: [String] = []
    /// Its whole environment.
    var environment: [String: String] = Subprocess.cleanEnvironment
    /// Directory it starts in; nil stays where the harness is.
    var directory: String?
    /// Files that take its outputs; nil throws them away.
    var output: String?, errors: String?

    /// Where programs are looked for, whatever the user's PATH.
    static let searchPath = "/usr/local/bin:/usr/bin:/bin"
    /// An environment that is the same on every machine: no locale, no allocator settings, hashing with a fixed seed.
    static let cleanEnvironment = [
        "LC_ALL": "C", "PATH": searchPath, "SWIFT_BACKTRACE": "enable=no", "SWIFT_DETERMINISTIC_HASHING": "1",
    ]

    /// The environment of the harness, for compilers and version control.
    static var inheritedEnvironment: [String: String] {
        var values: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let parts = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { values[String(parts[0])] = String(parts[1]) }
            entry += 1
        }
        return values
    }

    /// How a program has ended.
    struct Ending: Sendable {
        /// Its exit code; 128 + signal when a signal ended it.
        var exitCode: Int32 = 0
        /// User and system time of the process and of those it waited for.
        var cpuSeconds = 0.0
        /// From its start until its end was seen.
        var wallSeconds = 0.0
    }

    /// Runs the program to its end.
    ///
    /// - Throws: `.unavailable` when the program is not there, `.cannotCreate` when it cannot be started, `.interrupted`.
    func run() throws(HarnessError) -> Ending {
        let places = environment["PATH"] ?? Subprocess.searchPath
        guard let path = Subprocess.find(program, in: places) else {
            throw HarnessError(.unavailable, "\(program) is needed and not installed (looked in \(places))")
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Outputs are opened before the directory changes: their paths are those of the harness.
        for (descriptor, file) in [(STDOUT_FILENO, output), (STDERR_FILENO, errors)] {
            posix_spawn_file_actions_addopen(
                &actions, descriptor, file ?? "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        if let directory { ci_spawn_in_directory(&actions, directory) }

        // Threads of a library may block signals, which a program would inherit.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var blocked = sigset_t()
        sigemptyset(&blocked)
        posix_spawnattr_setsigmask(&attributes, &blocked)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))

        let start = WallClock.nanoseconds
        var child: pid_t = 0
        let status = Subprocess.withCStrings([path] + arguments) { arguments in
            Subprocess.withCStrings(environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }) {
                posix_spawn(&child, path, &actions, &attributes, arguments, $0)
            }
        }
        guard status == 0 else {
            throw HarnessError(.cannotCreate, "cannot start \(path): \(String(cString: strerror(status)))")
        }
        var ending = Subprocess.wait(for: child)
        ending.wallSeconds = WallClock.seconds(since: start)
        try Interrupt.check()
        return ending
    }

    private static func wait(for child: pid_t) -> Ending {
        var usage = rusage()
        var status: Int32 = 0
        let watch = ChildWatch(child)
        // The child stays a zombie until the watch has ended, so that its id is nobody else's.
        var information = siginfo_t()
        while waitid(P_PID, id_t(child), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
        watch.end()
        while wait4(child, &status, 0, &usage) < 0, errno == EINTR {}
        var ending = Ending()
        let signal = status & 0x7F
        ending.exitCode = signal == 0 ? (status >> 8) & 0xFF : 128 + signal
        for time in [usage.ru_utime, usage.ru_stime] {
            ending.cpuSeconds += Double(time.tv_sec) + Double(time.tv_usec) * 1e-6
        }
        return ending
    }

    /// The path of a program; nil when it is not there or may not be run.
    static func find(_ program: String, in places: String = searchPath) -> String? {
        if program.contains("/") { return access(program, X_OK) == 0 ? program : nil }
        for directory in places.split(separator: ":") {
            let path = "\(directory)/\(program)"
            if access(path, X_OK) == 0 { return path }
        }
        return nil
    }

    private static func withCStrings<Result>(
        _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let copies: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        return body(copies + [nil])
    }
}

/// Passes an interrupt on while a program runs. Ctrl-C goes to all processes of a terminal, a signal to this one only; and it may
/// come before anybody waits, or to another thread.
private final class ChildWatch: @unchecked Sendable {
    private let child: pid_t
    private let lock = Lock()
    private let condition = Condition()
    private var hasEnded = false
    private var thread: Thread?

    init(_ child: pid_t) {
        self.child = child
        thread = Thread.start("child-watch") { [unowned self] in self.run() }
    }

    /// Ends the watch; the child has ended and was not waited for yet.
    func end() {
        lock.withLock { hasEnded = true }
        condition.signal()
        thread?.join()
    }

    private func run() {
        lock.lock()
        defer { lock.unlock() }
        while !hasEnded {
            if Interrupt.isRequested {
                kill(child, SIGTERM)
                return
            }
            condition.wait(lock, nanoseconds: 50_000_000)
        }
    }
}

extension Subprocess {
    /// Runs a program that must succeed.
    ///
    /// - Parameters:
    ///   - doing: What for, for the message.
    ///   - failure: The status of the error when it does not succeed.
    /// - Throws: With the last line that the program wrote to its error output, when that goes to a file.
    func runOrFail(_ doing: String, _ failure: ExitStatus, _ files: any FileSystem) throws(HarnessError) {
        let ending = try run()
        guard ending.exitCode != 0 else { return }
        var reason = "exit code \(ending.exitCode)"
        if let last = Subprocess.lastLine(of: errors, files) { reason = last }
        throw HarnessError(failure, "\(doing) has failed: \(reason)")
    }

    /// The last line of a file that is not blank; nil when there is none.
    static func lastLine(of path: String?, _ files: any FileSystem) -> String? {
        guard let path, let text = try? TextFile.read(path, files) else { return nil }
        return text.split(separator: "\n").last { !$0.allSatisfy(\.isWhitespace) }.map(String.init)
    }
}

/// Small text files: settings, records, what programs say.
enum TextFile {
    /// Most bytes that are read.
    static let bytesMax = 64 << 20

    /// The bytes of a file.
    static func bytes(_ path: String, _ files: any FileSystem) throws(StorageError) -> [UInt8] {
        let buffer = try files.readAll(path, limitBytes: bytesMax)
        return [UInt8](buffer.bytes)
    }

    /// The text of a file.
    static func read(_ path: String, _ files: any FileSystem) throws(StorageError) -> String {
        String(decoding: try bytes(path, files), as: UTF8.self)
    }
}
