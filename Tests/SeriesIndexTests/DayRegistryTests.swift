// DayRegistryTests.swift - which series are registered for which days: step by step, and callers that overlap against a
// table in sets.

import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import SeriesIndex

@Suite struct DayRegistryTests {
    private static func claims(_ wanted: [(date: UInt64, id: UInt64)]) -> [DayClaim] {
        wanted.enumerated().map { row, entry in
            DayClaim(
                date: entry.date,
                tsid: TSID(
                    tenant: Tenant(bits: 5), metricGroupID: 0, jobID: 0, instanceID: 0, metricID: entry.id), row: row)
        }
    }

    private static func claim(_ registry: DayRegistry, _ claims: inout [DayClaim]) -> Bool {
        claims.withUnsafeMutableBufferPointer { registry.claim($0) }
    }

    private static func commit(_ registry: DayRegistry, _ claims: inout [DayClaim]) {
        claims.withUnsafeMutableBufferPointer { registry.commit($0) }
    }

    private static func release(_ registry: DayRegistry, _ claims: inout [DayClaim]) {
        claims.withUnsafeMutableBufferPointer { registry.release($0) }
    }

    @Test func daysOfANewTableAreComplete() {
        let registry = DayRegistry(isNewTable: true, bytesMax: 1 << 20)
        var claims = Self.claims([(7, 1), (7, 2), (7, 1), (8, 1)])
        #expect(!Self.claim(registry, &claims))
        #expect(claims.map(\.state) == [.claimed, .claimed, .known, .claimed])
        #expect(claims.map(\.isMiss) == [true, true, false, true])
        // Somebody else finds them known as long as they are on their way.
        var others = Self.claims([(7, 2), (9, 2)])
        #expect(!Self.claim(registry, &others))
        #expect(others.map(\.state) == [.known, .claimed])
        Self.commit(registry, &claims)
        Self.release(registry, &others)
        var again = Self.claims([(7, 1), (7, 2), (8, 1), (9, 2)])
        #expect(!Self.claim(registry, &again))
        #expect(again.map(\.state) == [.known, .known, .known, .claimed])
        #expect(registry.contains(date: 7, 2) && !registry.contains(date: 8, 2) && registry.isComplete(1000))
        let metrics = registry.metrics
        #expect(metrics.requests == 10 && metrics.misses == 5)
        #expect(metrics.days == 3 && metrics.entries == 4 && metrics.bytes > 0)
        #expect(metrics.searches == 0 && metrics.scans == 0 && metrics.evictions == 0)
    }

    @Test func answeredClaimsAreNotAskedAgain() {
        let registry = DayRegistry(isNewTable: true, bytesMax: 1 << 20)
        var claims = Self.claims([(7, 1)])
        _ = Self.claim(registry, &claims)
        #expect(!Self.claim(registry, &claims))
        #expect(claims[0].state == .claimed && registry.metrics.requests == 1)
        #expect(!DayRegistry(isNewTable: true, bytesMax: 1).claim(UnsafeMutableBufferPointer(start: nil, count: 0)))
    }

    @Test func unknownClaimsAreSettled() {
        let registry = DayRegistry(isNewTable: false, bytesMax: 1 << 20)
        var claims = Self.claims([(7, 1), (7, 2), (7, 2), (8, 1)])
        #expect(Self.claim(registry, &claims))
        #expect(claims.map(\.state) == [.unknown, .unknown, .unknown, .unknown])
        registry.settle(&claims[0], isInTable: true)
        registry.settle(&claims[1], isInTable: false)
        registry.settle(&claims[2], isInTable: false)
        registry.settle(&claims[3], isInTable: false)
        #expect(claims.map(\.state) == [.known, .claimed, .known, .claimed])
        Self.commit(registry, &claims)
        var again = Self.claims([(7, 1), (7, 2), (7, 3), (8, 1)])
        #expect(Self.claim(registry, &again))
        #expect(again.map(\.state) == [.known, .known, .unknown, .known])
        Self.release(registry, &again)
        // All entries of the day arrive: 1 and 4 were in the table.
        registry.complete(7, MetricIDSet([1, 4]))
        var third = Self.claims([(7, 1), (7, 2), (7, 3), (7, 4)])
        #expect(!Self.claim(registry, &third))
        #expect(third.map(\.state) == [.known, .known, .claimed, .known])
        #expect(registry.isComplete(7) && !registry.isComplete(8))
        #expect(registry.metrics.scans == 1)
    }

