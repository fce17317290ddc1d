// FigureCatalogue+Arrivals.swift - figures of insert blocks and their arrival, and of the harness itself.

extension FigureCatalogue {
    /// Phases whose latencies are figures: the start of the figures' names, the phase, and what it is.
    static let latencyScopes = [
        ("new_insert", "new", "the new round"), ("later_insert", "rounds", "the rounds behind the new one"),
        ("known_insert", "known", "the known rounds"),
        ("paced_insert", "paced", "the known rounds at the rate that searches get, without searches"),
        (
            "searched_insert", "searched",
            "the known rounds beside searches; its maximum is the longest stall of ingestion"
        ),
    ]

    /// Percentiles that are figures: their names and values.
    static let latencyPercentiles = [("p50", 50), ("p90", 90), ("p99", 99), ("p999", 99.9), ("p9999", 99.99)]

    static let arrivals = Group(
        title: "Arrivals and latency of insert blocks (live mode)",
        figures: latencyScopes.flatMap { (scope: String, _: String, what: String) -> [FigureDefinition] in
            [
                .init(
                    scope + "_blocks", "count", .none, .exact, live: .exact,
                    "AddRows calls of \(what), batch_rows rows each")
            ]
                + [
                    ("", "from the moment it was handed over (actual start)"),
                    ("_intended", "from the moment it was due at the fixed rate (intended start); with --rate"),
                ].flatMap { (start: String, from: String) -> [FigureDefinition] in
                    latencyPercentiles.map { name, percentile in
                        .init(
                            "\(scope)\(start)_\(name)_us", "us", .lower, .timed,
                            "wall time that \(TextFormat.plain(percentile)) % of the blocks of \(what) do not exceed, \(from)"
                        )
                    } + [
                        .init(
                            "\(scope)\(start)_max_us", "us", .lower, .timed,
                            "longest wall time of a block of \(what), \(from)")
                    ]
                }
        } + [
            .init(
                "offered_rows_per_second", "1/s", .none, .exact, live: .exact,
                "fixed rate at which rows were due (--rate), time of preparing rows left out"),
            .init(
                "arrival_backlog_seconds", "s", .lower, .timed,
                "time by which the last block of the open loop ended behind the schedule; 0 when it kept up"),
            .init(
                "later_stalls", "count", .lower, .exact,
                "add calls of the rounds behind the new one that had to wait for a flush"),
            .init(
                "max_sustainable_rows_per_second", "1/s", .higher, .timed,
                "highest tried rate of which at least 98 % was taken, without stall, pending memory, parts, p99 or backlog above their limits (--find-max-rate)"
            ),
        ])

    static let harness = Group(
        title: "The harness itself",
        figures: [
            .init(
                "harness_cpu_seconds", "s", .lower, .timed,
                "CPU of taking samples in ingest and debt, by thread clock, + blocks recorded x measured cost of recording one"
            ),
            .init(
                "harness_overhead_ratio", "ratio", .lower, .timed,
                "harness_cpu_seconds / (process CPU of ingest and debt - CPU of the generator); it is part of the other CPU figures"
            ),
            .init("harness_samples", "count", .none, .near, "samples taken in ingest and debt"),
        ])
}
