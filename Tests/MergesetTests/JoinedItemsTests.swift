// JoinedItemsTests.swift - items in two pieces: searches and merges see them as if they had been written out.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import Mergeset

@Suite struct JoinedItemsTests {
    /// A run builder and what its run has to consist of.
    private struct Pair: ~Copyable {
        var builder = RunBuilder()
        var items: [[UInt8]] = []
        private var batch: [[UInt8]] = []
        private var last: [UInt8]?

        /// The arena is too small for most runs, so it moves.
        init(arenaBytes: Int) { builder.open(RawBuffer(capacity: arenaBytes)) }

        mutating func beginBatch() {
            builder.beginBatch()
            batch = []
            last = nil
        }

        mutating func endBatch(keeping: Bool) {
            if keeping { items += batch } else { builder.rollBack() }
        }

        mutating func add(_ item: [UInt8]) {
            write(item)
            builder.commit(item.count)
            batch.append(item)
            last = item
        }

        /// Nothing, when there is no item that could end this one.
        mutating func add(head: [UInt8], _ random: inout SplitMix64) {
            guard let last else { return }
            let start = random.below(last.count + 1)
            let end = start + random.below(last.count - start + 1)
            write(head)
            builder.commit(head: head.count, tail: start..<end)
            batch.append(head + last[start..<end])
        }

        private mutating func write(_ bytes: [UInt8]) {
            let target = builder.reserve(bytes.count)
            bytes.withUnsafeBytes {
                if let base = $0.baseAddress { target.copyMemory(from: base, byteCount: $0.count) }
            }
        }
    }

    private static func check(_ run: MemoryRun, _ items: [[UInt8]], _ context: String) throws {
        let sorted = items.sorted(by: isSmaller)
        var merged: [[UInt8]] = []
        var merger = try Merger(runs: [run], parts: [])
        while try merger.next() {
            let item = [UInt8](UnsafeRawBufferPointer(start: merger.item, count: merger.length))
            #expect(merger.shared == merged.last.map { PartFixtures.shared($0, item) } ?? 0, "\(context)")
            merged.append(item)
        }
        #expect(merged == sorted, "\(context)")
        let whole = run.whole
        #expect((0..<whole.count).map { [UInt8](whole.item($0)) } == sorted, "\(context)")
        #expect(whole === run.whole && whole.whole === whole)
        #expect(run.itemBytes == UInt64(items.reduce(0) { $0 + $1.count }) && whole.itemBytes == run.itemBytes)
        #expect(run.normalisedBytes == run.itemBytes && run.normalisedItems == UInt64(items.count))
    }

    /// Heads that ascend with a counter, as in an index, or in any order and of any length; other items between them;
    /// batches that are taken back.
    @Test(arguments: TestSeeds.thisRun) func randomRuns(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for round in 0..<120 {
            let isOrderly = round % 3 == 0
            var pair = Pair(arenaBytes: [0, 100, 20_000][random.below(3)])
            var counter = 0
            for _ in 0..<(1 + random.below(12)) {
                pair.beginBatch()
                for _ in 0..<random.below(20) {
                    counter += 1
                    let name = (0..<random.below(40)).map { _ in UInt8(random.below(3)) }
                    pair.add(isOrderly ? [0] + name : name)
                    if isOrderly {
                        pair.add(head: [3, 7, UInt8(counter / 256), UInt8(counter % 256)], &random)
                    } else {
                        for _ in 0..<random.below(3) {
                            let head = (0...random.below(3)).map { _ in UInt8(random.below(9)) }
                            pair.add(head: head, &random)
                        }
                    }
                }
                pair.endBatch(keeping: random.below(4) > 0)
            }
            let used = pair.builder.usedBytes
            guard let run = pair.builder.seal(pool: nil) else {
                #expect(pair.items.isEmpty)
                continue
            }
            if isOrderly {
                let tails = pair.items.filter { $0.first == 3 }.reduce(0) { $0 + $1.count - 4 }
                #expect(run.memoryBytes == Int(run.itemBytes) - tails + 16 * run.count, "nothing is stored twice")
                #expect(used == max(run.memoryBytes, Int(run.itemBytes) / 4) || tails == 0)
            }
            try Self.check(run, pair.items, "round \(round)")
            #expect(pair.builder.isEmpty && pair.builder.usedBytes == 0)
        }
    }

    /// All sequences of up to four items of a lane: whole or with one of three heads, of one of two endings.
    @Test func smallLanes() throws {
        let heads: [[UInt8]] = [[5], [5, 0], [5, 1]]
        for length in 1...4 {
            var code = 0
            let codes = (0..<length).reduce(1) { product, _ in product * 8 }
            while code < codes {
                var pair = Pair(arenaBytes: 0)
                var none = SplitMix64(seed: 1)
                pair.beginBatch()
                var rest = code
                for _ in 0..<length {
                    let (kind, ending) = (rest % 4, UInt8(rest / 4 % 2))
                    rest /= 8
                    if kind == 3 {
                        pair.add([5, ending])
                    } else {
                        // The ending of a joined item is drawn.
                        pair.add([0, ending])
                        pair.add(head: heads[kind], &none)
                    }
                }
                pair.endBatch(keeping: true)
                let sealed = pair.builder.seal(pool: nil)
                let run = try #require(sealed)
                try Self.check(run, pair.items, "\(length) items, code \(code)")
                code += 1
            }
        }
    }

