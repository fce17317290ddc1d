// BenchRun.swift - one run from the open of the storage to the record: the phases in their order, and the figures.
//
//   1  open          fresh table or storage in the run's data directory
//   2  ingest        timed; CPU, peak memory and allocations are counted from here
//   3  debt          last flush, pending merges; the counting ends here
//   4  seek          exact seeks in random order: the block caches
//   5  scan          one pass for the store digest, then a timed one over what the caches hold by then
//   6  read back     a sample of the series; a wrong answer fails the run
//   7  forced merge  if asked for: size after / before, digest must stay
//   8  close         timed; for rows the storage is opened again, twice
//   9  yardsticks    the machine, on a sample of the same items
//
// Steps 2, 3 and 6 differ: BenchRun+Rows drives rows through the engine, BenchRun+Items puts items into a table.
// BenchRun+Samples is about what becomes of the rows.
//
// Threads: phases are driven by the calling thread; ingest threads, the storage's own and the progress thread run beside
// it in live mode, none of them in deterministic mode.

import Mergeset
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime

/// What a run leaves: its record and the intervals.
public struct RunOutcome: Sendable {
    /// The contents of run.json.
    public var record: RunRecord
    /// The lines of intervals.csv.
    public var intervals: [IntervalRecord]
    /// Why the run has failed, when a check inside it did.
    public var failure: HarnessError?
}

/// Runs a subject against the engine in process.
public struct BenchRun {
    let subject: RunSubject
    let options: RunOptions
    let files: any FileSystem
    let status: StatusDisplay
    let partLog = PartLog()

    /// A run of `subject`, whose table will lie in `files`.
    public init(subject: RunSubject, options: RunOptions, files: any FileSystem, status: StatusDisplay) {
        var options = options
        let log = partLog
        if options.mode == .live { options.table.onPartWritten = { log.add($0) } }
        self.subject = subject
        self.options = options
        self.files = files
        self.status = status
    }

    /// Runs all phases.
    ///
    /// - Parameters:
    ///   - tablePath: A path where nothing is; its parent exists.
    ///   - provenance: Taken before the rows were generated.
    ///   - startNanoseconds: Start of the whole run, on the ``WallClock``.
    /// - Throws: `.interrupted`; errors of the table. A failed check is not thrown: it is in the outcome, so that the
    ///   report can still be looked at.
    public func run(
        tablePath: String, provenance: Provenance, startNanoseconds: UInt64
    ) throws(HarnessError) -> RunOutcome {
        guard subject.input.count > 0 else { throw HarnessError(.badInput, "\(subject.profile) makes no rows") }
        var measured = Measured(figures: FigureSet(isDeterministic: !isLive), observed: try observeInput())
        let progress = Progress(status: status, samplesItself: isLive)
        do throws(HarnessError) {
            if let rows = subject.rows {
                try runRows(rows, tablePath, progress, &measured)
            } else {
                try runItems(tablePath, progress, &measured)
            }
            if !isLive { measured.observed.directoryDigest = try DirectoryDigest.hex(tablePath, files) }
            if options.measuresYardsticks {
                progress.begin("yardsticks", total: 0, unit: "")
                try measureYardsticks(items: Int(measured.figures["items_in_table"] ?? 0), &measured.figures)
            }
        } catch {
            _ = progress.finish()
            throw error
        }
        let intervals = progress.finish()
        setIntervalFigures(intervals, accounted: measured.accountedIntervals, &measured.figures)
        if isLive { measured.parts = partLog.records(since: progress.startNanoseconds) }
        return outcome(measured, intervals, provenance, startNanoseconds)
    }

    var isLive: Bool { options.mode == .live }

    /// What a run has found out so far.
    struct Measured {
        var figures: FigureSet
        var observed: Observed
        var reasons: [String] = []
        var failure: HarnessError?
        /// Intervals until the accounts of ingest and debt were closed.
        var accountedIntervals = 0
        var rounds: [RoundRecord]?
        var labels: [LabelCost]?
        var alerts: [AlertVerdict]?
        var shape: [ShapeLine]?
        var latency: [LatencyRecord]?
        var parts: [PartRecord]?
        var counters: [CounterRecord]?

