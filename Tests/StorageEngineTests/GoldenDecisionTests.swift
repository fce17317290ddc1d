// GoldenDecisionTests.swift - golden vectors of the per-day update, of the formulas around it, and of the file that says
// since when composite rows are there.

import Foundation
import Mergeset
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct GoldenDecisionTests {
    private struct Entry: Hashable {
        var date: UInt64
        var id: UInt64
    }

    private static func ids(_ json: JSON) throws -> [UInt64] { try json.array.map { try $0.uint64 } }

    private static func entries(_ json: JSON) throws -> [Entry] {
        try json.array.map { Entry(date: try $0["date"].uint64, id: try $0["metricID"].uint64) }
    }

    private static func tsid(_ id: UInt64) -> TSID {
        TSID(tenant: Tenant(bits: 0), metricGroupID: 0, jobID: 0, instanceID: 0, metricID: id)
    }

    /// An index of its own, with what it takes to register days in it.
    private struct Index: ~Copyable {
        let files = SimulatedFileSystem(recording: .nothing)
        let environment = Environment.deterministic()
        var index: SeriesIndex
        var name = CanonicalName()
        var workspace = ResolveWorkspace()
        let raw = rawName("m", ["job": "j"])

        init() throws { index = try Index.open(files, environment) }

        static func open(_ files: SimulatedFileSystem, _ environment: Environment) throws -> SeriesIndex {
            try SeriesIndex(
                directory: "/data/indexdb", damagedDirectory: "/data/damaged", options: IndexOptions(),
                key: FingerprintKey(drawing: environment.secrets("fingerprints")), files: files,
                environment: environment, log: { _ in })
        }

        mutating func reopen() throws {
            try index.close()
            index = try Index.open(files, environment)
        }

        mutating func register(_ claims: inout [DayClaim]) throws -> Int {
            let result = claims.withUnsafeMutableBufferPointer { claims in
                let raw = raw
                return raw.withUnsafeBytes { bytes in
                    index.withTables {
                        index.registerDays(claims, $0, hint: nil, raw: { _ in bytes }, &name, &workspace)
                    }
                }
            }
            if let error = result.error { throw error }
            return result.written
        }

        mutating func register(_ entries: [Entry]) throws {
            var claims = entries.map { DayClaim(date: $0.date, tsid: GoldenDecisionTests.tsid($0.id), row: 0) }
            _ = try register(&claims)
        }

        /// The entries of days, with how often each is there.
        func entries() throws -> [Entry: Int] {
            let items = try IndexItems(index.withTables { $0.current.table })
            var result: [Entry: Int] = [:]
            for (item, count) in items.counts where item[0] == RowKind.dateToID {
                result[Entry(date: bigEndianNumber(item[9..<17]), id: bigEndianNumber(item[17...]))] = count
            }
            return result
        }
    }

    @Test func perDayDecisions() throws {
        let vectors = try Golden.json("index/per_day_decisions.json")["vectors"].array
        #expect(vectors.count == 17)
        for vector in vectors { try check(vector) }
    }

    private func check(_ vector: JSON) throws {
        let comment = Comment(rawValue: try vector["name"].string)
        var sets = ActiveSets(
            currentHour: try vector["currHour"]["hour"].uint64, previousHour: try vector["prevHour"]["hour"].uint64,
            today: try vector["nextDay"]["date"].uint64)
        sets.current = MetricIDSet(try Self.ids(vector["currHour"]["metricIDs"]))
        sets.previous = MetricIDSet(try Self.ids(vector["prevHour"]["metricIDs"]))
        sets.nextDay = MetricIDSet(try Self.ids(vector["nextDay"]["metricIDs"]))
        let rows = try vector["rows"].array.map {
            SampleRow(tsid: Self.tsid(try $0["metricID"].uint64), timestampMs: try $0["timestamp"].int64, value: 0)
        }

        var index = try Index()
        let inIndex = try Self.entries(vector["inIndex"])
        try index.register(inIndex)
        try index.reopen()
        // What a cache knows here is also in the index: that is why the reference can write such an entry again (two of
        // the vectors), and this index cannot.
        let cached = try Self.entries(vector["dateMetricIDCache"])
        try index.register(cached)

        var decision = PerDayDecision()
        let now = try vector["now"].uint64
        rows.withUnsafeBufferPointer { decision.decide($0, sets, nowSeconds: now) }
        let expected = vector["expected"]
        #expect(decision.hourIDs == (try Self.ids(expected["pendingHourEntries"])), comment)
        #expect(decision.nextDayIDs == (try Self.ids(expected["pendingNextDayMetricIDs"])), comment)

        let before = Set(try index.entries().keys)
        #expect(before == Set(inIndex + cached), comment)
        var slow = decision.prefills.count
        let written = try index.register(&decision.prefills) + index.register(&decision.claims)
        for claim in decision.claims where claim.isMiss { slow += 1 }
        let stored = try Self.entries(expected["storedPerDayEntries"])
        let after = try index.entries()
        #expect(after.values.allSatisfy { $0 == 1 }, comment)
        #expect(Set(after.keys) == before.union(stored), comment)
        #expect(written == Set(stored).subtracting(before).count, comment)
        #expect(slow == (try expected["slowPerDayIndexInsertsDelta"].int), comment)
        for entry in try Self.entries(expected["dateMetricIDCacheAfter"]) {
            #expect(after[entry] == 1, comment)
        }
        try index.index.close()
    }

    @Test func shareOfTheDay() throws {
        for vector in try Golden.json("index/misc.json")["nextDayPrefill"].array {
            let second = try vector["secondOfDay"].uint64
            let share = try vector["share16bit"].uint64
            #expect(DateMath.dayShare(nowSeconds: second) == share)
            #expect(DateMath.dayShare(nowSeconds: 18_962 * 86_400 + second) == share)
        }
    }

    /// Within four hours of the start of a period the reference takes the end of the period, and a process started then
    /// skips a rotation; here it is the deadline that is still to come.
    @Test func rotationTimes() throws {
        for vector in try Golden.json("index/misc.json")["rotation"].array {
            let now = try vector["nowMs"].int64
            let retention = try vector["retentionMs"].int64
            let period = (retention + Span.day - 1) / Span.day * Span.day
            let isEarly = now % period < 4 * Span.hour
            let expected = try vector["rotationAtMs"].int64 - (isEarly && now % period > 0 ? period : 0)
            #expect(SeriesIndex.nextRotationMs(nowMs: now, retentionMs: retention) == expected, "now \(now)")
        }
    }

    @Test(arguments: TestSeeds.thisRun)
    func rotationTimesAreTheNextDeadlines(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for _ in 0..<500 {
            let now = Int64(random.below(4_000_000_000)) * 1000
            let retention = Int64(random.below(400)) * Span.day / 3 - Span.day
            let next = SeriesIndex.nextRotationMs(nowMs: now, retentionMs: retention)
            let period =
                retention <= 0 ? 1200 * 31 * Span.day : (retention + Span.day - 1) / Span.day * Span.day
            #expect(next > now && next - now <= period && (next - 4 * Span.hour) % period == 0)
        }
    }

    // MARK: composite rows

    private static let file = "metadata/minTimestampForCompositeIndex"

    @Test func compositeRowsOfANewStorage() throws {
        let fixture = try EngineFixture()
        #expect(fixture.engine.minTimestampForCompositeIndexMs == 0)
        try fixture.reopen()
        #expect(fixture.engine.minTimestampForCompositeIndexMs == 0)
        try fixture.close()
        let bytes = try fixture.files.readAll(fixture.path + "/" + Self.file, limitBytes: 100).array()
        #expect(bytes == Array(repeating: 0, count: 8))
    }

    @Test func compositeRowsOfAStorageWithoutTheFile() throws {
        let fixture = try EngineFixture(startMs: 1_638_316_801_000)
        try fixture.close()
        let path = fixture.path + "/" + Self.file
        for contents in [nil, [1, 2, 3], Array(repeating: 1, count: 9)] as [[UInt8]?] {
            try fixture.files.removeFile(path)
            if let contents { try fixture.files.writeAtomically(contents, to: path) }
            try fixture.open()
            #expect(fixture.engine.minTimestampForCompositeIndexMs == 1_638_489_600_000)
            try fixture.close()
            #expect(try fixture.files.readAll(path, limitBytes: 100).array().hex == "000002fafb2e6000")
        }
        // Written once: the days that follow do not move it.
        fixture.clock.move(milliseconds: 3 * Span.day)
        try fixture.open()
        #expect(fixture.engine.minTimestampForCompositeIndexMs == 1_638_489_600_000)
        try fixture.close()
    }

    @Test(arguments: ["storage-basic", "storage-rotated"])
    func compositeRowsOfGoldenStorages(name: String) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("storage")
        try FileManager.default.copyItem(atPath: Golden.path("index/" + name), toPath: path)
        let golden = try Golden.bytes("index/\(name)/\(Self.file)")
        let fixture = try EngineFixture(files: RealFileSystem(), path: path, startMs: 1_638_500_000_000)
        let value = ZigZag.decode(bigEndianNumber(golden[...]))
        #expect(fixture.engine.minTimestampForCompositeIndexMs == value)
        #expect(fixture.engine.damagedParts.isEmpty)
        try fixture.close()
    }
}
