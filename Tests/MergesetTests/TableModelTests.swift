// TableModelTests.swift - random operations on a table and on a sorted array, which must agree.

import Mergeset
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

/// A table, the items it should hold, and random things to do to both.
private final class Model {
    let files: any FileSystem
    let directory: String
    let seed: UInt64
    let isLive: Bool
    var environment: Environment
    var options: TableOptions
    var table: Table
    var random: SplitMix64
    var source: ItemSource

    var added: [[UInt8]] = []
    /// The first so many of `added` are durable.
    var flushedCount = 0
    var refusedCount: UInt64 = 0
    /// Since the table was opened.
    var addedHere: UInt64 = 0, addedHereBytes: UInt64 = 0
    var held: [(view: TableView, items: [[UInt8]])] = []
    var snapshotCount = 0

    init(_ files: any FileSystem, _ root: String, seed: UInt64, isLive: Bool) throws {
        self.files = files
        self.seed = seed
        self.isLive = isLive
        directory = Paths.join(root, "table")
        random = SplitMix64(seed: Seeds.derive(seed, "model"))
        source = ItemSource(seed: seed)
        options = .tiny(
            shards: 1 + random.below(3), run: 512 << random.below(5), memory: 4096 << random.below(4))
        if isLive { options.flushIntervalNanoseconds = 3_000_000 }
        environment = Model.environment(isLive, seed)
        table = try Table.open(directory, options: options, files: files, environment: environment)
    }

    static func environment(_ isLive: Bool, _ seed: UInt64) -> Environment {
        isLive ? .live(seed: seed) : .deterministic(seed: seed)
    }

    func step() throws {
        switch random.below(100) {
        case 0..<45: try addBatch()
        case 45..<55: try search(.everything)
        case 55..<65: try search(.durable)
        case 65..<72:
            try table.flush()
            flushedCount = added.count
        case 72..<76: try table.settle()
        case 76..<78:
            try table.mergeAll()
            flushedCount = added.count
            #expect(table.parts.count <= 1 || isLive)
        case 78..<80: try reopen()
        case 80..<82: try snapshot()
        case 82..<88: hold()
        case 88..<92: try checkHeld()
        case 92..<96:
            if let clock = environment.clock as? VirtualClock {
                clock.advance(milliseconds: Int64(random.below(40_000)))
                environment.scheduler.checkpoint()
            }
        default: try checkMetrics()
        }
    }

    func note(_ item: [UInt8]) {
        added.append(item)
        addedHere += 1
        addedHereBytes += UInt64(item.count)
    }

    func addBatch() throws {
        var items = (0..<(random.below(4) == 0 ? random.below(200) : random.below(20))).map { _ in source.next() }
        let tooLong = random.below(6) == 0
        if tooLong { items.insert([UInt8](repeating: 7, count: 65537), at: random.below(items.count + 1)) }
        let hint = random.below(2) == 0 ? nil : random.below(10) - 3
        if random.below(3) == 0 {
            do {
                let refused = try table.add(items, isAllOrNothing: true, hint: hint)
                #expect(!tooLong && refused.isEmpty)
                items.forEach(note)
            } catch {
                #expect(tooLong && error.kind == .limitExceeded)
                refusedCount += 1
            }
        } else {
            let refused = try table.add(items, hint: hint)
            #expect(refused == items.indices.filter { items[$0].count > 65536 })
            refusedCount += UInt64(refused.count)
            for (position, item) in items.enumerated() where !refused.contains(position) { note(item) }
        }
    }

    func sorted(_ items: some Sequence<[UInt8]>) -> [[UInt8]] { items.sorted(by: isSmaller) }

    /// Whether the sorted `part` is contained in the sorted `whole`, with multiplicities.
    func isContained(_ part: [[UInt8]], in whole: [[UInt8]]) -> Bool {
        var index = 0
        for item in part {
            while index < whole.count, whole[index] != item { index += 1 }
            if index == whole.count { return false }
            index += 1
        }
        return true
    }

