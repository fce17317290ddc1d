// IDFilesTests.swift - the cache files of ids: golden bytes, and everything that makes a file useless.

import SeriesIndex
import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct IDFilesTests {
    private let ids: [UInt64] = [0x16c5_fc70_a61f_0001, 0x16c5_fc70_a61f_0003, 0x16c5_fc70_a61f_0005]

    private func golden(_ name: String) throws -> [UInt8] {
        try Golden.json("index/cache_files.json")["files"][name].bytes
    }

    private func hour(_ bytes: [UInt8], _ hour: UInt64) throws(IDFileRefusal) -> [UInt64] {
        try withExactCopy(bytes) { (file) throws(IDFileRefusal) in Array(try HourIDFile.decode(file, hour: hour)) }
    }

    private func nextDay(_ bytes: [UInt8], _ date: UInt64) throws(IDFileRefusal) -> [UInt64] {
        try withExactCopy(bytes) { (file) throws(IDFileRefusal) in Array(try NextDayIDFile.decode(file, date: date)) }
    }

    @Test func currentHourIsThatOfTheReference() throws {
        var buffer = RawBuffer()
        let tenant = Tenant(accountID: 7, projectID: 42)
        HourIDFile.encode(
            hour: 455_088, isFull: true, ids: MetricIDSet(ids), tenants: [(tenant, MetricIDSet(ids))], into: &buffer)
        let bytes = try golden(HourIDFile.currentName)
        #expect(buffer.array().hex == bytes.hex)
        #expect(try hour(bytes, 455_088) == ids)
    }

    @Test func previousHourIsThatOfTheReference() throws {
        var buffer = RawBuffer()
        HourIDFile.encode(hour: 455_087, isFull: false, ids: MetricIDSet(), into: &buffer)
        let bytes = try golden(HourIDFile.previousName)
        #expect(buffer.array().hex == bytes.hex)
        #expect(try hour(bytes, 455_087) == [])
    }

    @Test func nextDayIsThatOfTheReference() throws {
        var buffer = RawBuffer()
        NextDayIDFile.encode(date: 18_962, ids: MetricIDSet([ids[0], ids[2]]), into: &buffer)
        let bytes = try golden(NextDayIDFile.name)
        #expect(buffer.array().hex == bytes.hex)
        #expect(try nextDay(bytes, 18_962) == [ids[0], ids[2]])
    }

    @Test func filesOfOtherPeriodsAreRefused() throws {
        let current = try golden(HourIDFile.currentName)
        #expect(throws: IDFileRefusal.otherPeriod(455_088)) { try hour(current, 455_089) }
        // The period is looked at before the rest.
        #expect(throws: IDFileRefusal.otherPeriod(455_088)) { try hour(Array(current.prefix(16)), 1) }
        let next = try golden(NextDayIDFile.name)
        #expect(throws: IDFileRefusal.otherPeriod(18_962)) { try nextDay(next, 18_963) }
    }

    @Test func everyShorterOrLongerFileIsRefused() throws {
        let current = try golden(HourIDFile.currentName)
        for length in 0..<current.count {
            #expect(throws: IDFileRefusal.broken(.truncated)) { try hour(Array(current.prefix(length)), 455_088) }
        }
        #expect(throws: IDFileRefusal.broken(.trailingBytes)) { try hour(current + [0], 455_088) }
        let next = try golden(NextDayIDFile.name)
        for length in 0..<next.count {
            #expect(throws: IDFileRefusal.broken(.truncated)) { try nextDay(Array(next.prefix(length)), 18_962) }
        }
        #expect(throws: IDFileRefusal.broken(.trailingBytes)) { try nextDay(next + [0], 18_962) }
    }

    /// Every count replaced by others, among them those whose bytes would not fit into 64 bits.
    @Test func countsAreCheckedAgainstTheBytes() throws {
        let current = try golden(HourIDFile.currentName)
        let wrong: [UInt64] = [4, 1 << 32, 1 << 60, 1 << 61, 1 << 63, .max, .max / 8 + 1]
        for offset in [16, 48, 64] {
            for count in wrong {
                var bytes = current
                bytes.replaceSubrange(offset..<offset + 8, with: withUnsafeBytes(of: count.bigEndian, Array.init))
                #expect(throws: IDFileRefusal.self) { try hour(bytes, 455_088) }
            }
        }
        let next = try golden(NextDayIDFile.name)
        for count in wrong {
            var bytes = next
            bytes.replaceSubrange(8..<16, with: withUnsafeBytes(of: count.bigEndian, Array.init))
            #expect(throws: IDFileRefusal.broken(.truncated)) { try nextDay(bytes, 18_962) }
        }
        var flag = current
        flag[7] = 2
        #expect(throws: IDFileRefusal.broken(.unknownValue)) { try hour(flag, 455_088) }
    }

    @Test(arguments: TestSeeds.thisRun)
    func randomSetsComeBack(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<40 {
            let set = randomSet(&random)
            let tenants = (0..<random.below(4)).map { (Tenant(bits: UInt64($0) << 32), randomSet(&random)) }
            var buffer = RawBuffer()
            HourIDFile.encode(hour: 5, isFull: false, ids: set, tenants: tenants, into: &buffer)
            #expect(try HourIDFile.decode(buffer.bytes, hour: 5) == set)
            buffer.removeAll()
            NextDayIDFile.encode(date: 6, ids: set, into: &buffer)
            #expect(try NextDayIDFile.decode(buffer.bytes, date: 6) == set)

            // Ids in another order, some of them twice.
            var unordered = RawBuffer()
            let list = Array(set).shuffled(using: &random) + set.prefix(3)
            unordered.appendBigEndian(6 as UInt64)
            unordered.appendBigEndian(UInt64(list.count))
            for id in list { unordered.appendBigEndian(id) }
            #expect(try NextDayIDFile.decode(unordered.bytes, date: 6) == set)
        }
    }

    private func randomSet(_ random: inout SplitMix64) -> MetricIDSet {
        let first = random.next()
        let step = UInt64(random.below(3) == 0 ? 1 << 40 : 1)
        return MetricIDSet((0..<random.below(2000)).map { first &+ UInt64($0) &* step })
    }
}
