// RPCCounters.swift - what the RPC ports count (docs/format/vmstorage-process.md, 6.2). Threads: any.

import ClusterWire
import NodeSupport
import StorageRuntime
import Synchronization

/// Why rows that had been acknowledged were not stored.
enum LossReason: Int, CaseIterable {
    case brokenFraming, tooLongName, overloaded, noSpace, closed, otherError

    var name: String {
        switch self {
        case .brokenFraming: "broken_framing"
        case .tooLongName: "too_long_name"
        case .overloaded: "overloaded"
        case .noSpace: "no_space"
        case .closed: "closed"
        case .otherError: "storage_error"
        }
    }

    init(_ error: StorageError) {
        switch error.kind {
        case .overloaded: self = .overloaded
        case .noSpace: self = .noSpace
        case .closed: self = .closed
        default: self = .otherError
        }
    }
}

/// Counters of both ports.
final class RPCCounters: Sendable {
    let insertConnections = Atomic<Int>(0), selectConnections = Atomic<Int>(0)
    let insertErrors = Atomic<UInt64>(0), selectErrors = Atomic<UInt64>(0)
    let handshakeErrors = Atomic<UInt64>(0)
    let rowsRead = Atomic<UInt64>(0), packetsRead = Atomic<UInt64>(0)
    let readErrors = Atomic<UInt64>(0), writeErrors = Atomic<UInt64>(0)
    let parseErrors = Atomic<UInt64>(0), processErrors = Atomic<UInt64>(0)
    /// Connections closed because they kept memory that others waited for.
    let slowConnectionsClosed = Atomic<UInt64>(0)
    private let lost = Protected([UInt64](repeating: 0, count: LossReason.allCases.count))
    private let calls = Protected<[SelectCall: UInt64]>([:])

    func add(lostRows: Int, _ reason: LossReason) { lost.withLock { $0[reason.rawValue] += UInt64(lostRows) } }

    func add(_ call: SelectCall) { calls.withLock { $0[call, default: 0] += 1 } }

    /// Counts a connection that ended by an error.
    func countError(_ port: WirePort) {
        switch port {
        case .vminsert: insertErrors.wrappingAdd(1, ordering: .relaxed)
        case .vmselect: selectErrors.wrappingAdd(1, ordering: .relaxed)
        }
    }

    var metrics: [NodeMetric] {
        let type = "{type=\"clusternative\"}"
        let rows = rowsRead.load(ordering: .relaxed)
        var metrics = [
            NodeMetric("vm_vminsert_conns", insertConnections.load(ordering: .relaxed)),
            NodeMetric("vm_vmselect_conns", selectConnections.load(ordering: .relaxed)),
            NodeMetric("vm_vminsert_conn_errors_total", insertErrors.load(ordering: .relaxed)),
            NodeMetric("vm_vmselect_conn_errors_total", selectErrors.load(ordering: .relaxed)),
            NodeMetric("vm_rpc_handshake_errors_total", handshakeErrors.load(ordering: .relaxed)),
            NodeMetric("vm_rpc_slow_connections_closed_total", slowConnectionsClosed.load(ordering: .relaxed)),
            NodeMetric("vm_vminsert_metrics_read_total", rows),
            NodeMetric("vm_protoparser_rows_read_total" + type, rows),
            NodeMetric("vm_protoparser_blocks_read_total" + type, packetsRead.load(ordering: .relaxed)),
            NodeMetric("vm_protoparser_read_errors_total" + type, readErrors.load(ordering: .relaxed)),
            NodeMetric("vm_protoparser_write_errors_total" + type, writeErrors.load(ordering: .relaxed)),
            NodeMetric("vm_protoparser_parse_errors_total" + type, parseErrors.load(ordering: .relaxed)),
            NodeMetric("vm_protoparser_process_errors_total" + type, processErrors.load(ordering: .relaxed)),
            // No call that reads samples is answered yet.
            NodeMetric("vm_vmselect_metric_blocks_read_total", 0),
            NodeMetric("vm_vmselect_metric_rows_read_total", 0),
        ]
        let lost = lost.withLock { $0 }
        for reason in LossReason.allCases {
            let what = reason == .brokenFraming ? "packets" : "rows"
            metrics.append(
                NodeMetric("vm_rpc_acknowledged_\(what)_lost_total{reason=\"\(reason.name)\"}", lost[reason.rawValue]))
        }
        let calls = calls.withLock { $0 }
        for call in SelectCall.allCases {
            metrics.append(
                NodeMetric("vm_vmselect_rpc_requests_total{name=\"\(call.metricName)\"}", calls[call] ?? 0))
        }
        return metrics
    }
}
