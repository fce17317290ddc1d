// EngineModel.swift - an engine, a dictionary of what it should know, and random things to do to both.
//
// A name is alive while it was written to the current index table or the one before and was not deleted; then all rows
// of it get its TSID, in whatever order their labels come. Otherwise the next row makes a new series.
//
// Tables are numbered by generations: each rotation starts the next one. An entry of a day has to be in the current or
// the previous table as long as the generation that registered it is one of these. A row of the current hour need not
// register its day again after a rotation (the sets of the hour know the series); other rows do.
//
// Which row became which sample is told by the timestamp: within one step no two rows have the same.

import Glibc
import Mergeset
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

/// Names of few series in many forms.
struct NameSource {
    /// Raw names; several of them are of one series.
    private(set) var raws: [[UInt8]] = []
    /// A raw name by canonical name.
    private(set) var rawByCanonical: [[UInt8]: [UInt8]] = [:]
    private(set) var canonicals: [[UInt8]] = []

    init(_ random: inout SplitMix64, series: Int, forms: Int) throws {
        let tenants = [
            Tenant(bits: 0), Tenant(accountID: 7, projectID: 42), Tenant(accountID: .max, projectID: 1),
        ]
        let groups: [[UInt8]] = [
            Array("http_requests_total".utf8), Array("a.b.c".utf8), [], [0, 1, 2, 0x78], Array("up".utf8),
            [0xFE, 0x30],
        ]
        let keys: [[UInt8]] = [
            Array("job".utf8), Array("instance".utf8), Array("zone".utf8), Array("le".utf8), [0], [1, 2], [0xFF],
            [0xFE, 3],
            Array("Job".utf8), Array("pod".utf8),
        ]
        for _ in 0..<series {
            let tenant = tenants[random.below(tenants.count)]
            var labels: [(key: [UInt8], value: [UInt8])] = [
                (Array("__name__".utf8), groups[random.below(groups.count)])
            ]
            for key in keys where random.below(3) == 0 {
                labels.append((key, [UInt8(random.below(4))] + Array("v\(random.below(20))".utf8)))
            }
            for _ in 0..<forms {
                labels.shuffle(using: &random)
                let raw = rawName(tenant, labels)
                let canonical = try #require(canonicalName(raw))
                raws.append(raw)
                canonicals.append(canonical)
                rawByCanonical[canonical] = raw
            }
        }
    }

    var count: Int { raws.count }
}

final class EngineModel {
    private struct Series {
        var canonical: [UInt8]
        var tsid: TSID
        var generations: Set<Int>
        var isDeleted = false
    }

    private struct DayKey: Hashable {
        var series: Int
        var date: UInt64
    }

    /// What a row is to become.
    private enum Fate {
        case accepted(canonical: [UInt8])
        case old, new, notANumber, invalid, tooLong
    }

    private struct Counts: Equatable {
        var rowsAdded: UInt64 = 0
        var old: UInt64 = 0, new: UInt64 = 0, notANumber: UInt64 = 0, invalid: UInt64 = 0, tooLong: UInt64 = 0
        var created: UInt64 = 0, carriedOver: UInt64 = 0
    }

    let fixture: EngineFixture
    private let isLive: Bool
    private var random: SplitMix64
    private let names: NameSource
    private let tooLongName: [UInt8]

    private var series: [Series] = []
    private var latest: [[UInt8]: Int] = [:]
    private var usedIDs: Set<UInt64> = []
    private var deletedIDs: Set<UInt64> = []
    private var tombstones: [Int: Set<UInt64>] = [:]
    private var days: [DayKey: Int] = [:]
    private var blockDays: Set<DayKey> = [], blockDaysOfThisHour: Set<DayKey> = []
    private var firstGeneration = 0
    private var counts = Counts()
    private var trail: [String] = []
    /// Rows that were accepted, by metric id; the greatest moment that the clock has shown.
    private var stored: [UInt64: [StoredRow]] = [:]
    private var latestNowMs: Int64 = 0
    private let keepsSamples: Bool

