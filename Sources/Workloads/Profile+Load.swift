// Profile+Load.swift - finding profiles, size steps, overrides.
//
//   BASE.yaml  <-  FILE.yaml  <-  sizes.<size>  <-  --set key=value, in the order given
//
// A profile may name another one of its directory as its base and say only what differs. What it says about targets
// and series, about churn, or about a size step replaces what the base says about it; other maps are merged key by key.
//
// An override that changes the shape takes away the expectations that it makes wrong, unless it sets them, too.

import StorageBytes
import StorageRuntime

extension Profile {
    /// A profile of a directory.
    public struct Listing: Sendable {
        /// Name to load it by.
        public let name: String
        /// Its file.
        public let path: String
        /// Its title; nil when it does not load.
        public let title: String?
        /// Why it does not load.
        public let problem: String?
    }

    /// Longest profile file in bytes.
    static let fileBytesMax = 1 << 20

    /// Loads a profile by its name in `directory` or by the path of its file (recognised by a `/` or `.yaml`).
    ///
    /// - Parameters:
    ///   - size: Size step whose values are laid over the file's.
    ///   - overrides: `key=value`, where the key is a dotted path (`churn.rate`) and the value is YAML.
    /// - Throws: `.notFound` with the names there are, or `.invalidArgument` with file, line and what is expected.
    public static func load(
        _ nameOrPath: String, directory: String, size: ProfileSize = .m, overrides: [String] = []
    ) throws(StorageError) -> Profile {
        let isPath = nameOrPath.contains("/") || nameOrPath.hasSuffix(".yaml") || nameOrPath.hasSuffix(".yml")
        let path = isPath ? nameOrPath : directory + "/" + nameOrPath + ".yaml"
        let bytes: RawBuffer
        do {
            bytes = try InputFile.read(path, bytesMax: fileBytesMax)
        } catch {
            guard case .notFound = error.kind else { throw error }
            let names = try profileNames(directory)
            throw StorageError(
                .notFound,
                "unknown profile '\(nameOrPath)'; \(directory) has: \(names.joined(separator: ", "))")
        }
        return try parse(String(decoding: bytes.bytes, as: UTF8.self), path: path, size: size, overrides: overrides)
    }

    /// The profiles of a directory, by name.
    public static func list(_ directory: String) throws(StorageError) -> [Listing] {
        var listings = [Listing]()
        for name in try profileNames(directory) {
            let path = directory + "/" + name + ".yaml"
            do {
                // Only the title: a replay does not load without the page that its user gives.
                let bytes = try InputFile.read(path, bytesMax: fileBytesMax)
                let tree = try tree(String(decoding: bytes.bytes, as: UTF8.self), path: path)
                var reader = try MapReader(tree, prefix: "")
                let title = try reader.text("title")
                listings.append(Listing(name: name, path: path, title: title, problem: nil))
            } catch {
                listings.append(Listing(name: name, path: path, title: nil, problem: "\(error)"))
            }
        }
        return listings
    }

    /// Parses a profile's text; `path` is for messages. Errors as in ``load(_:directory:size:overrides:)``.
    public static func parse(
        _ text: String, path: String, size: ProfileSize = .m, overrides: [String] = []
    ) throws(StorageError) -> Profile {
        var tree = try tree(text, path: path)
        guard case .map = tree.content else {
            throw tree.place.error("expected a map of keys and values, found \(tree.kind)")
        }
        if let base = tree["base"] { tree = try rebase(tree, on: base, path: path) }
        let sizes = tree["sizes"]
        tree.remove(["sizes"])
        if let sizes {
            guard case .map(let steps) = sizes.content else {
                throw sizes.place.error("'sizes': expected a map with the keys s, m, l, found \(sizes.kind)")
            }
            for (key, step) in steps {
                guard ProfileSize(rawValue: key) != nil else {
                    throw step.place.error("unknown key 'sizes.\(key)'; valid keys: sizes.s, sizes.m, sizes.l")
                }
                guard case .map = step.content else {
                    throw step.place.error("'sizes.\(key)': expected a map of keys and values, found \(step.kind)")
                }
            }
            if let step = sizes[size.rawValue] {
                if step["series"] != nil { tree.remove(["targets"]) }
                if step["targets"] != nil { tree.remove(["series"]) }
                tree.merge(step)
            }
        }
        for text in overrides { try apply(text, to: &tree) }
        return try Profile(tree, size: size, overrides: overrides)
    }

