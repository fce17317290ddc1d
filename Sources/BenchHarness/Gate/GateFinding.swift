// GateFinding.swift - what the gate has to say about one figure of one case, and what follows for the whole.

/// A tier of the gate.
public enum GateTier: String, Sendable, Codable, CaseIterable {
    /// Correctness: without it there is no verdict.
    case t0
    /// Exact counters in deterministic mode.
    case t1
    /// Instructions.
    case t2
    /// Paired time.
    case t3
    /// Trend over the history.
    case t4
}

/// One thing found.
public struct GateFinding: Sendable, Equatable, Codable {
    /// What it means.
    public enum Verdict: String, Sendable, Codable, CaseIterable {
        /// A regression: blocks.
        case fail
        /// Too noisy to tell, or a side of the comparison is missing.
        case inconclusive
        /// A figure that should repeat to the digit and does not: not judged.
        case defect
        /// A regression that somebody has accepted.
        case waived
        /// Worse, within the limit.
        case warning
        /// Better than the threshold: to be locked in with `thresholds update`.
        case improvement
        /// Worth knowing.
        case note
    }

    /// Where it was found.
    public var tier: GateTier, profile: String
    /// The figure; nil for what concerns the whole case.
    public var metric: String?
    /// What it means.
    public var verdict: Verdict
    /// The value that was expected, and the one that was measured.
    public var reference: Double?, measured: Double?
    /// How much worse, 0.01 is 1 %; negative is better. nil for a change from zero.
    public var worsening: Double?
    /// In words.
    public var text: String

    init(
        _ tier: GateTier, _ profile: String, _ metric: String? = nil, _ verdict: Verdict, reference: Double? = nil,
        measured: Double? = nil, worsening: Double? = nil, _ text: String
    ) {
        self.tier = tier
        self.profile = profile
        self.metric = metric
        self.verdict = verdict
        self.reference = reference
        self.measured = measured
        self.worsening = worsening.flatMap { $0.isFinite ? $0 : nil }
        self.text = text
    }
}

/// All that a gate has found.
public struct GateResult: Sendable, Equatable, Codable {
    /// What each tier has looked at: cases and figures.
    public struct Coverage: Sendable, Equatable, Codable {
        /// The tier.
        public var tier: GateTier
        /// Cases, and figures judged in them.
        public var cases: Int, figures: Int
        /// Wall seconds.
        public var seconds: Double
    }

    /// Version of the layout of gate.json.
    public var schemaVersion = 1
    /// What was compared, for people.
    public var base: String, candidate: String
    /// Where.
    public var provenance: Provenance
    /// What was looked at.
    public var coverage: [Coverage] = []
    /// What was found.
    public var findings: [GateFinding] = []

    /// The exit code: a regression before what is inconclusive before improvements.
    public var status: ExitStatus {
        let verdicts = Set(findings.map(\.verdict))
        if verdicts.contains(.fail) { return .regression }
        if verdicts.contains(.inconclusive) || verdicts.contains(.defect) { return .inconclusive }
        return verdicts.contains(.improvement) ? .improvements : .pass
    }

    /// One word for it.
    public var word: String {
        switch status {
        case .regression: "FAIL"
        case .inconclusive: "INCONCLUSIVE"
        case .improvements: "IMPROVED"
        default: "PASS"
        }
    }
}

/// The result as text.
public enum GateReport {
    /// For a terminal: the verdict first, then only what was found.
    public static func text(_ result: GateResult) -> String {
        var text = "\(result.word)  \(result.candidate) against \(result.base)\n"
        for coverage in result.coverage {
            text += "  \(coverage.tier.rawValue.uppercased())  " + TextFormat.many(Double(coverage.cases), "case")
            text += ", " + TextFormat.many(Double(coverage.figures), "figure")
            text += ", " + TextFormat.seconds(coverage.seconds) + "\n"
        }
        for verdict in GateFinding.Verdict.allCases {
            let findings = result.findings.filter { $0.verdict == verdict }
            if findings.isEmpty { continue }
            text += "\n\(title(verdict))\n"
            for finding in findings { text += "  \(line(finding))\n" }
        }
        if result.findings.contains(where: { $0.verdict == .improvement }) {
            text += "\nlock them in: \(ThresholdStore.hint)\n"
        }
        return text
    }

    /// For the page of a CI job.
    public static func markdown(_ result: GateResult) -> String {
        var text = "## Gate: \(result.word)\n\n\(result.candidate) against \(result.base)\n\n"
        let shown = result.findings.filter { $0.verdict != .note }
        if shown.isEmpty {
            text += "Nothing moved in "
            text += "\(result.coverage.reduce(0) { $0 + $1.figures }) figures.\n"
        } else {
            text += "| verdict | tier | case | figure | |\n|--|--|--|--|--|\n"
            for verdict in GateFinding.Verdict.allCases {
                for finding in shown where finding.verdict == verdict {
                    text += "| \(verdict.rawValue) | \(finding.tier.rawValue.uppercased()) | \(finding.profile) "
                    text += "| \(finding.metric ?? "") | \(finding.text) |\n"
                }
            }
        }
        for finding in result.findings where finding.verdict == .note {
            text += "\n- \(finding.tier.rawValue.uppercased()) \(finding.profile): \(finding.text)"
        }
        return text + "\n"
    }

    private static func line(_ finding: GateFinding) -> String {
        let place = finding.tier.rawValue.uppercased() + " " + finding.profile
        return place + (finding.metric.map { " " + $0 } ?? "") + ": " + finding.text
    }

    private static func title(_ verdict: GateFinding.Verdict) -> String {
        switch verdict {
        case .fail: "regressions"
        case .inconclusive: "inconclusive"
        case .defect: "defects of the harness: figures that do not repeat, not judged"
        case .waived: "waived regressions"
        case .warning: "warnings"
        case .improvement: "improvements to lock in"
        case .note: "notes"
        }
    }
}
