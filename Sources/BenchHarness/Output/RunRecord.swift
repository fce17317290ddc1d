// RunRecord.swift - run.json: everything one run says about itself. The report, the summary and later comparisons are
// made from this value and from nothing else.
//
// Keys are sorted and numbers printed in their shortest exact form, so two equal records are equal files. Readers
// refuse a schema version they do not know; fields are only ever added within a version.

import FoundationEssentials

/// The contents of run.json.
public struct RunRecord: Sendable, Equatable, Codable {
    /// The version this code writes and reads.
    public static let schemaVersionCurrent = 1

    /// Version of the layout.
    public var schemaVersion = RunRecord.schemaVersionCurrent
    /// Name of the profile.
    public var profile: String
    /// Size step: `s`, `m` or `l`.
    public var size: String
    /// `live` or `deterministic`.
    public var mode: String
    /// Root seed.
    public var seed: UInt64
    /// Ingest threads.
    public var threads: Int
    /// Settings that were given for this run, beside the defaults: `key` to value.
    public var settings: [String: String]
    /// Whether the observed shape is the one that was configured.
    public var comparable: Bool
    /// Why not, when it is not.
    public var notComparableBecause: [String]
    /// Where and by what the run was made.
    public var provenance: Provenance
    /// What was really ingested, and whether it was found again.
    public var observed: Observed
    /// All figures by name.
    public var figures: [String: FigureValue]
    /// The rounds behind the first, for runs of rows.
    public var rounds: [RoundRecord]?
    /// The labels with the most bytes in the index, for runs of rows.
    public var labels: [LabelCost]?
    /// The rules that production would alert on, for runs of rows.
    public var alerts: [AlertVerdict]?

    /// Every setting that the run had, given or by default: `key` to value.
    public var configuration: [String: String]?
    /// The observed shape beside the configured one, for runs of rows.
    public var shape: [ShapeLine]?
    /// Latencies of insert blocks by phase, for live runs of rows.
    public var latency: [LatencyRecord]?
    /// Parts that flushes and merges have made, in the order of their ends, for live runs.
    public var parts: [PartRecord]?
    /// The counters of the engine at the end of ingest and debt, under their production names.
    public var counters: [CounterRecord]?
    /// The search for the highest sustainable rate, when one was asked for.
    public var rateSearch: RateSearchRecord?

    /// A figure's value; nil when the run has none.
    public func figure(_ name: String) -> Double? { figures[name]?.value }
}

/// What was really ingested.
public struct Observed: Sendable, Equatable, Codable {
    /// What was driven: `rows` through the engine, the index items of `series`, or `items`.
    public var kind: String
    /// Different series (0 for profiles of items).
    public var series: UInt64 = 0
    /// Rows of the profile, and the series of each round, for runs of rows.
    public var rows: UInt64?, activeSeries: UInt64?
    /// Normalised items added for each series, mean; items of the profile for profiles of items. Those of per-day
    /// entries of later days are among them.
    public var itemsPerSeries = 0.0
    /// Bytes of these items for each series, mean.
    public var itemBytesPerSeries = 0.0
    /// Labels of a series, the name included: mean and greatest number.
    public var labelsMean = 0.0, labelsMax = 0
    /// Bytes of a raw name (or of an item), mean and greatest.
    public var nameBytesMean = 0.0, nameBytesMax = 0
    /// Tenants seen.
    public var tenants = 0
    /// XXH64 over the rows in order, 16 hex digits.
    public var streamDigest = ""
    /// XXH64 over all normalised items in order, 16 hex digits.
    public var storeDigest = ""
    /// Sum of the XXH64 of each series' name and rows, 16 hex digits; for runs that store samples.
    public var rowDigest: String?
    /// Rows read back: series and rows that were compared with what was sent, and rows that are missing or different.
    public var readBackRowsSeries: UInt64?, readBackRows: UInt64?, readBackRowsWrong: UInt64?
    /// Series of searches beside the ingestion whose rows were compared with what was sent.
    public var searchedSeries: UInt64?
    /// XXH64 over names and contents of all files of the table; deterministic mode only.
    public var directoryDigest: String?
    /// Read-back check: series looked for, their items, and items that were missing.
    public var readBackSeries: UInt64 = 0, readBackItems: UInt64 = 0, readBackMissing: UInt64 = 0

    /// Nothing observed yet.
    public init(kind: String) { self.kind = kind }
}

extension RunRecord {
    /// The contents of run.json, with a line end.
    public func json() -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        do { return [UInt8](try encoder.encode(self)) + [UInt8(ascii: "\n")] } catch {
            // All values are finite (FigureSet sees to it) and strings are valid: encoding cannot fail.
            fatalError("run.json: \(error)")
        }
    }

    /// Reads the contents of a run.json.
    ///
    /// - Throws: `.badInput` for text that is not a record, or one of another schema version.
    public init(json: [UInt8]) throws(HarnessError) {
        struct Version: Decodable { var schemaVersion: Int }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            let version = try decoder.decode(Version.self, from: Data(json)).schemaVersion
            guard version == RunRecord.schemaVersionCurrent else {
                throw HarnessError(
                    .badInput,
                    "run.json has schema version \(version), this program reads \(RunRecord.schemaVersionCurrent)")
            }
            self = try decoder.decode(RunRecord.self, from: Data(json))
        } catch let error as HarnessError {
            throw error
        } catch {
            throw HarnessError(.badInput, GateJSON.reason(error))
        }
    }
}
