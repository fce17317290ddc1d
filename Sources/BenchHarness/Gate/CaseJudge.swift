// CaseJudge.swift - the rules of T0, T1 and T2 for one case (docs/format/bench-harness.md, 5). Pure functions of what was
// measured and of what was expected.
//
//   T0   wrong answer, other shape, other contents of the store        fail; nothing else is judged
//        searches that find more or less than they did                 fail
//   T1   worse by more than fail_pct (0.5 %), or at all with ratchet   fail
//        worse by more than warn_pct (0.1 %)                           warning
//   T2   worse by more than max(fail_pct, 20 x noise floor)            fail
//        worse by more than max(warn_pct, noise floor)                 warning
//   both better by more than the failing limit                         improvement

/// Judges a case.
struct CaseJudge {
    let name: String
    let waivers: Waivers
    private(set) var findings: [GateFinding] = []
    /// Figures judged, by tier.
    private(set) var judged: [GateTier: Int] = [:]

    init(_ name: String, waivers: Waivers = Waivers()) {
        self.name = name
        self.waivers = waivers
    }

    /// Judges what was measured of the candidate.
    ///
    /// - Parameters:
    ///   - reference: The values expected, and the digests.
    ///   - isFromBase: Whether they come from a base program and not from a file.
    mutating func judge(_ measured: CaseMeasurement, _ reference: Thresholds, tiers: Set<GateTier>, isFromBase: Bool) {
        guard judgeCorrectness(measured, reference, isFromBase) else { return }
        judgeAnswers(measured, reference)
        if tiers.contains(.t1) { judgeExact(measured, reference) }
        if tiers.contains(.t2) { judgeInstructions(measured, reference) }
    }

    /// Reports the figures of a side that do not repeat.
    mutating func reportDemoted(_ measured: CaseMeasurement, of side: String) {
        for figure in measured.demoted {
            let (first, second) = (ComparisonTable.number(figure.values.0), ComparisonTable.number(figure.values.1))
            findings.append(
                GateFinding(
                    .t1, name, figure.name, .defect, "the \(side) differs from itself: \(first), then \(second)"))
        }
    }

    private mutating func judgeCorrectness(
        _ measured: CaseMeasurement, _ reference: Thresholds, _ isFromBase: Bool
    ) -> Bool {
        judged[.t0, default: 0] += 4
        var failure = measured.failure
        if failure == nil, let observed = measured.record?.observed {
            if observed.streamDigest != reference.streamDigest {
                failure = "the sides ingest different streams; the generator or the profile has changed"
            } else if observed.storeDigest != reference.storeDigest {
                failure = "what is stored has changed: digest \(reference.storeDigest), now \(observed.storeDigest)"
                if !isFromBase { failure! += "; if that is meant, update the thresholds" }
            }
        }
        guard let failure else { return true }
        findings.append(GateFinding(.t0, name, nil, .fail, failure))
        return false
    }

    /// What searches find is right or wrong, and neither better nor worse.
    private mutating func judgeAnswers(_ measured: CaseMeasurement, _ reference: Thresholds) {
        for (metric, pin) in reference.metrics.sorted(by: { $0.key < $1.key }) where pin.better == .none {
            judged[.t0, default: 0] += 1
            let value = measured.answers[metric]?.value
            if value == pin.value { continue }
            let now = value.map(ComparisonTable.number) ?? "gone"
            findings.append(
                GateFinding(
                    .t0, name, metric, .fail, reference: pin.value, measured: value,
                    "searches find something else: \(ComparisonTable.number(pin.value)) -> \(now); if that is meant, "
                        + "update the thresholds"))
        }
        for metric in measured.answers.keys.sorted() where reference.metrics[metric] == nil {
            findings.append(GateFinding(.t0, name, metric, .note, "no threshold: what searches find is not held"))
        }
    }

    private mutating func judgeExact(_ measured: CaseMeasurement, _ reference: Thresholds) {
        let demoted = Set(measured.demoted.map(\.name))
        for (metric, threshold) in reference.metrics.sorted(by: { $0.key < $1.key })
        where threshold.kind == .exact && threshold.better != .none {
            if demoted.contains(metric) { continue }
            judged[.t1, default: 0] += 1
            guard let value = measured.exact[metric]?.value else {
                findings.append(
                    GateFinding(
                        .t1, name, metric, .inconclusive, reference: threshold.value,
                        "the figure is gone; update the thresholds if that is meant"))
                continue
            }
            add(.t1, metric, threshold, value, fail: threshold.failPct / 100, warn: threshold.warnPct / 100, "")
        }
        let unknown = measured.exact.keys.filter { reference.metrics[$0] == nil }.sorted()
        if !unknown.isEmpty {
            let list = unknown.prefix(4).joined(separator: ", ") + (unknown.count > 4 ? " ..." : "")
            findings.append(
                GateFinding(
                    .t1, name, nil, .note,
                    TextFormat.many(Double(unknown.count), "figure") + " without threshold: \(list)")
            )
        }
    }

    private mutating func judgeInstructions(_ measured: CaseMeasurement, _ reference: Thresholds) {
        for (metric, threshold) in reference.metrics.sorted(by: { $0.key < $1.key }) where threshold.kind == .near {
            judged[.t2, default: 0] += 1
            guard let count = measured.instructions[metric] else {
                findings.append(
                    GateFinding(
                        .t2, name, metric, .inconclusive, reference: threshold.value, "instructions were not counted"))
                continue
            }
            let floor = max(count.noisePpm, threshold.noiseFloorPpm) / 1e6
            add(
                .t2, metric, threshold, count.perUnit, fail: max(threshold.failPct / 100, 20 * floor),
                warn: max(threshold.warnPct / 100, floor), ", noise \(TextFormat.short(floor * 1e6)) ppm")
        }
        for metric in measured.instructions.keys.sorted() where reference.metrics[metric] == nil {
            findings.append(GateFinding(.t2, name, metric, .note, "no threshold"))
        }
    }

    private mutating func add(
        _ tier: GateTier, _ metric: String, _ threshold: Threshold, _ value: Double, fail: Double, warn: Double,
        _ remark: String
    ) {
        guard let worsening = FigureChange.worsening(threshold.value, value, threshold.better) else { return }
        var verdict: GateFinding.Verdict
        if worsening > fail || threshold.ratchet && worsening > 0 && tier == .t1 {
            verdict = .fail
        } else if worsening > warn {
            verdict = .warning
        } else if worsening < -fail {
            verdict = .improvement
        } else {
            return
        }
        var text = "\(ComparisonTable.number(threshold.value)) -> \(ComparisonTable.number(value)) \(threshold.unit)"
        text += " (\(ComparisonTable.percent(FigureChange.relative(threshold.value, value)))\(remark))"
        if verdict == .fail, let waiver = waivers.waiver(name, metric) {
            verdict = .waived
            text += ", accepted until \(waiver.expires): \(waiver.reason)"
        }
        findings.append(
            GateFinding(
                tier, name, metric, verdict, reference: threshold.value, measured: value, worsening: worsening, text))
    }
}
