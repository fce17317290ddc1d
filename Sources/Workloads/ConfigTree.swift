// ConfigTree.swift - a profile's YAML as a tree that knows where each value stands, and typed reading of it.
//
//   file --Yams--> ConfigTree --merge size step--> --merge --set--> MapReader --> Profile
//
// Every value carries its place (line of the file, or the text of the --set that made it), so an error found after the
// merging still names what the user has to change. A MapReader is asked for each key it may hold; what is left over at
// the end is an unknown key.

import StorageBytes
import StorageRuntime
import Yams

/// Where a configured value stands.
enum ConfigPlace: Sendable {
    case line(file: String, Int)
    case override(String)

    /// An error about the value at this place: one line.
    func error(_ message: String) -> StorageError {
        switch self {
        case .line(let file, let line): StorageError(.invalidArgument, "line \(line): \(message)", path: file)
        case .override(let text): StorageError(.invalidArgument, "--set \(text): \(message)")
        }
    }
}

/// A YAML value with its place.
struct ConfigTree: Sendable {
    enum Content: Sendable {
        case scalar(String)
        case list([ConfigTree])
        case map([(key: String, value: ConfigTree)])
    }

    var content: Content
    var place: ConfigPlace

    /// Values that one file may hold, aliases counted as often as they are used.
    static let nodesMax = 100_000

    /// What the value is, for messages.
    var kind: String {
        switch content {
        case .scalar(let text): text.isEmpty ? "nothing" : "'\(text)'"
        case .list: "a list"
        case .map: "a map"
        }
    }

    /// Parses YAML text; `place` gives the place of a line.
    static func parse(_ text: String, place: (Int) -> ConfigPlace) throws(StorageError) -> ConfigTree {
        let root: Node?
        do {
            root = try Yams.compose(yaml: text)
        } catch {
            throw yamlError(error, place)
        }
        guard let root else { throw place(1).error("expected a map of keys and values, found nothing") }
        var budget = nodesMax
        return try convert(root, place, &budget)
    }

    private static func yamlError(_ error: any Error, _ place: (Int) -> ConfigPlace) -> StorageError {
        switch error as? YamlError {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            return place(mark.line).error("not valid YAML at column \(mark.column): \(problem)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let keys = duplicates.map { "'\($0)'" }.joined(separator: ", ")
            return place(context.mark.line).error("the key \(keys) is given twice in one map")
        case .reader(let problem, _, _, _):
            return place(1).error("not valid YAML: \(problem)")
        default:
            return place(1).error("not valid YAML")
        }
    }

    private static func convert(
        _ node: Node, _ place: (Int) -> ConfigPlace, _ budget: inout Int
    ) throws(StorageError) -> ConfigTree {
        let here = place(node.mark?.line ?? 1)
        budget -= 1
        guard budget > 0 else { throw here.error("more than \(nodesMax) values") }
        switch node {
        case .scalar(let scalar):
            return ConfigTree(content: .scalar(scalar.string), place: here)
        case .sequence(let sequence):
            var list = [ConfigTree]()
            for element in sequence { list.append(try convert(element, place, &budget)) }
            return ConfigTree(content: .list(list), place: here)
        case .mapping(let mapping):
            var map = [(key: String, value: ConfigTree)]()
            for (key, value) in mapping {
                guard case .scalar(let name) = key else { throw here.error("expected a plain word as key") }
                var tree = try convert(value, place, &budget)
                // A block map or list is marked at its first element: the line of its key says more.
                tree.place = place(key.mark?.line ?? 1)
                map.append((name.string, tree))
            }
            return ConfigTree(content: .map(map), place: here)
        case .alias:
            throw here.error("an alias without its anchor")
        }
    }

    /// The value of `key`, when this is a map that has it.
    subscript(key: String) -> ConfigTree? {
        guard case .map(let entries) = content else { return nil }
        return entries.first { $0.key == key }?.value
    }

    /// Puts `value` under a path of keys; maps on the way are made when they are missing.
    mutating func set(_ path: ArraySlice<Substring>, _ value: ConfigTree) {
        guard let first = path.first else {
            self = value
            return
        }
        var entries: [(key: String, value: ConfigTree)] = []
        if case .map(let existing) = content { entries = existing }
        let key = String(first)
        var child = ConfigTree(content: .map([]), place: value.place)
        let index = entries.firstIndex { $0.key == key }
        if let index { child = entries[index].value }
        child.set(path.dropFirst(), value)
        if let index { entries[index].value = child } else { entries.append((key, child)) }
        content = .map(entries)
    }

    /// Removes what stands under a path of keys.
    mutating func remove(_ path: ArraySlice<Substring>) {
        guard let first = path.first, case .map(var entries) = content,
            let index = entries.firstIndex(where: { $0.key == first })
        else { return }
        if path.count == 1 { entries.remove(at: index) } else { entries[index].value.remove(path.dropFirst()) }
        content = .map(entries)
    }

    /// Lays the map `other` over this one: its values win, maps are merged key by key.
    mutating func merge(_ other: ConfigTree) {
        guard case .map(let additions) = other.content, case .map(var entries) = content else {
            self = other
            return
        }
        for addition in additions {
            if let index = entries.firstIndex(where: { $0.key == addition.key }) {
                entries[index].value.merge(addition.value)
            } else {
                entries.append(addition)
            }
        }
        content = .map(entries)
    }
}

/// Reads the keys of one map and refuses the ones that nobody asked for.
struct MapReader {
    private var entries: [(key: String, value: ConfigTree)]
    private let prefix: String
    private var known: [String] = []
    /// Where the map stands.
    let place: ConfigPlace

