// BenchRun+Rows.swift - rows through the whole engine (`--path rows`), or through its index part alone (`--path index`): what a
// client would send, in the order and at the virtual time in which it would come.

import Mergeset
import SeriesIndex
import StorageBytes
import StorageEngine
import StorageRuntime
import Workloads

extension BenchRun {
    /// Steps 1 to 8 on a storage.
    func runRows(
        _ source: RowSource, _ path: String, _ progress: Progress, _ measured: inout Measured
    ) throws(HarnessError) {
        let profile = source.profile
        let clock = DrivenClock(unixMilliseconds: profile.startMs, hasRealMonotonic: isLive)
        let environment = Environment.driven(options.mode, clock: clock, seed: options.seed)
        let sink = options.path == .index ? CountingSampleSink() : nil
        let engineOptions = engineOptions(source)
        let engine = try HarnessError.wrapping("opening the storage") { () throws(StorageError) in
            try StorageEngine.open(path, options: engineOptions, files: files, environment: environment, sink: sink)
        }
        var restart: RestartPhase?
        let latency = isLive ? LatencyRecorder() : nil
        let crew = IngestCrew(
            engine: engine, clock: clock, environment: environment, progress: progress, threads: options.threads,
            batchRows: options.batchRows, latency: latency)
        do throws(HarnessError) {
            defer { crew.stop() }
            let feed = try HarnessError.wrapping("preparing rows") { () throws(StorageError) in
                try RoundFeed(
                    source, order: options.rowOrder, seed: options.seed,
                    rowsMax: options.knownRounds(profile) > 0 ? RowPhases.groupRowsMax : 0)
            }
            let time = VirtualTime(
                clock: clock, engine: engine, environment: environment,
                rotations: profile.rotateAtMs.map { profile.startMs + $0 })
            let accounts = openAccounts(progress)
            var phases = RowPhases(
                engine: engine, options: options, progress: progress, crew: crew, time: time, feed: feed,
                profile: profile)
            try phases.run()
            close(
                accounts, progress, mapped: subject.input.mappedBytes + phases.feed.bytesMapped,
                generatorSeconds: phases.feed.cpuSeconds, recordingSeconds: latency?.cpuSeconds() ?? 0,
                &measured)
            setFigures(phases, source, &measured)
            takeArrivals(phases, latency, progress, &measured)
            let shape = try RunShape.observe(phases.feed.shape, source)
            measured.shape = shape.lines
            measured.reasons += shape.reasons
            measured.counters = Counters.records(engine.metricLines, figures: measured.figures)
            checkCounters(phases, source, sink, &measured)

            let left = engine.currentTable.metrics
            measured.checkSettled(left)
            let active = sampleActive(phases, 200_000, "active")
            // Series that were refused are not there to be found.
            let isWhole = RowFigures.droppedRows(engine.metrics) == 0
            try measureReads(
                engine.currentTable, progress, left, among: active, mustFind: isWhole, &measured)
            if isWhole { try readBack(engine, phases, source, &measured) }
            if sink == nil {
                try measureSamples(engine, phases, source, progress, isWhole: isWhole, &measured)
                restart = restartPhase(path, phases, environment, engineOptions)
            }
            if options.forcesMerge { try measureForcedMerge(engine.currentTable, progress, left, &measured) }
        } catch {
            try? engine.close()
            throw error
        }
        let start = WallClock.nanoseconds
        try HarnessError.wrapping("closing the storage") { () throws(StorageError) in try engine.close() }
        measured.figures.set("close_seconds", WallClock.seconds(since: start))
        if let restart { try measureRestart(restart, progress, &measured) }
    }

    private func engineOptions(_ source: RowSource) -> StorageOptions {
        var engine = options.engine
        engine.table = options.table
        engine.registersPerDay = source.profile.perDay
        if let retention = source.profile.retentionMs, options.settings["engine.retention"] == nil {
            engine.retentionMs = retention
        }
        if let share = source.profile.tsidCacheShare, engine.tsidCacheBytesMax == nil {
            engine.tsidCacheBytesMax = Int(share * Double(tsidCacheBytesNeeded(source)))
        }
        return engine
    }

    /// Bytes that a TSID cache without a limit takes for the series of the first round: found by filling one.
    private func tsidCacheBytesNeeded(_ source: RowSource) -> Int {
        let series = source.profile.series
        var random = SplitMix64(seed: Seeds.derive(options.seed, "cache sizing"))
        let cache = TSIDCache(key: FingerprintKey(drawing: { random.next() }), bytesMax: (series + 1024) * 256)
        for number in 0..<series {
            let value = CachedTSID(metricGroupID: 0, jobID: 0, instanceID: 0, metricID: UInt64(number) + 1)
            _ = cache.insert(cache.key.fingerprint(source.pool.name(number)), value)
        }
        return Int(cache.metrics.bytes)
    }

    /// Up to `count` series of the latest round.
    private func sampleActive(_ phases: borrowing RowPhases, _ count: Int, _ stream: String) -> [Int] {
        // A visit may bring several rows of a series.
        let numbers = Set(phases.feed.numbers).sorted()
        guard count < numbers.count else { return numbers.map { Int($0) } }
        var random = SplitMix64(seed: Seeds.derive(options.seed, stream))
        var sample = Set<Int>()
        while sample.count < count { sample.insert(Int(numbers[random.below(numbers.count)])) }
        return sample.sorted()
    }

    // MARK: figures

