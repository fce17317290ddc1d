// RowRunTests.swift - whole runs of rows through the engine, tiny, through the same entry as the command line.

import Foundation
import StorageFiles
import StorageRuntime
import Testing
import Workloads

@testable import BenchHarness

extension ProcessWideTests {
    @Suite struct RowRunTests {
        private static func request(_ profile: String, _ settings: [String]) -> RunRequest {
            var request = EndToEndTests.request(["known_rounds=2"] + settings)
            request.options.path = .rows
            request.profile = profile
            return request
        }

        private static func run(_ profile: String, _ settings: [String]) throws -> RunRecord {
            try EndToEndTests.withDirectory { (directory) throws in
                var request = request(profile, settings)
                request.out = directory + "/run"
                return try EndToEndTests.run(request)
            }
        }

        @Test func twoDeterministicRunsAreEqual() throws {
            try EndToEndTests.withDirectory { (directory) throws in
                var records: [RunRecord] = []
                for name in ["a", "b"] {
                    var request = Self.request("k8s-pods", ["series=960", "rounds=4", "new_day=true"])
                    request.out = directory + "/" + name
                    request.options.keepsData = true
                    request.options.forcesMerge = true
                    records.append(try EndToEndTests.run(request))
                }
                let (a, b) = (records[0], records[1])
                #expect(a.observed == b.observed)
                #expect(Set(a.figures.keys) == Set(b.figures.keys))
                for (name, figure) in a.figures where figure.kind == .exact && !name.hasPrefix("allocations") {
                    #expect(figure.value == b.figures[name]?.value, "\(name)")
                }
                #expect(a.figure("cpu_us_per_new_series") != nil && a.figure("cpu_us_per_new_day_row") != nil)
                let files = try EndToEndTests.contents(directory + "/a/data/table")
                #expect(files.count > 5)
                #expect(try EndToEndTests.contents(directory + "/b/data/table") == files)
            }
        }

        @Test func knownRowsTakeTheFastPath() throws {
            let record = try Self.run("rows-short", ["series=300", "rounds=4"])
            #expect(record.observed.kind == "rows" && record.observed.rows == 1200)
            #expect(record.figure("new_series") == 300 && record.figure("slow_row_inserts") == 300)
            #expect(record.figure("known_rows") == 600 && record.figure("cpu_us_per_known_row") != nil)
            #expect(record.figure("tsid_cache_hit_ratio") == 1 && record.figure("tsid_cache_requests") == 900)
            #expect(record.figure("hour_metric_ids_hit_ratio") == 1)
            let rounds = try #require(record.rounds)
            #expect(rounds.map(\.rows).reduce(0, +) == 900 && rounds.allSatisfy { $0.slowRows == 0 })
            #expect(record.alerts?.map(\.verdict) == ["PASS", "PASS", "PASS"])
        }

        @Test(arguments: [1, 3])
        func liveRunsFindEverythingAgain(threads: Int) throws {
            try EndToEndTests.withDirectory { (directory) throws in
                var request = Self.request(
                    "churn-storm", ["series=960", "rounds=6", "row_order=shuffled", "batch_rows=100"])
                request.out = directory + "/run"
                request.options.mode = .live
                request.options.threads = threads
                let record = try EndToEndTests.run(request)
                #expect(record.observed.readBackMissing == 0 && record.observed.readBackSeries == 62)
                #expect(record.figure("seeks_found_ratio") == 1)
                #expect(record.figure("new_series") == Double(record.observed.series))
                #expect(record.alerts?.count == 3)
            }
        }

