// NodePages.swift - the texts of /metrics and /flags (docs/format/vmstorage-process.md, 2.3 and 6.1).
//
// Order of the metrics: everything registered, by the bytes of name and labels; the process; the application; the flags.
//
// Threads: any.

import NodeSupport
import StorageBytes
import StorageEngine
import StorageRuntime

enum NodePages {
    /// Lines of `/flags`: flags that were set, by name.
    static func flags(_ flags: FlagValues) -> String {
        FlagTable.all.filter { flags.explicit[$0.name] != nil }
            .map { "-\($0.name)=\(QuotedText.quote(flags.shown($0)))\n" }.joined()
    }

    /// The page of metrics.
    static func metrics(
        registered: [NodeMetric], process: [NodeMetric], application: [NodeMetric], flags: FlagValues
    ) -> String {
        var text = ""
        func add(_ metrics: [NodeMetric]) {
            for metric in metrics { text += metric.series + " " + metric.valueText + "\n" }
        }
        add(
            registered.map { ($0.series.utf8, $0) }.sorted { $0.0.lexicographicallyPrecedes($1.0) }.map(\.1))
        add(process)
        add(application)
        for flag in FlagTable.all {
            let isSet = flags.explicit[flag.name] != nil
            text +=
                "flag{name=\(MetricLabel.quoted(flag.name)), value=\(MetricLabel.quoted(flags.shown(flag))), "
                + "is_set=\"\(isSet)\"} 1\n"
        }
        return text
    }

    /// The lines of the engine in the notation of this page.
    static func lines(of engine: StorageEngine, path: String) -> [NodeMetric] {
        engine.metricLines.map { line in
            let labels = line.labels.map { label in
                // The path is shown as it was given.
                label.key + "=" + MetricLabel.quoted(label.key == "path" ? path : label.value)
            }
            let series = labels.isEmpty ? line.name : line.name + "{" + labels.joined(separator: ", ") + "}"
            return NodeMetric(series, line.value)
        }
    }
}
