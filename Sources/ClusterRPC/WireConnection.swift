// WireConnection.swift - what connections of both ports share: handshake, reading on demand, the end.
//
//   read asked for --> bytes --> step() --> handshake, then messages --> read asked for ...
//                                   |
//                                   +--> waits (memory, answer, queue, reply): nothing is read until it goes on
//
// Nothing is read ahead: at most one read of up to 64 KiB is outstanding, and it is asked for only when all bytes that
// came before are used up. The kernel's window then holds the sender back. Bytes that are held are counted (InputMemory).
//
// A sender that has closed its side is the exception: what the kernel still has of it is delivered at once. That may be
// MiBs; when they cannot be used up as they come, the connection is given up. Real senders wait for their answers.
//
// Threads: everything happens on the event loop of the connection.

import ClusterWire
import NIOCore
import NodeSupport
import StorageBytes
import StorageRuntime

/// A connection of one of the two ports. Subclasses read the messages.
class WireConnection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What a step of a subclass wants next.
    enum Outcome {
        /// More bytes.
        case needsInput
        /// Nothing until `resume()`.
        case waits
        /// Another step, but others first.
        case again
        /// Another step at once.
        case goesOn
    }

    let shared: RPCShared
    let port: WirePort
    private var context: ChannelHandlerContext?
    /// The event loop; never changes once there is one. Any thread.
    private let loopBox = Protected<(any EventLoop)?>(nil)
    private(set) var peer = "?"
    private var handshake: ServerHandshake
    private var input = ByteBuffer()
    private var inputBytesCounted = 0
    private var inputHasEnded = false
    private var isReading = false
    private var isWaiting = false
    private var isStepping = false
    /// What a step was going to wait for has happened during the step.
    private var wasResumed = false
    private(set) var isClosed = false
    private var deadline: Scheduled<Void>?

    /// Bytes that may wait of a sender that has closed its side, unless memory is short.
    static let unaskedBytesMax = 1 << 20
    /// Seconds for which a connection may keep memory that others wait for without making progress.
    static let paceSecondsMax = 10

    init(_ shared: RPCShared, _ port: WirePort, serverCompresses: Bool) {
        self.shared = shared
        self.port = port
        handshake = ServerHandshake(port, serverCompresses: serverCompresses)
    }

    // MARK: for subclasses

    /// The streams begin.
    func begin(clientCompresses: Bool) {}
    /// Decodes messages from `input`. Throws what ends the connection.
    func advance(_ input: inout ByteCursor) throws(WireError) -> Outcome { .needsInput }
    /// What is missing when the stream ends here; nil when it may end here.
    var missing: WireError? { nil }
    /// The connection is gone: give everything back.
    func end() {}
    /// Counts an error that ended the connection.
    func count(_ error: WireError) {}
    /// Looks whether the connection keeps memory without making progress; called every second while memory is short.
    func checkPace() {}

    /// Goes on after `waits`.
    final func resume() {
        if isStepping {
            wasResumed = true
        } else {
            isWaiting = false
            step()
        }
    }

    /// As ``resume()``, from any thread.
    final func resumeLater() { onLoop { $0.resume() } }

    /// The event loop of the connection, once it is open. Any thread.
    final var loop: (any EventLoop)? { loopBox.withLock { $0 } }

    /// Runs something on the connection's event loop. Any thread.
    final func onLoop(_ body: @escaping @Sendable (WireConnection) -> Void) {
        loop?.execute { body(self) }
    }

    /// Starts the clock of a deadline in the place of the former one.
    final func setDeadline(seconds: Int, _ passed: @escaping @Sendable (WireConnection) -> Void) {
        deadline?.cancel()
        deadline = context?.eventLoop.scheduleTask(in: .seconds(Int64(seconds))) {
            if !self.isClosed { passed(self) }
        }
    }

    final func clearDeadline() {
        deadline?.cancel()
        deadline = nil
    }

    /// Sends bytes; `sent` is called when the kernel has them, unless the connection ended before.
    ///
    /// - Parameter seconds: How long that may take; nil has no limit.
    final func send(_ bytes: UnsafeRawBufferPointer, seconds: Int?, sent: (@Sendable (WireConnection) -> Void)?) {
        guard let context else { return }
        var buffer = context.channel.allocator.buffer(capacity: bytes.count)
        buffer.writeBytes(bytes)
        let promise = context.eventLoop.makePromise(of: Void.self)
        let limit = seconds.map { seconds in
            context.eventLoop.scheduleTask(in: .seconds(Int64(seconds))) {
                guard !self.isClosed else { return }
                self.shared.traffic(self.port).writeTimeouts.wrappingAdd(1, ordering: .relaxed)
                self.fail(writing: "the client has not taken the answer in \(seconds) seconds")
            }
        }
        promise.futureResult.whenComplete { result in
            limit?.cancel()
            guard !self.isClosed else { return }
            switch result {
            case .success: sent?(self)
            case .failure(let error): self.fail(writing: "\(error)")
            }
        }
        context.writeAndFlush(wrapOutboundOut(buffer), promise: promise)
    }

    private func fail(writing text: String) {
        shared.traffic(port).writeErrors.wrappingAdd(1, ordering: .relaxed)
        if port == .vminsert { shared.counters.writeErrors.wrappingAdd(1, ordering: .relaxed) }
        fail(WireError(.badAnswer, "cannot send an answer: " + text))
    }

    /// Tells of a window that waits for other windows: the connection is not read from until another one with a compressed
    /// stream ends, and that may be never. One that waits for packets goes on when they are done: nothing is said of it.
    final func sayThatWindowWaits(_ bytes: Int, _ window: BudgetAccount) {
        guard shared.budget.waitsForWindows(window) else { return }
        shared.log.limited(
            .warn,
            "\(port.rawValue) conn from \(peer) waits for \(bytes) bytes for its compressed stream: the streams of other "
                + "connections hold, or wait for, all that there is for them; more of -memory.allowedBytes, or senders that do not "
                + "compress, would let it go on")
    }

    /// Ends the connection for an error.
    final func fail(_ error: WireError) {
        guard !isClosed else { return }
        if handshake.step != .done {
            shared.counters.handshakeErrors.wrappingAdd(1, ordering: .relaxed)
            if !shared.isStopping {
                shared.log.limited(
                    .error, "cannot perform \(port.rawValue) handshake with client \"\(peer)\": \(error)")
            }
        } else {
            shared.counters.countError(port)
            count(error)
            if !shared.isStopping {
                switch port {
                case .vminsert: shared.log.limited(.error, "cannot process vminsert conn from \(peer): \(error)")
                case .vmselect: shared.log.limited(.error, "cannot process vmselect conn \(peer): \(error)")
                }
            }
        }
        close()
    }

    /// Ends the connection without a word.
    final func close() {
        guard !isClosed, let context else { return }
        isClosed = true
        clearDeadline()
        shared.log.limited(.info, "closing \(port.rawValue) conn from \(peer)")
        end()
        // A step that is under way looks at the input, and forgets it at its end.
        if !isStepping { forgetInput() }
        context.close(promise: nil)
    }

    // MARK: events of the channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let loop = context.eventLoop
        loopBox.withLock { $0 = loop }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        peer = context.remoteAddress.map { "\($0.ipAddress ?? "?"):\($0.port ?? 0)" } ?? "?"
        guard shared.register(self) else {
            context.close(promise: nil)
            return
        }
        shared.log.limited(.info, "accepted \(port.rawValue) conn from \(peer)")
        waitForHandshake()
        step()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosed else { return }
        var bytes = unwrapInboundIn(data)
        if input.readableBytes == 0 {
            input = bytes
        } else {
            let count = input.readableBytes + bytes.readableBytes
            guard count <= (shared.input.isShort ? InputMemory.readBytesMax : WireConnection.unaskedBytesMax) else {
                return fail(
                    WireError(
                        .unexpectedEnd, "the client has closed its side, and \(count) bytes of it cannot be used yet"))
            }
            input.writeBuffer(&bytes)
        }
        countInput()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        step()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent {
            inputHasEnded = true
            step()
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !isClosed {
            if let missing, handshake.step == .done { fail(missing) } else { close() }
        }
        shared.unregister(self)
        // An answer that cannot be written ends the channel in the middle of a step, which still looks at the input.
        if !isStepping { forgetInput() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(WireError(.unexpectedEnd, "\(error)"))
    }

    // MARK: steps

    private func waitForHandshake() {
        setDeadline(seconds: WireLimits.handshakeSeconds) { connection in
            connection.shared.traffic(connection.port).readTimeouts.wrappingAdd(1, ordering: .relaxed)
            connection.fail(WireError(.handshake, connection.handshake.missing + ": i/o timeout"))
        }
    }

    private func step() {
        guard !isStepping else { return }
        isStepping = true
        defer {
            isStepping = false
            if isClosed { forgetInput() }
        }
        while !isWaiting, !isClosed {
            wasResumed = false
            let outcome: Outcome
            do throws(WireError) { outcome = try advanceInput() } catch { return fail(error) }
            switch outcome {
            case .goesOn: continue
            case .waits: isWaiting = !wasResumed
            case .again:
                isWaiting = true
                resumeLater()
            case .needsInput:
                if inputHasEnded { return endOfInput() }
                if !isReading {
                    isReading = true
                    context?.read()
                }
                return
            }
        }
    }

    private func endOfInput() {
        if handshake.step != .done {
            fail(WireError(.handshake, handshake.missing + ": unexpected EOF"))
        } else if let missing {
            fail(missing)
        } else {
            close()
        }
    }

    private func advanceInput() throws(WireError) -> Outcome {
        var result = Result<Outcome, WireError>.success(.needsInput)
        let count = input.withUnsafeReadableBytes { bytes in
            var cursor = ByteCursor(bytes)
            do throws(WireError) { result = .success(try advanceAny(&cursor)) } catch { result = .failure(error) }
            return bytes.count - cursor.remaining
        }
        if count == input.readableBytes {
            forgetInput()
        } else if !isClosed {
            input.moveReaderIndex(forwardBy: count)
        }
        return try result.get()
    }

    private func countInput() {
        let bytes = input.storageCapacity
        shared.input.add(bytes - inputBytesCounted)
        inputBytesCounted = bytes
    }

    private func forgetInput() {
        input = ByteBuffer()
        shared.input.add(-inputBytesCounted)
        inputBytesCounted = 0
    }

    private func advanceAny(_ cursor: inout ByteCursor) throws(WireError) -> Outcome {
        if handshake.step == .done { return try advance(&cursor) }
        var answer = RawBuffer()
        guard try handshake.advance(&cursor, answer: &answer) else { return .needsInput }
        if handshake.step == .done {
            clearDeadline()
            shared.log.limited(.info, "processing \(port.rawValue) conn from \(peer)")
            begin(clientCompresses: handshake.clientCompresses)
        } else {
            send(answer.bytes, seconds: WireLimits.handshakeSeconds, sent: nil)
            if !isClosed { waitForHandshake() }
        }
        return .goesOn
    }
}
