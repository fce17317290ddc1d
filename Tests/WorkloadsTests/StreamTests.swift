// StreamTests.swift - the rows: fixed digests, the same rows for the same seed, workers, churn, observed shapes.

import StorageBytes
import StorageRuntime
import Testing

@testable import Workloads

@Suite struct StreamTests {
    /// Seed 42, size s. A change here changes what every recorded figure was measured on: it needs a reason.
    static let digests: [String: UInt64] = [
        "backfill-ooo": 0xE8659BCDC4391785,
        "cache-starved": 0xB2E76DB2B83C2305,
        "churn-storm": 0xD6E56729C0A5078D,
        "id-label": 0xC5092405337B076F,
        "k8s-pods": 0xCDE84C135B4A0BC0,
        "midnight-rotation": 0x1D2CD2B96901D780,
        "names-two-tags": 0x9943E3E684C14369,
        "node-churn": 0x504A40616D9E7A5A,
        "node-steady": 0x6C10C2B952F6D0F7,
        "prom-20k": 0x54AC9C633AE05EAE,
        "read-write": 0x56653ECAF8016405,
        "replay": 0x2049135AE11E0F9A,
        "rolling-deploy": 0xCD93E91182841C3D,
        "rows-short": 0x1667E54988AF6AE2,
        "tenants-zipf": 0xEEC3E219CC1D4CA,
        "tsbs-cpu": 0x91F1A391BFD7BA33,
        "wide-labels": 0xB35AAC242543514E,
    ]

    @Test(arguments: Catalogue.names)
    func digestsAreFixed(name: String) throws {
        let digest = try StreamDigest.of(Catalogue.plan(name))
        let found = "\"\(name)\": 0x\(String(digest, radix: 16, uppercase: true)),"
        #expect(StreamTests.digests[name] == digest, "\(found)")
    }

    @Test(arguments: Catalogue.names)
    func theSameSeedGivesTheSameRows(name: String) throws {
        let first = try StreamDigest.of(Catalogue.plan(name, ["rounds=3"]))
        #expect(try StreamDigest.of(Catalogue.plan(name, ["rounds=3"])) == first)
        #expect(try StreamDigest.of(Catalogue.plan(name, ["rounds=3"], seed: 43)) != first)
    }

    @Test(arguments: Catalogue.names)
    func shapesAreAsConfigured(name: String) throws {
        let plan = try Catalogue.plan(name)
        let shape = try ShapeObserver.observe(plan)
        let verdict = ShapeVerdict(shape, plan.profile)
        #expect(verdict.comparable, "\(verdict.text)")
        #expect(verdict.text.contains("comparable: true"))
        #expect(shape.rows == plan.profile.rows)
    }

    @Test(arguments: ["labels=35", "labels=45"])
    func widerArmsHaveTheLabelsTheySay(override: String) throws {
        let plan = try Catalogue.plan("wide-labels", [override])
        let shape = try ShapeObserver.observe(plan)
        #expect(shape.labelsPerSeries == Double(override.dropFirst(7)))
        #expect(ShapeVerdict(shape, plan.profile).comparable)
    }

    @Test func missedShapesAreNamed() throws {
        let plan = try Catalogue.plan("rows-short", ["expect.name_bytes=[1, 2]", "expect.labels=[9, 9]"])
        var shape = try ShapeObserver.observe(plan)
        shape.activeSeries -= 1
        let verdict = ShapeVerdict(shape, plan.profile)
        #expect(!verdict.comparable && verdict.reasons.count == 3)
        #expect(verdict.reasons[0] == "active series: observed 999, configured 1000")
        #expect(verdict.reasons[2] == "bytes per raw name: observed 60, configured 1 to 2")
        #expect(verdict.text.contains("MISSED"))
    }

