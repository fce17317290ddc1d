// LoadReport.swift - a load told to people, and as JSON. Figures and formulas are those of LoadRun.swift.

import StorageFiles
import StorageRuntime
import Workloads

/// Texts of a load.
public enum LoadReport {
    /// One table.
    public static func text(_ phases: [LoadPhase], options: LoadOptions, memory: ResidentMemory?) -> String {
        var text = ""
        for phase in phases {
            let rows = Double(max(1, phase.rows))
            text += "\(phase.name)\n"
            text += line("rows", "\(phase.rows) in \(phase.packets) packets")
            text += line("rows a second", String(Int((rows / phase.seconds).rounded())))
            if let cpu = phase.nodeCPUSeconds { text += line("CPU of the node, us a row", fixed(cpu * 1e6 / rows, 3)) }
            if phase.clientCPUSeconds > 0 {
                text += line("CPU of the client, us a row", fixed(phase.clientCPUSeconds * 1e6 / rows, 3))
            }
            if phase.bytes > 0 { text += line("bytes on the wire a row", fixed(Double(phase.bytes) / rows, 1)) }
            text += line("ms from intended start", percentiles(phase.latencyMs))
            text += line("ms from sending", percentiles(phase.serviceMs))
            text += line("seconds sending, settling", "\(fixed(phase.seconds, 2)), \(fixed(phase.settleSeconds, 2))")
            if let added = phase.rowsAdded { text += line("rows the node has added", String(added)) }
        }
        if let memory {
            text += line(
                "memory of the node, MB", "\(memory.bytes / 1_000_000), at most \(memory.peakBytes / 1_000_000)")
        }
        return text
    }

    /// An object with one object for each phase.
    public static func json(_ phases: [LoadPhase], memory: ResidentMemory?) -> String {
        var objects = phases.map { phase in
            let rows = Double(max(1, phase.rows))
            var fields = [
                "\"rows\": \(phase.rows)", "\"packets\": \(phase.packets)", "\"bytes\": \(phase.bytes)",
                "\"seconds\": \(phase.seconds)", "\"settle_seconds\": \(phase.settleSeconds)",
                "\"rows_per_second\": \(rows / phase.seconds)",
                "\"client_cpu_us_per_row\": \(phase.clientCPUSeconds * 1e6 / rows)",
            ]
            if let cpu = phase.nodeCPUSeconds { fields.append("\"node_cpu_us_per_row\": \(cpu * 1e6 / rows)") }
            if let added = phase.rowsAdded { fields.append("\"rows_added\": \(added)") }
            for (name, values) in [("latency_ms", phase.latencyMs), ("service_ms", phase.serviceMs)] {
                for (label, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
                    fields.append("\"\(name)_\(label)\": \(values.percentile(share))")
                }
                fields.append("\"\(name)_max\": \(values.max)")
            }
            return "  \"\(phase.name)\": {\n    " + fields.joined(separator: ",\n    ") + "\n  }"
        }
        if let memory {
            objects.append(
                "  \"node_memory\": {\n    \"resident_bytes\": \(memory.bytes),\n    \"peak_bytes\": \(memory.peakBytes)\n  }"
            )
        }
        return "{\n" + objects.joined(separator: ",\n") + "\n}\n"
    }

    private static func percentiles(_ values: Statistics) -> String {
        "p50 \(fixed(values.median, 2))  p99 \(fixed(values.percentile(0.99), 2))  p99.9 "
            + "\(fixed(values.percentile(0.999), 2))  max \(fixed(values.max, 2))  (n = \(values.count))"
    }

    private static func line(_ name: String, _ value: String) -> String {
        "  " + name + String(repeating: " ", count: max(1, 28 - name.count)) + value + "\n"
    }

    private static func fixed(_ value: Double, _ decimals: Int) -> String { TextFormat.fixed(value, decimals) }
}

/// The command `run --target`.
public enum LoadDriver {
    /// Runs a load and reports it.
    ///
    /// - Parameters:
    ///   - request: Profile, size, settings and format of the report; with `out`, the JSON is written there, too.
    ///   - print: Receives the report.
    public static func run(
        _ request: RunRequest, _ options: LoadOptions, files: any FileSystem, print: (String) -> Void,
        tell: @escaping @Sendable (String) -> Void
    ) throws(HarnessError) {
        let profile = try ProfileLoader.load(
            request.profile, given: request.profiles, size: request.size, overrides: request.settings, files)
        let phases = try LoadRun(options: options, files: files, tell: tell).run(profile)
        var memory: ResidentMemory?
        if case .rpc(let address) = options.target { memory = NodeProbe(rpc: address, http: nil).memory }
        let json = LoadReport.json(phases, memory: memory)
        if let out = request.out {
            try HarnessError.wrapping("writing \(out)") { () throws(StorageError) in
                try files.writeAtomically(Array(json.utf8), to: out)
            }
        }
        switch request.format {
        case .text: print(LoadReport.text(phases, options: options, memory: memory))
        case .json: print(json)
        }
    }
}
