// GateTrend.swift - tier T4: the history in results/. Reports, and never blocks.
//
// Records that can be compared (same machine, toolchain, profile, size, settings, stream) form a series in the order of
// their start. In each series changes of level are looked for, and the newest record is held against that of the pinned
// release: the creep budget is 2 %, whatever the steps were.

import StorageFiles
import StorageRuntime

extension Gate {
    /// Most that a figure may get worse since the pinned release.
    static let creepBudget = 0.02

    /// Reads the history and reports its changes.
    func runTrend(_ result: inout GateResult) throws(HarnessError) {
        let start = WallClock.nanoseconds
        let directory = request.results ?? Paths.join(Paths.parent(benchmarks), "results")
        guard RunReader.isDirectory(directory, files) else {
            throw HarnessError(.badInput, "\(directory) is not a directory; name the history with --results")
        }
        var unreadable: [String] = []
        var history: [(name: String, record: RunRecord)] = []
        for entry in ((try? files.list(directory)) ?? []).sorted(by: { $0.name < $1.name }) {
            let path = Paths.join(directory, entry.name)
            guard entry.kind == .directory, (try? files.kind(of: Paths.join(path, RunReader.recordName))) == .file
            else { continue }
            do throws(HarnessError) {
                history.append((entry.name, try RunReader.record(path, files)))
            } catch { unreadable.append(entry.name) }
        }
        let groups = Dictionary(grouping: history) { Comparability.key($0.record) }
        var figures = 0
        for key in groups.keys.sorted() {
            let records = groups[key]!.sorted {
                ($0.record.provenance.startedAt, $0.name) < ($1.record.provenance.startedAt, $1.name)
            }
            let (findings, count) = Gate.trend(records, pinned: plan.pinned)
            figures += count
            result.findings += findings
        }
        if !unreadable.isEmpty {
            result.findings.append(
                GateFinding(
                    .t4, "history", nil, .note, "records that cannot be read: \(unreadable.joined(separator: ", "))"))
        }
        let longest = groups.values.map(\.count).max() ?? 0
        result.findings.append(
            GateFinding(
                .t4, "history", nil, .note,
                "\(history.count) records in \(groups.count) series, the longest of \(longest); a change of level needs "
                    + "14 records" + (plan.pinned.isEmpty ? "; no release is pinned" : "")))
        result.coverage.append(
            .init(tier: .t4, cases: groups.count, figures: figures, seconds: WallClock.seconds(since: start)))
    }

    /// Changes in a series of comparable records, in the order of time, and the number of figures looked at.
    static func trend(
        _ records: [(name: String, record: RunRecord)], pinned: [String]
    ) -> ([GateFinding], Int) {
        guard let newest = records.last else { return ([], 0) }
        let title = "\(newest.record.profile) \(newest.record.size) \(newest.record.mode)"
        let release = records.last { pinned.contains($0.name) }
        var findings: [GateFinding] = []
        var count = 0
        for (name, figure) in newest.record.figures.sorted(by: { $0.key < $1.key }) where figure.better != .none {
            count += 1
            let series = records.compactMap { entry in entry.record.figure(name).map { (entry.name, $0) } }
            for change in ChangePoints.find(series.map(\.1)) {
                let worsening = FigureChange.worsening(change.before, change.after, figure.better) ?? 0
                findings.append(
                    GateFinding(
                        .t4, title, name, .note, reference: change.before, measured: change.after, worsening: worsening,
                        "level \(ComparisonTable.number(change.before)) -> \(ComparisonTable.number(change.after)) since "
                            + "\(series[change.index].0), by accident with p < \(TextFormat.short(change.probability))")
                )
            }
            guard let release, release.name != newest.name, let then = release.record.figure(name),
                let worsening = FigureChange.worsening(then, figure.value, figure.better), worsening > creepBudget
            else { continue }
            findings.append(
                GateFinding(
                    .t4, title, name, .warning, reference: then, measured: figure.value, worsening: worsening,
                    "\(ComparisonTable.percent(worsening)) worse than the pinned \(release.name)"
                        + (figure.kind == .timed ? " (single runs)" : "")))
        }
        return (findings, count)
    }
}
