// StorageEngine+Metrics.swift - gathers what the components of a storage count.

import StorageRuntime
import Synchronization

extension StorageEngine {
    /// Counters and gauges.
    public var metrics: StorageMetrics {
        var metrics = StorageMetrics()
        counters.withLock { $0.fill(&metrics) }
        let adding = addRowsAdmission.counters
        metrics.addRowsCapacity = UInt64(addRowsAdmission.capacity)
        metrics.addRowsCurrent = UInt64(adding.current)
        metrics.addRowsLimitReached = adding.limitReached
        metrics.addRowsTimeouts = adding.timeouts
        metrics.addRowsDroppedRows = adding.droppedRows
        let searching = searchAdmission.counters
        metrics.searchesCapacity = UInt64(searchAdmission.capacity)
        metrics.searchesCurrent = UInt64(searching.current)
        metrics.searchesLimitReached = searching.limitReached
        metrics.searchesTimeouts = searching.timeouts
        metrics.searchDelays = searchGate.waitCount
        metrics.seriesWithoutName = seriesWithoutName.load(ordering: .relaxed)
        metrics.blocksWithoutName = blocksWithoutName.load(ordering: .relaxed)
        metrics.freeDiskSpaceBytes = space.freeBytes
        metrics.freeDiskSpaceLimitBytes = space.limitBytes
        metrics.isReadOnly = space.isReadOnly
        metrics.compositeIndexMinTimestamp = UInt64(max(minTimestampForCompositeIndexMs, 0) / 1000)
        metrics.tsidCache = tsidCache.metrics
        metrics.metricIDCache = metricIDCache.metrics
        metrics.metricNameCache = metricNameCache.metrics
        let days = index.dayMetrics
        metrics.dateMetricIDCache.requests = days.requests
        metrics.dateMetricIDCache.misses = days.misses
        metrics.dateMetricIDCache.evictions = days.evictions
        metrics.dateMetricIDCache.entries = days.entries
        metrics.dateMetricIDCache.bytes = days.bytes
        metrics.dateMetricIDCache.bytesMax = UInt64(index.dayRegistryBytesMax)
        let sets = active.published
        metrics.hourMetricIDs.entries = UInt64(max(sets.current.count, sets.previous.count))
        metrics.hourMetricIDs.bytes = UInt64(sets.current.memoryBytes + sets.previous.memoryBytes)
        metrics.nextDayMetricIDs.entries = UInt64(sets.nextDay.count)
        metrics.nextDayMetricIDs.bytes = UInt64(sets.nextDay.memoryBytes)
        metrics.deletedSeries = index.deletedCount
        metrics.indexRotations = index.rotations
        metrics.nameFilterBytes = index.nameFilterBytes
        metrics.index = index.tableMetrics
        metrics.samples = samples?.metrics
        return metrics
    }

    /// All counters and gauges under the names of production, in the order of their text; what a page of metrics prints.
    public var metricLines: [MetricLine] { MetricLine.all(metrics, path: path, files: files.counters) }
}
