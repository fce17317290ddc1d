// LoadReport.swift - a load told to people, and as JSON. Figures and formulas are those of LoadRun.swift.

import StorageBytes
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

    /// An object with the machine and one object for each phase.
    public static func json(_ phases: [LoadPhase], memory: ResidentMemory?, machine: Provenance) -> String {
        var objects = [machineObject(machine)]
        objects += phases.map { phase in
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

    /// One table of a flood.
    public static func text(_ result: FloodResult, _ options: FloodOptions) -> String {
        func megabytes(_ bytes: some BinaryInteger) -> String { fixed(Double(Int64(bytes)) / 1e6, 1) }
        var text = "flood\n"
        text += line("connections", "\(options.connections), \(options.repetitions) after each other")
        text += line(
            "packets", "\(result.packets) of \(options.packetBytes) bytes, \(result.wireBytes) on the wire")
        text += line("rows", String(result.rows))
        text += line("seconds sending, settling", "\(fixed(result.seconds, 2)), \(fixed(result.settleSeconds, 2))")
        text += line("CPU of the node, seconds", fixed(result.nodeCPUSeconds, 2))
        text += line("byte budget, MB", megabytes(result.budgetBytes))
        text += line("accounted peak, MB", megabytes(result.accountedPeakBytes))
        text += line("resident before, MB", megabytes(result.baseBytes))
        text += line("resident peak, MB", megabytes(result.peakBytes))
        text += line("anonymous peak, MB", megabytes(result.anonymousPeakBytes))
        text += line("above the budget, MB", megabytes(result.aboveBudgetBytes))
        text += line(
            "resident later, MB", megabytes(result.idleBytes) + " after \(fixed(options.idleSeconds, 0)) s of rest")
        return text
    }

    /// The same as JSON.
    public static func json(_ result: FloodResult, _ options: FloodOptions) -> String {
        let fields = [
            "\"connections\": \(options.connections)", "\"repetitions\": \(options.repetitions)",
            "\"compressed\": \(options.compresses)", "\"packet_bytes\": \(options.packetBytes)",
            "\"packets\": \(result.packets)", "\"rows\": \(result.rows)", "\"wire_bytes\": \(result.wireBytes)",
            "\"seconds\": \(result.seconds)", "\"settle_seconds\": \(result.settleSeconds)",
            "\"node_cpu_seconds\": \(result.nodeCPUSeconds)", "\"budget_bytes\": \(result.budgetBytes)",
            "\"accounted_peak_bytes\": \(result.accountedPeakBytes)",
            "\"resident_before_bytes\": \(result.baseBytes)", "\"resident_peak_bytes\": \(result.peakBytes)",
            "\"anonymous_peak_bytes\": \(result.anonymousPeakBytes)",
            "\"above_budget_bytes\": \(result.aboveBudgetBytes)",
            "\"resident_idle_bytes\": \(result.idleBytes)", "\"idle_seconds\": \(options.idleSeconds)",
        ]
        return "{\n" + machineObject(Provenance.atStart()) + ",\n"
            + "  \"flood\": {\n    " + fields.joined(separator: ",\n    ") + "\n  }\n}\n"
    }

    private static func machineObject(_ machine: Provenance) -> String {
        func quoted(_ text: String) -> String { JSONText.quote(text) }
        let fields = [
            "\"cpu\": " + quoted(machine.cpu), "\"cores\": \(machine.cores)",
            "\"memory_bytes\": \(machine.memoryBytes)", "\"kernel\": " + quoted(machine.kernel),
            "\"toolchain\": " + quoted(machine.toolchain), "\"build\": " + quoted(machine.build),
            "\"commit\": " + quoted(machine.commit ?? "unknown"), "\"started_at\": " + quoted(machine.startedAt),
            "\"load_at_start\": \(machine.loadAtStart)",
        ]
        return "  \"machine\": {\n    " + fields.joined(separator: ",\n    ") + "\n  }"
    }

    /// Writes a report.
    public static func write(_ json: String, to path: String, _ files: any FileSystem) throws(HarnessError) {
        try HarnessError.wrapping("writing \(path)") { () throws(StorageError) in
            try files.writeAtomically(Array(json.utf8), to: path)
        }
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
        let machine = Provenance.atStart()
        let phases = try LoadRun(options: options, files: files, tell: tell).run(profile)
        var memory: ResidentMemory?
        if case .rpc(let address) = options.target { memory = NodeProbe(rpc: address, http: nil).memory }
        let json = LoadReport.json(phases, memory: memory, machine: machine)
        if let out = request.out { try LoadReport.write(json, to: out, files) }
        switch request.format {
        case .text: print(LoadReport.text(phases, options: options, memory: memory))
        case .json: print(json)
        }
    }
}
