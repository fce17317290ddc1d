// RunDriver.swift - the command `run`: from what the user typed to the run directory and the report.
//
// Mistakes are found before anything is written: first the profile, then the settings, then the directories. After
// that everything lies in temporary directories, which go away with any error and with Ctrl-C.

import Mergeset
import StorageFiles
import StorageRuntime
import Workloads

/// What `run` was asked for.
public struct RunRequest: Sendable {
    /// How the report is printed.
    public enum Format: String, Sendable, CaseIterable {
        /// For people.
        case text
        /// The contents of run.json.
        case json
    }

    /// Name of a profile, path of its file, or name of an item workload.
    public var profile = "k8s-pods"
    /// Size step.
    public var size = ProfileSize.m
    /// `key=value` settings of the profile or of the harness.
    public var settings: [String] = []
    /// Exposition file of the replay profile.
    public var replayFile: String?
    /// Directory of the profiles; nil looks for one.
    public var profiles: String?
    /// Directory to be made for the report; nil makes a name from profile and time.
    public var out: String?
    /// How the report is printed.
    public var format = Format.text
    /// Whether every figure is printed with its formula behind the report.
    public var explains = false
    /// Looks for the highest sustainable rate first, and runs at it; nil does not.
    public var rateSearch: RateSearchRequest?
    /// Everything else.
    public var options = RunOptions()

    /// The defaults.
    public init() {}
}

/// The command `run`.
public enum RunDriver {
    /// Runs and reports.
    ///
    /// - Parameters:
    ///   - files: Where table and report are written.
    ///   - print: Receives the report.
    ///   - style: How to tell what happens while it runs; nil takes what suits standard error.
    ///   - tell: Receives what is told.
    /// - Throws: What kept the run from finishing; nothing is left of it then. A check that has failed inside a run is
    ///   thrown, too, but after the report was written.
    public static func run(
        _ request: RunRequest, files: any FileSystem, print: (String) -> Void,
        style: StatusDisplay.Style? = nil, tell: @escaping @Sendable (String) -> Void = StatusDisplay.writeError
    ) throws(HarnessError) {
        let start = WallClock.nanoseconds
        let original = request
        var request = request
        let plan = try Plan(&request, files)
        try checkArrivals(request, plan)
        try checkSearches(request, plan)
        let out = request.out ?? defaultOut(plan.name, request.size)
        let directory = try RunDirectory(
            files: files, out: out, data: request.options.data, keepsData: request.options.keepsData)
        defer { directory.discard() }
        let provenance = Provenance.atStart()
        let status = StatusDisplay(
            style: style ?? .automatic(quiet: request.options.isQuiet), write: tell)
        status.show(StatusSnapshot(phase: "generate", done: 0, total: 0, unit: ""))
        let subject = try plan.generate(seed: request.options.seed, path: request.options.path)
        try Interrupt.check()

        var options = request.options
        var search: RateSearchRecord?
        if let wanted = request.rateSearch {
            search = try RateSearchRun(
                request: original, search: wanted, files: files, status: status, tablePath: directory.tablePath
            ).find()
            options.rowsPerSecond = search?.sustainedRowsPerSecond
            options.isRateFound = true
        }
        var outcome = try BenchRun(subject: subject, options: options, files: files, status: status)
            .run(tablePath: directory.tablePath, provenance: provenance, startNanoseconds: start)
        if let search { outcome.take(search) }
        let contents = try RunFiles.all(outcome)
        try Interrupt.check()
        try directory.publish(contents)
        switch request.format {
        case .text:
            print(Report.text(outcome.record))
            if let search { print("\n" + RunSections.text(search) + "\n") }
            if request.explains { print("\n" + Explanation.text(outcome.record)) }
            print("\nwritten to \(directory.outPath): \(contents.map(\.name).joined(separator: ", "))\n")
        case .json: print(String(decoding: outcome.record.json(), as: UTF8.self))
        }
        if let failure = outcome.failure { throw failure }
    }

    /// Rates are for rows in live mode.
    private static func checkArrivals(_ request: RunRequest, _ plan: Plan) throws(HarnessError) {
        let rate = request.options.rowsPerSecond == nil ? nil : "--rate"
        let option = request.rateSearch == nil ? rate : "--find-max-rate"
        guard let option else { return }
        guard case .series = plan, request.options.path == .rows else {
            throw HarnessError(.usage, "\(option) goes with profiles of rows and --path rows")
        }
        guard request.options.mode == .live else {
            throw HarnessError(.usage, "\(option) needs --mode live: a virtual clock has no rates")
        }
        if request.rateSearch != nil, request.options.rowsPerSecond != nil {
            throw HarnessError(.usage, "--find-max-rate looks for the rate; leave --rate out")
        }
    }

