// SimulatedFileSystem+Crash.swift - copies of a simulated disk: as it is, and as a crash leaves it.
//
// A crash settles, from a seed:
//
// names   either of each directory a prefix of its changes since the last sync (a journaling file system), or any
//         subset that makes sense (none). A rename happens completely or not at all.
// bytes   of each file what was written since its last sync is lost, kept, or torn: the file ends somewhere in it, and
//         each block of 512 bytes behind some point is right, zero or garbage.
//
// What was synced always survives. The new disk is at rest: all that is on it is durable, nothing is locked.

import StorageRuntime

extension SimulatedFileSystem {
    /// The disk as the next process finds it after a crash at this moment. This machine counts as crashed from now on;
    /// its disk is not changed, so other seeds may be tried. The new file system has no faults.
    public func afterCrash(
        seed: UInt64, outcome: CrashOutcome = .bySeed, recording: Recording = .changes
    ) -> SimulatedFileSystem {
        crash()
        let copy = snapshot(recording: recording)
        copy.settle(seed, outcome)
        return copy
    }

    /// A copy that shares nothing with this one: names, bytes, and what of them is durable. Without handles, locks,
    /// faults, record and counts.
    public func snapshot(recording: Recording = .changes) -> SimulatedFileSystem {
        let copy = SimulatedFileSystem(recording: recording)
        state.lock()
        defer { state.unlock() }
        var copies: [ObjectIdentifier: SimulatedNode] = [:]
        copy.root = Self.copied(root, &copies)
        for change in pending.list {
            var edits: [PendingChange.Edit] = []
            for edit in change.edits {
                edits.append(
                    PendingChange.Edit(
                        directory: Self.copied(edit.directory, &copies), name: edit.name,
                        node: edit.node.map { Self.copied($0, &copies) }))
            }
            copy.pending.append(PendingChange(edits: edits))
        }
        for node in copies.values where node.linkCount > 0 { copy.usedBytes += node.bytes.count }
        return copy
    }

    private static func copied(
        _ node: SimulatedNode, _ copies: inout [ObjectIdentifier: SimulatedNode]
    ) -> SimulatedNode {
        if let copy = copies[ObjectIdentifier(node)] { return copy }
        let copy = SimulatedNode(isDirectory: node.isDirectory, linkTarget: node.linkTarget)
        copies[ObjectIdentifier(node)] = copy
        copy.bytes = node.bytes
        copy.durableCount = node.durableCount
        copy.syncHasFailed = node.syncHasFailed
        copy.linkCount = node.linkCount
        copy.isRemoved = node.isRemoved
        copy.isGone = node.isGone
        for (name, child) in node.entries { copy.entries[name] = copied(child, &copies) }
        for (name, child) in node.durableEntries { copy.durableEntries[name] = copied(child, &copies) }
        return copy
    }

    /// Replaces the visible state by what a crash leaves.
    private func settle(_ seed: UInt64, _ outcome: CrashOutcome) {
        state.lock()
        defer { state.unlock() }
        var random = SplitMix64(seed: Seeds.derive(seed, "crash"))
        switch outcome {
        case .nothingKept: pending.settle([])
        case .everythingKept: pending.settle(pending.list.map { _ in true })
        case .bySeed:
            let isJournaling = random.below(2) == 0
            pending.settle(
                isJournaling ? pending.prefixes { random.next() } : pending.subset { random.next() })
        }
        usedBytes = 0
        var files: Set<ObjectIdentifier> = []
        var directories: [SimulatedNode] = [root]
        while let directory = directories.popLast() {
            directory.entries = directory.durableEntries
            for (_, node) in Self.sortedEntries(directory) {
                if node.isDirectory {
                    node.linkCount = 1
                    node.isRemoved = false
                    node.isGone = false
                    directories.append(node)
                } else if files.insert(ObjectIdentifier(node)).inserted {
                    node.linkCount = 1
                    Self.settleBytes(node, outcome, &random)
                    usedBytes += node.bytes.count
                } else {
                    node.linkCount += 1
                }
            }
        }
    }

