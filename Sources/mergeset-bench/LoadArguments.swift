// LoadArguments.swift - the options of `mergeset-bench run --target`.

import ArgumentParser
import BenchHarness

struct LoadArguments: ParsableArguments {
    @Option(
        help: "Drive a storage node instead: rpc://HOST:PORT of its vminsert port. engine: the same in this process.")
    var target: String?
    @Option(help: "With --target: the node's HTTP port, HOST:PORT. Default: port 8482 of the same host.")
    var nodeHttp: String?
    @Option(help: "With --target: connections, each with a thread.")
    var connections = 2
    @Option(help: "With --target: rows of a packet.")
    var packetRows = 10_000
    @Option(help: "With --target: rows of the known phase.")
    var knownRows = 5_000_000
    @Flag(inversion: .prefixedNo, help: "With --target: compress the stream, as vminsert does.")
    var compression = true

    func validate() throws {
        guard let target else { return }
        guard LoadTarget(target) != nil else {
            throw ValidationError("--target \(target): rpc://HOST:PORT or engine is needed.")
        }
        if let nodeHttp, NodeAddress(nodeHttp) == nil {
            throw ValidationError("--node-http \(nodeHttp): HOST:PORT is needed.")
        }
        guard (1...1024).contains(connections), (1...10_000_000).contains(packetRows), knownRows >= 0 else {
            throw ValidationError("--connections 1 to 1024, --packet-rows 1 to 10000000, the others not below 0.")
        }
    }

    /// The options of the load; nil without --target.
    var options: LoadOptions? {
        guard let target, let parsed = LoadTarget(target) else { return nil }
        var options = LoadOptions()
        options.target = parsed
        if case .rpc(let address) = parsed {
            options.http = nodeHttp.flatMap { NodeAddress($0) } ?? NodeAddress("\(address.host):8482")
        }
        options.connections = connections
        options.packetRows = packetRows
        options.knownRows = knownRows
        options.compresses = compression
        return options
    }
}
