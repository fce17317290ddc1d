// CaseMeasurement.swift - what one program says about one case: two deterministic runs, and two counts of instructions a
// region. A figure that claims to be exact and differs between the two runs is demoted: it is reported and not judged.

import StorageFiles
import StorageRuntime

/// Measurements of a case.
struct CaseMeasurement {
    /// An exact figure that did not repeat.
    struct Demoted: Equatable {
        var name: String
        var values: (Double, Double)

        static func == (a: Demoted, b: Demoted) -> Bool { a.name == b.name && a.values == b.values }
    }
    /// Instructions for each unit of a region, and by how much the two counts differ.
    struct Instructions: Equatable {
        var perUnit = 0.0
        var noisePpm = 0.0
    }

    /// The first run.
    var record: RunRecord?
    /// Why there is no verdict about the case: a wrong answer, a shape that is not the configured one.
    var failure: String?
    /// Exact figures that have a direction and are the same in both runs.
    var exact: [String: FigureValue] = [:]
    /// What searches have found: exact figures of which no value is better than another (``FigureCatalogue/answers``).
    var answers: [String: FigureValue] = [:]
    /// Exact figures that have a direction and are not the same.
    var demoted: [Demoted] = []
    /// Instructions, by name of the figure.
    var instructions: [String: Instructions] = [:]

    /// Measures a case.
    ///
    /// - Parameter tiers: T1 runs twice, T2 counts instructions; one run is always made.
    static func of(
        _ plan: GatePlan.Case, _ program: MeasuredProgram, tiers: Set<GateTier>
    ) throws(HarnessError) -> CaseMeasurement {
        var measurement = CaseMeasurement()
        var records: [RunRecord] = []
        for _ in 0..<(tiers.contains(.t1) ? 2 : 1) {
            switch try program.run(plan.profile, arguments(plan)) {
            case .wrong(let reason):
                measurement.failure = reason
                return measurement
            case .record(let record): records.append(record)
            }
        }
        measurement.set(records)
        guard measurement.failure == nil, tiers.contains(.t2) else { return measurement }
        for region in plan.instructions { try measurement.count(region, plan, program) }
        return measurement
    }

    /// Arguments of the deterministic runs of a case.
    static func arguments(_ plan: GatePlan.Case) -> [String] {
        ["--size", "s", "--mode", "deterministic"] + GateSettings.deterministic
            + plan.settings.flatMap { ["--set", $0] }
    }

    /// Takes over one or two runs of one program.
    mutating func set(_ records: [RunRecord]) {
        guard let first = records.first, let last = records.last else { return }
        record = first
        if let reason = records.flatMap(\.notComparableBecause).first {
            failure = "the observed shape is not the configured one: \(reason)"
        } else if first.observed.readBackMissing > 0 {
            failure = "\(first.observed.readBackMissing) items read back are missing"
        } else if first.observed.streamDigest != last.observed.streamDigest {
            failure = "two runs of one program ingested different streams"
        } else if first.observed.storeDigest != last.observed.storeDigest
            || first.observed.directoryDigest != last.observed.directoryDigest
        {
            failure = "two deterministic runs of one program stored different things"
        }
        for (name, figure) in first.figures where figure.kind == .exact && figure.better != .none {
            let other = last.figures[name]?.value
            if other == figure.value {
                exact[name] = figure
            } else {
                demoted.append(Demoted(name: name, values: (figure.value, other ?? .nan)))
            }
        }
        for name in FigureCatalogue.answers {
            guard let figure = first.figures[name], figure.kind == .exact else { continue }
            answers[name] = figure
            if failure == nil, last.figures[name]?.value != figure.value {
                failure = "searches of two deterministic runs of one program found different things: \(name)"
            }
        }
        demoted.sort { $0.name < $1.name }
    }

    private mutating func count(
        _ region: GatePlan.Region, _ plan: GatePlan.Case, _ program: MeasuredProgram
    ) throws(HarnessError) {
        let first = try program.instructions(region, plan)
        let second = try program.instructions(region, plan)
        let (a, b) = (Double(first.total), Double(second.total))
        instructions[region.figure] = Instructions(
            perUnit: (a + b) / 2 / first.units, noisePpm: abs(a - b) / max(1, (a + b) / 2) * 1e6)
    }

    /// The thresholds that these measurements make.
    ///
    /// - Parameter before: Thresholds whose limits and ratchets are kept.
    func thresholds(
        _ plan: GatePlan.Case, _ environment: MeasuringEnvironment, valgrind: String?, commit: String, reason: String,
        keeping before: Thresholds?
    ) -> Thresholds? {
        guard let record else { return nil }
        let provenance = record.provenance
        func threshold(_ name: String, _ figure: FigureValue, noisePpm: Double = 0) -> Threshold {
            let old = before?.metrics[name]
            let limits = Threshold.limits(figure.kind)
            return Threshold(
                value: figure.value, unit: figure.unit, better: figure.better, kind: figure.kind,
                failPct: old?.failPct ?? limits.failPct, warnPct: old?.warnPct ?? limits.warnPct,
                ratchet: old?.ratchet ?? false, noiseFloorPpm: noisePpm, toolchain: provenance.toolchain,
                allocator: provenance.allocator, commit: commit)
        }
        var metrics: [String: Threshold] = [:]
        for (name, figure) in exact { metrics[name] = threshold(name, figure) }
        for (name, figure) in answers {
            metrics[name] = threshold(name, figure)
            metrics[name]?.failPct = 0
            metrics[name]?.warnPct = 0
        }
        for (name, count) in instructions {
            let value = (count.perUnit * 1000).rounded() / 1000
            let figure = FigureValue(value: value, unit: "instructions", better: .lower, kind: .near)
            metrics[name] = threshold(name, figure, noisePpm: (count.noisePpm * 1000).rounded() / 1000)
        }
        return Thresholds(
            profile: plan.name, size: record.size, settings: plan.settings, counting: plan.counting ?? [],
            toolchain: provenance.toolchain,
            architecture: provenance.architecture, allocator: provenance.allocator, libraries: environment.libraries,
            instructionSet: environment.instructionSet, valgrind: valgrind, commit: commit, reason: reason,
            streamDigest: record.observed.streamDigest, storeDigest: record.observed.storeDigest, metrics: metrics)
    }
}
