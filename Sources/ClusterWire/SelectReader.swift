// SelectReader.swift - gathers requests of the vmselect port from a stream (docs/format/cluster-rpc.md, 5.1).
//
//   bytes8 rpcName | u32 timeout | arguments
//
// Decoded bytes are held until a request is complete; every attempt starts at the last point that is known to be good: the
// beginning of the arguments or, for registerMetricNames, behind the last whole name. No more is read than the request
// lacks for certain, so nothing of the next one is ever held. Sizes are checked with each attempt.
//
// Memory follows the bytes that have come: it is doubled in steps that the caller has to grant, and what is granted is what
// the buffer takes. Of names to register, the list of their places is granted with the bytes; a search query takes many
// times its bytes as values, and is decoded only when they are granted.
//
// Threads: one owner at a time.

import StorageBytes

/// Gathers requests.
public struct SelectReader: ~Copyable {
    /// Why ``advance(_:workBytesMax:)`` has returned.
    public enum Progress {
        /// The input is used up.
        case needsInput
        /// Nothing goes on before ``grantMemory(_:)`` with so many bytes.
        case needsMemory(Int)
        /// A request is complete. The next call begins the next one.
        case request(SelectRequest)
    }

    private var stream: StreamDecoder
    private var held = RawBuffer()
    private var granted = 0  // bytes that `held` may take
    private var grantedAll = 0  // the same with the list of names
    private var wanted = 0
    private var queryGranted = 0, queryWanted = 0  // for a query as values
    private var lacking = SelectReader.firstFieldBytes  // bytes to come before another attempt makes sense
    private var call: SelectCall?
    private var timeout: UInt32?
    private var argumentsStart = 0
    private var names: [RegisteredName] = []
    private var namesWanted: Int?
    private var parsed = 0  // everything before is understood
    private static let stepBytes = 64 << 10
    private static let firstFieldBytes = 8
    /// Bytes of the smallest name to register: its length and its timestamp.
    private static let nameBytesMin = 16

    /// A reader at the first byte behind the handshake.
    public init(_ stream: consuming StreamDecoder) { self.stream = stream }

    /// Whether the stream may end here: no request has begun.
    public var isBetweenRequests: Bool { held.count == 0 && call == nil }
    /// The call whose arguments are being read: the clock of its deadline is running.
    public var pendingCall: SelectCall? { call }
    /// Bytes of memory of the request that has begun.
    public var requestMemoryBytes: Int { grantedAll }
    /// Whether the memory asked for last is for the stream's decoder, with which it stays.
    public var isWindowWanted: Bool { stream.memoryWantedBytes > 0 }
    /// Bytes of memory of the stream's decoder.
    public var streamMemoryBytes: Int { stream.memoryBytes }

    /// What cannot be read when the stream ends now, or when its deadline has passed.
    public func missing(_ reason: String) -> WireError {
        let what = call.map { "the arguments of \(QuotedText.quote($0.rawValue))" } ?? "rpcName"
        return WireError(.unexpectedEnd, "cannot process vmselect request: cannot read \(what): \(reason)")
    }

    /// Says that the bytes of memory asked for may be used.
    public mutating func grantMemory(_ bytes: Int) {
        if stream.memoryWantedBytes > 0 {
            stream.grantMemory()
        } else if queryWanted > 0 {
            queryGranted += bytes
            grantedAll += bytes
            queryWanted = 0
        } else {
            granted += wanted
            grantedAll += bytes
            wanted = 0
            if granted > held.capacity { held.reserveExactly(granted - held.count) }
        }
    }

    /// Gives the memory up that was granted, when no request has begun: a compressed stream may take it without a byte coming
    /// out.
    ///
    /// - Returns: Whether there was any.
    public mutating func giveUpMemory() -> Bool {
        guard isBetweenRequests, grantedAll > 0 else { return false }
        held = RawBuffer()
        granted = 0
        grantedAll = 0
        return true
    }

    /// Bytes of memory for each byte of names: a name of 16 bytes has a place of 24 in a list that doubles.
    private static let nameFactor = 4