    /// Searches that are asked for have to be made.
    private static func checkSearches(_ request: RunRequest, _ plan: Plan) throws(HarnessError) {
        let options = request.options
        let given = ["search_rate", "search_series"].first { options.settings[$0] != nil }
        if options.searchesPerSecond == 0 {
            if options.searchSeries != nil {
                throw HarnessError(.usage, "--set search_series with search_rate=0: no search is made")
            }
            return
        }
        guard case .series(let profile) = plan else {
            if let given { throw HarnessError(.usage, "--set \(given) goes with profiles of rows") }
            return
        }
        guard options.searches(profile) != nil else {
            if options.searchSeries != nil {
                throw HarnessError(
                    .usage,
                    "--set search_series without a rate: \(profile.name) has no searches; add --set search_rate=20")
            }
            return
        }
        guard options.path == .rows else {
            // A profile with searches may be run on another path; what was given by hand would be ignored.
            guard let given else { return }
            throw HarnessError(
                .usage,
                "--set \(given) needs --path rows: there are no samples to search on --path \(options.path.rawValue)")
        }
        if options.knownRounds(profile) == 0 {
            throw HarnessError(
                .usage,
                "--set known_rounds=0 leaves out the searches, too: they run beside known rows; leave out one of them "
                    + "(--set search_rate=0)")
        }
    }

    /// `bench-out/k8s-pods-m-20260131-123456`; characters that do not suit a file name become `-`.
    static func defaultOut(_ name: String, _ size: ProfileSize) -> String {
        let stem = String(
            name.map { $0.isLetter && $0.isASCII || $0.isNumber && $0.isASCII || $0 == "-" ? $0 : "-" })
        return "bench-out/\(stem)-\(size.rawValue)-\(TextFormat.stamp(unixSeconds: WallClock.unixSeconds))"
    }

    /// What will be generated: checked, but not made yet.
    enum Plan {
        case series(Profile)
        case items(ItemWorkload, count: Int, ProfileSize)

        init(_ request: inout RunRequest, _ files: any FileSystem) throws(HarnessError) {
            var overrides: [String] = []
            var itemCount: Int?
            for setting in request.settings {
                guard let equals = setting.firstIndex(of: "="), equals != setting.startIndex else {
                    throw HarnessError(.usage, "--set \(setting): key=value is needed, for example --set series=50000")
                }
                let key = String(setting[..<equals])
                let value = String(setting[setting.index(after: equals)...])
                if try request.options.set(key, value) { continue }
                if key == "items" {
                    guard let count = Int(value), count > 0, count <= 1 << 31 else {
                        throw HarnessError(.usage, "--set items=\(value): a number of items is needed")
                    }
                    itemCount = count
                } else {
                    overrides.append(setting)
                }
                request.options.settings[key] = value
            }
            if let file = request.replayFile {
                guard request.profile == "replay" else {
                    throw HarnessError(
                        .usage, "--file goes with the profile replay: mergeset-bench run replay --file F")
                }
                overrides.append("page=" + file)
            } else if request.profile == "replay", !overrides.contains(where: { $0.hasPrefix("page=") }) {
                throw HarnessError(
                    .usage, "replay needs the page to be replayed: mergeset-bench run replay --file metrics.txt")
            }
            if let workload = try? ItemWorkload.named(request.profile) {
                if let first = overrides.first {
                    throw HarnessError(.usage, "--set \(first): a workload of items knows only items=N and table.*")
                }
                self = .items(
                    workload, count: itemCount ?? RunSubject.itemCount(request.size, of: workload), request.size)
                return
            }
            if itemCount != nil {
                throw HarnessError(.usage, "--set items=N goes with item workloads; profiles take --set series=N")
            }
            let profile = try ProfileLoader.load(
                request.profile, given: request.profiles, size: request.size, overrides: overrides, files)
            self = .series(profile)
            // The table of an index unites tag rows; tables of opaque items do not.
            if request.options.settings["table.tag_row_merging"] == nil {
                request.options.table.tagRowMerging = .streaming
            }
        }

        var name: String {
            switch self {
            case .series(let profile): profile.name
            case .items(let workload, _, _): workload.name
            }
        }

        func generate(seed: UInt64, path: RunPath) throws(HarnessError) -> RunSubject {
            switch self {
            case .series(let profile): try RunSubject.series(of: profile, seed: seed, path: path)
            case .items(let workload, let count, let size):
                RunSubject.items(of: workload, count: count, size: size, seed: seed)
            }
        }
    }
}

/// Loads profiles with errors for the user.
public enum ProfileLoader {
    /// The profile of a name or path.
    ///
    /// - Throws: `.badInput` for an unknown name or a file that does not parse, with the place and what is expected.
    public static func load(
        _ name: String, given: String?, size: ProfileSize, overrides: [String], _ files: any FileSystem
    ) throws(HarnessError) -> Profile {
        let directory = try ProfileDirectory.find(given: given, files)
        do { return try Profile.load(name, directory: directory, size: size, overrides: overrides) } catch {
            let workloads = ItemWorkload.Kind.allCases.map(\.rawValue).joined(separator: ", ")
            // A page that a profile names may be missing, too.
            guard error.kind == .notFound, error.message.hasPrefix("unknown profile"), !name.contains("/") else {
                throw HarnessError(.badInput, error.description)
            }
            throw HarnessError(.badInput, error.description + "; workloads of items: \(workloads)")
        }
    }
}
