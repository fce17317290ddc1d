// NodeProcess.swift - the process: command line, signals, exit code (docs/format/vmstorage-process.md, 1, 3, 4).
//
// SIGTERM and SIGINT are blocked in every thread and waited for by the main thread, so that a second one during the stop
// changes nothing. SIGHUP and SIGPIPE are ignored; SIGQUIT keeps the system's meaning.
//
// Threads: the main thread.

import Glibc
import NodeSupport
import StorageRuntime

/// The program `storage-node`.
public enum NodeProcess {
    /// Runs a node until a signal stops it.
    ///
    /// - Parameter arguments: The command line with the program's name in front.
    /// - Returns: The exit code.
    public static func run(_ arguments: [String]) -> Int32 {
        let program = arguments.first.map { String($0.split(separator: "/").last ?? "storage-node") } ?? "storage-node"
        switch FlagParser.parse(Array(arguments.dropFirst()), environment: environment) {
        case .help:
            write(FlagParser.help(program), to: STDOUT_FILENO)
            return 0
        case .mistake(let message, let code):
            if code == 2 {
                write(message + "\nSee `\(program) -help` for the flags.\n", to: STDOUT_FILENO)
            } else {
                write(message + "\n", to: STDERR_FILENO)
            }
            return code
        case .values(let flags):
            if flags.bool("version") {
                write(Node.version + "\n", to: STDOUT_FILENO)
                return 0
            }
            return run(flags)
        }
    }

    private static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    private static func run(_ flags: FlagValues) -> Int32 {
        guard LogSettings.setTimeZone(flags["loggerTimezone"]) else {
            write("cannot load timezone \"\(flags["loggerTimezone"])\"\n", to: STDERR_FILENO)
            return 1
        }
        let settings: LogSettings
        let options: NodeOptions
        do throws(FlagTextError) {
            settings = try LogSettings(flags)
            options = try NodeOptions(flags, environment: environment)
        } catch {
            write("fatal: \(error.reason)\n", to: STDERR_FILENO)
            return 2
        }
        let signals = blockSignals()
        let writer = LogWriter(settings, version: Node.version)
        let log = NodeLog { writer.write($0, $1, $2) }
        log.info("build version: \(Node.version)")
        log.info("command line flags")
        for flag in FlagTable.all where flags.explicit[flag.name] != nil {
            log.info("flag \"\(flag.name)\"=\"\(flags.shown(flag))\"")
        }
        do throws(NodeFailure) {
            let node = try Node(options, flags: flags, log: log, writer: writer)
            log.info("service received signal \(wait(for: signals))")
            try node.stop()
            return 0
        } catch { return 255 }
    }

    private static func blockSignals() -> sigset_t {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGHUP, SIG_IGN)
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGINT)
        pthread_sigmask(SIG_BLOCK, &set, nil)
        return set
    }

    private static func wait(for signals: sigset_t) -> String {
        var set = signals
        var number: Int32 = 0
        while sigwait(&set, &number) != 0 {}
        return number == SIGINT ? "interrupt" : "terminated"
    }

    private static func write(_ text: String, to descriptor: Int32) {
        var text = text
        text.withUTF8 { bytes in
            var written = 0
            while written < bytes.count {
                let count = Glibc.write(descriptor, bytes.baseAddress! + written, bytes.count - written)
                if count <= 0 { return }
                written += count
            }
        }
    }
}