    @Test func newSeriesNeedNoQuestion() {
        let registry = DayRegistry(isNewTable: false, bytesMax: 1 << 20)
        var new = Self.claims([(7, 10), (7, 11), (8, 12)])
        new.withUnsafeMutableBufferPointer { registry.claimNew($0) }
        #expect(new.allSatisfy { $0.state == .claimed && !$0.isMiss })
        var claims = Self.claims([(7, 10), (8, 12), (8, 11)])
        #expect(Self.claim(registry, &claims))
        #expect(claims.map(\.state) == [.known, .known, .unknown])
        Self.release(registry, &claims)
        Self.release(registry, &new)
        #expect(registry.metrics.entries == 0)
        #expect(registry.metrics.requests == 3 && registry.metrics.misses == 1)
    }

    @Test func aDayIsReadWhenSearchesHaveCostAsMuch() {
        let registry = DayRegistry(isNewTable: false, bytesMax: 1 << 20)
        // A small table: from 33 searches on.
        for number in 1...32 { #expect(!registry.shouldScan(7, searches: 1, scanCost: 0), "\(number)") }
        #expect(registry.shouldScan(7, searches: 1, scanCost: 0))
        // Another day counts for itself, and a large table takes more.
        #expect(!registry.shouldScan(8, searches: 32, scanCost: 0))
        #expect(!registry.shouldScan(9, searches: 500, scanCost: 1000))
        #expect(!registry.shouldScan(9, searches: 500, scanCost: 1000))
        #expect(registry.shouldScan(9, searches: 1, scanCost: 1000))
        #expect(registry.shouldScan(10, searches: 40, scanCost: 39))
        #expect(registry.metrics.searches == 32 + 32 + 1000)
    }

    /// Days with entries that are not durable, days in use and the two used last stay; others go, oldest first.
    @Test func roomIsMadeWithoutForgettingWhatASearchDoesNotSee() {
        let registry = DayRegistry(isNewTable: true, bytesMax: 0)
        func add(_ date: UInt64) {
            var claims = Self.claims([(date, 1), (date, 2)])
            _ = Self.claim(registry, &claims)
            Self.commit(registry, &claims)
        }
        var flushes: UInt64 = 0
        func flush(_ succeeded: Bool = true, during: () -> Void = {}) {
            flushes += 1
            registry.willFlush(flushes)
            during()
            if succeeded { registry.didFlush(through: flushes) }
        }
        func knows(_ date: UInt64) -> Bool { registry.contains(date: date, 1) }
        for date in 1...5 as ClosedRange<UInt64> { add(date) }
        flush(false)
        #expect((1...5).allSatisfy(knows), "nothing is durable yet")
        var open = Self.claims([(2, 3)])
        _ = Self.claim(registry, &open)  // 2 is in use, and used last
        flush(during: { add(1) })  // so 1 is used last; its new entries are not durable, and it had none
        #expect(knows(1) && knows(2) && knows(5) == false && !knows(3) && !knows(4))
        #expect(registry.metrics.evictions == 3)
        #expect(!registry.isComplete(3) && registry.isComplete(2) && registry.isComplete(77))
        // Forgotten days are searched for.
        var claims = Self.claims([(3, 1), (4, 9)])
        #expect(Self.claim(registry, &claims))
        #expect(claims.map(\.state) == [.unknown, .unknown])
        registry.settle(&claims[0], isInTable: true)
        registry.settle(&claims[1], isInTable: false)
        flush()
        // 4 is in use; 3 and 4 are used last; 1 is durable now; 2 is still in use.
        #expect(!knows(1) && knows(2) && knows(3) && registry.contains(date: 4, 9))
        #expect(registry.metrics.evictions == 4)
        Self.commit(registry, &open)
        Self.release(registry, &claims)
        add(8)
        add(9)
        flush()
        #expect(registry.contains(date: 2, 3) == false && !knows(3) && knows(8) && knows(9))
        // Empty days are not forgotten again and again.
        let evictions = registry.metrics.evictions
        flush()
        flush()
        #expect(registry.metrics.evictions == evictions)
    }

    // MARK: model

    /// One caller with a batch of claims: asked, perhaps searching a view of the table, writing, done.
    private struct Caller {
        var claims: [DayClaim] = []
        /// What a search sees, once the claims are made.
        var view: Set<Entry>?
        var isNew = false
    }

    private struct Entry: Hashable {
        var date: UInt64
        var id: UInt64
    }

    /// Callers that overlap with each other and with flushes. Whatever is forgotten in between: an entry is written once, and
    /// known only when it is in the table or on its way.
    @Test(arguments: TestSeeds.thisRun, [true, false]) func overlappingCallers(seed: UInt64, isNewTable: Bool) {
        var random = SplitMix64(seed: seed)
        for round in 0..<6 {
            let bytesMax = [0, 2000, 20_000, 1 << 20][random.below(4)]
            let registry = DayRegistry(isNewTable: isNewTable, bytesMax: bytesMax)
            var durable: Set<Entry> = []
            if !isNewTable {
                for _ in 0..<400 {
                    durable.insert(Entry(date: UInt64(random.below(6)), id: UInt64(random.below(300)) << 12))
                }
            }
            var added: Set<Entry> = []
            var sealed: Set<Entry>?
            /// Claimed entries whose rows are not added yet.
            var onTheWay: Set<Entry> = []
            var callers = [Caller](repeating: Caller(), count: 4)
            var nextNew: UInt64 = 1 << 40
            var lastDate: UInt64 = 0

            func entry(_ claim: DayClaim) -> Entry { Entry(date: claim.date, id: claim.metricID) }
            func checkAnswers(_ claims: [DayClaim], _ before: [DayClaim.State], _ step: Int) {
                for (index, claim) in claims.enumerated() where before[index] != claim.state {
                    let wanted = entry(claim)
                    let isThere = durable.contains(wanted) || added.contains(wanted) || onTheWay.contains(wanted)
                    switch claim.state {
                    case .known: #expect(isThere, "round \(round), step \(step): \(wanted)")
                    case .claimed:
                        #expect(!isThere, "round \(round), step \(step): \(wanted) twice")
                        onTheWay.insert(wanted)
                    case .open, .unknown: break
                    }
                }
            }

            var flushes: UInt64 = 0
            for step in 0..<1200 {
                if random.below(6) == 0 {
                    if let rows = sealed {
                        let succeeded = random.below(4) > 0
                        if succeeded {
                            durable.formUnion(rows)
                            added.subtract(rows)
                        }
                        if succeeded { registry.didFlush(through: flushes) }
                        sealed = nil
                    } else {
                        flushes += 1
                        registry.willFlush(flushes)
                        sealed = added
                    }
                    continue
                }
                let number = random.below(callers.count)
                if callers[number].claims.isEmpty {
                    // A block of rows: mostly of one day.
                    if random.below(5) == 0 { lastDate = UInt64(random.below(9)) }
                    var wanted: [(date: UInt64, id: UInt64)] = []
                    let isNew = random.below(4) == 0
                    for _ in 0..<(1 + random.below(12)) {
                        let date = random.below(6) == 0 ? UInt64(random.below(9)) : lastDate
                        if isNew {
                            wanted.append((date, nextNew))
                            nextNew += 1
                        } else {
                            wanted.append((date, UInt64(random.below(300)) << 12))
                        }
                    }
                    wanted.sort { ($0.date, $0.id) < ($1.date, $1.id) }
                    var claims = Self.claims(wanted)
                    let before = claims.map(\.state)
                    if isNew {
                        claims.withUnsafeMutableBufferPointer { registry.claimNew($0) }
                    } else if Self.claim(registry, &claims) {
                        callers[number].view = durable
                    }
                    checkAnswers(claims, before, step)
                    if isNewTable, bytesMax > 1 << 19 { #expect(!claims.contains { $0.state == .unknown }) }
                    callers[number].claims = claims
                } else if let view = callers[number].view {
                    // The search ends.
                    var claims = callers[number].claims
                    if random.below(12) == 0 {
                        Self.release(registry, &claims)
                        for claim in claims where claim.state == .claimed { onTheWay.remove(entry(claim)) }
                        callers[number] = Caller()
                        continue
                    }
                    let scans = random.below(2) == 0
                    for index in claims.indices where claims[index].state == .unknown {
                        if scans {
                            let date = claims[index].date
                            if !registry.isComplete(date) {
                                registry.complete(date, MetricIDSet(view.filter { $0.date == date }.map(\.id)))
                            }
                        }
                        let before = claims.map(\.state)
                        let isInTable = !scans && view.contains(entry(claims[index]))
                        registry.settle(&claims[index], isInTable: isInTable)
                        checkAnswers(claims, before, step)
                    }
                    callers[number].claims = claims
                    callers[number].view = nil
                } else {
                    var claims = callers[number].claims
                    let isWritten = random.below(6) > 0
                    for claim in claims where claim.state == .claimed {
                        onTheWay.remove(entry(claim))
                        if isWritten { added.insert(entry(claim)) }
                    }
                    if isWritten { Self.commit(registry, &claims) } else { Self.release(registry, &claims) }
                    callers[number] = Caller()
                }
            }
            let metrics = registry.metrics
            #expect(bytesMax > 1 << 19 ? metrics.evictions == 0 : true)
            if bytesMax == 0 { #expect(metrics.evictions > 0) }
        }
    }
}