        @Test func anOpenLoopHasBothLatenciesAndFiles() throws {
            try EndToEndTests.withDirectory { (directory) throws in
                var request = Self.request("rows-short", ["series=300", "rounds=40", "batch_rows=100"])
                request.out = directory + "/run"
                request.options.mode = .live
                request.options.threads = 2
                request.options.rowsPerSecond = 200_000
                let record = try EndToEndTests.run(request)
                let latency = try #require(record.latency)
                #expect(
                    latency.map(\.tag) == [
                        "new-actual", "rounds-intended", "rounds-actual", "known-intended", "known-actual",
                    ])
                #expect(latency.map(\.count) == [3, 117, 117, 6, 6])
                #expect(
                    record.figure("later_insert_blocks") == 117 && record.figure("offered_rows_per_second") == 200_000)
                #expect(
                    record.figure("new_insert_p99_us") != nil && record.figure("later_insert_intended_p99_us") != nil)
                // 11,700 rows at 200,000 a second are due over 58 ms.
                #expect((record.figure("later_rows_per_second") ?? .infinity) < 210_000)
                #expect(record.shape?.allSatisfy { $0.isWithin != false } == true)
                let names = try EndToEndTests.names(directory + "/run")
                #expect(names.contains("latency.hgrm") && names.contains("latency.hlog"))
                #expect((record.parts ?? []).contains { $0.isFlush })
                #expect(record.counters?.first { $0.name == "vm_new_timeseries_created_total" }?.value == 300)
                #expect(record.figure("harness_overhead_ratio") != nil)
            }
        }

        @Test func theHighestRateIsLookedFor() throws {
            try EndToEndTests.withDirectory { (directory) throws in
                var request = Self.request("rows-short", ["series=300", "batch_rows=100"])
                request.out = directory + "/run"
                request.options.mode = .live
                request.options.threads = 1
                request.rateSearch = RateSearchRequest()
                request.rateSearch?.trialSeconds = 0.02
                let record = try EndToEndTests.run(request)
                let search = try #require(record.rateSearch)
                #expect(search.trials.count >= 3 && search.trials[0].rowsPerSecond == nil)
                #expect(record.figure("max_sustainable_rows_per_second") == search.sustainedRowsPerSecond)
                #expect(try EndToEndTests.names(directory) == ["run"])
                var wrong = request
                wrong.out = directory + "/other"
                wrong.options.mode = .deterministic
                let error = #expect(throws: HarnessError.self) { try EndToEndTests.run(wrong) }
                #expect(error?.status == .usage)
            }
        }

        @Test func midnightAndRotationPassInsideARun() throws {
            let record = try Self.run("midnight-rotation", ["series=600"])
            #expect(record.figure("index_rotations") == 1 && record.figure("series_carried_over") == 600)
            #expect(record.figure("slow_inserts_rotation") == 600)
            #expect((record.figure("next_day_prefills") ?? 0) > 550)
            let rounds = try #require(record.rounds)
            #expect(rounds.count == 11 && rounds[5].time == "2022-01-02T00:00:00Z")
            #expect(rounds[8].time == "2022-01-02T00:15:00Z" && rounds[8].slowRotation == 600)
        }

        @Test func aNewDayIsMeasuredWhenAskedFor() throws {
            let record = try Self.run("rows-short", ["series=300", "rounds=2", "new_day=true"])
            let asked = try #require(record.figure("new_day_rows"))
            #expect(asked > 290 && asked <= 300)
            #expect(try Self.run("rows-short", ["series=300", "rounds=2"]).figure("new_day_rows") == nil)
        }

        @Test func samplesAreStoredAndReadBack() throws {
            let record = try EndToEndTests.withDirectory { (directory) throws in
                var request = Self.request("k8s-pods", ["series=960", "rounds=4", "restart=true"])
                request.out = directory + "/run"
                request.options.forcesMerge = true
                return try EndToEndTests.run(request)
            }
            let observed = record.observed
            #expect(observed.readBackRowsWrong == 0 && (observed.readBackRowsSeries ?? 0) > 50)
            #expect(observed.rowDigest?.count == 16)
            #expect(record.figure("sample_rows") == 4 * 960 && record.figure("sample_rows_added") == 4 * 960)
            // Two known rounds and their warm-up are read, too.
            #expect((record.figure("rows_read") ?? 0) >= 6 * 960)
            #expect((record.figure("bytes_per_sample") ?? 0) > 0 && record.figure("restart_warm_seconds") != nil)
            #expect(record.figure("restart_cold_seconds") != nil && record.figure("row_forced_merge_seconds") != nil)
            let text = Report.text(record)
            for line in ["samples", "rows", "restart"] { #expect(text.contains("\n" + line)) }
        }

        /// The digest of the rows does not depend on ids, threads, flushes or merges.
        @Test func digestOfRowsIsThatOfTheStream() throws {
            let settings = ["series=960", "rounds=4", "known_rounds=0"]
            let reference = try Self.run("churn-storm", settings)
            #expect(reference.observed.rowDigest != nil)
            try EndToEndTests.withDirectory { (directory) throws in
                var request = Self.request("churn-storm", settings + ["samples.memory_bytes=65536", "batch_rows=77"])
                request.out = directory + "/run"
                request.options.mode = .live
                request.options.threads = 2
                let live = try EndToEndTests.run(request)
                #expect(live.observed.rowDigest == reference.observed.rowDigest)
                #expect(live.observed.storeDigest != reference.observed.storeDigest || live.figure("flushes") != nil)
                #expect(live.figure("restart_warm_seconds") != nil)
            }
        }

        @Test func theIndexPartAloneStoresNoSamples() throws {
            try EndToEndTests.withDirectory { (directory) throws in
                var request = Self.request("rows-short", ["series=300", "rounds=4"])
                request.options.path = .index
                request.options.keepsData = true
                request.out = directory + "/run"
                let record = try EndToEndTests.run(request)
                #expect(record.figure("rows_added") == 1200 && record.figure("sample_rows") == nil)
                #expect(record.observed.rowDigest == nil && record.figure("restart_warm_seconds") == nil)
                #expect(!FileManager.default.fileExists(atPath: directory + "/run/data/table/data"))
            }
        }

        @Test func historyArrivesBackwards() throws {
            let record = try Self.run("backfill-ooo", ["targets=2", "rounds=70", "known_rounds=0"])
            #expect(record.observed.rows == 20 * 70 * 24 && record.figure("rows_too_old") == 0)
            #expect(record.figure("sample_partitions") == 3 && record.figure("sample_rows") == 20 * 70 * 24)
            #expect(record.observed.readBackRowsWrong == 0)
            #expect((record.figure("per_day_entries_written") ?? 0) >= 20 * 70)
        }

        /// A profiler that counts the last rows of the first round: all rows come, in two pieces.
        @Test func theFirstRoundIsProfiledFromSomeRowOn() throws {
            for rows in ["1", "100", "300", "5000"] {
                try EndToEndTests.withDirectory { (directory) throws in
                    var request = Self.request("rows-short", ["series=300", "rounds=2"])
                    #expect(try request.options.set("profiled_rows", rows))
                    request.options.profileRegion = .new
                    request.out = directory + "/run"
                    let record = try EndToEndTests.run(request)
                    #expect(record.observed.rows == 600 && record.figure("new_series") == 300, "\(rows)")
                    #expect(record.figure("known_rows") == 600 && record.observed.readBackRowsWrong == 0, "\(rows)")
                }
            }
            var options = RunOptions()
            #expect(options.uncountedRows(of: 300) == 0)
            options.profiledRows = 100
            #expect(options.uncountedRows(of: 300) == 200 && options.uncountedRows(of: 50) == 0)
        }

        @Test func searchesRunBesideTheIngestion() throws {
            try EndToEndTests.withDirectory { (directory) throws in
                var request = Self.request(
                    "rows-short", ["series=300", "rounds=4", "search_rate=200", "search_series=20"])
                request.options.mode = .live
                request.options.threads = 2
                request.options.knownRoundsWanted = 300
                request.out = directory + "/run"
                let record = try EndToEndTests.run(request)
                #expect(record.figure("searches") != nil && record.figure("searched_rows_per_second") != nil)
                #expect(record.observed.readBackRowsWrong == 0)
                #expect((record.observed.searchedSeries ?? 0) >= 20)
            }
        }

        /// More searches than can be made: none of those that were due is left out.
        @Test func searchesThatAreLateAreCounted() throws {
            try EndToEndTests.withDirectory { (directory) throws in
                var request = Self.request(
                    "rows-short",
                    ["series=300", "rounds=4", "search_rate=1000000", "search_series=200", "known_rounds=300"])
                request.options.mode = .live
                request.out = directory + "/run"
                let record = try EndToEndTests.run(request)
                let due = try #require(record.figure("searches_due"))
                #expect(due > (record.figure("searches") ?? .infinity))
                let intended = try #require(record.latency?.first { $0.phase == "searches" && $0.from == .intended })
                #expect(Double(intended.count) == due)
                #expect(Report.text(record).contains(" of \(TextFormat.grouped(due)) due beside known rows"))
            }
        }

        @Test func searchesThatCannotBeMadeAreRefused() throws {
            func status(_ profile: String, _ settings: [String], path: RunPath = .rows) throws -> HarnessError? {
                try EndToEndTests.withDirectory { (directory) throws in
                    var request = Self.request(profile, settings)
                    request.options.path = path
                    request.out = directory + "/run"
                    let error = #expect(throws: HarnessError.self) { try EndToEndTests.run(request) }
                    #expect(try EndToEndTests.names(directory) == [])
                    return error
                }
            }
            #expect(try status("read-write", ["known_rounds=0"])?.status == .usage)
            #expect(try status("k8s-pods", ["search_rate=20"], path: .index)?.status == .usage)
            #expect(try status("k8s-pods", ["search_rate=20"], path: .items)?.status == .usage)
            #expect(try status("k8s-pods", ["search_series=20"])?.message.contains("without a rate") == true)
            #expect(try status("read-write", ["search_series=20", "search_rate=0"])?.status == .usage)
            // Of a profile with searches another path says what is missing.
            let record = try EndToEndTests.withDirectory { (directory) throws in
                var request = Self.request("read-write", ["series=960", "rounds=4"])
                request.options.path = .index
                request.out = directory + "/run"
                return try EndToEndTests.run(request)
            }
            #expect(record.notComparableBecause.contains { $0.contains("--path index stores no samples") })
        }

        @Test func rowsAndSearchesApartAndTogether() throws {
            try EndToEndTests.withDirectory { (directory) throws in
                var request = Self.request("read-write", ["series=960", "rounds=4", "searches.seconds=0.2"])
                request.options.mode = .live
                request.options.threads = 2
                request.out = directory + "/run"
                let record = try EndToEndTests.run(request)
                let phases = Set((record.latency ?? []).filter { $0.from == .intended }.map(\.phase))
                #expect(phases == ["paced", "searched", "searches", "searches alone"])
                for figure in [
                    "search_latency_ms_p50", "search_alone_latency_ms_max", "searches_due", "searches_alone",
                    "searched_insert_intended_p99_us",
                    "paced_insert_intended_max_us", "cpu_us_per_paced_row", "searched_offered_rows_per_second",
                ] {
                    #expect((record.figure(figure) ?? 0) > 0, "\(figure)")
                }
                #expect(record.figure("search_ingest_loss_ratio") == nil)
                // Four searches have no 99th percentile.
                #expect(record.figure("search_alone_latency_ms_p99") == nil)
                #expect(record.figure("searches_due") == record.figure("searches"))
                #expect(record.configuration?["searches"] == "20/s of 100 series, 0.05 wide")
                #expect(record.observed.readBackRowsWrong == 0)
            }
        }

        @Test func searchesOfDeterministicRunsAreExact() throws {
            let settings = ["series=960", "rounds=4", "known_rounds=10"]
            let records = [try Self.run("read-write", settings), try Self.run("read-write", settings)]
            for figure in FigureCatalogue.answers {
                #expect(records[0].figure(figure) != nil)
                #expect(records[0].figure(figure) == records[1].figure(figure), "\(figure)")
                #expect(records[0].figures[figure]?.kind == .exact)
            }
            // 9600 rows at 100,000 a second, 20 searches a second.
            #expect(records[0].figure("searches") == 1)
            #expect((records[0].figure("search_rows") ?? 0) > 100 && records[0].latency == nil)
            #expect(try Self.run("read-write", settings + ["search_rate=0"]).figure("searches") == nil)
        }

        @Test func aStarvedCacheMisses() throws {
            let record = try Self.run("cache-starved", ["series=1920", "cache.tsid_share=0.5"])
            let rounds = try #require(record.rounds)
            #expect(rounds.count == 13)
            #expect(rounds[5].tsidCacheHitRatio > 0.2 && rounds[5].tsidCacheHitRatio < 0.9)
            #expect(rounds[7].newSeries == 1920)
        }

        @Test func limitsOfSeriesAreCounted() throws {
            let record = try Self.run("rows-short", ["series=300", "rounds=2", "engine.hourly_series_max=100"])
            #expect((record.figure("rows_over_hourly_limit") ?? 0) >= 200)
            #expect(!record.comparable)
        }
    }
}
