// BenchRun.swift - one run from the open of the table to the record: the phases in their order, and the figures.
//
//   1  open          fresh table in the run's data directory
//   2  ingest        timed; CPU, peak memory and allocations are counted from here
//   3  debt          last flush, pending merges; the counting ends here
//   4  seek          exact seeks in random order: the caches
//   5  scan          one pass for the store digest, then a timed one over what the caches hold by then
//   6  read back     a sample of the rows; a missing item fails the run
//   7  forced merge  if asked for: size after / before, digest must stay
//   8  close         timed
//   9  yardsticks    the machine, on a sample of the same items
//
// Threads: phases are driven by the calling thread; ingest threads, the table's own and the progress thread run beside
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

    /// A run of `subject`, whose table will lie in `files`.
    public init(subject: RunSubject, options: RunOptions, files: any FileSystem, status: StatusDisplay) {
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
        let environment =
            options.mode == .live
            ? Environment.live(seed: options.seed) : Environment.deterministic(seed: options.seed)
        let isLive = options.mode == .live
        var measured = Measured(figures: FigureSet(isDeterministic: !isLive), observed: try observeInput())

        let table = try HarnessError.wrapping("opening the table") { () throws(StorageError) in
            try Table.open(tablePath, options: options.table, files: files, environment: environment)
        }
        let progress = Progress(status: status, samplesItself: isLive)
        do throws(HarnessError) {
            let ingest = IngestPhase(
                subject: subject, table: table, environment: environment, progress: progress,
                threads: isLive ? options.threads : 1)
            try measureIngest(ingest, &measured)
            let left = table.metrics
            try measureReads(table, progress, left, &measured)
            try checkReadBack(table, &measured)
            if options.forcesMerge { try measureForcedMerge(table, progress, left, &measured) }
            let start = WallClock.nanoseconds
            try HarnessError.wrapping("closing the table") { () throws(StorageError) in try table.close() }
            measured.figures.set("close_seconds", WallClock.seconds(since: start))
            if !isLive { measured.observed.directoryDigest = try DirectoryDigest.hex(tablePath, files) }
            progress.begin("yardsticks", total: 0, unit: "")
            try measureYardsticks(items: Int(left.items), &measured.figures)
        } catch {
            _ = progress.finish()
            try? table.close()
            throw error
        }
        let intervals = progress.finish()
        setIntervalFigures(intervals, &measured.figures)
        return outcome(measured, intervals, provenance, startNanoseconds)
    }

    fileprivate struct Measured {
        var figures: FigureSet
        var observed: Observed
        var reasons: [String] = []
        var failure: HarnessError?
    }

    // MARK: phases

    private func measureIngest(_ ingest: IngestPhase, _ measured: inout Measured) throws(HarnessError) {
        let table = ingest.table
        let rows = Double(subject.input.count)
        let filesBefore = files.counters
        let kernelBefore = KernelIO.now()
        ResidentMemory.resetPeak()
        let allocationsBefore = HeapStatistics.allocationCount()
        let cpuBefore = CPUTime.ofProcess()
        let start = WallClock.nanoseconds

        let threadCPU = try ingest.run()
        let ingestSeconds = WallClock.seconds(since: start)
        try ingest.payDebt()
        let totalSeconds = WallClock.seconds(since: start)

        let cpu = CPUTime.ofProcess() - cpuBefore
        let resident = ResidentMemory.now()
        let allocations =
            HeapStatistics.allocationCount() &- allocationsBefore
            &- (options.mode == .live ? 0 : ingest.progress.allocations)
        let heap = HeapStatistics.now()
        let kernel = KernelIO.now()
        let metrics = table.metrics
        let perRow = subject.kind == .series ? rows : Double.nan
        let items = Double(metrics.normalisedItemsAdded)

        measured.figures.set("series_per_second", perRow / ingestSeconds)
        measured.figures.set("items_per_second", items / ingestSeconds)
        measured.figures.set("input_bytes_per_second", Double(subject.input.byteCount) / ingestSeconds)
        measured.figures.set("settled_series_per_second", perRow / totalSeconds)
        measured.figures.set("settled_items_per_second", items / totalSeconds)
        measured.figures.set("ingest_seconds", ingestSeconds)
        measured.figures.set("debt_seconds", totalSeconds - ingestSeconds)
        measured.figures.set("stalls", metrics.stalls)
        measured.figures.set("stall_seconds", Double(metrics.stallNanoseconds) * 1e-9)

        measured.figures.set("cpu_us_per_new_series", cpu.total * 1e6 / perRow)
        measured.figures.set("cpu_us_per_item", cpu.total * 1e6 / items)
        measured.figures.set("ingest_cpu_us_per_new_series", threadCPU * 1e6 / perRow)
        measured.figures.set("cpu_user_seconds", cpu.user)
        measured.figures.set("cpu_system_seconds", cpu.system)
        measured.figures.set("generator_cpu_us_per_series", subject.generatorCPUSeconds * 1e6 / rows)

        let mapped = UInt64(subject.input.mappedBytes)
        measured.figures.set("peak_rss_bytes", resident.peakBytes)
        measured.figures.set("peak_memory_bytes", resident.peakBytes > mapped ? resident.peakBytes - mapped : 0)
        measured.figures.set("generator_mapped_bytes", mapped)
        measured.figures.set("heap_allocated_bytes", heap.allocatedBytes)
        measured.figures.set("heap_active_bytes", heap.activeBytes)
        measured.figures.set("heap_resident_bytes", heap.residentBytes)
        measured.figures.set("heap_metadata_bytes", heap.metadataBytes)
        measured.figures.set("heap_retained_bytes", heap.retainedBytes)
        measured.figures.set("heap_fragmentation_ratio", heap.fragmentation)
        measured.figures.set("allocations", allocations)
        measured.figures.set("allocations_per_new_series", Double(allocations) / perRow)

        measured.figures.set("kernel_written_bytes", kernel.writtenBytes &- kernelBefore.writtenBytes)
        measured.figures.set("file_write_calls", files.counters.writeCalls &- filesBefore.writeCalls)
        measured.figures.set("file_sync_calls", files.counters.syncCalls &- filesBefore.syncCalls)
        RunFigures.setTable(metrics, &measured.figures)
        if subject.kind == .series { RunFigures.setNamespaces(metrics, &measured.figures) }
        measured.figures.set("index_bytes_per_series", Double(metrics.sizeBytes) / perRow)
        measured.observed.itemsPerSeries = items / rows
        measured.observed.itemBytesPerSeries = Double(metrics.normalisedBytesAdded) / rows
        if metrics.parts > 15 { measured.reasons.append("\(metrics.parts) parts were left, more than 15") }
        if metrics.pendingItems > 0 { measured.reasons.append("\(metrics.pendingItems) items were not in parts") }
    }

    private func measureReads(
        _ table: Table, _ progress: Progress, _ left: TableMetrics, _ measured: inout Measured
    ) throws(HarnessError) {
        let seek = try SeekPhase(subject: subject, table: table, progress: progress, seed: options.seed)
            .run(options.seeks)
        let after = table.metrics
        if seek.seeks > 0 {
            measured.figures.set("seeks", UInt64(seek.seeks))
            measured.figures.set("seek_us", seek.wallSeconds * 1e6 / Double(seek.seeks))
            measured.figures.set("seek_cpu_us", seek.cpuSeconds * 1e6 / Double(seek.seeks))
            measured.figures.set("seeks_found_ratio", Double(seek.found) / Double(seek.seeks))
            RunFigures.setCache("data", after.dataBlockCache, left.dataBlockCache, &measured.figures)
            RunFigures.setCache("index", after.indexBlockCache, left.indexBlockCache, &measured.figures)
            if seek.found < seek.seeks {
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
            measured.fail("\(contents.unorderedItems) items of the table are out of order")
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

    private func checkReadBack(_ table: Table, _ measured: inout Measured) throws(HarnessError) {
        let sample = sampleRows(options.readBackSample, "read-back")
        let input = subject.input
        let result = try HarnessError.wrapping("reading back") { () throws(StorageError) in
            guard subject.kind == .series else { return try ReadBack.items(sample, of: input, in: table) }
            var ingest = IndexIngest(date: subject.date)
            return try ReadBack.series(sample, of: input, ingest: &ingest, in: table)
        }
        measured.observed.readBackSeries = result.rows
        measured.observed.readBackItems = result.items
        measured.observed.readBackMissing = result.missing
        if let first = result.firstMissing {
            measured.fail("\(result.missing) of \(result.items) items read back are missing, the first is \(first)")
        }
    }

    private func measureForcedMerge(
        _ table: Table, _ progress: Progress, _ left: TableMetrics, _ measured: inout Measured
    ) throws(HarnessError) {
        progress.begin("merge all", total: 0, unit: "", table: table)
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
                case .series:
                    try ingest.withItems(subject.input[row], number: row) { sample.append($0) }
                }
                row += 1
            }
        } catch { throw HarnessError(error, while: "making the items of the yardsticks") }
        let level = options.table.compressionLevel ?? Yardsticks.compressionLevel(items: items)
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
        guard subject.kind == .series else { return observed }
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
    private func sampleRows(_ count: Int, _ stream: String) -> [Int] {
        let total = subject.input.count
        guard count < total else { return Array(0..<total) }
        var random = SplitMix64(seed: Seeds.derive(options.seed, stream))
        var rows = Set<Int>()
        while rows.count < count { rows.insert(random.below(total)) }
        return rows.sorted()
    }

    private func setIntervalFigures(_ intervals: [IntervalRecord], _ figures: inout FigureSet) {
        if let peak = intervals.map(\.heapAllocatedBytes).max() { figures.set("heap_allocated_peak_bytes", peak) }
        // The last interval of the ingest ends somewhere in the middle of the next one's time.
        let rates = Statistics(intervals.filter { $0.phase == "ingest" }.dropLast().map(\.perSecond))
        guard rates.count > 0 else { return }
        figures.set("interval_rows_per_second_min", rates.min)
        figures.set("interval_rows_per_second_p5", rates.percentile(0.05))
    }

    private func outcome(
        _ measured: Measured, _ intervals: [IntervalRecord], _ provenance: Provenance, _ start: UInt64
    ) -> RunOutcome {
        var reasons = measured.reasons
        let observed = measured.observed
        if let band = subject.labels, !band.contains(observed.labelsMean) {
            reasons.append(
                "\(TextFormat.fixed(observed.labelsMean, 2)) labels a series, "
                    + "configured are \(TextFormat.short(band.lowerBound)) to \(TextFormat.short(band.upperBound))")
        }
        if let band = subject.nameBytes, !band.contains(observed.nameBytesMean) {
            reasons.append(
                "\(TextFormat.fixed(observed.nameBytesMean, 1)) bytes a name, "
                    + "configured are \(TextFormat.short(band.lowerBound)) to \(TextFormat.short(band.upperBound))")
        }
        if provenance.build != "release" { reasons.append("a debug build measures nothing") }
        if measured.failure != nil { reasons.append("a check of the run has failed") }
        var provenance = provenance
        provenance.finish(startNanoseconds: start)
        let record = RunRecord(
            profile: subject.profile, size: subject.size, mode: options.mode.rawValue, seed: options.seed,
            threads: options.mode == .live ? options.threads : 1, settings: options.settings,
            comparable: reasons.isEmpty, notComparableBecause: reasons, provenance: provenance, observed: observed,
            figures: measured.figures.values)
        return RunOutcome(record: record, intervals: intervals, failure: measured.failure)
    }
}

extension BenchRun.Measured {
    /// Remembers the first failed check.
    fileprivate mutating func fail(_ message: String) {
        if failure == nil { failure = HarnessError(.checkFailed, "wrong answer: " + message) }
    }
}

/// Digests as text.
enum HexText {
    /// Sixteen lowercase digits.
    static func digits(_ value: UInt64) -> String { withUnsafeBytes(of: value.bigEndian) { Hex.encode($0) } }
}
