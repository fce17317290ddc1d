// MergeCase.swift - micro merge: four file parts into one, by each way of treating tag rows.
//
// Preparing makes a table of four parts without background merges; the measured region is the forced merge, with its
// writes and syncs. The result is digested in normalised form, so all ways must give the same digest.

import Glibc
import Mergeset
import StorageBytes
import StorageFiles
import StorageRuntime
import Workloads

final class MergeCase: MicroCase {
    let name: String
    let unit = "item"
    let group = "merge"
    private let corpus: Corpus
    private let merging: TagRowMerging
    private let path: String
    private let files = RealFileSystem()
    private var table: Table?
    private var itemsBefore: UInt64 = 0, itemsAfter: UInt64 = 0, bytesAfter: UInt64 = 0

    static let parts = 4

    /// The items of all cases.
    final class Corpus {
        let items: ItemCorpus
        init(_ items: consuming ItemCorpus) { self.items = items }
    }

    private init(_ corpus: Corpus, _ merging: TagRowMerging, _ options: MicroOptions) {
        self.corpus = corpus
        self.merging = merging
        path = options.directory + "/mergeset-bench-merge-\(merging.rawValue).tmp-\(getpid())"
        name = "\(MergeCase.parts) parts, tag rows \(merging.rawValue)"
    }

    deinit { removeTable() }

    static func cases(_ options: MicroOptions) throws(HarnessError) -> [any MicroCase] {
        let corpus = Corpus(ItemWorkload(.indexShaped).corpus(options.scaled(400_000), seed: options.seed))
        return TagRowMerging.allCases.map { MergeCase(corpus, $0, options) }
    }

    var operations: Int { corpus.items.count }
    var counts: [(name: String, value: UInt64)] {
        [("items_before", itemsBefore), ("items_after", itemsAfter), ("bytes_after", bytesAfter)]
    }

    func prepare() throws(HarnessError) {
        removeTable()
        do throws(StorageError) {
            try files.removeAll(path)
            try files.makeDirectory(path, parents: true)
            var options = TableOptions()
            options.tagRowMerging = merging
            options.mergesInBackground = false
            let table = try Table.open(
                path + "/table", options: options, files: files, environment: .deterministic())
            self.table = table
            let count = corpus.items.count
            for part in 0..<MergeCase.parts {
                let end = count * (part + 1) / MergeCase.parts
                for start in stride(from: count * part / MergeCase.parts, to: end, by: 1000) {
                    try table.add { (writer: inout ItemWriter) throws(StorageError) in
                        for index in start..<min(start + 1000, end) { try writer.add(corpus.items.item(index)) }
                    }
                }
                try table.flush()
            }
            itemsBefore = table.metrics.items
        } catch { throw HarnessError(error, while: "making the parts to be merged") }
    }

    func run() throws(HarnessError) {
        guard let table else { return }
        try HarnessError.wrapping("merging") { () throws(StorageError) in try table.mergeAll() }
    }

    func digest() -> UInt64 {
        guard let table else { return 0 }
        itemsAfter = table.metrics.items
        bytesAfter = table.metrics.sizeBytes
        var digest = StoreDigest()
        do throws(StorageError) {
            var cursor = table.cursor()
            try cursor.seek(UnsafeRawBufferPointer(start: nil, count: 0))
            while try cursor.next() { digest.add(cursor.item) }
        } catch {
            return 0  // differs from the digests of the other cases and repetitions
        }
        return digest.finish()
    }

    private func removeTable() {
        try? table?.close()
        table = nil
        try? files.removeAll(path)
    }
}
