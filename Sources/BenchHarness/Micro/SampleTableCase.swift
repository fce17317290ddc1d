// SampleTableCase.swift - micro sample-table: rows through a table of samples (the samples' share of B6 and B7).
//
//   scrapes       500 k series, a row of each every 15 s, 48 rounds: add in batches of 8000, flushes on the way, settle
//   few series    1000 series, a row of each every 15 s, in batches of 1000
//   backfill      50 k series, rows all over 12 months in no order
//   read back     every block of one series in ten of the table that `scrapes` would leave
//
// Series are made as scrapes give them: the ids ascend with the arrival, target by target, while the order of TSIDs is by metric
// name first. The clock of the table stands at the end of the rows; flushes are due by memory and by real time. CPU is that of
// the whole process, background threads and the filling of batches included (about 3 ns a row). The digest is over the decoded
// rows of some series, whatever parts they are in.

import Glibc
import SampleStore
import StorageBytes
import StorageFiles
import StorageRuntime

final class SampleTableCase: MicroCase {
    enum Kind: String, CaseIterable {
        case scrapes = "add, flush, settle: scrapes"
        case fewSeries = "add, flush, settle: few series"
        case backfill = "add, flush, settle: backfill"
        case readBack = "read back"
    }

    let name: String
    let unit: String
    let group: String
    let budget: String? = "B6 and B7, ns/row of CPU with everything else: at most 600 and 150, aim 300 and 100"
    private let kind: Kind
    private let series: Int
    private let rounds: Int
    private let directory: String
    private let seed: UInt64
    private let files = RealFileSystem()
    private var rows: [SampleRow] = []
    private var table: SampleTable?
    private var cpuSeconds = 0.0
    private var searched = 0

    private static let metricsPerTarget = 250
    private static let startMs: Int64 = 1_700_000_000_000
    private static let monthMs: Int64 = 30 * 86_400_000

    private init(_ kind: Kind, _ options: MicroOptions) {
        self.kind = kind
        name = kind.rawValue
        group = kind.rawValue
        unit = "row"
        seed = options.seed
        switch kind {
        case .scrapes, .readBack: (series, rounds) = (options.scaled(500_000), 48)
        case .fewSeries: (series, rounds) = (1000, options.scaled(10_000))
        case .backfill: (series, rounds) = (options.scaled(50_000), 100)
        }
        directory = options.directory + "/mergeset-bench-sample-table-\(kind).tmp-\(getpid())"
    }

    deinit {
        try? table?.close()
        try? files.removeAll(directory)
    }

    static func cases(_ options: MicroOptions) throws(HarnessError) -> [any MicroCase] {
        Kind.allCases.map { SampleTableCase($0, options) }
    }

    var operations: Int { kind == .readBack ? max(1, series / 10) * rounds : series * rounds }

    var counts: [(name: String, value: UInt64)] {
        let metrics = table?.metrics ?? SampleTableMetrics()
        return [
            ("cpu_ps_per_row", UInt64(cpuSeconds * 1e12 / Double(operations))),
            ("rows_merged_percent", metrics.rowsMerged * 100 / max(metrics.rowsAdded, 1)),
            ("flushes", metrics.flushes), ("merges", metrics.small.merges + metrics.big.merges - metrics.flushes),
            ("parts", metrics.small.parts + metrics.big.parts),
            ("bytes", metrics.small.sizeBytes + metrics.big.sizeBytes), ("stalls", metrics.stalls),
        ]
    }

    private func tsid(_ index: Int) -> TSID {
        let metric = UInt64(index % SampleTableCase.metricsPerTarget)
        let target = UInt32(index / SampleTableCase.metricsPerTarget)
        return TSID(
            tenant: Tenant(accountID: 0, projectID: 0), metricGroupID: SplitMix64.mix(metric), jobID: target % 7,
            instanceID: UInt32(truncatingIfNeeded: SplitMix64.mix(UInt64(target))), metricID: 1 << 60 + UInt64(index))
    }

