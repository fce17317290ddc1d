// SampleInspection.swift - a month of samples: rows, blocks, how they are stored, and what a merge would leave.
//
// Each part is read from beginning to end and every block decoded, so damage shows. Then all parts are merged twice into
// nothing: as a forced merge does, for its size; and keeping one row of each millisecond, since what that drops are the
// duplicates.

import SampleStore
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime

extension Inspection {
    /// Reads the parts of one month, in small and big.
    mutating func readSamples(_ name: String, _ groups: [PartGroup]) throws(StorageError) {
        let files = self.files
        let budget = IndexCacheBudget(bytesMax: 0)
        var opened: [(part: FileSamplePart, label: String)] = []
        var partition = PartitionRecord()
        partition.name = name
        for group in groups {
            partition.pendingTransactions += group.transactions
            let parent = Paths.lastComponent(Paths.parent(group.path))
            let prefix = ["small", "big"].contains(parent) ? parent + "/" : ""
            for path in group.parts {
                let part = try guarding(path) { () throws(StorageError) in
                    try FileSamplePart(path: path, files: files, cache: budget)
                }
                if let part { opened.append((part, prefix + Paths.lastComponent(path))) }
            }
        }
        var parts: [FileSamplePart] = []
        var series = MetricIDSet()
        for (part, label) in opened {
            var trial = partition
            var trialSeries = series
            let sound: Void? = try guarding(part.path) { () throws(StorageError) in
                try Inspection.read(part, files, into: &trial, &trialSeries)
            }
            guard sound != nil else { continue }
            trial.parts.append(
                PartLine(name: label, entries: part.totals.rows, blocks: part.totals.blocks, bytes: part.sizeBytes))
            partition = trial
            series = trialSeries
            parts.append(part)
        }
        guard !parts.isEmpty else { return }
        partition.series = UInt64(series.count)
        partition.minTimestamp = parts.map(\.totals.minTimestamp).min() ?? 0
        partition.maxTimestamp = parts.map(\.totals.maxTimestamp).max() ?? 0
        if options.merges {
            let plain = try merge(parts, dedupIntervalMs: 0)
            partition.merged = MergeOutcome(
                entries: plain.totals.rows, blocks: plain.totals.blocks, bytes: plain.bytes,
                savedBytes: Int64(partition.bytes) - Int64(plain.bytes))
            partition.duplicateRows = try merge(parts, dedupIntervalMs: 1).counters.rowsDeduplicated
        }
        record.partitions.append(partition)
    }

    private static func read(
        _ part: FileSamplePart, _ files: any FileSystem, into partition: inout PartitionRecord,
        _ series: inout MetricIDSet
    ) throws(StorageError) {
        let source = part.source()
        var columns = SampleColumns()
        var decoder = IntegerArrayDecoder()
        var rows: UInt64 = 0
        var blocks: UInt64 = 0
        var shared: UInt64?
        while try source.advance() {
            let header = source.header
            try source.decode(into: &columns, &decoder)
            series.insert(header.tsid.metricID)
            rows += UInt64(header.rowsCount)
            blocks += 1
            partition.timestampsTypes["\(header.timestampsType)", default: 0] += 1
            partition.valuesTypes["\(header.valuesType)", default: 0] += 1
            if header.timestampsSize > 0, shared == header.timestampsOffset { partition.blocksSharingTimestamps += 1 }
            shared = header.timestampsSize > 0 ? header.timestampsOffset : nil
            let place = header.rowsCount <= 64 ? 0 : header.rowsCount <= 1024 ? 1 : header.rowsCount < 8192 ? 2 : 3
            partition.blockFill[place] += 1
            if blocks & 0xFF == 0 { try checkInterrupt() }
        }
        guard rows == part.totals.rows, blocks == part.totals.blocks else {
            throw StorageError(
                .corrupted, "the part has \(rows) rows in \(blocks) blocks, its name says otherwise", path: part.path)
        }
        let timestamps = UInt64(try files.size(of: Paths.join(part.path, "timestamps.bin")))
        let values = UInt64(try files.size(of: Paths.join(part.path, "values.bin")))
        partition.rows += rows
        partition.blocks += blocks
        partition.timestampsBytes += timestamps
        partition.valuesBytes += values
        partition.bytes += part.sizeBytes
        partition.headerFilesBytes += part.sizeBytes - timestamps - values
    }

    private func merge(
        _ parts: [FileSamplePart], dedupIntervalMs: Int64
    ) throws(StorageError) -> (totals: SampleTotals, bytes: UInt64, counters: SampleMergeCounters) {
        let sources = parts.map { $0.source() }
        var options = SampleMergeOptions()
        options.dedupIntervalMs = dedupIntervalMs
        var merger = SampleMerger(sources, options)
        var writer = try SamplePartWriter(
            directory: InspectionFiles.scratch, level: SampleMerger.indexLevel(sources),
            dedupIntervalMs: dedupIntervalMs, files: files)
        try merger.run(into: &writer)
        let bytes = try writer.finish() ?? 0
        return (writer.totals, bytes, merger.counters)
    }
}
