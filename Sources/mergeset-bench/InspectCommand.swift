// InspectCommand.swift - `mergeset-bench inspect`: what a directory of this format holds. Reads only.

import ArgumentParser
import BenchHarness
import StorageFiles

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tell why an index is as big as it is: bytes by kind of row, label, value and day.",
        discussion: """
            Reads any directory of this format, written here or by the reference: a storage, its
            indexdb or data, one table, one month of samples, a snapshot, one part. Nothing is
            locked, recovered or changed, so the directory may be in use or read-only.

            Bytes of files are exact. Bytes of kinds, labels and days are shares of blocks: each
            byte that prefix coding leaves counts the same within its block. What a forced merge
            would save is found by merging, without writing; --no-merge leaves that out, and with
            it values, series and duplicates.

            Damaged parts are named and left out; the exit code is 65 then.

            Examples:
              mergeset-bench run k8s-pods --keep --data store && mergeset-bench inspect store
              mergeset-bench inspect /var/lib/storage/indexdb --labels 50 --values 10
              mergeset-bench inspect store --format json | jq '.index_tables[0].labels[0]'
            """)

    @Argument(help: "The directory.")
    var directory: String
    @Option(help: "text (for people) or json.")
    var format = RunRequest.Format.text
    @Option(help: "Labels told apart; the others are added up.")
    var labels = 20
    @Option(help: "Values named for each label: those with the most series.")
    var values = 5
    @Flag(inversion: .prefixedNo, help: "Merge the parts, to find duplicates and what a forced merge would save.")
    var merge = true

    func validate() throws {
        if !(1...10_000).contains(labels) {
            throw ValidationError("--labels \(labels): a number from 1 to 10000 is needed.")
        }
        if !(0...1000).contains(values) {
            throw ValidationError("--values \(values): a number from 0 to 1000 is needed.")
        }
    }

    func run() throws {
        try reporting {
            var options = Inspection.Options()
            options.labelsMax = labels
            options.valuesMax = values
            options.merges = merge
            let record = try Inspection.read(directory, options: options, files: RealFileSystem())
            StatusDisplay.writeOutput(
                format == .json ? InspectionReport.json(record) : InspectionReport.text(record))
            if !record.damaged.isEmpty {
                throw HarnessError(
                    .badInput,
                    "\(record.damaged.count) damaged part(s) left out; the first: \(record.damaged[0].reason)")
            }
        }
    }
}
