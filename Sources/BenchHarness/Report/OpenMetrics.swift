// OpenMetrics.swift - metrics.prom: the counters of the engine at the end of ingest and debt in the OpenMetrics text format,
// under their production names, each with the wall time of the run's end. `promtool tsdb create-blocks-from openmetrics`
// takes it, and then stock dashboards do.

import StorageRuntime

/// Makes metrics.prom.
enum OpenMetrics {
    /// The text. `unixSeconds` is the time of all samples.
    static func text(_ record: RunRecord, unixSeconds: Int64) -> String {
        var text = ""
        var family = ""
        for sample in record.counters ?? [] {
            // A counter's family has the name without _total.
            let isCounter = sample.type == "counter" && sample.name.hasSuffix("_total")
            let own = isCounter ? String(sample.name.dropLast("_total".count)) : sample.name
            if own != family {
                family = own
                text += "# TYPE \(own) \(isCounter ? "counter" : "gauge")\n"
                if let help = Counters.help[sample.name] { text += "# HELP \(own) \(help)\n" }
            }
            var labels = sample.labels
            labels["profile"] = record.profile
            labels["size"] = record.size
            let pairs = labels.sorted { $0.key < $1.key }.map { $0.key + "=" + MetricLabel.quoted($0.value) }
            text += "\(sample.name){\(pairs.joined(separator: ","))} \(BenchText.number(sample.value)) \(unixSeconds)\n"
        }
        return text + "# EOF\n"
    }
}
