// FloodTests.swift - the packets of a flood, decoded by the reader of the node's ports, and its verdict.

import ClusterWire
import StorageBytes
import StorageFiles
import Testing
import Workloads

@testable import BenchHarness

@Suite struct FloodTests {
    private static func flood(_ bytes: Int, compresses: Bool) throws -> FloodRun {
        let nobody = try #require(NodeAddress("127.0.0.1:1"))
        var options = FloodOptions(address: nobody, http: nobody)
        options.packetBytes = bytes
        options.compresses = compresses
        return FloodRun(options)
    }

    private static func profile() throws -> Profile {
        try ProfileLoader.load(
            "rows-short", given: repositoryPath("Benchmarks/Profiles"), size: .s, overrides: ["series=7"],
            RealFileSystem())
    }

    /// The payload of the one packet.
    private static func payload(_ packet: FloodRun.EncodedPacket, compressed: Bool) throws -> [UInt8] {
        var reader = PacketReader(StreamDecoder(isCompressed: compressed))
        var cursor = ByteCursor(packet.bytes.bytes)
        while true {
            switch try reader.advance(&cursor) {
            case .packet(let packet): return packet.payload()
            case .needsMemory(let wanted): reader.grantMemory(wanted)
            case .hasWorked: break
            case .needsInput:
                Issue.record("the packet is not complete")
                return []
            }
        }
    }

    @Test(arguments: [true, false]) func packetsHoldAsManyRowsAsFit(compresses: Bool) throws {
        for bytes in [200, 5000, 100_000] {
            let packet = try Self.flood(bytes, compresses: compresses).packetWithRows(Self.profile())
            let payload = try Self.payload(packet, compressed: compresses)
            #expect(payload.count <= bytes && payload.count > bytes - 200 && packet.rows > 0, "\(bytes)")
            var seen: Set<[UInt8]> = []
            var rows = 0
            try payload.withUnsafeBytes { bytes in
                var cursor = ByteCursor(bytes)
                while cursor.remaining > 0 {
                    // varint length, name, timestamp, value: docs/format/cluster-rpc.md, 4.2
                    let name = try cursor.readPrefixed()
                    let timestamp = try cursor.readBytes(8)
                    _ = try cursor.readBytes(8)
                    seen.insert(Array(name) + Array(timestamp))
                    rows += 1
                }
            }
            #expect(rows == packet.rows)
            #expect(seen.count == rows, "two rows of a series have one time")
        }
    }

    @Test(arguments: [true, false]) func packetsWithoutRowsAreFull(compresses: Bool) throws {
        for bytes in [1, 1 << 20, (1 << 20) + 1] {
            let packet = try Self.flood(bytes, compresses: compresses).packetWithoutRows()
            #expect(packet.rows == 0)
            let payload = try Self.payload(packet, compressed: compresses)
            #expect(payload.count == bytes && payload.allSatisfy { $0 == 0xFF })
        }
    }

    @Test func memoryAboveTheBudgetFails() throws {
        var result = FloodResult()
        result.budgetBytes = 300_000_000
        result.peakBytes = 350_000_000
        #expect(result.aboveBudgetBytes == 50_000_000)
        try result.requireBudget(most: 50_000_000)
        #expect(
            #expect(throws: HarnessError.self) { try result.requireBudget(most: 49_999_999) }?.status == .checkFailed)
        result.peakBytes = 10
        try result.requireBudget(most: 0)
    }

    @Test func aNodeThatIsNotThereIsAnError() throws {
        let flood = try Self.flood(5000, compresses: false)
        #expect(#expect(throws: HarnessError.self) { try flood.run(Self.profile()) }?.status == .inputOutput)
    }
}
