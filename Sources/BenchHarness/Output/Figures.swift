// Figures.swift - what a figure is.
//
// A figure is defined once, in FigureCatalogue: name, unit, which direction is better, how exactly it repeats, and the
// formula. A run only adds values; a value under a name that is not in the catalogue stops the process in tests and in
// release alike, because such a figure would have no formula in docs/figures.md.

/// Which direction of a figure is better.
public enum FigureDirection: String, Sendable, Codable {
    /// More is better.
    case higher
    /// Less is better.
    case lower
    /// Neither: the figure describes the run.
    case none
}

/// How well a figure repeats when the same binary runs the same profile again.
public enum FigureKind: String, Sendable, Codable {
    /// To the digit.
    case exact
    /// Almost: thread timing or page granularity plays a part.
    case near
    /// It is a time, or follows from one.
    case timed
}

/// One row of the catalogue.
public struct FigureDefinition: Sendable, Equatable {
    /// Name in run.json, snake_case.
    public let name: String
    /// Unit, as text: `1/s`, `us`, `bytes`, `ratio`, `count`.
    public let unit: String
    /// Which direction is better.
    public let better: FigureDirection
    /// How well it repeats in deterministic mode.
    public let kind: FigureKind
    /// How well it repeats in live mode.
    public let kindLive: FigureKind
    /// How it is computed, in one or two sentences.
    public let formula: String

    init(
        _ name: String, _ unit: String, _ better: FigureDirection, _ kind: FigureKind, live: FigureKind? = nil,
        _ formula: String
    ) {
        self.name = name
        self.unit = unit
        self.better = better
        self.kind = kind
        kindLive = live ?? (kind == .exact ? .near : kind)
        self.formula = formula
    }
}

/// A figure as it stands in run.json.
public struct FigureValue: Sendable, Equatable, Codable {
    /// The measured value.
    public var value: Double
    /// The unit of ``value``.
    public var unit: String
    /// Which direction is better.
    public var better: FigureDirection
    /// How well it repeats.
    public var kind: FigureKind
}

/// The figures of a run, by name.
public struct FigureSet: Sendable, Equatable {
    /// The values, by name.
    public private(set) var values: [String: FigureValue] = [:]
    private let isDeterministic: Bool

    /// No figures yet. `isDeterministic` decides how well they are said to repeat.
    public init(isDeterministic: Bool) { self.isDeterministic = isDeterministic }

    /// Sets a figure. A value that is not a number (0 / 0) is left out: the run had nothing to measure it on.
    ///
    /// - Precondition: `name` is in the ``FigureCatalogue``.
    public mutating func set(_ name: String, _ value: Double) {
        guard let definition = FigureCatalogue.definition(name) else {
            fatalError("figure \(name) is not in the catalogue")
        }
        guard value.isFinite else { return }
        values[name] = FigureValue(
            value: value, unit: definition.unit, better: definition.better,
            kind: isDeterministic ? definition.kind : definition.kindLive)
    }

    /// As ``set(_:_:)-(_,Double)`` for a count.
    public mutating func set(_ name: String, _ value: UInt64) { set(name, Double(value)) }

    /// The value of a figure; nil when the run has none.
    public subscript(_ name: String) -> Double? { values[name]?.value }
}