    private static func tree(_ text: String, path: String) throws(StorageError) -> ConfigTree {
        try ConfigTree.parse(text) { line in .line(file: path, line) }
    }

    /// Lays a profile over the one that it names as its base.
    private static func rebase(_ tree: ConfigTree, on base: ConfigTree, path: String) throws(StorageError) -> ConfigTree
    {
        var tree = tree
        tree.remove(["base"])
        guard case .scalar(let name) = base.content, !name.isEmpty, !name.contains("/") else {
            throw base.place.error("'base': expected the name of a profile of the same directory, found \(base.kind)")
        }
        let directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        let file = directory + name + ".yaml"
        let bytes: RawBuffer
        do { bytes = try InputFile.read(file, bytesMax: fileBytesMax) } catch {
            throw base.place.error("'base': expected the name of a profile of the same directory: \(error)")
        }
        var merged = try self.tree(String(decoding: bytes.bytes, as: UTF8.self), path: file)
        guard case .map = merged.content, merged["base"] == nil else {
            throw base.place.error("'base': expected a profile that has no base itself, found '\(name)'")
        }
        if tree["series"] != nil || tree["targets"] != nil {
            merged.remove(["series"])
            merged.remove(["targets"])
        }
        if tree["churn"] != nil { merged.remove(["churn"]) }
        if let sizes = tree["sizes"], case .map(let steps) = sizes.content {
            for step in steps { merged.remove(["sizes", step.key[...]]) }
        }
        merged.merge(tree)
        return merged
    }

    private static func profileNames(_ directory: String) throws(StorageError) -> [String] {
        try InputFile.names(in: directory).filter { $0.hasSuffix(".yaml") }.map { String($0.dropLast(5)) }
    }

    private static func apply(_ text: String, to tree: inout ConfigTree) throws(StorageError) {
        let place = ConfigPlace.override(text)
        guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
            throw place.error("expected key=value; valid keys: \(settableKeys.joined(separator: ", "))")
        }
        let key = text[..<equals]
        let path = key.split(separator: ".", omittingEmptySubsequences: false)
        guard key != "sizes", !key.hasPrefix("sizes."), !path.contains("") else {
            throw place.error("unknown key '\(key)'; valid keys: \(settableKeys.joined(separator: ", "))")
        }
        let value = String(text[text.index(after: equals)...])
        // A bare word is taken as it is: a page's path needs no YAML quoting.
        var parsed = ConfigTree(content: .scalar(value), place: place)
        if value.first == "[" || value.first == "{" || value.first == "\"" || value.first == "'" {
            parsed = try ConfigTree.parse(value) { _ in place }
        }
        tree.set(path[...], parsed)
        // Two ways to say one thing (how many targets, how often they are replaced): the one set last counts.
        if key == "series" { tree.remove(["targets"]) }
        if key == "targets" { tree.remove(["series"]) }
        for kind in ["rate", "life", "scrapes", "deploys"] where key == "churn.\(kind)" {
            for other in ["rate", "life", "scrapes", "deploys"] where other != kind {
                tree.remove(["churn", other[...]])
            }
            if kind != "rate" { tree.remove(["churn", "every"]) }
        }
        switch path[0] {
        case "labels", "tags", "filler", "families", "page", "groups", "series_per_target":
            tree.remove(["expect", "labels"])
            tree.remove(["expect", "name_bytes"])
            tree.remove(["expect", "value_bytes"])
        case "churn", "interval":
            tree.remove(["expect", "new_per_row"])
        default: break
        }
    }
}
