// SampleMergeCase.swift - micro sample-merge (B17): parts of samples into one.
//
//   all overlapping    two parts with the same series and blocks of 8192 rows; every row of one lies between two of the other
//                      once with the levels of zstd that the reference uses, once with level 1
//   none overlapping   two parts with the same blocks, of different series: blocks are copied
//   fresh rows         fifteen parts in memory with one row of each series, as a flush meets them
//
// The files are read and written where `--directory` says; syncs are in the time, so a directory in memory (/dev/shm)
// shows the merge alone. The digest is over the decoded rows' headers.

import Glibc
import SampleStore
import StorageBytes
import StorageFiles
import StorageRuntime

final class SampleMergeCase: MicroCase {
    enum Kind: String, CaseIterable {
        case allOverlapping = "all overlapping"
        case allOverlappingFast = "all overlapping, zstd level 1"
        case noneOverlapping = "none overlapping"
        case freshRows = "fresh rows"
    }

    let name: String
    let unit = "row"
    let group: String
    let budget: String?
    private let kind: Kind
    private let seed: UInt64
    private let series: Int
    private let directory: String
    private let files = RealFileSystem()
    private var parts: [SamplePart] = []
    private var merged: FileSamplePart?
    private var counters = SampleMergeCounters()
    private let cache = IndexCacheBudget(bytesMax: 16 << 20)

    private init(_ kind: Kind, _ options: MicroOptions) {
        self.kind = kind
        name = kind.rawValue
        group = kind == .allOverlappingFast ? Kind.allOverlapping.rawValue : kind.rawValue
        budget =
            kind == .freshRows
            ? nil : "B17, ns/row of a merge, all blocks overlapping / none: at most 67 / 5, aim 25 / 1"
        seed = options.seed
        series = options.scaled(kind == .freshRows ? 100_000 : 100)
        directory = options.directory + "/mergeset-bench-samples-\(kind).tmp-\(getpid())"
    }

    deinit { try? files.removeAll(directory) }

    static func cases(_ options: MicroOptions) throws(HarnessError) -> [any MicroCase] {
        Kind.allCases.map { SampleMergeCase($0, options) }
    }

    var operations: Int { parts.reduce(0) { $0 + Int($1.totals.rows) } }

    var counts: [(name: String, value: UInt64)] {
        [
            ("blocks_copied", counters.blocksCopied), ("blocks_encoded", counters.blocksEncoded),
            ("bytes", merged?.sizeBytes ?? 0),
        ]
    }

    func prepare() throws(HarnessError) {
        merged = nil
        do throws(StorageError) {
            if parts.isEmpty {
                try files.removeAll(directory)
                try files.makeDirectory(directory, parents: true)
                try makeParts()
            }
            try files.removeAll(directory + "/out")
            try files.removeAll(directory + "/merged")
            try files.makeDirectory(directory + "/merged", parents: false)
        } catch { throw HarnessError(error, while: "making the parts to be merged") }
    }

    private func makeParts() throws(StorageError) {
        var random = SplitMix64(seed: seed)
        let count = kind == .freshRows ? 15 : 2
        for number in 0..<count {
            var rows: [SampleRow] = []
            for index in 0..<series {
                let id = kind == .noneOverlapping ? 2 * index + number : index
                let rowsCount = kind == .freshRows ? 1 : SampleLimits.blockRowsMax
                let start =
                    kind != .noneOverlapping && kind != .freshRows
                    ? number * 7500 : kind == .freshRows ? number * 15000 : 0
                var value = Int64(random.next() % 100_000)
                for row in 0..<rowsCount {
                    value += Int64(random.next() % 201) - 100
                    rows.append(
                        SampleRow(
                            tsid: TSID(
                                tenant: Tenant(accountID: 0, projectID: 0), metricGroupID: 1, jobID: 2,
                                instanceID: UInt32(id), metricID: UInt64(id)),
                            timestampMs: 1_700_000_000_000 + Int64(start + row * 15000), value: Double(value) / 10))
                }
            }
            var converter = RowConverter()
            let memory = rows.withUnsafeBufferPointer {
                converter.convert($0, precisionBits: 64, dedupIntervalMs: 0)
            }
            guard let memory else { return }
            parts.append(kind == .freshRows ? memory : try merge([memory], into: "/in\(number)").part)
        }
    }

    private func merge(
        _ parts: [SamplePart], into name: String
    ) throws(StorageError) -> (part: FileSamplePart, counters: SampleMergeCounters) {
        let sources = parts.map { $0.source() }
        var writer = try SamplePartWriter(
            directory: directory + "/out", level: SampleMerger.indexLevel(sources), dedupIntervalMs: 0,
            dataLevelMax: kind == .allOverlappingFast ? 1 : SampleLimits.dataLevelMax, files: files)
        var merger = SampleMerger(sources, SampleMergeOptions())
        try merger.run(into: &writer)
        _ = try writer.finish()
        let parent = directory + name
        if try files.kind(of: parent) == nil { try files.makeDirectory(parent, parents: false) }
        let path = parent + "/" + SamplePartName(writer.totals, number: 1).text
        try files.rename(directory + "/out", to: path)
        return (try FileSamplePart(path: path, files: files, cache: cache), merger.counters)
    }

    func run() throws(HarnessError) {
        do throws(StorageError) {
            let result = try merge(parts, into: "/merged")
            merged = result.part
            counters = result.counters
        } catch { throw HarnessError(error, while: "merging") }
    }

    func digest() -> UInt64 {
        guard let source = merged?.source() else { return 0 }
        let digest = Digest()
        while (try? source.advance()) == true {
            digest.add(source.header.tsid.metricID)
            digest.add(UInt64(bitPattern: source.header.minTimestamp))
            digest.add(UInt64(bitPattern: source.header.maxTimestamp))
            digest.add(UInt64(source.header.rowsCount))
        }
        return digest.value
    }
}
