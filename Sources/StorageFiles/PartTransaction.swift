// PartTransaction.swift - replacing parts by a new one, atomically with respect to crashes
// (docs/format/mergeset-table.md, 7.3, 7.4 and 8; docs/format/sample-store.md, 12).
//
//   <root>/txn/<suffix>    <root>/<source part>                        one line for each part to remove; none for a flush
//                          <root>/tmp/<suffix> -> <root>/<new part>    the last line; without a new part nothing is behind ->
//
// A root is a directory with parts. A table of items has one; a partition of samples has two, for small and big parts,
// and the sources of a transaction may lie in both. The file is in the root that receives the new part.
//
// Order of events, each durable before the next begins:
//
//   1. tmp/<suffix> is complete                          (the part writer)
//   2. write    txn/<suffix> appears: the point of commit
//   3. execute  every source is removed, tmp/<suffix> is renamed to its final name
//   4.          txn/<suffix> is removed, without a sync: executing twice does no harm, as names are never used again
//
// A crash before 2 leaves the sources, and recovery drops tmp/; after it recovery finishes 3. In between nobody may
// look at the directories: the table holds its snapshot lock over both calls, as a reader or exclusively.
//
// Paths in the file are checked as text: each must lie strictly inside one of the roots. All of them are checked
// before the first removal (the reference removes what is listed before a bad line).
//
// Threads: values; different transactions of one table may be executed at the same time.

import StorageBytes
import StorageRuntime

/// The replacement of some parts, or of none, by one new part or by nothing.
public struct PartTransaction: Equatable, Sendable {
    /// Directory of pending transactions, inside a root.
    public static let directoryName = "txn"
    /// Directory of parts under construction, inside a root.
    public static let temporaryDirectoryName = "tmp"
    /// Largest transaction file that is read: 16 Ki lines of 1 KiB.
    static let fileBytesMax = 16 << 20

    /// Directories to remove: paths as they are in the file, absolute or relative to the current directory.
    public let sources: [String]
    /// The complete new part under its temporary name. It need not exist when there is no ``target``.
    public let temporary: String
    /// The new part under its final name; nil when the sources are replaced by nothing.
    public let target: String?

    /// The directory of the part under construction with this suffix.
    public static func temporaryPath(root: String, suffix: UInt64) -> String {
        Paths.join(Paths.join(root, temporaryDirectoryName), Hex.name(suffix))
    }

    /// The transaction file of the part with this suffix.
    public static func path(root: String, suffix: UInt64) -> String {
        Paths.join(Paths.join(root, directoryName), Hex.name(suffix))
    }

    /// Replaces the directories `sources` by the part in ``temporaryPath(root:suffix:)``, which gets the name `target` in
    /// `root`, or by nothing. `root` is a cleaned path.
    public init(root: String, sources: [String], suffix: UInt64, target: String?) {
        self.sources = sources
        temporary = Self.temporaryPath(root: root, suffix: suffix)
        self.target = target.map { Paths.join(root, $0) }
    }

    // MARK: Text

    private static let newline = UInt8(ascii: "\n")
    private static let arrow = Array(" -> ".utf8)

    /// The contents of the file.
    public var text: String {
        var text = ""
        for source in sources { text += source + "\n" }
        return text + temporary + " -> " + (target ?? "") + "\n"
    }

    /// The transaction in the contents of a file. `path` is for messages.
    ///
    /// - Parameter allowsRemoval: Whether there may be no new part: those of tables of items always have one.
    /// - Throws: `.corrupted` with the offset of the line: the last line is not a rename, or a path is empty or not
    ///   UTF-8. Where the paths lead is checked by ``execute(inside:file:on:)``.
    public init(parsing bytes: [UInt8], path: String, allowsRemoval: Bool) throws(StorageError) {
        var text = bytes[...]
        if text.last == Self.newline { text.removeLast() }  // one; an empty last line is not a rename
        let lines = text.split(separator: Self.newline, omittingEmptySubsequences: false)
        let last = lines[lines.count - 1]
        guard let arrow = Self.onlyArrow(in: last) else {
            throw StorageError(
                .corrupted, "the last line must have exactly one \" -> \"", path: path, offset: last.startIndex)
        }
        var sources: [String] = []
        for line in lines.dropLast() { sources.append(try Self.pathText(line, path)) }
        self.sources = sources
        temporary = try Self.pathText(last[..<arrow.lowerBound], path)
        let right = last[arrow.upperBound...]
        target = allowsRemoval && right.isEmpty ? nil : try Self.pathText(right, path)
    }

