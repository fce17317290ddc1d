// FigureCatalogue+Samples.swift - the figures of the samples: space, amplification, restart, searches beside ingestion.

extension FigureCatalogue {
    static let samples = Group(
        title: "Samples (after the last round of the profile; `--path rows`)",
        figures: [
            .init("bytes_per_sample", "bytes", .lower, .exact, "sample_bytes / sample_rows"),
            .init(
                "sample_bytes", "bytes", .lower, .exact, "bytes of the files of all sample parts after the debt is paid"
            ),
            .init("sample_rows", "count", .none, .exact, live: .exact, "rows in these parts"),
            .init("sample_rows_added", "count", .none, .exact, live: .exact, "rows given to the sample table"),
            .init("rows_flushed", "count", .lower, .exact, "rows written by flushes"),
            .init(
                "rows_merged_small", "count", .lower, .exact, "rows written by merges of file parts into small parts"),
            .init("rows_merged_big", "count", .lower, .exact, "rows written by merges into big parts"),
            .init(
                "row_merge_amplification_ratio", "ratio", .lower, .exact,
                "(rows_merged_small + rows_merged_big) / sample_rows_added"),
            .init(
                "row_write_amplification_ratio", "ratio", .lower, .exact,
                "(rows_flushed + rows_merged_small + rows_merged_big) / sample_rows_added"),
            .init(
                "rows_deduplicated", "count", .none, .exact, "rows dropped by deduplication, in conversions and merges"),
            .init("rows_skipped", "count", .lower, .exact, "rows out of the limits of time when they were converted"),
            .init("sample_flushes", "count", .none, .exact, "flushes that made a sample part"),
            .init("sample_merges", "count", .none, .exact, "merges of sample parts that were started"),
            .init(
                "sample_assisted_merges", "count", .lower, .exact,
                "merges of sample parts done by a flushing thread for want of workers"),
            .init("sample_flushed_bytes", "bytes", .lower, .exact, "bytes of the files written by flushes"),
            .init("sample_merged_bytes_small", "bytes", .lower, .exact, "bytes written by merges into small parts"),
            .init("sample_merged_bytes_big", "bytes", .lower, .exact, "bytes written by merges into big parts"),
            .init(
                "sample_write_amplification_ratio", "ratio", .lower, .exact,
                "(sample_flushed_bytes + both sample_merged_bytes) / sample_flushed_bytes"),
            .init("sample_blocks_encoded", "count", .lower, .exact, "blocks of samples written by encoding them"),
            .init("sample_blocks_copied", "count", .none, .exact, "blocks of samples copied by merges as they were"),
            .init(
                "timestamps_blocks_shared", "count", .none, .exact,
                "blocks that share the timestamps of the block before, in flushes and merges"),
            .init("timestamps_bytes_saved", "bytes", .none, .exact, "bytes not written because of that"),
            .init("sample_blocks", "count", .lower, .exact, "blocks in all sample parts"),
            .init("rows_per_sample_block", "count", .higher, .exact, "sample_rows / sample_blocks"),
            .init("sample_partitions", "count", .none, .exact, live: .exact, "partitions: months with rows"),
            .init("sample_parts_small", "count", .lower, .exact, "small parts, all partitions"),
            .init("sample_parts_big", "count", .lower, .exact, "big parts, all partitions"),
            .init(
                "sample_parts_max", "count", .lower, .exact,
                "most file parts that a side of a partition had at any moment"),
            .init("sample_stalls", "count", .lower, .exact, "add calls that had to wait for a flush of samples"),
            .init("sample_stall_seconds", "s", .lower, .timed, "sum of these waits, all threads"),
            .init(
                "rows_read", "count", .none, .exact, live: .exact, "rows that a search for all series delivers, decoded"
            ),
            .init(
                "rows_read_per_second", "1/s", .higher, .timed,
                "rows_read / wall seconds of that search: blocks read, decoded, made floats, sorted, digested; one thread"
            ),
            .init(
                "sample_index_cache_hit_ratio", "ratio", .higher, .exact,
                "1 - misses / requests of index blocks of samples, of the reading phases"),
            .init("sample_index_cache_requests", "count", .none, .exact, "lookups of index blocks of samples"),
            .init("sample_index_cache_misses", "count", .lower, .exact, "lookups that found nothing"),
            .init("sample_index_cache_bytes", "bytes", .lower, .exact, "bytes of these index blocks"),
            .init(
                "row_forced_merge_seconds", "s", .lower, .timed,
                "wall seconds of merging all parts of each partition into one"),
            .init(
                "row_forced_merge_rows_per_second", "1/s", .higher, .timed, "rows_read / row_forced_merge_seconds"),
            .init(
                "row_forced_merge_cpu_ns_per_row", "ns", .lower, .timed,
                "thread CPU of that merge / rows_read"),
            .init(
                "row_forced_merge_size_ratio", "ratio", .lower, .exact,
                "bytes of the sample parts before that merge / bytes after it"),
        ])