        /// Remembers the first failed check.
        mutating func fail(_ message: String) {
            if failure == nil { failure = HarnessError(.checkFailed, "wrong answer: " + message) }
        }
    }

    // MARK: the accounts of ingest and debt

    /// What was read before the ingest started.
    struct Accounts {
        let kernel: KernelIO
        let files: FileCounters
        let cpu: CPUTime
        let sampling: (cpuSeconds: Double, samples: UInt64)
    }

    func openAccounts(_ progress: Progress) -> Accounts {
        if options.mode == .live { MemoryWarmUp.touch(bytes: options.warmMemoryBytes) }
        ResidentMemory.resetPeak()
        return Accounts(
            kernel: KernelIO.now(), files: files.counters, cpu: CPUTime.ofProcess(), sampling: progress.cost)
    }

    /// Memory, bytes, calls and what the harness itself took from the opening of the accounts until now.
    ///
    /// - Parameters:
    ///   - mapped: Memory of the generator.
    ///   - generatorSeconds: CPU of the generator in this time.
    ///   - recordingSeconds: CPU of recording latencies in this time.
    func close(
        _ accounts: Accounts, _ progress: Progress, mapped: Int, generatorSeconds: Double, recordingSeconds: Double,
        _ measured: inout Measured
    ) {
        let cpu = CPUTime.ofProcess() - accounts.cpu
        measured.accountedIntervals = progress.intervals
        var figures = measured.figures
        defer { measured.figures = figures }
        let sampling = progress.cost
        let harness = sampling.cpuSeconds - accounts.sampling.cpuSeconds + recordingSeconds
        figures.set("harness_cpu_seconds", harness)
        figures.set("harness_overhead_ratio", harness / (cpu.total - generatorSeconds))
        figures.set("harness_samples", sampling.samples &- accounts.sampling.samples)
        let resident = ResidentMemory.now()
        let heap = HeapStatistics.now()
        let kernel = KernelIO.now()
        figures.set("cpu_user_seconds", cpu.user)
        figures.set("cpu_system_seconds", cpu.system)
        let mapped = UInt64(mapped)
        figures.set("peak_rss_bytes", resident.peakBytes)
        figures.set("peak_memory_bytes", resident.peakBytes > mapped ? resident.peakBytes - mapped : 0)
        figures.set("generator_mapped_bytes", mapped)
        figures.set("heap_allocated_bytes", heap.allocatedBytes)
        figures.set("heap_active_bytes", heap.activeBytes)
        figures.set("heap_resident_bytes", heap.residentBytes)
        figures.set("heap_metadata_bytes", heap.metadataBytes)
        figures.set("heap_retained_bytes", heap.retainedBytes)
        figures.set("heap_fragmentation_ratio", heap.fragmentation)
        figures.set("kernel_written_bytes", kernel.writtenBytes &- accounts.kernel.writtenBytes)
        figures.set("file_written_bytes", files.counters.writtenBytes &- accounts.files.writtenBytes)
        figures.set("file_write_calls", files.counters.writeCalls &- accounts.files.writeCalls)
        figures.set("file_sync_calls", files.counters.syncCalls &- accounts.files.syncCalls)
    }

    // MARK: phases

