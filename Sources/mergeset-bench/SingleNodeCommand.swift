// SingleNodeCommand.swift - `mergeset-bench fill` and `single-node`, for Scripts/check-with-victoria-metrics; not listed in
// the help.

import ArgumentParser
import BenchHarness
import StorageBytes
import StorageFiles
import Workloads

struct SingleNode: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Copy one tenant of a storage in the form that the single-node program reads.", shouldDisplay: false)

    @Argument(help: "A storage directory.")
    var source: String
    @Argument(help: "The directory to be made.")
    var target: String
    @Option(help: "account:project.")
    var tenant = "0:0"
    @Option(help: "A file to be made with the rows that our reader reads, as JSON lines.")
    var rows: String?
    @Flag(help: "Merge the samples of each month into one part first, with our merger.")
    var rewrite = false

    func run() throws {
        let numbers = tenant.split(separator: ":").compactMap { UInt32($0) }
        guard numbers.count == 2 else { throw ValidationError("--tenant \(tenant): account:project is needed.") }
        try reporting {
            let result = try SingleNodeCopy.make(
                from: source, to: target, tenant: Tenant(accountID: numbers[0], projectID: numbers[1]),
                rewrites: rewrite, rows: rows, files: RealFileSystem())
            StatusDisplay.writeOutput(
                "\(result.items) index rows, \(result.series) series, \(result.parts) parts, \(result.blocks) blocks, "
                    + "\(result.rows) rows\n")
        }
    }
}

struct Fill: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a storage with the rows of a profile in it.", shouldDisplay: false)

    @Argument(help: "A profile or the path of one.")
    var profile: String
    @Argument(help: "The directory to be made.")
    var target: String
    @Option(help: "Size step: s, m or l.")
    var size = ProfileSize.s
    @Option(help: "Root seed of the stream.")
    var seed: UInt64 = 42
    @Option(name: .customLong("set"), help: "Override a field of the profile; repeatable.")
    var settings: [String] = []
    @Option(help: "Directory of the profiles.")
    var profiles: String?
    @Flag(help: "Merge all parts at the end.")
    var merge = false

    func run() throws {
        try reporting {
            let files = RealFileSystem()
            let loaded = try ProfileLoader.load(profile, given: profiles, size: size, overrides: settings, files)
            let rows = try StoreFill.make(loaded, seed: seed, at: target, merges: merge, files: files)
            StatusDisplay.writeOutput("\(rows) rows\n")
        }
    }
}
