// BenchRun+Items.swift - items, or the index items of new series, straight into a table (`--path items`): what the table
// and the builders of items cost by themselves, without names being looked up or cached.

import Mergeset
import SeriesIndex
import StorageRuntime

extension BenchRun {
    /// Steps 1 to 8 on a table.
    func runItems(_ path: String, _ progress: Progress, _ measured: inout Measured) throws(HarnessError) {
        let environment =
            isLive ? Environment.live(seed: options.seed) : Environment.deterministic(seed: options.seed)
        let table = try HarnessError.wrapping("opening the table") { () throws(StorageError) in
            try Table.open(path, options: options.table, files: files, environment: environment)
        }
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
        } catch {
            try? table.close()
            throw error
        }
    }

    private func measureIngest(_ ingest: IngestPhase, _ measured: inout Measured) throws(HarnessError) {
        let table = ingest.table
        let progress = ingest.progress
        let rows = Double(subject.input.count)
        let accounts = openAccounts(progress)
        let allocationsBefore = HeapStatistics.allocationCount()
        let cpuBefore = CPUTime.ofProcess()
        let start = WallClock.nanoseconds

        let threadCPU = try ingest.run()
        let ingestSeconds = WallClock.seconds(since: start)
        try ingest.payDebt()
        let totalSeconds = WallClock.seconds(since: start)

        let cpu = CPUTime.ofProcess() - cpuBefore
        let allocations =
            HeapStatistics.allocationCount() &- allocationsBefore &- (isLive ? 0 : ingest.progress.allocations)
        close(
            accounts, progress, mapped: subject.input.mappedBytes, generatorSeconds: 0, recordingSeconds: 0,
            &measured)
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
        measured.figures.set("generator_cpu_us_per_series", subject.generatorCPUSeconds * 1e6 / rows)
        measured.figures.set("allocations", allocations)
        measured.figures.set("allocations_per_new_series", Double(allocations) / perRow)

        RunFigures.setTable(metrics, &measured.figures)
        if subject.kind == .series { RunFigures.setNamespaces(metrics, &measured.figures) }
        measured.figures.set("index_bytes_per_series", Double(metrics.sizeBytes) / perRow)
        measured.observed.itemsPerSeries = items / rows
        measured.observed.itemBytesPerSeries = Double(metrics.normalisedBytesAdded) / rows
        measured.checkSettled(metrics)
        measured.counters = Counters.records(metrics, figures: measured.figures)
    }

    private func checkReadBack(_ table: Table, _ measured: inout Measured) throws(HarnessError) {
        let sample = sampleRows(options.readBackSample, "read-back")
        let input = subject.input
        let result = try HarnessError.wrapping("reading back") { () throws(StorageError) in
            guard subject.kind == .series else { return try ReadBack.items(sample, of: input, in: table) }
            var ingest = IndexIngest(date: subject.date)
            return try ReadBack.series(sample, of: input, ingest: &ingest, in: table)
        }
        measured.take(result)
    }
}

extension BenchRun.Measured {
    /// A table that owes work cannot be compared with one that does not.
    mutating func checkSettled(_ metrics: TableMetrics) {
        if metrics.parts > 15 { reasons.append("\(metrics.parts) parts were left, more than 15") }
        if metrics.pendingItems > 0 { reasons.append("\(metrics.pendingItems) items were not in parts") }
    }

    /// Takes over what reading back has found.
    mutating func take(_ result: ReadBack) {
        observed.readBackSeries = result.rows
        observed.readBackItems = result.items
        observed.readBackMissing = result.missing
        if let first = result.firstMissing {
            fail("\(result.missing) of \(result.items) answers read back are wrong, the first is \(first)")
        }
    }
}
