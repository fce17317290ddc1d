// SelectReaderTests.swift - requests: limits are checked as soon as a size is read; nothing is lost between requests.

import StorageBytes
import TestSupport
import Testing

@testable import ClusterWire

@Suite struct SelectReaderTests {
    private func request(_ name: String, _ arguments: [UInt8]) -> [UInt8] {
        var bytes = RawBuffer()
        bytes.appendBigEndian(UInt64(name.utf8.count))
        bytes.append(Array(name.utf8))
        bytes.appendBigEndian(UInt32(30))
        bytes.append(arguments)
        return bytes.array()
    }

    private func number(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

    @Test func requestsFollowEachOther() throws {
        let one = request("seriesCount_v2", number(5))
        let two = request("labelValues_v2", number(1) + number(3) + Array("job".utf8))
        let names = number(2) + number(8) + number(1) + number(3) + number(2) + [7, 7] + number(4)
        let three = request("registerMetricNames_v1", names)
        let all = one + two + three + one
        for piece in [1, 2, 3, 5, 17, all.count] {
            let requests = try WireScript.requests(all, piece: piece)
            #expect(requests.map(\.call) == [.seriesCount, .labelValues, .registerMetricNames, .seriesCount])
            #expect(requests.map(\.timeoutSeconds) == [30, 30, 30, 30])
            #expect(requests[0].arguments == .tenant(Tenant(bits: 5)))
            #expect(requests[1].arguments == .label(Tenant(bits: 1), name: Array("job".utf8), nil))
            let registered = requests[2].names.map { Array(requests[2].bytes[$0.start..<$0.start + $0.count]) }
            #expect(registered == [number(1), [7, 7]])
            #expect(requests[2].names.map(\.timestampMs) == [3, 4])
        }
    }

    @Test func unknownCallsAndSizesAboveTheLimitsAreRefused() {
        let bad: [[UInt8]] = [
            request("search_v3", []), request("search_v5", []), request("", []), number(129),
            request("search_v4", number(1_048_577)), request("deleteMetrics_v3", number(65_537)),
            request("labelValues_v2", number(0) + number(16_385)),
            request("tagValueSuffixes_v1", number(0) + number(0) + number(0) + number(16_385)),
            request("registerMetricNames_v1", number(1_048_577)),
            request("registerMetricNames_v1", number(1) + number(1_048_577)),
            request("searchMetricNames_v1", number(3) + [1, 2, 3]),
        ]
        for (index, bytes) in bad.enumerated() {
            #expect(throws: WireError.self, "case \(index)") { try WireScript.requests(bytes, piece: bytes.count) }
            #expect(throws: WireError.self, "case \(index)") { try WireScript.requests(bytes, piece: 1) }
        }
    }

    /// Nothing behind a request is taken from the input, and a query is decoded only with memory for its values.
    @Test func requestsTakeTheirOwnBytesOnly() throws {
        var query = RawBuffer()
        let filter = SearchQuery.Filter(key: [1], value: [2])
        SearchQuery(
            tenant: Tenant(bits: 5), range: WireTimeRange(minMs: 1, maxMs: 2),
            groups: Array(repeating: [filter], count: 1000)
        ).encode(to: &query)
        let names = number(3) + (0..<3).flatMap { number(2) + [7, $0] + number(4) }
        let all = [
            request("search_v4", number(UInt64(query.count)) + query.array() + [1]),
            request("registerMetricNames_v1", names), request("seriesCount_v2", number(5)),
        ]
        let bytes = Array(all.joined())
        var reader = SelectReader(StreamDecoder(isCompressed: false))
        var used: [Int] = []
        var granted: [Int] = []
        var grantedNow = 0
        try bytes.withUnsafeBytes { input in
            var cursor = ByteCursor(input)
            while used.count < 3 {
                switch try reader.advance(&cursor) {
                case .request:
                    used.append(input.count - cursor.remaining)
                    granted.append(grantedNow)
                    grantedNow = 0
                    let (isBetween, held) = (reader.isBetweenRequests, reader.requestMemoryBytes)
                    #expect(isBetween && held == 0)
                case .needsMemory(let bytes):
                    grantedNow += bytes
                    reader.grantMemory(bytes)
                case .needsInput:
                    Issue.record("everything is there")
                    return
                }
            }
        }
        #expect(used == [all[0].count, all[0].count + all[1].count, bytes.count])
        #expect(granted[0] >= query.count * (SearchQuery.memoryFactor + 1))
        #expect(granted[2] == 4096)
    }

    @Test func handshakeInEveryCutting() throws {
        let input = WirePort.vmselect.hello + [1] + Array("ok".utf8) + [42]
        for piece in 1...input.count {
            var handshake = ServerHandshake(.vmselect, serverCompresses: true)
            var answer = RawBuffer()
            var held: [UInt8] = []
            for start in stride(from: 0, to: input.count, by: piece) {
                held += input[start..<min(input.count, start + piece)]
                try held.withUnsafeBytes { bytes in
                    var cursor = ByteCursor(bytes)
                    while try handshake.advance(&cursor, answer: &answer) {}
                    held = Array(cursor.rest)
                }
            }
            #expect(handshake.step == .done)
            #expect(handshake.clientCompresses)
            #expect(answer.array() == Array("okok".utf8) + [1])
            #expect(held == [42])
        }
        for wrong in ["vmselect.02", "vminsert.02"] {
            var handshake = ServerHandshake(.vmselect, serverCompresses: false)
            var answer = RawBuffer()
            #expect(throws: WireError.self) {
                try Array(wrong.utf8).withUnsafeBytes { bytes in
                    var cursor = ByteCursor(bytes)
                    _ = try handshake.advance(&cursor, answer: &answer)
                }
            }
            #expect(answer.count == 0)
        }
    }

    @Test func quotedText() {
        #expect(QuotedText.quote([0, 7, 0x70, 0x0A, 0xFF, 0x22, 0x5C]) == "\"\\x00\\ap\\n\\xff\\\"\\\\\"")
        #expect(QuotedText.quote("é\u{200B}") == "\"é\\u200b\"")
    }
}