    /// Seeks and scans. `left` is what the debt has left behind; `among` are the series to seek for, whose items must be
    /// there unless rows were refused.
    func measureReads(
        _ table: Table, _ progress: Progress, _ left: TableMetrics, among: [Int]? = nil, mustFind: Bool = true,
        _ measured: inout Measured
    ) throws(HarnessError) {
        let seek = try SeekPhase(
            subject: subject, table: table, progress: progress, seed: options.seed, among: among
        ).run(options.seeks)
        let after = table.metrics
        if seek.seeks > 0 {
            measured.figures.set("seeks", UInt64(seek.seeks))
            measured.figures.set("seek_us", seek.wallSeconds * 1e6 / Double(seek.seeks))
            measured.figures.set("seek_cpu_us", seek.cpuSeconds * 1e6 / Double(seek.seeks))
            measured.figures.set("seeks_found_ratio", Double(seek.found) / Double(seek.seeks))
            RunFigures.setCache("data", after.dataBlockCache, left.dataBlockCache, &measured.figures)
            RunFigures.setCache("index", after.indexBlockCache, left.indexBlockCache, &measured.figures)
            if mustFind, seek.found < seek.seeks {
                measured.fail("\(seek.seeks - seek.found) of \(seek.seeks) seeks did not find their item")
            }
        }
        let scan = ScanPhase(kind: subject.kind, table: table, progress: progress)
        // The digest's pass goes first and warms the caches for the measured one.
        let contents = try scan.digest(expectedItems: Int(left.items))
        let pass = try scan.measure(expectedItems: Int(left.items))
        if pass.items > 0 {
            measured.figures.set("scan_ns_per_item", pass.wallSeconds * 1e9 / Double(pass.items))
            measured.figures.set("scan_items_per_second", Double(pass.items) / pass.wallSeconds)
        }
        measured.observed.storeDigest = HexText.digits(contents.digest)
        measured.figures.set("normalised_items_in_table", contents.normalisedItems)
        measured.figures.set("index_bytes_per_item", Double(left.sizeBytes) / Double(contents.normalisedItems))
        if contents.unorderedItems > 0 {
            measured.fail(
                "\(contents.unorderedItems) items of the table are out of order, the first: "
                    + (contents.firstUnordered ?? ""))
        }
        if contents.normalisedItems > left.normalisedItemsAdded {
            measured.fail(
                "the table has \(contents.normalisedItems) normalised items, \(left.normalisedItemsAdded) were added")
        }
        // The registrations of different series have no item in common, so nothing may be missing either.
        if subject.kind == .series, contents.normalisedItems < left.normalisedItemsAdded {
            measured.fail(
                "the table has \(contents.normalisedItems) normalised items of \(left.normalisedItemsAdded) added")
        }
    }

    func measureForcedMerge(
        _ table: Table, _ progress: Progress, _ left: TableMetrics, _ measured: inout Measured
    ) throws(HarnessError) {
        progress.begin("merge all", total: 0, unit: "", source: .table(table))
        let start = WallClock.nanoseconds
        try HarnessError.wrapping("merging all parts") { () throws(StorageError) in try table.mergeAll() }
        measured.figures.set("forced_merge_seconds", WallClock.seconds(since: start))
        try Interrupt.check()
        let merged = table.metrics
        measured.figures.set("forced_merge_size_ratio", Double(left.sizeBytes) / Double(merged.sizeBytes))
        let contents = try ScanPhase(kind: subject.kind, table: table, progress: progress).digest(
            expectedItems: Int(merged.items))
        if HexText.digits(contents.digest) != measured.observed.storeDigest {
            measured.fail("the forced merge has changed the contents of the table")
        }
    }

    private func measureYardsticks(items: Int, _ figures: inout FigureSet) throws(HarnessError) {
        var sample = ItemSample()
        var ingest = IndexIngest(date: subject.date)
        do throws(StorageError) {
            var row = 0
            while row < subject.input.count, sample.refs.count < options.yardstickItems {
                switch subject.kind {
                case .items: sample.append(subject.input[row])
                case .series, .rows:
                    try ingest.withItems(subject.input[row], number: row) { sample.append($0) }
                }
                row += 1
            }
        } catch { throw HarnessError(error, while: "making the items of the yardsticks") }
        let level = options.table.compressionLevel ?? CompressionLevel.ofFlush
        let sticks = try Yardsticks.measure(sample, level: level, memoryBytes: options.yardstickBytes)
        figures.set("memcpy_bytes_per_second", sticks.memcpyBytesPerSecond)
        figures.set("random_read_ns", sticks.randomReadNanoseconds)
        figures.set("zstd_level", Double(level))
        figures.set("zstd_bytes_per_second", sticks.zstdBytesPerSecond)
        figures.set("zstd_ratio", sticks.zstdRatio)
        figures.set("plain_sort_ns_per_item", sticks.plainSortNanoseconds)
        figures.set("item_sort_ns_per_item", sticks.itemSortNanoseconds)
    }

    // MARK: the shape

