// MeasuredProgram.swift - runs a program under test the way the gate needs it: a copy of its own, a fixed relative path, an
// environment of four variables, deterministic mode.
//
// What is pinned, and why it matters (docs/format/bench-harness.md, 5): a bigger environment moves the stack (15 ppm of
// the instructions), hashing with random seeds moves 0.2 %, another allocator 2 %. GLIBC_TUNABLES and MALLOC_CONF are
// pinned by being absent, but for counted instructions: there the allocator must not look at the clock, by which it gives pages
// back, nor have a thread of its own. valgrind gets a copy without debug information, which some of its versions cannot read.

import FoundationEssentials
import Glibc
import StorageBytes
import StorageFiles
import StorageRuntime

/// A program under test.
struct MeasuredProgram {
    /// Name of the side: `base`, `cand` or `ctrl`.
    let side: String
    private let directory: String
    private let profiles: String
    private let environment: [String: String]
    private let files: any FileSystem

    /// Copies the program into the work area.
    ///
    /// - Parameters:
    ///   - profiles: Absolute path of the directory of profiles.
    ///   - variables: Added to the environment of its runs.
    init(
        _ side: String, program: String, profiles: String, variables: [String: String] = [:], in area: WorkArea
    ) throws(HarnessError) {
        self.side = side
        self.profiles = profiles
        files = area.files
        directory = try area.directory(side)
        environment = Subprocess.cleanEnvironment.merging(variables) { _, new in new }
        let copy = Subprocess(
            program: "cp", arguments: ["--", program, directory + "/program"], errors: directory + "/errors")
        try copy.runOrFail("copying \(program)", .badInput, files)
    }

    // MARK: runs

    /// How a run has ended.
    enum Outcome {
        /// With a record.
        case record(RunRecord)
        /// The program says that the engine gave a wrong answer, or a signal has ended it.
        case wrong(String)
    }

    /// Runs a profile.
    ///
    /// - Parameter arguments: Those of `run` behind the profile.
    /// - Throws: When there is no verdict about the engine: wrong settings, a full disk, an interrupt.
    func run(_ profile: String, _ arguments: [String]) throws(HarnessError) -> Outcome {
        try removeRun()
        defer { try? removeRun() }
        let process = subprocess("./program", ["run", profile] + common + arguments)
        return try outcome(of: try process.run(), profile)
    }

    /// Instructions of a region of a profile, by callgrind, and of how many units.
    func instructions(
        _ region: GatePlan.Region, _ plan: GatePlan.Case
    ) throws(HarnessError) -> (total: UInt64, units: Double) {
        try makePlainCopy()
        var arguments = ["--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=callgrind.out", "./plain"]
        switch region {
        case .new, .known:
            arguments +=
                ["run", plan.profile] + common + ["--size", "s", "--mode", "deterministic", "--no-force-merge"]
            arguments += ["--profile-region", region.rawValue]
            arguments += GateSettings.deterministic + plan.settings.flatMap { ["--set", $0] }
            arguments += (plan.counting ?? []).flatMap { ["--set", $0] }
            arguments += ["--set", "seeks=100", "--set", "read_back=10"]
            arguments += ["--set", region == .new ? "known_rounds=0" : "known_rounds=12"]
        case .merge:
            arguments += ["micro", "merge", "--only", "streaming", "--repetitions", "1", "--scale", "0.2"]
            arguments += ["--format", "json"]
        }
        try removeRun()
        defer {
            try? removeRun()
            try? files.removeAll(directory + "/callgrind.out")
        }
        var counted = subprocess("valgrind", arguments)
        counted.environment["MALLOC_CONF"] = "background_thread:false,dirty_decay_ms:-1,muzzy_decay_ms:-1"
        let ending = try counted.run()
        let total = try total()
        guard ending.exitCode == 0, let total else {
            throw HarnessError(
                .inputOutput,
                "callgrind of \(plan.name), region \(region.rawValue), has failed: " + (lastError ?? "no totals"))
        }
        guard total > 0 else {
            throw HarnessError(
                .unavailable,
                "the program was built without valgrind/callgrind.h and cannot mark a region; install valgrind and build anew"
            )
        }
        return (total, try units(region, plan))
    }

    private func units(_ region: GatePlan.Region, _ plan: GatePlan.Case) throws(HarnessError) -> Double {
        let units: Double?
        switch region {
        case .new, .known:
            let record = try RunReader.record(directory + "/run", files)
            let series = Double(record.observed.activeSeries ?? record.observed.series)
            units = region == .new ? series : record.figure("known_rows")
        case .merge: units = mergedItems()
        }
        guard let units, units > 0 else {
            throw HarnessError(.badInput, "\(plan.name): the region \(region.rawValue) has no units")
        }
        return units
    }

    private func mergedItems() -> Double? {
        guard let bytes = try? TextFile.bytes(directory + "/output", files),
            let results = try? MicroReport.decode(bytes), let result = results.first
        else { return nil }
        return result.counts["items_before"].map { Double($0) }
    }

    // MARK: steps