    static let restart = Group(
        title: "Restart (of the storage as the run has left it)",
        figures: [
            .init(
                "restart_warm_seconds", "s", .lower, .timed,
                "wall seconds from opening the closed storage until a row of a known series was accepted, with the caches that closing has saved"
            ),
            .init("restart_warm_open_seconds", "s", .lower, .timed, "of restart_warm_seconds: opening"),
            .init("restart_warm_cpu_seconds", "s", .lower, .timed, "process CPU of that time"),
            .init(
                "restart_cold_seconds", "s", .lower, .timed,
                "the same once more, with the saved caches thrown away first; the files stay in the page cache"),
            .init("restart_cold_cpu_seconds", "s", .lower, .timed, "process CPU of that time"),
        ])

    /// Figures of deterministic runs that say what searches have found: the gate lets none of them differ.
    static let answers = ["searches", "searches_due", "search_blocks", "search_rows"]

    static let searches = Group(
        title: "Searches and ingestion beside each other (of profiles with searches, and with search_rate)",
        figures: [
            .init(
                "searches", "count", .none, .exact, live: .timed,
                "searches made that were due while known rows arrived"),
            .init(
                "searches_due", "count", .none, .exact, live: .timed,
                "searches that were due while known rows arrived; those that were due and not made are in search_latency with the time they had waited"
            ),
            .init(
                "searches_alone", "count", .none, .timed, "searches made that were due while nothing arrived"),
            .init("search_blocks", "count", .none, .exact, live: .timed, "blocks read / searches"),
            .init("search_rows", "count", .none, .exact, live: .timed, "rows in these blocks / searches"),
        ]
            + [
                ("search_latency", "while known rows arrive"),
                ("search_alone_latency", "while nothing arrives, as long as before; of profiles with searches"),
            ].flatMap { (name: String, when: String) -> [FigureDefinition] in
                [
                    .init(
                        name + "_ms_p50", "ms", .lower, .timed,
                        "from the intended start of a search to its end, \(when): random series, all blocks read; open loop; the median"
                    ),
                    .init(
                        name + "_ms_p99", "ms", .lower, .timed,
                        "99th percentile of the same latency, \(when); left out below 100 searches"),
                    .init(name + "_ms_max", "ms", .lower, .timed, "the longest of these, \(when)"),
                ]
            } + [
                .init(
                    "search_cpu_us", "us", .lower, .timed,
                    "CPU of the searching thread / searches, while known rows arrive"),
                .init(
                    "searched_offered_rows_per_second", "1/s", .none, .timed,
                    "searches.load x the smaller of processors / cpu_us_per_known_row and known_rows_per_second, or x max_sustainable_rows_per_second with --find-max-rate, or the given --rate: rows due in the phases paced and searched"
                ),
                .init(
                    "cpu_us_per_paced_row", "us", .lower, .timed,
                    "(process CPU of known rounds at that rate and the debt behind them) - (CPU of the generator), / rows"
                ),
                .init(
                    "cpu_us_per_searched_row", "us", .lower, .timed,
                    "the same with searches beside them, without the CPU of the searching thread (of deterministic runs: with it)"
                ),
                .init(
                    "searched_rows_per_second", "1/s", .higher, .timed,
                    "rows beside searches / wall seconds of their AddRows; where no rate is offered"),
                .init(
                    "search_ingest_loss_ratio", "ratio", .lower, .timed,
                    "1 - searched_rows_per_second / known_rows_per_second"),
            ])
}