    private func observeInput() throws(HarnessError) -> Observed {
        let input = subject.input
        var observed = Observed(kind: subject.kind.rawValue)
        observed.streamDigest = HexText.digits(input.digest)
        observed.nameBytesMean = Double(input.byteCount) / Double(input.count)
        for row in 0..<input.count { observed.nameBytesMax = max(observed.nameBytesMax, input[row].count) }
        guard subject.kind != .items else { return observed }
        observed.series = UInt64(input.count)
        observed.tenants = subject.tenants
        var ingest = IndexIngest(date: subject.date)
        let sample = sampleRows(10_000, "shape")
        var labels = 0
        for row in sample {
            let count = try HarnessError.wrapping("reading row \(row)") { () throws(StorageError) in
                try ingest.labelCount(input[row])
            }
            labels += count
            observed.labelsMax = max(observed.labelsMax, count)
        }
        observed.labelsMean = Double(labels) / Double(sample.count)
        return observed
    }

    /// Up to `count` different rows of the input in ascending order.
    func sampleRows(_ count: Int, _ stream: String) -> [Int] {
        let total = subject.input.count
        guard count < total else { return Array(0..<total) }
        var random = SplitMix64(seed: Seeds.derive(options.seed, stream))
        var rows = Set<Int>()
        while rows.count < count { rows.insert(random.below(total)) }
        return rows.sorted()
    }

    private func setIntervalFigures(
        _ intervals: [IntervalRecord], accounted: Int, _ figures: inout FigureSet
    ) {
        IntervalRecord.setMemory(
            intervals.prefix(accounted), generatorBytes: UInt64(figures["generator_mapped_bytes"] ?? 0), &figures)
        let taken = intervals.filter { $0.phase == "ingest" || $0.phase == "rounds" }
        let rates = Statistics(
            isLive ? IntervalRecord.windowRates(taken, seconds: 0.24) : taken.dropLast().map(\.perSecond))
        guard rates.count > 0 else { return }
        figures.set("interval_rows_per_second_min", rates.min)
        figures.set("interval_rows_per_second_p5", rates.percentile(0.05))
    }

    private func outcome(
        _ measured: Measured, _ intervals: [IntervalRecord], _ provenance: Provenance, _ start: UInt64
    ) -> RunOutcome {
        var reasons = measured.reasons
        let observed = measured.observed
        if let band = subject.labels, measured.shape == nil, !band.contains(observed.labelsMean) {
            reasons.append(
                "\(TextFormat.fixed(observed.labelsMean, 2)) labels a series, "
                    + "configured are \(TextFormat.short(band.lowerBound)) to \(TextFormat.short(band.upperBound))")
        }
        if let band = subject.nameBytes, measured.shape == nil, !band.contains(observed.nameBytesMean) {
            reasons.append(
                "\(TextFormat.fixed(observed.nameBytesMean, 1)) bytes a name, "
                    + "configured are \(TextFormat.short(band.lowerBound)) to \(TextFormat.short(band.upperBound))")
        }
        if provenance.build != "release" { reasons.append("a debug build measures nothing") }
        if measured.failure != nil { reasons.append("a check of the run has failed") }
        var provenance = provenance
        provenance.finish(startNanoseconds: start)
        var record = RunRecord(
            profile: subject.profile, size: subject.size, mode: options.mode.rawValue, seed: options.seed,
            threads: options.mode == .live ? options.threads : 1, settings: options.settings,
            comparable: reasons.isEmpty, notComparableBecause: reasons, provenance: provenance, observed: observed,
            figures: measured.figures.values, rounds: measured.rounds, labels: measured.labels, alerts: measured.alerts)
        record.configuration = options.configuration(subject.rows?.profile)
        record.shape = measured.shape
        record.latency = measured.latency
        record.parts = measured.parts
        record.counters = measured.counters
        return RunOutcome(record: record, intervals: intervals, failure: measured.failure)
    }
}

/// Digests as text.
enum HexText {
    /// Sixteen lowercase digits.
    static func digits(_ value: UInt64) -> String { withUnsafeBytes(of: value.bigEndian) { Hex.encode($0) } }
}
