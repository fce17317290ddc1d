// ThresholdUpdate.swift - `thresholds update` and `thresholds show`.
//
// An update measures the cases as the gate does and takes the values over, with the reason that the user gives. Limits and
// ratchets stay as they are in the file. Nothing is written before all cases are measured, and nothing for a case whose
// engine gives wrong answers.

import StorageFiles
import StorageRuntime

extension Gate {
    /// Measures cases and makes their values the thresholds of this toolchain.
    ///
    /// - Parameters:
    ///   - names: Cases; none means all.
    ///   - reason: Why; not blank.
    ///   - countsInstructions: Without it, instructions keep the values that they have.
    /// - Returns: What has changed, for people.
    public func update(
        _ names: [String], reason: String, countsInstructions: Bool = true
    ) throws(HarnessError) -> String {
        guard reason.contains(where: { !$0.isWhitespace }) else {
            throw HarnessError(.usage, "an update needs a reason: --reason 'merges write larger blocks'")
        }
        let cases = try plan.cases(named: names)
        let area = try WorkArea(files)
        let source = try ProgramSource.namedOrOwn(request.candidate, files)
        let program = try MeasuredProgram(
            "cand", program: try source.make("cand", in: area, tell: tell), profiles: profiles, in: area)
        let valgrind = countsInstructions ? try MeasuringEnvironment.valgrindVersion(in: area) : nil
        let commit = Checkout.commit() ?? "unknown"
        var made: [(Thresholds, Thresholds?)] = []
        var text = ""
        for plan in cases {
            let measured = try CaseMeasurement.of(plan, program, tiers: countsInstructions ? [.t1, .t2] : [.t1])
            if let failure = measured.failure {
                throw HarnessError(.checkFailed, "\(plan.name): \(failure); nothing was written")
            }
            guard let record = measured.record else { continue }
            let before = try? store.load(
                plan.name, toolchain: record.provenance.toolchain, architecture: record.provenance.architecture)
            guard
                var thresholds = measured.thresholds(
                    plan, MeasuringEnvironment.now(), valgrind: valgrind, commit: commit, reason: reason,
                    keeping: before)
            else { continue }
            if !countsInstructions, let before {
                thresholds.valgrind = before.valgrind
                for (name, metric) in before.metrics where metric.kind == .near { thresholds.metrics[name] = metric }
            }
            for figure in measured.demoted {
                text += "\(plan.name) \(figure.name): does not repeat, left out (a defect)\n"
            }
            text += ThresholdText.changes(thresholds, before)
            made.append((thresholds, before))
            tell("\(plan.name): \(thresholds.metrics.count) metrics")
        }
        for (thresholds, _) in made { try store.save(thresholds) }
        return text + "\(made.count) cases written to \(store.directory): \(reason)\n"
    }

    /// The thresholds of cases for the toolchain of this program, for people.
    public func show(_ names: [String]) throws(HarnessError) -> String {
        let provenance = Provenance.atStart()
        var text = ""
        for plan in try plan.cases(named: names) {
            text += ThresholdText.table(
                try store.require(
                    plan.name, toolchain: provenance.toolchain, architecture: provenance.architecture))
        }
        return text
    }
}

/// Thresholds for people.
enum ThresholdText {
    /// Old -> new, for the metrics that differ.
    static func changes(_ new: Thresholds, _ old: Thresholds?) -> String {
        guard let old else { return "\(new.profile): new, \(new.metrics.count) metrics\n" }
        var lines: [String] = []
        for name in Set(new.metrics.keys).union(old.metrics.keys).sorted() {
            let (a, b) = (old.metrics[name], new.metrics[name])
            if a?.value == b?.value { continue }
            var line =
                "\(new.profile) \(name): \(ComparisonTable.value(a?.value)) -> \(ComparisonTable.value(b?.value))"
            if let a, let b { line += " (\(ComparisonTable.percent(FigureChange.relative(a.value, b.value))))" }
            lines.append(line)
        }
        for (what, a, b) in [
            ("stream digest", old.streamDigest, new.streamDigest), ("store digest", old.storeDigest, new.storeDigest),
        ] where a != b { lines.append("\(new.profile) \(what): \(a) -> \(b)") }
        return lines.isEmpty ? "\(new.profile): as before\n" : lines.joined(separator: "\n") + "\n"
    }

    /// All metrics of a case.
    static func table(_ thresholds: Thresholds) -> String {
        let settings = thresholds.settings.isEmpty ? "" : ", " + thresholds.settings.joined(separator: " ")
        var text = "\(thresholds.profile), size \(thresholds.size)\(settings)\n"
        text += "  \(thresholds.toolchain), \(thresholds.architecture), \(thresholds.libraries), "
        text += "commit \(thresholds.commit): \(thresholds.reason)\n"
        let width = thresholds.metrics.keys.map(\.count).max() ?? 0
        for (name, metric) in thresholds.metrics.sorted(by: { $0.key < $1.key }) {
            text += "  " + TextFormat.left(name, width) + TextFormat.right(ComparisonTable.number(metric.value), 16)
            text += "  " + TextFormat.left(metric.unit, 13) + TextFormat.left(metric.better.rawValue, 7)
            text += "fail > \(TextFormat.short(metric.failPct)) %" + (metric.ratchet ? ", ratchet" : "") + "\n"
        }
        return text + "\n"
    }
}
