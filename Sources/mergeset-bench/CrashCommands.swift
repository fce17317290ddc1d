// CrashCommands.swift - `mergeset-bench crash-writer` and `crash-check`, the two halves of Scripts/kill-test.

import ArgumentParser
import BenchHarness

struct CrashWriterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crash-writer",
        abstract: "Add rows to a storage until killed, telling on standard output what has become durable.",
        discussion: "Scripts/kill-test kills it at random moments and has crash-check look at what is left.")

    @Argument(help: "Directory of the storage; made when it does not exist.")
    var directory: String
    @Option(
        name: .customLong("run"), help: "Number of this run, a different one each time: it is a label of its series.")
    var number = 1
    @Option(help: "Root seed.")
    var seed: UInt64 = 42
    @Option(help: "Threads that add rows.")
    var threads = 2

    func validate() throws {
        if !(1...64).contains(threads) { throw ValidationError("--threads \(threads): 1 to 64 are possible.") }
        if !(0...1_000_000).contains(number) { throw ValidationError("--run \(number): 0 to 1000000 are possible.") }
    }

    func run() throws {
        try reporting { try CrashWriter.run(directory, run: number, seed: seed, threads: threads) }
    }
}

struct CrashCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crash-check",
        abstract: "Compare a storage with what killed writers have said about it.",
        discussion: "Exit code 70 when a row is lost, invented or doubled.")

    @Argument(help: "Directory of the storage.")
    var directory: String
    @Argument(help: "What crash-writer has printed, a file for each run.")
    var reports: [String] = []

    func run() throws {
        try reporting {
            let outcome = try CrashCheck.run(directory, reports: reports)
            StatusDisplay.writeOutput(outcome.text + "\n")
        }
    }
}
