// SimulatedFileSystem.swift - a file system in memory that forgets what was not synced.
//
// Two states are kept side by side: what calls see, and what a crash would leave (SimulatedNode.swift). Before each step
// the plan of faults is asked (FaultPlan.swift). After the crash every call throws `.crashed`, and
// `afterCrash(seed:)` gives the disk as the next process finds it (SimulatedFileSystem+Crash.swift).
//
// `.` and `..` of a path are resolved as text, before links are followed, and relative paths start at `/`. One lock guards
// everything, so any thread may call any method; steps of several threads are numbered in the order in which they get
// the lock.

import Glibc
import StorageRuntime

/// Files in memory, with faults on demand.
public final class SimulatedFileSystem: FileSystem, @unchecked Sendable {
    /// Which operations are kept for ``record``.
    public enum Recording: Sendable {
        /// None.
        case nothing
        /// Those that have a number.
        case changes
        /// All.
        case everything
    }

    let state = Lock()
    var root = SimulatedNode(isDirectory: true)
    var pending = PendingChanges()
    var usedBytes = 0
    private let recording: Recording
    let bank = FileCounterBank()
    private var operations: [FileOperation] = []
    private var numberedCount = 0
    private var isCrashed = false
    private var plan: FaultPlan
    private var ruleHits: [Int]

    /// An empty disk with the directory `/`.
    public init(faults: FaultPlan = FaultPlan(), recording: Recording = .changes) {
        self.recording = recording
        plan = faults
        ruleHits = Array(repeating: 0, count: faults.rules.count)
    }

    // MARK: Faults and record

    /// What goes wrong. Setting it starts the rules' counts anew; numbers of operations go on.
    public var faults: FaultPlan {
        get { state.withLock { plan } }
        set {
            state.withLock {
                plan = newValue
                ruleHits = Array(repeating: 0, count: newValue.rules.count)
            }
        }
    }

    /// The operations so far, each as it was asked for, including those that failed.
    public var record: [FileOperation] { state.withLock { operations } }

    /// Number of the last operation that changes something, see ``FaultPlan``.
    public var operationCount: Int { state.withLock { numberedCount } }

    /// Tells whether the machine has crashed.
    public var hasCrashed: Bool { state.withLock { isCrashed } }

    /// Crashes the machine now: every further call throws `.crashed`.
    public func crash() { state.withLock { isCrashed = true } }

    /// Bytes of files that have a name or are open.
    public var usedSpaceBytes: Int { state.withLock { usedBytes } }

    public var counters: FileCounters { bank.values }

    public func nextTemporaryNumber() -> UInt64 { bank.nextTemporaryNumber() }

    public func currentDirectory() throws(StorageError) -> String { "/" }

    /// Begins a step: counts and records it, and makes it fail when the plan says so. The caller holds the lock, and
    /// the machine has not crashed.
    private func begin(
        _ kind: FileOperation.Kind, _ path: String, target: String? = nil, bytes: Int = 0
    ) throws(StorageError) {
        if kind.isNumbered { numberedCount += 1 }
        let operation = FileOperation(
            kind: kind, path: path, target: target, byteCount: bytes, number: kind.isNumbered ? numberedCount : 0)
        if recording == .everything || recording == .changes && kind.isNumbered { operations.append(operation) }
        if kind.isNumbered, plan.crashAtOperation == numberedCount {
            isCrashed = true
            throw StorageError(.crashed, "crash at operation \(numberedCount): \(operation)", path: path)
        }
        for (index, rule) in plan.rules.enumerated() where rule.matches(operation) {
            let hit = ruleHits[index]
            ruleHits[index] += 1
            if hit >= rule.skip, rule.times.map({ hit - rule.skip < $0 }) ?? true {
                throw StorageError(rule.error, "\(kind.rawValue): injected fault", path: path)
            }
        }
    }

    private static func crashed(_ path: String) -> StorageError {
        StorageError(.crashed, "the simulated machine has crashed", path: path)
    }

    // MARK: Names

    /// A place in the tree: the directory, and the last name of a path in it.
    private struct Place {
        let directory: SimulatedNode
        /// The directories above it.
        let above: [SimulatedNode]
        let name: String
        let path: String

        var node: SimulatedNode? { directory.entries[name] }
    }

    /// The cleaned absolute path. Every method comes through here, so a crashed machine answers nothing else.
    private func cleaned(_ path: String) throws(StorageError) -> String {
        if isCrashed { throw Self.crashed(path) }
        try SystemCall.check(path)
        return Paths.absolute(path, currentDirectory: "/")
    }

    /// Most links that are followed on one path, as on Linux.
    private static let linksMax = 40