    init(seed: UInt64, isLive: Bool, files: any FileSystem, path: String, keepsSamples: Bool = false) throws {
        self.isLive = isLive
        self.keepsSamples = keepsSamples
        random = SplitMix64(seed: Seeds.derive(seed, "engine model"))
        names = try NameSource(&random, series: 30, forms: 3)
        tooLongName = rawName(
            Tenant(bits: 0),
            (0..<5).map { (Array("label\($0)".utf8), Array(repeating: UInt8(ascii: "a") + UInt8($0), count: 14_000)) })
        var options = StorageOptions.tiny(run: 2048 << random.below(4), memory: 16384 << random.below(4))
        // Rotations by the clock happen in deterministic mode only: in live mode they would come from the side.
        options.retentionMs = isLive ? 0 : Int64(7 + random.below(20)) * Span.day
        options.table.flushIntervalNanoseconds = isLive ? 3_000_000 : 1_000_000_000
        options.table.gathersTagRows = random.below(4) > 0
        options.concurrentAddRowsMax = 4
        fixture = try EngineFixture(
            files: files, path: path, startMs: EngineFixture.startMs + Int64(random.below(40 * 86_400)) * 1000,
            isLive: isLive, seed: seed, options: options, keepsSamples: keepsSamples)
    }

    private var engine: StorageEngine { fixture.engine }
    private var generation: Int { firstGeneration + Int(engine.index.rotations) }

    private func fail(_ text: String) -> Comment {
        Comment(rawValue: text + "; the last steps: " + trail.suffix(8).joined(separator: ", "))
    }

    // MARK: steps

    func step() throws {
        switch random.below(100) {
        case 0..<58: try addBatches()
        case 58..<64:
            trail.append("flush")
            let version = engine.searchVersion
            try engine.flush()
            #expect(engine.searchVersion > version)
        case 64..<76: try moveClock()
        case 76..<80: try reopen()
        case 80..<83:
            trail.append("rotate")
            try engine.rotateIndex()
        case 83..<88: try delete()
        case 88..<94: try registerNames()
        case 94..<96:
            trail.append("settle")
            try engine.settle()
        default:
            try check()
            try checkSamples()
        }
        try checkCounters()
    }

    private func moveClock() throws {
        var span: Int64
        switch random.below(10) {
        case 0..<3: span = Int64(random.below(50)) * Span.minute + Int64(random.below(60)) * Span.second
        case 3..<5: span = Int64(1 + random.below(30)) * Span.hour
        case 5..<7: span = Int64(1 + random.below(3)) * Span.day
        case 7: span = -Int64(random.below(50)) * Span.minute
        case 8: span = -Int64(random.below(8)) * Span.hour
        default: span = -Span.day
        }
        // To the second before midnight, and over it.
        if random.below(8) == 0 { span = Span.day - fixture.nowMs % Span.day - Span.second }
        trail.append("move \(span)")
        // Rows that wait are skipped when they are out of the limits by the time they are converted.
        if keepsSamples { try engine.makeSearchable() }
        latestNowMs = max(latestNowMs, fixture.nowMs, fixture.nowMs + span)
        try fixture.move(span)
    }

    private func reopen() throws {
        trail.append("reopen")
        firstGeneration = generation
        try fixture.reopen()
        counts = Counts()
        deletedIDs = (tombstones[generation] ?? []).union(tombstones[generation - 1] ?? [])
    }

