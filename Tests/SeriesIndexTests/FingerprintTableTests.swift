// FingerprintTableTests.swift - the hash table of PendingNames: chains that wrap around, removal, growth.

import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import SeriesIndex

@Suite struct FingerprintTableTests {
    /// The name with a certain home in a table of 64 to 2^20 places; `number` tells names of one home apart.
    private static func name(home: Int, _ number: Int) -> Fingerprint {
        Fingerprint(high: UInt64(number), low: UInt64(home) << 6 | 17)
    }

    private static func tsid(_ number: UInt64) -> TSID {
        TSID(
            tenant: Tenant(bits: 9), metricGroupID: ~number, jobID: UInt32(truncatingIfNeeded: number),
            instanceID: 7, metricID: number)
    }

    private static func check(
        _ table: borrowing FingerprintTable, _ model: [Fingerprint: UInt64], _ names: some Sequence<Fingerprint>,
        _ context: @autoclosure () -> String
    ) {
        var isRight = table.count == model.count && table.isEmpty == model.isEmpty
        for name in names {
            let found = table.find(name)
            isRight = isRight && found?.pointee.metricID == model[name]
            if let found { isRight = isRight && found.pointee.name == name && found.pointee.isUsed }
        }
        #expect(isRight, "\(context())")
    }

    /// Five names with their homes at the end and the beginning of the smallest table, all pairs of removals.
    @Test func removalFromChainsThatWrapAround() {
        let homes = [62, 63, 0]
        for code in 0..<243 {
            let names = (0..<5).map { Self.name(home: homes[code / [1, 3, 9, 27, 81][$0] % 3], $0) }
            for first in 0..<5 {
                for second in 0..<5 where second != first {
                    var table = FingerprintTable()
                    var model: [Fingerprint: UInt64] = [:]
                    for (number, name) in names.enumerated() {
                        table.insert(name).pointee.set(Self.tsid(UInt64(number) + 1))
                        model[name] = UInt64(number) + 1
                    }
                    Self.check(table, model, names, "code \(code)")
                    for gone in [first, second] {
                        table.remove(names[gone])
                        model[names[gone]] = nil
                        Self.check(table, model, names, "code \(code), without \(first), \(second)")
                    }
                    // A name that is not there any more is no harm.
                    table.remove(names[first])
                    table.insert(names[first]).pointee.set(Self.tsid(77))
                    model[names[first]] = 77
                    Self.check(table, model, names, "code \(code), \(first) again")
                }
            }
        }
    }

    @Test(arguments: TestSeeds.thisRun) func randomOperations(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for round in 0..<12 {
            // Few homes: long chains. Many names: growth.
            let homes = [1, 3, 8, 1000][random.below(4)]
            let base = [0, 60, 63, 127][random.below(4)]
            let names = (0..<(20 + random.below(300))).map { Self.name(home: base + $0 % homes, $0) }
            var table = FingerprintTable()
            var model: [Fingerprint: UInt64] = [:]
            for step in 0..<1500 {
                let name = names[random.below(names.count)]
                switch random.below(random.below(2) == 0 ? 3 : 2) {
                case 0, 2:
                    let value = random.next()
                    let entry = table.find(name) ?? table.insert(name)
                    entry.pointee.set(Self.tsid(value))
                    model[name] = value
                default:
                    table.remove(name)
                    model[name] = nil
                }
                if step % 25 == 0 { Self.check(table, model, names, "round \(round), step \(step)") }
            }
            Self.check(table, model, names, "round \(round)")
            if random.below(2) == 0 {
                for name in names.dropFirst(2) { table.remove(name) }
                model = model.filter { names.prefix(2).contains($0.key) }
                Self.check(table, model, names, "round \(round), two left")
            }
            table.remove(before: 1)
            Self.check(table, [:], names, "round \(round), empty")
            table.insert(names[0]).pointee.set(Self.tsid(4))
            Self.check(table, [names[0]: 4], names, "round \(round), used again")
        }
    }

    @Test func entriesKeepWholeTSIDs() {
        var table = FingerprintTable()
        let name = Self.name(home: 3, 1)
        let tsid = TSID(
            tenant: Tenant(accountID: 7, projectID: 42), metricGroupID: 0xDEAD_BEEF_0123_4567, jobID: .max,
            instanceID: 5,
            metricID: .max)
        let entry = table.insert(name)
        #expect(!entry.pointee.isReserved)
        entry.pointee.isReserved = true
        entry.pointee.set(tsid)
        #expect(!entry.pointee.isReserved)
        #expect(table.find(name)?.pointee.tsid(tsid.tenant) == tsid)
        // The name of zeros is a name like others.
        let zero = Fingerprint(high: 0, low: 0)
        #expect(table.find(zero) == nil)
        table.remove(zero)
        table.insert(zero).pointee.set(tsid)
        #expect(table.count == 2 && table.find(zero) != nil)
        table.remove(zero)
        #expect(table.count == 1 && table.find(zero) == nil && table.find(name) != nil)
    }

    /// Entries of several flushes in long chains, some of them reserved, removed up to a flush; numbers that wrap around.
    @Test(arguments: TestSeeds.thisRun) func removalByFlush(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for round in 0..<60 {
            let firstFlush: UInt32 = [1, .max - 3, 1 << 31][random.below(3)]
            let count = [3, 40, 150, 700][random.below(4)]
            let names = (0..<count).map { Self.name(home: 40 + random.below([3, 70][round % 2]), $0) }
            var table = FingerprintTable()
            var model: [Fingerprint: (value: UInt64, age: Int, isReserved: Bool)] = [:]
            for (number, name) in names.enumerated() {
                let entry = table.insert(name)
                let age = random.below(6)
                entry.pointee.set(Self.tsid(UInt64(number)), firstFlush &+ UInt32(age))
                entry.pointee.isReserved = random.below(5) == 0
                model[name] = (UInt64(number), age, entry.pointee.isReserved)
            }
            if random.below(3) == 0 {
                // Hardly anything is left: memory is given back.
                for name in names.dropFirst(3) {
                    table.remove(name)
                    model[name] = nil
                }
            }
            for flush in [1, 3, 6] {
                table.remove(before: firstFlush &+ UInt32(flush))
                model = model.filter { $0.value.age >= flush || $0.value.isReserved }
                Self.check(table, model.mapValues(\.value), names, "round \(round), flush \(flush)")
                for name in names {
                    #expect((table.find(name)?.pointee.isReserved ?? false) == (model[name]?.isReserved ?? false))
                }
            }
            table.insert(Self.name(home: 5, 5000)).pointee.set(Self.tsid(1))
            #expect(table.find(Self.name(home: 5, 5000)) != nil)
        }
    }
}
