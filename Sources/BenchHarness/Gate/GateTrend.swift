// GateTrend.swift - tier T4: the history in results/. Reports, and never blocks.
//
// Records that can be compared (same machine, toolchain, build, flags, allocator, profile, size, settings, stream) form a
// series in the order of their start; records that call themselves not comparable are left out. In each series changes of
// level are looked for, and the newest record is held against that of the pinned release:
//
//   exact, near   worse by more than the creep budget of 2 %, whatever the steps were                     warning
//   timed         single runs on a shared machine: worse by more than 50 %, or by three times what the
//                 series varied by before (its middle half, of five records or more), if that is less      warning
//
// A pin that is not there, or to which nothing newer can be compared, is a warning, too: nothing was held against it.

import StorageFiles
import StorageRuntime

extension Gate {
    /// Most that a figure may get worse since the pinned release.
    static let creepBudget = 0.02
    /// As much may a timed figure of a single run differ without anything having changed.
    static let timedBudget = 0.5
    /// Records of a series from which on its own variation is believed.
    static let recordsForNoise = 5

    /// A record of the history under the name of its directory.
    typealias HistoryEntry = (name: String, record: RunRecord)

    /// What there is to say about a history.
    struct Trend {
        var findings: [GateFinding] = []
        /// Series; figures looked at, and those of them that were held against a pinned record.
        var series = 0, figures = 0, pinnedFigures = 0
    }

    /// Reads the history and reports its changes.
    func runTrend(_ result: inout GateResult) throws(HarnessError) {
        let start = WallClock.nanoseconds
        let directory = request.results ?? Paths.join(Paths.parent(benchmarks), "results")
        let (history, unreadable) = try Gate.history(directory, files)
        let trend = Gate.trend(of: history, pinned: plan.pinned)
        result.findings += trend.findings
        if !unreadable.isEmpty {
            result.findings.append(
                GateFinding(
                    .t4, "history", nil, .note, "records that cannot be read: \(unreadable.joined(separator: ", "))"))
        }
        result.coverage.append(
            .init(
                tier: .t4, cases: trend.series, figures: trend.figures, seconds: WallClock.seconds(since: start)))
    }

    /// The records of a directory in the order of their names, and the names of those that cannot be read.
    static func history(
        _ directory: String, _ files: any FileSystem
    ) throws(HarnessError) -> (records: [HistoryEntry], unreadable: [String]) {
        guard RunReader.isDirectory(directory, files) else {
            throw HarnessError(.badInput, "\(directory) is not a directory; name the history with --results")
        }
        var unreadable: [String] = []
        var records: [HistoryEntry] = []
        for entry in ((try? files.list(directory)) ?? []).sorted(by: { $0.name < $1.name }) {
            let path = Paths.join(directory, entry.name)
            guard entry.kind == .directory, (try? files.kind(of: Paths.join(path, RunReader.recordName))) == .file
            else { continue }
            do throws(HarnessError) {
                records.append((entry.name, try RunReader.record(path, files)))
            } catch { unreadable.append(entry.name) }
        }
        return (records, unreadable)
    }

    /// Changes in a history, and what was held against the pinned records.
    static func trend(of history: [HistoryEntry], pinned: [String]) -> Trend {
        let comparable = history.filter(\.record.comparable)
        let groups = Dictionary(grouping: comparable) { Comparability.key($0.record) }
        var all = Trend()
        all.series = groups.count
        var held: Set<String> = []
        for key in groups.keys.sorted() {
            let records = groups[key]!.sorted {
                ($0.record.provenance.startedAt, $0.name) < ($1.record.provenance.startedAt, $1.name)
            }
            let one = trend(records, pinned: pinned)
            all.findings += one.findings
            all.figures += one.figures
            all.pinnedFigures += one.pinnedFigures
            // Every pin before the newest record of its series has something newer.
            held.formUnion(records.dropLast().map(\.name))
        }
        for pin in pinned where !held.contains(pin) {
            all.findings.append(GateFinding(.t4, pin, nil, .warning, idle(pin, history, comparable)))
        }
        let longest = groups.values.map(\.count).max() ?? 0
        var text = "\(history.count) records, \(history.count - comparable.count) of them not comparable, in "
        text += "\(groups.count) series, the longest of \(longest); a change of level needs 14 records; "
        text +=
            pinned.isEmpty
            ? "no release is pinned"
            : "\(all.pinnedFigures) figures were held against \(pinned.filter(held.contains).count) of \(pinned.count) "
                + "pinned records"
        all.findings.append(GateFinding(.t4, "history", nil, .note, text))
        return all
    }

