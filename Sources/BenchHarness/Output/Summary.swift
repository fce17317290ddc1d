// Summary.swift - summary.md: the verdict first, then the figures people ask for, for the page of a CI job.

/// Makes summary.md of a record.
public enum Summary {
    private static let figures = [
        "rows_per_second", "known_rows_per_second", "new_series_per_second", "series_per_second", "items_per_second",
        "cpu_us_per_new_series", "cpu_us_per_known_row", "cpu_us_per_new_day_row", "cpu_us_per_item",
        "slow_row_inserts_ratio", "tsid_cache_hit_ratio", "hour_metric_ids_hit_ratio", "tsid_cache_bytes_per_series",
        "restart_warm_seconds", "restart_cold_seconds", "bytes_per_sample", "row_merge_amplification_ratio",
        "item_merge_amplification_ratio", "write_amplification_ratio", "index_bytes_per_series", "index_bytes_per_item",
        "data_block_cache_hit_ratio", "index_block_cache_hit_ratio", "seek_us", "scan_ns_per_item", "peak_memory_bytes",
        "allocations_per_new_series", "allocations_per_known_row",
    ]

    /// The text.
    public static func markdown(_ record: RunRecord) -> String {
        let observed = record.observed
        var text = "## \(record.profile), size \(record.size), \(record.mode)\n\n"
        if observed.readBackMissing > 0 {
            text += "**FAILED**: \(observed.readBackMissing) items read back are missing.\n\n"
        } else if let wrong = observed.readBackRowsWrong, wrong > 0 {
            text += "**FAILED**: \(wrong) rows read back are missing or different.\n\n"
        } else if record.comparable {
            text += "Passed: \(observed.readBackItems) items read back, shape as configured.\n\n"
        } else {
            text += "**Not comparable**: \(record.notComparableBecause.joined(separator: "; ")).\n\n"
        }
        text += "| figure | value | unit | better |\n|--|--:|--|--|\n"
        for name in figures {
            guard let figure = record.figures[name] else { continue }
            text += "| \(name) | \(TextFormat.short(figure.value)) | \(figure.unit) | \(figure.better.rawValue) |\n"
        }
        if let alerts = record.alerts {
            text += "\n"
            for alert in alerts {
                text += "- \(alert.verdict): \(alert.rule) \(TextFormat.short(alert.value)), limit "
                text += "\(TextFormat.short(alert.limit))\n"
            }
        }
        text += "\nStream `\(observed.streamDigest)`, store `\(observed.storeDigest)`, seed \(record.seed), "
        text += "\(record.provenance.cpu), \(record.provenance.toolchain), "
        text += "load \(TextFormat.fixed(record.provenance.loadAtStart, 2)).\n"
        return text
    }
}
