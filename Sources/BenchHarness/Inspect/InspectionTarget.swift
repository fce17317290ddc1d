// InspectionTarget.swift - which parts lie in a directory, whatever kind of directory it is.
//
//   <parent>/<part>/metaindex.bin + metadata.json   a part of an index table; <parent> is the table
//   <parent>/<part>/metaindex.bin + values.bin      a part of samples; <parent> is small/2021_11 or big/2021_11
//
// So a storage, its indexdb or data directory, one table, one partition, a snapshot and one part are all found in the same
// way: by walking down. Directories under construction (tmp), transactions (txn), caches, nested snapshots and
// parts that were set aside as damaged are left out. Links to directories are followed, since snapshots consist of them.

import StorageFiles
import StorageRuntime

/// Parts that belong together.
struct PartGroup: Equatable {
    /// What the parts hold.
    enum Kind { case index, samples }

    var kind: Kind
    /// The directory that holds them.
    var path: String
    /// Directories of the parts, sorted.
    var parts: [String] = []
    /// Transactions that wait to be finished by the next open of the table.
    var transactions = 0
}

/// Finds parts.
struct InspectionTarget {
    private static let skipped: Set<String> = ["tmp", "txn", "cache", "snapshots", "damaged"]
    /// A part lies at most so deep below a storage: data / small / 2021_11 / part.
    private static let depthMax = 6

    private let files: any FileSystem
    private(set) var groups: [PartGroup] = []

    /// Walks through `path`.
    ///
    /// - Throws: `.notFound` when there is no such directory, `.io`.
    init(_ path: String, _ files: any FileSystem) throws(StorageError) {
        self.files = files
        let path = Paths.clean(path)
        guard try files.kind(of: path) != nil else {
            throw StorageError(.notFound, "there is no such directory", path: path)
        }
        try walk(path, depth: 0)
    }

    private mutating func walk(_ path: String, depth: Int) throws(StorageError) {
        let entries: [DirectoryEntry]
        do throws(StorageError) {
            entries = try files.list(path)
        } catch {
            // Gone since its parent was listed: merged away, or a link that leads nowhere.
            if depth > 0, error.kind == .notFound { return }
            throw error
        }
        let names = Set(entries.map(\.name))
        // Any one of them will do: a part with files missing is a damaged part, not something else.
        let isSamples = names.contains("values.bin") || names.contains("timestamps.bin")
        if isSamples || names.contains("items.bin") || names.contains("metadata.json")
            || names.contains("metaindex.bin")
        {
            add(path, isSamples ? .samples : .index)
            return
        }
        guard depth < InspectionTarget.depthMax else { return }
        for entry in entries where !InspectionTarget.skipped.contains(entry.name) {
            let inner = Paths.join(path, entry.name)
            switch entry.kind {
            case .file: continue
            case .directory: try walk(inner, depth: depth + 1)
            case .other:
                // A link: into a directory, or to something that cannot be listed.
                if (try? files.list(inner)) != nil { try walk(inner, depth: depth + 1) }
            }
        }
    }

    private mutating func add(_ part: String, _ kind: PartGroup.Kind) {
        let parent = Paths.parent(part)
        if let last = groups.indices.last, groups[last].path == parent, groups[last].kind == kind {
            groups[last].parts.append(part)
            return
        }
        var group = PartGroup(kind: kind, path: parent, parts: [part])
        let pending = (try? files.list(Paths.join(parent, "txn"))) ?? []
        group.transactions = pending.count
        groups.append(group)
    }
}
