// SelectCall.swift - the thirteen calls of the vmselect port and their arguments (docs/format/cluster-rpc.md, 5.6).
//
// Threads: plain values.

import StorageBytes

/// What can be called.
public enum SelectCall: String, Sendable, CaseIterable {
    /// Blocks of samples.
    case search = "search_v4"
    /// Canonical names of series.
    case searchMetricNames = "searchMetricNames_v1"
    /// Label names.
    case labels = "labels_v2"
    /// Label names of series in a range of time.
    case labelsOnTimeRange = "labelsOnTimeRange_v1"
    /// Values of a label.
    case labelValues = "labelValues_v2"
    /// Values of a label of series in a range of time.
    case labelValuesOnTimeRange = "labelValuesOnTimeRange_v1"
    /// All labels with their values.
    case labelEntries = "labelEntries_v2"
    /// What follows a prefix in the values of a label.
    case tagValueSuffixes = "tagValueSuffixes_v1"
    /// Number of series.
    case seriesCount = "seriesCount_v2"
    /// Cardinality statistics of a day.
    case tsdbStatus = "tsdbStatus_v2"
    /// The same of the series that match filters.
    case tsdbStatusWithFilters = "tsdbStatusWithFilters_v1"
    /// Deletes series.
    case deleteMetrics = "deleteMetrics_v3"
    /// Creates series without samples.
    case registerMetricNames = "registerMetricNames_v1"

    /// The label `name` of `vm_vmselect_rpc_requests_total`.
    public var metricName: String {
        switch self {
        case .search: "search"
        case .searchMetricNames: "search_metric_names"
        case .labels: "labels"
        case .labelsOnTimeRange: "labels_on_time_range"
        case .labelValues: "label_values"
        case .labelValuesOnTimeRange: "label_values_on_time_range"
        case .labelEntries: "label_entries"
        case .tagValueSuffixes: "tag_value_suffixes"
        case .seriesCount: "series_count"
        case .tsdbStatus: "tsdb_status"
        case .tsdbStatusWithFilters: "tsdb_status_with_filters"
        case .deleteMetrics: "delete_metrics"
        case .registerMetricNames: "register_metric_names"
        }
    }
}

/// Arguments of a call.
public enum SelectArguments: Sendable, Equatable {
    /// `labels_v2`, `labelEntries_v2`, `seriesCount_v2`.
    case tenant(Tenant)
    /// `labelsOnTimeRange_v1`.
    case tenantOnTimeRange(Tenant, WireTimeRange)
    /// `labelValues_v2`, and with a range `labelValuesOnTimeRange_v1`.
    case label(Tenant, name: [UInt8], WireTimeRange?)
    /// `tagValueSuffixes_v1`.
    case suffixes(Tenant, WireTimeRange, key: [UInt8], prefix: [UInt8], delimiter: UInt8)
    /// `tsdbStatus_v2`; the date in days since 1970.
    case status(Tenant, date: UInt32, top: UInt32)
    /// `tsdbStatusWithFilters_v1`.
    case filteredStatus(SearchQuery, top: UInt32)
    /// `searchMetricNames_v1`, `deleteMetrics_v3`.
    case query(SearchQuery)
    /// `search_v4`.
    case search(SearchQuery, fetchesData: Bool)
    /// `registerMetricNames_v1`: the names are in ``SelectRequest/names``.
    case names
}

/// A name of `registerMetricNames_v1`: where its bytes are in the request, and its day.
public struct RegisteredName: Sendable, Equatable {
    /// First byte in ``SelectRequest/bytes``, and how many.
    public var start: Int, count: Int
    /// Unix milliseconds.
    public var timestampMs: Int64
}

/// A request that was read completely. Read-only until it is given back; threads: one after the other.
public final class SelectRequest: @unchecked Sendable {
    /// What is called.
    public let call: SelectCall
    /// Seconds granted, counted from when the call was read.
    public let timeoutSeconds: UInt32
    /// The arguments.
    public private(set) var arguments: SelectArguments
    /// The names of `registerMetricNames_v1`.
    public private(set) var names: [RegisteredName]
    private var held: RawBuffer

    /// The bytes of the request. Valid as long as it lives.
    public var bytes: UnsafeRawBufferPointer { held.bytes }

    init(
        _ call: SelectCall, _ timeoutSeconds: UInt32, _ arguments: SelectArguments, _ names: [RegisteredName],
        _ held: consuming RawBuffer
    ) {
        self.call = call
        self.timeoutSeconds = timeoutSeconds
        self.arguments = arguments
        self.names = names
        self.held = held
    }

    /// Gives the memory back, whoever still refers to the request: nobody may read it any more.
    public func giveBack() {
        arguments = .names
        names = []
        held = RawBuffer()
    }
}

/// The start of a response (docs/format/cluster-rpc.md, 5.2).
public enum SelectResponse {
    /// Appends the empty error: the result follows.
    public static func success(to target: inout RawBuffer) { target.appendBigEndian(UInt64(0)) }

    /// Appends an error text, cut to what clients accept. Nothing may follow.
    public static func error(_ text: String, to target: inout RawBuffer) {
        let bytes = Array(text.utf8.prefix(WireLimits.errorTextBytesMax))
        target.appendBigEndian(UInt64(bytes.count))
        target.append(bytes)
    }
}