    // The data directory is named: that under the run directory has the number of the process in its path, and the length
    // of a path decides about an allocation now and then.
    private var common: [String] { ["--quiet", "--out", "run", "--data", "data", "--profiles", profiles] }

    private func subprocess(_ program: String, _ arguments: [String]) -> Subprocess {
        Subprocess(
            program: program == "./program" ? directory + "/program" : program, arguments: arguments,
            environment: environment, directory: directory, output: directory + "/output",
            errors: directory + "/errors")
    }

    private func outcome(of ending: Subprocess.Ending, _ profile: String) throws(HarnessError) -> Outcome {
        if ending.exitCode == 0 {
            guard RunReader.isDirectory(directory + "/run", files) else {
                throw HarnessError(.badInput, "the program of \(side) leaves no run behind; is it a mergeset-bench?")
            }
            return .record(try RunReader.record(directory + "/run", files))
        }
        let reason = lastError ?? "exit code \(ending.exitCode)"
        if ending.exitCode == ExitStatus.checkFailed.rawValue { return .wrong(reason) }
        if ending.exitCode > 128, ending.exitCode != ExitStatus.interrupted.rawValue {
            return .wrong("ended by signal \(ending.exitCode - 128)")
        }
        throw HarnessError(
            ExitStatus(rawValue: ending.exitCode) ?? .inputOutput,
            "the run of \(profile) (\(side)) has failed: \(reason)")
    }

    private var lastError: String? {
        guard var line = Subprocess.lastLine(of: directory + "/errors", files) else { return nil }
        if line.hasPrefix("mergeset-bench: ") { line.removeFirst("mergeset-bench: ".count) }
        return line
    }

    private func makePlainCopy() throws(HarnessError) {
        if (try? files.kind(of: directory + "/plain")) == .file { return }
        let copy = Subprocess(
            program: "objcopy", arguments: ["--strip-debug", directory + "/program", directory + "/plain"],
            errors: directory + "/errors")
        try copy.runOrFail("removing debug information", .inputOutput, files)
    }

    /// The sum that callgrind wrote.
    private func total() throws(HarnessError) -> UInt64? {
        guard let text = try? TextFile.read(directory + "/callgrind.out", files) else { return nil }
        for line in text.split(separator: "\n").reversed() where line.hasPrefix("totals: ") {
            return UInt64(line.dropFirst("totals: ".count))
        }
        return nil
    }

    private func removeRun() throws(HarnessError) {
        do throws(StorageError) {
            try files.removeAll(directory + "/run")
            try files.removeAll(directory + "/data")
        } catch { throw HarnessError(error, while: "removing a run") }
    }
}

/// Settings of the runs of the gate.
enum GateSettings {
    /// Added to every deterministic run: as many shards on every machine, and nothing that takes time and shows nothing.
    static let deterministic = ["--set", "yardsticks=false", "--set", "table.shards=2"]
}

/// What besides the program decides about exact figures and instructions of this machine.
public struct MeasuringEnvironment: Sendable, Equatable, Codable {
    /// Libraries that the program runs with.
    public var libraries: String
    /// What the processor offers to code that asks for it, as far as valgrind passes it on.
    public var instructionSet: String

    /// Those of this process.
    public static func now() -> MeasuringEnvironment {
        var set = "unknown"
        ProcFile.withContents("/proc/cpuinfo") { text in
            let words = String(decoding: text, as: UTF8.self).split { $0 == " " || $0 == "\n" || $0 == "\t" }
            // Makers matter: the C library chooses its copying loops by them.
            let maker = words.firstIndex(of: "vendor_id").flatMap { words.dropFirst($0 + 2).first } ?? "any"
            let best = ["avx2", "sse4_2", "asimd"].first { words.contains(Substring($0)) } ?? "baseline"
            set = "\(maker) \(best)"
        }
        return MeasuringEnvironment(
            libraries: "\(libraryC), zstd \(Zstd.libraryVersion)",
            instructionSet: set)
    }

    /// `glibc 2.36`.
    private static var libraryC: String {
        var text = [CChar](repeating: 0, count: 64)
        let count = confstr(Int32(_CS_GNU_LIBC_VERSION), &text, text.count)
        return count > 1
            ? String(decoding: text.prefix(count - 1).map { UInt8(bitPattern: $0) }, as: UTF8.self) : "libc"
    }

    /// Version of valgrind: `valgrind-3.19.0`.
    ///
    /// - Throws: `.unavailable` when it is not installed.
    static func valgrindVersion(in area: WorkArea) throws(HarnessError) -> String {
        let output = area.path + "/valgrind-version"
        do throws(HarnessError) {
            try Subprocess(program: "valgrind", arguments: ["--version"], output: output)
                .runOrFail("asking valgrind for its version", .unavailable, area.files)
        } catch {
            guard error.status == .unavailable else { throw error }
            throw HarnessError(
                .unavailable,
                "T2 counts instructions with valgrind, which is not installed (Debian: apt-get install valgrind); "
                    + "or leave the tier out: --tiers t0,t1")
        }
        return Subprocess.lastLine(of: output, area.files) ?? "valgrind"
    }
}
