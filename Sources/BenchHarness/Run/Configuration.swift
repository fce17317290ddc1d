// Configuration.swift - every setting that a run has, given or by default, as text for run.json: what has to be equal
// before two runs are compared. No paths.

import Mergeset
import StorageEngine
import Workloads

extension RunOptions {
    /// `key` to value, under the names of `--set` where there is one.
    func configuration(_ profile: Profile?) -> [String: String] {
        var all: [String: String] = [
            "path": path.rawValue, "mode": mode.rawValue, "seed": "\(seed)", "seeks": "\(seeks)",
            "threads": "\(mode == .live ? threads : 1)", "read_back": "\(readBackSample)",
            "warm_memory": "\(warmMemoryBytes)", "yardsticks": "\(measuresYardsticks)",
            "force_merge": "\(forcesMerge)", "table.shards": "\(table.shardCount)",
            "table.run_bytes": "\(table.runBytesMax)", "table.memory_bytes": "\(table.memoryBytesMax)",
            "table.flush_interval_ms": "\(table.flushIntervalNanoseconds / 1_000_000)",
            "table.merge_workers": "\(table.mergeWorkers)",
            "table.data_block_cache_bytes": "\(table.dataBlockCacheBytes)",
            "table.index_block_cache_bytes": "\(table.indexBlockCacheBytes)",
            "table.compression_level": table.compressionLevel.map { "\($0)" } ?? "by size",
            "table.gathers_tag_rows": "\(table.gathersTagRows)",
            "table.tag_row_merging": table.tagRowMerging.rawValue,
        ]
        guard let profile, path == .rows else { return all }
        all["batch_rows"] = "\(batchRows)"
        all["row_order"] = rowOrder.rawValue
        all["known_rounds"] = "\(knownRounds(profile))"
        all["new_day"] = "\(measuresNewDay)"
        if let searches = searches(profile) {
            all["searches"] =
                "\(searches.perSecond)/s of \(searches.series) series, \(TextFormat.plain(searches.wideShare)) wide"
        }
        all["arrivals"] = rowsPerSecond.map { TextFormat.plain($0) + " rows/s" } ?? "closed loop"
        all["engine.cache_bytes"] = "\(engine.cacheBytesMax)"
        all["engine.tsid_cache_bytes"] =
            engine.tsidCacheBytesMax.map { "\($0)" }
            ?? profile.tsidCacheShare.map { TextFormat.plain($0) + " x needed" } ?? "by share"
        all["engine.retention"] = TimeText.span(engine.retentionMs)
        all["profile.series"] = "\(profile.series)"
        all["profile.targets"] = "\(profile.targets)"
        all["profile.rounds"] = "\(profile.rounds)"
        all["profile.interval"] = TimeText.span(profile.intervalMs)
        all["profile.start"] = TimeText.moment(profile.startMs)
        all["profile.per_day"] = "\(profile.perDay)"
        return all
    }
}
