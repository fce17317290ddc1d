// AdminConnection.swift - one HTTP connection: gathers a request, has it answered on another thread, sends the answer.
//
// Requests of a connection are answered one after the other: the pipeline handler in front holds back the next one. The
// first head has to be complete 5 seconds after the connection was opened, further ones within the idle time; a body may
// have 64 KiB.
//
// Threads: the event loop of the connection.

import NIOCore
import NIOHTTP1
import NodeSupport
import StorageRuntime
import Synchronization

/// Handles the requests of one connection.
final class AdminConnection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: AdminServer.Shared
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var isTooLong = false
    private var isAnswering = false
    private var context: ChannelHandlerContext?
    private let loop: any EventLoop
    private let openedNanoseconds: UInt64
    private var timer: Scheduled<Void>?
    static let bodyBytesMax = 64 << 10

    init(_ server: AdminServer.Shared, _ loop: any EventLoop) {
        self.server = server
        self.loop = loop
        openedNanoseconds = SystemClock().monotonicNanoseconds
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        server.connections.withLock { $0[ObjectIdentifier(self)] = self }
        closeLater(nanoseconds: AdminServer.headNanoseconds)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        _ = server.connections.withLock { $0.removeValue(forKey: ObjectIdentifier(self)) }
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            timer?.cancel()
            self.head = head
            body = []
            isTooLong = false
        case .body(var bytes):
            guard body.count + bytes.readableBytes <= AdminConnection.bodyBytesMax else {
                isTooLong = true
                body = []
                return
            }
            if !isTooLong { body += bytes.readBytes(length: bytes.readableBytes) ?? [] }
        case .end:
            guard let head else { return }
            self.head = nil
            answer(head, context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// Closes the connection unless a request is being answered; then it is closed after the answer.
    /// Any thread.
    func closeWhenIdle() { loop.execute { if !self.isAnswering { self.context?.close(promise: nil) } } }

    private func closeLater(nanoseconds: Int64) {
        timer?.cancel()
        timer = context?.eventLoop.scheduleTask(in: .nanoseconds(nanoseconds)) {
            if !self.isAnswering { self.context?.close(promise: nil) }
        }
    }

    private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        isAnswering = true
        server.running.wrappingAdd(1, ordering: .relaxed)
        let isForm =
            head.headers.first(name: "content-type")?.lowercased()
            .hasPrefix("application/x-www-form-urlencoded") ?? false
        let remote = context.remoteAddress.map { "\($0.ipAddress ?? "?"):\($0.port ?? 0)" } ?? "?"
        let request = AdminRequest(
            method: head.method.rawValue, uri: head.uri, form: isForm ? String(decoding: body, as: UTF8.self) : "",
            remoteAddress: remote, forwardedFor: head.headers.first(name: "x-forwarded-for"),
            acceptsGzip: head.headers["accept-encoding"].contains { $0.lowercased().contains("gzip") }
                && head.headers.first(name: "connection") != "Upgrade")
        let isTooLong = isTooLong
        let server = server
        let loop = loop
        body = []
        server.threads.submit { state in
            var response = AdminResponse.text("the body of the request is too long\n", status: 413)
            if !isTooLong, case .active = state { response = server.routes.answer(request) }
            let packed =
                server.options.compressesResponses && request.acceptsGzip && response.status != 204
                    && !response.body.isEmpty ? Gzip.compress(response.body) : nil
            let complete = response
            loop.execute { self.send(complete, packed, head) }
        }
    }

    private func send(_ response: AdminResponse, _ packed: [UInt8]?, _ request: HTTPRequestHead) {
        isAnswering = false
        server.running.wrappingSubtract(1, ordering: .relaxed)
        guard let context else { return }
        let bytes = packed ?? response.body
        var headers = HTTPHeaders()
        headers.add(name: "X-Server-Hostname", value: server.hostName)
        if let type = response.contentType { headers.add(name: "Content-Type", value: type) }
        if response.isNosniff { headers.add(name: "X-Content-Type-Options", value: "nosniff") }
        if packed != nil { headers.add(name: "Content-Encoding", value: "gzip") }
        if response.status != 204 { headers.add(name: "Content-Length", value: String(bytes.count)) }
        let age = SystemClock().monotonicNanoseconds - openedNanoseconds
        let isOld = age > UInt64(max(0, server.options.connectionTimeoutNanoseconds))
        if isOld { server.routes.counters.agedConnections.wrappingAdd(1, ordering: .relaxed) }
        let closes = isOld || !request.isKeepAlive || server.isStopping.load(ordering: .relaxed)
        if closes { headers.add(name: "Connection", value: "close") }
        let head = HTTPResponseHead(
            version: .http1_1, status: HTTPResponseStatus(statusCode: response.status), headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if request.method != .HEAD, !bytes.isEmpty {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: bytes)))), promise: nil)
        }
        let done = context.eventLoop.makePromise(of: Void.self)
        done.futureResult.whenComplete { _ in
            if closes { self.context?.close(promise: nil) }
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: done)
        if !closes { closeLater(nanoseconds: server.options.idleTimeoutNanoseconds) }
    }
}
