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
    private var isAsking = false  // for memory
    private var paceSeconds = 0

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
        case .needsInput:
            giveUpMemory()
            return .needsInput
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

    private func giveUpMemory() {
        guard reader.giveUpMemory() else { return }
        shared.budget.close(account)
        account = BudgetAccount(.message)
    }

    private func ask(_ bytes: Int) -> Outcome {
        // A window may have to wait for ever: not with the memory of a request.
        if reader.isWindowWanted { giveUpMemory() }
        let isTaken = shared.budget.take(bytes, for: reader.isWindowWanted ? window : account) { [self] in
            onLoop { _ in
                guard !self.isClosed else { return }
                self.isAsking = false
                self.paceSeconds = 0
                self.reader.grantMemory(bytes)
                self.resume()
            }
        }
        guard isTaken else {
            isAsking = true
            if reader.isWindowWanted { sayThatWindowWaits(bytes, window) }
            return .waits
        }
        reader.grantMemory(bytes)
        return .goesOn
    }

    private func answer(_ request: SelectRequest) {
        let held = account
        account = BudgetAccount(.message)
        paceSeconds = 0
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
        // The memory first: whoever waits for it is to find it free.
        reader = SelectReader(StreamDecoder(isCompressed: false))
        encoder = StreamEncoder(isCompressed: false)
        shared.budget.close(account)
        shared.budget.close(window)
    }

    /// The clock of arguments starts with the name of the call: before it, and for whoever sends the arguments of one request
    /// in all that time, this is the limit.
    override func checkPace() {
        guard !isClosed, !isAsking || reader.isWindowWanted, reader.requestMemoryBytes > 0 else {
            paceSeconds = 0
            return
        }
        paceSeconds += 1
        guard paceSeconds > WireConnection.paceSecondsMax else { return }
        shared.counters.slowConnectionsClosed.wrappingAdd(1, ordering: .relaxed)
        fail(reader.missing("not complete in \(WireConnection.paceSecondsMax) seconds, while others wait for memory"))
    }
}