    /// Latencies and what became of the schedule.
    private func takeArrivals(
        _ phases: borrowing RowPhases, _ latency: LatencyRecorder?, _ progress: Progress, _ measured: inout Measured
    ) {
        if let rounds = phases.rounds {
            measured.figures.set(
                "later_stalls", rounds.metrics.index.stalls &- phases.new.metrics.index.stalls)
        }
        let searches = phases.searchLatency?.records(since: progress.startNanoseconds) ?? []
        SampleFigures.setSearches(phases, searches, &measured.figures)
        guard let latency else { return }
        let records = latency.records(since: progress.startNanoseconds) + searches
        measured.latency = records
        RowFigures.setLatencies(records, &measured.figures)
        guard let rate = options.rowsPerSecond else { return }
        measured.figures.set("offered_rows_per_second", rate)
        measured.figures.set("arrival_backlog_seconds", max(0, phases.crew.schedule.backlogSecondsMax))
    }

    private func setFigures(_ phases: borrowing RowPhases, _ source: RowSource, _ measured: inout Measured) {
        RowFigures.setPhases(phases, &measured.figures)
        let metrics = phases.rounds?.metrics ?? phases.new.metrics
        let before = phases.rounds == nil ? StorageMetrics() : phases.new.metrics
        RowFigures.setCounters(metrics, &measured.figures)
        RowFigures.setCaches(metrics, since: before, &measured.figures)
        RunFigures.setTable(metrics.index, &measured.figures)
        RunFigures.setNamespaces(metrics.index, &measured.figures)
        let series = Double(max(1, metrics.newSeriesCreated))
        measured.figures.set("index_bytes_per_series", Double(metrics.index.sizeBytes) / series)
        if let samples = metrics.samples { SampleFigures.setTable(samples, &measured.figures) }
        measured.figures.set("stalls", metrics.index.stalls)
        measured.figures.set("stall_seconds", Double(metrics.index.stallNanoseconds) * 1e-9)
        let rows = phases.new.rows + (phases.rounds?.rows ?? 0)
        measured.figures.set(
            "generator_cpu_us_per_series", subject.generatorCPUSeconds * 1e6 / Double(subject.input.count))
        measured.figures.set("generator_cpu_us_per_row", phases.feed.cpuSeconds * 1e6 / Double(max(1, rows)))
        let names = Double(subject.input.byteCount) / Double(subject.input.count)
        let seconds = phases.new.ingestSeconds + (phases.rounds?.ingestSeconds ?? 0)
        measured.figures.set("input_bytes_per_second", names * Double(rows) / seconds)

        measured.observed.streamDigest = HexText.digits(phases.feed.streamDigest)
        measured.observed.rows = UInt64(rows)
        measured.observed.activeSeries = UInt64(source.profile.series)
        measured.observed.itemsPerSeries = Double(metrics.index.normalisedItemsAdded) / series
        measured.observed.itemBytesPerSeries = Double(metrics.index.normalisedBytesAdded) / series
        measured.rounds = phases.records
        measured.alerts = AlertVerdict.all(metrics, since: before, active: source.profile.series)
        measured.labels = try? LabelCosts.measure(
            sampleActive(phases, 2000, "labels"), of: subject.input, perDay: source.profile.perDay)
        if let reason = phases.knownReason {
            measured.reasons.append("cpu_us_per_known_row is left out or spoilt: " + reason)
            // A starved cache is what such a profile is for.
            if source.profile.tsidCacheShare != nil { measured.reasons.removeLast() }
        }
        if options.searches(source.profile) != nil, phases.searches == nil {
            measured.reasons.append(
                options.path == .rows
                    ? "searches were asked for and not made: there were no known rows to make them beside"
                    : "the searches of the profile were not made: --path \(options.path.rawValue) stores no samples")
        }
    }

    /// What the engine has counted must be what it was given.
    private func checkCounters(
        _ phases: borrowing RowPhases, _ source: RowSource, _ sink: CountingSampleSink?, _ measured: inout Measured
    ) {
        let metrics = phases.lastMetrics
        let dropped = RowFigures.droppedRows(metrics)
        if dropped > 0 { measured.reasons.append("\(dropped) rows were ignored or dropped") }
        let stored = sink?.rows ?? metrics.samples?.rowsAdded ?? 0
        if stored + dropped != metrics.rowsAdded {
            measured.fail("\(stored) rows reached the samples of \(metrics.rowsAdded) added, \(dropped) were dropped")
        }
        let created = metrics.newSeriesCreated &- metrics.seriesCarriedOver
        if dropped == 0, created != UInt64(source.pool.count) {
            measured.fail("\(created) series were created for \(source.pool.count) different names")
        }
    }

    // MARK: read back

    private func readBack(
        _ engine: StorageEngine, _ phases: borrowing RowPhases, _ source: RowSource, _ measured: inout Measured
    ) throws(HarnessError) {
        // After a rotation the entries of the day stay in the previous table, where searches look, too.
        let wasRotated = phases.rotations > 0
        let date =
            source.profile.perDay && !wasRotated ? DateMath.date(timestampMs: phases.feed.lastMs) : nil
        let active = sampleActive(phases, options.readBackSample, "read-back")
        // Series that have fallen silent are in the current table only if it was never replaced.
        let silent = wasRotated ? [] : sampleRows(options.readBackSample / 4, "silent")
        let result = try HarnessError.wrapping("reading back") { () throws(StorageError) in
            try EngineReadBack.check(active, silent: silent, of: subject.input, date: date, in: engine)
        }
        measured.take(result)
    }
}

extension RowPhases {
    /// Index tables started by rotation in the whole run.
    var rotations: UInt64 { lastMetrics.indexRotations }
}
