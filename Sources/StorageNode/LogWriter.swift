// LogWriter.swift - log lines in the formats of docs/format/vmstorage-process.md, 5.
//
//   default   2022-01-18T12:34:56.789Z <tab> info <tab> file:line <tab> message
//   json      {"ts":"...","level":"info","caller":"file:line","msg":"message"}
//
// A line is one write, so lines of several threads do not mix. Threads: any.

import Glibc
import NodeSupport
import StorageBytes
import StorageRuntime

/// Settings of the log.
struct LogSettings: Sendable, Equatable {
    var level = LogLevel.info
    var isJSON = false
    var descriptor: Int32 = STDERR_FILENO
    var isLocalTime = false
    var hasTimestamps = true
    var errorsPerSecondMax = 0, warnsPerSecondMax = 0

    /// The settings of the flags; a message for a value that cannot be used.
    init(_ flags: FlagValues) throws(FlagTextError) {
        switch flags["loggerLevel"] {
        case "INFO": level = .info
        case "WARN": level = .warn
        case "ERROR": level = .error
        case "FATAL": level = .fatal
        case "PANIC": level = .panic
        case let other:
            throw FlagTextError(
                "unsupported `-loggerLevel` value: \"\(other)\"; supported values are: INFO, WARN, ERROR, FATAL, PANIC")
        }
        switch flags["loggerFormat"] {
        case "default": isJSON = false
        case "json": isJSON = true
        case let other:
            throw FlagTextError(
                "unsupported `-loggerFormat` value: \"\(other)\"; supported values are: default, json")
        }
        switch flags["loggerOutput"] {
        case "stderr": descriptor = STDERR_FILENO
        case "stdout": descriptor = STDOUT_FILENO
        case let other:
            throw FlagTextError("unsupported `loggerOutput` value: \"\(other)\"; supported values are: stderr, stdout")
        }
        isLocalTime = flags["loggerTimezone"] != "UTC"
        hasTimestamps = !flags.bool("loggerDisableTimestamps")
        errorsPerSecondMax = flags.int("loggerErrorsPerSecondLimit")
        warnsPerSecondMax = flags.int("loggerWarnsPerSecondLimit")
    }

    /// Takes a time zone into use for the process; false when it is not known.
    static func setTimeZone(_ name: String) -> Bool {
        if name == "UTC" || name == "Local" { return true }
        let isName = name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "/_+-".contains($0)) }
        guard isName, !name.hasPrefix("/"), access("/usr/share/zoneinfo/" + name, R_OK) == 0 else { return false }
        setenv("TZ", name, 1)
        tzset()
        return true
    }
}

/// Writes log lines, and counts them.
final class LogWriter: Sendable {
    private struct Place {
        var second: Int64 = 0
        var lines = 0
    }

    private struct State {
        var places: [String: Place] = [:]
        var counts: [String: UInt64] = [:]
    }

    private let settings: LogSettings
    private let version: String
    private let state = Protected(State())

    init(_ settings: LogSettings, version: String) {
        self.settings = settings
        self.version = version
    }

    func write(_ level: LogLevel, _ place: String, _ message: String) {
        guard level >= settings.level else { return }
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let seconds = Int64(time.tv_sec)
        let limit =
            level == .error ? settings.errorsPerSecondMax : level == .warn ? settings.warnsPerSecondMax : 0
        let prefix: String? = state.withLock { state in
            if limit > 0 {
                var counted = state.places["\(level.rawValue) \(place)"] ?? Place()
                if counted.second != seconds { counted = Place(second: seconds) }
                counted.lines += 1
                state.places["\(level.rawValue) \(place)"] = counted
                if counted.lines > limit + 1 { return nil }
                if counted.lines == limit + 1 { return "suppressing log message with rate limit=\(limit): " }
            }
            let series =
                "vm_log_messages_total{app_version=\(MetricLabel.quoted(version)), level=\"\(level.name)\", "
                + "location=\(MetricLabel.quoted(place))}"
            state.counts[series, default: 0] += 1
            return ""
        }
        guard let prefix else { return }
        var text = prefix + message
        while text.hasSuffix("\n") { text.removeLast() }
        let stamp = settings.hasTimestamps ? LogWriter.timestamp(time, isLocal: settings.isLocalTime) : ""
        put(settings.isJSON ? json(stamp, level, place, text) : plain(stamp, level, place, text))
    }

    private func plain(_ stamp: String, _ level: LogLevel, _ place: String, _ text: String) -> String {
        (stamp.isEmpty ? "" : stamp + "\t") + "\(level.name)\t\(place)\t\(text)\n"
    }

    private func json(_ stamp: String, _ level: LogLevel, _ place: String, _ text: String) -> String {
        let time = stamp.isEmpty ? "" : "\"ts\":\"\(stamp)\","
        return "{\(time)\"level\":\"\(level.name)\",\"caller\":\(JSONText.quote(place)),"
            + "\"msg\":\(JSONText.quote(text))}\n"
    }

    /// 2022-01-18T12:34:56.789Z, or with an offset such as +0200.
    static func timestamp(_ time: timespec, isLocal: Bool) -> String {
        var seconds = time.tv_sec
        var parts = tm()
        if isLocal { localtime_r(&seconds, &parts) } else { gmtime_r(&seconds, &parts) }
        func digits(_ value: Int, _ count: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        var zone = "Z"
        if isLocal, parts.tm_gmtoff != 0 {
            let minutes = abs(parts.tm_gmtoff) / 60
            zone = (parts.tm_gmtoff < 0 ? "-" : "+") + digits(minutes / 60, 2) + digits(minutes % 60, 2)
        }
        return digits(Int(parts.tm_year) + 1900, 4) + "-" + digits(Int(parts.tm_mon) + 1, 2) + "-"
            + digits(Int(parts.tm_mday), 2) + "T" + digits(Int(parts.tm_hour), 2) + ":" + digits(Int(parts.tm_min), 2)
            + ":" + digits(Int(parts.tm_sec), 2) + "." + digits(time.tv_nsec / 1_000_000, 3) + zone
    }

    private func put(_ line: String) {
        var line = line
        line.withUTF8 { bytes in
            var written = 0
            while written < bytes.count {
                let count = Glibc.write(settings.descriptor, bytes.baseAddress! + written, bytes.count - written)
                if count < 0, errno == EINTR { continue }
                if count <= 0 { return }
                written += count
            }
        }
    }

    /// Lines written, by version, level and place.
    var metrics: [NodeMetric] { state.withLock { $0.counts }.map { NodeMetric($0.key, $0.value) } }
}