    /// Decodes from `input`.
    ///
    /// - Throws: `.badRequest`, `.tooBig`, `.badStream`: the connection has to be closed without a response.
    public mutating func advance(_ input: inout ByteCursor) throws(WireError) -> Progress {
        while true {
            if lacking <= 0, let request = try parse() { return .request(request) }
            if queryWanted > 0 { return .needsMemory(queryWanted) }
            if held.count >= granted {
                // The first step is small and for nothing: names of calls and most arguments fit it.
                if input.remaining == 0, !stream.mayHoldOutput { return .needsInput }
                if granted >= WireLimits.requestBytesMax {
                    throw WireError(.tooBig, "too big request: more than \(WireLimits.requestBytesMax) bytes")
                }
                wanted =
                    granted == 0
                    ? 4096 : min(max(granted, SelectReader.stepBytes), WireLimits.requestBytesMax - granted)
                return .needsMemory(call == .registerMetricNames ? wanted * SelectReader.nameFactor : wanted)
            }
            let room = min(granted - held.count, lacking, SelectReader.stepBytes)
            let count = try stream.read(
                &input, into: UnsafeMutableRawBufferPointer(start: held.end, count: room))
            held.commit(count)
            lacking -= count
            if count > 0 { continue }
            return stream.memoryWantedBytes > 0
                ? .needsMemory(stream.memoryWantedBytes - stream.memoryBytes) : .needsInput
        }
    }

    /// The complete request, or nil when bytes are missing.
    private mutating func parse() throws(WireError) -> SelectRequest? {
        var cursor = ByteCursor(UnsafeRawBufferPointer(rebasing: held.bytes[parsed...]))
        do {
            let call = try readCall(&cursor)
            let timeout = try readTimeout(&cursor)
            let arguments = try readArguments(call, &cursor)
            return finish(call, timeout, arguments)
        } catch {
            switch error {
            case .missing(let bytes):
                lacking = bytes
                return nil
            case .memory(let bytes):
                queryWanted = bytes
                return nil
            case .wrong(let wrong): throw wrong
            }
        }
    }

    private enum Failure: Error {
        /// The bytes end: try again with at least so many more of them.
        case missing(Int)
        /// Bytes of memory have to be granted before.
        case memory(Int)
        case wrong(WireError)

        init(_ kind: WireError.Kind, _ message: String) {
            self = .wrong(WireError(kind, "cannot process vmselect request: " + message))
        }
    }

    private mutating func finish(
        _ call: SelectCall, _ timeout: UInt32, _ arguments: SelectArguments
    ) -> SelectRequest {
        var complete = RawBuffer()
        swap(&complete, &held)
        let request = SelectRequest(call, timeout, arguments, names, complete)
        self.call = nil
        self.timeout = nil
        names = []
        namesWanted = nil
        parsed = 0
        granted = 0
        grantedAll = 0
        queryGranted = 0
        lacking = SelectReader.firstFieldBytes
        return request
    }

    // MARK: fields

    private mutating func readCall(_ cursor: inout ByteCursor) throws(Failure) -> SelectCall {
        if let call { return call }
        let name = try bytes8(&cursor, "rpcName", WireLimits.callNameBytesMax)
        guard let known = SelectCall.allCases.first(where: { name.elementsEqual($0.rawValue.utf8) }) else {
            throw Failure(.badRequest, "unsupported rpcName: \(QuotedText.quote(name))")
        }
        call = known
        parsed = held.count - cursor.remaining
        return known
    }

    private mutating func readTimeout(_ cursor: inout ByteCursor) throws(Failure) -> UInt32 {
        if let timeout { return timeout }
        let seconds = try number(&cursor, UInt32.self)
        timeout = seconds
        parsed = held.count - cursor.remaining
        return seconds
    }

