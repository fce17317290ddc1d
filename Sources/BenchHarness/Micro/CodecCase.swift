// CodecCase.swift - micro codec (B12): encode and decode of a block of 1000 short items without zstd.
//
// Encoding is what the merge does for a block: appending each item with the prefix it shares with its predecessor, then
// the payloads. Decoding rebuilds the items from the payloads, with all checks.

import Mergeset
import StorageBytes
import Workloads

final class CodecCase: MicroCase {
    let name: String
    let unit = "block"
    let group: String
    let budget: String? =
        "B12, ns/block of 1000 short items, zstd left out: at least 10,000 / 8,000 (encode / decode), aim 6,000 / 4,000"
    private let encodes: Bool
    private let blocks: Int
    private let input: SortedBlock
    private var encoder = BlockEncoder()
    private var decoded = DecodedItems()

    /// 1000 sorted items, the prefixes they share, and their payloads.
    final class SortedBlock {
        let items: ItemSample
        let shared: [Int]
        var itemsPayload = RawBuffer(), lensPayload = RawBuffer()
        var commonPrefix = Int.max

        init(_ workload: ItemWorkload, seed: UInt64) {
            let corpus = workload.corpus(1000, seed: seed)
            var sample = ItemSample()
            for index in 0..<corpus.count { sample.append(corpus.item(index)) }
            let scratch = UnsafeMutableBufferPointer<ItemRef>.allocate(capacity: corpus.count)
            scratch.initialize(repeating: ItemRef(key: 0, offset: 0, length: 0))
            defer { scratch.deallocate() }
            var refs = sample.refs
            refs.withUnsafeMutableBufferPointer { sample.sort($0, scratch, plain: false) }
            sample.refs = refs
            // The common prefix of single bytes at the end may need readable bytes behind the last item: RawBuffer.slack.
            var shared = [0]
            for index in 1..<refs.count {
                let prefix = Bytes.commonPrefix(SortedBlock.item(sample, index - 1), SortedBlock.item(sample, index))
                shared.append(prefix)
                commonPrefix = min(commonPrefix, prefix)
            }
            items = sample
            self.shared = shared
            var encoder = BlockEncoder()
            fill(&encoder)
            var itemsPayload = RawBuffer(), lensPayload = RawBuffer()
            encoder.withPayloads { items, lens in
                itemsPayload.append(items)
                lensPayload.append(lens)
            }
            self.itemsPayload = itemsPayload
            self.lensPayload = lensPayload
        }

        static func item(_ sample: borrowing ItemSample, _ index: Int) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(
                start: sample.bytes.base + Int(sample.refs[index].offset), count: Int(sample.refs[index].length))
        }

        func fill(_ encoder: inout BlockEncoder) {
            encoder.removeAll()
            items.refs.withUnsafeBufferPointer { refs in
                for index in 0..<refs.count {
                    encoder.append(
                        items.bytes.base + Int(refs[index].offset), Int(refs[index].length), sharing: shared[index])
                }
            }
        }
    }

    private init(_ label: String, _ input: SortedBlock, encodes: Bool, blocks: Int) {
        self.input = input
        self.encodes = encodes
        self.blocks = blocks
        name = (encodes ? "encode, " : "decode, ") + label
        group = label + (encodes ? ", payloads" : ", items")
    }

    static func cases(_ options: MicroOptions) throws(HarnessError) -> [any MicroCase] {
        let workloads: [(String, ItemWorkload)] = [
            ("random short", ItemWorkload(.random)), ("shared prefix short", ItemWorkload(.sharedPrefix)),
        ]
        let blocks = options.scaled(500)
        return workloads.flatMap { (label, workload) -> [any MicroCase] in
            let input = SortedBlock(workload, seed: options.seed)
            return [
                CodecCase(label, input, encodes: true, blocks: blocks),
                CodecCase(label, input, encodes: false, blocks: blocks),
            ]
        }
    }

    var operations: Int { blocks }

    func run() throws(HarnessError) {
        if encodes {
            for _ in 0..<blocks {
                input.fill(&encoder)
                encoder.withPayloads { _, _ in }
            }
            return
        }
        do {
            for _ in 0..<blocks {
                try decoded.decodePayloads(
                    input.shared.count, input.commonPrefix, CodecCase.SortedBlock.item(input.items, 0),
                    items: input.itemsPayload.bytes, lens: input.lensPayload.bytes)
            }
        } catch { throw HarnessError(.checkFailed, "a block that was just encoded does not decode: \(error)") }
    }

    func digest() -> UInt64 {
        let digest = Digest()
        if encodes {
            encoder.withPayloads { items, lens in
                digest.addItem(items)
                digest.addItem(lens)
            }
        } else {
            for index in 0..<decoded.count { digest.addItem(decoded[index]) }
        }
        return digest.value
    }
}
