// NodeArguments.swift - what `mergeset-bench soak` and `flood` need to know of a running node.

import ArgumentParser
import BenchHarness

struct NodeArguments: ParsableArguments {
    @Argument(help: "A profile; see `mergeset-bench list`.")
    var profile = "node-steady"
    @Option(help: "The vminsert port of the node: rpc://HOST:PORT.")
    var target: String
    @Option(help: "The HTTP port of the node: HOST:PORT.")
    var nodeHttp: String
    @Option(name: .customLong("set"), help: "Override a field of the profile; repeatable.")
    var settings: [String] = []

    func validate() throws { _ = try addresses() }

    /// Both ports.
    func addresses() throws -> (rpc: NodeAddress, http: NodeAddress) {
        guard case .rpc(let address)? = LoadTarget(target), let http = NodeAddress(nodeHttp) else {
            throw ValidationError("--target rpc://HOST:PORT and --node-http HOST:PORT are needed.")
        }
        return (address, http)
    }
}
