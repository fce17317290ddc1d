// GatePlan.swift - Benchmarks/gate.json: what the gate runs.
//
// A case is a profile at size s with settings that make it show something: small enough for two deterministic runs and a
// few under callgrind. The paired cases are those of T3. Every case has one file of thresholds under its name.

import FoundationEssentials
import StorageFiles
import StorageRuntime

/// The plan of the gate.
public struct GatePlan: Sendable, Codable {
    /// A part of a run whose instructions are counted.
    public enum Region: String, Sendable, Codable, CaseIterable {
        /// The round in which all series are new, with its flush.
        case new
        /// Rounds of known series.
        case known
        /// The forced merge of four parts: `micro merge`.
        case merge

        /// The figure that it gives.
        public var figure: String {
            switch self {
            case .new: "instructions_per_new_series"
            case .known: "instructions_per_known_row"
            case .merge: "instructions_per_merged_item"
            }
        }
    }

    /// A case of T0 to T2.
    public struct Case: Sendable, Codable {
        /// Name of the case and of its file of thresholds.
        public var name: String
        /// What it shows, for readers of the plan.
        public var shows: String
        /// The profile, run at size s.
        public var profile: String
        /// `key=value` settings of its runs.
        public var settings: [String]
        /// Regions whose instructions are counted.
        public var instructions: [Region]
        /// Further settings of the runs under callgrind, which is fifty times slower: fewer series, for example.
        public var counting: [String]?
    }

    /// A case of T3.
    public struct PairedCase: Sendable, Codable {
        /// Name of the case.
        public var name: String
        /// Profile and size.
        public var profile: String, size: String
        /// `key=value` settings of its runs.
        public var settings: [String]
    }

    /// What T3 measures.
    public struct Paired: Sendable, Codable {
        /// The cases.
        public var cases: [PairedCase]
        /// Figures that are judged.
        public var figures: [String]
        /// Figures that must not differ between the sides.
        public var controls: [String]
        /// Values below these count as these: what is smaller is nothing that matters.
        public var floors: [String: Double]
    }

    /// Version of the layout.
    public var schemaVersion: Int
    /// Cases of T0 to T2.
    public var cases: [Case]
    /// T3.
    public var paired: Paired
    /// Directories under results/ with the runs of the latest release, against which T4 counts creep.
    public var pinned: [String]

    static let schemaVersionCurrent = 1
    /// Name of the file in Benchmarks/.
    static let fileName = "gate.json"

    /// Reads the plan of a directory `Benchmarks`.
    ///
    /// - Throws: `.badInput` when it is missing or damaged.
    public static func load(benchmarks: String, _ files: any FileSystem) throws(HarnessError) -> GatePlan {
        let path = Paths.join(benchmarks, fileName)
        let plan: GatePlan = try GateJSON.read(path, "the plan of the gate", files)
        guard plan.schemaVersion == schemaVersionCurrent else {
            throw HarnessError(
                .badInput,
                "\(path) has schema version \(plan.schemaVersion), this program reads \(schemaVersionCurrent)")
        }
        for figure in plan.paired.figures + plan.paired.controls where FigureCatalogue.definition(figure) == nil {
            throw HarnessError(.badInput, "\(path): there is no figure '\(figure)'; see mergeset-bench list --figures")
        }
        let names = plan.cases.map(\.name)
        for name in names where names.filter({ $0 == name }).count > 1 || !isFileName(name) {
            throw HarnessError(.badInput, "\(path): the case '\(name)' is there twice or has no plain name")
        }
        return plan
    }

    /// The cases of some names, all of them for none.
    ///
    /// - Throws: `.badInput` with the names there are.
    public func cases(named names: [String]) throws(HarnessError) -> [Case] {
        try GatePlan.select(cases, names, \.name, "case of the gate")
    }

    /// The cases of T3 of some names, all of them for none.
    public func pairedCases(named names: [String]) throws(HarnessError) -> [PairedCase] {
        try GatePlan.select(paired.cases, names, \.name, "case of T3")
    }

    private static func select<Item>(
        _ items: [Item], _ names: [String], _ name: (Item) -> String, _ what: String
    ) throws(HarnessError) -> [Item] {
        if names.isEmpty { return items }
        var selected: [Item] = []
        for wanted in names {
            guard let item = items.first(where: { name($0) == wanted }) else {
                throw HarnessError(
                    .badInput, "unknown \(what) '\(wanted)'; there are \(items.map(name).joined(separator: ", "))")
            }
            selected.append(item)
        }
        return selected
    }

    private static func isFileName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.allSatisfy { $0 == 0x2D || (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) }
    }
}

/// JSON files of the gate.
enum GateJSON {
    /// Reads a file with snake_case keys.
    ///
    /// - Throws: `.badInput` when it is missing or does not decode.
    static func read<Value: Decodable>(
        _ path: String, _ what: String, _ files: any FileSystem
    ) throws(HarnessError) -> Value {
        let bytes: [UInt8]
        do throws(StorageError) { bytes = try TextFile.bytes(path, files) } catch {
            throw HarnessError(.badInput, "cannot read \(what): \(error)")
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do { return try decoder.decode(Value.self, from: Data(bytes)) } catch {
            throw HarnessError(.badInput, "\(path) is damaged: \(GateJSON.reason(error))")
        }
    }

    /// One line for an error of the decoder.
    static func reason(_ error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, _): "the field \(key.stringValue) is missing"
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
            "\(context.codingPath.map(\.stringValue).joined(separator: ".")): \(context.debugDescription)"
        case DecodingError.dataCorrupted(let context):
            context.codingPath.isEmpty
                ? "it is no JSON" : "\(context.codingPath.map(\.stringValue).joined(separator: ".")) has no valid value"
        default: "\(error)".split(separator: "\n").first.map(String.init) ?? "unreadable"
        }
    }

    /// One line of JSON with sorted keys.
    static func line(_ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        // Values of the gate are finite numbers and strings: encoding cannot fail.
        do { return String(decoding: try encoder.encode(value), as: UTF8.self) } catch {
            fatalError("a value does not encode: \(error)")
        }
    }
}
