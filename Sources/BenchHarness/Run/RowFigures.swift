// RowFigures.swift - figures that follow from the phases of a run of rows and from the counters of the engine.

import StorageEngine

/// Turns costs and counters into figures.
enum RowFigures {
    /// The caches of an engine: the start of their figures' names.
    static let caches = ["tsid_cache", "metric_id_cache", "metric_name_cache", "date_metric_id_cache"]

    /// Rates, CPU and allocations of the phases.
    static func setPhases(_ phases: borrowing RowPhases, _ figures: inout FigureSet) {
        let new = phases.new
        let fresh = Double(new.newSeries)
        figures.set("new_series_per_second", fresh / new.ingestSeconds)
        figures.set("settled_series_per_second", fresh / (new.ingestSeconds + new.settleSeconds))
        figures.set("cpu_us_per_new_series", new.cpuSeconds * 1e6 / fresh)
        figures.set("ingest_cpu_us_per_new_series", new.threadCPUSeconds * 1e6 / fresh)
        figures.set("allocations_per_new_series", Double(new.allocations) / fresh)
        var rows = new.rows
        var ingestSeconds = new.ingestSeconds
        var settleSeconds = new.settleSeconds
        var allocations = new.allocations
        if let rounds = phases.rounds {
            rows += rounds.rows
            ingestSeconds += rounds.ingestSeconds
            settleSeconds += rounds.settleSeconds
            allocations += rounds.allocations
            figures.set("later_rows_per_second", Double(rounds.rows) / rounds.ingestSeconds)
            figures.set("cpu_us_per_later_row", rounds.cpuSeconds * 1e6 / Double(rounds.rows))
        }
        figures.set("rows_per_second", Double(rows) / ingestSeconds)
        figures.set("ingest_seconds", ingestSeconds)
        figures.set("debt_seconds", settleSeconds)
        figures.set("allocations", allocations)
        let index = (phases.rounds ?? new).metrics.index
        figures.set("items_per_second", Double(index.normalisedItemsAdded) / ingestSeconds)
        figures.set("settled_items_per_second", Double(index.normalisedItemsAdded) / (ingestSeconds + settleSeconds))
        figures.set("cpu_us_per_item", new.cpuSeconds * 1e6 / Double(new.metrics.index.normalisedItemsAdded))

        if let known = phases.known {
            let rows = Double(known.rows)
            figures.set("known_rows", rows)
            figures.set("known_rows_per_second", rows / known.ingestSeconds)
            figures.set("cpu_us_per_known_row", known.cpuSeconds * 1e6 / rows)
            figures.set("ingest_cpu_us_per_known_row", known.threadCPUSeconds * 1e6 / rows)
            figures.set("allocations_per_known_row", Double(known.allocations) / rows)
        }
        if let day = phases.newDay, let before = phases.known ?? phases.rounds ?? Optional(new) {
            let asked = Double(day.metrics.slowPerDayInserts &- before.metrics.slowPerDayInserts)
            figures.set("new_day_rows", asked)
            figures.set("cpu_us_per_new_day_row", day.cpuSeconds * 1e6 / asked)
            figures.set("ingest_cpu_us_per_new_day_row", day.threadCPUSeconds * 1e6 / asked)
        }
    }

    /// Latencies of insert blocks.
    static func setLatencies(_ records: [LatencyRecord], _ figures: inout FigureSet) {
        for (scope, phase, _) in FigureCatalogue.latencyScopes {
            for record in records where record.phase == phase {
                let prefix = scope + (record.from == .intended ? "_intended" : "")
                for (name, percentile) in FigureCatalogue.latencyPercentiles {
                    if let us = record.us(atPercentile: percentile) { figures.set("\(prefix)_\(name)_us", us) }
                }
                figures.set(prefix + "_max_us", record.maxUs)
                if record.from == .actual { figures.set(scope + "_blocks", record.count) }
            }
        }
    }