    private func delete() throws {
        var ids: [UInt64] = []
        for _ in 0..<(1 + random.below(4)) where !series.isEmpty {
            let index =
                random.below(4) > 0 ? (latest.randomElement(using: &random)?.value ?? 0) : random.below(series.count)
            ids.append(series[index].tsid.metricID)
        }
        trail.append("delete \(ids)")
        let new = Set(ids).subtracting(deletedIDs)
        let count = try engine.deleteSeries(ids)
        #expect(count == new.count, fail("deleted"))
        deletedIDs.formUnion(new)
        if !new.isEmpty {
            tombstones[generation, default: []].formUnion(new)
            tombstones[generation - 1, default: []].formUnion(new)
        }
        for index in series.indices where new.contains(series[index].tsid.metricID) { series[index].isDeleted = true }
        for id in new { #expect(engine.index.isDeleted(id)) }
    }

    // MARK: rows

    private func timestampBase() -> (ms: Int64, fate: Int) {
        let now = fixture.nowMs
        let hour = now / Span.hour * Span.hour
        let range = engine.acceptedRange(nowMs: now / 1000 * 1000)
        switch random.below(100) {
        case 0..<55: return (hour, 0)
        case 55..<68: return (hour - Int64(random.below(8)) * Span.hour, 0)
        case 68..<80: return (hour - Span.day, 0)
        case 80..<86: return (hour + Span.day, 0)
        case 86..<92: return (hour - Int64(2 + random.below(4)) * Span.day, 0)
        case 92..<96: return ((range.lowerBound / Span.hour - 3) * Span.hour, 1)
        default: return ((range.upperBound / Span.hour + 3) * Span.hour, 2)
        }
    }

    private func batch(_ number: inout Int64) -> (rows: RowList, fates: [Fate]) {
        let rows = RowList()
        var fates: [Fate] = []
        var last: Int?
        let count = random.below(60) == 0 ? 8100 : 1 + random.below(random.below(3) == 0 ? 80 : 12)
        while rows.count < count {
            number += 1
            var raw: [UInt8]
            var fate: Fate
            let pick = random.below(100)
            if pick < 93 {
                let index = last != nil && random.below(4) == 0 ? last! : random.below(names.count)
                last = index
                raw = names.raws[index]
                fate = .accepted(canonical: names.canonicals[index])
            } else if pick < 97 {
                raw = names.raws[random.below(names.count)]
                raw.removeLast(random.below(2) == 0 ? 1 : raw.count - random.below(8))
                fate = canonicalName(raw).map { .accepted(canonical: $0) } ?? .invalid
                if case .accepted = fate { continue }
            } else if pick < 99 {
                raw = []
                fate = .invalid
            } else {
                raw = tooLongName
                fate = .tooLong
            }
            var value = Double(random.below(2_000_000)) / 100
            let (base, range) = timestampBase()
            if range != 0, !raw.isEmpty { fate = range == 1 ? .old : .new }
            switch random.below(40) {
            case 0:
                value = .nan
                fate = .notANumber
            case 1, 2: value = Double(bitPattern: 0x7FF0_0000_0000_0002)
            default: break
            }
            rows.append(raw, base + number, value)
            fates.append(fate)
        }
        return (rows, fates)
    }

    private func addBatches() throws {
        var number: Int64 = 0
        var batches: [(rows: RowList, fates: [Fate])] = []
        for _ in 0..<(isLive ? 3 : 1) { batches.append(batch(&number)) }
        trail.append("add \(batches.map(\.rows.count))")
        _ = fixture.sink.takeCalls()
        let failures = Failures()
        let engine = engine
        if isLive {
            together(
                batches.enumerated().map { index, batch in
                    let rows = batch.rows
                    return { failures.note("add") { try engine.add(rows, hint: index % 2 == 0 ? nil : index) } }
                })
        } else {
            failures.note("add") { try engine.add(batches[0].rows) }
        }
        try #require(failures.all.isEmpty, fail("\(failures.all)"))

        var samples: [Int64: SampleRow] = [:]
        for row in fixture.sink.takeRows() {
            try #require(samples.updateValue(row, forKey: row.timestampMs) == nil, fail("a row twice"))
        }
        for batch in batches {
            counts.rowsAdded += UInt64(batch.rows.count)
            for (row, fate) in zip(batch.rows.rows, batch.fates) {
                let sample = samples.removeValue(forKey: row.timestampMs)
                switch fate {
                case .accepted(let canonical):
                    let sample = try #require(sample, fail("an accepted row is missing"))
                    #expect(sample.value.bitPattern == row.value.bitPattern)
                    stored[sample.tsid.metricID, default: []].append(sample.stored)
                    try accept(canonical, sample.tsid, row.timestampMs)
                case .old: counts.old += 1
                case .new: counts.new += 1
                case .notANumber: counts.notANumber += 1
                case .invalid: counts.invalid += 1
                case .tooLong: counts.tooLong += 1
                }
                if case .accepted = fate { continue }
                try #require(sample == nil, fail("a row that should be refused was accepted: \(fate)"))
            }
            endBlock()
        }
        try #require(samples.isEmpty, fail("rows from nowhere"))
    }

    private func registerNames() throws {
        var rows: [(name: [UInt8], timestampMs: Int64)] = []
        var canonicals: [[UInt8]] = []
        for _ in 0..<(1 + random.below(10)) {
            let index = random.below(names.count)
            let drawn = timestampBase()
            var base = drawn.ms
            if drawn.fate == 1 { base = fixture.nowMs - Span.day }
            rows.append((names.raws[index], base))
            canonicals.append(names.canonicals[index])
        }
        trail.append("register \(rows.count)")
        try engine.register(rows)
        #expect(fixture.sink.takeCalls().isEmpty)
        let contents = try fixture.contents()
        for (row, canonical) in zip(rows, canonicals) {
            let known = contents.names.filter { $0.canonical == canonical && !deletedIDs.contains($0.tsid.metricID) }
            try #require(known.count == 1, fail("\(known.count) series of a registered name"))
            try accept(canonical, known[0].tsid, row.timestampMs)
        }
        endBlock()
    }

    private func accept(_ canonical: [UInt8], _ tsid: TSID, _ timestampMs: Int64) throws {
        let index: Int
        if let known = latest[canonical], !series[known].isDeleted,
            let last = series[known].generations.max(), last >= generation - 1
        {
            try #require(tsid == series[known].tsid, fail("another TSID for a name that is alive"))
            if series[known].generations.insert(generation).inserted {
                counts.created += 1
                counts.carriedOver += 1
            }
            index = known
        } else {
            try #require(usedIDs.insert(tsid.metricID).inserted, fail("an id that was used before"))
            let raw = try #require(names.rawByCanonical[canonical])
            let expected = try raw.withUnsafeBytes { bytes in
                var name = CanonicalName()
                try name.canonicalize(raw: bytes)
                return TSID(of: name, metricID: tsid.metricID)
            }
            try #require(tsid == expected, fail("the fields of a TSID"))
            index = series.count
            series.append(Series(canonical: canonical, tsid: tsid, generations: [generation]))
            latest[canonical] = index
            counts.created += 1
        }
        let key = DayKey(series: index, date: DateMath.date(timestampMs: timestampMs))
        let hour = Int(DateMath.hour(timestampMs: timestampMs))
        blockDays.insert(key)
        if abs(hour - Int(DateMath.hour(timestampMs: fixture.nowMs))) <= 1 { blockDaysOfThisHour.insert(key) }
    }

    /// What the rows of a block mean for the days of their series. A row behind a row of the current hour of the same
    /// series and day asks for nothing either.
    private func endBlock() {
        for key in blockDays where days[key] == nil || !blockDaysOfThisHour.contains(key) { days[key] = generation }
        blockDays = []
        blockDaysOfThisHour = []
    }

    // MARK: checks

    private func checkCounters() throws {
        let metrics = engine.metrics
        let actual = Counts(
            rowsAdded: metrics.rowsAdded, old: metrics.rowsTooOld, new: metrics.rowsTooNew,
            notANumber: metrics.rowsNaN, invalid: metrics.rowsInvalidName, tooLong: metrics.rowsTooLongName,
            created: metrics.newSeriesCreated, carriedOver: metrics.seriesCarriedOver)
        try #require(actual == counts, fail("counters"))
        let causes = metrics.slowRowCauses
        try #require(
            metrics.slowRowInserts == causes.newSeries + causes.cacheMiss + causes.rotation, fail("causes"))
        try #require(causes.newSeries == counts.created - counts.carriedOver, fail("new series"))
        try #require(causes.rotation == counts.carriedOver, fail("rotation"))
        #expect(metrics.deletedSeries == UInt64(deletedIDs.count))
        #expect(metrics.rowsFailed == 0 && metrics.addRowsCurrent == 0)
        #expect(metrics.hourMetricIDs.misses <= metrics.hourMetricIDs.requests)
    }

