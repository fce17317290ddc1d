// Thresholds.swift - Benchmarks/Thresholds/<toolchain>-<arch>/<case>.json: what the figures of a case were when somebody
// last said that they are right.
//
//   {
//   "allocator":"jemalloc 5.3.0, ...",     the key: what has to agree before a value is compared
//   ...
//   "metrics":{
//   "allocations":{"allocator":...,"better":"lower","fail_pct":0.5,...,"value":1034},     a line a metric
//   ...
//   }
//   }
//
// One line a metric, sorted, so that the diff of an update shows which figures it moved and nothing else.

import StorageFiles
import StorageRuntime

/// The value of a figure that the gate holds, with the limits around it.
public struct Threshold: Sendable, Equatable, Codable {
    /// The value that is right.
    public var value: Double
    /// Its unit.
    public var unit: String
    /// Which direction is better; `.none` for what searches find, where any difference fails (T0).
    public var better: FigureDirection
    /// `exact` (T1, T0) or `near` (T2).
    public var kind: FigureKind
    /// Worse by more than this many percent fails, by more than that warns.
    public var failPct: Double, warnPct: Double
    /// Whether any worsening fails.
    public var ratchet: Bool
    /// What two measurements of one program differed by, millionths; 0 for exact figures.
    public var noiseFloorPpm: Double
    /// What the value was measured with.
    public var toolchain: String, allocator: String, commit: String

    /// Limits of a kind of figure (docs/format/bench-harness.md, 5).
    static func limits(_ kind: FigureKind) -> (failPct: Double, warnPct: Double) {
        kind == .exact ? (0.5, 0.1) : (1, 0.1)
    }
}

/// The thresholds of a case.
public struct Thresholds: Sendable, Equatable, Codable {
    /// Version of the layout.
    public var schemaVersion = Thresholds.schemaVersionCurrent
    /// Name of the case.
    public var profile: String
    /// Size and settings of its runs.
    public var size: String, settings: [String]
    /// Further settings of the runs under callgrind.
    public var counting: [String]
    /// What the values were measured with.
    public var toolchain: String, architecture: String, allocator: String
    public var libraries: String, instructionSet: String
    /// Version of valgrind; nil when no instructions were counted.
    public var valgrind: String?
    /// Commit, and why the values were taken over.
    public var commit: String, reason: String
    /// What was ingested and what was stored.
    public var streamDigest: String, storeDigest: String
    /// The values, by name of the figure.
    public var metrics: [String: Threshold]

    static let schemaVersionCurrent = 1

    /// The text of the file.
    public func json() -> String {
        var head = self
        head.metrics = [:]
        let marker = "\"metrics\":{}"
        let lines = metrics.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\(GateJSON.line($0.value))" }
        let block = "\n\"metrics\":{\n" + lines.joined(separator: ",\n") + "\n}"
        let parts = GateJSON.line(head).split(separator: marker, maxSplits: 1, omittingEmptySubsequences: false)
        precondition(parts.count == 2, "the head of the thresholds has no place for metrics")
        return String(parts[0]) + block + String(parts[1]) + "\n"
    }
}

/// The directory of thresholds.
public struct ThresholdStore {
    /// `Benchmarks/Thresholds`.
    public let directory: String
    let files: any FileSystem

    /// Opens a directory; nothing is read yet.
    public init(_ directory: String, _ files: any FileSystem) {
        self.directory = directory
        self.files = files
    }

    /// Name of the directory for a toolchain and architecture: `swift-6.3.1-x86_64`.
    static func folder(toolchain: String, architecture: String) -> String {
        toolchain.lowercased().split(separator: " ").joined(separator: "-") + "-" + architecture
    }

    /// The path of a file.
    func path(_ name: String, toolchain: String, architecture: String) -> String {
        Paths.join(
            Paths.join(directory, ThresholdStore.folder(toolchain: toolchain, architecture: architecture)),
            name + ".json")
    }

    /// The thresholds of a case.
    ///
    /// - Returns: nil when there are none for this toolchain and architecture.
    /// - Throws: `.badInput` when the file is damaged, `.notComparable` when it has another schema version.
    public func load(
        _ name: String, toolchain: String, architecture: String
    ) throws(HarnessError) -> Thresholds? {
        struct Version: Decodable { var schemaVersion: Int }
        let path = path(name, toolchain: toolchain, architecture: architecture)
        guard (try? files.kind(of: path)) == .file else { return nil }
        let version: Version = try GateJSON.read(path, "thresholds", files)
        guard version.schemaVersion == Thresholds.schemaVersionCurrent else {
            throw HarnessError(
                .notComparable,
                "\(path) has schema version \(version.schemaVersion), this program reads "
                    + "\(Thresholds.schemaVersionCurrent); make new ones: " + ThresholdStore.hint)
        }
        return try GateJSON.read(path, "thresholds", files)
    }

    /// As ``load(_:toolchain:architecture:)``, where there have to be some.
    ///
    /// - Throws: `.notComparable` when there are none, with what there is.
    func require(_ name: String, toolchain: String, architecture: String) throws(HarnessError) -> Thresholds {
        if let found = try load(name, toolchain: toolchain, architecture: architecture) { return found }
        let folder = ThresholdStore.folder(toolchain: toolchain, architecture: architecture)
        let others = folders().filter { $0 != folder }
        throw HarnessError(
            .notComparable,
            "no thresholds of \(name) for \(folder) in \(directory)"
                + (others.isEmpty ? "" : " (there are some for \(others.joined(separator: ", ")))")
                + "; make them: " + ThresholdStore.hint + "; or compare with a program or revision: --base")
    }

    static let hint = "mergeset-bench thresholds update --all --reason WHY"

    private func folders() -> [String] {
        ((try? files.list(directory)) ?? []).filter { $0.kind == .directory }.map(\.name).sorted()
    }

    /// Writes the thresholds of a case, all or nothing.
    func save(_ thresholds: Thresholds) throws(HarnessError) {
        let path = path(
            thresholds.profile, toolchain: thresholds.toolchain, architecture: thresholds.architecture)
        do throws(StorageError) {
            let parent = Paths.parent(path)
            if try files.kind(of: parent) == nil { try files.makeDirectory(parent, parents: true) }
            try files.replaceAtomically(Array(thresholds.json().utf8), at: path)
        } catch { throw HarnessError(error, while: "writing \(path)") }
    }
}

extension Thresholds {
    /// Why a record of this machine cannot be compared with these values; empty when it can.
    ///
    /// - Parameter valgrind: Version in use when instructions are compared, else nil.
    func obstacles(
        _ record: RunRecord, _ plan: GatePlan.Case, _ environment: MeasuringEnvironment, valgrind: String?
    ) -> [String] {
        var obstacles: [String] = []
        func check(_ name: String, _ then: String, _ now: String) {
            if then != now { obstacles.append("\(name): then \(then), now \(now)") }
        }
        check("settings", settings.joined(separator: " "), plan.settings.joined(separator: " "))
        check("size", size, record.size)
        check("toolchain", toolchain, record.provenance.toolchain)
        check("architecture", architecture, record.provenance.architecture)
        check("allocator", allocator, record.provenance.allocator)
        check("libraries", libraries, environment.libraries)
        check("stream", streamDigest, record.observed.streamDigest)
        if let valgrind {
            check(
                "settings for callgrind", counting.joined(separator: " "), (plan.counting ?? []).joined(separator: " "))
            check("instruction set", instructionSet, environment.instructionSet)
            check("valgrind", self.valgrind ?? "none", valgrind)
        }
        return obstacles
    }
}
