// SimulatedNode.swift - files, directories and links of the simulation: what everybody sees, and what a crash would leave.
//
//   file        bytes        | durable: 0 ..< durableCount | written since: lost, kept or torn by a crash |
//   directory   entries      what is visible
//               durableEntries + the PendingChanges that touch it = entries
//   link        its text, durable with its name
//
// Files only grow, so one number tells what is durable. Nodes are referred to by name entries, pending changes and open
// handles, and die with the last of them. All of this is guarded by the lock of the file system.

/// A file, a directory or a symbolic link, independent of its names.
final class SimulatedNode {
    let isDirectory: Bool
    /// Where a link points; nil of files and directories.
    let linkTarget: String?

    // Of a file.
    var bytes: [UInt8] = []
    var durableCount = 0
    /// A sync of this file has failed: what was not durable then never will be.
    var syncHasFailed = false
    /// Visible names.
    var linkCount = 0
    var openCount = 0
    var isLocked = false

    // Of a directory.
    var entries: [String: SimulatedNode] = [:]
    var durableEntries: [String: SimulatedNode] = [:]
    /// Its visible name was removed.
    var isRemoved = false
    /// Removed, and the removal is durable: what is pending inside does not matter any more.
    var isGone = false

    init(isDirectory: Bool, linkTarget: String? = nil) {
        self.isDirectory = isDirectory
        self.linkTarget = linkTarget
    }

    var kind: FileKind { isDirectory ? .directory : linkTarget == nil ? .file : .other }

    /// Marks a removed directory, and the removed directories durably in it, as gone.
    func markGone() {
        guard isDirectory, isRemoved, !isGone else { return }
        isGone = true
        for child in durableEntries.values { child.markGone() }
    }
}

/// A change of names that happens completely or not at all, not yet durable.
struct PendingChange {
    /// `name` in `directory` stands for `node` now; for nothing when that is nil.
    struct Edit {
        let directory: SimulatedNode
        let name: String
        let node: SimulatedNode?

        var key: Key { Key(directory: ObjectIdentifier(directory), name: name) }
    }

    /// A place for a name.
    struct Key: Hashable {
        let directory: ObjectIdentifier
        let name: String
    }

    let edits: [Edit]

    func touches(_ directory: SimulatedNode) -> Bool { edits.contains { $0.directory === directory } }

    func apply() {
        for edit in edits { edit.directory.durableEntries[edit.name] = edit.node }
    }
}

/// Names that wait for the sync of their directory, in the order in which they were changed.
struct PendingChanges {
    private(set) var list: [PendingChange] = []

    mutating func append(_ change: PendingChange) { list.append(change) }

    /// Makes durable what touches `directory`, and what that builds upon.
    mutating func commit(_ directory: SimulatedNode) {
        commit(withDependencies(list.map { $0.touches(directory) }))
    }

    /// Makes durable what is marked and keeps the rest waiting.
    private mutating func commit(_ isKept: [Bool]) {
        var rest: [PendingChange] = []
        var replaced: [SimulatedNode] = []
        for (change, isKept) in zip(list, isKept) {
            if isKept {
                for edit in change.edits {
                    if let old = edit.directory.durableEntries[edit.name] { replaced.append(old) }
                }
                change.apply()
            } else {
                rest.append(change)
            }
        }
        for node in replaced { node.markGone() }
        list = rest.filter { change in !change.edits.allSatisfy { $0.directory.isGone } }
    }

    /// Marks also every earlier change of a name that a marked change touches: a later one builds upon it (a file moved
    /// twice must not appear at its first place again).
    private func withDependencies(_ marks: [Bool]) -> [Bool] {
        var marks = marks
        var keys: Set<PendingChange.Key> = []
        for index in list.indices.reversed() {
            let edits = list[index].edits
            if marks[index] || edits.contains(where: { keys.contains($0.key) }) {
                marks[index] = true
                for edit in edits { keys.insert(edit.key) }
            }
        }
        return marks
    }

    /// What a journaling file system may have written by itself: of each directory the first few changes. A change of
    /// two directories is kept only if it is among those of both.
    func prefixes(_ next: () -> UInt64) -> [Bool] {
        var limits: [ObjectIdentifier: Int] = [:]
        for change in list {
            for directory in Set(change.edits.map { ObjectIdentifier($0.directory) }) {
                limits[directory, default: 0] += 1
            }
        }
        // Drawn in the order of first appearance; the order of a dictionary differs from run to run.
        var isDrawn: Set<ObjectIdentifier> = []
        for change in list {
            for edit in change.edits where isDrawn.insert(ObjectIdentifier(edit.directory)).inserted {
                let directory = ObjectIdentifier(edit.directory)
                let count = limits[directory]!
                switch next() % 4 {
                case 0: limits[directory] = 0
                case 1: break
                default: limits[directory] = Int(next() % UInt64(count + 1))
                }
            }
        }
        return list.map { change in
            let directories = Set(change.edits.map { ObjectIdentifier($0.directory) })
            let isKept = directories.allSatisfy { limits[$0]! > 0 }
            for directory in directories {
                if isKept { limits[directory]! -= 1 } else { limits[directory] = 0 }  // nothing after a gap
            }
            return isKept
        }
    }

    /// What a file system without order may have written: anything, as long as it makes sense.
    func subset(_ next: () -> UInt64) -> [Bool] { withDependencies(list.map { _ in next() % 2 == 0 }) }

    /// Ends the life of the machine: what is marked becomes durable, the rest is lost.
    mutating func settle(_ isKept: [Bool]) {
        for (change, isKept) in zip(list, isKept) where isKept { change.apply() }
        list = []
    }
}
