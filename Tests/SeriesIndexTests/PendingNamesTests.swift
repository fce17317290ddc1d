// PendingNamesTests.swift - names on their way into the table: who gets to register one, and when it is forgotten.

import StorageBytes
import StorageRuntime
import Synchronization
import TestSupport
import Testing

@testable import SeriesIndex

/// A claim in comparable form.
private enum Answer: Equatable {
    case known(UInt64)
    case reserved, busy

    init(_ claim: NameClaim) {
        switch claim {
        case .known(let tsid): self = .known(tsid.metricID)
        case .reserved: self = .reserved
        case .busy: self = .busy
        }
    }
}

@Suite struct PendingNamesTests {
    private static let tenant = Tenant(accountID: 3, projectID: 4)

    private static func name(_ number: Int) -> Fingerprint {
        var random = SplitMix64(seed: UInt64(number))
        return Fingerprint(high: random.next(), low: random.next())
    }

    private static func tsid(_ id: UInt64) -> TSID {
        TSID(tenant: tenant, metricGroupID: id &* 3, jobID: 1, instanceID: 2, metricID: id)
    }

    private static func reserve(_ names: PendingNames, _ number: Int, dead: Set<UInt64> = []) -> Answer {
        Answer(names.reserve(name(number), tenant: tenant) { dead.contains($0) })
    }

    @Test func oneNameIsRegisteredOnce() {
        let names = PendingNames()
        #expect(Self.reserve(names, 1) == .reserved)
        #expect(Self.reserve(names, 1) == .busy)
        #expect(Self.reserve(names, 2) == .reserved)
        #expect(names.find(Self.name(1), tenant: Self.tenant) == nil)
        names.complete(Self.name(1), Self.tsid(10))
        #expect(Self.reserve(names, 1) == .known(10))
        #expect(names.find(Self.name(1), tenant: Self.tenant) == Self.tsid(10))
        names.cancel(Self.name(2))
        #expect(Self.reserve(names, 2) == .reserved)
        #expect(names.count == 2)
        // Whoever reserved it may also end it with a TSID that was found elsewhere.
        names.complete(Self.name(2), Self.tsid(20))
        #expect(Answer(names.wait(for: Self.name(2), tenant: Self.tenant) { _ in false }) == .known(20))
        #expect(Answer(names.wait(for: Self.name(3), tenant: Self.tenant) { _ in false }) == .reserved)
    }

