// RunShape.swift - whether a run's rows were what its profile promises: the verdict of Workloads on what was really
// ingested, made outside of the timed part.

import StorageBytes
import StorageRuntime
import Workloads

/// One figure of the shape as it stands in run.json.
public struct ShapeLine: Sendable, Equatable, Codable {
    /// What is compared.
    public var figure: String
    /// What the profile says, `-` when nothing; and what was seen.
    public var configured: String, observed: String
    /// Whether the one is within the other; nil when the profile says nothing that could be missed.
    public var isWithin: Bool?
}

/// Observes the rows of a run.
enum RunShape {
    /// Names that are taken apart; of more series every n-th is.
    static let namesMax = 100_000

    /// The lines and the reasons why a run is not comparable. `counted` has seen the rows of all rounds.
    static func observe(
        _ counted: ShapeObserver, _ source: RowSource
    ) throws(HarnessError) -> (lines: [ShapeLine], reasons: [String]) {
        var observer = counted
        let step = (source.pool.count + namesMax - 1) / namesMax
        do {
            for number in stride(from: 0, to: source.pool.count, by: max(1, step)) {
                try observer.addSeries(source.pool.name(number))
            }
        } catch { throw HarnessError(.checkFailed, "a name that was ingested does not decode: \(error)") }
        let verdict = ShapeVerdict(observer.result(seriesTotal: source.pool.count), source.profile)
        let lines = verdict.lines.map {
            ShapeLine(figure: $0.figure, configured: $0.configured, observed: $0.observed, isWithin: $0.isWithin)
        }
        return (lines, verdict.reasons)
    }
}

/// The shape of a profile's stream, without a run.
public enum ProfileShape {
    /// Generates all rows of a profile and compares what they look like with what it configures; `print` receives a table.
    ///
    /// - Throws: `.checkFailed` with the figures that are missed, after `print` has received the table; `.badInput` for a
    ///   profile that makes no stream.
    public static func check(_ profile: Profile, seed: UInt64, print: (String) -> Void) throws(HarnessError) {
        let verdict: ShapeVerdict
        do { verdict = ShapeVerdict(try ShapeObserver.observe(SeriesPlan(profile, seed: seed)), profile) } catch {
            throw HarnessError(.badInput, "cannot generate \(profile.name): \(error)")
        }
        print(verdict.text + "\n")
        guard verdict.comparable else {
            throw HarnessError(.checkFailed, "the stream is not what the profile says: " + verdict.reasons[0])
        }
    }
}