    func prepare() throws(HarnessError) {
        if kind == .readBack, table != nil { return }
        do throws(StorageError) {
            try table?.close()
            table = nil
            try files.removeAll(directory)
            try files.makeDirectory(directory, parents: true)
            rows = (0..<series).map { SampleRow(tsid: tsid($0), timestampMs: 0, value: 0) }
            let end = SampleTableCase.startMs + 12 * SampleTableCase.monthMs
            let clock = DrivenClock(unixMilliseconds: end, hasRealMonotonic: true)
            table = try SampleTable.open(
                directory + "/data", damagedDirectory: directory + "/damaged", options: SampleTableOptions(),
                files: files, environment: .driven(.live, clock: clock, seed: seed))
            if kind == .readBack { try fill() }
        } catch { throw HarnessError(error, while: "preparing a table of samples") }
    }

    /// Adds all rounds, in batches of 8000 rows.
    private func fill() throws(StorageError) {
        guard let table else { return }
        let batch = kind == .fewSeries ? 1000 : 8000
        for round in 0..<rounds {
            try rows.withUnsafeMutableBufferPointer { rows throws(StorageError) in
                let time = SampleTableCase.startMs + 15000 * Int64(round)
                for start in stride(from: 0, to: rows.count, by: batch) {
                    let end = min(start + batch, rows.count)
                    for index in start..<end {
                        // Four series in ten do not change; others count up in steps of their own.
                        let step = index % 10 < 4 ? 0 : index % 100
                        rows[index].value = Double(index % 1000 + round * step) / 4
                        rows[index].timestampMs = time
                    }
                    if kind == .backfill { scatter(UnsafeMutableBufferPointer(rebasing: rows[start..<end]), round) }
                    try table.add(UnsafeBufferPointer(rebasing: rows[start..<end]), precisionBits: 64, hint: 0)
                }
            }
        }
        try table.settle()
    }

    /// Moves rows to moments of the year before.
    private func scatter(_ rows: UnsafeMutableBufferPointer<SampleRow>, _ round: Int) {
        for index in rows.indices {
            let place = SplitMix64.mix(UInt64(round) << 32 ^ rows[index].tsid.metricID)
            let month = Int64(place % 12)
            // Each round has its own second of an hour, so no two rows of a series meet.
            let hour = Int64(place >> 32 % 700)
            rows[index].timestampMs =
                SampleTableCase.startMs + month * SampleTableCase.monthMs + hour * 3_600_000 + Int64(round) * 1000
        }
    }

    func run() throws(HarnessError) {
        let before = CPUTime.ofProcess()
        do throws(StorageError) {
            if kind == .readBack {
                searched = try decode(every: 10).rows
            } else {
                try fill()
            }
        } catch { throw HarnessError(error, while: "running a table of samples") }
        cpuSeconds = (CPUTime.ofProcess() - before).total
        if kind == .readBack, searched != operations {
            throw HarnessError(.checkFailed, "\(searched) rows were read back, \(operations) were expected")
        }
    }

    /// Decodes all rows of some series: their number, and the sum of a hash of each.
    private func decode(every step: Int) throws(StorageError) -> (rows: Int, sum: UInt64) {
        guard let table else { return (0, 0) }
        let wanted = stride(from: 0, to: series, by: step).map { tsid($0) }.sorted()
        let search = table.search(wanted, minTimestamp: 0, maxTimestamp: .max)
        var columns = SampleColumns()
        var decoder = IntegerArrayDecoder()
        var bits: [UInt64] = []
        var count = 0
        var sum: UInt64 = 0
        while try search.next() {
            let block = try search.read()
            do throws(DecodeError) {
                try columns.decode(block.header, timestamps: block.timestamps, values: block.values, &decoder)
            } catch { throw StorageError(.corrupted, "a block does not decode: \(error)", path: search.partPath) }
            bits.removeAll(keepingCapacity: true)
            bits.append(contentsOf: repeatElement(0, count: columns.count))
            DecimalCoding.floats(columns.values, columns.count, exponent: columns.exponent, into: &bits)
            for row in 0..<columns.count {
                let place = block.header.tsid.metricID ^ UInt64(bitPattern: columns.timestamps[row])
                sum = sum &+ SplitMix64.mix(place &+ SplitMix64.mix(bits[row]))
            }
            count += columns.count
        }
        return (count, sum)
    }

    func digest() -> UInt64 {
        guard let found = try? decode(every: max(1, series / 1000)) else { return 0 }
        return found.sum ^ SplitMix64.mix(UInt64(found.rows)) ^ SplitMix64.mix(table?.metrics.rowsAdded ?? 0)
    }
}
