// MicroBenchmark.swift - small benchmarks of one operation each, and what runs them.
//
// A benchmark offers cases. The runner takes them in turn, repetition by repetition, so that a change of the machine's
// load meets all of them alike; it prints the minimum and the median. Preparing is outside of the clock. After each
// repetition the case gives a digest of its result: it has to be the same every time, and the same in all cases of one
// group, so that faster cannot mean different.
//
// Under valgrind the measured regions alone are counted (callgrind --instr-atstart=no): of several, the last one, so a
// profile is taken of one case and one repetition. Elsewhere these calls do nothing.

import StorageRuntime

/// One way of doing one operation many times. Driven by one thread.
public protocol MicroCase: AnyObject {
    /// What it does, in a few words: `engine, runs of 860`.
    var name: String { get }
    /// What an operation is: `item`, `seek`, `block`.
    var unit: String { get }
    /// Operations of one repetition.
    var operations: Int { get }
    /// Cases of one group must give equal digests.
    var group: String { get }
    /// The row of the budget that it is measured against; nil when there is none.
    var budget: String? { get }
    /// Exact counts of the last repetition, beside its allocations.
    var counts: [(name: String, value: UInt64)] { get }
    /// Sets the scene; not measured.
    func prepare() throws(HarnessError)
    /// The measured region.
    func run() throws(HarnessError)
    /// Digest of what ``run()`` has made.
    func digest() -> UInt64
}

extension MicroCase {
    public var budget: String? { nil }
    public var counts: [(name: String, value: UInt64)] { [] }
    public func prepare() throws(HarnessError) {}
}

/// Settings of a micro-benchmark.
public struct MicroOptions: Sendable {
    /// Repetitions of every case.
    public var repetitions = 7
    /// Root seed.
    public var seed: UInt64 = 42
    /// Scale of the input: 1 is what the budgets are about; tests take less.
    public var scale = 1.0
    /// Only cases whose name contains this are run; nil runs all.
    public var only: String?
    /// Directory in which benchmarks that need a table may put one, under a name of their own.
    public var directory = "."

    /// The defaults.
    public init() {}

    /// `count` times the scale, at least 1.
    func scaled(_ count: Int) -> Int { max(1, Int(Double(count) * scale)) }
}

/// An entry of the registry.
public struct MicroBenchmark: Sendable {
    /// Name on the command line.
    public let name: String
    /// What it measures, one line.
    public let summary: String
    let make: @Sendable (MicroOptions) throws(HarnessError) -> [any MicroCase]

    /// All benchmarks, by name.
    public static let all: [MicroBenchmark] = [
        MicroBenchmark(
            name: "codec", summary: "encode and decode a block of 1000 short items, zstd left out (B12)",
            make: CodecCase.cases),
        MicroBenchmark(
            name: "lookup", summary: "names of 1 M series to their ids, by fingerprint and by full name (B5, B14)",
            make: LookupCase.cases),
        MicroBenchmark(name: "memcpy", summary: "copy 64 MiB, the memory's own speed", make: MemcpyCase.cases),
        MicroBenchmark(
            name: "merge", summary: "merge four parts of 100 k index-shaped items into one", make: MergeCase.cases),
        MicroBenchmark(
            name: "names", summary: "look up long names, known and new ones, in a warm table of 14 parts",
            make: NameSeekCase.cases),
        MicroBenchmark(
            name: "sample-merge",
            summary: "merge parts of samples: overlapping blocks, blocks that are copied, fresh rows (B17)",
            make: SampleMergeCase.cases),
        MicroBenchmark(
            name: "sample-table",
            summary: "rows through a table of samples: add, flush, merge, read back (share of B6, B7)",
            make: SampleTableCase.cases),
        MicroBenchmark(
            name: "samples",
            summary:
                "encode and decode blocks of 8192 samples, zstd left out (B18); floats to integers; rows to blocks",
            make: SampleInput.cases),
        MicroBenchmark(
            name: "scan", summary: "pass over 1 M items of a warm table (B11)", make: ScanCase.cases),
        MicroBenchmark(
            name: "seek", summary: "exact seeks in 1 M items of a warm table, random keys (B10)", make: SeekCase.cases),
        MicroBenchmark(
            name: "set",
            summary: "sets of metric ids, 1 M dense and 100 k sparse: ours, a sorted array, the library's Set",
            make: SetInput.cases),
        MicroBenchmark(
            name: "sort", summary: "sort runs of 860, 10 k and 100 k index-shaped items, ours and the library's (B9)",
            make: SortCase.cases),
        MicroBenchmark(
            name: "zstd", summary: "compress and decompress blocks of 64 KiB of sorted items", make: ZstdCase.cases),
    ]

