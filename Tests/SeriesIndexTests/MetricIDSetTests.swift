// MetricIDSetTests.swift - sets of metric ids against the standard library's set.

import StorageRuntime
import TestSupport
import Testing

@testable import SeriesIndex

@Suite struct MetricIDSetTests {
    /// Checks everything that can be asked of a set.
    private func expect(
        _ set: MetricIDSet, is model: Set<UInt64>, _ comment: Comment? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let sorted = model.sorted()
        #expect(set.count == model.count, comment, sourceLocation: sourceLocation)
        #expect(set.isEmpty == model.isEmpty, sourceLocation: sourceLocation)
        #expect(Array(set) == sorted, comment, sourceLocation: sourceLocation)
        var walked: [UInt64] = []
        set.forEach { walked.append($0) }
        #expect(walked == sorted, comment, sourceLocation: sourceLocation)
        #expect(set.min == sorted.first && set.max == sorted.last, comment, sourceLocation: sourceLocation)
        let wrong = set.withReader { reader in
            sorted.filter { id in
                let near = [id, id &- 1, id &+ 1, id ^ 1 << 16, id ^ 1 << 40]
                return near.contains { reader.contains($0) != model.contains($0) }
                    || set.contains(id ^ 1) != model.contains(id ^ 1) || !set.contains(id)
            }
        }
        #expect(wrong.isEmpty, comment, sourceLocation: sourceLocation)
    }

    @Test func theEmptySetHoldsNothing() {
        var set = MetricIDSet()
        expect(set, is: [])
        #expect(set.memoryBytes == 0 && set.description == "no metric ids")
        #expect(!set.contains(0) && !set.contains(.max))
        #expect([set.remove(7), set.insert(7), set.insert(7), set.contains(7)] == [false, true, false, true])
        #expect(set.description == "1 metric ids in 7...7")
        set.remove(7)
        expect(set, is: [])
        #expect(set == MetricIDSet())
        expect(MetricIDSet(), is: [])
    }

    @Test func theEndsOfTheRangeAreIds() {
        let ids: [UInt64] = [.max, 0, .max - 1, 1, 65_535, 65_536, .max - 65_536, 1 << 63]
        expect(MetricIDSet(ids), is: Set(ids))
        expect(MetricIDSet(AnySequence(ids)), is: Set(ids))
    }

    /// Every pair of subsets of a few ids that share chunks and do not.
    @Test func algebraOfSmallSets() {
        let universe: [UInt64] = [0, 1, 65_535, 65_536, .max, .max - 3]
        let subsets = (0..<1 << universe.count).map { bits in
            Set(universe.indices.filter { bits >> $0 & 1 == 1 }.map { universe[$0] })
        }
        let sets = subsets.map { MetricIDSet($0) }
        for (a, left) in zip(sets, subsets) {
            expect(a, is: left)
            for (b, right) in zip(sets, subsets) {
                #expect(a.union(b) == MetricIDSet(left.union(right)))
                #expect(a.intersection(b) == MetricIDSet(left.intersection(right)))
                #expect(a.subtracting(b) == MetricIDSet(left.subtracting(right)))
                #expect((a == b) == (left == right))
                #expect(a.isDisjoint(with: b) == left.isDisjoint(with: right))
            }
        }
    }

    /// The numbers of ids at which a chunk changes its form, from below and from above, at the front and at the end.
    @Test func chunksChangeTheirForm() {
        let most = IDChunk.arrayMax
        for step: UInt64 in [1, 37] {
            for backwards in [false, true] {
                var ids = (0..<UInt64(most + 3)).map { 1 << 20 + $0 * step }
                if backwards { ids.reverse() }
                var set = MetricIDSet()
                var model = Set<UInt64>()
                for (index, id) in ids.enumerated() {
                    #expect([set.insert(id), set.insert(id)] == [true, false])
                    model.insert(id)
                    if index < 10 || index > most - 4 { expect(set, is: model) }
                }
                for (index, id) in ids.enumerated() {
                    #expect([set.remove(id), set.remove(id)] == [true, false])
                    model.remove(id)
                    if index < 4 || abs(model.count - most / 2) < 3 || model.count < 6 { expect(set, is: model) }
                }
            }
        }
    }

    @Test func formsOfAChunkAreEqual() {
        let most = UInt64(IDChunk.arrayMax)
        let list = MetricIDSet(0..<most)
        var bitmap = MetricIDSet(0..<most + 1)
        bitmap.remove(most)
        #expect(bitmap.memoryBytes > list.memoryBytes)
        #expect(bitmap == list && list == bitmap)
        bitmap.remove(0)
        bitmap.insert(most)
        #expect(bitmap != list && list != bitmap)
    }

    @Test func repeatedIdsTakeNoRoom() {
        var set = MetricIDSet()
        let same = [UInt64](repeating: 9, count: 5000)
        #expect(same.withUnsafeBufferPointer { set.insert(contentsOf: $0) } == 1)
        expect(set, is: [9])
        #expect(set.memoryBytes < 200)
        #expect(set.insert(contentsOf: UnsafeBufferPointer(start: nil, count: 0)) == 0)
    }

    @Test func memoryIsThatOfTheIds() {
        let dense = MetricIDSet(1_640_995_200_000_000_000..<1_640_995_200_001_000_000)
        #expect(dense.count == 1_000_000 && dense.memoryBytes < 150_000)
        var random = SplitMix64(seed: 3)
        let sparse = MetricIDSet((0..<20_000).map { _ in random.next() })
        #expect(sparse.memoryBytes < 48 * sparse.count)
    }

