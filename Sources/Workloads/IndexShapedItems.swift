// IndexShapedItems.swift - tag rows as new series add them to the index (docs/format/series-index.md, 4.1).
//
//   01 | tenant 8 | key 01 value 01 | metricID 8                     global: name, tags, name + tag composites
//   06 | tenant 8 | date 8 | key 01 value 01 | metricID 8            the same tags per day
//
// Keys and values of this generator contain no byte that would need escaping, except the length byte of a composite
// key, which is never below 3 here.

import StorageBytes
import StorageRuntime

/// Makes the tag rows of Kubernetes-shaped series, one series after the other.
struct IndexShapedItems {
    private static let families = [
        "container_cpu_usage_seconds_total", "container_cpu_cfs_periods_total",
        "container_cpu_cfs_throttled_seconds_total",
        "container_memory_working_set_bytes", "container_memory_rss", "container_memory_cache",
        "container_memory_failures_total", "container_memory_max_usage_bytes", "container_network_receive_bytes_total",
        "container_network_transmit_bytes_total", "container_fs_reads_bytes_total", "container_fs_writes_bytes_total",
        "container_fs_usage_bytes", "container_processes", "container_threads", "container_sockets",
        "container_file_descriptors", "container_start_time_seconds", "container_last_seen",
        "container_spec_cpu_shares",
        "container_spec_memory_limit_bytes", "container_tasks_state", "container_ulimits_soft",
        "container_oom_events_total",
    ]

    private var stream: SplitMix64
    private var metricID: UInt64 = 1_640_995_800_000_000_000
    private var series = 0
    private var tags: [(key: [UInt8], value: [UInt8])] = []
    private let tenant = [UInt8](repeating: 0, count: 8)
    private let date = withUnsafeBytes(of: UInt64(18_993).bigEndian) { Array($0) }

    init(seed: UInt64) { stream = SplitMix64(seed: seed) }

    /// Appends the rows of the next series: 25 global and 25 per-day ones, fewer when the corpus has enough.
    mutating func appendSeries(to corpus: inout ItemCorpus, countMax: Int) {
        if series % IndexShapedItems.families.count == 0 { newContainer() }
        let name = Array(IndexShapedItems.families[series % IndexShapedItems.families.count].utf8)
        series += 1
        metricID += 1
        let id = withUnsafeBytes(of: metricID.bigEndian) { Array($0) }
        for head in [[0x01] + tenant, [0x06] + tenant + date] {
            func append(_ key: [UInt8], _ value: [UInt8]) {
                if corpus.count < countMax { corpus.append(head + key + [0x01] + value + [0x01] + id) }
            }
            append([], name)
            for tag in tags { append(tag.key, tag.value) }
            for tag in tags { append([0xFE, UInt8(name.count)] + name + tag.key, tag.value) }
        }
    }

    private mutating func newContainer() {
        func hex(_ count: Int) -> [UInt8] {
            text(count) { stream, count, target in RandomText.hex(&stream, count, to: target) }
        }
        func text(_ count: Int, _ write: (inout SplitMix64, Int, UnsafeMutableRawPointer) -> Void) -> [UInt8] {
            [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
                if let base = buffer.baseAddress { write(&stream, count, UnsafeMutableRawPointer(base)) }
                used = count
            }
        }
        let service = "svc-\(100 + stream.below(100))"
        let node = stream.below(60)
        let container = hex(64)
        let uid = hex(36)
        let pod = Array("\(service)-".utf8) + hex(10) + Array("-".utf8) + hex(5)
        // Canonical order: the keys with a fixed sort position first (docs/format/series-index.md, 2.5).
        tags = [
            ("namespace", Array("team-\(10 + stream.below(40))-production".utf8)),
            ("cluster", Array("prod-eu-central-1a".utf8)),
            ("service", Array("kubelet".utf8)), ("job", Array("kubelet".utf8)),
            ("instance", Array("10.1.\(node).17:10250".utf8)), ("pod", pod),
            ("node", Array("ip-10-1-\(node)-17.eu-central-1.compute.internal".utf8)), ("name", container),
            ("container", Array(service.utf8)),
            ("id", Array("/kubepods/burstable/pod".utf8) + uid + [0x2F] + container),
            (
                "image",
                Array(
                    "registry.example.com/platform/\(service):v1.\(stream.below(100)).0-build.\(1000 + stream.below(9000))"
                        .utf8)
            ),
            ("metrics_path", Array("/metrics/cadvisor".utf8)),
        ].map { (key: String, value: [UInt8]) in (Array(key.utf8), value) }
    }
}