    private mutating func readArguments(
        _ call: SelectCall, _ cursor: inout ByteCursor
    ) throws(Failure) -> SelectArguments {
        switch call {
        case .search:
            return .search(try query(&cursor), fetchesData: try number(&cursor, UInt8.self) != 0)
        case .searchMetricNames: return .query(try query(&cursor))
        case .deleteMetrics:
            return .query(try query(&cursor, "labelName", WireLimits.deleteQueryBytesMax))
        case .labels, .labelEntries, .seriesCount: return .tenant(try tenant(&cursor))
        case .labelsOnTimeRange: return .tenantOnTimeRange(try tenant(&cursor), try range(&cursor))
        case .labelValues:
            return .label(try tenant(&cursor), name: try label(&cursor, "labelName"), nil)
        case .labelValuesOnTimeRange:
            let whose = try tenant(&cursor)
            let name = try label(&cursor, "labelName")
            return .label(whose, name: name, try range(&cursor))
        case .tagValueSuffixes:
            return .suffixes(
                try tenant(&cursor), try range(&cursor), key: try label(&cursor, "tagKey"),
                prefix: try label(&cursor, "tagValuePrefix"), delimiter: try number(&cursor, UInt8.self))
        case .tsdbStatus:
            return .status(
                try tenant(&cursor), date: try number(&cursor, UInt32.self), top: try number(&cursor, UInt32.self))
        case .tsdbStatusWithFilters:
            return .filteredStatus(try query(&cursor), top: try number(&cursor, UInt32.self))
        case .registerMetricNames:
            try readNames(&cursor)
            return .names
        }
    }

    private mutating func readNames(_ cursor: inout ByteCursor) throws(Failure) {
        if namesWanted == nil {
            let count = try number(&cursor, UInt64.self)
            guard count <= UInt64(WireLimits.registeredNamesMax) else {
                throw Failure(
                    .tooBig,
                    "too many metric names in a single request; got \(count); mustn't exceed "
                        + "\(WireLimits.registeredNamesMax)")
            }
            namesWanted = Int(count)
            parsed = held.count - cursor.remaining
        }
        do {
            while names.count < namesWanted ?? 0 {
                let name = try bytes8(&cursor, "metricNameRaw", WireLimits.registeredNameBytesMax)
                let timestamp = Int64(bitPattern: try number(&cursor, UInt64.self))
                parsed = held.count - cursor.remaining
                names.append(
                    RegisteredName(start: parsed - 8 - name.count, count: name.count, timestampMs: timestamp))
            }
        } catch {
            guard case .missing(let bytes) = error else { throw error }
            // All names that are left, up to the length of the last one, so that many short ones take few attempts.
            let left = (namesWanted ?? 0) - names.count
            throw .missing(max(bytes, (left - 1) * SelectReader.nameBytesMin + 8 - (held.count - parsed)))
        }
    }

    private func number<Value: FixedWidthInteger & UnsignedInteger>(
        _ cursor: inout ByteCursor, _ type: Value.Type
    ) throws(Failure) -> Value {
        guard let value = try? cursor.readBigEndian(Value.self) else {
            throw .missing(MemoryLayout<Value>.size - cursor.remaining)
        }
        return value
    }

    private func bytes8(
        _ cursor: inout ByteCursor, _ what: String, _ limit: Int
    ) throws(Failure) -> UnsafeRawBufferPointer {
        let count = try number(&cursor, UInt64.self)
        guard count <= UInt64(limit) else {
            throw Failure(
                .tooBig, "cannot read \(what): too big data size: \(count); it mustn't exceed \(limit) bytes")
        }
        guard let bytes = try? cursor.readBytes(Int(count)) else { throw .missing(Int(count) - cursor.remaining) }
        return bytes
    }

    private func label(_ cursor: inout ByteCursor, _ what: String) throws(Failure) -> [UInt8] {
        [UInt8](try bytes8(&cursor, what, WireLimits.labelBytesMax))
    }

    private func tenant(_ cursor: inout ByteCursor) throws(Failure) -> Tenant {
        Tenant(bits: try number(&cursor, UInt64.self))
    }

    private func range(_ cursor: inout ByteCursor) throws(Failure) -> WireTimeRange {
        WireTimeRange(
            minMs: Int64(bitPattern: try number(&cursor, UInt64.self)),
            maxMs: Int64(bitPattern: try number(&cursor, UInt64.self)))
    }

    private func query(
        _ cursor: inout ByteCursor, _ what: String = "searchQuery", _ limit: Int = WireLimits.queryBytesMax
    ) throws(Failure) -> SearchQuery {
        let bytes = try bytes8(&cursor, what, limit)
        let needed = bytes.count * SearchQuery.memoryFactor
        guard queryGranted >= needed else { throw .memory(needed - queryGranted) }
        do { return try SearchQuery(decoding: bytes) } catch {
            throw Failure(.badRequest, "cannot unmarshal SearchQuery: \(error)")
        }
    }
}
