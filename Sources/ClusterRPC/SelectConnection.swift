// SelectConnection.swift - a connection of vmselect (docs/format/cluster-rpc.md, 5).
//
// One request at a time: read completely, answered off the event loop, then the next. Requests that cannot be parsed end
// the connection without a response.
//
// Threads: the event loop of the connection; calls run on the threads of SelectService.

import ClusterWire
import StorageBytes
import Synchronization

/// A vmselect connection.
final class SelectConnection: WireConnection, @unchecked Sendable {
    private var reader = SelectReader(StreamDecoder(isCompressed: false))
    private var encoder = StreamEncoder(isCompressed: false)
    private let compresses: Bool
    private let window = BudgetAccount(.window)
    private var account = BudgetAccount(.message)
    private var hasDeadline = false
    private var readAtSeconds: UInt64 = 0

    init(_ shared: RPCShared) {
        compresses = shared.compressesResponses
        super.init(shared, .vmselect, serverCompresses: compresses)
    }

    override func begin(clientCompresses: Bool) {
        reader = SelectReader(StreamDecoder(isCompressed: clientCompresses))
        encoder = StreamEncoder(isCompressed: compresses)
    }

    override func advance(_ input: inout ByteCursor) throws(WireError) -> Outcome {
        let progress = try reader.advance(&input)
        if !hasDeadline, reader.pendingCall != nil { startDeadline() }
        switch progress {
        case .needsInput: return .needsInput
        case .needsMemory(let bytes): return ask(bytes)
        case .request(let request):
            if !hasDeadline { readAtSeconds = shared.nowSeconds }
            hasDeadline = false
            clearDeadline()
            answer(request)
            return .waits
        }
    }

    private func startDeadline() {
        hasDeadline = true
        readAtSeconds = shared.nowSeconds
        setDeadline(seconds: WireLimits.argumentsSeconds) { connection in
            guard let self = connection as? SelectConnection else { return }
            self.shared.traffic(.vmselect).readTimeouts.wrappingAdd(1, ordering: .relaxed)
            self.fail(self.reader.missing("i/o timeout"))
        }
    }

    private func ask(_ bytes: Int) -> Outcome {
        let isTaken = shared.budget.take(bytes, for: reader.isWindowWanted ? window : account) { [self] in
            onLoop { _ in
                guard !self.isClosed else { return }
                self.reader.grantMemory(bytes)
                self.resume()
            }
        }
        guard isTaken else {
            if reader.isWindowWanted { sayThatWindowWaits(bytes) }
            return .waits
        }
        reader.grantMemory(bytes)
        return .goesOn
    }

    private func answer(_ request: SelectRequest) {
        let held = account
        account = BudgetAccount(.message)
        shared.selects.answer(request, readAtSeconds: readAtSeconds) { [self] response in
            shared.budget.close(held)
            onLoop { _ in self.reply(response) }
        }
    }

    private func reply(_ response: [UInt8]) {
        guard !isClosed else { return }
        var output = RawBuffer()
        response.withUnsafeBytes { encoder.append($0, to: &output) }
        encoder.flush(to: &output)
        send(output.bytes, seconds: nil) { $0.resume() }
    }

    override var missing: WireError? { reader.isBetweenRequests ? nil : reader.missing("unexpected EOF") }

    override func end() {
        shared.budget.close(account)
        shared.budget.close(window)
        reader = SelectReader(StreamDecoder(isCompressed: false))
        encoder = StreamEncoder(isCompressed: false)
    }
}