    /// The benchmark of a name.
    ///
    /// - Throws: `.usage` with the names there are.
    public static func named(_ name: String) throws(HarnessError) -> MicroBenchmark {
        guard let found = all.first(where: { $0.name == name }) else {
            throw HarnessError(
                .usage,
                "unknown micro-benchmark '\(name)'; there are \(all.map(\.name).joined(separator: ", "))")
        }
        return found
    }
}

/// What was measured of a case.
public struct MicroResult: Sendable, Equatable, Codable {
    /// Benchmark and case.
    public var benchmark: String, name: String
    /// What an operation is, and how many of them a repetition has.
    public var unit: String, operations: Int
    /// Repetitions measured.
    public var repetitions: Int
    /// Nanoseconds an operation: best and middle repetition, wall clock.
    public var nanosecondsMin: Double, nanosecondsMedian: Double
    /// Exact counts of a repetition: allocations, and what the case itself counts.
    public var counts: [String: UInt64]
    /// Digest of the result, 16 hex digits.
    public var digest: String
    /// The row of the budget it is measured against.
    public var budget: String?
}

/// Runs cases.
public struct MicroRunner {
    private let benchmark: MicroBenchmark
    private let options: MicroOptions

    /// A runner of one benchmark.
    public init(_ benchmark: MicroBenchmark, _ options: MicroOptions) {
        self.benchmark = benchmark
        self.options = options
    }

    /// Runs all cases, interleaved.
    ///
    /// - Throws: `.checkFailed` when digests differ; `.interrupted`; what the cases throw.
    public func run() throws(HarnessError) -> [MicroResult] {
        var cases = try benchmark.make(options)
        if let only = options.only {
            let names = cases.map(\.name)
            cases.removeAll { !$0.name.contains(only) }
            if cases.isEmpty {
                throw HarnessError(
                    .usage,
                    "no case of \(benchmark.name) contains '\(only)'; there are \(names.joined(separator: "; "))")
            }
        }
        var times = [[Double]](repeating: [], count: cases.count)
        var allocations = [UInt64](repeating: .max, count: cases.count)
        var digests = [UInt64?](repeating: nil, count: cases.count)
        // One round more than asked for: the first warms caches and grows buffers.
        for round in 0...options.repetitions {
            for (index, one) in cases.enumerated() {
                try Interrupt.check()
                try one.prepare()
                let allocationsBefore = HeapStatistics.allocationCount()
                if round > 0 { Callgrind.start() }
                let start = WallClock.nanoseconds
                try one.run()
                let nanoseconds = Double(WallClock.nanoseconds &- start)
                if round > 0 { Callgrind.stop() }
                let made = HeapStatistics.allocationCount() &- allocationsBefore
                let digest = one.digest()
                if let known = digests[index], known != digest {
                    throw HarnessError(
                        .checkFailed, "\(benchmark.name), \(one.name): a repetition gave another result")
                }
                digests[index] = digest
                if round > 0 {
                    times[index].append(nanoseconds / Double(max(1, one.operations)))
                    allocations[index] = min(allocations[index], made)
                }
            }
        }
        try checkGroups(cases, digests)
        return cases.indices.map { index in
            let statistics = Statistics(times[index])
            var counts = ["allocations": allocations[index]]
            for (name, value) in cases[index].counts { counts[name] = value }
            return MicroResult(
                benchmark: benchmark.name, name: cases[index].name, unit: cases[index].unit,
                operations: cases[index].operations, repetitions: options.repetitions, nanosecondsMin: statistics.min,
                nanosecondsMedian: statistics.median, counts: counts, digest: HexText.digits(digests[index] ?? 0),
                budget: cases[index].budget)
        }
    }

    private func checkGroups(_ cases: [any MicroCase], _ digests: [UInt64?]) throws(HarnessError) {
        for (index, one) in cases.enumerated() {
            guard let first = cases.firstIndex(where: { $0.group == one.group }), digests[first] != digests[index]
            else {
                continue
            }
            throw HarnessError(
                .checkFailed, "\(benchmark.name): '\(cases[first].name)' and '\(one.name)' give different results")
        }
    }
}