    @Test func aFlushForgetsWhatWasCompleteBefore() {
        let names = PendingNames()
        for number in 1...3 { #expect(Self.reserve(names, number) == .reserved) }
        names.complete(Self.name(1), Self.tsid(10))
        names.willFlush(1)
        // While the flush runs, names of before and after its beginning are known.
        #expect(Self.reserve(names, 1) == .known(10))
        #expect(Self.reserve(names, 2) == .busy)
        names.complete(Self.name(2), Self.tsid(20))
        #expect(Self.reserve(names, 4) == .reserved)
        names.complete(Self.name(4), Self.tsid(40))
        #expect(names.count == 4)
        names.didFlush(through: 1)
        // 1 is in the table; the rows of 2 and 4 were perhaps added after the flush began; 3 is still reserved.
        #expect(Self.reserve(names, 1) == .reserved)
        #expect(Self.reserve(names, 2) == .known(20))
        #expect(Self.reserve(names, 3) == .busy)
        #expect(Self.reserve(names, 4) == .known(40))
        names.complete(Self.name(3), Self.tsid(30))
        names.cancel(Self.name(1))
        names.willFlush(2)
        names.didFlush(through: 2)
        #expect(names.count == 0)
        for number in 1...4 { #expect(Self.reserve(names, number) == .reserved) }
    }

    @Test func aFailedFlushForgetsNothing() {
        let names = PendingNames()
        for number in 1...3 { #expect(Self.reserve(names, number) == .reserved) }
        names.complete(Self.name(1), Self.tsid(10))
        names.willFlush(1)
        names.complete(Self.name(2), Self.tsid(20))
        // It fails, and tells nothing.
        #expect(Self.reserve(names, 1) == .known(10))
        #expect(Self.reserve(names, 2) == .known(20))
        #expect(Self.reserve(names, 3) == .busy)
        names.willFlush(2)
        #expect(Self.reserve(names, 1) == .known(10))
        #expect(Self.reserve(names, 2) == .known(20))
        names.didFlush(through: 2)
        #expect(Self.reserve(names, 1) == .reserved)
        #expect(Self.reserve(names, 2) == .reserved)
        #expect(Self.reserve(names, 3) == .busy)
    }

    /// What was added before flush 1 is still in an open run when flush 2 begins: 2 makes it durable, or 3 does.
    @Test func aLaterFlushTellsOfAnEarlierOne() {
        let names = PendingNames()
        for number in 1...4 {
            #expect(Self.reserve(names, number) == .reserved)
            names.complete(Self.name(number), Self.tsid(UInt64(number) * 10))
            if number < 4 { names.willFlush(UInt64(number)) }
        }
        names.didFlush(through: 1)
        #expect(Self.reserve(names, 1) == .reserved)
        for number in 2...4 { #expect(Self.reserve(names, number) == .known(UInt64(number) * 10)) }
        names.didFlush(through: 3)
        for number in 2...3 { #expect(Self.reserve(names, number) == .reserved) }
        #expect(Self.reserve(names, 4) == .known(40))
    }

    @Test func deletedSeriesAreRegisteredAgain() {
        for isClosing in [false, true] {
            let names = PendingNames()
            #expect(Self.reserve(names, 1) == .reserved)
            names.complete(Self.name(1), Self.tsid(10))
            if isClosing { names.willFlush(1) }
            #expect(Self.reserve(names, 1, dead: [11]) == .known(10))
            #expect(Self.reserve(names, 1, dead: [10]) == .reserved)
            // Now it is that caller's, whoever else thinks it dead or not.
            #expect(Self.reserve(names, 1, dead: [10]) == .busy)
            #expect(Self.reserve(names, 1) == .busy)
            if isClosing { names.didFlush(through: 1) }
            #expect(Self.reserve(names, 1) == .busy)
            names.complete(Self.name(1), Self.tsid(12))
            #expect(Self.reserve(names, 1, dead: [10]) == .known(12))
            #expect(names.count == 1)
        }
    }

    /// Random calls against a dictionary. A completed name is forgotten when everything added before a flush that began
    /// later is durable.
    @Test(arguments: TestSeeds.thisRun) func randomCalls(seed: UInt64) {
        enum State: Equatable {
            case reserved
            case done(id: UInt64, at: Int)
        }
        var random = SplitMix64(seed: seed)
        let names = PendingNames()
        var model: [Int: State] = [:]
        var dead: Set<UInt64> = []
        var flushesBeganAt: [Int] = []
        var durable = 0
        for step in 0..<20_000 {
            let number = random.below(40)
            switch random.below(100) {
            case 0..<55:
                let answer = Self.reserve(names, number, dead: dead)
                switch model[number] {
                case nil:
                    #expect(answer == .reserved, "step \(step)")
                    model[number] = .reserved
                case .reserved: #expect(answer == .busy, "step \(step)")
                case .done(let id, _):
                    #expect(answer == (dead.contains(id) ? .reserved : .known(id)), "step \(step)")
                    if dead.contains(id) { model[number] = .reserved }
                }
            case 55..<85:
                guard model[number] == .reserved else { continue }
                if random.below(4) == 0 {
                    names.cancel(Self.name(number))
                    model[number] = nil
                } else {
                    names.complete(Self.name(number), Self.tsid(UInt64(step)))
                    model[number] = .done(id: UInt64(step), at: step)
                }
            case 85..<93:
                let found = names.find(Self.name(number), tenant: Self.tenant)?.metricID
                if case .done(let id, _) = model[number] { #expect(found == id) } else { #expect(found == nil) }
            case 93..<95:
                if case .done(let id, _) = model[number] { dead.insert(id) }
            default:
                if durable == flushesBeganAt.count || random.below(2) == 0 {
                    flushesBeganAt.append(step)
                    names.willFlush(UInt64(flushesBeganAt.count))
                } else {
                    durable += 1 + random.below(flushesBeganAt.count - durable)
                    names.didFlush(through: UInt64(durable))
                    let begin = flushesBeganAt[durable - 1]
                    model = model.filter {
                        if case .done(_, let at) = $0.value { at > begin } else { true }
                    }
                }
            }
            if step % 500 == 0 { #expect(names.count == model.count, "step \(step)") }
        }
    }
}

@Suite struct PendingNamesConcurrentTests {
    /// A table in two sets: what was added, and what of it a search sees.
    private struct Rows {
        var added: [Int: UInt64] = [:]
        var durable: [Int: UInt64] = [:]
    }

    /// Threads that want the same names while flushes come and go: every name is registered once, and one thread at a
    /// time thinks that it is the one to do it.
    @Test func everyNameIsCreatedOnce() {
        let names = PendingNames()
        let nameCount = 300
        let tenant = Tenant(bits: 0)
        let rows = Protected(Rows())
        let owners = (0..<nameCount).map { _ in Protected<Int>(0) }
        let problems = Protected<[String]>([])
        let ids = Atomic<UInt64>(0)
        let running = Atomic<Int>(3)

        @Sendable func fingerprint(_ number: Int) -> Fingerprint {
            // Few shards, so that threads meet.
            Fingerprint(high: UInt64(number) &* 0x9E37_79B9_7F4A_7C15, low: UInt64(number) << 6 | UInt64(number & 3))
        }
        @Sendable func note(_ text: String) { problems.withLock { $0.append(text) } }

        let writers: [@Sendable () -> Void] = (0..<3).map { thread in
            {
                var random = SplitMix64(seed: UInt64(thread) + 99)
                // What a thread does with a name that it has reserved.
                func register(_ number: Int) {
                    if owners[number].withLock({ owner in
                        owner += 1
                        return owner
                    }) != 1 {
                        note("two owners of \(number)")
                    }
                    let found = rows.withLock { $0.durable[number] }
                    let isGivenUp = found == nil && random.below(8) == 0
                    let id = found ?? ids.wrappingAdd(1, ordering: .relaxed).newValue
                    if found == nil, !isGivenUp {
                        let before = rows.withLock { rows in rows.added.updateValue(id, forKey: number) }
                        if before != nil { note("\(number) was created twice") }
                    }
                    owners[number].withLock { $0 -= 1 }
                    if isGivenUp {
                        names.cancel(fingerprint(number))
                    } else {
                        names.complete(
                            fingerprint(number),
                            TSID(tenant: tenant, metricGroupID: 0, jobID: 0, instanceID: 0, metricID: id))
                    }
                }
                func check(_ number: Int, _ tsid: TSID) {
                    if rows.withLock({ $0.added[number] }) != tsid.metricID { note("\(number) has another id") }
                }
                for _ in 0..<400 {
                    let wanted = Set((0..<12).map { _ in random.below(nameCount) })
                    var mine: [Int] = []
                    var foreign: [Int] = []
                    for number in wanted {
                        switch names.reserve(fingerprint(number), tenant: tenant, isDead: { _ in false }) {
                        case .known(let tsid): check(number, tsid)
                        case .reserved: mine.append(number)
                        case .busy: foreign.append(number)
                        }
                    }
                    for number in mine { register(number) }
                    for number in foreign {
                        switch names.wait(for: fingerprint(number), tenant: tenant, isDead: { _ in false }) {
                        case .known(let tsid): check(number, tsid)
                        case .reserved: register(number)
                        case .busy: note("waited in vain")
                        }
                    }
                }
                running.wrappingSubtract(1, ordering: .releasing)
            }
        }
        let flusher: @Sendable () -> Void = {
            var random = SplitMix64(seed: 7)
            var number: UInt64 = 0
            while running.load(ordering: .acquiring) > 0 {
                number += 1
                names.willFlush(number)
                let sealed = rows.withLock { $0.added }
                let succeeded = random.below(3) > 0
                if succeeded { rows.withLock { $0.durable.merge(sealed) { old, _ in old } } }
                if succeeded { names.didFlush(through: number) }
            }
        }
        let threads = (writers + [flusher]).enumerated().map { Thread.start("names-\($0)", $1) }
        for thread in threads { thread.join() }
        #expect(problems.withLock { $0 } == [])
        #expect(rows.withLock { $0.added.count } > nameCount / 2)
        names.willFlush(1 << 30)
        names.didFlush(through: 1 << 30)
        #expect(names.count == 0)
    }
}
