// PairedBench.swift - runs two programs in turn and looks at the figures after 10, 20 and 40 pairs (T3).
//
//   pair 0   base  cand  ctrl       ctrl is a second copy of the base: the A/A arm
//   pair 1   ctrl  cand  base       which side of a pair comes first follows the Thue-Morse sequence
//   pair 2   ctrl  cand  base
//   pair 3   base  cand  ctrl       ...
//
// The candidate stands in the middle, so that base and control have changed places around it; drift of the machine meets
// all three. Figures are turned so that a positive logarithm is worse. The measuring stops at the first look at which no
// figure is undecided.

import Glibc
import StorageRuntime

/// What is measured of a paired case.
struct PairedPlan {
    /// The profile and the arguments of `run` behind it.
    var profile: String, arguments: [String]
    /// Figures that are judged, and figures that must not move.
    var figures: [String], controls: [String]
    /// Values below these count as these.
    var floors: [String: Double]
}

/// The paired values of a figure.
struct PairedFigure {
    var name: String
    /// log(candidate / base) and log(control / base) of each pair, positive is worse; nil where no control runs.
    var logarithms: [Double] = [], controls: [Double] = []
    /// The verdict, and the pairs that it rests on.
    var verdict = PairedVerdict.undecided
    var pairs = 0

    /// The ratio at the pairs that the verdict rests on.
    func ratio(_ rule: PairedRule) -> PairedRatio {
        PairedRatio(logarithms: Array(logarithms.prefix(pairs)), confidence: rule.confidence)
    }
}

/// What the pairs of a case have shown.
struct PairedOutcome {
    var figures: [PairedFigure] = []
    /// Figures that no run had.
    var missing: [String] = []
    /// Why the measurement itself cannot be trusted; empty when it can.
    var doubts: [String] = []
    var pairs = 0
    /// A wrong answer of the candidate.
    var failure: String?
}

/// Runs pairs.
struct PairedBench {
    let base: MeasuredProgram
    let candidate: MeasuredProgram
    /// A second copy of the base; nil leaves the A/A arm out.
    let control: MeasuredProgram?
    let rule: PairedRule
    let tell: (String) -> Void

    /// Measures until all figures are decided.
    func measure(_ plan: PairedPlan) throws(HarnessError) -> PairedOutcome {
        var outcome = PairedOutcome()
        outcome.figures = (plan.figures + plan.controls).map { PairedFigure(name: $0) }
        for pair in 0..<rule.pairsMax {
            guard let records = try runPair(pair, plan, &outcome) else { return outcome }
            if pair == 0 {
                try Comparability.require(records.base, records.candidate)
                outcome.missing = plan.figures.filter {
                    records.base.figures[$0] == nil || records.candidate.figures[$0] == nil
                }
                outcome.figures.removeAll {
                    records.base.figures[$0.name] == nil || records.candidate.figures[$0.name] == nil
                }
                if outcome.figures.isEmpty { return outcome }
            }
            append(records, plan, &outcome)
            outcome.pairs = pair + 1
            if rule.looks.contains(outcome.pairs), look(plan, &outcome) { break }
        }
        doubt(plan, &outcome)
        outcome.figures.removeAll { plan.controls.contains($0.name) }
        return outcome
    }

    private struct Records {
        var base: RunRecord, candidate: RunRecord, control: RunRecord?
    }

    private func runPair(
        _ pair: Int, _ plan: PairedPlan, _ outcome: inout PairedOutcome
    ) throws(HarnessError) -> Records? {
        var order = [base, candidate] + (control.map { [$0] } ?? [])
        if ThueMorse.isSwapped(pair) { order.reverse() }
        var records: [String: RunRecord] = [:]
        for program in order {
            switch try program.run(plan.profile, plan.arguments) {
            case .record(let record): records[program.side] = record
            case .wrong(let reason):
                if program.side == candidate.side {
                    outcome.failure = reason
                    return nil
                }
                throw HarnessError(.checkFailed, "the base fails itself: \(reason)")
            }
        }
        guard let first = records[base.side], let second = records[candidate.side] else { return nil }
        return Records(base: first, candidate: second, control: control.flatMap { records[$0.side] })
    }

    private func append(_ records: Records, _ plan: PairedPlan, _ outcome: inout PairedOutcome) {
        for index in outcome.figures.indices {
            let name = outcome.figures[index].name
            guard let a = records.base.figures[name], let b = records.candidate.figures[name] else { continue }
            outcome.figures[index].logarithms.append(logarithm(a, b.value, plan.floors[name]))
            if let c = records.control?.figures[name] {
                outcome.figures[index].controls.append(logarithm(a, c.value, plan.floors[name]))
            }
        }
    }

    /// log(other / value), positive is worse. Values at or below the floor (or zero) count as the floor.
    private func logarithm(_ figure: FigureValue, _ other: Double, _ floor: Double?) -> Double {
        let least = max(floor ?? 0, 1e-12)
        let ratio = log(max(other, least) / max(figure.value, least))
        return figure.better == .higher ? -ratio : ratio
    }

    /// Looks at all figures that are undecided; true when none is any more.
    private func look(_ plan: PairedPlan, _ outcome: inout PairedOutcome) -> Bool {
        for index in outcome.figures.indices where outcome.figures[index].verdict == .undecided {
            outcome.figures[index].verdict = rule.judge(outcome.figures[index].logarithms)
            outcome.figures[index].pairs = outcome.pairs
        }
        let judged = outcome.figures.filter { !plan.controls.contains($0.name) }
        tell(
            "  \(outcome.pairs) pairs: "
                + judged.map { "\($0.name) \(ComparisonTable.percent($0.ratio(rule).change)) \($0.verdict.rawValue)" }
                .joined(separator: ", "))
        return judged.allSatisfy { $0.verdict != .undecided }
    }

    /// The A/A arm, and the figures that no program can change: neither may have moved.
    private func doubt(_ plan: PairedPlan, _ outcome: inout PairedOutcome) {
        func moved(_ logarithms: [Double]) -> Double? {
            guard logarithms.count == outcome.pairs, outcome.pairs > 0 else { return nil }
            let ratio = PairedRatio(logarithms: logarithms, confidence: rule.confidence)
            return ratio.lower > rule.failAbove || -ratio.upper > rule.failAbove ? ratio.change : nil
        }
        for figure in outcome.figures {
            if plan.controls.contains(figure.name) {
                if let change = moved(figure.logarithms) {
                    outcome.doubts.append("the control \(figure.name) moved by \(ComparisonTable.percent(change))")
                }
            } else if let change = moved(figure.controls) {
                outcome.doubts.append(
                    "the base against itself: \(figure.name) moved by \(ComparisonTable.percent(change))")
            }
        }
    }
}
