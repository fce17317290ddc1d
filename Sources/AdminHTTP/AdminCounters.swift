// AdminCounters.swift - what the HTTP port counts (docs/format/vmstorage-process.md, 6.4). Threads: any.

import NodeSupport
import StorageRuntime
import Synchronization

/// Counters of the HTTP port.
public final class AdminCounters: Sendable {
    let requests = Atomic<UInt64>(0)
    let unsupported = Atomic<UInt64>(0)
    let agedConnections = Atomic<UInt64>(0)
    let metricsDuration = DurationHistogram("vm_http_request_duration_seconds", labels: "path=\"/metrics\"")
    private let paths = Protected<[String: UInt64]>(["/metrics": 0, "/favicon.ico": 0])

    func add(_ path: String) { paths.withLock { $0[path, default: 0] += 1 } }

    /// The counters under their production names.
    public var metrics: [NodeMetric] {
        var metrics = [
            NodeMetric("vm_http_requests_all_total", requests.load(ordering: .relaxed)),
            NodeMetric(
                #"vm_http_request_errors_total{path="*", reason="unsupported"}"#, unsupported.load(ordering: .relaxed)),
            NodeMetric("vm_http_conn_timeout_closed_conns_total", agedConnections.load(ordering: .relaxed)),
        ]
        for (path, count) in paths.withLock({ $0 }) {
            metrics.append(NodeMetric("vm_http_requests_total{path=\"\(path)\"}", count))
        }
        return metrics + metricsDuration.metrics
    }
}
