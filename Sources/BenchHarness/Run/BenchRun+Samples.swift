// BenchRun+Samples.swift - what a run of rows does with the samples once they are stored: reads them back, merges them on
// demand, opens the storage again.

import SampleStore
import StorageBytes
import StorageEngine
import StorageRuntime
import Workloads

extension BenchRun {
    /// Reads back, digests and, if asked for, merges the samples.
    func measureSamples(
        _ engine: StorageEngine, _ phases: borrowing RowPhases, _ source: RowSource, _ progress: Progress,
        isWhole: Bool, _ measured: inout Measured
    ) throws(HarnessError) {
        let before = engine.metrics.samples ?? SampleTableMetrics()
        measured.checkSettled(before)
        // With deduplication not everything that was sent is there.
        if isWhole, options.engine.samples.dedupIntervalMs == 0 {
            progress.begin("read rows back", total: 0, unit: "rows")
            let steps = phases.feed.log
            let result = try HarnessError.wrapping("reading rows back") { () throws(StorageError) in
                try SampleReadBack.check(
                    source, steps: steps, sent: phases.feed.fresh(), seed: options.seed, in: engine)
            }
            measured.observed.readBackRows = result.rows
            measured.observed.readBackRowsWrong = result.wrong
            measured.observed.readBackRowsSeries = result.series
            if let first = result.firstWrong {
                measured.fail("\(result.wrong) of \(result.rows) rows read back are wrong, the first: \(first)")
            }
        }
        if isWhole, options.engine.samples.dedupIntervalMs == 0 { try checkSearches(phases, progress, &measured) }
        progress.begin("read all rows", total: 0, unit: "rows")
        let contents = try HarnessError.wrapping("reading all rows") { () throws(StorageError) in
            try SampleContents.read(engine)
        }
        try Interrupt.check()
        measured.observed.rowDigest = HexText.digits(contents.digest)
        measured.figures.set("rows_read", contents.rows)
        measured.figures.set("rows_read_per_second", Double(contents.rows) / contents.seconds)
        let after = engine.metrics.samples ?? before
        SampleFigures.setCaches(after, since: before, &measured.figures)
        let stored = before.small.rows &+ before.big.rows
        if contents.rows != stored {
            measured.fail("a search for all series finds \(contents.rows) rows of \(stored) that are stored")
        }
        if options.forcesMerge { try mergeSamples(engine, source, contents, progress, &measured) }
    }

    /// What searches beside the ingestion, and alone, have found.
    private func checkSearches(
        _ phases: borrowing RowPhases, _ progress: Progress, _ measured: inout Measured
    ) throws(HarnessError) {
        let results = [phases.searches, phases.searchesAlone].compactMap { $0 }
        if let stray = results.compactMap(\.stray).first { measured.fail(stray) }
        let checks = results.flatMap(\.checks)
        guard !checks.isEmpty else { return }
        progress.begin("check searches", total: 0, unit: "rows")
        let faults = try HarnessError.wrapping("preparing rows") { () throws(StorageError) in
            SearchCheck.faults(checks, steps: phases.feed.log, sent: try phases.feed.fresh())
        }
        measured.observed.searchedSeries = UInt64(checks.count)
        if let faults {
            measured.fail(
                "\(faults.count) of \(checks.count) series searched for are wrong, the first: \(faults.first)")
        }
    }

    private func mergeSamples(
        _ engine: StorageEngine, _ source: RowSource, _ before: SampleContents, _ progress: Progress,
        _ measured: inout Measured
    ) throws(HarnessError) {
        progress.begin("merge all rows", total: 0, unit: "rows", source: .engine(engine))
        let left = engine.metrics.samples ?? SampleTableMetrics()
        let start = WallClock.nanoseconds
        let cpu = CPUTime.ofThread()
        try HarnessError.wrapping("merging all rows") { () throws(StorageError) in try engine.forceMerge() }
        let seconds = WallClock.seconds(since: start)
        measured.figures.set("row_forced_merge_seconds", seconds)
        measured.figures.set("row_forced_merge_rows_per_second", Double(before.rows) / seconds)
        measured.figures.set(
            "row_forced_merge_cpu_ns_per_row", (CPUTime.ofThread() - cpu) * 1e9 / Double(before.rows))
        let merged = engine.metrics.samples ?? left
        let (bytesBefore, bytesAfter) = (
            left.small.sizeBytes + left.big.sizeBytes, merged.small.sizeBytes + merged.big.sizeBytes
        )
        measured.figures.set("row_forced_merge_size_ratio", Double(bytesBefore) / Double(bytesAfter))
        let contents = try HarnessError.wrapping("reading all rows") { () throws(StorageError) in
            try SampleContents.read(engine)
        }
        // Values of a recorded page may have more digits than a block can share; others come out the same in any block.
        let isSame = contents.digest == before.digest || source.profile.page != nil
        if contents.rows != before.rows || !isSame {
            measured.fail("the forced merge has changed the samples")
        }
    }

    // MARK: restart

    /// The way to open the storage again, once it is closed; nil when that is not asked for.
    func restartPhase(
        _ path: String, _ phases: borrowing RowPhases, _ environment: Environment, _ engineOptions: StorageOptions
    ) -> RestartPhase? {
        guard options.measuresRestart ?? isLive else { return nil }
        let row = phases.feed.rows[phases.feed.count - 1]
        return RestartPhase(
            path: path, files: files,
            open: { () throws(StorageError) in
                try StorageEngine.open(path, options: engineOptions, files: files, environment: environment)
            }, name: row.name, timestampMs: environment.clock.unixMilliseconds)
    }

    func measureRestart(
        _ restart: RestartPhase, _ progress: Progress, _ measured: inout Measured
    ) throws(HarnessError) {
        progress.begin("restart", total: 0, unit: "")
        let warm = try restart.run(keepsCaches: true)
        measured.figures.set("restart_warm_seconds", warm.rowSeconds)
        measured.figures.set("restart_warm_open_seconds", warm.openSeconds)
        measured.figures.set("restart_warm_cpu_seconds", warm.cpuSeconds)
        let hasCache = measured.figures["tsid_cache_entries"] ?? 0 > 0
        if !warm.isCached, hasCache, measured.figures["tsid_cache_evictions"] == 0 {
            measured.fail("the first row after a restart missed the caches that were saved")
        }
        let cold = try restart.run(keepsCaches: false)
        measured.figures.set("restart_cold_seconds", cold.rowSeconds)
        measured.figures.set("restart_cold_cpu_seconds", cold.cpuSeconds)
    }
}

extension BenchRun.Measured {
    /// A table that owes work cannot be compared with one that does not.
    mutating func checkSettled(_ metrics: SampleTableMetrics) {
        let most = 15 * max(1, metrics.partitions)
        for (side, parts) in [("small", metrics.small.fileParts), ("big", metrics.big.fileParts)] where parts > most {
            reasons.append("\(parts) \(side) parts of samples were left in \(metrics.partitions) partitions")
        }
        if metrics.pendingRows + metrics.memoryRows > 0 {
            reasons.append("\(metrics.pendingRows + metrics.memoryRows) rows were not in parts")
        }
    }
}
