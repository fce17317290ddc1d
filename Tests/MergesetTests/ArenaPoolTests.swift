// ArenaPoolTests.swift - how many arenas are kept: against a plain model of the rule, and by a table that was busy once.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import Mergeset

@Suite struct ArenaPoolTests {
    private static let arenaBytes = 4096

    /// Arenas that are in use; a list of values that cannot be copied.
    private final class Held {
        private var buffers: [Int: Box] = [:]
        private var next = 0
        private final class Box {
            var buffer: RawBuffer?
            init(_ buffer: consuming RawBuffer) { self.buffer = consume buffer }
            func take() -> RawBuffer? { buffer.take() }
        }
        var count: Int { buffers.count }
        func take(from pool: ArenaPool) {
            buffers[next] = Box(pool.take())
            next += 1
        }
        /// Puts one back, after `filled` bytes were written to it.
        func put(to pool: ArenaPool, filled: Int = 100) {
            guard let key = buffers.keys.min(), let box = buffers.removeValue(forKey: key) else { return }
            guard var buffer = box.take() else { return }
            let count = buffer.count
            #expect(count == 0)
            buffer.append([UInt8](repeating: 1, count: filled))
            pool.put(buffer)
        }
    }

    @Test func aSteadyLoadKeepsItsArenas() {
        let pool = ArenaPool(arenaBytes: Self.arenaBytes, countMax: 20)
        let held = Held()
        for round in 0..<10 {
            for _ in 0..<6 { held.take(from: pool) }
            #expect(pool.counts == .init(waiting: 0, inUse: 6), "round \(round)")
            for _ in 0..<5 { held.put(to: pool) }
            // One is in use while the pool is trimmed.
            pool.trim()
            held.put(to: pool)
            #expect(pool.counts == .init(waiting: 6, inUse: 0), "round \(round)")
        }
    }

    @Test func whatABurstNeededIsGivenBackAfterTwoTrims() {
        let pool = ArenaPool(arenaBytes: Self.arenaBytes, countMax: 20)
        let held = Held()
        for _ in 0..<9 { held.take(from: pool) }
        for _ in 0..<9 { held.put(to: pool, filled: 300) }
        pool.trim()
        #expect(pool.counts == .init(waiting: 9, inUse: 0) && pool.waitingBytes == 2700)
        held.take(from: pool)
        held.put(to: pool)
        pool.trim()
        #expect(pool.counts == .init(waiting: 9, inUse: 0))
        held.take(from: pool)
        held.put(to: pool)
        pool.trim()
        #expect(pool.counts == .init(waiting: 1, inUse: 0))
        pool.trim()
        pool.trim()
        #expect(pool.counts == .init(waiting: 0, inUse: 0) && pool.waitingBytes == 0)
    }

    @Test func arenasOfOtherSizesAreNotKept() {
        let pool = ArenaPool(arenaBytes: Self.arenaBytes, countMax: 20)
        let held = Held()
        held.take(from: pool)
        held.put(to: pool, filled: 4 * Self.arenaBytes)
        #expect(pool.counts == .init(waiting: 0, inUse: 0))
    }

    @Test func aRetiredPoolKeepsNothing() {
        let pool = ArenaPool(arenaBytes: Self.arenaBytes, countMax: 20)
        let held = Held()
        for _ in 0..<3 { held.take(from: pool) }
        held.put(to: pool)
        pool.retire()
        #expect(pool.counts == .init(waiting: 0, inUse: 2))
        held.put(to: pool)
        #expect(pool.counts == .init(waiting: 0, inUse: 1))
    }

    @Test(arguments: TestSeeds.thisRun) func thePoolAgainstItsRule(seed: UInt64) {
        var random = SplitMixBytes(seed: seed)
        let countMax = Int(random.next() % 12)
        let pool = ArenaPool(arenaBytes: Self.arenaBytes, countMax: countMax)
        let held = Held()
        // Most in use in each period between trims; the last one is running.
        var most = [0, 0]
        var waiting = 0
        for _ in 0..<2000 {
            switch random.next() % 16 {
            case 0..<7:
                held.take(from: pool)
                waiting = max(0, waiting - 1)
                most[most.count - 1] = max(most[most.count - 1], held.count)
            case 7..<15:
                if held.count > 0 {
                    held.put(to: pool)
                    waiting = min(countMax, waiting + 1)
                }
            default:
                let waitingMax = random.next() % 4 == 0 ? Int(random.next() % 3) : .max
                pool.trim(waitingMax: waitingMax)
                waiting = min(waiting, most.suffix(2).max()! - held.count, waitingMax)
                most.append(held.count)
            }
            #expect(pool.counts == .init(waiting: waiting, inUse: held.count))
        }
    }

    /// Memory for runs follows the load: bounded while a table is added to, nothing when it is not any more.
    @Test func aTableGivesBackWhatItDoesNotNeed() throws {
        let options = TableOptions.tiny(shards: 2, run: 64 << 10, memory: 4 << 20)
        let environment = Environment.deterministic()
        let table = try Table.open("/t", options: options, files: SimulatedFileSystem(), environment: environment)
        let limit = UInt64(options.memoryBytesMax * 3 / 2 + 3 * (options.runBytesMax + 16384))
        var most: UInt64 = 0
        for batch in 0..<1200 {
            let item = SplitMixBytes.first(8000, seed: UInt64(batch))
            try table.add([item])
            let metrics = table.metrics
            #expect(metrics.pendingBytes <= limit && metrics.keptBytes <= 2 * limit)
            most = max(most, metrics.keptBytes)
        }
        #expect(most > 1 << 20, "the pool was used: \(most)")
        try table.flush()
        let drained = table.metrics
        #expect(drained.pendingBytes == 0 && drained.keptBytes > 0 && drained.keptBytes <= 128 << 10)
        (environment.clock as? VirtualClock)?.advance(milliseconds: 5000)
        environment.scheduler.checkpoint()
        #expect(table.metrics.keptBytes == 0)
        try table.add([[1, 2, 3]])
        try table.flush()
        #expect(try table.scan().contains([1, 2, 3]))
        try table.close()
    }
}