    /// Rows that were not accepted, whatever the reason.
    static func droppedRows(_ metrics: StorageMetrics) -> UInt64 {
        metrics.rowsTooOld + metrics.rowsTooNew + metrics.rowsNaN + metrics.rowsInvalidName + metrics.rowsTooLongName
            + metrics.rowsFailed + metrics.rowsOverHourlyLimit + metrics.rowsOverDailyLimit
    }

    /// What happened to the rows.
    static func setCounters(_ metrics: StorageMetrics, _ figures: inout FigureSet) {
        figures.set("rows_added", metrics.rowsAdded)
        figures.set("new_series", metrics.newSeriesCreated)
        figures.set("series_carried_over", metrics.seriesCarriedOver)
        figures.set("slow_row_inserts", metrics.slowRowInserts)
        figures.set("slow_row_inserts_ratio", Double(metrics.slowRowInserts) / Double(metrics.rowsAdded))
        figures.set("slow_inserts_new_series", metrics.slowRowCauses.newSeries)
        figures.set("slow_inserts_cache_miss", metrics.slowRowCauses.cacheMiss)
        figures.set("slow_inserts_rotation", metrics.slowRowCauses.rotation)
        figures.set("per_day_inserts", metrics.slowPerDayInserts)
        figures.set("per_day_entries_written", metrics.perDayEntriesWritten)
        figures.set("next_day_prefills", metrics.nextDayPrefills)
        figures.set("rows_too_old", metrics.rowsTooOld)
        figures.set("rows_too_new", metrics.rowsTooNew)
        figures.set("rows_nan", metrics.rowsNaN)
        figures.set("rows_invalid_name", metrics.rowsInvalidName)
        figures.set("rows_too_long_name", metrics.rowsTooLongName)
        figures.set("rows_failed", metrics.rowsFailed)
        figures.set("rows_over_hourly_limit", metrics.rowsOverHourlyLimit)
        figures.set("rows_over_daily_limit", metrics.rowsOverDailyLimit)
        figures.set("add_rows_waits", metrics.addRowsLimitReached)
        figures.set("add_rows_timeouts", metrics.addRowsTimeouts)
        figures.set("index_rotations", metrics.indexRotations)
        figures.set("name_searches", metrics.nameSearches)
        figures.set("name_searches_in_vain", metrics.nameSearchesInVain)
        figures.set("name_filter_bytes", metrics.nameFilterBytes)
        figures.set(
            "tsid_cache_bytes_per_series", Double(metrics.tsidCache.bytes) / Double(metrics.tsidCache.entries))
    }

    /// The caches: requests since `before`, contents now.
    static func setCaches(_ after: StorageMetrics, since before: StorageMetrics, _ figures: inout FigureSet) {
        let pairs = [
            (after.tsidCache, before.tsidCache), (after.metricIDCache, before.metricIDCache),
            (after.metricNameCache, before.metricNameCache), (after.dateMetricIDCache, before.dateMetricIDCache),
        ]
        for (name, (now, then)) in zip(caches, pairs) { setCache(name, now, then, &figures) }
        setCache("hour_metric_ids", after.hourMetricIDs, before.hourMetricIDs, &figures)
        figures.set("tsid_cache_rotations", after.tsidCache.rotations &- before.tsidCache.rotations)
        figures.set("next_day_metric_ids_entries", after.nextDayMetricIDs.entries)
        figures.set("next_day_metric_ids_bytes", after.nextDayMetricIDs.bytes)
    }

    private static func setCache(
        _ name: String, _ after: CacheMetrics, _ before: CacheMetrics, _ figures: inout FigureSet
    ) {
        let requests = after.requests &- before.requests
        let misses = after.misses &- before.misses
        figures.set(name + "_hit_ratio", 1 - Double(misses) / Double(requests))
        figures.set(name + "_requests", requests)
        figures.set(name + "_misses", misses)
        figures.set(name + "_entries", after.entries)
        figures.set(name + "_bytes", after.bytes)
        figures.set(name + "_limit_bytes", after.bytesMax)
        figures.set(name + "_evictions", after.evictions &- before.evictions)
        figures.set(name + "_refusals", after.refusals &- before.refusals)
    }
}
