// FlagParser.swift - the command line and the environment as values of flags (docs/format/vmstorage-process.md, 1.1 and 1.4).
//
//   -name=value  --name=value  -name value (not for booleans)  -name (booleans)  --  ends the flags
//
// The first argument that is no flag ends them; it and what follows is ignored. The last of several values counts.

/// Values of all flags.
struct FlagValues: Sendable, Equatable {
    /// Texts of the flags that were set, by name.
    private(set) var explicit: [String: String] = [:]

    /// The text of a flag: as it was given, or its default.
    subscript(_ name: String) -> String { explicit[name] ?? FlagTable.byName[name]?.standard ?? "" }

    mutating func set(_ name: String, _ text: String) { explicit[name] = text }

    /// The text as logs, pages and metrics show it.
    func shown(_ flag: FlagDefinition) -> String {
        if flag.isSecret { return "secret" }
        let text = self[flag.name]
        switch flag.kind {
        case .bool: return FlagText.bool(text).map { String($0) } ?? text
        case .int: return FlagText.int(text).map { String($0) } ?? text
        case .duration: return FlagText.duration(text).map(FlagText.durationText) ?? text
        case .float:
            guard let value = FlagText.float(text) else { return text }
            return value == value.rounded() && abs(value) < 1e15 ? String(Int(value)) : "\(value)"
        case .bytes, .retention, .string: return text
        }
    }

    // Values that were checked when they were set.
    func bool(_ name: String) -> Bool { FlagText.bool(self[name]) ?? false }
    func int(_ name: String) -> Int { FlagText.int(self[name]) ?? 0 }
    func float(_ name: String) -> Double { FlagText.float(self[name]) ?? 0 }
    func nanoseconds(_ name: String) -> Int64 { FlagText.duration(self[name]) ?? 0 }
    func bytes(_ name: String) -> Int64 { FlagText.bytes(self[name]) ?? 0 }
}

/// What came out of a command line.
enum FlagOutcome: Equatable {
    /// Values to start with.
    case values(FlagValues)
    /// Help was asked for.
    case help
    /// A mistake: its message, and the exit code.
    case mistake(String, exitCode: Int32)
}

enum FlagParser {
    /// Reads the arguments behind the program's name.
    ///
    /// - Parameter environment: Looks up an environment variable.
    static func parse(_ arguments: [String], environment: (String) -> String?) -> FlagOutcome {
        var values = FlagValues()
        var index = 0
        while index < arguments.count {
            let argument = arguments[index]
            index += 1
            guard argument.hasPrefix("-"), argument.count > 1 else { break }
            if argument == "--" { break }
            let body = argument.dropFirst(argument.hasPrefix("--") ? 2 : 1)
            if body.isEmpty || body.hasPrefix("-") || body.hasPrefix("=") {
                return .mistake("bad flag syntax: \(argument)", exitCode: 2)
            }
            let halves = body.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(halves[0])
            guard let flag = FlagTable.byName[name] else {
                if name == "h" || name == "help" { return .help }
                return .mistake("flag provided but not defined: -\(name)", exitCode: 2)
            }
            let text: String
            if halves.count > 1 {
                text = String(halves[1])
            } else if flag.kind == .bool {
                text = "true"
            } else if index < arguments.count {
                text = arguments[index]
                index += 1
            } else {
                return .mistake("flag needs an argument: -\(name)", exitCode: 2)
            }
            if let reason = problem(flag, text) {
                let what = flag.kind == .bool ? "invalid boolean value" : "invalid value"
                return .mistake("\(what) \"\(text)\" for flag -\(name): \(reason)", exitCode: 2)
            }
            values.set(name, text)
        }
        return addEnvironment(&values, environment)
    }

    private static func addEnvironment(
        _ values: inout FlagValues, _ environment: (String) -> String?
    ) -> FlagOutcome {
        guard values.bool("envflag.enable") else { return .values(values) }
        let prefix = values["envflag.prefix"]
        for flag in FlagTable.all where values.explicit[flag.name] == nil {
            let variable = prefix + flag.name.replacing(".", with: "_")
            guard let text = environment(variable) else { continue }
            if let reason = problem(flag, text) {
                return .mistake(
                    "cannot set flag \(flag.name) to \"\(text)\", which is read from env var \"\(variable)\": \(reason)",
                    exitCode: 1)
            }
            values.set(flag.name, text)
        }
        return .values(values)
    }

    /// Why a text is no value of a flag; nil when it is one.
    private static func problem(_ flag: FlagDefinition, _ text: String) -> String? {
        switch flag.kind {
        case .bool: return FlagText.bool(text) == nil ? "parse error" : nil
        case .int: return FlagText.int(text) == nil ? "parse error" : nil
        case .float: return FlagText.float(text) == nil ? "parse error" : nil
        case .duration: return FlagText.duration(text) == nil ? "parse error" : nil
        case .bytes: return FlagText.bytes(text) == nil ? "cannot parse a size in bytes" : nil
        case .retention:
            do throws(FlagTextError) { _ = try FlagText.retentionMs(text) } catch { return error.reason }
            return nil
        case .string: return nil
        }
    }

    /// The help: every flag with its default.
    static func help(_ program: String) -> String {
        var text = """
            \(program) keeps time series: rows come in from vminsert at -vminsertAddr.

            Usage: \(program) [-flag=value ...]


            """
        for flag in FlagTable.all {
            text += "  -\(flag.name)\(flag.kind.word)\n"
            text += wrapped(flag.help, indent: 8)
            let isEmpty = ["", "0", "0s", "false"].contains(flag.standard)
            if !isEmpty { text += "        (default \(flag.standard))\n" }
        }
        return text
    }

    /// Words in lines of at most 100 characters.
    private static func wrapped(_ words: String, indent: Int) -> String {
        var text = ""
        var line = ""
        for word in words.split(separator: " ") {
            if line.count + word.count + 1 + indent > 100 {
                text += String(repeating: " ", count: indent) + line + "\n"
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        return text + String(repeating: " ", count: indent) + line + "\n"
    }
}
