// GatePaired.swift - tier T3: time, by two programs in turn. A candidate for a failure is measured once more from scratch;
// only a figure that fails twice fails.

import StorageRuntime

extension Gate {
    /// Measures the paired cases.
    func runPaired(
        _ cases: [GatePlan.PairedCase], _ candidate: MeasuredProgram, _ base: MeasuredProgram,
        _ control: MeasuredProgram, _ result: inout GateResult
    ) throws(HarnessError) {
        let bench = PairedBench(base: base, candidate: candidate, control: control, rule: PairedRule(), tell: tell)
        var coverage = GateResult.Coverage(tier: .t3, cases: 0, figures: 0, seconds: 0)
        let start = WallClock.nanoseconds
        for plan in cases {
            tell("\(plan.name): pairs of runs")
            let paired = pairedPlan(plan)
            let outcome = try bench.measure(paired)
            coverage.cases += 1
            coverage.figures += outcome.figures.count
            var findings = Gate.findings(plan.name, outcome, nil, bench.rule)
            let candidates = outcome.figures.filter { $0.verdict == .candidate }.map(\.name)
            if outcome.failure == nil, outcome.doubts.isEmpty, !candidates.isEmpty {
                tell("\(plan.name): once more, for \(candidates.joined(separator: ", "))")
                var again = paired
                again.figures = candidates
                findings = Gate.findings(plan.name, outcome, try bench.measure(again), bench.rule)
            }
            result.findings += findings
            tell("\(plan.name): \(GateTally.text(findings))")
        }
        coverage.seconds = WallClock.seconds(since: start)
        result.coverage.append(coverage)
    }

    private func pairedPlan(_ plan: GatePlan.PairedCase) -> PairedPlan {
        let settings = plan.settings + request.pairedSettings
        return PairedPlan(
            profile: plan.profile,
            arguments: ["--size", request.pairedSize ?? plan.size, "--no-force-merge"]
                + settings.flatMap { ["--set", $0] },
            figures: self.plan.paired.figures, controls: self.plan.paired.controls, floors: self.plan.paired.floors)
    }

    /// What follows from the first measurement of a case and, for candidates, from the second.
    static func findings(
        _ name: String, _ first: PairedOutcome, _ second: PairedOutcome?, _ rule: PairedRule
    ) -> [GateFinding] {
        if let failure = first.failure ?? second?.failure { return [GateFinding(.t3, name, nil, .fail, failure)] }
        var findings: [GateFinding] = first.missing.map {
            GateFinding(.t3, name, $0, .note, "the runs do not have this figure")
        }
        if first.figures.isEmpty {
            findings.append(GateFinding(.t3, name, nil, .inconclusive, "none of the figures could be judged"))
        }
        let doubts = first.doubts + (second?.doubts ?? [])
        if !doubts.isEmpty {
            findings.append(GateFinding(.t3, name, nil, .inconclusive, doubts.joined(separator: "; ")))
        }
        for figure in first.figures {
            let ratio = figure.ratio(rule)
            let text = describe(ratio, figure.pairs)
            func add(_ verdict: GateFinding.Verdict, _ text: String) {
                findings.append(GateFinding(.t3, name, figure.name, verdict, worsening: ratio.change, text))
            }
            switch figure.verdict {
            case .pass: add(.note, (ratio.upper < -rule.failAbove ? "better: " : "") + text)
            case .inconclusive, .undecided: add(.inconclusive, "too noisy: " + text)
            case .candidate where !doubts.isEmpty: add(.inconclusive, text + ", but see above")
            case .candidate:
                guard let again = second?.figures.first(where: { $0.name == figure.name }) else {
                    add(.inconclusive, text + ", not measured again")
                    continue
                }
                let both = text + "; again " + describe(again.ratio(rule), again.pairs)
                switch again.verdict {
                case .candidate: add(.fail, both)
                case .pass: add(.note, "not confirmed: " + both)
                case .inconclusive, .undecided: add(.inconclusive, both)
                }
            }
        }
        return findings
    }

    /// `worse by +4.10 % (+3.20 % to +5.05 %) in 40 pairs`; negative is better.
    static func describe(_ ratio: PairedRatio, _ pairs: Int) -> String {
        "worse by \(ComparisonTable.percent(ratio.change)) (\(ComparisonTable.percent(ratio.lower)) to "
            + "\(ComparisonTable.percent(ratio.upper))) in \(pairs) pairs"
    }
}
