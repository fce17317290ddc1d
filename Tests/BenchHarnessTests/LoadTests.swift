// LoadTests.swift - the load client without a node: addresses, and the rows of packets.

import StorageEngine
import Testing

@testable import BenchHarness

@Suite struct LoadTests {
    @Test func targets() throws {
        #expect(LoadTarget("engine") == .engine)
        let node = try #require(NodeAddress("127.0.0.1:8400"))
        #expect(LoadTarget("rpc://127.0.0.1:8400") == .rpc(node))
        #expect(node.isLocal)
        #expect(NodeAddress("node-1:8400")?.isLocal == false)
        for bad in ["", "rpc://", "rpc://host", "rpc://:8400", "rpc://host:0", "rpc://host:70000", "http://host:80"] {
            #expect(LoadTarget(bad) == nil, "\(bad)")
        }
    }

    /// Packets, whatever their size, are the rows of the round over and over, and values grow with each repetition.
    @Test func packetsFollowTheRound() {
        let name: [UInt8] = Array(repeating: 0, count: 12)
        name.withUnsafeBytes { name in
            let rows = (0..<5).map { MetricRow(name: name, timestampMs: 0, value: Double($0) * 100) }
            rows.withUnsafeBufferPointer { rows in
                for size in 1...12 {
                    var values: [Double] = []
                    var first = 0
                    while first < 23 {
                        let count = min(size, 23 - first)
                        PacketRows(round: rows, first: first, count: count, timestampMs: 7).forEach { row in
                            #expect(row.timestampMs == 7)
                            values.append(row.value)
                        }
                        first += count
                    }
                    let wanted: [Double] = (0..<23).map { (row: Int) -> Double in
                        Double(row % 5) * 100 + Double(row / 5)
                    }
                    #expect(values == wanted)
                }
            }
        }
    }
}