    /// Both tables hold exactly the rows of the series of their generations and of the days that were asked for.
    func check() throws {
        trail.append("check")
        let tables = [generation: try fixture.contents(), generation - 1: try fixture.contents(.previous)]
        for (generation, table) in tables {
            let place = "table \(generation - self.generation)"
            let faults = try table.faults(raws: names.rawByCanonical)
            try #require(faults.isEmpty, fail("\(place): \(faults)"))
            let expected = Set(series.filter { $0.generations.contains(generation) }.map(\.tsid.metricID))
            let actual = Set(table.names.map(\.tsid.metricID))
            let difference = actual.symmetricDifference(expected)
            try #require(difference.isEmpty, fail("\(place): series"))
            try #require(table.tombstones == tombstones[generation] ?? [], fail("\(place): tombstones"))
        }
        let entries = tables.values.reduce(into: Set<TableContents.Day>()) { $0.formUnion($1.days) }
        var allowed: Set<TableContents.Day> = []
        for (key, registered) in days {
            let id = series[key.series].tsid.metricID
            let entry = TableContents.Day(date: key.date, metricID: id)
            if registered >= generation - 1 {
                let isThere = entries.contains(entry)
                try #require(isThere, fail("day \(key.date) of id \(id) is missing"))
            }
            allowed.insert(entry)
            allowed.insert(TableContents.Day(date: key.date + 1, metricID: id))
        }
        let strange = entries.subtracting(allowed)
        try #require(strange.isEmpty, fail("days nobody asked for"))
    }