    /// Where ` -> ` is, if it is there exactly once.
    private static func onlyArrow(in line: ArraySlice<UInt8>) -> Range<Int>? {
        var found: Range<Int>?
        var rest = line
        while rest.count >= arrow.count {
            if rest.starts(with: arrow) {
                if found != nil { return nil }
                found = rest.startIndex..<(rest.startIndex + arrow.count)
                rest = rest.dropFirst(arrow.count)
            } else {
                rest = rest.dropFirst()
            }
        }
        return found
    }

    private static func pathText(_ bytes: ArraySlice<UInt8>, _ path: String) throws(StorageError) -> String {
        guard !bytes.isEmpty, let text = String(validating: bytes, as: UTF8.self) else {
            throw StorageError(.corrupted, "a path is empty or not UTF-8", path: path, offset: bytes.startIndex)
        }
        return text
    }

    // MARK: Commit

    /// Why a transaction was not written.
    public struct WriteFailure: Error {
        /// What went wrong.
        public let error: StorageError
        /// The file may have become durable, and could not be taken back: the next open may execute it. Neither the
        /// temporary part nor any source may be touched from now on; only a new open of the table finds out.
        public let mayBeCommitted: Bool
    }

    /// Writes and executes the transaction in the file ``path(root:suffix:)`` of its root. On a failure before the point of
    /// commit the temporary part is removed, as far as that is possible, and the sources are what they were.
    ///
    /// - Parameter roots: The directories that all paths must lie in; the first one is that of the file.
    /// - Throws: A failure which says whether the table must be opened again.
    public func commit(roots: [String], suffix: UInt64, on files: any FileSystem) throws(WriteFailure) {
        let file = Self.path(root: roots[0], suffix: suffix)
        do throws(WriteFailure) {
            try write(to: file, on: files)
        } catch {
            if !error.mayBeCommitted {
                try? files.removeAll(temporary)
                throw error
            }
            throw WriteFailure(
                error: error.error.adding("a merge may or may not be committed; open the table again"),
                mayBeCommitted: true)
        }
        do throws(StorageError) {
            try execute(inside: roots, file: file, on: files)
        } catch {
            // Committed: it has to be executed, now or by the next open. A second try often helps.
            do throws(StorageError) {
                try execute(inside: roots, file: file, on: files)
            } catch {
                throw WriteFailure(
                    error: error.adding("a committed merge could not be executed; open the table again"),
                    mayBeCommitted: true)
            }
        }
    }

    /// Writes the file of the transaction, atomically and durably: it is committed when this returns. The temporary part must
    /// be durable, and nothing else may use its suffix.
    ///
    /// - Throws: A failure which says whether the transaction is certainly not committed. In that case the sources are
    ///   what they were, and the temporary part may be removed. `.invalidArgument` when the path of a root contains a
    ///   line break or ` -> `, which the file cannot hold.
    public func write(to path: String, on files: any FileSystem) throws(WriteFailure) {
        let bytes = Array(text.utf8)
        let isReadable = (try? PartTransaction(parsing: bytes, path: path, allowsRemoval: true)) == self
        guard isReadable else {
            let error = StorageError(
                .invalidArgument, "the path of a table must not contain a line break or \" -> \"", path: path)
            throw WriteFailure(error: error, mayBeCommitted: false)
        }
        do throws(StorageError) {
            try files.writeAtomically(bytes, to: path)
        } catch {
            // A file that was there before is not ours and stays; the next open will execute it.
            let isGone = error.kind != .alreadyExists && Self.takeBack(path, on: files)
            throw WriteFailure(error: error, mayBeCommitted: !isGone)
        }
    }

    /// Tells whether `path` is durably absent. The sync matters also when nothing is visible: a failed write may have
    /// renamed the file before it was removed again.
    private static func takeBack(_ path: String, on files: any FileSystem) -> Bool {
        do throws(StorageError) {
            if try files.kind(of: path) == nil {
                try files.sync(Paths.parent(path))
            } else {
                try files.removeAll(path)  // syncs the directory
            }
            return true
        } catch {
            return false
        }
    }

