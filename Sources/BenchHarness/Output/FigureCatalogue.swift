// FigureCatalogue.swift - every figure that a run can report, with its formula; the source of docs/figures.md.
//
// Words used in the formulas:
//   row             a raw metric name with a timestamp and a value, handed to AddRows; `--path rows` and `--path index`
//   new round       the first round of a profile: all series are new
//   known rounds    rounds behind those of the profile, in which every series is in the TSID cache and in the set of the
//                   current hour
//   ingest          from the first add call until the last one returned; for rows the AddRows calls of all rounds
//   debt            from there until every item is in synced parts, pending merges are done and at most 15 parts are left
//   normalised      items in the form in which every tag row carries one metric id
//   generator       making the rows; done ahead of the ingest and accounted by thread clock

/// The definitions of all figures.
public enum FigureCatalogue {
    /// A chapter of the catalogue.
    public struct Group: Sendable {
        /// Title of the chapter.
        public let title: String
        /// Its figures in the order of the documentation.
        public let figures: [FigureDefinition]
    }

    /// Namespaces of the index, and what is none of them: the suffixes of figures that are split by namespace.
    public static let namespaces = ["ns0", "ns1", "ns2", "ns3", "ns4", "ns5", "ns6", "other"]

    /// Counts of rows that were not accepted.
    static let droppedRows = [
        "rows_too_old", "rows_too_new", "rows_nan", "rows_invalid_name", "rows_too_long_name", "rows_failed",
        "rows_over_hourly_limit", "rows_over_daily_limit",
    ]

    /// The definition of a figure; nil when there is none.
    public static func definition(_ name: String) -> FigureDefinition? { byName[name] }

    /// All chapters.
    public static let groups = [
        rate, arrivals, cpu, rows, rowCaches, amplification, byNamespace, space, samples, restart, searches, caches,
        search,
        memory, yardsticks, harness,
    ]