    /// A reader of the map `tree`, whose keys are called `prefix` + key in messages.
    init(_ tree: ConfigTree, prefix: String) throws(StorageError) {
        guard case .map(let entries) = tree.content else {
            let name = prefix.isEmpty ? "the file" : "'\(prefix.dropLast())'"
            throw tree.place.error("\(name): expected a map of keys and values, found \(tree.kind)")
        }
        self.entries = entries
        self.prefix = prefix
        place = tree.place
    }

    /// The raw value of a key.
    mutating func take(_ key: String) -> ConfigTree? {
        known.append(key)
        guard let index = entries.firstIndex(where: { $0.key == key }) else { return nil }
        return entries.remove(at: index).value
    }

    /// The value of a key through `parse`; `expected` completes "expected ...". Without a default the key is required.
    mutating func value<Value>(
        _ key: String, _ fallback: Value?, expected: String, _ parse: (String) -> Value?
    ) throws(StorageError) -> Value {
        guard let tree = take(key) else {
            if let fallback { return fallback }
            throw place.error("the key '\(prefix)\(key)' is missing: expected \(expected)")
        }
        guard case .scalar(let text) = tree.content, let value = parse(text) else {
            throw tree.place.error("'\(prefix)\(key)': expected \(expected), found \(tree.kind)")
        }
        return value
    }

    /// Text of at least one character (or the default).
    mutating func text(_ key: String, _ fallback: String? = nil) throws(StorageError) -> String {
        try value(key, fallback, expected: "text") { $0.isEmpty ? nil : $0 }
    }

    /// A whole number in a range; `_` may group its digits.
    mutating func int(_ key: String, _ fallback: Int?, in range: ClosedRange<Int>) throws(StorageError) -> Int {
        try value(key, fallback, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)") {
            Int($0.filter { $0 != "_" }).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// A number in a range.
    mutating func number(
        _ key: String, _ fallback: Double?, in range: ClosedRange<Double>
    ) throws(StorageError) -> Double {
        try value(key, fallback, expected: "a number from \(range.lowerBound) to \(range.upperBound)") {
            Double($0).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// `true` or `false`.
    mutating func flag(_ key: String, _ fallback: Bool) throws(StorageError) -> Bool {
        try value(key, fallback, expected: "true or false") { Bool($0) }
    }

    /// A time span such as `250ms`, `30s`, `15m`, `6h`, `1d`, in milliseconds.
    mutating func span(_ key: String, _ fallback: Int64?, in range: ClosedRange<Int64>) throws(StorageError) -> Int64 {
        let text = "a time span such as 250ms, 30s, 15m, 6h or 1d, from \(TimeText.span(range.lowerBound)) to "
        return try value(key, fallback, expected: text + TimeText.span(range.upperBound)) {
            TimeText.parseSpan($0).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// Time spans: a list of them, a single one, or none when the key is missing.
    mutating func spans(_ key: String, in range: ClosedRange<Int64>) throws(StorageError) -> [Int64] {
        guard let tree = take(key) else { return [] }
        var elements = [tree]
        if case .list(let list) = tree.content { elements = list }
        var spans = [Int64]()
        for element in elements {
            guard case .scalar(let text) = element.content, let span = TimeText.parseSpan(text), range.contains(span)
            else {
                throw element.place.error("'\(prefix)\(key)': expected time spans such as 45m, found \(element.kind)")
            }
            spans.append(span)
        }
        return spans
    }

    /// A pair of numbers `[lowest, highest]`, or nil when the key is missing.
    mutating func band(_ key: String) throws(StorageError) -> ClosedRange<Double>? {
        guard let tree = take(key) else { return nil }
        if case .list(let list) = tree.content, list.count == 2, case .scalar(let low) = list[0].content,
            case .scalar(let high) = list[1].content, let low = Double(low), let high = Double(high), low <= high
        {
            return low...high
        }
        throw tree.place.error("'\(prefix)\(key)': expected a list [lowest, highest], found \(tree.kind)")
    }

    /// The elements of a list, or none when the key is missing.
    mutating func list(_ key: String) throws(StorageError) -> [ConfigTree] {
        guard let tree = take(key) else { return [] }
        guard case .list(let list) = tree.content else {
            throw tree.place.error("'\(prefix)\(key)': expected a list, found \(tree.kind)")
        }
        return list
    }

    /// A reader of the map under a key, or nil when it is missing.
    mutating func map(_ key: String) throws(StorageError) -> MapReader? {
        guard let tree = take(key) else { return nil }
        return try MapReader(tree, prefix: prefix + key + ".")
    }

    /// Refuses keys that nobody asked for; `valid` replaces the list of the ones that were.
    func finish(valid: [String]? = nil) throws(StorageError) {
        guard let extra = entries.first else { return }
        let names = valid ?? known.map { prefix + $0 }
        throw extra.value.place.error(
            "unknown key '\(prefix)\(extra.key)'; valid keys: \(names.joined(separator: ", "))")
    }
}
