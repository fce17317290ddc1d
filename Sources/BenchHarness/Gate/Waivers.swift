// Waivers.swift - Benchmarks/Thresholds/waivers.json: regressions that somebody has accepted for a while.
//
//   {"schema_version":1,"waivers":[
//     {"profile":"k8s-pods","metric":"allocations","reason":"until names are interned","expires":"2026-12-31"}
//   ]}
//
// A waiver names one metric of one case and the last day on which it counts, in UTC. An expired one does not count and is
// reported, so that it gets removed.

import FoundationEssentials
import StorageFiles
import StorageRuntime

/// An accepted regression.
public struct Waiver: Sendable, Equatable, Codable {
    /// Name of the case, and of the figure.
    public var profile: String, metric: String
    /// Why.
    public var reason: String
    /// The last day on which it counts: `2026-12-31`.
    public var expires: String
}

/// The accepted regressions.
public struct Waivers: Sendable, Equatable {
    /// Those that count today, and those that do not any more.
    public let valid: [Waiver], expired: [Waiver]

    static let fileName = "waivers.json"
    private struct File: Codable {
        var schemaVersion: Int
        var waivers: [Waiver]
    }

    /// None.
    public init() { self.init([], today: "") }

    /// - Parameter today: `2026-01-31`.
    public init(_ waivers: [Waiver], today: String) {
        valid = waivers.filter { $0.expires >= today }
        expired = waivers.filter { $0.expires < today }
    }

    /// Reads the file of a directory of thresholds; no file means none.
    ///
    /// - Throws: `.badInput` for a damaged file, a date that is none, or an empty reason.
    public static func load(_ directory: String, today: String, _ files: any FileSystem) throws(HarnessError) -> Waivers
    {
        let path = Paths.join(directory, fileName)
        guard (try? files.kind(of: path)) == .file else { return Waivers() }
        let file: File = try GateJSON.read(path, "waivers", files)
        guard file.schemaVersion == 1 else {
            throw HarnessError(.badInput, "\(path) has schema version \(file.schemaVersion), this program reads 1")
        }
        for waiver in file.waivers {
            guard isDate(waiver.expires) else {
                throw HarnessError(
                    .badInput,
                    "\(path): \(waiver.profile) \(waiver.metric) expires on '\(waiver.expires)'; a date "
                        + "such as 2026-12-31 is needed")
            }
            guard waiver.reason.contains(where: { !$0.isWhitespace }) else {
                throw HarnessError(.badInput, "\(path): the waiver of \(waiver.profile) \(waiver.metric) has no reason")
            }
        }
        return Waivers(file.waivers, today: today)
    }

    /// Today, UTC.
    public static func today() -> String {
        String(TextFormat.utc(unixSeconds: WallClock.unixSeconds).prefix(10))
    }

    /// The waiver that counts for a figure of a case.
    func waiver(_ profile: String, _ metric: String) -> Waiver? {
        valid.first { $0.profile == profile && $0.metric == metric }
    }

    private static func isDate(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.map(\.count) == [4, 2, 2], let month = Int(parts[1]), let day = Int(parts[2]), Int(parts[0]) != nil
        else { return false }
        return (1...12).contains(month) && (1...31).contains(day)
    }
}