    /// The node of a path and the directories above it, from the root on. Links on the way are followed, and one at the
    /// end, if asked for.
    private func resolve(
        _ path: String, _ call: String, followsLast: Bool
    ) throws(StorageError) -> (node: SimulatedNode, above: [SimulatedNode]) {
        var above: [SimulatedNode] = []
        var node = root
        // Names still to go, the next one last.
        var names = Array(Paths.components(path).reversed())
        var links = 0
        while let name = names.popLast() {
            guard node.isDirectory else { throw SystemCall.error(call, path, ENOTDIR) }
            if name == "." { continue }
            if name == ".." {
                node = above.popLast() ?? root
                continue
            }
            guard let child = node.entries[name] else { throw SystemCall.error(call, path, ENOENT) }
            guard let target = child.linkTarget, followsLast || !names.isEmpty else {
                above.append(node)
                node = child
                continue
            }
            links += 1
            if links > Self.linksMax { throw SystemCall.error(call, path, ELOOP) }
            if target.utf8.first == Paths.slash {
                node = root
                above = []
            }
            names += Paths.components(target).reversed()
        }
        return (node, above)
    }

    private func find(
        _ path: String, _ call: String, followsLast: Bool = true
    ) throws(StorageError) -> SimulatedNode {
        try resolve(path, call, followsLast: followsLast).node
    }

    /// As ``find(_:_:followsLast:)``; nil when nothing is there.
    private func findIfThere(
        _ path: String, _ call: String, followsLast: Bool = true
    ) throws(StorageError) -> SimulatedNode? {
        do throws(StorageError) {
            return try find(path, call, followsLast: followsLast)
        } catch {
            if error.kind == .notFound || error.kind == .io(errno: ENOTDIR) { return nil }
            throw error
        }
    }

    private func findFile(_ path: String, _ call: String) throws(StorageError) -> SimulatedNode {
        let node = try find(path, call)
        if node.isDirectory { throw SystemCall.error(call, path, EISDIR) }
        return node
    }

    private func place(_ path: String, _ call: String) throws(StorageError) -> Place {
        if path == "/" { throw SystemCall.error(call, path, EBUSY) }
        let (directory, above) = try resolve(Paths.parent(path), call, followsLast: true)
        guard directory.isDirectory else { throw SystemCall.error(call, path, ENOTDIR) }
        return Place(directory: directory, above: above, name: Paths.lastComponent(path), path: path)
    }

    /// Changes names, visibly at once and durably after a sync.
    private func change(_ edits: [PendingChange.Edit]) {
        for edit in edits {
            let old = edit.directory.entries[edit.name]
            edit.directory.entries[edit.name] = edit.node
            edit.node?.linkCount += 1
            edit.node?.isRemoved = false
            if let old { unlinked(old) }
        }
        pending.append(PendingChange(edits: edits))
    }

    private func unlinked(_ node: SimulatedNode) {
        node.linkCount -= 1
        if node.linkCount == 0 {
            node.isRemoved = true
            if node.openCount == 0 { usedBytes -= node.bytes.count }
        }
    }

    private func add(_ node: SimulatedNode, at place: Place) {
        change([PendingChange.Edit(directory: place.directory, name: place.name, node: node)])
    }

    private func remove(_ place: Place) {
        change([PendingChange.Edit(directory: place.directory, name: place.name, node: nil)])
    }

    private func syncDirectory(_ node: SimulatedNode, _ path: String) throws(StorageError) {
        try begin(.syncDirectory, path)
        pending.commit(node)
        bank.addSync()
    }

    public func makeDirectory(_ path: String, parents: Bool) throws(StorageError) {
        state.lock()
        defer { state.unlock() }
        let path = try cleaned(path)
        if path != "/" {
            try makeDirectoryStep(path, parents)
        } else if !parents {
            throw SystemCall.error("mkdir", path, EEXIST)
        }
        let parent = Paths.parent(path)
        try syncDirectory(try find(parent, "fsync"), parent)
    }

    private func makeDirectoryStep(_ path: String, _ parents: Bool) throws(StorageError) {
        let parent = Paths.parent(path)
        if parents, parent != "/" {
            if let node = try? find(parent, "mkdir"), !node.isDirectory {
                throw SystemCall.error("mkdir", path, ENOTDIR)
            }
            try makeDirectoryStep(parent, true)
        }
        let place = try place(path, "mkdir")
        if place.node != nil {
            if parents, try find(path, "stat").isDirectory { return }
            throw SystemCall.error("mkdir", path, EEXIST)
        }
        try begin(.makeDirectory, path)
        add(SimulatedNode(isDirectory: true), at: place)
    }

