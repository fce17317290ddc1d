// FloodCommand.swift - `mergeset-bench flood`.

import ArgumentParser
import BenchHarness
import StorageFiles
import StorageRuntime
import Workloads

struct Flood: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Send packets of the largest size over many connections at once, and watch the node's memory.",
        discussion: """
            The node has to run on this machine, freshly started: its peak of resident memory is that of
            its whole life. Ends with exit code 70 when the peak is above the node's byte budget
            (vm_rpc_memory_max_bytes) by more than --above-budget-max.
            Scripts/node-measure starts nodes and runs this.
            """)

    @OptionGroup var node: NodeArguments
    @Option(help: "Connections at once.")
    var connections = 200
    @Option(help: "Connections one after the other in each place, with a packet each.")
    var repetitions = 1
    @Option(help: "Bytes of a packet. Default: the most that the protocol allows.")
    var packetBytes: Int?
    @Flag(inversion: .prefixedNo, help: "Send rows, and not bytes that are none.")
    var rows = true
    @Flag(inversion: .prefixedNo, help: "Compress the streams, as vminsert does.")
    var compression = true
    @Option(help: "Bytes by which the resident memory of the node may be above its byte budget.")
    var aboveBudgetMax = 100_000_000
    @Option(help: "Seconds of rest, after which the memory is looked at once more.")
    var idleSeconds = 15.0
    @Option(help: "Write the figures to this file, as JSON.")
    var out: String?
    @Option(help: "Size step of the profile.")
    var size = ProfileSize.m

    func validate() throws {
        guard (1...4096).contains(connections), (1...1000).contains(repetitions), (0...3600).contains(idleSeconds)
        else { throw ValidationError("--connections 1 to 4096, --repetitions 1 to 1000, --idle-seconds 0 to 3600.") }
        if let packetBytes, !(1...FloodOptions.packetBytesMax).contains(packetBytes) {
            throw ValidationError("--packet-bytes 1 to \(FloodOptions.packetBytesMax).")
        }
    }

    func run() throws {
        let (address, http) = try node.addresses()
        var options = FloodOptions(address: address, http: http)
        options.connections = connections
        options.repetitions = repetitions
        options.packetBytes = packetBytes ?? options.packetBytes
        options.sendsRows = rows
        options.compresses = compression
        options.idleSeconds = idleSeconds
        try reporting {
            let files = RealFileSystem()
            let profile = try ProfileLoader.load(
                node.profile, given: nil, size: size, overrides: node.settings, files)
            let result = try FloodRun(options).run(profile)
            if let out {
                try LoadReport.write(LoadReport.json(result, options), to: out, files)
            }
            StatusDisplay.writeOutput(LoadReport.text(result, options))
            try result.requireBudget(most: aboveBudgetMax)
        }
    }
}
