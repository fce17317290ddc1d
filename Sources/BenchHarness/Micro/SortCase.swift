// SortCase.swift - micro sort (B9): index-shaped items of about 76 bytes in arrival order, sorted in runs.
//
// The engine's sort and the standard library's sort with memcmp work on the same references to the same bytes, and must
// give the same order of bytes.

import StorageBytes
import Workloads

final class SortCase: MicroCase {
    let name: String
    let unit = "item"
    let group: String
    let budget: String? =
        "B9, ns/item for runs of 860 / 10 k / 100 k: reference 150 / 190 / 330-460, at least 80 / 85 / 140, "
        + "aim 60 / 65 / 100"
    private let items: SharedItems
    private let runItems: Int
    private let isPlain: Bool

    var operations: Int { items.count }

    private init(_ items: SharedItems, runItems: Int, isPlain: Bool) {
        self.items = items
        self.runItems = runItems
        self.isPlain = isPlain
        group = "runs of \(runItems)"
        name = (isPlain ? "library, " : "engine, ") + group
    }

    static func cases(_ options: MicroOptions) throws(HarnessError) -> [any MicroCase] {
        let items = SharedItems(options.scaled(100_000), seed: options.seed)
        return [860, 10_000, 100_000].flatMap { (runItems: Int) -> [any MicroCase] in
            [
                SortCase(items, runItems: runItems, isPlain: false),
                SortCase(items, runItems: runItems, isPlain: true),
            ]
        }
    }

    func prepare() { items.restoreOrder() }

    func run() {
        for first in stride(from: 0, to: items.count, by: runItems) {
            let end = min(first + runItems, items.count)
            items.sample.sort(
                UnsafeMutableBufferPointer(rebasing: items.work[first..<end]), items.scratch, plain: isPlain)
        }
    }

    func digest() -> UInt64 { items.sample.digest(UnsafeBufferPointer(items.work)) }
}

/// Index-shaped items and room for sorting references to them.
final class SharedItems {
    let sample: ItemSample
    let work: UnsafeMutableBufferPointer<ItemRef>
    let scratch: UnsafeMutableBufferPointer<ItemRef>
    var count: Int { work.count }

    init(_ count: Int, seed: UInt64) {
        let corpus = ItemWorkload(.indexShaped).corpus(count, seed: seed)
        var sample = ItemSample()
        for index in 0..<corpus.count { sample.append(corpus.item(index)) }
        work = .allocate(capacity: count)
        scratch = .allocate(capacity: count)
        scratch.initialize(repeating: ItemRef(key: 0, offset: 0, length: 0))
        _ = work.initialize(from: sample.refs)
        self.sample = sample
    }

    deinit {
        work.deallocate()
        scratch.deallocate()
    }

    /// Puts the references back into arrival order.
    func restoreOrder() { _ = work.update(from: sample.refs) }

    /// Sorts all of them.
    func sortAll() {
        restoreOrder()
        sample.sort(work, scratch, plain: false)
    }

    /// Item `index` of the present order.
    subscript(index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: sample.bytes.base + Int(work[index].offset), count: Int(work[index].length))
    }
}