    public func list(_ path: String) throws(StorageError) -> [DirectoryEntry] {
        state.lock()
        defer { state.unlock() }
        let path = try cleaned(path)
        try begin(.list, path)
        let node = try find(path, "open")
        guard node.isDirectory else { throw SystemCall.error("open", path, ENOTDIR) }
        return Self.sortedEntries(node).map {
            DirectoryEntry(name: $0.key, kind: $0.value.kind)
        }
    }

    static func sortedEntries(_ node: SimulatedNode) -> [(key: String, value: SimulatedNode)] {
        node.entries.sorted { Paths.precedes($0.key, $1.key) }
    }

    public func kind(of path: String) throws(StorageError) -> FileKind? {
        state.lock()
        defer { state.unlock() }
        let path = try cleaned(path)
        try begin(.status, path)
        return try findIfThere(path, "lstat", followsLast: false)?.kind
    }

    public func size(of path: String) throws(StorageError) -> Int {
        state.lock()
        defer { state.unlock() }
        let path = try cleaned(path)
        try begin(.status, path)
        return try findFile(path, "stat").bytes.count
    }

    public func removeAll(_ path: String) throws(StorageError) {
        state.lock()
        defer { state.unlock() }
        let path = try cleaned(path)
        if path == "/" {
            throw StorageError(.invalidArgument, "removeAll wants a path that ends in a name", path: path)
        }
        let parent = Paths.parent(path)
        guard let directory = try findIfThere(parent, "open"), directory.isDirectory else { return }
        try removeTree(try place(path, "unlink"))
        try syncDirectory(directory, parent)
    }

    private func removeTree(_ place: Place) throws(StorageError) {
        guard let node = place.node else { return }
        if node.isDirectory {
            for (name, _) in Self.sortedEntries(node) {
                try removeTree(
                    Place(
                        directory: node, above: place.above + [place.directory], name: name,
                        path: Paths.join(place.path, name)))
            }
        }
        try begin(node.isDirectory ? .removeDirectory : .removeFile, place.path)
        remove(place)
    }

    public func removeFile(_ path: String) throws(StorageError) {
        state.lock()
        defer { state.unlock() }
        let path = try cleaned(path)
        try begin(.removeFile, path)
        let place = try place(path, "unlink")
        guard let node = place.node else { throw SystemCall.error("unlink", path, ENOENT) }
        if node.isDirectory { throw SystemCall.error("unlink", path, EISDIR) }
        remove(place)
    }

    public func rename(_ source: String, to target: String) throws(StorageError) {
        state.lock()
        defer { state.unlock() }
        let source = try cleaned(source)
        let target = try cleaned(target)
        try begin(.rename, source, target: target)
        let from = try place(source, "rename")
        let to = try place(target, "rename")
        guard let node = from.node else { throw SystemCall.error("rename", source, ENOENT) }
        // In the order in which Linux checks.
        if to.directory === node || to.above.contains(where: { $0 === node }) {
            throw SystemCall.error("rename", target, EINVAL)
        }
        if let old = to.node, from.directory === old || from.above.contains(where: { $0 === old }) {
            throw SystemCall.error("rename", target, ENOTEMPTY)
        }
        if let old = to.node {
            if old === node { return }
            if old.isDirectory != node.isDirectory {
                throw SystemCall.error("rename", target, old.isDirectory ? EISDIR : ENOTDIR)
            }
            if !old.entries.isEmpty { throw SystemCall.error("rename", target, ENOTEMPTY) }
        }
        // The new name first: the node is never without one.
        change([
            PendingChange.Edit(directory: to.directory, name: to.name, node: node),
            PendingChange.Edit(directory: from.directory, name: from.name, node: nil),
        ])
    }

    public func hardLink(_ source: String, to target: String) throws(StorageError) {
        state.lock()
        defer { state.unlock() }
        let source = try cleaned(source)
        let target = try cleaned(target)
        try begin(.hardLink, source, target: target)
        let node = try find(source, "link", followsLast: false)
        let to = try place(target, "link")
        if to.node != nil { throw SystemCall.error("link", target, EEXIST) }
        if node.isDirectory { throw SystemCall.error("link", source, EPERM) }
        add(node, at: to)
    }

    public func symbolicLink(to target: String, at path: String) throws(StorageError) {
        state.lock()
        defer { state.unlock() }
        let path = try cleaned(path)
        try SystemCall.check(target)
        try begin(.symbolicLink, path, target: target)
        let place = try place(path, "symlink")
        if place.node != nil { throw SystemCall.error("symlink", path, EEXIST) }
        add(SimulatedNode(isDirectory: false, linkTarget: target), at: place)
    }

    public func linkTarget(of path: String) throws(StorageError) -> String {
        state.lock()
        defer { state.unlock() }
        let path = try cleaned(path)
        try begin(.status, path)
        guard let target = try find(path, "readlink", followsLast: false).linkTarget else {
            throw SystemCall.error("readlink", path, EINVAL)
        }
        return target
    }

