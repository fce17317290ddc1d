// IndexGoldenTests.swift - the two index directories of the reference, opened: every item accounted for, every series found
// by name, by id and by day; and the rows that we write for the series of index_items.json.

import Mergeset
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SeriesIndex

/// Rows of one kind, taken apart.
private struct Rows {
    var names: [(canonical: [UInt8], tsid: TSID)] = []
    var tsids: [UInt64: TSID] = [:]
    var canonicals: [UInt64: [UInt8]] = [:]
    var deleted: Set<UInt64> = []
    var days: [(date: UInt64, tenant: UInt64, id: UInt64)] = []

    init(_ items: [[UInt8]]) {
        func big(_ item: [UInt8], _ offset: Int) -> UInt64 {
            item[offset..<(offset + 8)].reduce(0) { $0 << 8 | UInt64($1) }
        }
        for item in items {
            switch item[0] {
            case 0:
                let tsid = Array(item.suffix(32)).withUnsafeBytes { TSID(loading: $0.baseAddress!) }
                names.append((Array(item[1..<(item.count - 33)]), tsid))
            case 2: tsids[big(item, 9)] = Array(item.suffix(32)).withUnsafeBytes { TSID(loading: $0.baseAddress!) }
            case 3: canonicals[big(item, 9)] = Array(item[17...])
            case 4: deleted.insert(big(item, 1))
            case 5: days.append((big(item, 9), big(item, 1), big(item, 17)))
            default: break
            }
        }
    }

    /// The smallest TSID of each name that is not deleted.
    func live(_ deleted: Set<UInt64>) -> [[UInt8]: TSID] {
        var live: [[UInt8]: TSID] = [:]
        for (name, tsid) in names where !deleted.contains(tsid.metricID) {
            live[name] = min(live[name] ?? tsid, tsid)
        }
        return live
    }
}

@Suite struct IndexGoldenTests {
    /// A copy of a golden directory. The clock stands years before it was written.
    private static func open(_ directory: String) throws -> IndexFixture {
        let files = SimulatedFileSystem(recording: .nothing)
        try files.load(
            TestSupport.Golden.path("index/" + directory), of: RealFileSystem(), into: IndexFixture.storage)
        return try IndexFixture(on: files, .deterministic(seed: 3, startUnixMilliseconds: 1_000_000_000))
    }

    private static func check(_ items: [[UInt8]], _ dump: JSON) throws {
        #expect(items.count == (try dump["count"].int))
        var byKind: [String: Int] = [:]
        var bytes = RawBuffer()
        for item in items {
            byKind["\(item[0])", default: 0] += 1
            bytes.appendBigEndian(UInt32(item.count))
            bytes.append(item)
        }
        #expect(byKind == (try dump["byNamespace"].object.mapValues { try $0.int }))
        #expect(items.first == (try dump["firstHex"].isPresent ? dump["firstHex"].bytes : nil))
        #expect(items.last == (try dump["lastHex"].isPresent ? dump["lastHex"].bytes : nil))
        #expect(Hash.xxh64(bytes.bytes) == UInt64(try dump["xxhash64"].string, radix: 16))
    }

    @Test(arguments: ["storage-basic", "storage-rotated"]) func everythingIsFound(directory: String) throws {
        let fixture = try Self.open(directory)
        let index = fixture.index
        let dump = try TestSupport.Golden.json("index/index_dump.json")[directory]
        #expect(try dump.object.keys.sorted() == [fixture.previousName, fixture.currentName])
        let items = try fixture.items()
        try Self.check(items.current, dump[fixture.currentName]["allItems"])
        try Self.check(items.previous, dump[fixture.previousName]["allItems"])
        #expect(index.damagedParts.isEmpty && fixture.log.isEmpty)

        let current = Rows(items.current)
        let previous = Rows(items.previous)
        let deleted = current.deleted.union(previous.deleted)
        #expect(index.withTables { Set($0.deleted) } == deleted && index.deletedCount == UInt64(deleted.count))
        #expect(directory == "storage-basic" ? deleted.isEmpty : !current.deleted.isEmpty && !previous.deleted.isEmpty)

        // By name: nothing is created. A previous table is asked only for what the current one does not have.
        let nobody = NewSeriesPolicy.refusingAll
        let inCurrent = current.live(deleted)
        let inPrevious = previous.live(deleted).filter { inCurrent[$0.key] == nil }
        let currentNames = inCurrent.keys.sorted(by: isSmaller)
        #expect(
            fixture.resolve(canonical: currentNames, nobody)
                == currentNames.map { IndexFixture.Resolved(tsid: inCurrent[$0]!, outcome: .found) })
        #expect(fixture.counters.searches == currentNames.count && fixture.counters.searchesInVain == 0)
        let dead = Set((current.names + previous.names).map(\.canonical))
            .subtracting(inCurrent.keys).subtracting(inPrevious.keys)
        #expect(directory == "storage-basic" ? dead.isEmpty : !dead.isEmpty)
        let others = dead + (0..<100).map { try! canonical(rawName($0, tenant: Tenant(bits: 77))) }
        #expect(fixture.resolve(canonical: others, nobody).allSatisfy { $0.outcome == .refused })
        #expect(try fixture.items().current == items.current, "nothing was written")

