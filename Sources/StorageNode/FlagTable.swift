// FlagTable.swift - the flags of the node (docs/format/vmstorage-process.md, 1.3): one row each.

/// What values a flag takes.
enum FlagKind: Sendable {
    case bool, int, float, duration, bytes, retention, string

    /// The word for the value in the help.
    var word: String {
        switch self {
        case .bool: ""
        case .int: " int"
        case .float: " float"
        case .duration: " duration"
        case .bytes: " size"
        case .retention: " period"
        case .string: " string"
        }
    }
}

/// One flag.
struct FlagDefinition: Sendable {
    let name: String
    let kind: FlagKind
    let standard: String
    let help: String

    init(_ name: String, _ kind: FlagKind, _ standard: String, _ help: String) {
        self.name = name
        self.kind = kind
        self.standard = standard
        self.help = help
    }

    /// Whether the value is hidden in logs, pages and metrics.
    var isSecret: Bool {
        let name = name.lowercased()
        return ["pass", "key", "secret", "token"].contains { name.contains($0) }
    }
}

enum FlagTable {
    /// All flags, by name.
    static let all: [FlagDefinition] = [
        FlagDefinition(
            "bigMergeConcurrency", .int, "0", "Workers for big merges; 0 or less: half of the CPUs, rounded up"),
        FlagDefinition(
            "dedup.minScrapeInterval", .duration, "0s",
            "Of several samples of a series within this interval, merges keep one; 0 keeps all"),
        FlagDefinition(
            "denyQueriesOutsideRetention", .bool, "false",
            "Whether searches outside of -retentionPeriod are refused instead of giving partial answers"),
        FlagDefinition("enableTCP6", .bool, "false", "Whether to listen on IPv6 besides IPv4"),
        FlagDefinition(
            "envflag.enable", .bool, "false",
            "Whether flags that are missing on the command line are read from environment variables of the same name, with "
                + "'_' for '.'"),
        FlagDefinition("envflag.prefix", .string, "", "Prefix of the environment variables, if -envflag.enable is set"),
        FlagDefinition(
            "finalMergeDelay", .duration, "0s",
            "Merge a quiet partition into one part after this delay; 0 or less: never"),
        FlagDefinition("forceFlushAuthKey", .string, "", "authKey that /internal/force_flush must be given"),
        FlagDefinition("forceMergeAuthKey", .string, "", "authKey that /internal/force_merge must be given"),
        FlagDefinition("fs.disableMmap", .bool, "false", "Has no effect: data files are always read with pread"),
        FlagDefinition(
            "http.connTimeout", .duration, "2m0s", "HTTP connections older than this are closed with their next answer"),
        FlagDefinition("http.disableResponseCompression", .bool, "false", "Whether HTTP answers are never compressed"),
        FlagDefinition("http.idleConnTimeout", .duration, "1m0s", "Idle HTTP connections are closed after this time"),
        FlagDefinition(
            "http.maxGracefulShutdownDuration", .duration, "7s", "How long a stop waits for running HTTP requests"),
        FlagDefinition("http.pathPrefix", .string, "", "Prefix of all HTTP paths, such as /foo/bar"),
        FlagDefinition(
            "http.shutdownDelay", .duration, "0s",
            "How long the HTTP port serves on, with /health failing, before a stop"),
        FlagDefinition("httpListenAddr", .string, ":8482", "Address of the HTTP port"),
        FlagDefinition("logNewSeries", .bool, "false", "Whether each new series is logged"),
        FlagDefinition("loggerDisableTimestamps", .bool, "false", "Whether log lines have no timestamps"),
        FlagDefinition(
            "loggerErrorsPerSecondLimit", .int, "0", "ERROR lines a second for each place in the code; 0 has no limit"),
        FlagDefinition("loggerFormat", .string, "default", "Format of log lines: default or json"),
        FlagDefinition(
            "loggerLevel", .string, "INFO", "Lowest level that is logged: INFO, WARN, ERROR, FATAL or PANIC"),
        FlagDefinition("loggerOutput", .string, "stderr", "Where log lines go: stderr or stdout"),
        FlagDefinition("loggerTimezone", .string, "UTC", "Time zone of log lines: an IANA name, or Local"),
        FlagDefinition(
            "loggerWarnsPerSecondLimit", .int, "0", "WARN lines a second for each place in the code; 0 has no limit"),
        FlagDefinition(
            "memory.allowedBytes", .bytes, "0",
            "Memory for caches; takes the place of -memory.allowedPercent if above 0"),
        FlagDefinition("memory.allowedPercent", .float, "60", "Memory for caches in percent of the system's memory"),
        FlagDefinition(
            "precisionBits", .int, "64", "Significant bits kept of each value, 1 to 64; fewer compress better"),
        FlagDefinition(
            "retentionPeriod", .retention, "1",
            "Samples older than this are not accepted and are removed. A number alone is in months of 31 days; units are "
                + "h, d, w, y"),
        FlagDefinition("rpc.disableCompression", .bool, "false", "Whether responses to vmselect are not compressed"),
        FlagDefinition("search.maxTagKeys", .int, "100000", "Most label names that a search returns"),
        FlagDefinition(
            "search.maxTagValueSuffixesPerSearch", .int, "100000", "Most suffixes of label values that a search returns"
        ),
        FlagDefinition("search.maxTagValues", .int, "100000", "Most label values that a search returns"),
        FlagDefinition("search.maxUniqueTimeseries", .int, "300000", "Most series that a search may match"),
        FlagDefinition(
            "smallMergeConcurrency", .int, "0", "Workers for small merges; 0 or less: half of the CPUs, rounded up"),
        FlagDefinition("snapshotAuthKey", .string, "", "authKey that /snapshot/* must be given"),
        FlagDefinition("storage.maxDailySeries", .int, "0", "Most different series in 24 hours; 0 has no limit"),
        FlagDefinition("storage.maxHourlySeries", .int, "0", "Most different series in an hour; 0 has no limit"),
        FlagDefinition(
            "storage.minFreeDiskSpaceBytes", .bytes, "10000000", "With less free space than this, rows are refused"),
        FlagDefinition(
            "storageDataPath", .string, "vmstorage-data", "Directory of the data; made when it does not exist"),
        FlagDefinition("tls", .bool, "false", "HTTPS on the HTTP port. Not supported: the node does not start with it"),
        FlagDefinition("tlsCertFile", .string, "", "Has no effect, see -tls"),
        FlagDefinition("tlsKeyFile", .string, "", "Has no effect, see -tls"),
        FlagDefinition("version", .bool, "false", "Print the version and exit"),
        FlagDefinition("vminsertAddr", .string, ":8400", "Address of the port for vminsert"),
        FlagDefinition("vmselectAddr", .string, ":8401", "Address of the port for vmselect"),
    ]

    static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
}
