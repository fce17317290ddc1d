// MicroTests.swift - the micro-benchmarks run, at a size that tests can afford, and notice wrong results.

import Testing

@testable import BenchHarness

extension ProcessWideTests {
    @Suite struct MicroTests {
        private static let options: MicroOptions = {
            var options = MicroOptions()
            options.repetitions = 2
            options.scale = 0.01
            return options
        }()

        @Test(arguments: [
            "sort", "memcpy", "zstd", "codec", "set", "lookup", "samples", "sample-merge", "sample-table",
        ])
        func benchmarksRun(name: String) throws {
            let results = try MicroRunner(MicroBenchmark.named(name), Self.options).run()
            #expect(!results.isEmpty)
            for result in results {
                #expect(result.benchmark == name && result.operations > 0 && result.repetitions == 2)
                #expect(result.nanosecondsMin <= result.nanosecondsMedian)
                #expect(result.digest.count == 16)
            }
            #expect(MicroReport.text(results).split(separator: "\n").count > results.count)
            #expect(MicroReport.json(results).hasPrefix("["))
        }

        @Test func theEngineSortsLikeTheLibrary() throws {
            let results = try MicroRunner(MicroBenchmark.named("sort"), Self.options).run()
            #expect(results.count == 6)
            for pair in stride(from: 0, to: 6, by: 2) { #expect(results[pair].digest == results[pair + 1].digest) }
        }

        @Test func casesCanBeChosen() throws {
            var options = Self.options
            options.only = "library"
            #expect(try MicroRunner(MicroBenchmark.named("sort"), options).run().count == 3)
            options.only = "nothing"
            let error = #expect(throws: HarnessError.self) {
                try MicroRunner(MicroBenchmark.named("sort"), options).run()
            }
            #expect(error?.status == .usage)
        }

        @Test func anUnknownNameIsAnsweredWithTheNames() {
            let error = #expect(throws: HarnessError.self) { try MicroBenchmark.named("sorting") }
            #expect(error?.status == .usage)
            #expect(
                error?.message.contains(
                    "codec, lookup, memcpy, merge, names, sample-merge, sample-table, samples, scan, seek, set, sort, zstd"
                )
                    == true)
        }

        private final class Fake: MicroCase {
            let name: String, unit = "step", group = "all", operations = 1
            private var values: [UInt64]
            init(_ name: String, _ values: [UInt64]) {
                self.name = name
                self.values = values
            }
            func run() {}
            func digest() -> UInt64 { values.count > 1 ? values.removeFirst() : values[0] }
        }

        @Test func resultsThatDifferAreAnError() {
            func run(_ cases: [[UInt64]]) throws(HarnessError) -> [MicroResult] {
                let benchmark = MicroBenchmark(name: "fake", summary: "") { _ in
                    cases.enumerated().map { Fake("case \($0.offset)", $0.element) }
                }
                return try MicroRunner(benchmark, Self.options).run()
            }
            #expect(throws: Never.self) { try run([[1], [1]]) }
            let repeated = #expect(throws: HarnessError.self) { try run([[1, 1, 2]]) }
            #expect(repeated?.status == .checkFailed)
            let different = #expect(throws: HarnessError.self) { try run([[1], [2]]) }
            #expect(different?.message == "fake: 'case 0' and 'case 1' give different results")
        }
    }
}