        // By id.
        var names = previous.canonicals
        names.merge(current.canonicals) { _, new in new }
        for (id, tsid) in previous.tsids.merging(current.tsids, uniquingKeysWith: { _, new in new }) {
            let isDeleted = deleted.contains(id)
            #expect(try index.tsid(of: id, tenant: tsid.tenant) == (isDeleted ? nil : tsid))
            #expect(try index.metricName(of: id, tenant: tsid.tenant) == (isDeleted ? nil : names[id]))
            #expect(try index.tsid(of: id, tenant: Tenant(bits: 99)) == nil)
        }
        #expect(try index.tsid(of: 1, tenant: Tenant(bits: 0)) == nil)

        // What is found in the previous table only is registered again, under its TSID.
        let previousNames = inPrevious.keys.sorted(by: isSmaller)
        #expect(
            fixture.resolve(canonical: previousNames, nobody)
                == previousNames.map { IndexFixture.Resolved(tsid: inPrevious[$0]!, outcome: .carriedOver) })
        #expect(directory == "storage-basic" ? previousNames.isEmpty : !previousNames.isEmpty)
        try index.flush()
        var expected = try normalised(items.current)
        for (name, tsid) in inPrevious {
            expected.formUnion(try plainRows(canonical: name, tsid, isGlobal: true, dates: []))
        }
        #expect(try normalised(fixture.items().current) == expected)

        // New names and ids are greater than all there are, although the clock is behind.
        let new = try fixture.resolve([rawName(1, tenant: Tenant(bits: 88))])[0]
        let known = current.names + previous.names
        #expect(new.outcome == .created && known.allSatisfy { $0.tsid.metricID < new.tsid.metricID })
        #expect(deleted.allSatisfy { $0 < new.tsid.metricID })
        let name = fixture.currentName
        try index.rotate {}
        #expect(fixture.currentName > name && fixture.previousName == name)
        try index.close()
    }

    /// The entries of days, one by one and whole days at once.
    @Test(arguments: ["storage-basic", "storage-rotated"]) func daysAreFound(directory: String) throws {
        let fixture = try Self.open(directory)
        let rows = Rows(try fixture.items().current)
        let table = fixture.index.withTables { $0.current }
        let dates = Set(rows.days.map(\.date)).sorted()
        #expect(dates == [18_962, 18_963, 18_964] || dates == [18_963, 18_964] || dates == [18_964])
        func claims(_ wanted: [(date: UInt64, tenant: UInt64, id: UInt64)]) -> [DayClaim] {
            wanted.map { entry in
                DayClaim(
                    date: entry.date,
                    tsid: TSID(
                        tenant: Tenant(bits: entry.tenant), metricGroupID: 0, jobID: 0, instanceID: 0,
                        metricID: entry.id), row: 0)
            }
        }
        func claim(_ claims: inout [DayClaim]) throws {
            try claims.withUnsafeMutableBufferPointer { try table.claim($0) }
        }
        // A few: each costs a search.
        var few = claims(dates.flatMap { date in Array(rows.days.filter { $0.date == date }.prefix(5)) })
        try claim(&few)
        #expect(few.allSatisfy { $0.state == .known && $0.isMiss })
        #expect(table.dayMetrics.searches == UInt64(few.count) && table.dayMetrics.scans == 0)
        // Not there: another tenant, another day, an id that nobody has.
        let sample = rows.days[0]
        var others = claims([
            (sample.date - 1000, sample.tenant, sample.id), (sample.date, 5, sample.id),
            (sample.date, sample.tenant, 1),
        ])
        try claim(&others)
        #expect(others[0].state == .claimed && others[2].state == .claimed)
        others.withUnsafeMutableBufferPointer { table.release($0) }
        // Many: the days are read as wholes.
        var all = claims(rows.days.sorted { ($0.date, $0.id) < ($1.date, $1.id) })
        try claim(&all)
        #expect(all.allSatisfy { $0.state == .known })
        #expect(table.dayMetrics.scans == UInt64(dates.count))
        #expect(dates.allSatisfy { table.days.isComplete($0) } && !table.days.isComplete(sample.date - 1000))
        let ids = Set(rows.days.map(\.id))
        for date in dates {
            let there = Set(rows.days.filter { $0.date == date }.map(\.id))
            for id in ids { #expect(table.days.contains(date: date, id) == there.contains(id)) }
            var absent = claims([(date, 0, 3)])
            try claim(&absent)
            #expect(absent[0].state == .claimed)
            absent.withUnsafeMutableBufferPointer { table.release($0) }
        }
        try fixture.index.close()
    }

    /// The same series under the same ids: the same rows as the reference's, tag rows taken apart.
    @Test(arguments: [true, false]) func weWriteTheRowsOfTheReference(gathers: Bool) throws {
        var options = TableOptions.small()
        options.gathersTagRows = gathers
        let environment = Environment.deterministic(seed: 1, startUnixMilliseconds: 1000)
        let fixture = try IndexFixture(environment, table: options)
        var expected: Set<[UInt8]> = []
        let vectors = try Golden.list("index_items", "series")
        for vector in vectors {
            let id = try vector.decimal("metricID")
            environment.ids.raise(above: id - 1)
            let result = fixture.resolve(
                canonical: [try vector.hex("canonicalHex")], date: UInt64(try vector.number("date")))
            #expect(result.map(\.tsid.metricID) == [id], "\(vector.name)")
            #expect(result.map { stored($0.tsid) } == [try vector.hex("tsidHex")], "\(vector.name)")
            expected.formUnion(try vector.hexList("globalItems"))
            expected.formUnion(try vector.hexList("perDayItems"))
        }
        try fixture.index.flush()
        #expect(try normalised(fixture.items().current) == expected)
        _ = try fixture.index.delete([1_640_995_200_000_000_002, 1_640_995_200_000_000_001, 5]) {}
        let tombstones = Set(try Vector(fields: Golden.load("index_items")).hexList("deletedItems"))
        #expect(try normalised(fixture.items().current) == expected.union(tombstones))
        #expect(try normalised(fixture.items().previous) == tombstones)
        let metrics = fixture.index.tableMetrics
        #expect(metrics.normalisedItemsAdded == UInt64(expected.count + 2 * tombstones.count))
        try fixture.index.close()
    }

    /// The same again, with the global rows and the rows of the day added apart.
    @Test func daysThatAreRegisteredLater() throws {
        let environment = Environment.deterministic(seed: 1, startUnixMilliseconds: 1000)
        let fixture = try IndexFixture(environment)
        var expected: Set<[UInt8]> = []
        var wanted: [(date: UInt64, tsid: TSID, raw: [UInt8])] = []
        var policy = NewSeriesPolicy()
        policy.registersDay = false
        for vector in try Golden.list("index_items", "series") {
            environment.ids.raise(above: try vector.decimal("metricID") - 1)
            let canonical = try vector.hex("canonicalHex")
            let tsid = fixture.resolve(canonical: [canonical], policy)[0].tsid
            let raw = try canonical.withUnsafeBytes { try MetricName(canonical: $0) }.raw
            let date = UInt64(try vector.number("date"))
            wanted += [(date, tsid, raw), (date + 1, tsid, raw), (date, tsid, raw)]
            expected.formUnion(try vector.hexList("globalItems"))
            expected.formUnion(try vector.hexList("perDayItems"))
            expected.formUnion(try plainRows(canonical: canonical, tsid, isGlobal: false, dates: [date + 1]))
        }
        #expect(try fixture.registerDays(wanted) == wanted.count / 3 * 2)
        #expect(try fixture.registerDays(wanted) == 0)
        try fixture.index.flush()
        #expect(try normalised(fixture.items().current) == expected)
        #expect(try fixture.registerDays(wanted) == 0)
        try fixture.index.close()
    }
}

extension NewSeriesPolicy {
    /// A policy under which no series is created.
    static var refusingAll: NewSeriesPolicy {
        var policy = NewSeriesPolicy()
        policy.admits = { _ in false }
        return policy
    }
}
