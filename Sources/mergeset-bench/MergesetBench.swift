// MergesetBench.swift - the command line: options in, one line and an exit code out. Everything else is BenchHarness.

import ArgumentParser
import BenchHarness
import StorageFiles
import StorageRuntime
import Workloads

@main
struct MergesetBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mergeset-bench",
        abstract: "Benchmarks of the storage under production-shaped workloads.",
        discussion: """
            Examples:
              mergeset-bench run                            k8s-pods, size m
              mergeset-bench run k8s-pods --set series=500000
              mergeset-bench run --size s --mode deterministic --out result
              mergeset-bench run replay --file metrics.txt  your own series
              mergeset-bench run k8s-pods --path index      the engine without its samples
              mergeset-bench run k8s-pods --path items      the table alone, no engine
              mergeset-bench run duplicates-90:long         items, no index
              mergeset-bench report bench-out/A bench-out/B
              mergeset-bench micro sort
              mergeset-bench compare RUN RUN                also programs and revisions
              mergeset-bench gate                           is it worse than the thresholds?
              mergeset-bench generate k8s-pods --size s --format jsonl -o f

            Exit codes: 0 pass, 64 wrong use, 65 bad profile or input, 66 not comparable,
            69 a tool is missing, 70 wrong answer of the engine, 73 output cannot be made,
            74 input/output error, 75 data directory in use, 130 interrupted. 2, 3 and 4 are
            verdicts of comparisons: regression, inconclusive, improvements.
            """,
        subcommands: [
            Run.self, Report.self, CompareRuns.self, RunGate.self, ThresholdsCommand.self, Rates.self, Micro.self,
            Generate.self, List.self, Describe.self, Inspect.self, Flamegraph.self, Soak.self, Flood.self,
            SingleNode.self,
            Fill.self,
            Bars.self, Plots.self, CrashWriterCommand.self, CrashCheckCommand.self,
        ], defaultSubcommand: nil)
}

extension ParsableCommand {
    /// Runs a body; an error becomes its one line on standard error and its exit code.
    func reporting(_ body: () throws -> Void) throws {
        Interrupt.install()
        do { try body() } catch let error as HarnessError {
            StatusDisplay.writeError("mergeset-bench: \(error)\n")
            throw ExitCode(error.status.rawValue)
        } catch let error as StorageError {
            StatusDisplay.writeError("mergeset-bench: \(error)\n")
            throw ExitCode(ExitStatus.inputOutput.rawValue)
        }
    }
}

extension ProfileSize: ExpressibleByArgument {}
extension StreamFormat: ExpressibleByArgument {}
extension Environment.Mode: ExpressibleByArgument {
    public static var allValueStrings: [String] { ["live", "deterministic"] }
}
extension RunRequest.Format: ExpressibleByArgument {}
extension RunPath: ExpressibleByArgument {}
extension ProfileRegion: ExpressibleByArgument {}