    /// A view whose contents are right; what it shows.
    func checkedView(_ scope: SearchScope) throws -> (view: TableView, items: [[UInt8]]) {
        let view = table.view(scope)
        let items = try view.scan()
        if scope == .everything {
            #expect(items == sorted(added), "seed \(seed): \(items.count) items, \(added.count) were added")
        } else {
            #expect(zip(items, items.dropFirst()).allSatisfy { !isSmaller($1, $0) })
            #expect(
                isContained(sorted(added.prefix(flushedCount)), in: items), "seed \(seed): flushed items are missing")
            #expect(isContained(items, in: sorted(added)), "seed \(seed): items were invented")
        }
        return (view, items)
    }

    func search(_ scope: SearchScope) throws {
        let (view, items) = try checkedView(scope)
        let distinct = Set(items)
        for _ in 0..<8 {
            let key = randomKey(items)
            var cursor = view.cursor()
            try cursor.seek(bytes: key)
            let start = lowerBound(items, key)
            #expect(try cursor.take(5) == Array(items[start...].prefix(5)), "seed \(seed), seek of \(key)")
        }
        // One cursor for many operations: after a repeated seek the number of copies is open, the distinct items are not.
        var cursor = view.cursor()
        for _ in 0..<20 {
            let key = randomKey(items)
            let start = lowerBound(items, key)
            let expected = items[start...].first
            switch random.below(4) {
            case 0:
                try cursor.seek(bytes: key)
                let isThere = try cursor.next()
                #expect((isThere ? [UInt8](cursor.item) : nil) == expected)
            case 1:
                let prefix = Array(key.prefix(1 + random.below(4)))
                let first = items[lowerBound(items, prefix)...].first
                let found = try cursor.first(withPrefix: prefix)
                #expect(found == (first?.starts(with: prefix) == true ? first : nil))
            case 2:
                let prefix = random.below(2) == 0 ? key : Array(key.prefix(random.below(4)))
                let first = items[lowerBound(items, prefix)...].first
                let found = try cursor.any(withPrefix: prefix)
                #expect((found != nil) == (first?.starts(with: prefix) == true), "seed \(seed), prefix \(prefix)")
                if let found { #expect(found.starts(with: prefix) && distinct.contains(found)) }
                #expect(try !cursor.next())
            default:
                try cursor.seek(bytes: key)
                guard try cursor.next(), cursor.item.count > 0 else { continue }
                let item = [UInt8](cursor.item)
                let count = 1 + random.below(item.count)
                try cursor.seekBehind(prefixOf: count)
                let isThere = try cursor.next()
                #expect((isThere ? [UInt8](cursor.item) : nil) == behind(Array(item.prefix(count)), in: items))
            }
            let more = try cursor.take(random.below(6))
            #expect(more.allSatisfy { distinct.contains($0) })
            #expect(zip(more, more.dropFirst()).allSatisfy { !isSmaller($1, $0) })
        }
        if view.sourceCount > 0 {
            // Distinct first bytes, by jumping.
            var jumper = view.cursor()
            var heads: [UInt8] = []
            try jumper.seek(bytes: [0])
            while try jumper.next() {
                heads.append(jumper.item[0])
                try jumper.seekBehind(prefixOf: 1)
            }
            #expect(heads == Set(items.compactMap(\.first)).sorted())
        }
    }

    func randomKey(_ items: [[UInt8]]) -> [UInt8] {
        guard let item = items.isEmpty ? nil : items[random.below(items.count)] else { return source.next() }
        switch random.below(5) {
        case 0: return item
        case 1: return Array(item.prefix(random.below(item.count + 1)))
        case 2: return item + [UInt8(random.below(256))]
        case 3: return item.dropLast() + [UInt8(random.below(256))]
        default: return source.next()
        }
    }

    func hold() {
        if held.count > 3 { held.remove(at: random.below(held.count)) }
        let view = table.view(.everything)
        held.append((view, sorted(added)))
    }

    func checkHeld() throws {
        for (view, items) in held { #expect(try view.scan() == items, "seed \(seed): a held view has changed") }
    }

    func checkMetrics() throws {
        let metrics = table.metrics
        #expect(metrics.itemsRefused == refusedCount)
        #expect(metrics.failures == 0)
        // What is in memory, plus what is in parts, is everything: no table of ours is asked to rewrite rows here.
        if !isLive {
            #expect(metrics.items + metrics.pendingItems == UInt64(added.count))
            #expect(metrics.flushSourceItems == metrics.flushedItems)
            #expect(metrics.itemsMerged == metrics.flushedItems + metrics.mergedItems + metrics.itemsCopied)
            #expect(metrics.mergesStarted == metrics.mergesFinished)
        }
        let parts = table.parts
        if !isLive {
            #expect(metrics.parts == UInt64(parts.count))
            #expect(metrics.items == parts.reduce(0) { $0 + $1.items })
            #expect(metrics.blocks == parts.reduce(0) { $0 + $1.blocks })
            #expect(metrics.sizeBytes == parts.reduce(0) { $0 + $1.sizeBytes })
            #expect(metrics.partsMax >= metrics.parts)
        }
        _ = table.view(.everything)
        let sealed = table.metrics
        #expect(sealed.itemsAdded == addedHere)
        #expect(sealed.bytesAdded == addedHereBytes)
        #expect(sealed.normalisedItemsAdded == addedHere)
        #expect(sealed.normalisedBytesAdded == addedHereBytes)
    }

    func reopen() throws {
        try table.close()
        try checkHeld()
        flushedCount = added.count
        addedHere = 0
        addedHereBytes = 0
        refusedCount = 0
        environment = Model.environment(isLive, seed)
        table = try Table.open(directory, options: options, files: files, environment: environment)
        #expect(table.metrics.items == UInt64(added.count))
        _ = try checkedView(.durable)
    }

    func snapshot() throws {
        snapshotCount += 1
        let target = directory + "-snapshot-\(snapshotCount)"
        try table.snapshot(to: target)
        flushedCount = added.count
        let environment = Model.environment(isLive, seed)
        let copy = try Table.open(target, options: options, files: files, environment: environment)
        #expect(try copy.scan() == sorted(added), "seed \(seed): snapshot")
        try copy.mergeAll()
        #expect(try copy.scan() == sorted(added))
        try copy.close()
        try files.removeAll(target)
    }

    func finish() throws {
        try checkHeld()
        held = []
        try table.mergeAll()
        #expect(table.parts.count <= 1 || isLive)
        #expect(try table.scan() == sorted(added))
        try table.close()
    }
}

@Suite struct TableModelTests {
    @Test(arguments: TestSeeds.thisRun.flatMap { seed in (0..<12).map { Seeds.derive(seed, "table", $0) } })
    func deterministicTable(seed: UInt64) throws {
        let model = try Model(SimulatedFileSystem(recording: .nothing), "/data", seed: seed, isLive: false)
        for _ in 0..<150 { try model.step() }
        try model.finish()
    }

    @Test(arguments: TestSeeds.thisRun.map { Seeds.derive($0, "live") })
    func liveTableOnADisk(seed: UInt64) throws {
        let directory = try TemporaryDirectory()
        let model = try Model(RealFileSystem(), directory.path, seed: seed, isLive: true)
        for _ in 0..<120 { try model.step() }
        try model.finish()
        withExtendedLifetime(directory) {}
    }

    /// Items in memory are visible at once in one scope, and only after the flush in the other.
    @Test(arguments: TestSeeds.thisRun) func itemsInMemoryAreVisibleInOneScope(seed: UInt64) throws {
        let files = SimulatedFileSystem(recording: .nothing)
        let table = try Table.open(
            "/t", options: .tiny(run: 1 << 20, memory: 64 << 20), files: files, environment: .deterministic(seed: seed))
        var source = ItemSource(seed: seed)
        var items: [[UInt8]] = []
        for round in 0..<30 {
            let batch = (0..<50).map { _ in source.next() }
            try table.add(batch)
            items += batch
            #expect(try table.scan(.everything) == items.sorted(by: isSmaller))
            #expect(try table.scan(.durable).isEmpty, "round \(round)")
        }
        try table.flush()
        #expect(try table.scan(.durable) == items.sorted(by: isSmaller))
        try table.close()
    }
}