    public func sync(_ path: String) throws(StorageError) {
        state.lock()
        defer { state.unlock() }
        let path = try cleaned(path)
        let node = try find(path, "fsync")
        if node.isDirectory { try syncDirectory(node, path) } else { try syncNode(node, path) }
    }

    public func freeSpaceBytes(_ path: String) throws(StorageError) -> UInt64 {
        state.lock()
        defer { state.unlock() }
        let path = try cleaned(path)
        try begin(.freeSpace, path)
        _ = try find(path, "statvfs")
        return plan.freeSpaceBytes ?? UInt64(max(0, (plan.capacityBytes ?? 1 << 40) - usedBytes))
    }

    // MARK: Files

    public func lock(_ path: String) throws(StorageError) -> any FileLock {
        state.lock()
        defer { state.unlock() }
        let path = try cleaned(path)
        try begin(.lock, path)
        let place = try place(path, "open")
        // A link that points nowhere is refused, where Linux would create its target.
        let node = place.node == nil ? SimulatedNode(isDirectory: false) : try find(path, "open")
        if node.isDirectory { throw SystemCall.error("open", path, EISDIR) }
        if node.isLocked {
            throw StorageError(.locked, "locked by another process or another open of this directory", path: path)
        }
        if place.node == nil { add(node, at: place) }
        usedBytes -= node.bytes.count
        node.bytes = []
        node.durableCount = 0
        node.isLocked = true
        return SimulatedFileLock(self, node)
    }

    public func open(_ path: String) throws(StorageError) -> any ReadableFile {
        state.lock()
        defer { state.unlock() }
        let cleaned = try cleaned(path)
        try begin(.open, cleaned)
        let node = try findFile(cleaned, "open")
        node.openCount += 1
        bank.addOpen()
        return SimulatedReadableFile(path, self, node)
    }

    public func create(_ path: String) throws(StorageError) -> any WritableFile {
        state.lock()
        defer { state.unlock() }
        let cleaned = try cleaned(path)
        try begin(.create, cleaned)
        let place = try place(cleaned, "open")
        if place.node != nil { throw SystemCall.error("open", cleaned, EEXIST) }
        let node = SimulatedNode(isDirectory: false)
        node.openCount = 1
        add(node, at: place)
        bank.addCreate()
        return SimulatedWritableFile(path, self, node)
    }

    func read(
        _ node: SimulatedNode, _ path: String, _ offset: Int, _ target: UnsafeMutableRawBufferPointer
    ) throws(StorageError) {
        state.lock()
        defer { state.unlock() }
        try begin(.read, try cleaned(path), bytes: target.count)
        try checkRange(offset, target.count, node.bytes.count, path)
        node.bytes.withUnsafeBytes {
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset...].prefix(target.count)))
        }
        bank.addRead(target.count)
    }

    func write(_ node: SimulatedNode, _ path: String, _ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        state.lock()
        defer { state.unlock() }
        let cleaned = try cleaned(path)
        do throws(StorageError) {
            try begin(.write, cleaned, bytes: bytes.count)
        } catch {
            append(isCrashed ? bytes[...] : bytes[..<(bytes.count / 2)], to: node)
            throw error
        }
        let free = plan.capacityBytes.map { max(0, $0 - usedBytes) } ?? Int.max
        append(bytes.prefix(free), to: node)
        if bytes.count > free { throw SystemCall.error("write", path, ENOSPC) }
        bank.addWrite(bytes.count)
    }

    private func append(_ bytes: Slice<UnsafeRawBufferPointer>, to node: SimulatedNode) {
        node.bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes))
        usedBytes += bytes.count
    }

    func syncFile(_ node: SimulatedNode, _ path: String) throws(StorageError) {
        state.lock()
        defer { state.unlock() }
        try syncNode(node, try cleaned(path))
    }

    private func syncNode(_ node: SimulatedNode, _ path: String) throws(StorageError) {
        do throws(StorageError) {
            try begin(.syncFile, path)
        } catch {
            node.syncHasFailed = true
            throw error
        }
        if !node.syncHasFailed { node.durableCount = node.bytes.count }
        bank.addSync()
    }

    func recordClose(_ path: String) throws(StorageError) {
        state.lock()
        defer { state.unlock() }
        try begin(.close, try cleaned(path))
    }

    /// An open file was closed. Its bytes are free when it has no name either.
    func closeHandle(_ node: SimulatedNode) {
        state.lock()
        defer { state.unlock() }
        node.openCount -= 1
        if node.openCount == 0 && node.linkCount == 0 { usedBytes -= node.bytes.count }
    }
}