    private static func settleBytes(_ node: SimulatedNode, _ outcome: CrashOutcome, _ random: inout SplitMix64) {
        let durable = node.durableCount
        if durable < node.bytes.count {
            switch outcome {
            case .nothingKept: node.bytes.removeSubrange(durable...)
            case .everythingKept: break
            case .bySeed:
                switch random.below(3) {
                case 0: node.bytes.removeSubrange(durable...)
                case 1: break
                default: tear(node, &random)
                }
            }
        }
        node.durableCount = node.bytes.count
        node.syncHasFailed = false
    }

    /// Cuts the unsynced bytes somewhere and spoils some of the blocks behind an intact beginning.
    private static func tear(_ node: SimulatedNode, _ random: inout SplitMix64) {
        let durable = node.durableCount
        let end = durable + 1 + random.below(node.bytes.count - durable)
        node.bytes.removeSubrange(end...)
        var block = durable + random.below(end - durable)
        while block < end {
            let next = min(end, (block / 512 + 1) * 512)
            switch random.below(3) {
            case 0: for index in block..<next { node.bytes[index] = 0 }
            case 1: for index in block..<next { node.bytes[index] = UInt8(truncatingIfNeeded: random.next()) }
            default: break
            }
            block = next
        }
    }

    /// All files below `directory`, by path relative to it; of links the bytes are `-> ` and their text. For comparing and
    /// digesting; not an operation.
    public func contents(of directory: String = "/") -> [String: [UInt8]] {
        state.lock()
        defer { state.unlock() }
        var node = root
        for name in Paths.components(Paths.absolute(directory, currentDirectory: "/")) {
            guard let child = node.entries[name] else { return [:] }
            node = child
        }
        var files: [String: [UInt8]] = [:]
        func collect(_ node: SimulatedNode, _ prefix: String) {
            for (name, child) in node.entries {
                if child.isDirectory {
                    collect(child, prefix + name + "/")
                } else {
                    files[prefix + name] = child.linkTarget.map { Array("-> \($0)".utf8) } ?? child.bytes
                }
            }
        }
        collect(node, "")
        return files
    }

    /// Copies a directory of another file system to `target`, which is made with its parents. Symbolic links stay links;
    /// names of one file become files of their own. The copy is durable; the operations of copying are not counted,
    /// recorded or made to fail.
    ///
    /// - Throws: Also `.io` for a special file: there is nothing to copy in it.
    public func load(_ source: String, of other: any FileSystem, into target: String) throws(StorageError) {
        let carrier = SimulatedFileSystem(recording: .nothing)
        try carrier.copyTree(source, of: other, to: "/")
        let path = Paths.absolute(target, currentDirectory: "/")
        state.lock()
        defer { state.unlock() }
        var node = root
        for name in Paths.components(path) {
            if let child = node.entries[name] {
                guard child.isDirectory else { throw StorageError(.alreadyExists, "a file is in the way", path: path) }
                node = child
            } else {
                let child = SimulatedNode(isDirectory: true)
                child.linkCount = 1
                node.entries[name] = child
                node.durableEntries[name] = child
                node = child
            }
        }
        if !node.entries.isEmpty { throw StorageError(.alreadyExists, "the directory is not empty", path: path) }
        // The tree was made in the carrier, whose nodes are at rest; nobody else knows them.
        let settled = carrier.afterCrash(seed: 0, outcome: .everythingKept)
        node.entries = settled.root.entries
        node.durableEntries = settled.root.entries
        usedBytes += settled.usedBytes
    }

    private func copyTree(_ source: String, of other: any FileSystem, to target: String) throws(StorageError) {
        for entry in try other.list(source) {
            let from = Paths.join(source, entry.name)
            let to = Paths.join(target, entry.name)
            switch entry.kind {
            case .directory:
                try makeDirectory(to, parents: false)
                try copyTree(from, of: other, to: to)
            case .file:
                let bytes = try other.readAll(from, limitBytes: .max)
                let file = try create(to)
                try file.write(bytes.bytes)
                try file.close()
            case .other: try symbolicLink(to: other.linkTarget(of: from), at: to)
            }
        }
    }
}