    /// Does what the committed transaction in `file` says, durably, and removes the file. May be repeated after a
    /// failure and after a crash at any point.
    ///
    /// - Parameters:
    ///   - roots: All paths of the transaction must lie inside one of these directories.
    ///   - file: The transaction file.
    /// - Throws: `.corrupted` before anything is changed when a path leads out of the roots, or when the new part is
    ///   there under both names. Otherwise the error of the file system; the transaction is still pending then.
    public func execute(inside roots: [String], file: String, on files: any FileSystem) throws(StorageError) {
        var absolute: [String] = []
        for root in roots { absolute.append(try files.absolutePath(root)) }
        var removals: [String] = []
        for source in sources { removals.append(try Self.inside(absolute, source, "to remove", file, files)) }
        let from = try Self.inside(absolute, temporary, "of the temporary part", file, files)
        if let target {
            let to = try Self.inside(absolute, target, "of the new part", file, files)
            let isPending = try files.kind(of: from) != nil
            if isPending, try files.kind(of: to) != nil {
                throw StorageError(.corrupted, "\(from) and \(to) exist both", path: file)
            }
            for removal in removals { try files.removeAll(removal) }
            // Not there: renamed before a crash, and perhaps merged further since then.
            if isPending { try files.rename(from, to: to) }
        } else {
            for removal in removals { try files.removeAll(removal) }
            try files.removeAll(from)
        }
        for root in absolute { try files.sync(root) }
        // A file that stays, by a failure or a crash, is executed again by the next open, which changes nothing.
        try? files.removeFile(file)
    }

    /// The absolute form of a path, which must lie strictly inside one of `roots`.
    private static func inside(
        _ roots: [String], _ path: String, _ role: String, _ file: String, _ files: any FileSystem
    ) throws(StorageError) -> String {
        let absolute = try files.absolutePath(path)
        guard roots.contains(where: { Paths.isStrictlyInside(absolute, $0) }) else {
            throw StorageError(
                .corrupted, "the path \(role), \(path), is not inside of \(roots.joined(separator: " or "))", path: file
            )
        }
        return absolute
    }

    // MARK: Recovery

    /// Finishes what an earlier process left in the directories of a table, before its parts are opened: executes the
    /// committed transactions of all roots, of each in the order of their names, then drops unfinished transactions and
    /// parts, and leaves `txn/` and `tmp/` empty. Durable when it returns; may be repeated after a failure or a crash.
    ///
    /// - Returns: How many transactions were executed.
    /// - Throws: `.corrupted` when a transaction cannot be read or leads out of the roots (a data directory was moved
    ///   with a transaction pending: mend the paths in the file), otherwise the error of the file system.
    @discardableResult
    public static func recover(
        roots: [String], allowsRemoval: Bool, on files: any FileSystem
    ) throws(StorageError) -> Int {
        var executedCount = 0
        for root in roots {
            let directory = Paths.join(root, directoryName)
            for name in try pending(directory, on: files) {
                let path = Paths.join(directory, name)
                let transaction = try PartTransaction(
                    parsing: read(path, on: files), path: path, allowsRemoval: allowsRemoval)
                try transaction.execute(inside: roots, file: path, on: files)
                executedCount += 1
            }
        }
        for root in roots {
            for name in [directoryName, temporaryDirectoryName] {
                let path = Paths.join(root, name)
                try files.removeAll(path)
                try files.makeDirectory(path, parents: false)  // syncs the root
            }
        }
        return executedCount
    }

    /// Names of committed transactions, sorted bytewise.
    private static func pending(_ directory: String, on files: any FileSystem) throws(StorageError) -> [String] {
        if try files.kind(of: directory) == nil { return [] }
        return try files.list(directory).map(\.name).filter { !isUnfinished($0) }
    }

    /// Tells whether a name ends in `.tmp.` and digits: a file whose atomic write was not finished.
    public static func isUnfinished(_ name: String) -> Bool {
        var rest = Array(name.utf8)[...]
        let lengthWithDigits = rest.count
        while let last = rest.last, UInt8(ascii: "0")...UInt8(ascii: "9") ~= last { rest.removeLast() }
        return rest.count < lengthWithDigits && rest.suffix(5).elementsEqual(".tmp.".utf8)
    }

    private static func read(_ path: String, on files: any FileSystem) throws(StorageError) -> [UInt8] {
        do throws(StorageError) {
            return try files.readAll(path, limitBytes: fileBytesMax).array()
        } catch {
            if error.kind == .limitExceeded { throw StorageError(.corrupted, error.message, path: path) }
            throw error
        }
    }
}
