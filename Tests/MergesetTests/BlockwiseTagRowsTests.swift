// The reference's hook, call by call, against merge_rows.json.

import StorageBytes
import TestSupport
import Testing

@testable import Mergeset

@Suite struct BlockwiseTagRowsTests {
    @Test func callsGiveWhatTheReferenceGives() throws {
        for entry in try Golden.json("mergeset/merge_rows.json")["cases"].array {
            let name = try entry["description"].string
            var rule = BlockwiseTagRowRule()
            var block = ItemBlock()
            for item in try Golden.items(entry["items"]) { item.withUnsafeBytes { block.append($0) } }
            if entry["crash"].isPresent {
                var isRefused = false
                do { try rule.rewrite(&block) } catch { isRefused = true }
                #expect(isRefused, "\(name)")
                continue
            }
            try rule.rewrite(&block)
            var result: [[UInt8]] = []
            for index in 0..<block.count { result.append([UInt8](block[index])) }
            #expect(try result == Golden.items(entry["result"]), "\(name)")
            #expect(try rule.processedBlocks == entry["blocks_processed_delta"].uint64, "\(name)")
            #expect(try rule.unorderedBlocks == entry["incorrect_order_delta"].uint64, "\(name)")
        }
    }
}