    private static let byName = Dictionary(
        groups.flatMap(\.figures).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })

    private static let rate = Group(
        title: "Rate",
        figures: [
            .init(
                "rows_per_second", "1/s", .higher, .timed,
                "rows of all rounds of the profile / wall seconds of their AddRows"),
            .init(
                "later_rows_per_second", "1/s", .higher, .timed,
                "rows of the rounds behind the new one / wall seconds of their AddRows"),
            .init(
                "known_rows_per_second", "1/s", .higher, .timed,
                "rows of the known rounds / wall seconds of their AddRows"),
            .init(
                "new_series_per_second", "1/s", .higher, .timed, "series of the new round / wall seconds of its AddRows"
            ),
            .init(
                "series_per_second", "1/s", .higher, .timed,
                "new series / wall seconds of the ingest, without the engine (path items)"),
            .init("items_per_second", "1/s", .higher, .timed, "normalised items added / wall seconds of the ingest"),
            .init(
                "input_bytes_per_second", "bytes/s", .higher, .timed,
                "bytes of the raw names (for rows: of every row) or items / wall seconds of the ingest"),
            .init(
                "settled_series_per_second", "1/s", .higher, .timed,
                "new series / wall seconds of ingest and debt (of the new round)"),
            .init(
                "settled_items_per_second", "1/s", .higher, .timed,
                "normalised items added / wall seconds of ingest and debt"),
            .init(
                "interval_rows_per_second_min", "1/s", .higher, .timed,
                "rows (or series, or items) added in the slowest interval of 250 ms of the ingest / its length; partial intervals at the ends of phases are left out"
            ),
            .init(
                "interval_rows_per_second_p5", "1/s", .higher, .timed,
                "the interval rate that 5 % of the intervals of the ingest do not exceed"),
            .init("ingest_seconds", "s", .lower, .timed, "wall seconds of the ingest"),
            .init("debt_seconds", "s", .lower, .timed, "wall seconds of the debt: last flush, pending merges"),
            .init(
                "close_seconds", "s", .lower, .timed, "wall seconds of closing the storage, saving of caches included"),
            .init("stalls", "count", .lower, .exact, "add calls that had to wait for a flush"),
            .init("stall_seconds", "s", .lower, .timed, "sum of these waits, all threads"),
        ])

    private static let cpu = Group(
        title: "CPU",
        figures: [
            .init(
                "cpu_us_per_new_series", "us", .lower, .timed,
                "(process CPU, user + system, of ingest and debt of the new round) - (CPU of the generator in that time), / new series"
            ),
            .init(
                "cpu_us_per_known_row", "us", .lower, .timed,
                "(process CPU of the known rounds and the debt behind them) - (CPU of the generator in that time), / their rows"
            ),
            .init(
                "cpu_us_per_new_day_row", "us", .lower, .timed,
                "the same for one round at 00:10 of the next day / per-day entries that it asked for; with new_day=true"
            ),
            .init(
                "cpu_us_per_later_row", "us", .lower, .timed,
                "the same for the rounds behind the new one / their rows: known rows and new series as the profile mixes them"
            ),
            .init(
                "cpu_us_per_item", "us", .lower, .timed,
                "CPU as in cpu_us_per_new_series / normalised items added in that time"),
            .init(
                "ingest_cpu_us_per_new_series", "us", .lower, .timed,
                "CPU of the ingest threads alone in the new round, by thread clock / new series"),
            .init(
                "ingest_cpu_us_per_known_row", "us", .lower, .timed,
                "CPU of the ingest threads alone in the known rounds, by thread clock / rows"),
            .init(
                "ingest_cpu_us_per_new_day_row", "us", .lower, .timed,
                "CPU of the ingest threads alone in the round of the new day / per-day entries that it asked for"),
            .init(
                "cpu_user_seconds", "s", .lower, .timed,
                "user CPU of ingest and debt; for rows of all phases, with the generator's"),
            .init("cpu_system_seconds", "s", .lower, .timed, "system CPU of the same time"),
            .init(
                "generator_cpu_us_per_series", "us", .none, .timed,
                "CPU of making the names (or items), by thread clock / series (or items); not part of any other figure"),
            .init(
                "generator_cpu_us_per_row", "us", .none, .timed,
                "CPU of preparing rows, by thread clock / rows of the profile; not part of any other figure"),
        ])

    private static let rows = Group(
        title: "Rows (of the rounds of the profile)",
        figures: [
            .init(
                "rows_added", "count", .none, .exact, live: .exact,
                "rows of AddRows calls that succeeded, dropped ones included"),
            .init("known_rows", "count", .none, .exact, live: .exact, "rows of the known rounds"),
            .init("new_day_rows", "count", .none, .exact, "per-day entries asked for by the round of the new day"),
            .init(
                "new_series", "count", .none, .exact,
                "global registrations, those taken over from the previous index table included"),
            .init(
                "series_carried_over", "count", .none, .exact, "of new_series: taken over from the previous index table"
            ),
            .init(
                "slow_row_inserts", "count", .lower, .exact,
                "rows whose series had to be looked up or created in the index"),
            .init("slow_row_inserts_ratio", "ratio", .lower, .exact, "slow_row_inserts / rows_added"),
            .init("slow_inserts_new_series", "count", .none, .exact, "of slow_row_inserts: the series was new"),
            .init(
                "slow_inserts_cache_miss", "count", .lower, .exact,
                "of slow_row_inserts: the series was in the index and not in the TSID cache"),
            .init(
                "slow_inserts_rotation", "count", .lower, .exact,
                "of slow_row_inserts: the series was in the previous index table only"),
            .init("per_day_inserts", "count", .lower, .exact, "per-day entries asked for"),
            .init("per_day_entries_written", "count", .lower, .exact, "per-day entries that were missing and written"),
            .init("next_day_prefills", "count", .none, .exact, "of per_day_inserts: for the next day, ahead of time"),
            .init("rows_too_old", "count", .lower, .exact, "rows outside of the retention"),
            .init("rows_too_new", "count", .lower, .exact, "rows more than two days ahead"),
            .init("rows_nan", "count", .lower, .exact, "rows that are NaN and no stale marker"),
            .init("rows_invalid_name", "count", .lower, .exact, "rows whose name does not decode"),
            .init("rows_too_long_name", "count", .lower, .exact, "rows whose name is too long to be indexed"),
            .init("rows_failed", "count", .lower, .exact, "rows whose series could be neither found nor created"),
            .init("rows_over_hourly_limit", "count", .lower, .exact, "rows above the limit of series an hour"),
            .init("rows_over_daily_limit", "count", .lower, .exact, "rows above the limit of series a day"),
            .init("add_rows_waits", "count", .lower, .exact, "AddRows calls that had to wait for their turn"),
            .init("add_rows_timeouts", "count", .lower, .exact, "AddRows calls that waited too long"),
            .init("index_rotations", "count", .none, .exact, live: .exact, "index tables started by rotation"),
            .init("name_searches", "count", .lower, .exact, "lookups of names that had to search a table"),
            .init(
                "name_searches_in_vain", "count", .lower, .exact,
                "of name_searches: nothing was found, the filter of names was wrong or not there yet"),
            .init("name_filter_bytes", "bytes", .lower, .exact, "bytes of the filters that tell that a name is new"),
            .init("allocations_per_known_row", "count", .lower, .exact, "allocations of the known rounds / their rows"),
        ])

    private static let rowCaches = Group(
        title: "Caches of the engine (requests behind the new round, contents after the last round of the profile)",
        figures: [
            ("tsid_cache", "raw name to TSID: one lookup a row, unless the row before has the same name"),
            ("metric_id_cache", "metric id to TSID"), ("metric_name_cache", "metric id to name"),
            ("date_metric_id_cache", "(day, metric id): one lookup a row that the sets of the hours do not answer"),
            ("hour_metric_ids", "set of the current hour: one lookup a row of this hour"),
        ].flatMap { (cache: String, what: String) -> [FigureDefinition] in
            [
                .init(cache + "_hit_ratio", "ratio", .higher, .exact, "1 - misses / requests; \(what)"),
                .init(cache + "_requests", "count", .none, .exact, "lookups"),
                .init(cache + "_misses", "count", .lower, .exact, "lookups that found nothing"),
                .init(cache + "_entries", "count", .none, .exact, "entries held"),
                .init(cache + "_bytes", "bytes", .lower, .exact, "bytes of these entries with what manages them"),
                .init(
                    cache + "_limit_bytes", "bytes", .none, .exact,
                    "most bytes that it may have; 0 is no limit of its own"),
                .init(cache + "_evictions", "count", .lower, .exact, "entries thrown out to make room"),
                .init(cache + "_refusals", "count", .none, .exact, "entries not taken in for want of room"),
            ]
        } + [
            .init(
                "tsid_cache_rotations", "count", .none, .exact,
                "generations begun: every half hour, and when most lookups have missed for long"),
            .init("tsid_cache_bytes_per_series", "bytes", .lower, .exact, "tsid_cache_bytes / tsid_cache_entries"),
            .init(
                "next_day_metric_ids_entries", "count", .none, .exact, "ids registered for the next day ahead of time"),
            .init("next_day_metric_ids_bytes", "bytes", .lower, .exact, "bytes of this set"),
        ])

    private static let amplification = Group(
        title: "Amplification",
        figures: [
            .init(
                "items_added", "count", .lower, .exact,
                "items put into runs: a gathered tag row counts once, however many ids it carries"),
            .init("bytes_added", "bytes", .lower, .exact, "bytes of items_added"),
            .init(
                "normalised_items_added", "count", .none, .exact, live: .exact,
                "items that the same registrations make when every tag row carries one id"),
            .init(
                "normalised_bytes_added", "bytes", .none, .exact, live: .exact, "bytes of normalised_items_added"),
            .init(
                "item_merge_amplification_ratio", "ratio", .lower, .exact,
                "items written by merges of file parts / items_added"),
            .init(
                "item_write_amplification_ratio", "ratio", .lower, .exact,
                "items written by flushes and merges / items_added"),
            .init(
                "write_amplification_ratio", "ratio", .lower, .exact,
                "file bytes written by flushes and merges / normalised_bytes_added"),
            .init(
                "write_amplification_over_flush_ratio", "ratio", .lower, .exact,
                "file bytes written by flushes and merges / file bytes written by flushes"),
            .init("flushes", "count", .none, .exact, "flushes that made a file part"),
            .init("flushed_items", "count", .lower, .exact, "items written by flushes"),
            .init("flushed_file_bytes", "bytes", .lower, .exact, "bytes of the files written by flushes"),
            .init("merges", "count", .none, .exact, "merges of file parts that were finished"),
            .init("merged_items", "count", .lower, .exact, "items written by merges"),
            .init("merged_file_bytes", "bytes", .lower, .exact, "bytes of the files written by merges"),
            .init("assisted_merges", "count", .lower, .exact, "merges done by a flushing thread for want of workers"),
            .init("blocks_encoded", "count", .lower, .exact, "data blocks written by encoding them"),
            .init("blocks_copied", "count", .none, .exact, "data blocks copied by merges as they were"),
            .init(
                "blocks_paired", "count", .none, .exact,
                "encoded data blocks of per-day tag rows whose bytes were those of a block of global tag rows"),
            .init(
                "kernel_written_bytes", "bytes", .lower, .near,
                "bytes sent to the device in ingest and debt, by the kernel's account of the process"),
            .init(
                "file_written_bytes", "bytes", .lower, .exact,
                "bytes of all write calls in ingest and debt, by our own account: parts of index and samples, and all else"
            ),
            .init("file_write_calls", "count", .lower, .exact, "write calls in ingest and debt"),
            .init("file_sync_calls", "count", .lower, .exact, "fsync and fdatasync calls in ingest and debt"),
        ])

    private static let byNamespace = Group(
        title: "Amplification by namespace",
        figures: namespaces.flatMap { (namespace: String) -> [FigureDefinition] in
            let which =
                namespace == "other" ? "items of no index namespace" : "items whose first byte is \(namespace.last!)"
            return [
                .init("flushed_items_" + namespace, "count", .lower, .exact, "\(which) written by flushes"),
                .init(
                    "flushed_item_bytes_" + namespace, "bytes", .lower, .exact,
                    "bytes of flushed_items_\(namespace) before encoding"),
                .init("merged_items_" + namespace, "count", .lower, .exact, "\(which) written by merges"),
                .init(
                    "merged_item_bytes_" + namespace, "bytes", .lower, .exact,
                    "bytes of merged_items_\(namespace) before encoding"),
                .init(
                    "merge_amplification_" + namespace + "_ratio", "ratio", .lower, .exact,
                    "merged_items_\(namespace) / flushed_items_\(namespace)"),
            ]
        })

    private static let space = Group(
        title: "Space",
        figures: [
            .init(
                "index_bytes", "bytes", .lower, .exact, "bytes of the four files of all parts after the debt is paid"),
            .init(
                "index_bytes_per_series", "bytes", .lower, .exact,
                "index_bytes / new series, their entries of all days included"),
            .init("index_bytes_per_item", "bytes", .lower, .exact, "index_bytes / normalised items in the table"),
            .init("items_in_table", "count", .lower, .exact, "items in all parts, as they are stored"),
            .init(
                "normalised_items_in_table", "count", .none, .exact, live: .exact,
                "different normalised items in the table, counted by the scan"),
            .init("parts", "count", .lower, .exact, "file parts after the debt is paid; at most 15"),
            .init("parts_max", "count", .lower, .exact, "most file parts at any moment"),
            .init("blocks", "count", .lower, .exact, "data blocks of all parts"),
            .init("items_per_block", "count", .higher, .exact, "items_in_table / blocks"),
            .init(
                "forced_merge_size_ratio", "ratio", .lower, .exact,
                "index_bytes / bytes of the table after merging all parts into one"),
            .init("forced_merge_seconds", "s", .lower, .timed, "wall seconds of that merge"),
        ])

    private static let caches = Group(
        title: "Block caches (of the seek phase)",
        figures: ["data", "index"].flatMap { (cache: String) -> [FigureDefinition] in
            let prefix = cache + "_block_cache_"
            return [
                .init(prefix + "hit_ratio", "ratio", .higher, .exact, "1 - misses / requests"),
                .init(prefix + "requests", "count", .none, .exact, "lookups in the cache of decoded \(cache) blocks"),
                .init(prefix + "misses", "count", .lower, .exact, "lookups that found nothing"),
                .init(prefix + "entries", "count", .none, .exact, "blocks held at the end of the phase"),
                .init(prefix + "bytes", "bytes", .lower, .exact, "bytes of these blocks"),
                .init(prefix + "limit_bytes", "bytes", .none, .exact, "most bytes the cache may hold"),
                .init(prefix + "evictions", "count", .lower, .exact, "blocks thrown out"),
            ]
        })

    private static let search = Group(
        title: "Search",
        figures: [
            .init(
                "seek_us", "us", .lower, .timed,
                "wall time of the seek phase / seeks: exact seeks for the name rows (or items) of series of the last round in random order, one thread, the table as the ingestion left it"
            ),
            .init("seek_cpu_us", "us", .lower, .timed, "thread CPU of the seek phase / seeks"),
            .init("seeks", "count", .none, .exact, live: .exact, "seeks of the phase"),
            .init(
                "seeks_found_ratio", "ratio", .higher, .exact, live: .exact,
                "seeks that found their item / seeks; must be 1"),
            .init(
                "scan_ns_per_item", "ns", .lower, .timed,
                "wall time of the second pass over all items / items delivered; the consumer hashes the first 8 bytes"),
            .init("scan_items_per_second", "1/s", .higher, .timed, "items delivered / wall time of that pass"),
        ])

    private static let memory = Group(
        title: "Memory",
        figures: [
            .init(
                "peak_memory_bytes", "bytes", .lower, .near,
                "peak resident bytes from the start of the ingest to the end of the debt - bytes mapped by the generator"
            ),
            .init("peak_rss_bytes", "bytes", .lower, .near, "peak resident bytes of the same time"),
            .init(
                "generator_mapped_bytes", "bytes", .none, .exact, live: .exact, "bytes mapped for the rows made ahead"),
            .init(
                "heap_allocated_bytes", "bytes", .lower, .near,
                "live allocations after the debt is paid (jemalloc allocated)"),
            .init(
                "heap_allocated_peak_bytes", "bytes", .lower, .near,
                "most live allocations in any interval of ingest and debt"),
            .init(
                "memory_runs_at_peak_bytes", "bytes", .none, .near,
                "index items in memory in the interval of ingest and debt with the most resident bytes"),
            .init(
                "memory_rows_at_peak_bytes", "bytes", .none, .near, "rows and sample parts in memory in that interval"),
            .init(
                "memory_kept_at_peak_bytes", "bytes", .none, .near,
                "memory kept for reuse in that interval: arenas, tables of series"),
            .init("memory_caches_at_peak_bytes", "bytes", .none, .near, "what all caches hold in that interval"),
            .init(
                "peak_beside_caches_bytes", "bytes", .lower, .near,
                "the greatest of resident bytes - generator_mapped_bytes - what all caches hold, each of the same interval, over the intervals of ingest and debt"
            ),
            .init("heap_active_bytes", "bytes", .lower, .near, "pages with live allocations (jemalloc active)"),
            .init("heap_resident_bytes", "bytes", .lower, .near, "physical pages of the allocator (jemalloc resident)"),
            .init("heap_metadata_bytes", "bytes", .lower, .near, "the allocator's own records (jemalloc metadata)"),
            .init("heap_retained_bytes", "bytes", .none, .near, "address space kept without pages (jemalloc retained)"),
            .init("heap_fragmentation_ratio", "ratio", .lower, .near, "1 - allocated / active"),
            .init(
                "allocations", "count", .lower, .exact,
                "allocations in ingest and debt, those of the harness itself left out in deterministic mode"),
            .init(
                "allocations_per_new_series", "count", .lower, .exact,
                "allocations of ingest and debt of the new round / new series"),
        ])

    private static let yardsticks = Group(
        title: "Yardsticks",
        figures: [
            .init(
                "memcpy_bytes_per_second", "bytes/s", .none, .timed,
                "copying 64 MiB between two buffers, one thread, best of five"),
            .init(
                "random_read_ns", "ns", .none, .timed,
                "one dependent load at a random place in 64 MiB, best of three"),
            .init(
                "zstd_bytes_per_second", "bytes/s", .none, .timed,
                "compressing the sorted items of a sample of the series in blocks of 64 KiB at zstd_level, best of three"
            ),
            .init(
                "zstd_level", "level", .none, .exact,
                "level at which flushes compress, unless one was set"),
            .init("zstd_ratio", "ratio", .none, .exact, live: .exact, "bytes before / bytes after that compression"),
            .init(
                "plain_sort_ns_per_item", "ns", .none, .timed,
                "the standard library's sort with memcmp on the same items in arrival order, in runs of 10,000, best of three"
            ),
            .init(
                "item_sort_ns_per_item", "ns", .lower, .timed, "the engine's sort on the same runs, best of three"),
        ])

    /// The text of docs/figures.md.
    public static func markdown() -> String {
        var text = """
            # Figures

            Every figure that `mergeset-bench run` can report, as it stands under `figures` in run.json. This file is the
            catalogue in Sources/BenchHarness/Output/FigureCatalogue.swift; a test compares the two.
            `mergeset-bench list --figures` prints it.

            A row is a raw metric name with a timestamp and a value, handed to AddRows (`--path rows`). The new round is the first
            of a profile, in which all series are new; the known rounds come behind those of the profile: every series is in the
            TSID cache and in the set of the current hour. Ingest lasts from the first add call until the last one returned (for
            rows: the AddRows calls of all rounds); the debt from there until every item is in
            synced parts, pending merges are done and at most 15 parts are left. Normalised items are those of the same
            registrations with one metric id in every tag row. The generator makes the rows ahead of the ingest; its CPU
            is accounted by thread clock and left out everywhere else.

            Repeats: `exact` to the digit, `near` almost, `timed` as times do. The first word holds in deterministic mode,
            the second in live mode, where it differs.

            """
        for group in groups {
            text += "\n## \(group.title)\n\n| figure | unit | better | repeats | formula |\n|--|--|--|--|--|\n"
            for figure in group.figures {
                let kinds =
                    figure.kind == figure.kindLive
                    ? figure.kind.rawValue : "\(figure.kind.rawValue), \(figure.kindLive.rawValue)"
                text +=
                    "| `\(figure.name)` | \(figure.unit) | \(figure.better.rawValue) | \(kinds) | \(figure.formula) |\n"
            }
        }
        return text
    }
}