    @Test func tooLongWithItsEnd() throws {
        let table = try PartFixtures.table("/t", on: SimulatedFileSystem())
        let long = [UInt8](repeating: 2, count: Limits.itemBytesMax)
        try table.add { writer throws(StorageError) in
            try long.withUnsafeBufferPointer { bytes throws(StorageError) in
                try writer.add(UnsafeRawBufferPointer(bytes))
            }
            let head = try writer.reserve(2)
            head.storeBytes(of: 3, as: UInt8.self)
            head.storeBytes(of: 4, toByteOffset: 1, as: UInt8.self)
            // By itself it is refused, and nothing else is.
            #expect(throws: StorageError.self) { try writer.commit(2, endingWith: 1..<long.count) }
            try writer.commit(2, endingWith: 2..<long.count)
        }
        let expected = [long, [3, 4] + long[2...]]
        #expect(try table.scan(.everything) == expected)
        try table.flush()
        #expect(try table.scan() == expected)
        #expect(table.metrics.itemsRefused == 1)
        try table.close()
    }
}

@Suite struct JoinedItemsConcurrentTests {
    /// Threads that ask for the whole form of a run at once get one copy.
    @Test func oneCopyForAll() throws {
        var builder = RunBuilder()
        builder.open(RawBuffer(capacity: 0))
        builder.beginBatch()
        for number in 0..<2000 {
            let name = builder.reserve(20)
            for offset in 0..<20 {
                name.storeBytes(of: UInt8(number / (offset + 1) % 256), toByteOffset: offset, as: UInt8.self)
            }
            builder.commit(20)
            let head = builder.reserve(3)
            head.storeBytes(of: 3, as: UInt8.self)
            head.storeBytes(of: UInt8(number / 256), toByteOffset: 1, as: UInt8.self)
            head.storeBytes(of: UInt8(number % 256), toByteOffset: 2, as: UInt8.self)
            builder.commit(head: 3, tail: 1..<20)
        }
        let sealed = builder.seal(pool: nil)
        let run = try #require(sealed)
        let copies = Protected<Set<ObjectIdentifier>>([])
        let unordered = Protected(0)
        let threads = (0..<3).map { number in
            Thread.start("whole-\(number)") {
                let whole = run.whole
                for index in 1..<whole.count where Bytes.compare(whole.item(index - 1), whole.item(index)) > 0 {
                    unordered.withLock { $0 += 1 }
                }
                copies.withLock { _ = $0.insert(ObjectIdentifier(whole)) }
            }
        }
        for thread in threads { thread.join() }
        #expect(copies.withLock { $0.count } == 1)
        #expect(unordered.withLock { $0 } == 0)
    }
}

@Suite struct FlushObserverTests {
    private final class Observer: FlushObserver {
        let begun = Protected<[UInt64]>([])
        let told = Protected<[UInt64]>([])

        func willFlush(_ number: UInt64) { begun.withLock { $0.append(number) } }
        func didFlush(through number: UInt64) { told.withLock { $0.append(number) } }
    }

    /// A flush for want of memory leaves the open run of another shard: nothing added before it is reported until that run
    /// is flushed, too.
    @Test func openRunsHoldBackWhatIsReported() throws {
        let observer = Observer()
        var options = TableOptions.tiny(shards: 2, run: 1000, memory: 3000)
        options.flushIntervalNanoseconds = .max / 4
        options.flushObserver = observer
        let table = try Table.open("/t", options: options, files: SimulatedFileSystem(), environment: .deterministic())
        try table.add([[9]], hint: 1)
        for number in 0..<200 { try table.add([[UInt8](repeating: UInt8(number), count: 100)], hint: 0) }
        let begun = observer.begun.withLock { $0 }
        #expect(begun.count > 2 && begun == (1...UInt64(begun.count)).map { $0 })
        #expect(table.metrics.flushes == UInt64(begun.count))
        #expect(observer.told.withLock { $0 } == [])
        // The open run of shard 1 becomes durable; what was added to shard 0 since the last flush is in a run opened later.
        try table.flush()
        #expect(observer.told.withLock { $0 } == [UInt64(begun.count) + 1])
        // From now on a flush tells of the one before it at the latest.
        for number in 0..<200 { try table.add([[UInt8](repeating: UInt8(number), count: 100)], hint: 0) }
        let last = observer.begun.withLock { $0.last } ?? 0
        let told = observer.told.withLock { $0 }
        #expect(told.count > 2 && told == told.sorted())
        #expect((told.last ?? 0) + 1 >= last && Set(told).isSubset(of: observer.begun.withLock { Set($0) }))
        try table.close()
        #expect(observer.told.withLock { $0.last } == observer.begun.withLock { $0.last })
    }
}