    @Test func theFirstNameOfThePodsProfile() throws {
        var stream = try RowStream(Catalogue.plan("k8s-pods"))
        var batch = RowBatch()
        let hasRows = stream.next(into: &batch)
        #expect(hasRows)
        var labels = [String]()
        try RawName.forEachLabel(batch.name(0)) { labels.append("\(text($0))=\(text($1))") }
        #expect(labels.count == 13)
        #expect(labels[0] == "=container_blkio_device_usage_total")
        #expect(labels[2].hasPrefix("id=/kubepods/besteffort/pod") && labels[2].utf8.count == 128)
        // The container id of the cgroup path is the value of the name tag.
        #expect(labels[2].suffix(64) == labels[4].suffix(64) && labels[4].hasPrefix("name="))
        #expect(Array(batch.name(0).prefix(8)) == [0, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test(arguments: Catalogue.names)
    func namesAreUniqueAndThePoolHasThemInOrder(name: String) throws {
        let plan = try Catalogue.plan(name, name == "rows-short" ? [] : ["rounds=4"])
        let pool = try SeriesPool(plan)
        var seen = Set<[UInt8]>()
        for index in 0..<pool.count { seen.insert(Array(pool.name(index))) }
        #expect(seen.count == pool.count)
        #expect(pool.nameBytes == seen.reduce(0) { $0 + $1.count })
        #expect(pool.bytesMapped >= pool.nameBytes + 8 * pool.count)

        var stream = try RowStream(plan)
        var bare = try RowStream(plan, includesNames: false)
        var batch = RowBatch()
        var bareBatch = RowBatch(capacity: 333)
        var next = 0
        var rows = [(Int64, UInt64, UInt32, UInt8)]()
        while stream.next(into: &batch) {
            for row in 0..<batch.count {
                let series = Int(batch.series[row])
                if batch.isNew[row] != 0 {
                    #expect(series == next)
                    next += 1
                }
                #expect(Bytes.compare(batch.name(row), pool.name(series)) == 0)
                rows.append(
                    (batch.timestampsMs[row], batch.values[row].bitPattern, batch.series[row], batch.isNew[row]))
            }
            #expect(pool.startedByRound[batch.round] >= next)
        }
        #expect(next == pool.count && pool.startedByRound.last == next && stream.seriesStarted == next)
        var index = 0
        while bare.next(into: &bareBatch) {
            for row in 0..<bareBatch.count {
                let expected = rows[index]
                #expect(bareBatch.timestampsMs[row] == expected.0 && bareBatch.values[row].bitPattern == expected.1)
                #expect(bareBatch.series[row] == expected.2 && bareBatch.isNew[row] == expected.3)
                index += 1
            }
        }
        #expect(index == rows.count)
    }

    private struct Row: Hashable {
        var name: [UInt8]
        var timestamp: Int64
        var value: UInt64
        var isNew: UInt8
    }

    private func rows(_ plan: SeriesPlan, worker: Int = 0, workers: Int = 1, capacity: Int = 1000) throws -> [Row: Int]
    {
        var stream = try RowStream(plan, worker: worker, workers: workers)
        var batch = RowBatch(capacity: capacity)
        var counts = [Row: Int]()
        while stream.next(into: &batch) {
            for row in 0..<batch.count {
                let key = Row(
                    name: Array(batch.name(row)), timestamp: batch.timestampsMs[row],
                    value: batch.values[row].bitPattern, isNew: batch.isNew[row])
                counts[key, default: 0] += 1
            }
        }
        return counts
    }

    @Test(arguments: [2, 3, 7])
    func workersTogetherHaveTheRowsOfOneStream(workers: Int) throws {
        let plan = try Catalogue.plan("churn-storm", ["series=1000", "rounds=6"])
        let whole = try rows(plan)
        var parts = [Row: Int]()
        for worker in 0..<workers {
            parts.merge(try rows(plan, worker: worker, workers: workers, capacity: 77)) { $0 + $1 }
        }
        #expect(parts == whole)
        #expect(whole.values.allSatisfy { $0 == 1 })
    }

    @Test func workersBeyondTheTargetsHaveNoRows() throws {
        let plan = try Catalogue.plan("rows-short")
        #expect(try rows(plan, worker: 1, workers: 2).isEmpty)
        #expect(try SeriesPool(plan, worker: 1, workers: 2).count == 0)
    }

    @Test func rowsComeInScrapeOrder() throws {
        let plan = try Catalogue.plan("churn-storm", ["rounds=3"])
        var stream = try RowStream(plan)
        var batch = RowBatch(capacity: 64)
        var last = Int64.min
        var lastRound = 0
        var seenInRound = Set<UInt32>()
        while stream.next(into: &batch) {
            if batch.round != lastRound { seenInRound = [] }
            lastRound = batch.round
            for row in 0..<batch.count {
                #expect(batch.timestampsMs[row] >= last)
                last = batch.timestampsMs[row]
                let inserted = seenInRound.insert(batch.series[row]).inserted
                #expect(inserted)
            }
        }
        #expect(last < plan.profile.startMs + 3 * plan.profile.intervalMs)
        let more = stream.next(into: &batch)
        #expect(!more && batch.count == 0)
    }

    @Test func replacedTargetsBringNewSeries() throws {
        let plan = try Catalogue.plan("churn-storm")
        let pool = try SeriesPool(plan)
        let started = pool.startedByRound
        let calmFrom = 30
        for round in 1..<calmFrom { #expect(started[round] > started[round - 1], "round \(round)") }
        #expect(started[calmFrom - 1] == started.last)
        let aged = try SeriesPool(Catalogue.plan("k8s-pods", ["churn.life=30s", "rounds=40", "series=9600"]))
        // A life of one interval: in each round 1 - 1/e of the targets is replaced.
        let share = Double(aged.count - 9600) / Double(39 * 9600)
        #expect(abs(share - 0.632) < 0.03, "\(share)")
        let every = try SeriesPool(Catalogue.plan("node-steady", ["churn.rate=1", "churn.every=20s"]))
        #expect(every.startedByRound.map { $0 / 4920 } == [1, 1, 2, 2, 3, 3])
    }

    @Test func targetsLiveForAsManyScrapesAsTheRangeSays() throws {
        let plan = try Catalogue.plan("id-label", ["targets=300", "rounds=20", "series_per_target=1"])
        var stream = try RowStream(plan)
        var batch = RowBatch()
        var scrapes = [UInt32: Int]()
        var last = [UInt32: Int]()
        while stream.next(into: &batch) {
            for row in 0..<batch.count {
                scrapes[batch.series[row], default: 0] += 1
                last[batch.series[row]] = batch.round
            }
        }
        // Those of the last round may not have come to their end.
        let ended = scrapes.filter { last[$0.key]! < 19 }
        let counts = (1...3).map { length in ended.values.count { $0 == length } }
        #expect(counts.reduce(0, +) == ended.count && counts.allSatisfy { abs($0 * 3 - ended.count) < ended.count / 4 })
        let pool = try SeriesPool(plan)
        #expect(pool.count == scrapes.count)
    }

    @Test func aSpreadKeepsTheScrapesTogether() throws {
        let plan = try Catalogue.plan("k8s-pods", ["interval=1h", "spread=30s", "rounds=2"])
        var stream = try RowStream(plan)
        var batch = RowBatch()
        while stream.next(into: &batch) {
            let start = plan.profile.startMs + Int64(batch.round) * 3_600_000
            for row in 0..<batch.count { #expect((start..<start + 30_000).contains(batch.timestampsMs[row])) }
        }
    }

    /// A visit brings neighbouring rows of a series; the rounds go back in time; some rows come twice.
    @Test func visitsBringSeveralRowsOfASeries() throws {
        let plan = try Catalogue.plan("backfill-ooo", ["rounds=40", "targets=3", "visit.duplicates=0.1"])
        let visit = plan.profile.visit
        var stream = try RowStream(plan)
        var batch = RowBatch(capacity: 100)
        var duplicates = 0
        var (rows, news) = (0, 0)
        while stream.next(into: &batch) {
            #expect(batch.count % visit.rows == 0)
            let start = plan.profile.startMs - Int64(batch.round) * plan.profile.intervalMs
            for row in 0..<batch.count {
                let place = row % visit.rows
                #expect(batch.name(row).elementsEqual(batch.name(row - place)))
                #expect(batch.series[row] == batch.series[row - place])
                news += Int(batch.isNew[row])
                if place > 0, batch.timestampsMs[row] == batch.timestampsMs[row - 1] {
                    #expect(batch.values[row] == batch.values[row - 1])
                    duplicates += 1
                } else {
                    #expect(batch.timestampsMs[row] == start + Int64(place) * visit.stepMs)
                }
            }
            rows += batch.count
        }
        #expect(rows == plan.profile.rows && rows == 30 * 40 * 24 && news == 30)
        #expect(abs(Double(duplicates) / Double(rows) - 0.1 * 23 / 24) < 0.01)
    }

    @Test func percentagesWander() throws {
        let plan = try Catalogue.plan("tsbs-cpu", ["rounds=100", "targets=20"])
        var stream = try RowStream(plan)
        var batch = RowBatch()
        var last = [Double](repeating: -1, count: plan.profile.series)
        var values = Set<Double>()
        while stream.next(into: &batch) {
            for row in 0..<batch.count {
                let (series, value) = (Int(batch.series[row]), batch.values[row])
                #expect((0...100).contains(value) && value == value.rounded())
                #expect(last[series] < 0 || abs(value - last[series]) <= 7)
                last[series] = value
                values.insert(value)
            }
        }
        #expect(values.count > 90)
    }

    @Test func countersNeverFallAndBehaveAsConfigured() throws {
        let plan = try Catalogue.plan("node-steady", ["rounds=8"])
        var stream = try RowStream(plan)
        var batch = RowBatch()
        var last = [Double](repeating: -1, count: plan.profile.series)
        var moved = [Bool](repeating: false, count: plan.profile.series)
        while stream.next(into: &batch) {
            for row in 0..<batch.count {
                let series = Int(batch.series[row])
                let isCounter = plan.kinds[series % plan.ownCount] & SeriesPlan.isCounterBit != 0
                if isCounter { #expect(batch.values[row] >= last[series]) }
                if last[series] >= 0 && batch.values[row] != last[series] { moved[series] = true }
                last[series] = batch.values[row]
            }
        }
        let still = (0..<plan.profile.series).count { !moved[$0] }
        #expect(abs(Double(still) / Double(plan.profile.series) - (0.6 * 0.3 + 0.4 * 0.5)) < 0.04)
    }

    @Test func tenantsFollowZipf() throws {
        let plan = try Catalogue.plan(
            "churn-storm", ["churn.rate=0", "rounds=1", "series=40000", "tenants.count=10", "tenants.zipf=1"])
        let pool = try SeriesPool(plan)
        var counts = [UInt32: Int]()
        for index in 0..<pool.count { counts[try RawName.tenant(pool.name(index)).account, default: 0] += 1 }
        #expect(counts.keys.max()! < 10)
        let first = Double(counts[0]!) / 40_000
        #expect(abs(first - 0.3414) < 0.09, "\(first)")
        #expect(counts[0]! > counts[4]!)
    }

    @Test func tagsRenderedAtEachVisitAreTheSame() throws {
        // More areas than are kept: 40,000 targets with tags of up to 32 kB. Only the first rows are compared.
        let tag = "tags=[{key: a, value: '{slot.hex:4096}{slot.hex:4096#b}{slot.hex:4096#c}{slot.num}'}]"
        let large = try Catalogue.plan("rows-short", [tag, "targets=50000", "families=[m]"])
        let small = try Catalogue.plan("rows-short", [tag, "targets=500", "families=[m]", "rounds=1"])
        var stream = try RowStream(large)
        var reference = try RowStream(small)
        #expect(stream.bytesMapped < 10 << 20)
        #expect(reference.bytesMapped > 5 << 20)
        var batch = RowBatch(capacity: 500)
        var referenceBatch = RowBatch(capacity: 500)
        let both = stream.next(into: &batch) && reference.next(into: &referenceBatch)
        #expect(both && names(batch) == names(referenceBatch))
    }

    @Test func tooLongNamesAreRefused() throws {
        let tags = (0..<9).map { "{key: t\($0), value: 'x{slot.hex:4096#a\($0)}{slot.hex:4096#b\($0)}'}" }
        let profile = try Catalogue.load("rows-short", ["tags=[\(tags.joined(separator: ", "))]"])
        #expect(problem { _ = try SeriesPlan(profile) }.contains("at most 65500 bytes"))
    }
}
