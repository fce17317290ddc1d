// SingleNodeCommand.swift - `mergeset-bench single-node`: for Scripts/check-with-victoria-metrics; not listed in the help.

import ArgumentParser
import BenchHarness
import StorageBytes
import StorageFiles

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
