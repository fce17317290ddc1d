// Paths.swift - paths as text: nothing here asks the file system.
//
// A path is a sequence of names separated by `/`. All work is on UTF-8 bytes, because Swift's characters may melt a
// `/` together with a combining mark behind it, and its string order is not the order of bytes.

/// Functions on paths.
public enum Paths {
    @usableFromInline static let slash = UInt8(ascii: "/")

    /// `directory` + `/` + `name`.
    public static func join(_ directory: String, _ name: String) -> String {
        if directory.isEmpty { return name }
        return directory.utf8.last == slash ? directory + name : directory + "/" + name
    }

    /// The non-empty names between the slashes.
    public static func components(_ path: String) -> [String] {
        path.utf8.split(separator: slash).map { String(Substring($0)) }
    }

    /// The last name; `/` of the root, `.` of an empty path.
    public static func lastComponent(_ path: String) -> String {
        if let last = path.utf8.split(separator: slash).last { return String(Substring(last)) }
        return path.isEmpty ? "." : "/"
    }

    /// The directory that holds the last name of the cleaned path; `.` of a single relative name, `/` of the root.
    public static func parent(_ path: String) -> String {
        let cleaned = clean(path)
        guard let cut = cleaned.utf8.lastIndex(of: slash) else { return cleaned == ".." ? "../.." : "." }
        if cut == cleaned.utf8.startIndex { return "/" }
        return cleaned.hasSuffix("/..") ? cleaned + "/.." : String(cleaned[..<cut])
    }

    /// The shortest path that means the same when no link is involved: single slashes, no `.`, and `..` only at the
    /// start of a relative path. An empty path becomes `.`.
    public static func clean(_ path: String) -> String {
        let isAbsolute = path.utf8.first == slash
        var names: [String] = []
        for name in components(path) {
            if name == "." { continue }
            if name == ".." {
                if let last = names.last, last != ".." {
                    names.removeLast()
                    continue
                }
                if isAbsolute { continue }  // above the root is the root
            }
            names.append(name)
        }
        let text = names.joined(separator: "/")
        if isAbsolute { return "/" + text }
        return text.isEmpty ? "." : text
    }

    /// The cleaned absolute form of `path`; a relative one starts at `currentDirectory`, which is absolute
    /// (docs/format/mergeset-table.md, 7.4).
    public static func absolute(_ path: String, currentDirectory: String) -> String {
        clean(path.utf8.first == slash ? path : join(currentDirectory, path))
    }

    /// Tells whether `path` lies in `directory` or deeper, and is not `directory` itself. Both are cleaned and absolute.
    public static func isStrictlyInside(_ path: String, _ directory: String) -> Bool {
        let prefix = directory.utf8.last == slash ? directory : directory + "/"
        return path.utf8.count > prefix.utf8.count && path.utf8.starts(with: prefix.utf8)
    }

    /// Bytewise order of names.
    public static func precedes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }
}
