// RunFiles.swift - all files of a run directory, made from the stored data of a run.

import Workloads

/// The files of a run directory.
enum RunFiles {
    /// What a finished run writes: run.json, intervals.csv and everything that is rendered from the two. The rendered files
    /// are made from the bytes of the stored ones, so that rendering again gives the same.
    static func all(_ outcome: RunOutcome) throws(HarnessError) -> [(name: String, bytes: [UInt8])] {
        let json = outcome.record.json()
        let csv = IntervalRecord.csv(outcome.intervals)
        let stored = RunData(
            name: outcome.record.profile, record: try RunRecord(json: json), intervals: try IntervalRecord.parse(csv))
        return [("run.json", json), ("intervals.csv", csv)] + rendered(stored)
    }

    /// What can be rendered again.
    static func rendered(_ run: RunData) -> [(name: String, bytes: [UInt8])] {
        let record = run.record
        let start = (TimeText.parseMoment(record.provenance.startedAt) ?? 0) / 1000
        var files = [
            ("report.html", HTMLReport.page([run])), ("summary.md", Summary.markdown(record)),
            ("bench.txt", BenchText.text([record])), ("junit.xml", JUnitReport.text(record)),
        ]
        if record.counters != nil {
            let end = start + Int64(record.provenance.durationSeconds)
            files.append(("metrics.prom", OpenMetrics.text(record, unixSeconds: end)))
        }
        if let latency = record.latency, !latency.isEmpty {
            files.append(("latency.hgrm", LatencyFiles.hgrm(latency)))
            files.append(("latency.hlog", LatencyFiles.hlog(latency, unixSeconds: start)))
        }
        return files.map { ($0.0, Array($0.1.utf8)) }
    }
}