    /// Rows come back through searches: all of those within retention, none that were not sent, none of deleted series.
    func checkSamples() throws {
        guard keepsSamples else { return }
        trail.append("check samples")
        latestNowMs = max(latestNowMs, fixture.nowMs)
        if random.below(2) == 0 { try engine.makeSearchable() } else { try engine.flush() }
        if random.below(6) == 0 { try engine.forceMerge() }
        let from = engine.acceptedRange(nowMs: latestNowMs).lowerBound + Span.second
        let found = try engine.search(
            Set(series.map(\.tsid)).sorted(), minTimestampMs: 0, maxTimestampMs: .max
        ).collect()
        for item in series {
            let sent = (stored[item.tsid.metricID] ?? []).sorted()
            guard let answer = found[item.tsid] else {
                let isKnown = !item.isDeleted && (item.generations.max() ?? 0) >= generation - 1
                let isThere = isKnown && sent.contains { $0.timestampMs >= from }
                try #require(!isThere, fail("rows of id \(item.tsid.metricID) are missing"))
                continue
            }
            try #require(!item.isDeleted, fail("rows of a deleted series"))
            try #require(answer.name == item.canonical, fail("the name of a series"))
            let isPart = StorageConcurrencyTests.isPart(answer.rows, of: sent)
            try #require(isPart, fail("rows of id \(item.tsid.metricID) that were never sent"))
            let recent = answer.rows.filter { $0.timestampMs >= from }
            let expected = sent.filter { $0.timestampMs >= from }
            try #require(recent == expected, fail("\(recent.count) rows of \(expected.count)"))
        }
        try #require(found.keys.allSatisfy { tsid in series.contains { $0.tsid == tsid } }, fail("unknown series"))
    }

    /// Ids lead to TSIDs and names, and deleted ones to nothing.
    func checkLookups() throws {
        try engine.flush()
        for item in series where (item.generations.max() ?? 0) >= generation - 1 {
            let tsid = try engine.tsid(of: item.tsid.metricID, tenant: item.tsid.tenant)
            let name = try engine.metricName(of: item.tsid.metricID, tenant: item.tsid.tenant)
            #expect(tsid == (item.isDeleted ? nil : item.tsid), fail("id -> TSID"))
            #expect(name == (item.isDeleted ? nil : item.canonical), fail("id -> name"))
            let stranger = Tenant(bits: item.tsid.tenant.bits ^ 1)
            #expect(try engine.tsid(of: item.tsid.metricID, tenant: stranger) == nil)
            #expect(try engine.metricName(of: item.tsid.metricID, tenant: stranger) == nil)
        }
    }

    func finish() throws {
        try check()
        try checkLookups()
        try checkSamples()
        try reopen()
        try check()
        try checkLookups()
        try checkSamples()
        try fixture.close()
        #expect(throws: StorageError.self) { try engine.flush() }
    }
}
