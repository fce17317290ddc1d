// Comparability.swift - whether two records speak of the same thing. Nothing is compared when they do not.

/// The facts of a run that have to agree before its figures mean the same as those of another.
public enum Comparability {
    /// Why two records cannot be compared; empty when they can.
    public static func obstacles(_ a: RunRecord, _ b: RunRecord) -> [String] {
        var obstacles: [String] = []
        func check(_ name: String, _ first: some Equatable, _ second: some Equatable) {
            let (first, second) = ("\(first)", "\(second)")
            if first != second { obstacles.append("\(name): \(first) | \(second)") }
        }
        check("schema", a.schemaVersion, b.schemaVersion)
        check("machine", machine(a.provenance), machine(b.provenance))
        check("toolchain", a.provenance.toolchain, b.provenance.toolchain)
        check("build", a.provenance.build, b.provenance.build)
        // Older records do not tell their flags.
        if let first = a.provenance.flags, let second = b.provenance.flags { check("flags", first, second) }
        check("allocator", a.provenance.allocator, b.provenance.allocator)
        check("profile", a.profile, b.profile)
        check("size", a.size, b.size)
        check("mode", a.mode, b.mode)
        check("path", a.observed.kind, b.observed.kind)
        check("threads", a.threads, b.threads)
        check("seed", a.seed, b.seed)
        check("settings", settings(a), settings(b))
        check("stream", a.observed.streamDigest, b.observed.streamDigest)
        for (side, record) in [("first", a), ("second", b)] where !record.comparable {
            obstacles.append(
                "the \(side) run is not comparable itself: " + record.notComparableBecause.joined(separator: ", "))
        }
        return obstacles
    }

    /// - Throws: `.notComparable` with all obstacles in one line.
    public static func require(_ a: RunRecord, _ b: RunRecord) throws(HarnessError) {
        let obstacles = obstacles(a, b)
        guard obstacles.isEmpty else {
            throw HarnessError(
                .notComparable,
                "not comparable: " + obstacles.joined(separator: "; ")
                    + "; run both sides on one machine, or compare two programs: mergeset-bench compare PROGRAM PROGRAM"
            )
        }
    }

    /// A key that is the same for records that can be compared.
    static func key(_ record: RunRecord) -> String {
        [
            machine(record.provenance), record.provenance.toolchain, record.provenance.allocator, record.profile,
            record.size, record.mode, record.observed.kind, "\(record.threads)", "\(record.seed)", settings(record),
            record.observed.streamDigest, record.provenance.build, record.provenance.flags ?? "flags unknown",
        ].joined(separator: "|")
    }

    private static func machine(_ provenance: Provenance) -> String {
        "\(provenance.cpu), \(provenance.cores) cores, \(provenance.architecture)"
    }

    private static func settings(_ record: RunRecord) -> String {
        let settings = record.settings.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return settings.isEmpty ? "none" : settings.joined(separator: " ")
    }
}