    /// Why nothing was held against a pin.
    private static func idle(_ pin: String, _ history: [HistoryEntry], _ comparable: [HistoryEntry]) -> String {
        guard let entry = history.first(where: { $0.name == pin }) else { return "the pinned record is not there" }
        guard entry.record.comparable else { return "the pinned record is not comparable itself" }
        let newer = comparable.filter {
            $0.record.profile == entry.record.profile && $0.record.size == entry.record.size
                && $0.record.mode == entry.record.mode
                && $0.record.provenance.startedAt > entry.record.provenance.startedAt
        }
        guard let last = newer.last else { return "nothing newer than the pinned record: nothing was held against it" }
        let obstacles = Comparability.obstacles(entry.record, last.record)
        return "nothing newer can be compared with the pinned record: nothing was held against it"
            + (obstacles.first.map { " (\(last.name): \($0))" } ?? "")
    }

    /// Changes in a series of comparable records, in the order of time.
    static func trend(_ records: [HistoryEntry], pinned: [String]) -> Trend {
        var trend = Trend()
        guard let newest = records.last else { return trend }
        let title = "\(newest.record.profile) \(newest.record.size) \(newest.record.mode)"
        let release = records.dropLast().last { pinned.contains($0.name) }
        for (name, figure) in newest.record.figures.sorted(by: { $0.key < $1.key }) where figure.better != .none {
            trend.figures += 1
            let series = records.compactMap { entry in entry.record.figure(name).map { (entry.name, $0) } }
            for change in ChangePoints.find(series.map(\.1)) {
                let worsening = FigureChange.worsening(change.before, change.after, figure.better) ?? 0
                trend.findings.append(
                    GateFinding(
                        .t4, title, name, .note, reference: change.before, measured: change.after, worsening: worsening,
                        "level \(ComparisonTable.number(change.before)) -> \(ComparisonTable.number(change.after)) since "
                            + "\(series[change.index].0), by accident with p < \(TextFormat.short(change.probability))")
                )
            }
            guard let release, let then = release.record.figure(name) else { continue }
            trend.pinnedFigures += 1
            let budget = figure.kind == .timed ? noise(series.dropLast().map(\.1)) : creepBudget
            guard let worsening = FigureChange.worsening(then, figure.value, figure.better), worsening > budget
            else { continue }
            trend.findings.append(
                GateFinding(
                    .t4, title, name, .warning, reference: then, measured: figure.value, worsening: worsening,
                    "\(ComparisonTable.percent(worsening)) worse than the pinned \(release.name)"
                        + (figure.kind == .timed
                            ? " (single runs; they vary by up to \(TextFormat.percent(budget)))" : "")))
        }
        return trend
    }

    /// By how much a timed figure may differ from run to run, as a ratio.
    static func noise(_ values: [Double]) -> Double {
        guard values.count >= recordsForNoise else { return timedBudget }
        let statistics = Statistics(values)
        let middle = statistics.percentile(0.5)
        guard middle != 0 else { return timedBudget }
        let spread = (statistics.percentile(0.75) - statistics.percentile(0.25)) / abs(middle)
        return min(timedBudget, max(creepBudget, 3 * spread))
    }
}
