// AdmissionTests.swift - how many AddRows calls run at once: the limit, waiting, giving up, and searches that pause.

import Glibc
import StorageFiles
import StorageRuntime
import Synchronization
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct AdmissionTests {
    private static let name = rawName("m", ["job": "j"])

    private static func fixture(places: Int, waitNanoseconds: UInt64) throws -> EngineFixture {
        var options = StorageOptions.tiny()
        options.concurrentAddRowsMax = places
        options.addRowsWaitNanoseconds = waitNanoseconds
        return try EngineFixture(isLive: true, options: options)
    }

    private static func waitUntil(_ condition: () -> Bool) { while !condition() { sched_yield() } }

    @Test func concurrentCallGivesUpWhenNoPlaceIsFree() throws {
        let fixture = try Self.fixture(places: 2, waitNanoseconds: 20_000_000)
        let engine = fixture.engine
        let sink = fixture.sink
        let now = fixture.nowMs
        let failures = Failures()
        sink.block()
        let holders = (0..<2).map { index in
            Thread.start("holder") {
                failures.note("holder") { try engine.add([(rawName("m\(index)"), now)]) }
            }
        }
        sink.waitForCallers(2)
        #expect(engine.metrics.addRowsCurrent == 2 && engine.metrics.addRowsCapacity == 2)
        do {
            try engine.add([(Self.name, now), (Self.name, now), (Self.name, now)])
            Issue.record("there was no place")
        } catch {
            #expect(error.kind == .overloaded)
            #expect("\(error)".contains("cannot add 3 rows to storage in"))
            #expect("\(error)".contains("overloaded with 2 concurrent writers"))
        }
        let metrics = engine.metrics
        #expect(metrics.addRowsLimitReached == 1 && metrics.addRowsTimeouts == 1 && metrics.addRowsDroppedRows == 3)
        sink.unblock()
        for holder in holders { holder.join() }
        #expect(failures.all == [])
        // The places are free again, and what was refused can be sent again.
        try engine.add([(Self.name, now)])
        #expect(engine.metrics.addRowsCurrent == 0 && engine.metrics.rowsAdded == 3)
        #expect(engine.metrics.newSeriesCreated == 3)
        try fixture.close()
    }

    @Test func concurrentCallWaitsForItsTurnAndSearchesPause() throws {
        let fixture = try Self.fixture(places: 1, waitNanoseconds: 600_000_000_000)
        let engine = fixture.engine
        let sink = fixture.sink
        let now = fixture.nowMs
        let failures = Failures()
        sink.block()
        let holder = Thread.start("holder") { failures.note("holder") { try engine.add([(Self.name, now)]) } }
        sink.waitForCallers(1)
        engine.searchGate.pass()
        #expect(engine.searchGate.waitCount == 0)

        let waiters = (0..<2).map { _ in
            Thread.start("waiter") { failures.note("waiter") { try engine.add([(Self.name, now), (Self.name, now)]) } }
        }
        Self.waitUntil { engine.metrics.addRowsLimitReached == 2 }
        let searches = Atomic<Int>(0)
        let search = Thread.start("search") {
            engine.searchGate.pass()
            searches.wrappingAdd(1, ordering: .relaxed)
        }
        Self.waitUntil { engine.searchGate.waitCount == 1 }
        #expect(searches.load(ordering: .relaxed) == 0)
        #expect(engine.metrics.addRowsCurrent == 1)

        sink.unblock()
        for thread in [holder, search] + waiters { thread.join() }
        #expect(failures.all == [])
        #expect(searches.load(ordering: .relaxed) == 1)
        let metrics = engine.metrics
        #expect(metrics.addRowsTimeouts == 0 && metrics.addRowsDroppedRows == 0 && metrics.rowsAdded == 5)
        #expect(fixture.sink.takeRows().count == 5)
        try fixture.close()
    }

    @Test func concurrentCallsAreNeverMoreThanThePlaces() throws {
        let fixture = try Self.fixture(places: 2, waitNanoseconds: 600_000_000_000)
        let engine = fixture.engine
        let now = fixture.nowMs
        let failures = Failures()
        together(
            (0..<5).map { thread in
                {
                    for round in 0..<60 {
                        failures.note("add") { try engine.add([(rawName("m\(round)", ["t": "\(thread)"]), now)]) }
                        failures.require(engine.metrics.addRowsCurrent <= 2, "too many at once")
                    }
                }
            })
        #expect(failures.all == [])
        #expect(engine.metrics.rowsAdded == 300 && engine.metrics.addRowsCurrent == 0)
        try fixture.close()
    }

    @Test func emptyListNeedsNoPlace() throws {
        let fixture = try Self.fixture(places: 1, waitNanoseconds: 1)
        let engine = fixture.engine
        let sink = fixture.sink
        let now = fixture.nowMs
        sink.block()
        let holder = Thread.start("holder") { try? engine.add([(Self.name, now)]) }
        sink.waitForCallers(1)
        try engine.add([])
        sink.unblock()
        holder.join()
        try fixture.close()
    }
}
