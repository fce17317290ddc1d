// RunComparison.swift - two records side by side: what moved, and what may be concluded from it.
//
// Only exact figures decide: they repeat to the digit, so any difference is one of the programs. Near and timed figures
// of single runs vary by themselves; they are shown when they moved by more than they usually do, and decide nothing.
// Whoever wants a verdict about time compares two programs instead of two records (PairedBench).
//
//   exact    worse by more than 0.5 %    regression           better by more than 0.5 %   improvement
//   near     moved by more than 2 %      undecided
//   timed    moved by more than 10 %     undecided

/// How two values of a figure stand to each other.
public struct FigureChange: Sendable, Equatable {
    /// What follows from it.
    public enum Meaning: String, Sendable {
        /// An exact figure is worse.
        case regression
        /// An exact figure is better.
        case improvement
        /// An exact figure moved, but little, or in no direction that is better.
        case moved
        /// A single run cannot tell.
        case undecided
        /// Only one of the two has the figure.
        case missing
    }
    /// Name, unit and kind of the figure.
    public var name: String, unit: String, kind: FigureKind
    /// Both values; nil where the side does not have the figure.
    public var first: Double?, second: Double?
    /// What follows.
    public var meaning: Meaning

    /// Change of the second against the first, 0.01 is 1 % more; nil when a value is missing, infinite from zero.
    public var change: Double? {
        guard let first, let second else { return nil }
        return FigureChange.relative(first, second)
    }

    /// (second - first) / |first|.
    static func relative(_ first: Double, _ second: Double) -> Double {
        if first == second { return 0 }
        if first == 0 { return second > 0 ? .infinity : -.infinity }
        return (second - first) / abs(first)
    }

    /// How much worse the second value is, 0.01 is 1 %; negative is better; nil for figures without a direction.
    static func worsening(_ first: Double, _ second: Double, _ better: FigureDirection) -> Double? {
        switch better {
        case .lower: relative(first, second)
        case .higher: -relative(first, second)
        case .none: nil
        }
    }
}

/// Two comparable records.
public struct RunComparison: Sendable {
    /// The exact change that counts.
    public static let exactLimit = 0.005
    /// Changes that are shown of figures that are not exact.
    public static let nearLimit = 0.02, timedLimit = 0.1

    /// What moved, exact figures first, then by name.
    public let changes: [FigureChange]
    /// Figures that both have.
    public let figures: Int
    /// Whether both stored the same; nil when that cannot be told.
    public let hasSameStore: Bool?

    /// - Throws: `.notComparable`.
    public init(_ first: RunRecord, _ second: RunRecord) throws(HarnessError) {
        try Comparability.require(first, second)
        var changes: [FigureChange] = []
        var shared = 0
        for name in Set(first.figures.keys).union(second.figures.keys).sorted() {
            let a = first.figures[name]
            let b = second.figures[name]
            if a != nil, b != nil { shared += 1 }
            if let change = RunComparison.change(name, a, b) { changes.append(change) }
        }
        let order: [FigureKind] = [.exact, .near, .timed]
        changes.sort { (order.firstIndex(of: $0.kind)!, $0.name) < (order.firstIndex(of: $1.kind)!, $1.name) }
        self.changes = changes
        figures = shared
        // With several ingest threads series get their ids in the order in which the threads come.
        let isSame = first.observed.storeDigest == second.observed.storeDigest
        hasSameStore = isSame || first.threads == 1 && second.threads == 1 ? isSame : nil
    }

    private static func change(_ name: String, _ a: FigureValue?, _ b: FigureValue?) -> FigureChange? {
        guard let known = a ?? b else { return nil }
        var change = FigureChange(
            name: name, unit: known.unit, kind: known.kind, first: a?.value, second: b?.value, meaning: .missing)
        guard let a, let b else { return change }
        guard a.value != b.value else { return nil }
        let size = abs(FigureChange.relative(a.value, b.value))
        switch known.kind {
        case .exact:
            change.meaning = .moved
            if let worsening = FigureChange.worsening(a.value, b.value, known.better), size > exactLimit {
                change.meaning = worsening > 0 ? .regression : .improvement
            }
        case .near, .timed:
            guard size > (known.kind == .near ? nearLimit : timedLimit) else { return nil }
            change.meaning = .undecided
        }
        return change
    }

    /// `.regression` before `.inconclusive` before `.improvements`.
    public var status: ExitStatus {
        if hasSameStore == false || changes.contains(where: { $0.meaning == .regression }) { return .regression }
        if changes.contains(where: { $0.meaning == .undecided || $0.meaning == .missing }) { return .inconclusive }
        return changes.contains { $0.meaning == .improvement } ? .improvements : .pass
    }

    /// The table for people.
    public func text(_ first: String, _ second: String) -> String {
        var text = "A  \(first)\nB  \(second)\n\n"
        if hasSameStore == false { text += "REGRESSION  the stores differ: the same rows led to other contents\n\n" }
        if hasSameStore == nil { text += "stores: not told, their digests depend on the order of several threads\n\n" }
        if changes.isEmpty { return text + "nothing moved in \(figures) figures\n" }
        text += ComparisonTable.text(changes)
        let undecided = changes.filter { $0.meaning == .undecided }.count
        text += "\n\(changes.count) of \(figures) figures moved\n"
        if undecided > 0 {
            text += "\(TextFormat.many(Double(undecided), "figure")) undecided: single runs cannot tell; "
            text += "compare the two programs for a verdict about them\n"
        }
        return text
    }
}

/// Changes in columns.
enum ComparisonTable {
    static func text(_ changes: [FigureChange]) -> String {
        let width = max(6, changes.map(\.name.count).max() ?? 0)
        func row(_ name: String, _ a: String, _ b: String, _ change: String, _ meaning: String) -> String {
            var line = TextFormat.left(name, width) + TextFormat.right(a, 14) + TextFormat.right(b, 14)
            line += TextFormat.right(change, 11) + "  " + meaning
            return line + "\n"
        }
        var text = row("figure", "A", "B", "change", "")
        for change in changes {
            text += row(
                change.name, value(change.first), value(change.second), percent(change.change),
                "\(change.meaning.rawValue) (\(change.unit), \(change.kind.rawValue))")
        }
        return text
    }

    static func value(_ value: Double?) -> String { value.map(number) ?? "-" }

    /// Whole numbers in full, so that a difference of one can be seen; others with five digits.
    static func number(_ value: Double) -> String {
        if value == value.rounded(), abs(value) < 1e15 { return TextFormat.grouped(value) }
        let size = abs(value)
        return TextFormat.fixed(value, size >= 1000 ? 1 : size >= 10 ? 3 : 5)
    }

    /// With its sign: `+1.23 %`.
    static func percent(_ ratio: Double?) -> String {
        guard let ratio else { return "-" }
        guard ratio.isFinite else { return ratio > 0 ? "from 0" : "to below 0" }
        return (ratio > 0 ? "+" : "") + TextFormat.percent(ratio)
    }
}