    /// Ids whose chunks all want the same place of the table.
    @Test func forgedIdsDoNotFormALongQueue() {
        // The inverse of the multiplier tells the numbers whose products are small. Chunk numbers have 48 bits, so
        // those that fit are searched for.
        var inverse: UInt64 = 1
        for _ in 0..<6 { inverse = inverse &* (2 &- 0x9E37_79B9_7F4A_7C15 &* inverse) }
        var ids: [UInt64] = []
        var product: UInt64 = 0
        while ids.count < 1500 {
            product += 1
            let number = product &* inverse
            if number < 1 << 48 { ids.append(number << 16) }
        }
        var set = MetricIDSet()
        for id in ids { set.insert(id) }
        #expect(set.table.reseeds == 1)
        expect(set, is: Set(ids))
        let half = Set(ids.prefix(700))
        for id in half { set.remove(id) }
        expect(set, is: Set(ids).subtracting(half))
    }

    @Test func copiesAreIndependent() {
        let original = MetricIDSet(0..<200_000)
        var copy = original
        copy.insert(1 << 40)
        copy.remove(70_000)
        copy.insert(200_000)
        #expect(original.count == 200_000 && original.contains(70_000) && !original.contains(1 << 40))
        #expect(copy.count == 200_001 && !copy.contains(70_000) && copy.contains(200_000))
        var iterator = copy.makeIterator()
        #expect(iterator.next() == 0)
        copy.remove(1)
        #expect(iterator.next() == 1 && !copy.contains(1))
        #expect(original == MetricIDSet(0..<200_000))
    }

    // MARK: random

    /// Where the ids of a random test lie.
    enum Shape: CaseIterable {
        case dense, ranges, sparse, extreme, mixed

        func id(_ random: inout SplitMix64) -> UInt64 {
            switch self {
            case .dense: 1_640_995_200_000_000_000 + UInt64(random.below(6000))
            case .ranges: UInt64(random.below(3)) << 33 + 65_000 + UInt64(random.below(3000))
            case .sparse: random.next()
            case .extreme:
                random.below(2) == 0 ? UInt64(random.below(70_000)) : .max - UInt64(random.below(70_000))
            case .mixed: Shape.allCases[random.below(4)].id(&random)
            }
        }
    }

    private func run(_ shape: Shape, _ random: inout SplitMix64) -> [UInt64] {
        let first = shape.id(&random)
        let step = [1, 1, 2, 50][random.below(4)]
        return (0..<random.below(2500)).map { first &+ UInt64($0 * step) }
    }

    @Test(arguments: TestSeeds.thisRun, Shape.allCases)
    func randomChangesFollowTheModel(seed: UInt64, shape: Shape) {
        var random = SplitMix64(seed: seed)
        var pairs: [(set: MetricIDSet, model: Set<UInt64>)] = [(MetricIDSet(), []), (MetricIDSet(), [])]
        for _ in 0..<60 {
            let at = random.below(pairs.count)
            let other = random.below(pairs.count)
            switch random.below(12) {
            case 0:
                if pairs.count < 5 { pairs.append(pairs[at]) } else { pairs[other] = pairs[at] }
            case 1...3:
                let ids = run(shape, &random)
                let before = pairs[at].model.count
                pairs[at].model.formUnion(ids)
                let new = ids.withUnsafeBufferPointer { pairs[at].set.insert(contentsOf: $0) }
                #expect(new == pairs[at].model.count - before)
            case 4:
                for _ in 0..<300 {
                    let id = shape.id(&random)
                    let isNew = pairs[at].set.insert(id)
                    #expect(isNew == pairs[at].model.insert(id).inserted)
                }
            case 5:
                for id in pairs[at].model.shuffled(using: &random).prefix(random.below(2000)) {
                    let wasThere = pairs[at].set.remove(id)
                    #expect(wasThere)
                    pairs[at].model.remove(id)
                }
            case 6:
                let id = shape.id(&random)
                let wasThere = pairs[at].set.remove(id)
                #expect(wasThere == (pairs[at].model.remove(id) != nil))
            case 7, 8:
                pairs[at] = (pairs[at].set.union(pairs[other].set), pairs[at].model.union(pairs[other].model))
            case 9:
                pairs[at] = (
                    pairs[at].set.intersection(pairs[other].set), pairs[at].model.intersection(pairs[other].model)
                )
            case 10:
                pairs[at] = (
                    pairs[at].set.subtracting(pairs[other].set), pairs[at].model.subtracting(pairs[other].model)
                )
            default:
                let (a, b) = (pairs[at], pairs[other])
                #expect((a.set == b.set) == (a.model == b.model))
                #expect(a.set.isDisjoint(with: b.set) == a.model.isDisjoint(with: b.model))
                #expect(a.set == MetricIDSet(a.model))
            }
            #expect(pairs[at].set.count == pairs[at].model.count)
        }
        for (set, model) in pairs { expect(set, is: model) }
    }

    /// One set is read by some threads while each changes a copy of its own.
    @Test func concurrentReadersAndCopies() {
        let shared = MetricIDSet(100_000..<400_000)
        let counts = Protected<[Int]>([])
        let threads = (0..<4).map { number in
            Thread.start("copy \(number)") {
                var copy = shared
                var found = 0
                for id in UInt64(99_000)..<104_000 {
                    if id % 4 == UInt64(number) { copy.remove(id) }
                    found += shared.withReader { $0.contains(id) } ? 1 : 0
                }
                copy.formIntersection(shared)
                copy.insert(1 << 50)
                counts.withLock { $0.append(found + copy.count) }
            }
        }
        for thread in threads { thread.join() }
        #expect(counts.withLock { $0 } == [Int](repeating: 4000 + 299_001, count: 4))
        #expect(shared == MetricIDSet(100_000..<400_000))
    }
}
